"""The reference against sentences of the policy language; each test is named by its rule."""

import hashlib
from itertools import combinations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    PolicyInForce,
    ServiceState,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.policy.language.model import Policy
from reference.deciding import decide
from reference.expressions import Failed, evaluate, holds
from reference.gating import in_holdout
from reference.history import Arrival, Seen
from reference.matching import chain_match, fits, key_text, links
from reference.writing import (
    START,
    at,
    do,
    event,
    every,
    feature,
    no,
    once,
    policy,
    seconds,
    sequence,
)

FREE = DecideSettings(budget=1000, spacing=0)
TWICE = sequence(do("a"), do("b"))
ABSENCE = sequence(do("a"), no("b", quiet=10))


def run(
    policies: Policy | list[Policy],
    *events: dict[str, Any],
    settings: DecideSettings = FREE,
    controls: tuple[Control, ...] = (),
    known: dict[str, Policy] | None = None,
) -> list[dict[str, Any]]:
    some = [policies] if isinstance(policies, Policy) else policies
    return decide(some, list(events), settings, controls, known=known)


def fates(decisions: list[dict[str, Any]]) -> list[str]:
    return [decision["reason"] or decision["outcome"] for decision in decisions]


def moments(decisions: list[dict[str, Any]]) -> list[str]:
    return [decision["at"] for decision in decisions]


def matched(decisions: list[dict[str, Any]]) -> list[list[str]]:
    return [decision["matched"] for decision in decisions]


def applied(received: float, *policies: Policy) -> PoliciesApplied:
    """A set of policies taking effect, each version named by its title."""
    inside = tuple(PolicyInForce(p.name, p.title, msgspec.Raw(b"{}")) for p in policies)
    return PoliciesApplied(START + seconds(received), inside, {}, "test", "test")


# Section 2: time, order and determinism


def test_an_event_is_late_only_beyond_the_lateness() -> None:
    late = run(policy(once("a")), event(0, "a", received=300), event(0, "a", "x", received=300.001))
    assert matched(late) == [["a@0"]]


def test_control_events_are_never_late() -> None:
    decisions = run(policy(once("forestall.optin")), event(0, "forestall.optin", received=9999))
    assert fates(decisions) == ["intervene"]


def test_a_future_time_is_cut_to_received() -> None:
    assert moments(run(policy(once("a")), event(50, "a", received=10))) == [at(10)]


def test_the_effective_time_never_goes_back() -> None:
    decisions = run(policy(once("a")), event(5, "z"), event(2, "a", received=6))
    assert moments(decisions) == [at(5)]


def test_a_missing_time_equals_received_and_received_never_goes_back() -> None:
    decisions = run(policy(once("a")), event(9, "z"), event(None, "a", received=4))
    assert moments(decisions) == [at(9)]


def test_a_duplicate_is_ignored_and_moves_no_clock() -> None:
    events = [event(0, "z", "one"), event(8, "z", "one"), event(3, "a", received=8)]
    assert moments(run(policy(once("a", "z")), *events)) == [at(0), at(3)]


def test_a_late_event_counts_as_kept_for_its_duplicates() -> None:
    events = [event(0, "a", "one", received=400), event(400, "a", "one", received=401)]
    assert run(policy(once("a")), *events) == []


def test_a_duplicate_after_seven_days_of_the_one_kept_is_an_event_of_its_own() -> None:
    day = 86_400
    events = [event(d * day, "a", "one") for d in (0, 5, 7, 7.0001, 14.00005)]
    assert moments(run(policy(once("a")), *events)) == [at(0), at(7.0001 * day)]


def test_a_timer_waits_for_an_event_at_its_very_deadline() -> None:
    assert run(policy(ABSENCE), event(0, "a"), event(10, "b")) == []
    decisions = run(policy(ABSENCE), event(0, "a"), event(10.001, "b"))
    assert (moments(decisions), matched(decisions)) == ([at(10)], [["a@0"]])


