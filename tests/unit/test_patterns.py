"""Patterns, by the words of the policy language, section 3."""

import pytest

from forestall.context.features import KEYS
from scenario import decide, event, on, told


def test_one_event() -> None:
    policy = on("{event: a, where: event.data.n > 1}")
    lines = [event(0, "a", {"n": 1}), event(1, "a", {"n": 2}), event(2, "b", {"n": 3})]
    assert told(decide(policy, lines)) == ["1 p intervene"]


def test_a_sequence_matches_in_order_with_others_between() -> None:
    policy = on("{sequence: [{event: a}, {event: b}], within: 10s}")
    lines = [event(0, "b"), event(1, "a"), event(2, "x"), event(3, "b")]
    (only,) = decide(policy, lines)
    assert told([only]) == ["3 p intervene"]
    assert only.matched == ("a@1", "b@3")


def test_within_is_inclusive() -> None:
    policy = on("{sequence: [{event: a}, {event: b}], within: 10s}")
    assert told(decide(policy, [event(0, "a"), event(10, "b")])) == ["10 p intervene"]
    assert decide(policy, [event(0, "a"), event(10.000001, "b")]) == []


def test_the_latest_start_is_kept() -> None:
    policy = on("{sequence: [{event: a}, {event: b}, {event: c}], within: 10s}")
    lines = [event(0, "a"), event(5, "a"), event(6, "b"), event(14, "c")]
    assert decide(policy, lines)[0].matched == ("a@5", "b@6", "c@14")


def test_times_repeats_a_step_and_one_event_serves_one_step() -> None:
    policy = on("{sequence: [{event: a, times: 3}]}")
    lines = [event(t, "a") for t in range(7)]
    assert told(decide(policy, lines)) == ["2 p intervene", "5 p intervene"]


def test_the_event_that_completes_starts_no_new_match() -> None:
    policy = on("{sequence: [{event: a, times: 2}]}")
    assert told(decide(policy, [event(t, "a") for t in range(3)])) == ["1 p intervene"]


def test_a_negative_between_forbids_its_events_strictly_between() -> None:
    policy = on("{sequence: [{event: a}, {not: n}, {event: b}]}")
    assert decide(policy, [event(0, "a"), event(1, "n"), event(2, "b")]) == []
    assert told(decide(policy, [event(0, "n"), event(1, "a"), event(2, "b")])) == ["2 p intervene"]


def test_an_event_may_end_a_match_that_it_would_forbid_between() -> None:
    policy = on("{sequence: [{event: a}, {not: b}, {event: b}]}")
    assert told(decide(policy, [event(0, "a"), event(1, "b")])) == ["1 p intervene"]


def test_a_trailing_absence_is_noticed_at_its_deadline() -> None:
    policy = on("{sequence: [{event: a}, {not: b, for: 30s}]}")
    assert told(decide(policy, [event(0, "a"), event(60, "x")])) == ["30 p intervene"]
    assert decide(policy, [event(0, "a"), event(29, "b"), event(60, "x")]) == []


def test_an_event_at_the_deadline_comes_in_time() -> None:
    policy = on("{sequence: [{event: a}, {not: b, for: 30s}]}")
    assert decide(policy, [event(0, "a"), event(30, "b"), event(60, "x")]) == []


def test_grace_gives_an_event_that_happened_in_time_the_chance_to_arrive() -> None:
    policy = on("{sequence: [{event: a}, {not: b, for: 30s}]}")
    in_time = [event(0, "a"), event(29, "b", received=32), event(60, "x")]
    assert decide(policy, in_time) == []
    too_late = [event(0, "a"), event(29, "b", received=32.000001), event(60, "x")]
    assert told(decide(policy, too_late)) == ["30 p intervene"]


def test_the_history_must_pass_deadline_and_grace() -> None:
    policy = on("{sequence: [{event: a}, {not: b, for: 30s}]}")
    other = {"subject": "other"}
    assert decide(policy, [event(0, "a"), event(32, "x", **other)]) == []  # type: ignore[arg-type]
    beyond = [event(0, "a"), event(32.000001, "x", **other)]  # type: ignore[arg-type]
    assert told(decide(policy, beyond)) == ["30 p intervene"]


def test_a_trailing_negative_clears_what_began_before_it() -> None:
    policy = on("{sequence: [{event: a, times: 2}, {not: b, for: 5s}]}")
    lines = [event(0, "a"), event(1, "b"), event(2, "a"), event(60, "x")]
    assert decide(policy, lines) == []


