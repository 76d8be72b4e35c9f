"""Pages that decide themselves, and a whole server that hears of it."""

import json
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from forestall.contracts.instants import HOUR, SECOND, format_time, parse_time
from forestall.kernel.clock import monotonic, wall_clock
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import DECISIONS
from forestall.policy.edge_key import SignatureInvalid, read_signed
from running import SECRET, Server, cloud_event, running, until

POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {{name: {name}, title: Help who is lost, owner: web}}
spec:
  edge: true
  when: {{event: {name}.viewed}}
  cooldown: 1h
  holdout: {holdout}
  playbook: [{{guide: {{text: "Lost?", channel: inapp}}}}]
"""
SETTINGS = """
[decide]
salt = "edge"
spacing = "0s"
budget = 3
"""
BATCH = {"content-type": "application/cloudevents-batch+json"}


class Page:
    """A page of one customer: what it is given, and what it tells; ``public`` is the key it pins."""

    def __init__(self, server: Server, customer: str, public: str | None = None) -> None:
        self.server, self.customer = server, customer
        self.token = jwt.encode(
            {"sub": customer, "exp": wall_clock() // SECOND + 600}, SECRET, "HS256"
        )
        self.public = (
            public or server.run("edge", "key", "--config", str(server.config)).stdout[:-1]
        )
        self.numbers = count(1)

    def event(self, kind: str, at: int, data: dict[str, Any] | None = None) -> dict[str, Any]:
        more = {} if data is None else {"data": data}
        event = cloud_event(next(self.numbers), kind, self.customer, time=format_time(at), **more)
        return event | {"source": f"/web/{self.customer}"}

    def tell(self, *events: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
        """Send with the page's own key; the verdicts."""
        given = BATCH | {"forestall-subject-token": self.token} | headers
        answer = self.server.client.post(
            "/v1/events", json=list(events), headers=given, auth=("browser-key", "")
        )
        assert answer.status_code == 202, answer.text
        verdicts: list[dict[str, Any]] = answer.json()["verdicts"]
        return verdicts

    def decides(self, policy: dict[str, Any], at: int, **more: Any) -> list[dict[str, Any]]:
        """The event on which it decides, and what it tells before it."""
        seen = self.event(f"{policy['name']}.viewed", at)
        data = {
            "policy": policy["name"],
            "version": policy["version"],
            "at": at,
            "outcome": "intervene",
            "matched": [[seen["source"], seen["id"]]],
        }
        return [self.event("forestall.edge.decided", at, data | more), seen]

    def bundle(self) -> dict[str, Any]:
        """Its policies by name, once all are in force, and so it does not change any more."""

        def settled() -> httpx.Response | None:
            answer = httpx.get(f"{self.server.client.base_url}/v1/edge/bundle")
            known = {"if-none-match": answer.headers.get("etag", "")}
            return answer if httpx.get(answer.url, headers=known).status_code == 304 else None

        answer = until(settled)
        said = read_signed(answer.text, "forestall-edge-bundle", self.public)
        return {one["name"]: one for one in said["policies"]}

    def ask(self) -> httpx.Response:
        given = {"authorization": f"Bearer {self.token}", "origin": "https://shop.example"}
        return httpx.get(f"{self.server.client.base_url}/v1/edge/pass", headers=given)

    def given(self) -> dict[str, Any]:
        """Its pass."""
        answer = until(lambda: _good(self.ask()))
        return read_signed(answer.text, "forestall-edge-pass", self.public)


def _good(answer: httpx.Response) -> httpx.Response | None:
    return answer if answer.status_code == 200 else None


def decided(server: Server) -> list[dict[str, Any]]:
    """Every decision, in order."""
    log = SqliteLog(server.data / "worker.db", read_only=True)
    try:
        batches = [json.loads(batch.payload) for batch in log.follow(DECISIONS)]
        return [entry[3] for batch in batches for entry in batch]
    finally:
        log.close()


def fates(server: Server) -> list[tuple[str, str, bool]]:
    """Policy, reason or outcome, and whether a page decided it."""
    return [
        (one["policy"], one["reason"] or one["outcome"], "edge" in one) for one in decided(server)
    ]