def test_a_timer_fires_only_beyond_its_grace() -> None:
    in_grace = [event(0, "a"), event(10, "b", received=12)]
    assert run(policy(ABSENCE), *in_grace) == []
    beyond = [event(0, "a"), event(10, "b", received=12.001)]
    assert moments(run(policy(ABSENCE), *beyond)) == [at(10)]


def test_the_end_of_the_history_is_a_tick_at_the_greatest_received() -> None:
    other = event(12.001, "z", subject="other")
    assert moments(run(policy(ABSENCE), event(0, "a"), other)) == [at(10)]
    assert run(policy(ABSENCE), event(0, "a"), event(12, "z", subject="other")) == []


def test_a_timer_moves_the_clock_before_the_record_that_made_it_due() -> None:
    both = [policy(ABSENCE, "p"), policy(once("b"), "q")]
    decisions = run(both, event(0, "a"), event(4, "b", received=13))
    assert [(d["policy"], d["at"]) for d in decisions] == [("p", at(10)), ("q", at(10))]


def test_a_late_record_fires_timers_by_its_received_alone() -> None:
    settings = DecideSettings(lateness=0, budget=99, spacing=0)
    quick = policy(sequence(do("a"), no("b", quiet=10)))
    events = [event(0, "a"), event(11, "z", received=12), event(0, "b", received=12)]
    assert run(quick, *events, settings=settings) == []
    late = run(quick, event(0, "a"), event(0, "b", received=13), settings=settings)
    assert moments(late) == [at(10)]


def test_a_timer_sees_control_records_up_to_its_deadline_and_grace() -> None:
    off = SwitchesApplied(START + seconds(12), (), True, "test", "test")
    later = msgspec.structs.replace(off, received=START + seconds(12) + 1)
    for control, fate in ((off, "killed"), (later, "intervene")):
        decisions = run(policy(ABSENCE), event(0, "a"), event(60, "z"), controls=(control,))
        assert fates(decisions) == [fate]
    early = [event(0, "a"), event(11, "z", received=11)]
    assert fates(run(policy(ABSENCE), *early, controls=(off,))) == ["intervene"]


def test_a_timer_armed_after_its_own_deadline_sees_no_later_control_record() -> None:
    events = [event(0, "a", received=13), event(20, "z")]
    off = SwitchesApplied(START + seconds(13), (), True, "test", "test")
    assert fates(run(policy(ABSENCE), *events, controls=(off,))) == ["intervene"]
    new = policy(ABSENCE, title="2")
    same = run(policy(ABSENCE), *events, controls=(applied(13, new),), known={"2": new})
    assert [d["version"] for d in same] == ["p"]
    assert run([], *events, controls=(applied(13, new),), known={"2": new}) == []


def test_every_gate_of_one_deadline_is_evaluated_before_any_decision_takes_effect() -> None:
    settings = DecideSettings(budget=1, spacing=600_000_000)
    two = [policy(ABSENCE, "p"), policy(ABSENCE, "q", priority=60)]
    decisions = run(two, event(0, "a"), event(60, "z"), settings=settings)
    assert [(d["policy"], d["reason"]) for d in decisions] == [("p", "outranked"), ("q", None)]


def test_pattern_state_survives_a_version_that_leaves_when_alone() -> None:
    first, second = policy(TWICE, title="1"), policy(TWICE, title="2", cooldown=5)
    other = policy(sequence(do("a"), do("b"), within=60), title="3")
    known = {p.title: p for p in (first, second, other)}
    events = [event(0, "a"), event(9, "b")]
    kept = run(first, *events, controls=(applied(5, second),), known=known)
    assert [(d["version"], d["matched"]) for d in kept] == [("2", ["a@0", "b@9"])]
    assert run(first, *events, controls=(applied(5, other),), known=known) == []


def test_a_policy_that_was_gone_starts_empty() -> None:
    first = policy(TWICE, title="1")
    controls = (applied(4), applied(5, first))
    assert run(first, event(0, "a"), event(9, "b"), controls=controls, known={"1": first}) == []


