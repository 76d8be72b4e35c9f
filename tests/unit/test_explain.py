"""Explain: why, why not, and what would have to differ."""

from collections.abc import Sequence

import msgspec
import pytest
from msgspec.structs import replace

from forestall.contracts.control import Control, DecideSettings, SwitchesApplied
from forestall.contracts.instants import DAY, HOUR, SECOND, parse_time
from forestall.decide.backtest import opening
from forestall.decide.explain import Explanation, explain, text
from forestall.decide.explain.changes import Fixed, words
from forestall.policy.bundle import Bundle
from forestall.policy.language.model import Policy
from scenario import OPEN, START, event, instant, on, records


def why(
    policy: Policy,
    *lines: bytes,
    at: float = 99,
    settings: DecideSettings = OPEN,
    others: Sequence[Policy] = (),
    controls: Sequence[Control] = (),
) -> Explanation:
    first = opening(Bundle(policies=(policy, *others)), settings)
    moment = START + round(at * SECOND)
    return explain([*first, *controls], records(*lines), "u", policy.name, moment)


def refused(found: Explanation) -> dict[str, str | None]:
    return {gate.reason: gate.until for gate in found.gates if gate.refuses}


def test_yes_shows_the_decision_and_that_every_gate_let_it_pass() -> None:
    found = why(on("{event: a}"), event(0, "a"))
    assert found.decision is not None
    assert found.decision.matched == ("a@0",)
    assert [gate.reason for gate in found.gates][:2] == ["killed", "opted_out"]
    assert refused(found) == {}


def test_later_decisions_and_events_are_left_alone() -> None:
    found = why(on("{event: a}"), event(0, "a"), event(50, "a"), at=49)
    assert found.decision is not None
    assert found.decision.at == instant(0)
    assert [seen.id for seen in found.events] == ["a@0"]


def test_no_says_how_far_the_pattern_got_and_what_was_missing() -> None:
    policy = on("{sequence: [{event: a, times: 2}, {not: n}, {event: b}], within: 10m}")
    found = why(policy, event(0, "a"), event(1, "a"))
    (progress,) = found.progress
    assert (progress.reached, progress.steps) == (2, 3)
    assert progress.missing == f"one more b at or before {instant(600)} with no n before it"
    assert "2 of 3 steps" in found.summary
    expired = why(policy, event(0, "a"), event(1, "a"), at=3600)
    assert expired.progress[0].reached == 0


def test_an_all_pattern_names_what_is_lacking() -> None:
    found = why(on("{all: [{event: a}, {event: b}], within: 10m}"), event(0, "a"))
    assert found.progress[0].missing == "b"


def test_silence_that_is_still_waited_for() -> None:
    found = why(on("{sequence: [{event: a}, {not: b, for: 1h}]}"), event(0, "a"))
    assert found.progress[0].missing == f"nothing but silence until {instant(3600)} (no b)"


def test_every_gate_that_refused_is_named_with_its_end() -> None:
    settings = replace(OPEN, budget=1, budget_window=DAY, spacing=HOUR, quiet_hours=(720, 780))
    policy = on("{event: a}", cooldown="2h")
    ignoring = replace(policy, quiet_hours="ignore")
    first = why(ignoring, event(0, "a"), event(5, "a"), settings=settings)
    assert refused(first) == {
        "cooldown": instant(7200),
        "budget": instant(86400),
        "spacing": instant(3600),
    }
    assert "It would have acted if" in first.summary
    assert refused(why(policy, event(0, "a"), settings=settings)) == {"quiet_hours": instant(3600)}


@pytest.mark.parametrize(
    ("control", "data", "reason", "remedy"),
    [
        ("forestall.optout", {}, "opted_out", "the customer had opted in again"),
        (
            "forestall.ticket.opened",
            {"ticket": "1"},
            "in_conversation",
            "the open tickets (1) had been closed",
        ),
        (
            "forestall.intervention.dismissed",
            {"policy": "p", "never": True},
            "fatigue",
            "the customer had not said never to it",
        ),
    ],
)
def test_what_only_the_customer_can_change(
    control: str, data: dict[str, object], reason: str, remedy: str
) -> None:
    found = why(on("{event: a}"), event(0, control, data), event(1, "a"))
    assert refused(found) == {reason: None}
    assert remedy in found.summary


