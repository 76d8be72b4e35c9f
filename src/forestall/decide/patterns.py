"""Patterns: how far a subject's events have come towards a match (policy language, section 3). Pure.

For each prefix of a sequence it is enough to keep the match with the latest start; for ``all``,
the latest event of each step. State is kept per key, in the order in which keys were last touched.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from forestall.context.features import KEYS
from forestall.policy.language.compile import PatternProgram

Ref = tuple[str, str]
"""``(source, id)`` of an event."""

Prefix = tuple[int, tuple[Ref, ...]]
"""The start of a partial match and its events in log order."""

Latest = tuple[int, int, Ref]
"""Time, serial and reference of the latest event of one step of ``all``."""


class Moment(msgspec.Struct, frozen=True):
    """An event being decided, with what was true of its subject when it arrived at time ``at``.

    ``event`` is what conditions see: id, type, source, time, origin, data.
    """

    event: dict[str, Any]
    traits: dict[str, Any]
    at: int
    serial: int
    traceparent: str | None

    @property
    def ref(self) -> Ref:
        """What names the event among its subject's."""
        return self.event["source"], self.event["id"]


class Armed(msgspec.Struct, frozen=True):
    """A whole match waiting for silence: it becomes a candidate at ``deadline``.

    ``last`` is the moment of its last positive event.
    """

    deadline: int
    matched: tuple[Ref, ...]
    last: Moment


class KeyState(msgspec.Struct, frozen=True):
    """One key's progress: ``best`` of a sequence, ``latest`` of an ``all``."""

    best: tuple[Prefix | None, ...] = ()
    latest: tuple[Latest | None, ...] = ()
    armed: Armed | None = None


class Hits(msgspec.Struct, frozen=True):
    """Which steps of a pattern an event matches; ``positives`` and ``gaps`` by index."""

    positives: Sequence[int]
    gaps: Sequence[int]
    trailing: bool


Keys = dict[str | None, KeyState]


def advance(
    pattern: PatternProgram,
    keys: Keys,
    key: str | None,
    hits: Hits,
    moment: Moment,
    holds: Callable[[], bool],
) -> tuple[Ref, ...] | None:
    """Take an event that matches at least one step; the matched events if it makes a candidate.

    ``keys`` is changed in place; it may grow past the limit by one (see ``evict``). ``holds`` asks
    the policy's ``if`` and is called at most once.
    """
    state = keys.pop(key, None)
    if pattern.ordered:
        new, matched = _sequence(pattern, state, hits, moment, holds)
    else:
        new, matched = _all(pattern, state, hits, moment, holds)
    if new is not None:
        keys[key] = new
    return matched


def evict(keys: Keys) -> bool:
    """Drop the key touched longest ago if there are too many; whether one was dropped."""
    if len(keys) <= KEYS:
        return False
    del keys[next(iter(keys))]
    return True


def _sequence(
    pattern: PatternProgram,
    state: KeyState | None,
    hits: Hits,
    moment: Moment,
    holds: Callable[[], bool],
) -> tuple[KeyState | None, tuple[Ref, ...] | None]:
    last = len(pattern.positives) - 1
    nothing: tuple[Prefix | None, ...] = (None,) * last
    if state is None or hits.trailing:
        best, armed = nothing, None
    else:
        best, armed = state.best, state.armed
    new = list(best)
    for gap in hits.gaps:
        new[gap] = None
    t, ref = moment.at, moment.ref
    for step in reversed(hits.positives):
        if step == 0:
            extended: Prefix = (t, (ref,))
        else:
            before = best[step - 1]
            if before is None or (pattern.within is not None and t - before[0] > pattern.within):
                continue
            extended = (before[0], (*before[1], ref))
        if step < last:
            new[step] = extended
        elif pattern.trailing is None:
            if holds():
                return None, extended[1]
        elif armed is None:
            armed = Armed(t + pattern.quiet_for, extended[1], moment)
    if armed is None and not any(new):
        return None, None
    return KeyState(best=tuple(new), armed=armed), None


def _all(
    pattern: PatternProgram,
    state: KeyState | None,
    hits: Hits,
    moment: Moment,
    holds: Callable[[], bool],
) -> tuple[KeyState | None, tuple[Ref, ...] | None]:
    latest: list[Latest | None] = [None] * len(pattern.positives)
    if state is not None:
        latest[:] = state.latest
    for step in hits.positives:
        latest[step] = (moment.at, moment.serial, moment.ref)
    if all(latest):
        events = sorted({entry[1]: entry for entry in latest if entry}.values(), key=_serial)
        if moment.at - events[0][0] <= (pattern.within or 0) and holds():
            return None, tuple(entry[2] for entry in events)
    return KeyState(latest=tuple(latest)), None


def _serial(entry: Latest) -> int:
    return entry[1]