def test_a_timer_belongs_to_the_versions_that_its_deadline_saw() -> None:
    first = policy(ABSENCE, title="1")
    gone = {12.0: [], 12.1: ["intervene"]}
    for moment, expected in gone.items():
        decisions = run(first, event(0, "a"), event(60, "z"), controls=(applied(moment),))
        assert fates(decisions) == expected


def test_a_new_feature_is_filled_from_before_its_version() -> None:
    first = policy(once("b"), title="1")
    second = policy(once("b"), title="2", features={"f": feature("count", "a", over=60)})
    decisions = run(
        first, event(0, "a"), event(9, "b"), controls=(applied(5, second),), known={"2": second}
    )
    assert decisions[0]["features"] == {"f": 1}


# Section 3: patterns


def test_a_wildcard_means_any_type_outside_forestall() -> None:
    decisions = run(policy(once("*")), event(0, "a"), event(1, "forestall.optin"))
    assert matched(decisions) == [["a@0"]]


def test_within_is_inclusive() -> None:
    pattern = sequence(do("a"), do("b"), within=10)
    assert fates(run(policy(pattern), event(0, "a"), event(10, "b"))) == ["intervene"]
    assert run(policy(pattern), event(0, "a"), event(10.001, "b")) == []


def test_the_latest_start_is_kept() -> None:
    decisions = run(policy(TWICE), event(0, "a"), event(1, "a"), event(2, "b"))
    assert matched(decisions) == [["a@1", "b@2"]]


def test_one_event_never_serves_two_steps_of_one_match() -> None:
    pattern = sequence(do("a", times=2), do("*"))
    decisions = run(policy(pattern), *(event(i, "a") for i in range(4)))
    assert matched(decisions) == [["a@0", "a@1", "a@2"]]


def test_no_event_of_a_negative_step_lies_strictly_between_its_neighbours() -> None:
    pattern = sequence(do("a"), no("n"), do("b"))
    assert run(policy(pattern), event(0, "a"), event(1, "n"), event(2, "b")) == []
    again = [event(0, "a"), event(1, "n"), event(1.5, "a"), event(2, "b")]
    assert matched(run(policy(pattern), *again)) == [["a@1.5", "b@2"]]
    both = sequence(do("a"), no("a", "b"), do("b"))
    assert matched(run(policy(both), event(0, "a"), event(2, "b"))) == [["a@0", "b@2"]]


def test_an_erring_where_is_false_on_a_positive_step_and_true_on_a_negative_one() -> None:
    wrong = "event.data.x > 3"
    assert run(policy(once("a", where=wrong)), event(0, "a")) == []
    pattern = sequence(do("a"), no("n", where=wrong), do("b"))
    assert run(policy(pattern), event(0, "a"), event(1, "n"), event(2, "b")) == []
    small = event(1, "n", data={"x": 1})
    assert fates(run(policy(pattern), event(0, "a"), small, event(2, "b"))) == ["intervene"]


def test_a_trailing_absence_forbids_its_events_anywhere_after_the_first() -> None:
    pattern = sequence(do("a"), do("c"), no("b", quiet=10))
    broken = [event(0, "a"), event(1, "b"), event(2, "c"), event(60, "z")]
    assert run(policy(pattern), *broken) == []
    whole = [event(0, "b"), event(1, "a"), event(2, "c"), event(60, "z")]
    assert moments(run(policy(pattern), *whole)) == [at(12)]


def test_a_timer_once_armed_stays_with_its_first_match() -> None:
    events = [event(0, "a"), event(4, "a"), event(60, "z")]
    decisions = run(policy(ABSENCE), *events)
    assert (moments(decisions), matched(decisions)) == ([at(10)], [["a@0"]])


def test_a_deadline_clears_its_key_whether_or_not_the_condition_holds() -> None:
    pattern = sequence(do("a", times=2), no("b", quiet=10))
    never = policy(pattern, condition="event.id == 'a@30'")
    events = [event(0, "a"), event(1, "a"), event(30, "a"), event(60, "z")]
    assert run(never, *events) == []


