"""Trails: what a log leaves of each customer."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from forestall.contracts.event import Record
from forestall.contracts.instants import HOUR, MINUTE
from forestall.measure.reading import Happening
from forestall.measure.trails import TICKET, UNTOLD, Trail, Trails
from simulator import decided

GAP = 30 * MINUTE


def record(
    at: int, kind: str = "page.viewed", name: str = "ann", data: Any = None, **more: Any
) -> Record:
    raw = msgspec.Raw(msgspec.json.encode({} if data is None else data))
    return Record(f"{kind}@{at}", "t", kind, name, more.get("time", at), at, "server", raw)


def trails(*happened: Happening, outcome: str = TICKET) -> dict[str, Trail]:
    found = Trails(outcome)
    found.take(happened)
    return dict(found.whole())


def ann(*happened: Happening, outcome: str = TICKET) -> Trail:
    return trails(*happened, outcome=outcome)["ann"]


def test_events_less_than_the_gap_apart_are_one_session() -> None:
    found = ann(record(0), record(GAP - 1), record(2 * GAP - 1), record(4 * GAP))
    assert list(found.starts) == [0, 2 * GAP - 1, 4 * GAP]
    assert list(found.ends) == [GAP - 1, 2 * GAP - 1, 4 * GAP]


def test_what_forestall_or_the_helpdesk_tells_and_outcomes_make_no_session() -> None:
    found = ann(
        record(0, "forestall.intervention.shown", data={"policy": "p"}),
        record(HOUR, TICKET, data={"ticket": 1}),
        record(2 * HOUR, "call.made"),
        outcome="call.made",
    )
    assert not found.starts
    assert [one.at for one in found.asked] == [2 * HOUR]


def test_an_event_counts_when_it_happened_unless_it_claims_the_future() -> None:
    found = ann(record(HOUR, time=HOUR // 2), record(3 * HOUR, time=9 * HOUR))
    assert list(found.starts) == [HOUR // 2, 3 * HOUR]


def test_a_late_event_makes_no_session_of_its_own() -> None:
    found = ann(record(5 * HOUR), record(6 * HOUR, time=HOUR))
    assert list(found.starts) == [5 * HOUR]


@pytest.mark.parametrize(
    ("start", "end", "number"), [(0, 10, 1), (5, 20, 1), (5, 21, 2), (11, 20, 0), (20, 99, 1)]
)
def test_sessions_are_counted_where_they_reach(start: int, end: int, number: int) -> None:
    trail = Trail()
    trail.starts.extend([1, 20])
    trail.ends.extend([10, 30])
    assert trail.sessions(start, end) == number
    assert trail.sessions(11, 20, gap=2) == 1
    assert trail.sessions(12, 20, gap=2) == 0
    assert trail.begun(1, 20) == 1
    assert trail.begun(2, 20) == 0


def test_the_first_activity_from_a_moment_on() -> None:
    trail = ann(record(0), record(MINUTE), record(3 * HOUR))
    assert trail.first_active(0) == 0
    assert trail.first_active(30) == 30
    assert trail.first_active(HOUR) == 3 * HOUR
    assert trail.first_active(4 * HOUR) is None


def test_an_outcome_says_where_and_what_about() -> None:
    said = {"ticket": 7, "channel": "chat", "category": "billing", "intervention": "i"}
    told, untold = ann(record(5, TICKET, data=said), record(9, TICKET, data=[])).asked
    assert (told.channel, told.category, told.ticket, told.own) == ("chat", "billing", "7", True)
    assert (untold.channel, untold.category, untold.ticket, untold.own) == (
        UNTOLD,
        UNTOLD,
        None,
        False,
    )


def test_the_same_ticket_is_one_outcome_at_its_first_moment() -> None:
    found = ann(
        record(9, TICKET, data={"ticket": "a"}, time=5),
        record(10, TICKET, data={"ticket": "a"}, time=4),
        record(11, TICKET, data={"ticket": "b"}, time=1),
    )
    assert [(one.at, one.ticket) for one in found.asked] == [(1, "b"), (4, "a")]
    assert [one.at for one in found.asked_within(1, 4)] == [4]


def test_only_what_was_done_or_withheld_is_remembered() -> None:
    done, held = decided("ann", 1), decided("ann", 2, "policy_holdout")
    refused = decided("ann", 3, "cooldown")
    refused = replace(refused, decision=replace(refused.decision, outcome="suppress"))
    shadow = decided("ann", 4)
    shadow = replace(shadow, decision=replace(shadow.decision, mode="shadow"))
    canary = decided("ann", 5)
    canary = replace(canary, decision=replace(canary.decision, mode="canary"))
    found = ann(done, held, refused, shadow, canary)
    assert [(met.at, met.reason) for met in found.met] == [
        (1, None),
        (2, "policy_holdout"),
        (5, None),
    ]


def test_accounts_ratings_reopenings_and_what_was_shown() -> None:
    found = ann(
        record(1, "forestall.identify", data={"traits": {"account": 12}}),
        record(2, "forestall.identify", data={"traits": {"plan": "pro"}}),
        record(3, "forestall.ticket.rated", data={"ticket": "a", "score": 4}),
        record(4, "forestall.ticket.rated", data={"ticket": "a", "score": "much"}),
        record(5, "forestall.ticket.reopened", data={"ticket": "a"}),
        record(6, "forestall.intervention.shown", data={"policy": "p"}),
        record(7, "forestall.intervention.shown", data={}),
        record(8, "forestall.identify", data={"traits": None}),
    )
    assert found.account == "12"
    assert found.rated == [(3, 4.0)]
    assert found.reopened == {"a"}
    assert found.shown == [(6, "p")]


def joined(at: int, former: str, into: str) -> Record:
    return record(at, "forestall.alias", into, {"from": former})


def test_a_joined_pseudonym_is_one_person_under_the_surviving_one() -> None:
    found = trails(
        record(0, name="old"),
        decided("old", 1),
        record(5, TICKET, "old", {"ticket": "a"}),
        record(10, name="ann"),
        joined(20, "old", "ann"),
        decided("ann", 30, "policy_holdout"),
        record(40, TICKET, "ann", {"ticket": "a"}),
    )
    assert found.keys() == {"ann"}
    assert list(found["ann"].starts) == [0]
    assert [met.at for met in found["ann"].met] == [1, 30]
    assert [one.at for one in found["ann"].asked] == [5]


@pytest.mark.parametrize("order", [("a>b", "b>c"), ("b>c", "a>b")])
def test_pseudonyms_are_joined_through_others(order: Sequence[str]) -> None:
    found = trails(
        *(record(at, name=name) for at, name in enumerate("abc")),
        *(joined(9, one[0], one[2]) for one in order),
    )
    assert found.keys() == {"c"}
    assert list(found["c"].ends) == [2]


def test_pseudonyms_joined_in_a_circle_end_nowhere() -> None:
    found = trails(
        record(1, name="a"), record(2, name="b"), joined(3, "a", "b"), joined(4, "b", "a")
    )
    assert found.keys() == {"a"}
    found = trails(record(1), joined(2, "ann", "ann"))
    assert found.keys() == {"ann"}


@given(st.lists(st.tuples(st.integers(0, 20 * HOUR), st.booleans()), max_size=12))
def test_joining_gives_the_sessions_of_one_person(events: list[tuple[int, bool]]) -> None:
    events.sort()
    both = [record(at, name="ann" if one else "old") for at, one in events]
    found = trails(*both, joined(40 * HOUR, "old", "ann"))["ann"]
    alone = Trail()
    for at, _ in events:
        alone.active(at, GAP)
    assert (found.starts, found.ends) == (alone.starts, alone.ends)


def test_progress_is_told_now_and_then() -> None:
    told: list[int] = []
    found = Trails()
    found.take((record(at) for at in range(10_000)), told.append)
    assert told == [4095, 8191]
    assert (found.events, found.decisions, found.joined) == (10_000, 0, 0)
