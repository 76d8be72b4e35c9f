"""A server with holdouts, events through it, and the report over its data folder, checked by hand."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forestall.contracts.event import Record
from forestall.contracts.instants import DAY, HOUR, SECOND, format_time, parse_time
from forestall.measure.assign import in_holdout
from forestall.measure.reading import Folder
from forestall.measure.trails import TICKET
from running import Server, cloud_event, running, until

POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: page-fails, title: Say sorry for a broken page}
spec:
  when: {event: page.failed}
  holdout: 0.4
  cooldown: 1d
  in_conversation: allow
  playbook: [{guide: {text: "Sorry", channel: inapp}}]
"""
SETTINGS = """
[ingest]
clock = "event"
[decide]
salt = "measured"
holdout = 0.1
"""
BEGIN = parse_time("2024-05-01T12:00:00Z")
CUSTOMERS = 600
WEEK = 7 * DAY


def story() -> Iterator[tuple[int, str, int, dict[str, Any]]]:
    """When, what and of whom: everybody's page fails, and every third customer writes twice."""
    for customer in range(CUSTOMERS):
        start = BEGIN + customer * 60 * SECOND
        yield start, "page.viewed", customer, {}
        yield start + SECOND, "page.failed", customer, {}
        if customer % 3 == 0:
            for hours in (5, 30, 200):
                said = {
                    "ticket": f"{customer}-{hours}",
                    "channel": "chat" if hours == 5 else "mail",
                }
                yield start + hours * HOUR, TICKET, customer, said
    yield BEGIN + 40 * DAY, "page.viewed", 0, {}


def send(server: Server) -> None:
    events = [
        cloud_event(number, kind, f"customer-{customer}", time=format_time(at), data=data)
        for number, (at, kind, customer, data) in enumerate(sorted(story(), key=lambda one: one[0]))
    ]
    for start in range(0, len(events), 200):
        assert server.send(events[start : start + 200]).status_code == 202
    until(lambda: server.overview()["events"]["accepted"] >= len(events) and server.settled())


class ByHand:
    """What the log of the server says of either arm, counted the plain way."""

    def __init__(self, data: Path) -> None:
        folder = Folder(data)
        self.entered: dict[str, tuple[int, str | None]] = {}
        self.tickets: dict[str, list[int]] = defaultdict(list)
        for one in folder.happenings():
            if isinstance(one, Record):
                if one.type == TICKET:
                    self.tickets[one.subject].append(one.time)
            elif one.decision.outcome != "suppress":
                decision = one.decision
                self.entered.setdefault(decision.subject, (one.noticed, decision.reason))
        folder.close()

    def arm(self, reason: str | None) -> list[tuple[str, int]]:
        """Who is in an arm of the policy's own experiment: not the global holdout; and when."""
        return [
            (who, at)
            for who, (at, why) in self.entered.items()
            if why == reason and not in_holdout("measured", who, 0.1)
        ]

    def rate(self, reason: str | None, first: int = 0, last: int = WEEK) -> float:
        """Tickets per 1,000 customers of an arm from ``first`` to ``last`` after entry."""
        arm = self.arm(reason)
        asked = [at + first < when <= at + last for who, at in arm for when in self.tickets[who]]
        return 1000 * sum(asked) / len(arm)

    def reasons(self) -> Counter[str | None]:
        return Counter(why for _, why in self.entered.values())


@pytest.mark.timeout(180)
def test_the_report_over_a_servers_folder_says_what_can_be_counted_by_hand(tmp_path: Path) -> None:
    with running(tmp_path, {"page-fails.yaml": POLICY}, SETTINGS) as server:
        send(server)
        told = server.run("report", "--json", "--html", "report.html")
        text = server.run("report", "data")
        assert server.stop() == 0
        by_hand = ByHand(server.data)
        again = server.run("report", "data", "--json")
    assert told.returncode == text.returncode == 0, told.stderr + text.stderr
    assert told.stdout == again.stdout
    report = json.loads(told.stdout)
    assert report["customers"] == CUSTOMERS
    everyone, reached, policy = report["experiments"]
    _check_policy(policy, by_hand)
    reasons = by_hand.reasons()
    assert reached["entered"] == {"offered": reasons[None], "aside": reasons["global_holdout"]}
    assert reached["figures"] is None
    assert reached["refused"]["code"] == "few-customers"
    assert f"has {reasons['global_holdout']} customers" in reached["refused"]["why"]
    assert everyone["entered"]["offered"] + everyone["entered"]["aside"] == CUSTOMERS
    assert everyone["sample_ratio"]["expected"] == 0.1
    assert "page-fails against its own holdout of 40 %" in text.stdout
    page = (tmp_path / "report.html").read_text()
    assert "What help changed" in page
    assert "<script" not in page


def _check_policy(experiment: dict[str, Any], by_hand: ByHand) -> None:
    helped, held = by_hand.arm(None), by_hand.arm("policy_holdout")
    assert experiment["counted"] == {"offered": len(helped), "aside": len(held)}
    assert experiment["neither"] == CUSTOMERS - len(helped) - len(held)
    assert experiment["crossed"] == {"offered": 0, "aside": 0}
    assert experiment["share"] == 0.4
    figures = experiment["figures"]
    main = figures["outcomes"]["contrast"]
    gap = by_hand.rate(None) - by_hand.rate("policy_holdout")
    assert main["offered"]["value"] == pytest.approx(by_hand.rate(None))
    assert main["aside"]["value"] == pytest.approx(by_hand.rate("policy_holdout"))
    assert main["unadjusted"]["value"] == pytest.approx(gap)
    told = main["difference"]
    assert told["low"] < told["value"] < told["high"]
    # Both arms write alike. Who is held out is drawn anew for each server, so once in 20 times zero
    # lies outside the interval, but never by far.
    assert abs(told["value"]) < 1.25 * (told["high"] - told["low"])
    later = figures["later"]["contrast"]
    assert later["aside"]["value"] == pytest.approx(by_hand.rate("policy_holdout", WEEK, 2 * WEEK))
    places = {one["name"]: one["finding"]["contrast"] for one in figures["places"]}
    assert places.keys() == {"chat", "mail"}
    assert 2 * places["chat"]["aside"]["value"] == pytest.approx(main["aside"]["value"])
    assert figures["interventions"]["contrast"]["offered"]["value"] == 1000
    assert figures["interventions"]["contrast"]["aside"]["value"] == 0
