"""The operators' API: who may ask what, and how each refusal is told."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from flow.intervening import event
from flow.staffed import ANN, BOB, CAT, DAN, EVE, Staffed
from forestall.console.api import LARGEST, ROUTES, STATUS, Api
from forestall.intervene.approvals import digest
from forestall.intervene.receipts import read_public, verify
from forestall.kernel.database.tables import TROUBLE

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "http-api.md"
WHY = {"reason": "I looked"}


class Client:
    """Asks the API, as somebody."""

    def __init__(self, folder: Path) -> None:
        self.staffed = Staffed(folder)
        self.api = Api(self.staffed.office)

    def ask(
        self, method: str, path: str, body: Any = None, token: str | None = ANN, **more: Any
    ) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.api)
            headers = {} if token is None else {"authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                if isinstance(body, bytes):
                    return await client.request(method, path, content=body, headers=headers, **more)
                return await client.request(method, path, json=body, headers=headers, **more)

        return asyncio.run(once())

    def get(self, path: str, token: str | None = ANN) -> Any:
        answer = self.ask("GET", path, token=token)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, method: str, path: str, body: Any = None, token: str | None = ANN) -> Any:
        answer = self.ask(method, path, body, token)
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == answer.status_code
        return problem["status"], problem["code"]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


def filled(path: str) -> str:
    return path.replace("{id}", "f" * 32)


@pytest.mark.parametrize(("method", "path"), [(one, two) for one, two, _ in ROUTES])
def test_without_a_good_token_there_is_nothing(client: Client, method: str, path: str) -> None:
    for token in (None, "", "wrong", ANN + "x"):
        assert client.refused(method, filled(path), token=token) == (401, "unknown-person")
    answer = client.ask(method, filled(path), token=None)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert ANN not in answer.text
    basic = client.ask(method, filled(path), token=None, auth=(ANN, ""))
    assert basic.status_code == 401


CHANGES = [
    ("/v1/approvals/{id}/decisions", {"verdict": "approved", **WHY}, CAT, False),
    ("/v1/grants", {"action": "a", "budget": 1, "for": "1h", **WHY}, CAT, True),
    ("/v1/grants/{id}/revocation", WHY, CAT, True),
    ("/v1/pauses", {"scope": "everything", **WHY}, ANN, True),
    ("/v1/pauses/{id}/end", WHY, ANN, True),
    ("/v1/interventions/{id}/commands", {"command": "stop", **WHY}, ANN, True),
    ("/v1/reviews/samples", {"share": 0.5, "seed": "s"}, ANN, True),
    ("/v1/reviews/{id}/verdict", {"accepted": True, **WHY}, ANN, True),
]


@pytest.mark.parametrize(("path", "body", "token", "first"), CHANGES)
def test_every_change_takes_its_role(
    client: Client, path: str, body: Any, token: str, first: bool
) -> None:
    asked = client.staffed.ask()
    there = path.replace("{id}", asked.id) if not first else filled(path)
    assert client.refused("POST", there, body, token) == (403, "role-missing")
    assert client.refused("POST", there, body, EVE) == (403, "role-missing")
    assert client.staffed.noted() == []


def test_every_change_is_tried_above() -> None:
    assert {path for path, *_ in CHANGES} == {path for one, path, _ in ROUTES if one == "POST"}


@pytest.mark.parametrize(("path", "body", "_token", "_first"), CHANGES)
def test_every_change_is_strict_about_its_body(
    client: Client, path: str, body: Any, _token: str, _first: bool
) -> None:
    more = msgspec.json.encode({**body, "more": 1})
    for bad in (b"", b"{", b"[]", b"null", b"\xff", b"[" * 5000, more):
        assert client.refused("POST", filled(path), bad, BOB) == (400, "invalid-json")
    assert client.refused("POST", filled(path), b" " * (LARGEST + 1), BOB)[0] == 413
    assert client.staffed.noted() == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/approvals/{id}/decisions", {"verdict": "maybe", **WHY}),
        ("/v1/grants", {"action": "", "budget": 1, "for": "1h", **WHY}),
        ("/v1/grants", {"action": "a", "budget": 0, "for": "1h", **WHY}),
        ("/v1/grants", {"action": "a", "budget": 1, "for": "soon", **WHY}),
        ("/v1/grants", {"action": "a", "budget": 1, "for": "1h", "limits": {"x": "1"}, **WHY}),
        ("/v1/pauses", {"scope": "customer", **WHY}),
        ("/v1/pauses", {"scope": "everything", "what": "x", **WHY}),
        ("/v1/pauses", {"scope": "planet", "what": "x", **WHY}),
        ("/v1/pauses", {"scope": "policy", "what": "x", "for": "1y", **WHY}),
        ("/v1/interventions/{id}/commands", {"command": "explode", **WHY}),
        ("/v1/interventions/{id}/commands", {"command": "force", "undo": True, **WHY}),
        ("/v1/reviews/samples", {"share": 0, "seed": "s"}),
        ("/v1/reviews/samples", {"share": 1.1, "seed": "s"}),
        ("/v1/reviews/samples", {"share": 0.1, "seed": ""}),
    ],
)
def test_what_does_not_fit_is_refused(client: Client, path: str, body: Any) -> None:
    for token in (BOB, DAN):
        assert client.refused("POST", filled(path), body, token) == (400, "invalid-json")
    assert client.staffed.noted() == []


def test_what_no_database_takes_is_refused(client: Client) -> None:
    for path, body in (
        ("/v1/pauses", {"scope": "customer", "what": "a\x00b", **WHY}),
        ("/v1/pauses", {"scope": "everything", "reason": "a\x00b"}),
        (filled("/v1/interventions/{id}/commands"), {"command": "stop", "reason": "a\x00b"}),
    ):
        assert client.refused("POST", path, body, BOB) == (400, "nul-byte")
    assert client.refused("GET", "/v1/records?about=a%00b") == (400, "nul-byte")
    assert client.get("/v1/pauses") == {"pauses": []}


def test_what_is_not_there_is_404(client: Client) -> None:
    for path, body, _, _ in CHANGES:
        if "{id}" in path:
            token = DAN if "reviews" in path else BOB
            assert client.refused("POST", filled(path), body, token) == (404, "not-there")
    for path in ("/v1/approvals/{id}", "/v1/approvals/{id}/receipt"):
        assert client.refused("GET", filled(path)) == (404, "not-there")
    for path in ("/v1/approvals/a/b/c", "/v1/approvals/", "/v1/grants/x", "/v1/approvals/a b"):
        assert client.refused("GET", path) == (404, "not-found")


def test_another_method_is_405(client: Client) -> None:
    answer = client.ask("DELETE", "/v1/pauses")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert client.refused("GET", "/v1/reviews/samples") == (405, "method-not-allowed")


def test_a_change_needs_a_reason(client: Client) -> None:
    asked = client.staffed.ask()
    for reason in ("", "   ", "x" * 201):
        body = {"verdict": "approved", "reason": reason}
        there = f"/v1/approvals/{asked.id}/decisions"
        assert client.refused("POST", there, body) == (422, "reason-missing")


def test_an_approval_from_the_list_to_the_receipt(client: Client) -> None:
    asked = client.staffed.ask("s1", "s2")
    listed = client.get("/v1/approvals")["approvals"]
    assert {one["id"] for one in listed} == {one.id for one in client.staffed.asked()}
    assert listed[0]["missing"] == 1
    shown = client.get(f"/v1/approvals/{asked.id}")
    assert shown["waiting"] == 2
    assert shown["evidence"]["dry_run"]["evidence"] == {"would": "charge 20"}
    assert shown["evidence"]["alternatives"]
    assert shown["asked"].startswith("2023-11-14T22:13:")
    there = f"/v1/approvals/{asked.id}/decisions"
    body = {"verdict": "approved", "reason": "I looked"}
    answer = client.ask("POST", there, body)
    assert (answer.status_code, answer.json()["status"]) == (201, "approved")
    assert answer.json()["said"][0]["who"] == "ann"
    assert answer.headers["cache-control"] == "no-store"
    assert client.refused("POST", there, body) == (409, "too-late")
    receipt = client.ask("GET", f"/v1/approvals/{asked.id}/receipt").content
    key = client.ask("GET", "/v1/approvals/key")
    assert key.headers["content-type"] == "application/x-pem-file"
    statement = verify(receipt, read_public(key.content))
    assert statement["people"][0]["reason"] == "I looked"
    assert statement["evidence_hash"] == digest(shown["evidence"])
    assert statement["arguments_hash"] == digest(shown["arguments"])


def test_the_list_is_by_status(client: Client) -> None:
    asked = client.staffed.ask("s1", "s2")
    client.ask(
        "POST", f"/v1/approvals/{asked.id}/decisions", {"verdict": "declined", "reason": "no"}
    )
    assert len(client.get("/v1/approvals?status=open")["approvals"]) == 1
    assert [one["id"] for one in client.get("/v1/approvals?status=declined")["approvals"]] == [
        asked.id
    ]
    assert len(client.get("/v1/approvals?status=all")["approvals"]) == 2
    assert client.refused("GET", "/v1/approvals?status=odd") == (400, "invalid-query")


def test_nobody_approves_their_own(client: Client) -> None:
    asked = client.staffed.ask()
    there = f"/v1/interventions/{asked.intervention}/commands"
    body = {"command": "repeat", "reason": "again"}
    assert client.ask("POST", there, body, BOB).status_code == 202
    client.staffed.come_back()
    client.staffed.tend()
    there = f"/v1/approvals/{asked.id}/decisions"
    body = {"verdict": "approved", "reason": "mine"}
    assert client.refused("POST", there, body, BOB) == (403, "own-request")


def test_a_grant_from_giving_to_revoking(client: Client) -> None:
    body = {"action": "retry-charge", "budget": 2, "for": "2h", "limits": {"amount": 20}}
    given = client.ask("POST", "/v1/grants", {**body, **WHY}).json()
    assert (given["by"], given["used"], given["revoked"]) == ("ann", 0, None)
    assert client.staffed.ask().status == "approved"
    (listed,) = client.get("/v1/grants")["grants"]
    assert (listed["id"], listed["used"]) == (given["id"], 1)
    over = client.ask("POST", f"/v1/grants/{given['id']}/revocation", WHY)
    assert over.status_code == 201
    assert over.json()["revoked"] is not None
    assert client.refused("POST", f"/v1/grants/{given['id']}/revocation", WHY)[0] == 409


def test_a_pause_from_beginning_to_end(client: Client) -> None:
    body = {"scope": "policy", "what": "charge", "for": "1h", **WHY}
    made = client.ask("POST", "/v1/pauses", body, CAT).json()
    assert (made["by"], made["what"], made["ended"]) == ("cat", "charge", None)
    assert made.pop("met") is False
    assert client.get("/v1/pauses")["pauses"] == [made]
    assert client.ask("POST", f"/v1/pauses/{made['id']}/end", WHY, CAT).status_code == 201
    assert client.refused("POST", f"/v1/pauses/{made['id']}/end", WHY, CAT) == (409, "too-late")
    assert client.get("/v1/pauses")["pauses"] == []
    assert len(client.get("/v1/pauses?past=true")["pauses"]) == 1
    records = client.get("/v1/records")["records"]
    assert [(one["who"], one["what"]) for one in records] == [
        ("cat", "pause.ended"),
        ("cat", "pause.started"),
    ]
    assert client.get(f"/v1/records?about={made['id'][:8]}&limit=1")["records"] == records[:1]
    assert client.refused("GET", "/v1/records?limit=x") == (400, "invalid-query")


def test_a_command_is_taken_and_is_too_late_after_the_end(client: Client) -> None:
    asked = client.staffed.ask()
    there = f"/v1/interventions/{asked.intervention}/commands"
    answer = client.ask("POST", there, {"command": "stop", "undo": True, **WHY}, CAT)
    assert (answer.status_code, answer.json()["command"]) == (202, "stop")
    client.staffed.come_back()
    assert client.refused("POST", there, {"command": "stop", **WHY}, CAT) == (409, "too-late")


def test_a_review_from_the_sample_to_the_numbers(client: Client) -> None:
    asked = client.staffed.ask()
    body = {"verdict": "approved", "reason": "fine"}
    client.ask("POST", f"/v1/approvals/{asked.id}/decisions", body)
    client.staffed.come_back()
    client.staffed.act()
    sampled = client.ask("POST", "/v1/reviews/samples", {"share": 1, "seed": "s"}, DAN)
    ((one),) = sampled.json()["reviews"]
    assert (one["action"], one["accepted"]) == ("retry-charge", None)
    verdict = {"accepted": False, "reason": "wrong card"}
    there = f"/v1/reviews/{one['id']}/verdict"
    assert client.ask("POST", there, verdict, DAN).json()["by"] == "dan"
    assert client.refused("POST", there, verdict, DAN) == (409, "too-late")
    shown = client.get("/v1/reviews")
    assert shown["numbers"] == [
        {"action": "retry-charge", "policy": "charge", "sampled": 1, "accepted": 0, "rejected": 1}
    ]
    assert client.get("/v1/reviews?state=open")["reviews"] == []
    assert len(client.get("/v1/reviews?state=judged")["reviews"]) == 1


def test_a_database_that_does_not_work_is_503(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise TROUBLE[0]("disk I/O error")

    monkeypatch.setattr(client.staffed.approving, "grants", broken)
    assert client.refused("GET", "/v1/grants") == (503, "not-ready")


def test_only_its_own_paths_are_served(client: Client) -> None:
    serves = client.api.serves
    assert all(serves(path) for _, path, _ in ROUTES)
    for path in ("/", "/v1", "/v1/", "/v1/events", "/v1/approvalsx", "/x/approvals", "/v1/stream"):
        assert not serves(path)


def test_who_is_not_there_is_no_customer(client: Client) -> None:
    client.staffed.settle(event("payment.failed", 1, payment="p", amount=1))
    assert client.get("/v1/approvals?status=preparing")["approvals"][0]["subject"] == "s1"


@pytest.mark.parametrize("word", [*(error.code for error in STATUS), *(p for _, p, _ in ROUTES)])
def test_the_reference_names_it(word: str) -> None:
    assert re.search(rf"`{re.escape(word)}`", DOCS.read_text()), f"name {word} in {DOCS.name}"