def test_consent_names_its_purpose() -> None:
    settings = replace(OPEN, require_consent=True)
    assert (
        "consented to `support`" in why(on("{event: a}"), event(0, "a"), settings=settings).summary
    )


def test_a_policy_that_was_not_in_force() -> None:
    controls = opening(Bundle(policies=(on("{event: a}"),)), OPEN)
    found = explain(controls, records(event(0, "a")), "u", "q", START + SECOND)
    assert found.summary == "No policy called q was in force."
    assert found.version is None


def test_per_key_progress_and_decisions() -> None:
    policy = on("{sequence: [{event: a, times: 2}], by: event.data.k}")
    found = why(policy, event(0, "a", {"k": 1}), event(1, "a", {"k": 2}))
    assert {one.key: one.reached for one in found.progress} == {"1": 1, "2": 1}


# -- what would have to differ ----------------------------------------------------------------------


def differ(found: Explanation) -> list[str]:
    assert found.counterfactual is not None
    assert found.counterfactual.certain
    return [words(change) for change in found.counterfactual.changes]


def fixed(found: Explanation) -> list[str]:
    assert found.counterfactual is not None
    assert not found.counterfactual.certain
    assert found.counterfactual.acts_at is None
    return [one.reason for one in found.counterfactual.changes if isinstance(one, Fixed)]


def test_a_yes_needs_no_counterfactual_and_names_its_events() -> None:
    found = why(on("{sequence: [{event: a, times: 2}]}"), event(0, "a"), event(7, "a"))
    assert (found.answer, found.counterfactual) == ("yes", None)
    assert [(one.time, one.type, one.id) for one in found.matched] == [
        (instant(0), "a", "a@0"),
        (instant(7), "a", "a@7"),
    ]
    assert "Yes, at 2024-05-01T12:00:07Z." in found.summary


def test_one_more_event_in_time_would_have_matched() -> None:
    policy = on("{sequence: [{event: a, times: 3}], within: 10m}")
    found = why(policy, event(0, "a"), event(10, "a"), at=3600)
    assert differ(found) == ["one more `a` had come by 2024-05-01T12:10:00Z"]
    assert found.furthest is not None
    assert (found.furthest.reached, found.furthest.at) == (2, instant(10))
    assert found.summary == (
        "No: at 2024-05-01T12:00:10Z it had 2 of 3 steps. It would have acted if one more `a` had"
        " come by 2024-05-01T12:10:00Z."
    )


def test_several_more_events_are_counted_and_named() -> None:
    policy = on("{sequence: [{event: a, times: 4}, {event: b, where: event.data.n >= 3}]}")
    assert differ(why(policy, event(0, "a"))) == [
        "three more `a` had come",
        "one more `b` where `event.data.n >= 3` had come",
    ]
    assert differ(why(on("{event: a}"))) == ["one more `a` had come"]


def test_the_gates_that_time_opens_are_told_with_their_ends() -> None:
    settings = replace(OPEN, budget=1, budget_window=4 * HOUR)
    policy = on("{event: a}", cooldown="2h")
    found = why(policy, event(0, "a"), event(5, "a"), settings=settings)
    assert differ(found)[0] == (
        "it had happened at 2024-05-01T16:00:00Z (the cooldown ends at 2024-05-01T14:00:00Z and"
        " the budget frees at 2024-05-01T16:00:00Z)"
    )
    assert found.counterfactual is not None
    assert found.counterfactual.acts_at == instant(4 * 3600)
    assert found.counterfactual.again
    assert "had come" not in found.summary


def test_an_open_gate_later_may_meet_quiet_hours() -> None:
    settings = replace(OPEN, quiet_hours=(13 * 60, 8 * 60))
    found = why(on("{event: a}", cooldown="2h"), event(0, "a"), event(5, "a"), settings=settings)
    assert found.counterfactual is not None
    assert found.counterfactual.acts_at == "2024-05-02T08:00:00.000000Z"
    assert "quiet hours end at 2024-05-02T08:00:00Z" in found.summary