def test_armed_once_it_waits_for_the_first_deadline() -> None:
    policy = on("{sequence: [{event: a}, {not: b, for: 30s}]}")
    (only,) = decide(policy, [event(0, "a"), event(20, "a"), event(90, "x")])
    assert told([only]) == ["30 p intervene"]
    assert only.matched == ("a@0",)


def test_all_in_any_order() -> None:
    policy = on("{all: [{event: a}, {event: b}], within: 10s}")
    (only,) = decide(policy, [event(0, "b"), event(10, "a")])
    assert only.matched == ("b@0", "a@10")
    assert decide(policy, [event(0, "b"), event(10.000001, "a")]) == []


def test_all_lists_an_event_that_serves_two_steps_once() -> None:
    policy = on("{all: [{event: [a, b]}, {event: a}], within: 10s}")
    assert decide(policy, [event(0, "a")])[0].matched == ("a@0",)


def test_when_if_is_false_nothing_is_consumed() -> None:
    when = "{sequence: [{event: a}, {event: b}]}"
    policy = on(when, **{"if": "event.data.ok"})
    lines = [event(0, "a"), event(1, "b", {"ok": False}), event(2, "b", {"ok": True})]
    assert decide(policy, lines)[0].matched == ("a@0", "b@2")


def test_a_false_if_at_the_deadline_consumes() -> None:
    when = "{sequence: [{event: a}, {not: b, for: 5s}]}"
    policy = on(when, **{"if": "event.data.ok"})
    lines = [event(0, "a", {"ok": False}), event(60, "a", {"ok": True}), event(99, "x")]
    assert told(decide(policy, lines)) == ["65 p intervene"]


def test_a_where_that_errors_is_false_when_positive_and_true_when_negative() -> None:
    positive = on("{event: a, where: event.data.missing == 1}")
    assert decide(positive, [event(0, "a")]) == []
    negative = on("{sequence: [{event: a}, {not: n, where: event.data.missing == 1}, {event: b}]}")
    assert decide(negative, [event(0, "a"), event(1, "n"), event(2, "b")]) == []


def test_by_splits_and_null_or_errors_take_no_part() -> None:
    policy = on("{sequence: [{event: a, times: 2}], by: event.data.k}")
    keys = ["x", "y", None, None, 1, 1.0]
    lines = [event(t, "a", {"k": key}) for t, key in enumerate(keys)]
    lines += [event(9, "a"), event(10, "a")]
    assert told(decide(policy, lines)) == ["5 p intervene 1"]


def test_an_intervention_clears_every_key_of_its_policy() -> None:
    policy = on("{sequence: [{event: a, times: 2}], by: event.data.k}")
    lines = [event(0, "a", {"k": 1}), event(1, "a", {"k": 2}), event(2, "a", {"k": 2})]
    lines.append(event(3, "a", {"k": 1}))
    assert told(decide(policy, lines)) == ["2 p intervene 2"]


def test_a_suppressed_candidate_clears_its_own_key_only() -> None:
    policy = on("{sequence: [{event: a, times: 2}], by: event.data.k}")
    lines = [event(0, "forestall.optout"), event(1, "a", {"k": 1}), event(2, "a", {"k": 2})]
    lines += [event(3, "a", {"k": 2}), event(4, "forestall.optin"), event(5, "a", {"k": 1})]
    assert told(decide(policy, lines)) == ["3 p opted_out 2", "5 p intervene 1"]


@pytest.mark.parametrize(("keys", "acts"), [(KEYS, 1), (KEYS + 1, 0)])
def test_at_most_64_keys_the_one_touched_longest_ago_goes(keys: int, acts: int) -> None:
    policy = on("{sequence: [{event: a, times: 2}], by: event.data.k}")
    lines = [event(t, "a", {"k": t}) for t in range(keys)]
    assert len(decide(policy, [*lines, event(99, "a", {"k": 0})])) == acts


def test_a_wildcard_is_any_type_but_our_own() -> None:
    policy = on('{event: "*"}')
    assert told(decide(policy, [event(0, "forestall.optin"), event(1, "z")])) == ["1 p intervene"]


def test_numeric_keys_are_shortest_and_maps_are_sorted() -> None:
    keyed = on("{sequence: [{event: a}], by: event.data.k}")
    lines = [event(0, "a", {"k": {"b": 2.0, "a": [1.5, "é"]}})]
    assert decide(keyed, lines)[0].key == '{"a":[1.5,"é"],"b":2}'
