"""Difference: which customers' decisions two sets of policies make differently, and why. Pure.

Both sets decide over the same history in one pass, chunk by chunk. Decisions are paired by policy,
subject, key and moment; what has no partner stands alone.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from forestall.contracts.control import Control, DecideSettings
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import format_duration, format_time, parse_time
from forestall.decide.backtest import features_of
from forestall.decide.engine import Engine
from forestall.decide.patterns import KeyState
from forestall.policy.language.compile import PatternProgram

Place = tuple[str, str, str | None, str]
"""Policy, subject, key and moment: what pairs decisions."""

NOTHING = "no decision"


class Difference(msgspec.Struct, frozen=True):
    """One customer and moment at which a policy decides differently; ``old`` or ``new`` is none
    where that set makes no decision."""

    old: Decision | None
    new: Decision | None

    @property
    def decision(self) -> Decision:
        """The newer of what there is."""
        found = self.new or self.old
        assert found is not None  # noqa: S101
        return found

    @property
    def row(self) -> tuple[str, str, str]:
        """The policy, and what became what: the total that this counts towards."""
        return self.decision.policy, verdict(self.old), verdict(self.new)


class Totals(msgspec.Struct):
    """What a comparison counted. ``rows`` are differences by policy and what became what;
    ``gained`` and ``lost`` are interventions that only the new or only the old set makes."""

    events: int = 0
    old: int = 0
    new: int = 0
    rows: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    gained: int = 0
    lost: int = 0

    def add(self, differences: Iterable[Difference]) -> None:
        """Count ``differences``."""
        for one in differences:
            self.rows[one.row] += 1
            before, after = (_acts(made) for made in (one.old, one.new))
            self.gained += after and not before
            self.lost += before and not after


def _acts(decision: Decision | None) -> bool:
    return decision is not None and decision.outcome == "intervene"


def verdict(decision: Decision | None) -> str:
    """``intervene``, ``suppress (cooldown)`` and so on, or that there is no decision."""
    if decision is None:
        return NOTHING
    return f"{decision.outcome} ({decision.reason})" if decision.reason else decision.outcome


class Samples:
    """At most ``limit`` differences for each row of the totals, the first ones."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: dict[tuple[str, str, str], list[Difference]] = {}

    def add(self, differences: Iterable[Difference]) -> None:
        """Keep those of ``differences`` that there is room for."""
        for one in differences:
            kept = self._rows.setdefault(one.row, [])
            if len(kept) < self._limit:
                kept.append(one)

    def chosen(self) -> list[Difference]:
        """``limit`` differences in the order of time: one of each row in turn, so that no kind is
        left out early; rows with interventions first."""
        order = sorted(self._rows, key=lambda row: ("intervene" not in row[1:], row))
        rows = [self._rows[row] for row in order]
        turns = (row[turn] for turn in range(self._limit) for row in rows if turn < len(row))
        return sorted(
            (one for one, _ in zip(turns, range(self._limit), strict=False)),
            key=lambda one: (one.decision.at, one.decision.subject, one.row),
        )


class Chunks(Protocol):
    """Records in log order, to be iterated once; ``tick`` is the log time at the end, known then.
    ``decide.history.History`` is one."""

    tick: int | None

    def __iter__(self) -> Iterator[Sequence[Record]]: ...


def compare(
    old: Sequence[Control],
    new: Sequence[Control],
    history: Chunks,
    settings: DecideSettings,
    totals: Totals,
) -> Iterator[list[Difference]]:
    """Differences over a history; ``totals`` are counted on the way.

    ``old`` and ``new`` put the two sets in force. An unpaired decision is held back for as long as
    its partner may still come: lateness and grace of ``settings``.
    """
    engines = _engine(old), _engine(new)
    pairing = Pairing()
    wait = settings.lateness + settings.grace
    for records in history:
        made = [[one for _, one in engine.process(records)] for engine in engines]
        totals.events += len(records)
        found = pairing.take(made[0], made[1], records[-1].received - wait)
        yield from _counted(found, made, totals)
    made = [[] if history.tick is None else engine.tick(history.tick) for engine in engines]
    yield from _counted(pairing.take(made[0], made[1], None), made, totals)


def _counted(
    found: list[Difference], made: Sequence[list[Decision]], totals: Totals
) -> Iterator[list[Difference]]:
    totals.old += len(made[0])
    totals.new += len(made[1])
    totals.add(found)
    if found:
        yield found


def _engine(controls: Sequence[Control]) -> Engine:
    engine = Engine()
    engine.keep(features_of(controls))
    for control in sorted(controls, key=lambda control: control.received):
        engine.control(control)
    return engine


