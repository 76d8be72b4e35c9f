"""What the engine remembers of each subject, in a shape that can be written down. Pure."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from forestall.context import core
from forestall.context.core import Ids
from forestall.context.ids import REPEATED_WITHIN
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

FORGET_AFTER = DAY
"""How long what an event could still need is kept at least. Lateness may be raised up to this
without an effect on what was forgotten."""

ACTS_KEPT = 31 * DAY
"""How long acts of guidance are kept at least, whatever the budget's window."""


class Subject(msgspec.Struct, array_like=True, gc=False):
    """One subject: a deadline not after its next timer, its clock, its ledger, the ``Ids`` of its
    events, and by slot its features (``Window`` or ``Keyed``) and patterns, with and without keys.

    ``shadow`` holds the acts that policies in shadow mode would have done; the rest of it is unused.
    ``generation`` is that of its last event (see ``population``). ``epoch`` is that of the newest
    parting it has been through (see ``Parting``).
    """

    deadline: int = NEVER
    clock: int = 0
    serial: int = 0
    ids: Any = msgspec.field(default_factory=Ids)
    features: dict[int, Any] = {}
    patterns: dict[int, Progress | dict[str, Progress]] = {}
    ledger: Ledger | None = None
    shadow: Ledger | None = None
    generation: int = 0
    epoch: int = 0


AtRest = Subject
"""A subject as it is written down."""

if not TYPE_CHECKING and core.Subject is not None:
    Subject = core.Subject


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


def idle(subject: Subject, needs: Needs) -> bool:
    """Whether there may be something to forget: no event lately, or ids that are too old."""
    if subject.clock <= needs.settled:
        return True
    oldest = subject.ids.oldest()
    return oldest is not None and oldest < needs.received - REPEATED_WITHIN


def forget(subject: Subject, needs: Needs) -> bool:
    """Forget what no window, pattern or gate can need again; whether nothing at all is left."""
    floor = max(subject.clock, needs.settled)
    ids = subject.ids.left(needs.received - REPEATED_WITHIN)
    for slot, state in list(subject.features.items()):
        feature = needs.features.get(slot)
        over = None if feature is None else feature.over
        if feature is None or (over is not None and not state.left(floor - over)):
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
        not (ids or subject.features or subject.patterns)
        and subject.ledger in (None, Ledger())
        and subject.shadow in (None, Ledger())
        and subject.clock <= needs.settled
    )


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
