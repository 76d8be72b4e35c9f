"""Applying a folder to a whole server: planned, judged by the server, applied, and seen as drift."""

import json
import subprocess
from hashlib import shake_128
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from typer.testing import CliRunner

from forestall.cli import door
from forestall.cli.person import TOKEN, Refused
from forestall.contracts.errors import UnreadableInput
from forestall.policy.sources import read_folder
from running import Server, cloud_event, running
from running import until as wait

app = door()

ANN, PAT, OLE = (f"{name}-0123456789abcdefghij" for name in ("ann", "pat", "ole"))
PEOPLE = f"""
[people.ann]
token = "{ANN}"
roles = ["author"]
[people.pat]
token = "{PAT}"
roles = ["author", "publisher"]
[people.ole]
token = "{OLE}"
roles = ["approver"]
"""
MANAGED = '[lifecycle]\nmanaged = true\nshadow = "0s"\nskip = ["canary"]\n'
POLICY = """apiVersion: forestall/v1
kind: Policy
metadata: {name: NAME, title: Help, owner: care}
spec:
  when: {event: payment.failed}
  cooldown: 1h
  playbook: [{guide: {text: "Shall we help?", channel: inapp}}]
tests:
  - name: a failed payment is answered
    events: [{at: 0s, type: payment.failed, data: {amount: 9}}]
    expect: [{at: 0s, outcome: intervene}]
"""
LARGE = "{event: payment.failed, where: event.data.amount > 4}"


def policy(name: str = "failed", old: str = "", new: str = "") -> str:
    text = POLICY.replace("NAME", name)
    return text.replace(old, new) if old else text


