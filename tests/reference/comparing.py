"""The engine and the reference side by side."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from forestall.contracts.control import Control, DecideSettings, PoliciesApplied, PolicyInForce
from forestall.contracts.decision import Mode
from forestall.decide.backtest import decide_history
from forestall.policy.language.canonical import canonical, version
from forestall.policy.language.model import Policy
from reference.deciding import decide
from reference.matching import key_text

FREE = DecideSettings(budget=1000, spacing=0)


@dataclass(frozen=True)
class Scenario:
    """All that deciding depends on."""

    policies: list[Policy]
    events: list[dict[str, Any]]
    settings: DecideSettings
    controls: list[Control] = field(default_factory=list)


def put_in_force(
    received: int,
    live: Sequence[Policy],
    canary: Sequence[tuple[Policy, float]] = (),
    shadow: Sequence[Policy] = (),
) -> PoliciesApplied:
    """The control record that puts exactly these in force, those in canary with their shares."""
    some: list[tuple[Policy, Mode, float]] = [(one, "live", 1.0) for one in live]
    some += [(one, "canary", share) for one, share in canary]
    some += [(one, "shadow", 1.0) for one in shadow]
    entries = tuple(
        PolicyInForce(one.name, version(one), msgspec.Raw(canonical(one)), mode, share)
        for one, mode, share in some
    )
    return PoliciesApplied(received, entries, {}, "test", "test")


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
            "confidence": msgspec.to_builtins(list(decision.confidence))
            if decision.confidence is not msgspec.UNSET
            else None,
        }
        for decision in decided
    ]


def reference(scenario: Scenario) -> list[dict[str, Any]]:
    """The reference's decisions."""
    return decide(scenario.policies, scenario.events, scenario.settings, scenario.controls)


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


def run(
    policies: Policy | list[Policy],
    *events: dict[str, Any],
    settings: DecideSettings = FREE,
    controls: Sequence[Control] = (),
) -> list[dict[str, Any]]:
    """The reference's decisions, once the engine has agreed."""
    some = [policies] if isinstance(policies, Policy) else policies
    scenario = Scenario(some, list(events), settings, list(controls))
    agree(scenario)
    return reference(scenario)
