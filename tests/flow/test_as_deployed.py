"""The live policies over the live log differ in nothing from what was decided live."""

import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forestall.contracts.control import PoliciesApplied
from forestall.contracts.instants import MINUTE, format_time
from forestall.decide.history import deployed_controls
from forestall.kernel.clock import wall_clock
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import DECISIONS
from running import Server, cloud_event, running, until

KEYED = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: keyed, title: Help with an order whose card is declined}
spec:
  features:
    declines: {count: payment.declined, over: 1h}
    amounts: {sum: event.data.amount, of: payment.declined, over: 1h, by: event.data.order}
    last_error: {last: event.data.code, of: page.failed}
  when:
    sequence:
      - {event: payment.declined, times: 2}
      - {not: payment.succeeded, for: 1s}
    within: 10m
    by: event.data.order
  if: "features.declines < 50 && (!has(subject.plan) || subject.plan != 'internal')"
  cooldown: 0s
  playbook: [{guide: {text: "Try another card", channel: inapp}}]
"""
FAILED = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: failed, title: Say sorry for a broken page}
spec:
  when: {event: page.failed, where: "event.data.code >= 500"}
  priority: 60
  cooldown: 1h
  holdout: 0.2
  playbook: [{guide: {text: "Sorry", channel: inapp}}]
"""
SETTINGS = """
[decide]
holdout = 0.2
salt = "as-deployed"
spacing = "1s"
budget = 4
"""
CUSTOMERS = 24
ANONYMOUS = "visitor"


class Traffic:
    """Events of many customers: keys, repeats, late ones, and customers' control events."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def round(self, number: int) -> Iterator[dict[str, Any]]:
        """Every customer's events of one round, each customer doing something else."""
        for customer in range(CUSTOMERS):
            name = f"customer-{customer}"
            yield from self._declines(name, customer, number)
            yield self._event("page.failed", name, {"code": 498 + (customer + number) % 4})
            control = self._control(customer, number)
            if control is not None:
                yield self._event(control[0], name, control[1])
        yield self._late("customer-3")
        yield self._event("page.failed", None, {"code": 500}, anonymousid=f"{ANONYMOUS}-{number}")
        yield self._event(
            "forestall.identify",
            f"customer-{number}",
            {"traits": {"plan": "free"}},
            anonymousid=f"{ANONYMOUS}-{number}",
        )

    def _declines(self, name: str, customer: int, number: int) -> Iterator[dict[str, Any]]:
        orders: list[Any] = [f"o{number}", customer % 3, None, 1.5]
        for order in orders[: 1 + customer % 4]:
            for _ in range(2):
                amount = (0.1 + customer) * (number + 1)
                declined = self._event("payment.declined", name, {"order": order, "amount": amount})
                yield declined
            if customer % 5 == 0:
                yield declined
            if customer % 7 == 0:
                yield self._event("payment.succeeded", name, {"order": order})

    def _control(self, customer: int, number: int) -> tuple[str, dict[str, Any]] | None:
        controls: dict[int, tuple[str, dict[str, Any]]] = {
            1: ("forestall.identify", {"traits": {"plan": ("pro", "internal")[number % 2]}}),
            2: (("forestall.optout", "forestall.optin")[number % 2], {}),
            4: ("forestall.intervention.dismissed", {"policy": "failed"}),
            5: (
                f"forestall.ticket.{('opened', 'closed')[number % 2]}",
                {"ticket": "t-1"},
            ),
            6: ("forestall.consent.granted", {"purpose": "support"}),
            8: ("forestall.intervention.helped", {"policy": "failed"}),
        }
        return controls.get(customer % 9)

    def _late(self, name: str) -> dict[str, Any]:
        long_ago = format_time(wall_clock() - 10 * MINUTE)
        return self._event("page.failed", name, {"code": 500}, time=long_ago)

    def _event(
        self, event_type: str, name: str | None, data: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        made = cloud_event(next(self._numbers), event_type, name or "", data=data, **more)
        if name is None:
            del made["subject"]
        return made


def live(server: Server) -> dict[str, list[bytes]]:
    """The decisions in the log, as they lie there, in order for each customer."""
    found = defaultdict(list)
    log = SqliteLog(server.data / "worker.db", read_only=True)
    try:
        for batch in log.follow(DECISIONS):
            entries = msgspec.json.decode(
                batch.payload, type=list[tuple[int, int, int, msgspec.Raw]]
            )
            for *_, raw in entries:
                found[json.loads(bytes(raw))["subject"]].append(bytes(raw))
    finally:
        log.close()
    return dict(found)


def again(server: Server) -> dict[str, list[bytes]]:
    """The same from a backtest, as it writes them."""
    out = server.folder / "again.ndjson"
    ran = server.run("backtest", str(server.data), "--as-deployed", "--out", str(out))
    assert ran.returncode == 0, ran.stderr
    found = defaultdict(list)
    for line in out.read_bytes().splitlines():
        found[json.loads(line)["subject"]].append(line)
    return dict(found)


@pytest.mark.timeout(180)
def test_a_backtest_of_the_deployed_repeats_every_decision_byte_for_byte(tmp_path: Path) -> None:
    policies = {"keyed.yaml": KEYED, "failed.yaml": FAILED}
    traffic = Traffic()
    verdicts: list[str] = []

    def send(number: int) -> None:
        events = list(traffic.round(number))
        for start in range(0, len(events), 17):
            answer = server.send(events[start : start + 17])
            assert answer.status_code == 202, answer.text
            verdicts.extend(one["verdict"] for one in answer.json()["verdicts"])

    with running(tmp_path, policies, SETTINGS) as server:
        send(0)
        send(1)
        until(lambda: _deadlines(server) > 0)
        (server.policies / "failed.yaml").write_text(FAILED.replace(">= 500", ">= 499"))
        until(lambda: _versions(server) == 3)
        send(2)
        server.kill("worker")
        send(3)
        until(server.settled)
        assert server.stop() == 0
        server.start()
        send(4)
        until(server.settled)
        until(lambda: _deadlines(server) > CUSTOMERS)
        assert server.stop() == 0
        decided = live(server)
        repeated = again(server)

    assert repeated == decided
    every = [json.loads(line) for lines in decided.values() for line in lines]
    assert {one["outcome"] for one in every} == {"intervene", "suppress", "holdout"}
    reasons = {one["reason"] for one in every}
    assert reasons >= {"opted_out", "in_conversation", "cooldown", "outranked"}
    assert reasons & {"budget", "spacing"}
    assert {'"o0"', "1.5", "2"} <= {one["key"] for one in every}
    assert any(one["features"].get("amounts") for one in every)
    assert len({one["version"] for one in every}) == 3
    assert set(verdicts) == {"accepted", "duplicate", "late"}
    stats = json.loads(server.run("backtest", str(server.data), "--as-deployed", "--json").stdout)
    assert stats["late"] >= 5


def _deadlines(server: Server) -> int:
    return sum(b'"policy":"keyed"' in one for lines in live(server).values() for one in lines)


def _versions(server: Server) -> int:
    """How many versions of policies were ever in force."""
    return len(
        {
            policy.version
            for control in deployed_controls(server.data)
            if isinstance(control, PoliciesApplied)
            for policy in control.policies
        }
    )
