"""How the worker follows the deployment's files."""

from contextlib import suppress
from pathlib import Path

import pytest

from forestall.app import worker
from forestall.app.register import Register
from forestall.app.worker import GATHER, SHORTEST, Files, _decide, _obey
from forestall.context import core
from forestall.contracts.control import PoliciesApplied, SwitchesApplied
from forestall.contracts.event import Record
from forestall.decide.stage import Stage
from forestall.kernel.settings import load_settings
from forestall.log.memory import MemoryLog
from forestall.log.port import LogFull
from forestall.log.streams import DECIDED, DECISIONS, read_decisions, signals

POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: NAME, title: Any, owner: any}
spec:
  when: {event: page.failed}
  playbook: [{guide: {text: "Sorry.", channel: inapp}}]
"""


class Deployment:
    """A folder of files, and a worker that looks at them; ``look`` is half a second later."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "forestall.toml"
        self.policies = folder / "policies"
        self.policies.mkdir()
        self.settings("")
        self.policy("one")
        self.policy("two")
        self.files = Files(self.config, load_settings(self.config))
        self.register = Register(folder)
        self.stage = Stage(MemoryLog(), MemoryLog())
        self.look()

    def settings(self, more: str) -> None:
        self.config.write_text('[policies]\nfolder = "policies"\n' + more)

    def policy(self, name: str) -> None:
        (self.policies / f"{name}.yaml").write_text(POLICY.replace("NAME", name))

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            _obey(self.stage, self.files, self.register)

    @property
    def in_force(self) -> list[list[str]]:
        """The names of each set of policies that was ever put in force."""
        return [
            [policy.name for policy in record.policies]
            for record in self.stage.governing
            if isinstance(record, PoliciesApplied)
        ]

    @property
    def everything_off(self) -> bool:
        switches = [one for one in self.stage.governing if isinstance(one, SwitchesApplied)]
        return switches[-1].everything_off


def test_what_stands_at_the_start_is_in_force_at_once(tmp_path: Path) -> None:
    assert Deployment(tmp_path).in_force == [["one", "two"]]


def test_a_change_counts_once_it_has_settled(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    (deployment.policies / "two.yaml").unlink()
    deployment.look()
    deployment.policy("two")
    deployment.policy("three")
    deployment.look(3)
    assert deployment.in_force == [["one", "two"], ["one", "three", "two"]]


def test_a_broken_policy_holds_up_no_kill_switch(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    (deployment.policies / "two.yaml").write_text("kind: Polcy")
    deployment.settings("[switches]\neverything_off = true\n")
    deployment.look(2)
    assert deployment.files.problem is not None
    assert deployment.everything_off
    assert deployment.in_force == [["one", "two"]]
    deployment.settings("[switches]\neverything_off = false\n")
    deployment.look(2)
    assert not deployment.everything_off


def test_settings_that_cannot_be_read_change_nothing(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.settings("[switches]\neverything_off = true\n[nonsense")
    deployment.look(3)
    assert deployment.files.problem is not None
    assert not deployment.everything_off


@pytest.mark.parametrize(("events", "pauses"), [(5, []), (20, [GATHER]), (1_000, [])])
def test_after_a_step_with_some_events_more_may_gather(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: int, pauses: list[float]
) -> None:
    slept: list[float] = []
    waited: list[float] = []
    committed: list[int] = []
    log = MemoryLog()
    log.commit([signals([_record(number) for number in range(events)])])
    deployment = Deployment(tmp_path)
    stage = Stage(log, MemoryLog())
    monkeypatch.setattr(worker, "sleep", slept.append)
    monkeypatch.setattr(core, "large_pages", lambda: None)
    monkeypatch.setattr(core, "large_page_ahead", lambda: False)
    monkeypatch.setattr(worker, "Collecting", lambda _now: _NoCollecting())
    while stage.engine.prepare():
        pass
    _decide(
        lambda: (stage, deployment.files, deployment.register),
        lambda: bool(waited),
        waited.append,
        lambda: committed.append(stage.position),
    )
    assert (slept, waited, committed) == (pauses, [SHORTEST], [1])
    assert stage.engine.counters["records"] == events


def test_while_nothing_waits_it_gets_ready_for_what_may_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages, waited = [True, True, False], list[float]()
    deployment = Deployment(tmp_path)
    made: list[bool] = []
    prepare = deployment.stage.engine.prepare
    monkeypatch.setattr(core, "large_pages", lambda: None)
    monkeypatch.setattr(core, "large_page_ahead", lambda: pages.pop(0))
    monkeypatch.setattr(worker, "Collecting", lambda _now: _NoCollecting())

    def noted() -> bool:
        made.append(prepare())
        return made[-1]

    monkeypatch.setattr(deployment.stage.engine, "prepare", noted)
    _decide(
        lambda: (deployment.stage, deployment.files, deployment.register),
        lambda: bool(waited),
        waited.append,
        lambda: None,
    )
    assert made.count(True) > 1
    assert (made[-3:], pages, waited) == ([False] * 3, [], [SHORTEST])


@pytest.mark.parametrize("commit", range(1, 6))
def test_who_stops_while_the_disk_is_full_loses_no_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commit: int
) -> None:
    log, own = MemoryLog(), MemoryLog({commit: "full"})
    log.commit([signals([_record(number, "page.failed") for number in range(3)])])
    deployment = Deployment(tmp_path)
    waits: list[float] = []

    def start() -> tuple[Stage, Files, Register]:
        files = Files(deployment.config, load_settings(deployment.config))
        return Stage(log, own), files, deployment.register

    monkeypatch.setattr(core, "large_pages", lambda: None)
    monkeypatch.setattr(core, "large_page_ahead", lambda: False)
    monkeypatch.setattr(worker, "Collecting", lambda _now: _NoCollecting())
    for _ in range(2):
        waits.clear()
        with suppress(LogFull):
            _decide(start, lambda: bool(waits), waits.append, lambda: None)
    made = [one for batch in own.follow(DECISIONS) for one in read_decisions(batch)]
    assert len(made) == 6
    assert own.cursor(DECIDED) == 1


class _NoCollecting:
    def worked(self) -> None:
        """Nothing is collected here."""

    def rested(self) -> bool:
        return False


def _record(number: int, event_type: str = "page.viewed") -> Record:
    moment = 1_700_000_000_000_000 + number
    return Record(f"e{number}", "shop", event_type, "somebody", moment, moment, "server")