def test_when_the_condition_is_false_at_an_event_nothing_is_consumed() -> None:
    p = policy(TWICE, condition="event.data.go")
    events = [event(0, "a"), event(1, "b"), event(2, "b", data={"go": True})]
    assert matched(run(p, *events)) == [["a@0", "b@2"]]


def test_a_candidate_clears_its_key_whatever_becomes_of_it() -> None:
    p = policy(TWICE, cooldown=100)
    events = [event(i, kind) for i, kind in enumerate("ababb")]
    decisions = run(p, *events)
    assert (fates(decisions), matched(decisions)[1]) == (["intervene", "cooldown"], ["a@2", "b@3"])


def test_an_act_clears_every_key_of_the_policy() -> None:
    p = policy(sequence(do("a"), do("b"), by="event.data.k"))
    k1, k2 = {"k": 1}, {"k": 2}
    events = [event(0, "a", data=k1), event(1, "a", data=k2), event(2, "b", data=k1)]
    decisions = run(p, *events, event(3, "b", data=k2))
    assert [d["key"] for d in decisions] == ["1"]


def test_a_suppressed_candidate_clears_no_other_key() -> None:
    p = policy(sequence(do("a"), do("b"), by="event.data.k"))
    k1, k2 = {"k": 1}, {"k": 2}
    out = [event(0, "forestall.optout"), event(1, "a", data=k1), event(1, "a", "y", data=k2)]
    decisions = run(p, *out, event(2, "b", data=k1), event(3, "b", data=k2))
    assert [(d["key"], d["reason"]) for d in decisions] == [("1", "opted_out"), ("2", "opted_out")]


def test_events_without_a_key_take_no_part() -> None:
    p = policy(sequence(do("a"), no("n"), do("b"), by="event.data.k"))
    data = {"k": "x"}
    events = [event(0, "a", data=data), event(1, "n"), event(1, "n", "m", data={"k": None})]
    assert [d["key"] for d in run(p, *events, event(2, "b", data=data))] == ['"x"']


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (1.5, "1.5"),
        (5e-7, "5e-7"),
        (True, "true"),
        ("ä", '"ä"'),
        ('"', '"\\""'),
        ([1], "[1]"),
    ],
)
def test_a_key_is_compact_json_with_shortest_numbers(value: Any, text: str) -> None:
    assert key_text(value) == text
    assert key_text({"b": value, "a": 1}) == '{"a":1,"b":' + text + "}"


def test_the_key_silent_longest_goes_when_there_are_more_than_64() -> None:
    p = policy(sequence(do("a"), do("b"), by="event.data.k"))
    opened = [event(i, "a", data={"k": i}) for i in range(64)]
    first_again = event(64, "a", data={"k": 0})
    one_more = event(65, "a", data={"k": 64})
    out = event(66, "forestall.optout")
    closed = [event(70 + k, "b", data={"k": k}) for k in (0, 1, 2, 64)]
    decisions = run(p, *opened, first_again, one_more, out, *closed)
    assert [d["key"] for d in decisions] == ["0", "2", "64"]


def test_all_keeps_the_latest_event_of_each_step_in_any_order() -> None:
    p = policy(every(do("a"), do("b"), within=10))
    events = [event(0, "b"), event(1, "b"), event(11, "a"), event(12, "b")]
    decisions = run(p, *events)
    assert matched(decisions) == [["b@1", "a@11"]]
    assert run(p, event(0, "b"), event(10.001, "a")) == []


def test_an_event_that_serves_several_steps_is_listed_once() -> None:
    p = policy(every(do("a"), do("*"), within=10))
    assert matched(run(p, event(0, "a"))) == [["a@0"]]


def test_at_a_deadline_event_is_the_last_matched_positive_one() -> None:
    p = policy(
        ABSENCE,
        condition="event.id == 'a@0' && now - event.time == duration('10s') && subject.vip",
        features={"f": feature("since", "a")},
    )
    identify = event(5, "forestall.identify", data={"traits": {"vip": True}})
    decisions = run(p, event(0, "a"), identify, event(60, "z"))
    assert [d["features"] for d in decisions] == [{"f": 10.0}]


# Section 4: features


