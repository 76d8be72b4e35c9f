"""Decide a subject's records again, and note what happened to one policy on the way. Pure."""

import copy
from collections.abc import Sequence
from typing import Any

import msgspec

from forestall.contracts.control import Control
from forestall.contracts.decision import Decision, Mode
from forestall.contracts.event import Record
from forestall.contracts.instants import parse_time
from forestall.decide.backtest import features_of
from forestall.decide.engine import Engine
from forestall.decide.explain.fitting import bound, holds, key_of
from forestall.decide.explain.progress import Reach, reach
from forestall.decide.gates import Circumstances
from forestall.decide.plan import concerns
from forestall.policy.language.cel import Timestamp
from forestall.policy.language.compile import PatternProgram, Program


class Taken(msgspec.Struct, frozen=True):
    """A decision of any policy, made when the record ``index`` came (or a tick, past the last).

    ``by_record`` is false for a timer. ``now`` is what its gates looked at; for another policy
    than the one explained its ledger may be of a later time. ``own``: it is of the version that is
    explained, the one that acts, or one in shadow where no other is in force.
    """

    index: int
    by_record: bool
    decision: Decision
    now: Circumstances
    own: bool


class Hit(msgspec.Struct, frozen=True):
    """A record that matched positive ``steps`` of the pattern, for ``key``; ``clock`` after it."""

    index: int
    key: str | None
    steps: tuple[int, ...]
    clock: int


class Unmet(msgspec.Struct, frozen=True):
    """A completed pattern whose ``if`` did not hold: ``given`` are the condition's variables."""

    index: int
    at: int
    given: dict[str, Any]
    program: Program


class Furthest(msgspec.Struct, frozen=True):
    """How far one key had come after the record ``index`` at time ``clock``."""

    index: int
    clock: int
    reach: Reach
    program: Program


class Replay:
    """An engine for one subject that remembers what concerns ``policy``.

    ``decisions`` are those of all policies, in order; ``hits``, ``unmet`` and ``furthest`` (since
    the policy last decided) are the policy's own. ``taken`` counts the records so far.
    """

    def __init__(
        self,
        controls: Sequence[Control],
        subject: str,
        policy: str,
        resumed: Engine | None = None,
    ) -> None:
        """Start at the beginning, or where ``resumed`` stands after its first records."""
        self.controls = sorted(controls, key=lambda control: control.received)
        self.subject = subject
        self.policy = policy
        self.engine = resumed or Engine()
        self.engine.keep(features_of(controls))
        for control in self.controls:
            if resumed is None or control.received > resumed.received:
                self.engine.control(control)
        self.engine.watch = self._watch
        self.engine.unmet = self._unmet
        self.taken = 0
        self.decisions: list[Taken] = []
        self.hits: list[Hit] = []
        self.unmet: list[Unmet] = []
        self.furthest: Furthest | None = None
        self._gates: dict[tuple[str, bool, str | None, int], Circumstances] = {}

    @property
    def clock(self) -> int:
        """The subject's clock."""
        return self.engine.clock(self.subject)

    def own(self, since: int = 0) -> list[Taken]:
        """The policy's decisions from the record ``since`` on."""
        return [one for one in self.decisions if one.own and one.index >= since]

    def take(self, records: Sequence[Record]) -> None:
        """Decide on further records."""
        for record in records:
            ignored = self._ignored()
            for order, decision in self.engine.process([record]):
                self._note(decision, by_record=order == 1)
            if self._ignored() == ignored:
                self._look(record)
            self.taken += 1

    def skip(self, records: Sequence[Record]) -> None:
        """Decide on further records without noting anything."""
        self.engine.watch = self.engine.unmet = None
        self.engine.process(records)
        self.engine.watch, self.engine.unmet = self._watch, self._unmet
        self.taken += len(records)

    def tick(self, received: int) -> None:
        """Let what is due by then happen."""
        for decision in self.engine.tick(received):
            self._note(decision, by_record=False)

    def _ignored(self) -> int:
        return self.engine.counters["duplicate"] + self.engine.counters["late"]

    def _note(self, decision: Decision, *, by_record: bool) -> None:
        at = parse_time(decision.at)
        now = self._gates[decision.policy, decision.mode == "shadow", decision.key, at]
        own = self._explained(decision.policy, decision.mode)
        self.decisions.append(Taken(self.taken, by_record, decision, now, own))
        if own:
            self.furthest = None

    def _explained(self, policy: str, mode: Mode) -> bool:
        """Whether this is the version that is explained."""
        if policy != self.policy or mode != "shadow":
            return policy == self.policy
        program, _, _ = self.engine.standing(self.subject, self.policy, self.clock)
        return program is None or program.mode == "shadow"

    def _watch(self, now: Circumstances, key: str | None) -> None:
        if now.policy.name == self.policy:
            now = msgspec.structs.replace(now, ledger=copy.deepcopy(now.ledger))
        self._gates[now.policy.name, now.mode == "shadow", key, now.at] = now

    def _unmet(self, program: Program, given: tuple[Any, ...]) -> None:
        if self._explained(program.policy.name, program.mode):
            names = ("event", "subject", "now", "features", "service")
            at = given[2].nanos // 1000
            self.unmet.append(Unmet(self.taken, at, dict(zip(names, given, strict=True)), program))

    def _look(self, record: Record) -> None:
        """Note which steps the record matched, and whether the pattern came further than before."""
        program, now, keys = self.engine.standing(self.subject, self.policy, record.received)
        if program is None or now is None:
            return
        pattern = program.pattern
        if not any(concerns(match, record.type) for match in pattern.positives):
            return
        clock = self.clock
        given = (
            bound(record, min(record.time, record.received)),
            now.ledger.traits,
            Timestamp(clock * 1000),
        )
        key = key_of(pattern.by, given)
        if pattern.by is not None and key is None:
            return
        steps = _steps(pattern, record.type, given)
        if not steps:
            return
        self.hits.append(Hit(self.taken, key, steps, clock))
        state = keys.get(key)
        if state is None:
            return
        found = reach(pattern, key, state, clock)
        if self.furthest is None or found.reached >= self.furthest.reach.reached:
            self.furthest = Furthest(self.taken, clock, found, program)


def _steps(pattern: PatternProgram, event_type: str, given: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(
        step
        for step, match in enumerate(pattern.positives)
        if concerns(match, event_type) and holds(match.where, given)
    )
