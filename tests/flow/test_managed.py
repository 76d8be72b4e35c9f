"""A managed deployment as a whole: two people, promotion, rollback within seconds, blue and green."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from typer.testing import CliRunner, Result

from forestall.cli import door
from forestall.cli.person import Refused
from forestall.contracts.control import PoliciesApplied, Transition
from forestall.intervene.store import Store
from forestall.kernel.clock import monotonic
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import CONTROL, DECISIONS, read_control, read_decisions
from forestall.policy.lifecycle import Artifact, Rules
from forestall.policy.store import REGISTRY_FILE, Registry
from registries import bring, made
from running import Server, cloud_event, running
from running import until as wait

app = door()

WITHIN = 5.0
"""Seconds in which a rollback reaches every process."""

ANN, BOB, CAT, DAN = (f"{name}-0123456789abcdefghij" for name in ("ann", "bob", "cat", "dan"))
MANAGED = f"""
[lifecycle]
managed = true
skip = ["canary"]
shadow = "0s"
[people.ann]
token = "{ANN}"
roles = ["author"]
[people.bob]
token = "{BOB}"
roles = ["publisher"]
[people.cat]
token = "{CAT}"
roles = ["operator"]
[people.dan]
token = "{DAN}"
roles = ["publisher"]
"""
POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: declined, title: Help with declined cards, owner: payments}
spec:
  risk: high
  cooldown: 1s
  running: RUNNING
  when: {event: payment.declined}
  playbook:
    - guide: {text: "TEXT", channel: inapp}
    - await: {event: payment.succeeded, for: 10m, then: resolved}
"""


def policy(text: str, running: str = "finish") -> Artifact:
    """A version of the policy ``declined``."""
    return made(POLICY.replace("TEXT", text).replace("RUNNING", running))


OLD, NEW, NEWER = policy("old", "cancel"), policy("new"), policy("newer")


@contextmanager
def registry_of(data: Path) -> Iterator[Registry]:
    """The registry as the server's own process has it."""
    data.mkdir(parents=True, exist_ok=True)
    opened = Registry(data / REGISTRY_FILE, rules=Rules(frozenset(("canary",)), 0, 1))
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def managed(folder: Path) -> Iterator[Server]:
    """A server with one version live, and a newer one in shadow."""
    with registry_of(folder / "data") as registry:
        registry.adopt([OLD], 1)
        bring(registry, NEW, "draft", "validated", "backtested", "shadow")
    with running(folder, {}, MANAGED) as server:
        until(lambda: in_force(server) == [("live", OLD.version), ("shadow", NEW.version)])
        yield server


def until(holds: Callable[[], Any]) -> Any:
    """Commands are processes of their own, which takes a while on a busy machine."""
    return wait(holds, 120)


def controls(server: Server) -> list[Any]:
    log = SqliteLog(server.data / "worker.db", read_only=True)
    try:
        return [record for batch in log.follow(CONTROL) for record in read_control(batch)]
    finally:
        log.close()


def in_force(server: Server) -> list[tuple[str, str]]:
    """Mode and version of the policies that decide."""
    applied = [one for one in controls(server) if isinstance(one, PoliciesApplied)]
    return [(one.mode, one.version) for one in applied[-1].policies] if applied else []


def acted(server: Server) -> list[str]:
    """The version of each decision with effects, in order."""
    log = SqliteLog(server.data / "worker.db", read_only=True)
    try:
        return [
            entry.decision.version
            for batch in log.follow(DECISIONS)
            for entry in read_decisions(batch)
            if entry.decision.mode != "shadow" and entry.decision.outcome == "intervene"
        ]
    finally:
        log.close()


def outcomes(server: Server) -> list[str]:
    """How each intervention stands, oldest first."""
    store = Store(server.data / "app.db", read_only=True)
    try:
        return [str(one.outcome) for one in reversed(store.newest())]
    finally:
        store.close()


