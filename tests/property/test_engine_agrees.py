"""The engine and the brute-force reference agree on every decision.

500 examples in the ordinary suite, always the same ones; ``pytest -m soak`` (or the environment
variable ``FORESTALL_SOAK=1``) takes 20,000 new ones.
"""

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from forestall.contracts.control import DecideSettings
from forestall.decide.backtest import decide_history
from forestall.policy.language.canonical import version
from property.scenarios import Scenario, crowds, scenarios
from reference.deciding import decide
from reference.matching import key_text
from reference.writing import event, feature, once, policy

SOAK = int(os.environ.get("FORESTALL_SOAK_EXAMPLES", "20000"))
FREE = DecideSettings(budget=1000, spacing=0)
ALL_CHECKS = list(HealthCheck)
ordinary = settings(
    max_examples=500, derandomize=True, deadline=None, suppress_health_check=ALL_CHECKS
)
few = settings(ordinary, max_examples=100)
many = settings(
    max_examples=SOAK,
    derandomize=False,
    deadline=None,
    database=None,
    suppress_health_check=ALL_CHECKS,
)


def engine(scenario: Scenario) -> list[dict[str, Any]]:
    """The engine's decisions as the reference writes them."""
    lines = [json.dumps(line, ensure_ascii=False).encode() for line in scenario.events]
    decided = decide_history(scenario.policies, lines, scenario.settings, scenario.controls)
    return [
        {
            "id": decision.id,
            "policy": decision.policy,
            "version": decision.version,
            "mode": decision.mode,
            "subject": decision.subject,
            "key": decision.key,
            "at": decision.at,
            "outcome": decision.outcome,
            "reason": decision.reason,
            "matched": list(decision.matched),
            "features": decision.features,
        }
        for decision in decided
    ]


def reference(scenario: Scenario) -> list[dict[str, Any]]:
    """The reference's decisions."""
    return decide(
        scenario.policies,
        scenario.events,
        scenario.settings,
        scenario.controls,
        version_of=version,
        known=scenario.known,
    )


def by_subject(decisions: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Decisions of each subject in their order; features told apart as CEL does."""
    found: dict[str, list[dict[str, Any]]] = {}
    for decision in decisions:
        values = {name: key_text(value) for name, value in decision["features"].items()}
        found.setdefault(decision["subject"], []).append(decision | {"features": values})
    return found


def agree(scenario: Scenario) -> None:
    """Fail where the two differ."""
    assert by_subject(engine(scenario)) == by_subject(reference(scenario))


@ordinary
@given(scenarios())
def test_the_engine_agrees_with_the_reference(scenario: Scenario) -> None:
    agree(scenario)


@few
@given(crowds())
def test_the_engine_agrees_on_more_keys_than_are_kept(scenario: Scenario) -> None:
    agree(scenario)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@many
@given(scenarios())
def test_the_engine_agrees_with_the_reference_at_length(scenario: Scenario) -> None:
    agree(scenario)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@settings(many, max_examples=SOAK // 10)
@given(crowds())
def test_the_engine_agrees_on_more_keys_at_length(scenario: Scenario) -> None:
    agree(scenario)


def test_the_engine_agrees_on_more_events_than_a_feature_remembers() -> None:
    kept = {
        "first": feature("first", "a", value="event.data.x"),
        "least": feature("min", "a", value="event.data.x", over=60),
        "count": feature("count", "a", over=60),
        "late": feature("count", "a", over=2),
        "since": feature("since", "c"),
        "keyed": feature("first", "a", value="event.data.x", by="event.data.k"),
    }
    some = [policy(once("b"), features=kept)]
    many_events = [event(i / 5000, "a", str(i), data={"x": i, "k": i % 3}) for i in range(10_005)]
    ends = [event(3 + i, "b", data={"k": i}) for i in range(4)]
    agree(Scenario(some, [event(0, "c"), *many_events, *ends], FREE))
    assert reference(Scenario(some, [*many_events, ends[0]], FREE))[0]["features"] == {
        "first": 5, "least": 5, "count": 10_000, "late": 5004, "since": None, "keyed": 6,
    }  # fmt: skip
