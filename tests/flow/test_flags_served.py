"""Flags on a real server: set by files or by people, seen within seconds, and in the control stream."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from forestall.contracts.control import FlagsApplied, Transition
from forestall.measure.reading import Folder
from forestall.policy.flags import in_force
from running import Server, running, until

PAT, AMY = (f"{name}-0123456789abcdefghij" for name in ("pat", "amy"))
MANAGED = f"""
[lifecycle]
managed = true
[people.pat]
token = "{PAT}"
roles = ["author", "publisher"]
[people.amy]
token = "{AMY}"
roles = ["author"]
"""
POLICY = """apiVersion: forestall/v1
kind: Policy
metadata: {name: failed, title: Help, owner: care}
spec:
  when: {event: payment.failed}
  playbook: [{guide: {text: "Shall we help?", channel: inapp}}]
"""


def asked(server: Server, path: str, body: Any, token: str = PAT) -> httpx.Response:
    return httpx.post(
        f"{server.client.base_url}{path}",
        json=body,
        headers={"authorization": f"Bearer {token}"},
        timeout=30,
    )


def set_flag(server: Server, name: str, value: Any, token: str = PAT) -> httpx.Response:
    body = {"name": name, "value": value, "reason": "we try it"}
    return asked(server, "/v1/flags", body, token)


def console(server: Server) -> tuple[int, str | None]:
    """How the console answers, and with which code of a problem."""
    answer = server.client.get("/console/overview.json")
    return answer.status_code, answer.json().get("code")


def controls(server: Server) -> list[Any]:
    folder = Folder(server.data)
    try:
        return list(folder.controls())
    finally:
        folder.close()


def flags(server: Server) -> dict[str, Any]:
    return {one.name: one.value for one in in_force(controls(server))}


@pytest.mark.timeout(180)
def test_people_set_flags_of_a_managed_server(tmp_path: Path) -> None:
    with running(tmp_path, {}, MANAGED) as server:
        made = set_flag(server, "console", False)
        assert made.status_code == 201, made.text
        steps = [(one["before"], one["after"], one["by"]) for one in made.json()["transitions"]]
        assert steps == [
            ("", "draft", "pat"),
            ("draft", "validated", "pat"),
            ("validated", "live", "pat"),
        ]
        until(lambda: console(server) == (503, "switched-off"), 60)
        assert set_flag(server, "console", False).status_code == 200
        assert set_flag(server, "colour", "blue").status_code == 201
        assert set_flag(server, "console", True).status_code == 201
        until(lambda: console(server)[0] == 200, 60)
        assert set_flag(server, "console", False).status_code == 201
        until(lambda: console(server)[0] == 503, 60)
        until(lambda: flags(server) == {"colour": "blue", "console": False}, 60)
        gone = {"name": "console", "kind": "flag", "reason": "no longer needed"}
        assert asked(server, "/v1/lifecycle/retirements", gone).status_code == 201
        until(lambda: console(server)[0] == 200, 60)
        until(lambda: flags(server) == {"colour": "blue"}, 60)
        told = controls(server)
        (colour,) = in_force(told)
        assert (colour.by, colour.why) == ("pat", "we try it")
        assert any(isinstance(one, FlagsApplied) for one in told)
        moved = [one for one in told if isinstance(one, Transition) and one.name == "console"]
        assert [one.after for one in moved].count("live") == 3
        refused(server)
        restarted(server)


def refused(server: Server) -> None:
    """Whoever may not, or wants what cannot be, changes nothing."""
    before = len(controls(server))
    for answer, status, code in (
        (set_flag(server, "colour", "red", AMY), 403, "role-missing"),
        (set_flag(server, "colour", "red", "nobody-0123456789abcdef"), 401, "unknown-person"),
        (set_flag(server, "Colour", "red"), 422, "wrong-flag"),
        (set_flag(server, "console", "off"), 422, "wrong-flag"),
        (set_flag(server, "colour", ["red"]), 400, "invalid-json"),
        (
            asked(server, "/v1/flags", {"name": "a", "value": 1, "reason": ""}),
            422,
            "reason-missing",
        ),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert flags(server) == {"colour": "blue"}
    assert len(controls(server)) == before


def restarted(server: Server) -> None:
    """A server that starts again knows the flags from the control stream; so does a command."""
    assert set_flag(server, "console", False).status_code == 201
    until(lambda: flags(server).get("console") is False, 60)
    server.kill("app")
    until(lambda: _down_or(server) == 503, 60)
    ended = server.run("flag", "list", "--json")
    assert [(one["name"], one["value"], one["by"]) for one in json.loads(ended.stdout)] == [
        ("colour", "blue", "pat"),
        ("console", False, "pat"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORESTALL_TOKEN", PAT)
        made = server.run("flag", "set", "console", "true", "--reason", "seen enough")
        assert made.stdout == "console is true.\n", made.stderr
        until(lambda: console(server)[0] == 200, 60)
        again = server.run("flag", "set", "console", "true", "--reason", "seen enough")
        assert again.stdout == "console is true already.\n"
        gone = server.run("flag", "unset", "colour", "--reason", "no colour")
        assert gone.stdout == "colour is not set any more.\n", gone.stderr
    until(lambda: flags(server) == {"console": True}, 60)


def _down_or(server: Server) -> int | None:
    """The status of the console once the app process is up again."""
    answer = server.client.get("/console/overview.json")
    return answer.status_code if answer.json().get("code") == "switched-off" else None


@pytest.mark.timeout(120)
def test_files_set_flags_as_they_are_saved(tmp_path: Path) -> None:
    with running(tmp_path, {"failed.yaml": POLICY}) as server:
        plain = server.config.read_text()
        server.config.write_text(plain + "[flags.values]\nconsole = false\nlimit = 3\n")
        until(lambda: console(server) == (503, "switched-off"), 60)
        (told,) = [one for one in controls(server) if isinstance(one, FlagsApplied)]
        assert (told.flags, told.by, told.why) == (
            {"console": False, "limit": 3},
            "files",
            "flags changed",
        )
        answer = set_flag(server, "limit", 4)
        assert answer.status_code == 401
        server.config.write_text(plain)
        until(lambda: console(server)[0] == 200, 60)
        until(lambda: flags(server) == {}, 60)
        listed = server.run("flag", "list", "--history", "--json")
        assert [
            (one["name"], one["before"], one["value"]) for one in json.loads(listed.stdout)
        ] == [
            ("console", None, False),
            ("limit", None, 3),
            ("console", False, None),
            ("limit", 3, None),
        ]
        words = server.run("flag", "list").stdout
        assert "No flag is set." in words
        assert "console is not set, so true holds." in words
