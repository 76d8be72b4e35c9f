"""What the engine remembers of each subject, in a shape that can be written down. Pure."""

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from forestall.context.features import Keyed, Window, expire
from forestall.contracts.control import DecideSettings
from forestall.contracts.decision import Mode
from forestall.contracts.instants import DAY
from forestall.decide.confidence import Entry
from forestall.decide.gates import Ledger, Switches
from forestall.decide.patterns import Progress, Run, Steps, Together
from forestall.policy.language.compile import Program
from forestall.policy.language.model import Feature, Policy

NEVER: Final = 2**62
"""A deadline that does not come."""

REPEATED_WITHIN: Final = 7 * DAY
"""How long after an event another with its source and id is taken for the same."""

IDS: Final = 100_000
"""Ids remembered per subject and source; beyond that the oldest are forgotten."""

MANY: Final = 32
"""From so many ids of a source on, the times of further ones lie in an array."""

FORGET_AFTER = DAY
"""How long what an event could still need is kept at least. Lateness may be raised up to this
without an effect on what was forgotten."""

ACTS_KEPT = 31 * DAY
"""How long acts of guidance are kept at least, whatever the budget's window."""


class Subject(msgspec.Struct, array_like=True, gc=False):
    """One subject: a deadline not after its next timer, its clock, its ledger, when which id of
    which source was ``received``, and feature and pattern state by slot, with and without keys.

    ``shadow`` holds the acts that policies in shadow mode would have done; the rest of it is unused.
    ``generation`` is that of its last event (see ``population``). ``received`` has the times of a
    source's newest ids, in order, where ``seen`` has none. ``epoch`` is that of the newest parting it
    has been through (see ``Parting``).
    """

    deadline: int = NEVER
    clock: int = 0
    serial: int = 0
    seen: dict[str, dict[str, int | None]] = {}
    features: dict[int, Window | Keyed] = {}
    patterns: dict[int, Progress | dict[str, Progress]] = {}
    ledger: Ledger | None = None
    shadow: Ledger | None = None
    generation: int = 0
    received: dict[str, Any] | None = None
    epoch: int = 0


class Parting(msgspec.Struct, frozen=True, array_like=True):
    """A canary whose ``when`` is not that of the live version parts subjects: as of ``epoch``, those
    in its ``share`` have not been in the ``live`` slot, and the others not in the ``canary`` one."""

    epoch: int
    salt: str
    policy: str
    share: float
    live: int
    canary: int


ProgramAtRest = tuple[int, str, Mode, float, Policy]
"""A program's slot, version, mode, share and policy."""