class Desk:
    """A server, and a folder in git beside it."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.git = server, folder / "git"
        (self.git / "policies").mkdir(parents=True)

    def write(self, text: str, name: str = "policies/failed.yaml") -> None:
        path = self.git / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def run(self, *words: str, token: str = ANN, code: int = 0) -> str:
        """What a command says, which ends with ``code``. Raises what it ends with."""
        told = CliRunner().invoke(
            app, [*words, "--config", str(self.server.config)], env={TOKEN: token, "COLUMNS": "200"}
        )
        if told.exception is not None and not isinstance(told.exception, SystemExit):
            raise told.exception
        assert told.exit_code == code, told.output
        return str(told.output)

    def apply(self, *words: str, token: str = ANN, code: int = 0) -> str:
        return self.run("apply", str(self.git), *words, token=token, code=code)

    def promote(self, *states: str, name: str = "failed") -> None:
        for state in states:
            told = self.run("promote", name, "--to", state, "--reason", "good", token=PAT)
            assert f"is {state}" in told

    def states(self) -> dict[str, str]:
        found = json.loads(self.run("status", "--json"))["artifacts"]
        return {f"{one['name']} {one['version'][:8]}": one["state"] for one in found}

    def api(self, method: str, path: str, body: Any = None, token: str = ANN) -> Any:
        headers = {"authorization": f"Bearer {token}"}
        return self.server.client.request(method, path, json=body, headers=headers, auth=None)

    def planned(self, token: str = ANN, **query: str) -> dict[str, Any]:
        """A plan of the folder as it is, once it is made."""
        files = msgspec.to_builtins(read_folder(self.git))
        asked = urlencode({"backtest": "false", **query})
        begun = self.api("POST", f"/v1/plans?{asked}", files, token)
        assert begun.status_code == 202, begun.text

        def made() -> Any:
            found = self.api("GET", f"/v1/plans/{begun.json()['id']}", token=token).json()
            return found if found["state"] in ("done", "failed") else None

        found: dict[str, Any] = wait(made, 60)
        return found

    def application(self, plan: dict[str, Any], **more: Any) -> Any:
        body = {"hash": plan.get("hash", ""), "reason": "because", **more}
        return self.api("POST", f"/v1/plans/{plan['id']}/application", body)


def test_from_a_folder_to_live_and_to_the_next_version(tmp_path: Path) -> None:
    with running(tmp_path, {}, MANAGED + PEOPLE) as server:
        desk = Desk(server, tmp_path)
        desk.write(policy())
        told = desk.apply("--plan", code=1)
        for words in ("+ policy failed", "when `payment.failed`", "tests passed: 1"):
            assert words in told
        assert "No backtest: the log holds no event yet." in told
        assert desk.states() == {}
        assert "is validated." in desk.apply("--yes", "--reason", "the first one")
        assert list(desk.states().values()) == ["validated"]
        assert "Nothing to do" in desk.apply("--plan")
        with pytest.raises(Refused, match="a backtest over at least 1 events, the newest has 0"):
            desk.run("promote", "failed", "--reason", "too early")
        events = [
            cloud_event(one, "payment.failed", f"u{one}", data={"amount": one}) for one in range(8)
        ]
        assert server.send(events).status_code == 202
        wait(server.settled)
        desk.promote("backtested", "shadow", "live")
        wait(lambda: "Nothing has drifted." in drift(desk))

        desk.write(policy(old="{event: payment.failed}", new=LARGE))
        assert "does not know the folder's version" in drift(desk, 1)
        told = desk.apply("--plan", code=1)
        for words in (
            "~ policy failed",
            "step 1: `where` is new: `event.data.amount > 4`",
            "Backtest over 8 events",
            "interventions       8 -> 3",
            "0 interventions are gained, 5 are lost",
            "5  failed: intervene -> no decision",
        ):
            assert words in told, told
        desk.apply("--yes", "--reason", "only large ones")
        assert sorted(desk.states().values()) == ["live", "validated"]
        desk.promote("backtested")
        assert "is not live yet (backtested)" in drift(desk)

        (server.policies / "edited.yaml").write_text(policy("edited"))
        found = desk.run("drift", "--json", code=1)
        assert [(one["name"], one["what"]) for one in json.loads(found)] == [
            ("edited", "unknown"),
            ("failed", "absent"),
        ]


def drift(desk: Desk, code: int = 0) -> str:
    told = CliRunner().invoke(app, ["drift", str(desk.git), "--config", str(desk.server.config)])
    assert told.exit_code in (0, 1), told.output
    return str(told.output) if told.exit_code == code else ""


def test_what_the_server_makes_of_what_it_is_sent(tmp_path: Path) -> None:
    with running(tmp_path, {}, MANAGED + PEOPLE) as server:
        desk = Desk(server, tmp_path)
        commit = committed(desk.git, policy())
        desk.write(policy("wrong", "{at: 0s, outcome: intervene}", "{at: 9s, outcome: suppress}"))
        desk.write(policy("lost", "inapp", "pigeon"), "policies/lost.yaml")
        desk.write("failed: 0.4\n", "thresholds.yaml")
        desk.write("risky: 0.4\n", "thresholds.yaml")
        desk.write(shake_128(b"long").hexdigest(100_000), "prompts/reply.md")
        told = desk.apply("--yes", "--reason", "all of it", code=1)
        for words in (
            "WRONG test `a failed payment is answered`: expected 9s suppress; it did not come",
            "policies/lost.yaml:7:56: error: there is no channel `pigeon`",
            "it stays a draft",
        ):
            assert words in told, told
        states = {name.split()[0]: state for name, state in desk.states().items()}
        assert states == {
            "failed": "validated",
            "wrong": "draft",
            "lost": "draft",
            "risky": "validated",
            "reply": "validated",
        }
        with pytest.raises(Refused, match="checks and tests that pass"):
            desk.run("promote", "wrong", "--reason", "please")
        assert (
            desk.api("GET", "/v1/lifecycle/transitions").json()["transitions"][0]["evidence"][
                "commit"
            ]
            == commit
        )

        desk.write("nonsense: [", "policies/broken.yaml")
        with pytest.raises(
            UnreadableInput, match=r"policies/broken.yaml:2:1: error: not valid YAML"
        ):
            desk.apply("--plan")
        (desk.git / "policies" / "broken.yaml").unlink()
        (desk.git / "policies" / "lost.yaml").unlink()
        with pytest.raises(Refused, match="role-missing"):
            desk.apply("--prune", "--yes", "--reason", "gone")
        told = desk.apply("--prune", "--yes", "--reason", "gone", token=PAT, code=1)
        assert "- policy lost" in told
        assert "lost" not in str(desk.states())


def committed(folder: Path, text: str) -> str:
    """The commit at which ``folder`` has ``text`` as its one policy."""
    (folder / "policies" / "good.yaml").write_text(text)
    git = ["git", "-C", str(folder), "-c", "user.name=ann", "-c", "user.email=ann@localhost"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "One"]):
        subprocess.run([*git, *words], check=True)
    found = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return found.stdout.strip()


def test_a_plan_is_applied_as_it_was_seen_or_not_at_all(tmp_path: Path) -> None:
    with running(tmp_path, {}, MANAGED + PEOPLE) as server:
        desk = Desk(server, tmp_path)
        desk.write(policy())
        first, second = desk.planned(), desk.planned()
        assert first["hash"] == second["hash"]

        forged = desk.application({**first, "hash": "0" * 64})
        assert (forged.status_code, forged.json()["code"]) == (409, "plan-outdated")
        nobody = desk.api("POST", "/v1/plans", [], token=OLE)
        assert (nobody.status_code, nobody.json()["code"]) == (403, "role-missing")
        unknown = desk.application({"id": "0" * 32})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "not-there")
        unreasoned = desk.application(first, reason=" ")
        assert (unreasoned.status_code, unreasoned.json()["code"]) == (422, "reason-missing")
        assert desk.states() == {}

        done = desk.application(first)
        assert done.status_code == 201
        assert [one["state"] for one in done.json()["applied"]] == ["validated"]
        late = desk.application(second)
        assert (late.status_code, late.json()["code"]) == (409, "plan-outdated")
        assert len(desk.states()) == 1

        broken = desk.api("POST", "/v1/plans", {"not": "files"}).json()["id"]
        failed = wait(lambda: desk.api("GET", f"/v1/plans/{broken}").json()["wrong"], 60)
        assert failed["code"] == "unreadable-input"
        refused = desk.application({"id": broken})
        assert (refused.status_code, refused.json()["code"]) == (409, "plan-not-ready")
        odd = desk.api("POST", "/v1/plans?set=red", [])
        assert (odd.status_code, odd.json()["code"]) == (400, "invalid-query")

        desk.write(policy(old="owner: care", new="owner: support"))
        restated = desk.planned()
        assert [one["what"] for one in restated["plan"]["lines"]] == ["restated"]
        assert desk.application(restated).status_code == 201
        assert [one["what"] for one in desk.planned()["plan"]["lines"]] == ["unchanged"]
        green = desk.planned(set="green")
        assert [one["what"] for one in green["plan"]["lines"]] == ["new"]


def test_nothing_is_applied_where_files_are_in_force_as_saved(tmp_path: Path) -> None:
    with running(tmp_path, {"p.yaml": policy()}, PEOPLE) as server:
        desk = Desk(server, tmp_path)
        desk.write(policy())
        with pytest.raises(Refused, match="not-managed"):
            desk.apply("--plan")
        wait(lambda: "Nothing has drifted." in drift(desk))
        desk.write(policy(old="1h", new="2h"))
        assert "not what should be" in drift(desk, 1)
