"""Policies beside each other: one that another always outranks."""

from collections.abc import Iterable

from forestall.contracts.errors import Problem
from forestall.contracts.instants import format_duration
from forestall.policy.language.canonical import pattern_hash
from forestall.policy.language.model import Policy
from forestall.policy.language.parse import Located


def outranked(located: Iterable[Located]) -> list[Problem]:
    """A warning for each policy that matches only where one of higher priority does.

    Same ``when``, same ``if``, no shorter cooldown, and no gate that the higher one has to pass
    alone: then the lower acts only while the higher may not, which is seldom meant.
    """
    by_pattern: dict[str, list[Located]] = {}
    for one in located:
        if one.policy.name:
            by_pattern.setdefault(pattern_hash(one.policy.when), []).append(one)
    found = []
    for alike in by_pattern.values():
        ranked = sorted(alike, key=lambda one: -one.policy.priority)
        for index, one in enumerate(ranked):
            higher = next((h for h in ranked[:index] if _outranks(h.policy, one.policy)), None)
            if higher is not None:
                found.append(_problem(one, higher))
    return found


def _outranks(higher: Policy, lower: Policy) -> bool:
    return (
        higher.priority > lower.priority
        and _text(higher.condition) == _text(lower.condition)
        and _features(higher) == _features(lower)
        and higher.cooldown <= lower.cooldown
        and higher.purpose == lower.purpose
        and higher.budget_class == lower.budget_class
        and higher.model in (None, lower.model)
        and (higher.in_conversation == "allow" or lower.in_conversation == "hold")
        and (higher.quiet_hours == "ignore" or lower.quiet_hours == "respect")
    )


def _text(condition: str | None) -> str | None:
    return None if condition is None else " ".join(condition.split())


def _features(policy: Policy) -> object:
    return policy.features if policy.condition and "features" in policy.condition else None


def _problem(one: Located, higher: Located) -> Problem:
    place = one.place("spec", "when")
    there = higher.place("metadata", "name")
    return Problem(
        one.source.file,
        place.line,
        place.column,
        "outranked",
        f"`{higher.policy.name}` has the same `when` and `if` and priority "
        f"{higher.policy.priority}, so it wins wherever both match",
        f"it is at {higher.source.file}:{there.line}, with a cooldown of "
        f"{format_duration(higher.policy.cooldown)}; give one of them an `if` of its own, or join them",
        "warning",
    )
