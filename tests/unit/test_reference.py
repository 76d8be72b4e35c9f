"""The reference, and the engine beside it, on time, order and patterns; each test is named by its
rule."""

from itertools import combinations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.control import (
    DecideSettings,
    PoliciesApplied,
    SwitchesApplied,
)
from forestall.policy.language.canonical import version
from forestall.policy.language.model import Policy
from reference.comparing import put_in_force, run
from reference.history import Arrival, Seen
from reference.matching import chain_match, fits, key_text, links
from reference.writing import (
    START,
    at,
    do,
    event,
    every,
    fates,
    feature,
    matched,
    moments,
    no,
    once,
    policy,
    seconds,
    sequence,
)

TWICE = sequence(do("a"), do("b"))
ABSENCE = sequence(do("a"), no("b", quiet=10))


def applied(received: float, *policies: Policy) -> PoliciesApplied:
    """A set of policies taking effect."""
    return put_in_force(START + seconds(received), policies)


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
    new = policy(ABSENCE, priority=60)
    same = run(policy(ABSENCE), *events, controls=(applied(13, new),))
    assert [d["version"] for d in same] == [version(policy(ABSENCE))]
    assert run([], *events, controls=(applied(13, new),)) == []


def test_every_gate_of_one_deadline_is_evaluated_before_any_decision_takes_effect() -> None:
    settings = DecideSettings(budget=1, spacing=600_000_000)
    two = [policy(ABSENCE, "p"), policy(ABSENCE, "q", priority=60)]
    decisions = run(two, event(0, "a"), event(60, "z"), settings=settings)
    assert [(d["policy"], d["reason"]) for d in decisions] == [("p", "outranked"), ("q", None)]


def test_pattern_state_survives_a_version_that_leaves_when_alone() -> None:
    first, second = policy(TWICE), policy(TWICE, cooldown=5)
    other = policy(sequence(do("a"), do("b"), within=60))
    events = [event(0, "a"), event(9, "b")]
    kept = run(first, *events, controls=(applied(5, second),))
    assert [(d["version"], d["matched"]) for d in kept] == [(version(second), ["a@0", "b@9"])]
    assert run(first, *events, controls=(applied(5, other),)) == []


def test_a_policy_that_was_gone_starts_empty() -> None:
    first = policy(TWICE)
    controls = (applied(4), applied(5, first))
    assert run(first, event(0, "a"), event(9, "b"), controls=controls) == []


def test_a_timer_belongs_to_the_versions_that_its_deadline_saw() -> None:
    first = policy(ABSENCE)
    gone = {12.0: [], 12.1: ["intervene"]}
    for moment, expected in gone.items():
        decisions = run(first, event(0, "a"), event(60, "z"), controls=(applied(moment),))
        assert fates(decisions) == expected


def test_a_new_feature_is_filled_from_before_its_version() -> None:
    first = policy(once("b"))
    second = policy(once("b"), features={"f": feature("count", "a", over=60)})
    decisions = run(first, event(0, "a"), event(9, "b"), controls=(applied(5, second),))
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


@pytest.mark.parametrize("held", [{"holdout": 1.0}, {}])
def test_a_holdout_clears_every_key_of_the_policy(held: dict[str, Any]) -> None:
    p = policy(sequence(do("a"), do("b"), by="event.data.k"), **held)
    k1, k2 = {"k": 1}, {"k": 2}
    events = [event(0, "a", data=k1), event(1, "a", data=k2), event(2, "b", data=k1)]
    settings = DecideSettings(holdout=1.0)
    decisions = run(p, *events, event(3, "b", data=k2), settings=settings)
    assert [d["outcome"] for d in decisions] == ["holdout"]


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
