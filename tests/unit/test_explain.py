"""Explain: why, why not, and what would have to differ."""

import pytest
from msgspec.structs import replace

from forestall.contracts.control import Control, DecideSettings
from forestall.contracts.instants import DAY, HOUR, SECOND
from forestall.decide.backtest import opening
from forestall.decide.explain import Explanation, explain
from forestall.policy.bundle import Bundle
from forestall.policy.language.model import Policy
from scenario import OPEN, START, event, instant, on, records


def why(
    policy: Policy, *lines: bytes, at: float = 99, settings: DecideSettings = OPEN
) -> Explanation:
    controls: list[Control] = opening(Bundle(policies=(policy,)), settings)
    return explain(controls, records(*lines), "u", policy.name, START + round(at * SECOND))


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