def test_quiet_hours_end_where_the_customer_is_on_a_day_when_the_clocks_change() -> None:
    start = parse_time("2024-03-31T00:30:00Z")
    at = (start - START) / SECOND
    settings = replace(OPEN, quiet_hours=(60, 150), timezone="Europe/Berlin")
    found = why(on("{event: a}"), event(at, "a"), at=at + 9, settings=settings)
    assert refused(found) == {"quiet_hours": "2024-03-31T01:00:00.000000Z"}
    assert found.counterfactual is not None
    assert found.counterfactual.acts_at == "2024-03-31T01:00:00.000000Z"


def test_a_dismissal_once_and_for_all_is_told_with_its_event() -> None:
    policy = on("{event: a}", cooldown="10s")
    once = event(1, "forestall.intervention.dismissed", {"policy": "p"})
    later = why(policy, event(0, "a"), once, event(15, "a"))
    assert differ(later)[0] == (
        "it had happened at 2024-05-01T12:00:20Z"
        " (the pause after a dismissal ends at 2024-05-01T12:00:20Z)"
    )
    never = event(1, "forestall.intervention.dismissed", {"policy": "p", "never": True})
    found = why(policy, event(0, "a"), never, event(15, "a"))
    assert differ(found)[0].endswith("never to it (forestall.intervention.dismissed@1)")
    alias = event(
        1, "forestall.alias", {"from": "x", "dismissals": {"p": {"count": 1, "never": True}}}
    )
    assert differ(why(policy, alias, event(15, "a")))[0].endswith("(forestall.alias@1)")


def test_everything_that_refuses_is_named_together() -> None:
    settings = replace(OPEN, require_consent=True, budget=0)
    lines = [
        event(0, "forestall.optout", {}),
        event(1, "forestall.ticket.opened", {"ticket": 7}),
        event(2, "a"),
    ]
    controls = [SwitchesApplied(START, ("p",), False, "lead", "incident")]
    found = why(on("{event: a}"), *lines, settings=settings, controls=controls)
    assert list(refused(found)) == [
        "killed",
        "opted_out",
        "no_consent",
        "in_conversation",
        "budget",
    ]
    assert differ(found)[:5] == [
        "`p`, and everything, had been switched on",
        "the budget of guidance had been at least 1",
        "the customer had opted in again",
        "the customer had consented to `support`",
        "the open tickets (7) had been closed",
    ]


def test_a_policy_that_came_first_is_named() -> None:
    others = [on("{event: a}", name, priority=80) for name in ("q", "r")]
    found = why(on("{event: a}"), event(0, "a"), others=others)
    assert differ(found)[0] == "`q` and `r`, which came first, had been switched off"


def test_a_policy_that_would_come_first_is_named() -> None:
    settings = replace(OPEN, spacing=HOUR)
    found = why(on("{event: a}"), settings=settings, others=[on("{event: a}", "q", priority=80)])
    assert differ(found) == [
        "`q`, which came first, had been switched off",
        "one more `a` had come",
    ]


def test_each_part_of_the_condition_that_was_false_is_named() -> None:
    policy = on(
        "{event: a}",
        features={"n": {"count": "a", "over": "1m"}},
        **{
            "if": "features.n >= 3 && event.data.x < 2 && subject.plan == 'pro' && event.type == 'a'"
        },
    )
    found = why(policy, event(0, "a", {"x": 5}))
    assert differ(found)[:3] == [
        "`features.n` had been at least 3 (it was 1)",
        "`event.data.x` had been below 2 (it was 5)",
        '`subject.plan` had been equal to "pro" (it was missing)',
    ]
    assert found.furthest is not None
    assert found.furthest.missing.startswith("a condition that holds: ")


def test_a_condition_at_a_deadline() -> None:
    policy = on("{sequence: [{event: a}, {not: b, for: 1m}]}", **{"if": "event.data.x > 5"})
    found = why(policy, event(0, "a", {"x": 2}), at=3600)
    assert differ(found)[0] == "`event.data.x` had been above 5 (it was 2)"
    assert found.counterfactual is not None
    assert (found.counterfactual.acts_at or "") > instant(60)


