"""People and the whole server: through the gateway, over three processes, and after a crash."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from running import Server, cloud_event, running
from running import until as wait

ANN, CAT = "ann-0123456789abcdefghij", "cat-0123456789abcdefghij"
PEOPLE = f"""
[people.ann]
token = "{ANN}"
roles = ["approver"]
[people.cat]
token = "{CAT}"
roles = ["operator"]
"""
RISKY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: risky, title: Risky advice, owner: payments}
spec:
  risk: high
  when: {event: payment.declined}
  playbook:
    - guide: {text: "Please pay by transfer.", channel: inapp}
    - await: {event: payment.succeeded, for: 10m, then: resolved}
"""


def until(holds: Callable[[], Any]) -> Any:
    """Commands are processes of their own, which takes a while on a busy machine."""
    return wait(holds, 120)


def forestall(server: Server, token: str, *words: str) -> Any:
    """What a command prints as JSON."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORESTALL_TOKEN", token)
        ended = server.run(*words)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout) if "--json" in words else ended.stdout


def api(server: Server, token: str, method: str, path: str, body: Any = None) -> Any:
    """What the API answers through the gateway, once the app process is up."""

    def answered() -> Any:
        headers = {"authorization": f"Bearer {token}"}
        found = server.client.request(method, path, json=body, headers=headers, auth=None)
        return found if found.status_code != 503 else None

    return until(answered)


def taken(server: Server, intervention: str) -> list[str]:
    found = server.run("interventions", "show", intervention, "--json")
    assert found.returncode == 0, found.stderr
    return [one["what"] for one in json.loads(found.stdout)["taken"]]


def test_a_person_approves_through_the_whole_server(tmp_path: Path) -> None:
    with running(tmp_path, {"risky.yaml": RISKY}, PEOPLE) as server:
        assert api(server, "wrong-0123456789abcdefgh", "GET", "/v1/approvals").status_code == 401
        assert api(server, CAT, "GET", "/v1/approvals").json() == {"approvals": []}
        server.send([cloud_event(1, "payment.declined", "u1", data={})])
        (asked,) = until(lambda: api(server, ANN, "GET", "/v1/approvals").json()["approvals"])
        refused = api(
            server,
            CAT,
            "POST",
            f"/v1/approvals/{asked['id']}/decisions",
            {"verdict": "approved", "reason": "no role"},
        )
        assert (refused.status_code, refused.json()["code"]) == (403, "role-missing")
        server.kill("app")
        assert api(server, ANN, "GET", "/v1/approvals").json()["approvals"][0]["id"] == asked["id"]
        forestall(server, ANN, "approval", "approve", asked["id"], "--reason", "looks right")
        until(lambda: "approved" in taken(server, asked["intervention"]))
        receipt, key = tmp_path / "receipt.json", tmp_path / "key.pem"
        receipt.write_text(forestall(server, ANN, "approval", "receipt", asked["id"]))
        key.write_text(forestall(server, ANN, "approval", "key"))
    verified = server.run("approval", "verify", str(receipt), "--key", str(key), "--json")
    statement = json.loads(verified.stdout)
    assert (statement["outcome"], statement["people"][0]["name"]) == ("approved", "ann")
    mode = (server.data / "receipts.key").stat().st_mode & 0o777
    assert mode == 0o600
    for secret in (ANN, CAT):
        assert secret not in server.log.read_text()


def test_an_operator_pauses_stops_and_is_recorded(tmp_path: Path) -> None:
    policy = RISKY.replace("  risk: high\n", "")
    with running(tmp_path, {"plain.yaml": policy}, PEOPLE) as server:
        server.send([cloud_event(1, "payment.declined", "u1", data={})])

        def newest() -> Any:
            listed = server.run("interventions", "list", "--json")
            return json.loads(listed.stdout) if listed.returncode == 0 else None

        (one,) = until(newest)
        forestall(server, CAT, "pause", "--policy", "risky", "--reason", "a wrong price")
        (pause,) = forestall(server, CAT, "pauses", "--json")
        assert (pause["scope"], pause["what"], pause["by"]) == ("policy", "risky", "cat")
        forestall(server, CAT, "interventions", "stop", one["id"][:12], "--reason", "they called")
        until(lambda: newest()[0]["outcome"] == "cancelled")
        assert "commanded" in taken(server, one["id"])
        found = forestall(server, ANN, "records", "--json")
        assert [(entry["who"], entry["what"], entry["why"]) for entry in found] == [
            ("cat", "intervention.stop", "they called"),
            ("cat", "pause.started", "a wrong price"),
        ]
        late = api(
            server,
            CAT,
            "POST",
            f"/v1/interventions/{one['id']}/commands",
            {"command": "stop", "reason": "again"},
        )
        assert (late.status_code, late.json()["code"]) == (409, "too-late")
