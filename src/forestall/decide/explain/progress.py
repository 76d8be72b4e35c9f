"""How far a pattern got for a key, and what was still missing. Pure."""

from collections.abc import Iterable

import msgspec

from forestall.contracts.instants import format_duration, format_time
from forestall.decide.patterns import Keys, KeyState
from forestall.policy.language.compile import PatternProgram
from forestall.policy.language.model import WILDCARD, Match


class Progress(msgspec.Struct, frozen=True):
    """How far the pattern got for one key: ``reached`` of ``steps``, and what is missing.

    ``at`` is the moment this was so.
    """

    key: str | None
    reached: int
    steps: int
    missing: str
    at: str


class Reach(msgspec.Struct, frozen=True):
    """The same for machines: the steps still ``lacking``, in order, at or ``before`` a time."""

    key: str | None
    reached: int
    lacking: tuple[int, ...]
    before: int | None


def reach(pattern: PatternProgram, key: str | None, state: KeyState, at: int) -> Reach:
    """How far ``key`` had come at ``at``; what has expired by then does not count."""
    if state.armed is not None:
        return Reach(key, len(pattern.positives), (), state.armed.deadline)
    return (_in_order if pattern.ordered else _together)(pattern, key, state, at)


def _in_order(pattern: PatternProgram, key: str | None, state: KeyState, at: int) -> Reach:
    reached, before = 0, None
    for step, prefix in enumerate(state.best, start=1):
        if prefix is None:
            continue
        ends = None if pattern.within is None else prefix[0] + pattern.within
        if ends is None or ends >= at:
            reached, before = step, ends
    return Reach(key, reached, tuple(range(reached, len(pattern.positives))), before)


def _together(pattern: PatternProgram, key: str | None, state: KeyState, at: int) -> Reach:
    within = pattern.within or 0
    latest = state.latest or (None,) * len(pattern.positives)
    held = [entry[0] for entry in latest if entry is not None and entry[0] + within >= at]
    lacking = tuple(
        step for step, entry in enumerate(latest) if entry is None or entry[0] + within < at
    )
    return Reach(key, len(held), lacking, min(held) + within if held else None)


def standing(pattern: PatternProgram, keys: Keys, at: int) -> tuple[Progress, ...]:
    """The progress of every key as of ``at``."""
    several = keys.items() or [(None, KeyState())]
    return tuple(told(pattern, reach(pattern, key, state, at), at) for key, state in several)


def told(pattern: PatternProgram, one: Reach, at: int) -> Progress:
    """What a ``Reach`` of the moment ``at`` means to people."""
    steps = len(pattern.positives)
    moment = format_time(at)
    if not one.lacking:
        until = "" if one.before is None else f" until {format_time(one.before)}"
        silent = f"nothing but silence{until} (no {names(pattern.trailing)})"
        missing = silent if pattern.trailing else "a condition that holds"
        return Progress(one.key, steps, steps, missing, moment)
    if pattern.ordered:
        return Progress(one.key, one.reached, steps, _next(pattern, one), moment)
    lacking = " and ".join(names(pattern.positives[step]) for step in one.lacking)
    within = format_duration(pattern.within or 0)
    whole = lacking if one.reached else f"{lacking}, all within {within}"
    return Progress(one.key, one.reached, steps, whole, moment)


def _next(pattern: PatternProgram, one: Reach) -> str:
    until = "" if one.before is None else f" at or before {format_time(one.before)}"
    missing = f"one more {names(pattern.positives[one.reached])}{until}"
    if one.reached - 1 in pattern.gaps:
        missing += f" with no {names(pattern.gaps[one.reached - 1])} before it"
    return missing


def names(match: Match | None) -> str:
    """An event as people call it, such as ``payment.declined where event.data.amount > 10``."""
    if match is None:
        return "event"
    where = f" where {match.where}" if match.where else ""
    return f"{named(match.types)}{where}"


def named(types: Iterable[str]) -> str:
    """Types as people call them."""
    return " or ".join("event of any type" if one == WILDCARD else one for one in types)