def test_silence_that_was_broken() -> None:
    policy = on("{sequence: [{event: a}, {not: b, for: 1m}]}")
    found = why(policy, event(0, "a"), event(20, "b"), at=3600)
    assert differ(found) == ["no `b` had come by 2024-05-01T12:01:00Z"]
    assert found.counterfactual is not None
    assert found.counterfactual.kept == 1


def test_a_key_is_kept() -> None:
    policy = on("{sequence: [{event: a}, {event: b}], by: event.data.order}")
    found = why(policy, event(0, "a", {"order": "o1"}))
    assert differ(found) == ['one more `b` for "o1" had come']


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (on("{event: a}", holdout=1), "policy_holdout"),
        (on("{event: a}", **{"if": "event.data.x > 1 || subject.vip"}), "complex_condition"),
        (on("{event: a, where: event.data.x > 1 || subject.vip}"), "complex_where"),
        (on('{sequence: [{event: a}, {event: b}], by: "event.data.x + 1"}'), "complex_key"),
        (
            on("{sequence: [{event: b}, {event: a, where: event.data.x == 1}]}",
               **{"if": "event.data.x > 1"}),
            "contradiction",
        ),
        (on("{sequence: [{event: b}, {event: a}, {not: a, for: 1m}]}"), "not_found"),
        (on("{event: a}", model={"name": "m", "threshold": 0.5}), "low_confidence"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_nothing_can_be_done_about_is_named(policy: Policy, reason: str) -> None:
    found = why(policy, event(0, "b"), event(1, "a", {"y": 1}))
    assert fixed(found) == [reason]
    assert "It could only have acted if" in found.summary


def test_the_global_holdout_and_a_policy_that_is_not_there() -> None:
    held = why(on("{event: a}"), event(0, "a"), settings=replace(OPEN, holdout=1.0))
    assert fixed(held) == ["global_holdout"]
    assert "kept aside to measure everything" in held.summary
    controls = opening(Bundle(policies=()), OPEN)
    assert fixed(explain(controls, [], "u", "q", START)) == ["not_in_force"]


def test_of_several_keys_at_one_moment_the_one_that_was_looked_at_is_explained() -> None:
    policy = on("{sequence: [{event: a}, {not: b, for: 5s}], by: event.data.k}", cooldown="1h")
    found = why(policy, event(0, "a", {"k": 2}), event(0, "a", {"k": 1}, event_id="other"))
    assert found.decision is not None
    assert (found.answer, found.decision.key) == ("yes", "1")


def test_late_and_repeated_events_do_not_count() -> None:
    policy = on("{sequence: [{event: a, times: 3}]}")
    lines = [event(0, "a"), event(0, "a"), event(1, "a", received=400)]
    found = why(policy, *lines, at=500)
    assert [one.steps for one in found.events] == [(1, 2, 3), (), ()]
    assert found.furthest is not None
    assert found.furthest.reached == 1


def test_the_text_starts_with_what_happened() -> None:
    policy = on("{sequence: [{event: a, times: 2}], within: 10m}", cooldown="1h")
    lines = [event(0, "a"), event(1, "view"), event(2, "a"), event(3, "a"), event(4.5, "a")]
    said = text(why(policy, *lines)).splitlines()
    assert said[:8] == [
        "p for u at 2024-05-01T12:01:39Z",
        "",
        "what happened (UTC):",
        "  2024-05-01T12:00:00Z  a  a@0  (counts)",
        "  2024-05-01T12:00:01Z  view  view@1",
        "  2024-05-01T12:00:02Z  a  a@2  (counts)",
        "  2024-05-01T12:00:03Z  a  a@3  (counts)",
        "  2024-05-01T12:00:04.5Z  a  a@4.5  (counts)",
    ]
    assert "  NO  cooldown until 2024-05-01T13:00:02Z" in said
    assert said[-1] == "  0 of 2; missing: one more a"
    assert "  nothing" in text(why(policy))


def test_everything_is_written_as_json() -> None:
    found = msgspec.json.decode(msgspec.json.encode(why(on("{event: a}"), event(0, "b"))))
    (change,) = found["counterfactual"]["changes"]
    assert (change["change"], change["types"], change["count"]) == ("add", ["a"], 1)