class Pairing:
    """Decisions of two sets, each of which waits for its partner."""

    def __init__(self) -> None:
        self._waiting: tuple[dict[Place, deque[Decision]], ...] = ({}, {})

    def take(
        self, old: Iterable[Decision], new: Iterable[Decision], before: int | None
    ) -> list[Difference]:
        """Pair these too; differing pairs, and what is still alone of earlier than ``before``."""
        for waiting, made in zip(self._waiting, (old, new), strict=True):
            for one in made:
                waiting.setdefault(_place(one), deque()).append(one)
        found = [*self._pairs(), *self._alone(None if before is None else format_time(before))]
        return sorted(found, key=lambda one: _place(one.decision))

    def _pairs(self) -> Iterator[Difference]:
        before, after = self._waiting
        for place in before.keys() & after.keys():
            mine, theirs = before[place], after[place]
            while mine and theirs:
                one = Difference(mine.popleft(), theirs.popleft())
                if verdict(one.old) != verdict(one.new):
                    yield one
            if not mine:
                del before[place]
            if not theirs:
                del after[place]

    def _alone(self, before: str | None) -> Iterator[Difference]:
        for number, waiting in enumerate(self._waiting):
            due = [place for place in waiting if before is None or place[3] < before]
            for place in due:
                for one in waiting.pop(place):
                    yield Difference(one, None) if number == 0 else Difference(None, one)


def _place(decision: Decision) -> Place:
    return decision.policy, decision.subject, decision.key, decision.at


# -- why -------------------------------------------------------------------------------------------


class Side(msgspec.Struct, frozen=True):
    """One set, deciding again over one customer's records up to a moment."""

    decisions: tuple[Decision, ...]
    unmet: bool
    state: KeyState | None
    pattern: PatternProgram | None


def why(
    difference: Difference,
    old: Sequence[Control],
    new: Sequence[Control],
    records: Sequence[Record],
    settings: DecideSettings,
) -> tuple[str, str]:
    """Why each set decides as it does. ``records`` are the subject's, in log order."""
    one = difference.decision
    sides = (_again(controls, records, one, settings) for controls in (old, new))
    pairs = zip((difference.old, difference.new), sides, strict=True)
    before, after = (_told_why(made, side, one) for made, side in pairs)
    return before, after


def absent(
    one: Decision, controls: Sequence[Control], records: Sequence[Record], settings: DecideSettings
) -> str:
    """Why a set, which ``controls`` put in force, decides nothing where ``one`` was decided.

    ``records`` are the subject's, in log order.
    """
    return _told_why(None, _again(controls, records, one, settings), one)


def _again(
    controls: Sequence[Control],
    records: Sequence[Record],
    one: Decision,
    settings: DecideSettings,
) -> Side:
    at = parse_time(one.at)
    engine = _engine(controls)
    asked: list[bool] = []
    engine.unmet = lambda program, given: (
        asked.append(True)
        if program.policy.name == one.policy and given[2].nanos == at * 1000
        else None
    )
    made: list[Decision] = []
    for record in records:
        if min(record.time, record.received) > at:
            break
        made += [decision for _, decision in engine.process([record])]
    made += engine.tick(at + settings.grace + 1)
    program, _, keys = engine.standing(one.subject, one.policy, at)
    return Side(
        tuple(decision for decision in made if decision.at <= one.at),
        bool(asked),
        keys.get(one.key),
        None if program is None else program.pattern,
    )


def _told_why(made: Decision | None, side: Side, one: Decision) -> str:
    if made is not None:
        return because(made, side.decisions)
    if side.pattern is None:
        return "there is no such policy in this set"
    if side.unmet:
        return "the pattern completed, but `if` did not hold"
    earlier = [d for d in side.decisions if (d.policy, d.key) == (one.policy, one.key)]
    began = f"; it last decided at {earlier[-1].at} and began anew" if earlier else ""
    progress = _progress(side.pattern, side.state, parse_time(one.at))
    return f"the pattern had not completed: {progress}{began}"


def _progress(pattern: PatternProgram, state: KeyState | None, at: int) -> str:
    steps = len(pattern.positives)
    bound = "" if pattern.within is None else f" within {format_duration(pattern.within)}"
    if state is None:
        return f"0 of {steps} steps stood{bound}"
    if state.armed is not None:
        silence = format_duration(pattern.quiet_for)
        until = format_time(state.armed.deadline)
        return f"all steps stood, and {silence} of silence would have ended at {until}"
    parts = state.best if pattern.ordered else state.latest
    stood = [
        number
        for number, part in enumerate(parts, start=1)
        if part is not None and (pattern.within is None or at - part[0] <= pattern.within)
    ]
    reached = max(stood, default=0) if pattern.ordered else len(stood)
    return f"{reached} of {steps} steps stood{bound}"


def because(made: Decision, decisions: Sequence[Decision]) -> str:
    """The decision's own sentence, with the act that stood in its way where there is one.

    ``decisions`` are the subject's in the same set, up to that moment.
    """
    if made.reason == "outranked":
        blame = [d for d in decisions if d.at == made.at and _is_act(d)]
    elif made.reason in ("cooldown", "fatigue"):
        blame = [d for d in decisions if d.at < made.at and _own_act(d, made.policy)]
    elif made.reason in ("spacing", "budget"):
        blame = [d for d in decisions if d.at < made.at and _is_act(d)]
    else:
        blame = []
    act = f" The act was that of {blame[-1].policy} at {blame[-1].at}." if blame else ""
    return made.explanation + act


def _is_act(decision: Decision) -> bool:
    return decision.outcome == "intervene" or decision.reason == "global_holdout"


def _own_act(decision: Decision, policy: str) -> bool:
    return decision.policy == policy and decision.outcome != "suppress"
