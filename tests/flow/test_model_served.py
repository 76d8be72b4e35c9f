"""A model under change control: applied from a folder, promoted on its evidence, asked, repeated."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from forestall.cli import door
from forestall.cli.person import TOKEN, Refused
from forestall.contracts.control import Control, ModelsApplied, PoliciesApplied
from forestall.contracts.instants import HOUR
from forestall.decide.history import deployed_controls
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import DECISIONS
from forestall.measure.model import Feature, Model, Platt, canonical, predict, version
from running import Server, cloud_event, running
from running import until as wait

app = door()

PAT = "pat-0123456789abcdefghij"
MANAGED = f"""
[lifecycle]
managed = true
shadow = "0s"
skip = ["canary"]
[people.pat]
token = "{PAT}"
roles = ["author", "publisher"]
[decide]
spacing = "0s"
budget = 1000
"""
POLICY = """apiVersion: forestall/v1
kind: Policy
metadata: {name: failed, title: Help, owner: care}
spec:
  features:
    amount: {last: event.data.amount, of: payment.failed}
  when: {event: payment.failed}
  model: {name: propensity, threshold: 0.5}
  cooldown: 0s
  playbook: [{guide: {text: "Shall we help?", channel: inapp}}]
tests: []
"""
MODEL = Model(
    name="propensity",
    outcome="forestall.ticket.opened",
    horizon=HOUR,
    policy="failed",
    intercept=0.0,
    features=(Feature("amount", (4.5,), (-1.0, 1.0), {}, 0.0, 0.0),),
    calibration=Platt(1.0, 0.0),
    evidence={"passed": True, "why": []},
)
REFUSED = msgspec.structs.replace(MODEL, evidence={"passed": False, "why": ["no signal"]})


class Desk:
    """A managed server and the folder that is applied to it."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        (folder / "policies").mkdir(parents=True)
        (folder / "policies" / "failed.yaml").write_text(POLICY)

    def run(self, *words: str) -> str:
        told = CliRunner().invoke(
            app, [*words, "--config", str(self.server.config)], env={TOKEN: PAT, "COLUMNS": "200"}
        )
        if told.exception is not None and not isinstance(told.exception, SystemExit):
            raise told.exception
        assert told.exit_code == 0, told.output
        return str(told.output)

    def apply(self, model: Model) -> None:
        (self.folder / "propensity.model.json").write_bytes(canonical(model))
        self.run("apply", str(self.folder), "--yes", "--reason", "try")

    def promote(self, kind: str, name: str, *states: str) -> None:
        for state in states:
            self.run("promote", name, "--kind", kind, "--to", state, "--reason", "good")

    def send(self, first: int) -> None:
        events = [
            cloud_event(first + one, "payment.failed", f"u{one}", data={"amount": one})
            for one in range(10)
        ]
        assert self.server.send(events).status_code == 202
        wait(self.server.settled)

    def decided(self) -> list[bytes]:
        log = SqliteLog(self.server.data / "worker.db", read_only=True)
        try:
            return [
                bytes(raw)
                for batch in log.follow(DECISIONS)
                for *_, raw in msgspec.json.decode(
                    batch.payload, type=list[tuple[int, int, int, msgspec.Raw]]
                )
            ]
        finally:
            log.close()

    def heard(self) -> list[dict[str, Any]]:
        return [one for one in map(json.loads, self.decided()) if one.get("confidence")]


@pytest.mark.timeout(180)
def test_a_model_goes_live_on_its_evidence_and_replay_needs_nothing_but_the_log(
    tmp_path: Path,
) -> None:
    with running(tmp_path, {}, MANAGED) as server:
        desk = Desk(server, tmp_path / "git")
        desk.send(0)
        desk.apply(REFUSED)
        with pytest.raises(Refused, match="an evaluation that finds it useful"):
            desk.promote("model", "propensity", "backtested")
        desk.promote("policy", "failed", "backtested", "shadow", "live")
        wait(lambda: _in_force(desk))
        desk.send(100)
        wait(lambda: len(desk.decided()) >= 10)
        assert {json.loads(one)["reason"] for one in desk.decided()} == {"low_confidence"}
        assert desk.heard() == []

        desk.apply(MODEL)
        desk.promote("model", "propensity", "backtested", "shadow", "live")
        wait(lambda: "live" in _modes(desk))
        desk.send(200)
        wait(lambda: len(desk.heard()) >= 10)
        for one in desk.heard():
            (said,) = one["confidence"]
            wanted = predict(MODEL, one["features"])
            assert (said["probability"], said["contributions"]) == wanted
            assert said["version"] == version(MODEL)
            assert one["outcome"] == ("intervene" if said["probability"] >= 0.5 else "suppress")
        assert {one["outcome"] for one in desk.heard()} == {"intervene", "suppress"}

        assert server.stop() == 0
        out = tmp_path / "again.ndjson"
        again = server.run("backtest", str(server.data), "--as-deployed", "--out", str(out))
        assert again.returncode == 0, again.stderr
        assert sorted(out.read_bytes().splitlines()) == sorted(desk.decided())


def _controls(desk: Desk) -> list[Control]:
    return deployed_controls(desk.server.data)


def _in_force(desk: Desk) -> bool:
    return any(isinstance(one, PoliciesApplied) and one.policies for one in _controls(desk))


def _modes(desk: Desk) -> set[str]:
    applied = (one for one in _controls(desk) if isinstance(one, ModelsApplied))
    return {model.mode for one in applied for model in one.models}