@pytest.mark.timeout(120)
def test_a_page_decides_and_the_server_counts_it_and_does_not_say_it_again(tmp_path: Path) -> None:
    policies = {f"{name}.yaml": POLICY.format(name=name, holdout=0) for name in ("cart", "search")}
    with running(tmp_path, policies, SETTINGS) as server:
        page = Page(server, "ann")
        offered = page.bundle()
        assert page.ask().status_code == 204, "no event of theirs has come yet"
        now = wall_clock()
        page.tell(page.event("page.opened", now))
        assert page.given()["acts"] == []
        verdicts = page.tell(*page.decides(offered["cart"], wall_clock()))
        assert [one["verdict"] for one in verdicts] == ["accepted", "accepted"]
        until(lambda: len(decided(server)) == 2)
        assert fates(server) == [("cart", "intervene", True), ("cart", "cooldown", False)]
        until(server.settled)
        assert server.client.get("/console/overview.json").json()["settled"]
        assert json.loads(server.run("interventions", "list", "--json").stdout) == []
        (act,) = until(lambda: page.given()["acts"])
        assert act[::2] == ["cart", "guidance"]

        explained = server.run("explain", "--subject", "ann", "--policy", "cart", "--json")
        said = json.loads(explained.stdout)
        assert (said["answer"], said["decision"]["edge"]) == ("yes", True)

        _only_with_their_own_token(page, offered["search"])
        _killed_within_seconds(server, page)

        assert server.stop() == 0
        live = {json.dumps(one) for one in decided(server)}
        out = server.folder / "again.ndjson"
        again = server.run("backtest", str(server.data), "--as-deployed", "--out", str(out))
        assert again.returncode == 0, again.stderr
        repeated = [json.dumps(json.loads(line)) for line in out.read_text().splitlines()]
        assert sorted(live) == sorted(repeated)


def _only_with_their_own_token(page: Page, policy: dict[str, Any]) -> None:
    """Nobody tells what somebody else's page decided, nor what no page may decide."""
    told, _ = page.decides(policy, wall_clock())
    other = jwt.encode({"sub": "bob", "exp": wall_clock() // SECOND + 600}, SECRET, "HS256")
    (theirs,) = page.tell(told, **{"forestall-subject-token": other})
    assert theirs["code"] == "subject-token-mismatch"
    expired = jwt.encode({"sub": "ann", "exp": wall_clock() // SECOND - 60}, SECRET, "HS256")
    (late,) = page.tell(told, **{"forestall-subject-token": expired})
    assert late["code"] == "subject-token-invalid"
    (wrong,) = page.tell({**told, "id": "x", "data": {**told["data"], "outcome": "suppress"}})
    assert (wrong["code"], wrong["path"]) == ("invalid-data", "/data/outcome")
    refused = httpx.get(
        f"{page.server.client.base_url}/v1/edge/pass",
        headers={"authorization": f"Bearer {expired}"},
    )
    assert (refused.status_code, refused.json()["code"]) == (401, "token-expired")
    text = page.ask().text
    with pytest.raises(SignatureInvalid):
        read_signed(text.replace(".", ".e30", 1), "forestall-edge-pass", page.public)


def _killed_within_seconds(server: Server, page: Page) -> None:
    until(lambda: set(page.bundle()) == {"cart", "search"})
    began = monotonic()
    server.config.write_text(server.config.read_text() + '\n[switches]\noff = ["cart"]\n')
    until(lambda: set(page.bundle()) == {"search"})
    assert monotonic() - began < 30
    shown = server.run("edge", "bundle", "--config", str(server.config))
    assert shown.returncode == 0
    assert "cart: it is switched off" in shown.stdout


@pytest.mark.timeout(120)
def test_a_customer_kept_aside_has_a_pass_that_holds_back(tmp_path: Path) -> None:
    """What the page tells of it counts once, and is the arm that the server would have chosen."""
    policies = {"cart.yaml": POLICY.format(name="cart", holdout=1.0)}
    with running(tmp_path, policies, SETTINGS) as server:
        page = Page(server, "ann")
        policy = page.bundle()["cart"]
        page.tell(page.event("page.opened", wall_clock()))
        assert page.given()["holdout"] == {"global": False, "policies": {"cart": True}}
        kept = {"outcome": "holdout", "reason": "policy_holdout"}
        page.tell(*page.decides(policy, wall_clock(), **kept))
        until(lambda: len(decided(server)) == 2)
        assert fates(server) == [("cart", "policy_holdout", True), ("cart", "cooldown", False)]
        until(lambda: page.given()["acts"])
        assert [act[2] for act in page.given()["acts"]] == [""]


@pytest.mark.timeout(120)
def test_a_device_that_was_offline_tells_later_and_it_still_counts(tmp_path: Path) -> None:
    """Its event is too late to be decided on; what the page did is not too late to count."""
    policies = {"cart.yaml": POLICY.format(name="cart", holdout=0)}
    with running(tmp_path, policies, SETTINGS.replace("budget = 3", "budget = 1")) as server:
        page = Page(server, "ann")
        policy = page.bundle()["cart"]
        then = wall_clock() - 3 * HOUR
        verdicts = page.tell(*page.decides(policy, then))
        assert [one["verdict"] for one in verdicts] == ["accepted", "late"]
        page.tell(page.event("cart.viewed", wall_clock()))
        until(lambda: len(decided(server)) == 2)
        assert fates(server) == [("cart", "intervene", True), ("cart", "budget", False)]
        assert parse_time(decided(server)[0]["at"]) == then
