"""``forestall canary`` over a data folder."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from forestall.cli import door
from forestall.cli.canary import _lasted
from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    PolicyInForce,
    SettingsApplied,
)
from forestall.contracts.decision import Decided, Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from forestall.measure.assign import in_holdout

app = door()

START = 1_700_000_000 * SECOND
PEOPLE = [f"p{n}" for n in range(400)]
SHARE = [one for one in PEOPLE if in_holdout("s:hint:canary", one, 0.5)]
REST = [one for one in PEOPLE if one not in SHARE]


def lay(folder: Path, tickets: list[str], *, canary: bool = True) -> None:
    """A folder in which everybody visits once, and some of them open a ticket."""
    held = [PolicyInForce("hint", "v2" * 32, msgspec.Raw(b"{}"), "canary", 0.5)] if canary else []
    control: list[Control] = [
        SettingsApplied(START, DecideSettings(salt="s"), "ann", "so"),
        PoliciesApplied(START, tuple(held), {}, "ann", "so"),
    ]
    events = [(one, "page.viewed") for one in PEOPLE]
    events += [(one, "forestall.ticket.opened") for one in tickets]
    records = [
        Record(f"e{n}", "test", kind, subject, START + n + 1, START + n + 1)
        for n, (subject, kind) in enumerate(events)
    ]
    decision = Decision(
        id="d1", policy="hint", version="v2" * 32, mode="canary", subject=SHARE[0], key=None,
        at="", outcome="intervene", reason=None, matched=(), features={}, explanation="",
    )  # fmt: skip
    signals = SqliteLog(folder / "gateway.db")
    signals.commit([streams.signals(records)], tick=START + 90 * SECOND)
    signals.close()
    own = SqliteLog(folder / "worker.db")
    own.commit([streams.control(control)])
    own.commit([streams.decisions([Decided(1, 1, START + 5, decision)])], cursors={"worker": 1})
    own.close()


def run(folder: Path, *words: str) -> Result:
    config = folder / "forestall.toml"
    config.write_text('[canary]\nsteps = ["50% for 1m", "80% for 1h"]\nleast = 50\n')
    return CliRunner().invoke(
        app, ["canary", "--data", str(folder), "--config", str(config), *words]
    )


@pytest.mark.parametrize(
    ("time", "words"),
    [(0, "0s"), (90, "90s"), (9_045, "150m"), (262_372, "3d"), (300_000, "83h")],
)
def test_how_long_a_step_runs_is_told_as_people_would(time: int, words: str) -> None:
    assert _lasted(time * SECOND) == words


def test_it_shows_step_subjects_intervals_and_what_is_waited_for(tmp_path: Path) -> None:
    lay(tmp_path, [*SHARE[:5], *REST[:5]])
    found = run(tmp_path)
    assert found.exit_code == 0, found.output
    assert "policy hint v2v2v2v2: inconclusive" in found.output
    assert "50 % of subjects since 2023-11-14T22:13:20Z (90s), then 80 %" in found.output
    assert f"{len(SHARE)} subjects in the canary, {len(REST)} in the rest" in found.output
    assert "it acted for 1" in found.output
    assert "tickets: inconclusive;" in found.output
    assert "dismissed: no data" in found.output
    assert "- tickets: may be worse by up to" in found.output
    assert "more subjects in the canary" in found.output


def test_a_failed_one_is_an_exit_code(tmp_path: Path) -> None:
    lay(tmp_path, SHARE[:60])
    found = run(tmp_path, "hint")
    assert found.exit_code == 1
    assert "v2v2v2v2: fail" in found.output
    assert "- tickets: worse by more than 0.00 %" in found.output


def test_json_has_every_figure(tmp_path: Path) -> None:
    lay(tmp_path, [*SHARE[:5], *REST[:5]])
    (one,) = json.loads(run(tmp_path, "--json").stdout)["canaries"]
    assert (one["kind"], one["name"], one["next"]) == ("policy", "hint", 0.8)
    look = one["look"]
    assert (look["verdict"], look["share"], look["lasted"]) == ("inconclusive", 0.5, 90.0)
    assert look["active"] == {"canary": len(SHARE), "rest": len(REST)}
    tickets = next(each for each in look["guardrails"] if each["name"] == "tickets")
    assert tickets["canary"] == pytest.approx(5 / len(SHARE))
    assert tickets["low"] < 0 < tickets["high"]
    assert look["begun"].startswith("2023-11-14T22:13:20")


def test_without_a_canary_the_answer_is_no(tmp_path: Path) -> None:
    lay(tmp_path, [], canary=False)
    assert (run(tmp_path).exit_code, run(tmp_path).output) == (1, "no canary runs\n")
    assert json.loads(run(tmp_path, "--json").stdout) == {"canaries": []}


def test_of_another_name_neither(tmp_path: Path) -> None:
    lay(tmp_path, [])
    found = run(tmp_path, "other")
    assert (found.exit_code, found.output) == (1, "no canary of other runs\n")


def test_a_folder_without_logs_cannot_be_used(tmp_path: Path) -> None:
    found = run(tmp_path)
    assert found.exit_code != 0
    assert "not a server's data folder" in str(found.exception)
