"""A test made from a customer's history: it passes, says what was decided, and names nobody."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from forestall.contracts.control import DecideSettings
from forestall.contracts.instants import MINUTE, SECOND
from forestall.decide.backtest import opening
from forestall.decide.case import Recorded, decided, record_case
from forestall.decide.examine import examine
from forestall.policy.bundle import Bundle
from forestall.policy.language.casetext import case_text, read_back
from forestall.policy.language.model import Policy
from scenario import OPEN, START, event, on, records

BY = "{sequence: [{event: a, times: 2}, {not: b, for: 30s}], by: event.data.order}"


def recorded(
    policy: Policy,
    *lines: bytes,
    between: tuple[float, float] = (0, 1000),
    settings: DecideSettings = OPEN,
    others: Sequence[Policy] = (),
) -> Recorded:
    bundle = Bundle(policies=(policy, *others))
    first, last = (START + round(at * SECOND) for at in between)
    history = records(*lines)
    made = decided(opening(bundle, settings), history, first, last)
    found = record_case("t", bundle, policy, settings, history, (first, last), made)
    tested = replace(policy, tests=(read_back(found.case),))
    (examined,) = examine(bundle, tested, settings)
    assert examined.passed, examined.differences
    return found


def events(found: Recorded) -> list[tuple[int, str, dict[str, Any]]]:
    return [(one.at // SECOND, one.type, one.data) for one in found.case.events]


def expected(found: Recorded) -> list[tuple[int, str, str | None]]:
    return [(one.at // SECOND, one.outcome, one.key) for one in found.case.expect]


def test_times_are_relative_ids_are_new_and_only_what_is_read_is_kept() -> None:
    found = recorded(
        on(BY),
        event(100, "a", {"order": "ann@example.com", "name": "Ann"}),
        event(110, "a", {"order": "ann@example.com"}),
        event(111, "z", {"order": "ann@example.com"}),
        event(150, "b", {"order": "other"}),
    )
    assert events(found) == [
        (0, "a", {"order": "v1"}),
        (10, "a", {"order": "v1"}),
        (50, "b", {"order": "v2"}),
    ]
    assert [one.id for one in found.case.events] == ["e1", "e2", "e3"]
    assert expected(found) == [(40, "intervene", '"v1"')]
    assert (found.plain, found.decided) == ((), None)
    assert found.case.until == 900 * SECOND
    assert "ann" not in case_text(found.case).lower()


def test_only_what_came_between_the_two_moments_is_told() -> None:
    lines = [event(t, "a") for t in range(5)]
    assert [at for at, _, _ in events(recorded(on("{event: a}"), *lines, between=(2, 3)))] == [0, 1]


def test_numeric_keys_are_numbered_and_other_numbers_stay() -> None:
    policy = replace(on(BY), condition="event.data.amount > 3")
    lines = [event(t, "a", {"order": 4711.0, "amount": 9.5}) for t in range(2)]
    found = recorded(policy, *lines)
    assert [data for _, _, data in events(found)] == [{"order": 1, "amount": 9.5}] * 2
    assert expected(found) == [(31, "intervene", "1")]


def test_numbers_that_are_counted_apart_are_numbered() -> None:
    features = {"orders": {"distinct": "event.data.order", "of": "a", "over": "1h"}}
    policy = replace(on("{event: a}", features=features), condition="features.orders == 2")
    lines = [event(t, "a", {"order": order}) for t, order in enumerate([4711, 4711, 4712])]
    found = recorded(policy, *lines)
    assert [data["order"] for _, _, data in events(found)] == [1, 1, 2]
    assert [at for at, _, _ in expected(found)] == [2]


def test_text_that_the_policy_names_stays() -> None:
    policy = on("{event: a, where: \"event.data.code == 'declined' || event.data.code == 'x'\"}")
    found = recorded(policy, event(0, "a", {"code": "declined"}), event(1, "a", {"code": "secret"}))
    assert [data for _, _, data in events(found)] == [{"code": "declined"}, {"code": "v1"}]


def test_a_field_that_the_policy_looks_into_stays_and_is_named() -> None:
    policy = on(
        "{event: a, where: \"event.data.mail.endsWith('.org') && event.data.who != ''\"}",
    )
    found = recorded(policy, event(0, "a", {"mail": "x@y.org", "who": "Ann"}))
    assert [data for _, _, data in events(found)] == [{"mail": "x@y.org", "who": "v1"}]
    assert found.plain == ("event.data.mail",)


def test_sources_and_origins_are_told_where_they_matter() -> None:
    plain = recorded(on("{event: a}"), event(0, "a", source="https://shop", origin="browser"))
    (one,) = plain.case.events
    assert (one.source, one.origin) == ("test", "browser")
    policy = on("{event: a, where: \"event.source != 'x'\"}")
    (one,) = recorded(policy, event(0, "a", source="https://shop")).case.events
    assert one.source == "v1"


def test_an_event_that_came_twice_is_told_twice() -> None:
    lines = [event(t, "a", event_id="same") for t in range(2)]
    found = recorded(on("{event: a}"), *lines)
    assert [one.id for one in found.case.events] == ["e1", "e1"]
    assert len(found.case.expect) == 1


def test_when_an_event_was_received_is_told_only_where_it_matters() -> None:
    found = recorded(on("{event: a}"), event(0, "a", received=1), event(5, "a", received=6))
    assert [one.received for one in found.case.events] == [None, None]
    late = recorded(on("{event: a}"), event(0, "a", received=301), event(302, "a"))
    assert [one.received for one in late.case.events] == [301 * SECOND, None]
    assert len(late.case.expect) == 1


def test_what_stood_before_comes_first() -> None:
    settings = replace(OPEN, require_consent=True)
    policy = replace(on("{event: a}"), condition="subject.plan != 'internal'")
    before = [
        event(-9, "forestall.identify", {"traits": {"plan": "pro", "mail": "ann@example.com"}}),
        event(-8, "forestall.consent.granted", {"purpose": "support"}),
        event(-7, "forestall.consent.granted", {"purpose": "ads"}),
        event(-6, "forestall.ticket.opened", {"ticket": "T-4711"}),
        event(-5, "forestall.ticket.opened", {"ticket": "T-4712"}),
        event(-4, "forestall.ticket.closed", {"ticket": "T-4712"}),
        event(-3, "forestall.intervention.dismissed", {"policy": "p"}),
        event(-2, "forestall.intervention.dismissed", {"policy": "p", "never": True}),
        event(-1, "forestall.intervention.dismissed", {"policy": "q"}),
    ]
    found = recorded(policy, *before, event(0, "a"), settings=settings)
    assert [(kind.removeprefix("forestall."), data) for _, kind, data in events(found)] == [
        ("identify", {"traits": {"plan": "v1"}}),
        ("consent.granted", {"purpose": "support"}),
        ("ticket.opened", {"ticket": "v2"}),
        ("intervention.dismissed", {"policy": "p"}),
        ("intervention.dismissed", {"policy": "p", "never": True}),
        ("a", {}),
    ]
    assert [one.reason for one in found.case.expect] == ["in_conversation"]
    assert found.decided is None


@pytest.mark.parametrize(
    ("kind", "data", "kept"),
    [
        ("optout", {}, {}),
        ("consent.granted", {"purpose": "support"}, None),
        ("ticket.opened", {"ticket": 7, "title": "Help"}, {"ticket": "v1"}),
        ("intervention.dismissed", {"policy": "q"}, None),
        ("identify", {"traits": {"plan": "pro"}}, None),
    ],
)
def test_control_events_are_kept_where_the_policy_can_feel_them(
    kind: str, data: dict[str, Any], kept: dict[str, Any] | None
) -> None:
    found = recorded(on("{event: a}"), event(0, f"forestall.{kind}", data), event(1, "a"))
    assert [told for _, name, told in events(found) if name != "a"] == [kept] * (kept is not None)


def test_the_time_zone_stays_where_there_are_quiet_hours() -> None:
    settings = replace(OPEN, quiet_hours=(0, 60))
    known = event(0, "forestall.identify", {"traits": {"timezone": "Asia/Tokyo", "x": "y"}})
    found = recorded(on("{event: a}"), known, event(1, "a"), settings=settings)
    assert events(found)[0][2] == {"traits": {"timezone": "Asia/Tokyo"}}


def test_events_that_only_move_the_clock_are_told_where_that_matters() -> None:
    lines = [event(0, "z", {"name": "Ann"}), event(-200, "a", {"k": 1}, received=0)]
    found = recorded(on("{event: a}"), *lines, event(3, "z"), between=(-10, 10))
    assert events(found) == [(200, "z", {}), (0, "a", {}), (203, "z", {})]
    assert expected(found) == [(200, "intervene", None)]
    assert found.decided is None


def test_silence_is_a_case_too() -> None:
    found = recorded(on("{event: a}"), event(0, "z"), between=(0, 60))
    assert (found.case.events, found.case.expect) == ((), ())
    assert found.case.until == MINUTE


def test_what_the_log_decided_otherwise_is_told() -> None:
    policy = on("{event: a}", cooldown="1h")
    found = recorded(policy, event(0, "a"), event(60, "a"), between=(30, 90))
    assert expected(found) == [(0, "intervene", None)]
    assert found.decided is not None
    assert [(one.at, one.reason) for one in found.decided] == [(0, "cooldown")]
    other = on("{event: a}", "other", priority=90)
    outranked = recorded(on("{event: a}"), event(0, "a"), others=[other])
    assert outranked.decided is not None
    assert [one.reason for one in outranked.decided] == ["outranked"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "a", "b", "forestall.optout", "forestall.optin"]),
            st.floats(0, 3, allow_nan=False),
            st.floats(0, 400, allow_nan=False),
            st.sampled_from(["ann", "bob", 1, 1.0, None, True]),
        ),
        max_size=25,
    ),
    st.sampled_from([BY, "{event: a, where: event.data.order != 'ann'}", BY.replace("30s", "1s")]),
    st.sampled_from(["0s", "2s"]),
)
def test_a_whole_history_gives_a_case_that_decides_as_it_did(
    story: list[tuple[str, float, float, Any]], when: str, cooldown: str
) -> None:
    lines, now = [], 0.0
    for number, (kind, gap, delay, order) in enumerate(story):
        now = round(now + gap, 3)
        happened = round(now - delay, 3) if delay > 200 else now
        lines.append(
            event(happened, kind, {"order": order}, received=now, event_id=f"secret-{number}")
        )
    found = recorded(on(when, cooldown=cooldown), *lines, between=(-1000, 1000))
    assert found.decided is None
    text = case_text(found.case)
    assert "secret" not in text
    assert "bob" not in text
