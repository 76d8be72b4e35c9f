"""The reference, and the engine beside it, on features, conditions, gates and arbitration."""

import hashlib
from typing import Any

import msgspec
import pytest

from forestall.contracts.control import (
    DecideSettings,
    ServiceState,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.policy.language.canonical import version
from reference.comparing import FREE, run
from reference.expressions import Failed, evaluate, holds
from reference.sharing import in_holdout
from reference.writing import (
    START,
    do,
    event,
    fates,
    feature,
    matched,
    no,
    once,
    policy,
    seconds,
    sequence,
)

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
    again = [event(80, "a", data={"k": 1}), event(81, "a", data={"k": 99})]
    ends = [event(90, "b", data={"k": k}, name=str(k)) for k in (1, 2)]
    decisions = run(keyed, *events, *again, *ends)
    assert [d["features"]["f"] for d in decisions] == [10.0, None]
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
    keyed = policy(sequence(do("a"), do("b"), by="event.data.k"))
    events = [event(0, "a", "ä", data={"k": 1}), event(1, "b", "2", data={"k": 1})]
    decision = run(keyed, *events)[0]
    rest = '"s","1","2024-05-01T12:00:01.000000Z",[["/test","ä"],["/test","2"]]'
    text = f'["{version(keyed)}",{rest}]'
    assert decision["id"] == hashlib.sha256(text.encode()).hexdigest()