def test_a_window_is_open_at_its_start_and_holds_the_event_being_decided() -> None:
    p = policy(once("b"), features={"f": feature("count", "a", "b", over=10)})
    decisions = run(p, event(0, "a"), event(0.001, "a"), event(10, "b"))
    assert decisions[0]["features"] == {"f": 2}


EMPTY = {
    "count": 0,
    "sum": 0,
    "distinct": 0,
    "avg": None,
    "min": None,
    "first": None,
    "since": None,
}


@pytest.mark.parametrize(("kind", "value"), EMPTY.items())
def test_the_values_of_an_empty_window(kind: Any, value: Any) -> None:
    source = None if kind in ("count", "since") else "event.data.x"
    p = policy(once("b"), features={"f": feature(kind, "a", value=source, over=10)})
    assert run(p, event(0, "b"))[0]["features"] == {"f": value}


KINDS = {
    "sum": 13.5, "avg": 3.375, "min": 1, "max": 8.5, "distinct": 5, "first": 3, "last": "y",
    "p50": 1.0, "p90": 8.5,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), KINDS.items())
def test_the_values_of_each_kind(kind: Any, value: Any) -> None:
    values = [3, 1, 1.0, None, True, [1], 8.5, "y"]
    events = [event(i, "a", data={"x": x}) for i, x in enumerate(values)]
    p = policy(once("b"), features={"f": feature(kind, "a", value="event.data.x", over=99)})
    assert run(p, *events, event(9, "a"), event(10, "b"))[0]["features"] == {"f": value}


def test_sum_rounds_each_value_half_even_to_millionths() -> None:
    p = policy(once("b"), features={"f": feature("sum", "a", value="event.data.x", over=99)})
    halves = [2**-7, 0.5 * 2**-6 + 2**-7, 0.1, 0.2]
    events = [event(i, "a", data={"x": x}) for i, x in enumerate(halves)]
    assert run(p, *events, event(9, "b"))[0]["features"] == {"f": 0.007812 + 0.015625 + 0.3}


def test_expressions_of_features_use_the_traits_of_their_moment() -> None:
    p = policy(once("b"), features={"f": feature("count", "a", where="subject.vip", over=99)})
    identify = [event(i, "forestall.identify", data={"traits": {"vip": i == 2}}) for i in (2, 4)]
    events = [event(1, "a"), identify[0], event(3, "a"), identify[1], event(5, "a"), event(6, "b")]
    assert run(p, *events)[0]["features"] == {"f": 1}


def test_by_counts_only_events_of_the_same_key() -> None:
    p = policy(once("b"), features={"f": feature("count", "a", over=99, by="event.data.k")})
    events = [event(i, "a", data={"k": k}) for i, k in enumerate([1, 1.0, 2, None])]
    ends = [event(8, "b", data={"k": 1}), event(9, "b", data={"k": None}), event(10, "b")]
    assert [d["features"]["f"] for d in run(p, *events, *ends)] == [2, 0, 0]


def test_a_feature_keeps_64_keys_and_10000_events() -> None:
    keyed = policy(once("b"), features={"f": feature("since", "a", by="event.data.k")})
    events = [event(i, "a", data={"k": i}) for i in range(65)]
    ends = [event(70, "b", data={"k": k}, name=str(k)) for k in (0, 1)]
    assert [d["features"]["f"] for d in run(keyed, *events, *ends)] == [None, 69.0]
    p = policy(once("b"), features={"f": feature("first", "a", value="event.data.x")})
    many = [event(0, "a", str(i), data={"x": i}) for i in range(10_001)]
    assert run(p, *many, event(1, "b"))[0]["features"] == {"f": 1}


# Section 5: conditions


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1 == 1.0 && 'a' != 1", True),
        ("x.y == null", True),
        ("has(x.y) && !has(x.z)", True),
        ("false && x.z", False),
        ("x.z || true", True),
        ("1.5 in [1, 1.5]", True),
        ("size('abc') - 1", 2),
        ("'abc'.startsWith('ab')", True),
        ("{'k': [-1, true]}", {"k": [-1, True]}),
    ],
)
def test_expressions(source: str, value: Any) -> None:
    assert evaluate(source, {"x": {"y": None}}) == value