def api(server: Server, token: str, method: str, path: str, body: Any = None) -> httpx.Response:
    """What the API answers through the gateway, once the app process is up."""

    def answered() -> httpx.Response | None:
        headers = {"authorization": f"Bearer {token}"}
        url = f"/v1/lifecycle{path}"
        found = server.client.request(method, url, json=body, headers=headers, auth=None)
        return found if found.status_code != 503 else None

    answer: httpx.Response = until(answered)
    return answer


def command(server: Server, token: str, *words: str) -> Result:
    """What a command of somebody says; beside the server, but in this process, which is quicker."""
    asked = [*words, "--config", str(server.config)]
    return CliRunner().invoke(app, asked, env={"FORESTALL_TOKEN": token, "COLUMNS": "250"})


def decline(server: Server, number: int, subject: str) -> None:
    assert server.send([cloud_event(number, "payment.declined", subject, data={})]).is_success


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_two_people_let_a_version_go_live(tmp_path: Path) -> None:
    ask = {"name": "declined", "reason": "it helps more"}
    yes = {"verdict": "seconded", "reason": "I looked"}
    with managed(tmp_path) as server:
        decline(server, 1, "alice")
        until(lambda: acted(server) == [OLD.version])
        assert code(api(server, ANN, "POST", "/promotions", ask)) == (403, "role-missing")
        early = api(server, BOB, "POST", "/promotions", ask | {"to": "retired"})
        assert early.status_code == 201, "a publisher may retire; it begins anew"
        assert code(api(server, BOB, "POST", "/promotions", ask | {"to": "live"})) == (
            409,
            "no-such-transition",
        )
        for state in ("draft", "validated", "backtested", "shadow"):
            moved = api(server, ANN, "POST", "/promotions", ask | {"version": NEW.version[:10]})
            assert (moved.status_code, moved.json()["transitions"][-1]["after"]) == (201, state)

        first = api(server, BOB, "POST", "/promotions", ask)
        assert first.status_code == 202
        request = first.json()["request"]["id"]
        path = f"/requests/{request}/decisions"
        assert code(api(server, BOB, "POST", path, yes)) == (403, "own-request")
        assert code(api(server, ANN, "POST", path, yes)) == (403, "role-missing")
        with registry_of(server.data) as registry:
            bring(registry, NEWER, "draft")
        assert code(api(server, DAN, "POST", path, yes)) == (409, "too-late")
        assert in_force(server)[0] == ("live", OLD.version)

        said = command(
            server, BOB, "promote", "declined", "--version", NEW.version[:8], "--reason", "again"
        )
        assert said.exit_code == 0, said.output
        (waiting,) = api(server, DAN, "GET", "/requests").json()["requests"]
        assert f"`forestall second {waiting['id']} --reason" in said.stdout
        listed = command(server, DAN, "requests", "--json")
        assert [one["id"] for one in json.loads(listed.stdout)] == [waiting["id"]]
        agreed = command(server, DAN, "second", str(waiting["id"]), "--reason", "I looked")
        assert "is live, was shadow" in agreed.stdout, agreed.output
        until(lambda: in_force(server) == [("live", NEW.version)])
        decline(server, 2, "bob")
        until(lambda: acted(server) == [OLD.version, NEW.version])

        told = [one for one in controls(server) if isinstance(one, Transition)]
        assert [one.number for one in told] == list(range(1, len(told) + 1))
        (live,) = [one for one in told if (one.version, one.after) == (NEW.version, "live")]
        assert (live.by, live.seconded, live.why) == ("bob", "dan", "again")
        status = command(server, CAT, "status", "--json")
        standing = {one["version"]: one["state"] for one in json.loads(status.stdout)["artifacts"]}
        assert standing == {NEW.version: "live", NEWER.version: "draft"}
        history = command(server, CAT, "history", "declined", "--json")
        assert len(json.loads(history.stdout)) == len(told)
        refused = command(server, ANN, "rollback", "declined", "--reason", "no")
        assert isinstance(refused.exception, Refused)
        assert "[people.ann] roles gives it" in str(refused.exception)


