"""Patterns by enumeration: a match is a choice of events, tried one after the other."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from forestall.policy.language.model import Match, Step, When
from reference.expressions import Failed, equal, evaluate, holds, is_number
from reference.history import Seen


class Link(NamedTuple):
    """A positive step (repetitions written out) and the negative step before it, if any."""

    positive: Match
    forbidden: Match | None


def of_type(match: Match, kind: str) -> bool:
    """Whether an event type is among those of ``match``."""
    return kind in match.types or ("*" in match.types and not kind.startswith("forestall."))


@lru_cache(maxsize=65_536)
def fits(match: Match, event: Seen, negative: bool = False) -> bool:
    """Whether ``event`` matches, judged once; a ``where`` that errors counts only on a negative step."""
    return of_type(match, event.arrival.type) and holds(match.where, event.names, negative)


@lru_cache
def links(steps: tuple[Step, ...]) -> list[Link]:
    """The positive steps of a sequence, each with what may not happen before it."""
    found: list[Link] = []
    forbidden: Match | None = None
    for step in steps:
        if step.negative:
            forbidden = step.match
            continue
        found.append(Link(step.match, forbidden))
        found.extend([Link(step.match, None)] * (step.times - 1))
        forbidden = None
    return found


def trailing(when: When) -> Step | None:
    """The negative step that ends a sequence, if one does."""
    last = when.steps[-1]
    return last if last.negative else None


def choices(chain: Sequence[Link], events: Sequence[Seen], last: int) -> Iterator[tuple[int, ...]]:
    """Every choice of positions for ``chain`` that ends at position ``last``, latest first.

    Latest first means: the greatest position for the last step but one, among these the greatest
    for the one before, and so on. This is the match that the specification's prefixes keep.
    """
    if not fits(chain[-1].positive, events[last]):
        return
    if len(chain) == 1:
        yield (last,)
        return
    forbidden = chain[-1].forbidden
    for before in range(last - 1, -1, -1):
        for earlier in choices(chain[:-1], events, before):
            yield (*earlier, last)
        if forbidden is not None and fits(forbidden, events[before], negative=True):
            return


def chain_match(
    chain: Sequence[Link], events: Sequence[Seen], last: int, within: int | None
) -> list[Seen] | None:
    """The match of ``chain`` that ends at position ``last`` of ``events``, if there is one."""
    for positions in choices(chain, events, last):
        if within is None or events[last].t - events[positions[0]].t <= within:
            return [events[position] for position in positions]
    return None


def all_match(when: When, events: Sequence[Seen]) -> list[Seen] | None:
    """The match of an ``all`` pattern at the last of ``events``, if there is one."""
    if not any(fits(step.match, events[-1]) for step in when.steps):
        return None
    chosen: dict[int, Seen] = {}
    for step in when.steps:
        fitting = [event for event in events if fits(step.match, event)]
        if not fitting:
            return None
        chosen[fitting[-1].position] = fitting[-1]
    matched = [chosen[position] for position in sorted(chosen)]
    if when.within is not None and events[-1].t - matched[0].t > when.within:
        return None
    return matched


def match_at(when: When, events: Sequence[Seen]) -> list[Seen] | None:
    """The match that the last of ``events`` completes; no timer is needed for it."""
    if when.kind == "all":
        return all_match(when, events)
    if trailing(when) is not None:
        return None
    return chain_match(links(when.steps), events, len(events) - 1, when.within)


class Armed(NamedTuple):
    """A timer: a match that waits for its trailing absence."""

    deadline: int
    matched: list[Seen]


def unbroken(when: When, events: Sequence[Seen]) -> Sequence[Seen]:
    """What is left of ``events`` since the last one that the trailing step forbids, inclusive."""
    step = trailing(when)
    if step is not None:
        for index in range(len(events) - 1, -1, -1):
            if fits(step.match, events[index], negative=True):
                return events[index:]
    return events


def armed(when: When, events: Sequence[Seen]) -> Armed | None:
    """The timer that stands after ``events``: that of the first match since the last break."""
    step = trailing(when)
    if step is None or step.quiet_for is None:
        return None
    rest = unbroken(when, events)
    chain = links(when.steps)
    for last in range(len(rest)):
        matched = chain_match(chain, rest, last, when.within)
        if matched:
            return Armed(rest[last].t + step.quiet_for, matched)
    return None


def has_state(when: When, events: Sequence[Seen]) -> bool:
    """Whether anything of ``events`` (one key's, since it was cleared) is still remembered."""
    if when.kind == "all":
        return any(fits(step.match, event) for event in events for step in when.steps)
    if armed(when, events):
        return True
    rest = unbroken(when, events)
    chain = links(when.steps)
    for length in range(1, len(chain)):
        forbidden = chain[length].forbidden
        for last in range(len(rest) - 1, -1, -1):
            if chain_match(chain[:length], rest, last, when.within):
                return True
            if forbidden is not None and fits(forbidden, rest[last], negative=True):
                break
    return False


def touched(when: When, event: Seen) -> bool:
    """Whether ``event`` matches any step, positive or negative."""
    return any(fits(step.match, event, step.negative) for step in when.steps)


def key_text(value: Any) -> str:
    """Compact JSON with sorted keys and numbers in their shortest form."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value):
        return str(int(value)) if value == int(value) else repr(value).replace("e-0", "e-")
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(key_text, value)) + "]"
    if isinstance(value, dict):
        pairs = sorted(value.items())
        return "{" + ",".join(f"{key_text(k)}:{key_text(v)}" for k, v in pairs) + "}"
    raise Failed("not JSON")


@lru_cache(maxsize=65_536)
def key_of(by: str, event: Seen) -> str | None:
    """The event's key, none where ``by`` errors or is null."""
    try:
        value = evaluate(by, event.names)
        return None if equal(value, None) else key_text(value)
    except Failed:
        return None