@pytest.mark.parametrize(
    "source",
    ["x.z", "x.y < 1", "'a' < 1", "true && x.z", "1 + 1.0", "9223372036854775807 + 1", "!1"],
)
def test_an_expression_that_errors_is_neither_true_nor_false(source: str) -> None:
    with pytest.raises(Failed):
        evaluate(source, {"x": {"y": None}})
    assert [holds(source, {"x": {"y": None}}, default) for default in (True, False)] == [
        True,
        False,
    ]


def test_missing_data_is_empty_and_origin_is_server_by_default() -> None:
    p = policy(once("a"), condition="size(event.data) == 0 && event.origin == 'server'")
    events = [event(0, "a"), event(1, "a") | {"data": None}, event(2, "a", origin="browser")]
    assert matched(run(p, *events)) == [["a@0"], ["a@1"]]


def test_services_are_seen_in_if() -> None:
    p = policy(once("a"), condition="service.pay == 'down'")
    control = ServiceState(START + seconds(5), "pay", "down")
    decisions = run(p, event(4.999, "a"), event(5, "a"), controls=(control,))
    assert matched(decisions) == [["a@5"]]


# Section 6: gates, arbitration, holdouts


def test_a_kill_switch_names_a_policy_or_everything() -> None:
    def switch(received: int, *off: str, everything: bool = False) -> SwitchesApplied:
        return SwitchesApplied(START + seconds(received), off, everything, "test", "test")

    controls = (switch(1, "p"), switch(2, "q"), switch(3, everything=True))
    decisions = run(policy(once("a")), *(event(i, "a") for i in range(4)), controls=controls)
    assert fates(decisions) == ["intervene", "killed", "intervene", "killed"]


def test_the_later_time_stands_for_opt_out_whatever_the_order_and_the_stricter_at_equal_times() -> (
    None
):
    p = policy(once("a"))
    optin = event(5, "forestall.optin")
    for when, fate in ((4, "intervene"), (5, "opted_out"), (6, "opted_out")):
        optout = event(when, "forestall.optout", received=7)
        assert fates(run(p, optin, optout, event(8, "a"))) == [fate]


def test_consent_is_per_purpose_and_fails_closed() -> None:
    p = policy(once("a"))
    settings = msgspec.structs.replace(FREE, require_consent=True)
    grant = event(0, "forestall.consent.granted", data={"purpose": "support"})
    other = event(0, "forestall.consent.granted", data={"purpose": "other"})
    lacking = event(2, "forestall.consent.withdrawn", data={})
    assert fates(run(p, event(1, "a"), settings=settings)) == ["no_consent"]
    assert fates(run(p, other, event(1, "a"), settings=settings)) == ["no_consent"]
    assert fates(run(p, grant, lacking, event(3, "a"), settings=settings)) == ["intervene"]


def test_control_events_take_effect_before_the_same_record() -> None:
    p = policy(once("forestall.optout"))
    assert fates(run(p, event(0, "forestall.optout"))) == ["opted_out"]


def test_an_open_ticket_holds_what_does_not_allow_it() -> None:
    both = [policy(once("a"), "p"), policy(once("a"), "q", in_conversation="allow")]
    tickets = [event(0, "forestall.ticket.opened", i, data={"ticket": i}) for i in ("1", "2")]
    closed = event(1, "forestall.ticket.closed", data={"ticket": "1"})
    decisions = run(both, *tickets, closed, event(2, "a"))
    assert fates(decisions) == ["in_conversation", "intervene"]


def test_the_cooldown_ends_exactly_when_it_is_over() -> None:
    p = policy(once("a"), cooldown=10)
    assert fates(run(p, event(0, "a"), event(9.999, "a"), event(10, "a"))) == [
        "intervene", "cooldown", "intervene",
    ]  # fmt: skip