def test_a_rollback_reaches_every_process_within_five_seconds(tmp_path: Path) -> None:
    with managed(tmp_path) as server:
        ask = {"name": "declined", "reason": "it helps more"}
        request = api(server, BOB, "POST", "/promotions", ask).json()["request"]["id"]
        yes = {"verdict": "seconded", "reason": "I looked"}
        assert api(server, DAN, "POST", f"/requests/{request}/decisions", yes).status_code == 201
        until(lambda: in_force(server) == [("live", NEW.version)])
        decline(server, 1, "alice")
        until(lambda: outcomes(server) == ["running"])
        until(lambda: acted(server) == [NEW.version])

        begun = monotonic()
        back = api(server, CAT, "POST", "/rollbacks", {"name": "declined", "reason": "it is wrong"})
        assert back.status_code == 201
        until(lambda: outcomes(server) == ["cancelled"])
        carried_out = monotonic() - begun
        decline(server, 2, "bob")
        until(lambda: acted(server) == [NEW.version, OLD.version])
        decided = monotonic() - begun
        assert carried_out < WITHIN
        assert decided < WITHIN, f"{decided:.2f} s"
        print(f"rollback: ended after {carried_out:.2f} s, decided after {decided:.2f} s")  # noqa: T201

        assert in_force(server) == [("live", OLD.version)]
        leaving, returning = back.json()["transitions"]
        assert leaving["evidence"]["running"] == [
            {"policy": "declined", "version": NEW.version, "interventions": 1, "rule": "cancel"}
        ]
        assert (returning["version"], returning["after"]) == (OLD.version, "live")
        server.kill("worker")
        server.kill("app")
        decline(server, 3, "carol")
        until(lambda: acted(server)[-1:] == [OLD.version] and len(acted(server)) == 3)
        assert in_force(server) == [("live", OLD.version)]


def test_a_whole_set_is_staged_and_switched_at_once(tmp_path: Path) -> None:
    with managed(tmp_path) as server:
        with registry_of(server.data) as registry:
            bring(registry, NEWER, "draft", "validated", "backtested", "live", set_="green")
        before = in_force(server)
        asked = command(server, BOB, "switch", "green", "--reason", "the new set")
        assert "switch to green waits for a second person" in asked.stdout, asked.output
        (waiting,) = api(server, DAN, "GET", "/requests").json()["requests"]
        agreed = command(server, DAN, "second", str(waiting["id"]), "--reason", "yes")
        assert "The set green is in force in place of blue." in agreed.stdout
        until(lambda: in_force(server) == [("live", NEWER.version)])
        told = controls(server)
        place = next(
            index
            for index, one in enumerate(told)
            if isinstance(one, Transition) and one.artifact == "set"
        )
        applied = told[place + 1]
        assert isinstance(applied, PoliciesApplied)
        assert applied.received == told[place].received
        back = command(server, CAT, "switch", "blue", "--reason", "it was worse")
        assert back.exit_code == 0, back.output
        until(lambda: in_force(server) == before)


def test_what_was_in_force_stays_when_management_begins(tmp_path: Path) -> None:
    with running(tmp_path, {"declined.yaml": OLD.source}) as server:
        until(lambda: in_force(server) == [("live", OLD.version)])
        server.stop()
        server.config.write_text(server.config.read_text() + MANAGED)
        (server.policies / "declined.yaml").write_text(NEW.source)
        server.start()
        (adopted,) = until(lambda: [one for one in controls(server) if isinstance(one, Transition)])
        assert (adopted.version, adopted.after, adopted.by) == (OLD.version, "live", "files")
        assert adopted.why == "adopted when management began"
        decline(server, 1, "alice")
        until(lambda: acted(server) == [OLD.version])
        assert in_force(server) == [("live", OLD.version)]
