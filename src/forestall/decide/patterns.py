"""Patterns: how far a subject's events have come towards a match (policy language, section 3). Pure.

For each prefix of a sequence it is enough to keep the match with the latest start; for ``all``,
the latest event of each step. ``advance_of`` gives, for the shape of a pattern, the function that
takes an event.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from forestall.context.features import KEYS
from forestall.decide.occasion import Moment, Occasion, Ref
from forestall.policy.language.compile import PatternProgram, Program

Prefix = tuple[int, tuple[Ref, ...]]
"""The start of a partial match and its events in log order."""

Latest = tuple[int, int, Ref]
"""Time, serial and reference of the latest event of one step of ``all``."""

Truth = bool | None
"""What a condition says; none where it errors or is not a bool."""


class Armed(msgspec.Struct, frozen=True, array_like=True):
    """A whole match waiting for silence: it becomes a candidate at ``deadline``.

    ``last`` is the moment of its last positive event.
    """

    deadline: int
    matched: tuple[Ref, ...]
    last: Moment


class Run(msgspec.Struct, array_like=True, tag=0, gc=False):
    """Progress of one repeated step: time, source and id of each of the newest events, flat."""

    events: list[Any] = []
    armed: Armed | None = None


class Steps(msgspec.Struct, array_like=True, tag=1, gc=False):
    """Progress of a sequence: ``best`` holds the latest start of each prefix but the whole."""

    best: list[Prefix | None]
    armed: Armed | None = None


class Together(msgspec.Struct, array_like=True, tag=2, gc=False):
    """Progress of an ``all``: the latest event of each step. Nothing is ever armed."""

    latest: list[Latest | None]
    armed: None = None


Progress = Run | Steps | Together
"""What is remembered of one pattern and key."""


class PatternUse(msgspec.Struct, frozen=True):
    """A pattern that events of one type concern. ``positives`` and ``gaps`` are pairs of step and
    index of its condition among the type's, ``trailing`` and ``key`` such indices.

    ``last`` is the index of the last positive step, ``ask`` that of the ``if`` among the type's.
    """

    slot: int
    program: Program
    advance: "Advance"
    key: int
    positives: tuple[tuple[int, int], ...]
    gaps: tuple[tuple[int, int], ...]
    trailing: int | None
    last: int
    ask: int


Holds = Callable[[PatternUse, Occasion], bool]
"""Asks a policy's ``if``."""

Advanced = tuple[Progress | None, tuple[Ref, ...] | None]
"""What is remembered now, if anything; the matched events where there is a candidate."""


def evict(keys: dict[str, Any]) -> bool:
    """Drop the key touched longest ago if there are too many; whether one was dropped."""
    if len(keys) <= KEYS:
        return False
    del keys[next(iter(keys))]
    return True


def single(
    use: PatternUse, _: Progress | None, truths: Sequence[Truth], now: Occasion, holds: Holds
) -> Advanced:
    """A pattern of one event: it is a match by itself."""
    if truths[use.positives[0][1]] is True and holds(use, now):
        return None, (now.ref(),)
    return None, None


def _run(
    use: PatternUse, state: Any, truths: Sequence[Truth], now: Occasion, holds: Holds
) -> Advanced:
    """One step repeated: every event of it serves every step, so the newest are the best."""
    if use.trailing is not None and truths[use.trailing] is not False:
        state = None
    if not use.positives or truths[use.positives[0][1]] is not True:
        return state, None
    pattern, t = use.program.pattern, now.at
    if state is None:
        state = Run()
    events = state.events
    if len(events) == 3 * use.last:
        if not events or pattern.within is None or t - events[0] <= pattern.within:
            if pattern.trailing is None:
                if holds(use, now):
                    return None, (*refs(events), now.ref())
            elif state.armed is None:
                matched = (*refs(events), now.ref())
                state.armed = Armed(t + pattern.quiet_for, matched, now.moment())
        del events[:3]
    if use.last:
        events += (t, *now.ref())
    return state, None