def test_each_dismissal_doubles_the_cooldown_until_it_helps() -> None:
    p = policy(once("a"), cooldown=10)
    dismissed = [
        event(1, "forestall.intervention.dismissed", i, data={"policy": "p"}) for i in ("1", "2")
    ]
    helped = event(40.5, "forestall.intervention.helped", data={"policy": "p"})
    events = [event(0, "a"), *dismissed, event(39, "a"), event(40, "a"), helped, event(50, "a")]
    assert fates(run(p, *events)) == ["intervene", "fatigue", "intervene", "intervene"]


def test_never_stays_never() -> None:
    never = event(1, "forestall.intervention.dismissed", data={"policy": "p", "never": True})
    helped = event(2, "forestall.intervention.helped", data={"policy": "p"})
    assert fates(run(policy(once("a")), never, helped, event(3, "a"))) == ["fatigue"]


def test_the_budget_window_is_open_at_its_start_and_for_guidance_only() -> None:
    settings = DecideSettings(budget=2, budget_window=seconds(10), spacing=0)
    both = [policy(once("a"), "p"), policy(once("t"), "t", budget_class="transactional")]
    events = [event(i, "a") for i in (0, 1, 9.999, 10)]
    decisions = run(both, event(0, "t"), *events, event(10, "t"), settings=settings)
    assert fates(decisions) == [
        "intervene", "intervene", "intervene", "budget", "intervene", "intervene",
    ]  # fmt: skip


def test_spacing_counts_guidance_of_any_policy() -> None:
    settings = DecideSettings(spacing=seconds(10))
    both = [policy(once("a"), "p"), policy(once("b"), "q")]
    decisions = run(both, event(0, "a"), event(9.999, "b"), event(10, "b"), settings=settings)
    assert fates(decisions) == ["intervene", "spacing", "intervene"]


@pytest.mark.parametrize(
    ("hours", "moment", "zone", "quiet"),
    [
        ((22, 8), "2024-05-01T22:00:00Z", None, True),
        ((22, 8), "2024-05-01T21:59:59.999999Z", None, False),
        ((22, 8), "2024-05-02T08:00:00Z", None, False),
        ((9, 17), "2024-05-02T16:59:59Z", None, True),
        ((9, 9), "2024-05-02T09:00:00Z", None, False),
        ((2, 3), "2024-03-31T01:30:00Z", "Europe/Berlin", False),  # 03:30, the hour is skipped
        ((2, 3), "2024-10-27T00:30:00Z", "Europe/Berlin", True),  # 02:30 for the first time
        ((2, 3), "2024-10-27T01:30:00Z", "Europe/Berlin", True),  # 02:30 for the second time
        ((2, 3), "2024-10-27T02:30:00Z", "Nowhere/Land", True),
    ],
)
def test_quiet_hours_are_local_start_inclusive_end_exclusive(
    hours: tuple[int, int], moment: str, zone: str | None, quiet: bool
) -> None:
    settings = msgspec.structs.replace(FREE, quiet_hours=(hours[0] * 60, hours[1] * 60))
    identify = event(None, "forestall.identify", data={"traits": {"timezone": zone}})
    events = [identify | {"time": moment}, event(None, "a", "a") | {"time": moment}]
    both = [policy(once("a"), "p", quiet_hours="ignore"), policy(once("a"), "q", priority=99)]
    assert fates(run(both, *events, settings=settings)) == (
        ["intervene", "quiet_hours"] if quiet else ["outranked", "intervene"]
    )


def test_the_deployments_timezone_stands_in_for_the_subjects() -> None:
    settings = DecideSettings(quiet_hours=(14 * 60, 15 * 60), timezone="Europe/Berlin")
    assert fates(run(policy(once("a")), event(0, "a"), settings=settings)) == ["quiet_hours"]


def test_settings_hold_from_their_received_on() -> None:
    change = SettingsApplied(
        START + seconds(5), msgspec.structs.replace(FREE, require_consent=True), "test", "test"
    )
    decisions = run(policy(once("a")), event(4.999, "a"), event(5, "a"), controls=(change,))
    assert fates(decisions) == ["intervene", "no_consent"]