class ViewAtRest(msgspec.Struct, frozen=True):
    """What held at one moment (see ``force.View``)."""

    settings: DecideSettings
    switches: Switches
    services: dict[str, Any]
    programs: list[ProgramAtRest]
    models: tuple[Entry, ...]
    thresholds: dict[str, float]
    epoch: int


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A whole engine at rest. ``past`` is what held until which ``received``; ``subjects`` are
    packed."""

    now: ViewAtRest
    past: list[tuple[int, ViewAtRest]]
    numbers: dict[str, dict[str, Any]]
    received: int
    slots: int
    features: list[tuple[Feature, int]]
    partings: list[Parting]
    subjects: dict[str, bytes]
    counters: dict[str, int]


class Needs(msgspec.Struct, frozen=True):
    """What policies in force can still ask for, as of the log time ``received``. No event that
    counts for them can have an effective time before ``settled`` any more."""

    received: int
    settings: DecideSettings
    features: Mapping[int, Feature]
    programs: Mapping[int, Program]
    settled: int


NEVER_SETTLED: Final = -(2**62)
"""Where control events count, which are never late and so may have any time."""


def settled(received: int, settings: DecideSettings) -> int:
    """The time before which no event can be effective any more, as of ``received``."""
    return received - max(settings.lateness, FORGET_AFTER)


def repeats(subject: Subject, source: str, name: str, received: int) -> bool:
    """Whether an id that is known was so within ``REPEATED_WITHIN``; if not, it is known anew."""
    horizon = received - REPEATED_WITHIN
    kept = subject.seen[source][name]
    if kept is not None and kept >= horizon:
        return True
    _forget_ids(subject, source, horizon)
    ids = subject.seen.setdefault(sys.intern(source), {})
    if name in ids:
        return True
    if len(ids) < MANY:
        ids[name] = received
    else:
        ids[name] = None
        keep_time(subject, source, received)
    return False


def keep_time(subject: Subject, source: str, received: int) -> int:
    """Keep when the newest of a source's many ids came; how many had to be forgotten, as too many."""
    if subject.received is None:
        subject.received = {}
    times = subject.received.get(source)
    if times is None:
        times = subject.received[sys.intern(source)] = array("q")
    times.append(received)
    if len(times) <= IDS - MANY:
        return 0
    _drop_oldest(subject, source, IDS // 100)
    return IDS // 100


def idle(subject: Subject, needs: Needs) -> bool:
    """Whether there may be something to forget: no event lately, or ids that are too old."""
    if subject.clock <= needs.settled:
        return True
    horizon = needs.received - REPEATED_WITHIN
    return any(_oldest(subject, source) < horizon for source in subject.seen)


def _oldest(subject: Subject, source: str) -> int:
    first = next(iter(subject.seen[source].values()))
    return int((subject.received or {})[source][0]) if first is None else first


def forget(subject: Subject, needs: Needs) -> bool:
    """Forget what no window, pattern or gate can need again; whether nothing at all is left."""
    floor = max(subject.clock, needs.settled)
    for source in list(subject.seen):
        _forget_ids(subject, source, needs.received - REPEATED_WITHIN)
    for slot, state in list(subject.features.items()):
        feature = needs.features.get(slot)
        if feature is None or not _in_window(state, feature.over, floor):
            del subject.features[slot]
    for slot, progress in list(subject.patterns.items()):
        program = needs.programs.get(slot)
        if program is None or not _may_match(progress, program.pattern.within, floor):
            del subject.patterns[slot]
    kept = max(needs.settings.budget_window, needs.settings.spacing, ACTS_KEPT)
    for ledger in (subject.ledger, subject.shadow):
        if ledger is not None:
            del ledger.guidance_acts[: bisect_right(ledger.guidance_acts, floor - kept)]
    return (
        not (subject.seen or subject.features or subject.patterns)
        and subject.ledger in (None, Ledger())
        and subject.shadow in (None, Ledger())
        and subject.clock <= needs.settled
    )


def _forget_ids(subject: Subject, source: str, horizon: int) -> None:
    """Forget a source's ids from before ``horizon``."""
    ids, old = subject.seen[source], 0
    for received in ids.values():
        if received is None:
            old += bisect_left((subject.received or {})[source], horizon)
            break
        if received >= horizon:
            break
        old += 1
    if old:
        _drop_oldest(subject, source, old)


def _drop_oldest(subject: Subject, source: str, count: int) -> None:
    """Forget a source's oldest ``count`` ids; where few are left, each has its time again."""
    ids = subject.seen[source]
    times = (subject.received or {}).get(source)
    if times is not None:
        del times[: max(0, count - (len(ids) - len(times)))]
    for name in list(islice(ids, count)):
        del ids[name]
    if subject.received and times is not None and len(ids) < MANY:
        ids.update(zip(list(ids)[len(ids) - len(times) :], times, strict=True))
        del subject.received[source]
    if not ids:
        del subject.seen[source]


def _in_window(state: Window | Keyed, over: int | None, floor: int) -> bool:
    if over is None:
        return True
    if isinstance(state, Window):
        expire(state, floor - over)
        return len(state) > 0
    for window in state.windows.values():
        expire(window, floor - over)
    return any(len(window) for window in state.windows.values())


def _may_match(progress: Progress | dict[str, Progress], within: int | None, floor: int) -> bool:
    if within is None:
        return True
    if not isinstance(progress, dict):
        return _may(progress, floor - within)
    left = [_may(one, floor - within) for one in progress.values()]
    return any(left)


def _may(progress: Progress, earliest: int) -> bool:
    """Whether a match that started at ``earliest`` or later is left, or one is armed."""
    match progress:
        case Run(events):
            while events and events[0] < earliest:
                del events[:3]
            return bool(events) or progress.armed is not None
        case Steps(best):
            progress.best = [one if one and one[0] >= earliest else None for one in best]
            return any(progress.best) or progress.armed is not None
        case Together(latest):
            progress.latest = [one if one and one[0] >= earliest else None for one in latest]
            return any(progress.latest)