def refs(events: Sequence[Any]) -> list[Ref]:
    """The references of the events of a ``Run``."""
    return list(zip(events[1::3], events[2::3], strict=True))


def _sequence(  # noqa: C901 (one pass over the steps, for speed)
    use: PatternUse, state: Any, truths: Sequence[Truth], now: Occasion, holds: Holds
) -> Advanced:
    pattern, t, last = use.program.pattern, now.at, use.last
    if state is None:
        best: list[Prefix | None] = [None] * last
        armed = None
    else:
        best, armed = state.best, state.armed
    if use.trailing is not None and truths[use.trailing] is not False:
        best, armed = [None] * last, None
    new = best
    for gap, where in use.gaps:
        if truths[where] is not False:
            new = list(best) if new is best else new
            new[gap] = None
    for step, where in reversed(use.positives):
        if truths[where] is not True:
            continue
        if step == 0:
            extended: Prefix = (t, (now.ref(),))
        else:
            before = best[step - 1]
            if before is None or (pattern.within is not None and t - before[0] > pattern.within):
                continue
            extended = (before[0], (*before[1], now.ref()))
        if step < last:
            new[step] = extended
        elif pattern.trailing is None:
            if holds(use, now):
                return None, extended[1]
        elif armed is None:
            armed = Armed(t + pattern.quiet_for, extended[1], now.moment())
    if armed is None and not any(new):
        return None, None
    if state is None:
        return Steps(new, armed), None
    state.best, state.armed = new, armed
    return state, None


def _all(
    use: PatternUse, state: Any, truths: Sequence[Truth], now: Occasion, holds: Holds
) -> Advanced:
    pattern, hit = use.program.pattern, False
    for step, where in use.positives:
        if truths[where] is True:
            if state is None:
                state = Together([None] * (use.last + 1))
            state.latest[step] = (now.at, now.serial, now.ref())
            hit = True
    if hit and all(state.latest):
        events = sorted({entry[1]: entry for entry in state.latest}.values(), key=_serial)
        if now.at - events[0][0] <= (pattern.within or 0) and holds(use, now):
            return None, tuple(entry[2] for entry in events)
    return state, None


def _serial(entry: Latest) -> int:
    return entry[1]


Advance = Callable[[PatternUse, Any, Sequence[Truth], Occasion, Holds], Advanced]
"""Takes an event: the use, what is remembered, what each condition says of the event, the event,
and whom to ask for the ``if``, at most once. Changes what is remembered in place."""


def advance_of(pattern: PatternProgram) -> Advance:
    """What takes a pattern's events: a single event, one step repeated, any other sequence, any
    order."""
    if not pattern.ordered:
        return _all
    if pattern.gaps or any(match != pattern.positives[0] for match in pattern.positives):
        return _sequence
    return single if len(pattern.positives) == 1 and pattern.trailing is None else _run


class KeyState(msgspec.Struct, frozen=True):
    """One key's progress as people and tools look at it: ``best`` of a sequence, ``latest`` of an
    ``all``."""

    best: tuple[Prefix | None, ...] = ()
    latest: tuple[Latest | None, ...] = ()
    armed: Armed | None = None


Keys = dict[str | None, KeyState]


def told(pattern: PatternProgram, state: Progress) -> KeyState:
    """What ``state`` amounts to; what ``within`` has ended is left out."""
    match state:
        case Steps():
            return KeyState(best=tuple(state.best), armed=state.armed)
        case Together():
            return KeyState(latest=tuple(state.latest))
    times, found = state.events[::3], refs(state.events)
    best: list[Prefix | None] = []
    for length in range(1, len(pattern.positives)):
        start = times[-length] if length <= len(times) else None
        if start is None or (pattern.within is not None and times[-1] - start > pattern.within):
            best.append(None)
        else:
            best.append((start, tuple(found[-length:])))
    return KeyState(best=tuple(best), armed=state.armed)