def test_arbitration_goes_by_priority_then_name_then_key() -> None:
    names = [("d", 50), ("c", 50), ("b", 49), ("e", 51)]
    some = [policy(once("a"), name, priority=priority) for name, priority in names]
    decisions = run(some, event(0, "a"))
    assert [(d["policy"], d["reason"]) for d in decisions] == [
        ("b", "outranked"), ("c", "outranked"), ("d", "outranked"), ("e", None),
    ]  # fmt: skip


def test_keys_of_one_deadline_are_ranked_by_their_bytes() -> None:
    p = policy(sequence(do("a"), no("b", quiet=10), by="event.data.k"))
    events = [event(0, "a", str(k), data={"k": k}) for k in (9, 10)]
    decisions = run(p, *events, event(60, "z"))
    assert [(d["key"], d["reason"]) for d in decisions] == [("10", None), ("9", "outranked")]


def test_a_policy_holdout_lets_the_next_one_win_and_counts_for_its_own_cooldown() -> None:
    held = policy(once("a"), "held", priority=60, holdout=1.0, cooldown=10)
    settings = DecideSettings(spacing=seconds(1))
    decisions = run([held, policy(once("a"), "q")], event(0, "a"), event(5, "a"), settings=settings)
    assert fates(decisions) == ["policy_holdout", "intervene", "cooldown", "intervene"]


def test_a_policy_holdout_is_no_guidance_act() -> None:
    held = policy(once("a"), "held", holdout=1.0)
    settings = DecideSettings(spacing=seconds(10), budget=1)
    decisions = run([held, policy(once("b"), "q")], event(0, "a"), event(5, "b"), settings=settings)
    assert fates(decisions) == ["policy_holdout", "intervene"]


def test_the_global_holdout_is_an_act_and_exempts_transactional_ones() -> None:
    settings = DecideSettings(holdout=1.0, spacing=seconds(10))
    both = [policy(once("a"), "p"), policy(once("t"), "t", budget_class="transactional")]
    decisions = run(both, event(0, "a"), event(1, "a"), event(2, "t"), settings=settings)
    assert fates(decisions) == ["global_holdout", "spacing", "intervene"]


def test_holdouts_are_a_hash_of_salt_and_subject() -> None:
    share = int.from_bytes(hashlib.sha256(b"salt:s").digest()[:8], "big") / 2**64
    assert not in_holdout("salt", "s", share - 1e-9)
    assert in_holdout("salt", "s", share + 1e-9)


def test_an_id_is_a_hash_of_what_makes_the_decision_unique() -> None:
    decision = run(policy(sequence(do("a"), do("b"), by="event.data.k")),
                   event(0, "a", "ä", data={"k": 1}), event(1, "b", "2", data={"k": 1}))[0]  # fmt: skip
    text = '["p","s","1","2024-05-01T12:00:01.000000Z",[["/test","ä"],["/test","2"]]]'
    assert decision["id"] == hashlib.sha256(text.encode()).hexdigest()


# The enumeration itself


@given(st.text("abn", max_size=9), st.sampled_from([None, 1, 3]))
def test_the_match_found_is_the_latest_of_all_that_the_definition_allows(
    word: str, within: int | None
) -> None:
    events = [
        Seen(Arrival(str(i), "/", kind, "s", i, i, "server", {}), i, i, {})
        for i, kind in enumerate(word)
    ]
    chain = links((do("a"), no("n"), do("b", times=2), do("a")))
    for last in range(len(events)):
        allowed = [
            (*chosen, last)
            for chosen in combinations(range(last), 3)
            if all(
                fits(link.positive, events[i])
                for link, i in zip(chain, (*chosen, last), strict=True)
            )
            and "n" not in word[chosen[0] + 1 : chosen[1]]
            and (within is None or last - chosen[0] <= within)
        ]
        best = max(allowed, key=lambda chosen: chosen[::-1], default=None)
        found = chain_match(chain, events, last, within)
        assert (found and tuple(e.position for e in found)) == best
        assert best is None or best[0] == max(chosen[0] for chosen in allowed)
