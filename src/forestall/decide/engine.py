"""The engine: records in, decisions out. Pure: no clock, no chance, no I/O.

A subject's decisions are a function of its own records and of the control records before them.
Whoever runs the engine gives it control records ahead of the signals they govern (``control``),
signals in log order (``process``), and the log's ticks (``tick``).
"""

import heapq
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

import msgspec
import xxhash

from forestall.context import features as window
from forestall.contracts.control import (
    Control,
    DecideSettings,
)
from forestall.contracts.decision import Decision
from forestall.contracts.errors import ExpressionError
from forestall.contracts.event import Record, decode_data
from forestall.contracts.instants import DAY
from forestall.decide.arbitrate import (
    Candidate,
    Verdict,
    decision,
    in_order,
    judge,
    record_acts,
    shadow_ledger,
)
from forestall.decide.force import InForce, View, rest
from forestall.decide.gates import Circumstances, Ledger
from forestall.decide.ledger import EFFECTS
from forestall.decide.patterns import Armed, Hits, Keys, Moment, Ref, advance, evict
from forestall.decide.plan import FeatureUse, PatternUse, Plan, binding, key_text, with_doubles
from forestall.decide.state import NEVER, FeatureState, State, Subject
from forestall.policy.language.cel import Timestamp
from forestall.policy.language.compile import Condition, Program, event_expression
from forestall.policy.language.model import Feature, Policy

REPEATED_WITHIN: Final = 7 * DAY

Order = int
"""A decision's place among the records given to ``process``; see ``contracts.decision.Decided``."""


class Engine:
    """Decides for the subjects of one partition.

    ``counters`` count what was taken, went wrong or was dropped. ``watch``, if set, is shown the
    circumstances of each candidate and its key before anything is decided; ``unmet``, if set, the
    program of each completed pattern whose ``if`` did not hold, and what that was asked about.
    """

    def __init__(self, settings: DecideSettings | None = None) -> None:
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.watch: Callable[[Circumstances, str | None], None] | None = None
        self.unmet: Callable[[Program, tuple[Any, ...]], None] | None = None
        self._force = InForce(settings or DecideSettings())
        self._pending: deque[Control] = deque()
        self._received = 0
        self._subjects: dict[str, Subject] = {}
        self._timers: list[tuple[int, str]] = []

    @property
    def received(self) -> int:
        """The log time reached: the greatest ``received`` or tick taken."""
        return self._received

    @property
    def features(self) -> set[Feature]:
        """The features maintained now."""
        return set(self._force.features)

    def adopt(self, past: "Engine", features: Collection[Feature]) -> None:
        """Maintain ``features`` from here on, with what ``past`` knows of them.

        ``past`` kept them over the very records that this engine has taken.
        """
        self.keep(features)
        for name, theirs in past._subjects.items():
            own = self._subjects[name]
            for feature in features:
                state = theirs.features.get(past._force.features[feature])
                if state is not None:
                    own.features[self._force.features[feature]] = state

    def keep(self, features: Iterable[Feature]) -> None:
        """Maintain these features from here on although no policy in force needs them yet."""
        self._force.keep(features)

    def control(self, record: Control) -> None:
        """Take a control record; it takes effect before the first signal not before it."""
        self._pending.append(record)

    def process(self, records: Sequence[Record]) -> list[tuple[Order, Decision]]:
        """Decide on ``records``, which are in log order."""
        out: list[tuple[Order, Decision]] = []
        for index, record in enumerate(records):
            before = self._advance(record.received)
            subject = self._subjects.get(record.subject)
            if subject is None:
                subject = self._subjects[record.subject] = Subject()
            made, after = self._take(subject, record)
            before += made
            if before:
                out.extend((2 * index, entry) for entry in before)
            if after:
                out.extend((2 * index + 1, entry) for entry in after)
        self.counters["records"] += len(records)
        return out

    def tick(self, received: int) -> list[Decision]:
        """Nothing with an earlier ``received`` can come any more: let what is due by then happen."""
        return self._advance(received)

    # -- control ---------------------------------------------------------------------------------

    def _advance(self, received: int) -> list[Decision]:
        out: list[Decision] = []
        while self._pending and self._pending[0].received <= received:
            control = self._pending.popleft()
            out += self._fire_by_grace(control.received)
            self._force.apply(control)
        if received > self._received:
            self._received = received
        timers = self._timers
        if timers and timers[0][0] + self._force.now.settings.grace < received:
            out += self._fire_by_grace(received)
        return out

    # -- one record ------------------------------------------------------------------------------

    def _take(self, subject: Subject, record: Record) -> tuple[list[Decision], list[Decision]]:
        nothing: list[Decision] = []
        if self._repeated(subject, record):
            self.counters["duplicate"] += 1
            return nothing, nothing
        time = min(record.time, record.received)
        effect = EFFECTS.get(record.type)
        if effect is None and record.received - time > self._force.now.settings.lateness:
            self.counters["late"] += 1
            return nothing, nothing
        t = max(time, subject.clock)
        before = nothing
        while subject.deadline < t:
            before = before + self._fire(record.subject, subject)
        subject.clock = t
        subject.serial += 1
        plan = self._force.plan(record.type)
        if effect is None and plan.idle:
            return before, nothing
        data = decode_data(record.data)
        numbers = self._force.numbers.get(record.type)
        if numbers:
            data = with_doubles(data, numbers)
        if effect is not None and not (
            isinstance(data, dict) and effect(subject.ledger, data, time)
        ):
            self.counters["control_ignored"] += 1
        moment = Moment(
            binding(record, time, data),
            subject.ledger.traits,
            t,
            subject.serial,
            record.traceparent,
        )
        return before, self._match(record.subject, subject, moment, plan)

    def _repeated(self, subject: Subject, record: Record) -> bool:
        seen = subject.seen
        horizon = record.received - REPEATED_WITHIN
        while seen:
            oldest = next(iter(seen))
            if seen[oldest] >= horizon:
                break
            del seen[oldest]
        digest = xxhash.xxh3_128_digest(f"{len(record.source)}:{record.source}{record.id}".encode())
        if digest in seen:
            return True
        seen[digest] = record.received
        return False

    def _match(self, name: str, subject: Subject, moment: Moment, plan: Plan) -> list[Decision]:
        truths: list[bool | None] = [True]
        keys: list[str | None] = [None]
        values: list[Any] = [None]
        if plan.evaluates:
            given = (moment.event, moment.traits, Timestamp(moment.at * 1000))
            truths += [self._truth(where, given) for where in plan.wheres]
            keys += [_key(by, given) for by in plan.keys]
            values += [_value(value, given) for value in plan.values]
        for use in plan.features:
            if truths[use.where] is True and (not use.key or keys[use.key] is not None):
                self._observe(subject, use, keys[use.key], values[use.value], moment)
        candidates: list[Candidate] = []
        for pattern in plan.patterns:
            if not pattern.key or keys[pattern.key] is not None:
                self._step(name, subject, moment, pattern, truths, keys[pattern.key], candidates)
        if not candidates:
            return []
        return self._decide(name, subject, candidates, moment.at, self._force.now)

    def _observe(
        self, subject: Subject, use: FeatureUse, key: str | None, value: Any, moment: Moment
    ) -> None:
        feature = use.feature
        if feature.value is not None and not window.usable(feature.kind, value):
            return
        state = subject.features.get(use.slot)
        if state is None:
            state = subject.features[use.slot] = FeatureState()
        dropped = state.observe(feature, key, value, moment.at, moment.serial)
        if dropped:
            self.counters["feature_events_dropped"] += dropped

    def _step(
        self,
        name: str,
        subject: Subject,
        moment: Moment,
        use: PatternUse,
        truths: Sequence[bool | None],
        key: str | None,
        candidates: list[Candidate],
    ) -> None:
        positives = [step for step, where in use.positives if truths[where] is True]
        gaps = [gap for gap, where in use.gaps if truths[where] is not False]
        trailing = use.trailing is not None and truths[use.trailing] is not False
        program = use.program
        keys = subject.patterns.get(use.slot)
        if not positives and (keys is None or not (gaps or trailing)):
            return
        if keys is None:
            keys = subject.patterns[use.slot] = {}
        matched = advance(
            program.pattern,
            keys,
            key,
            Hits(positives, gaps, trailing),
            moment,
            lambda: self._holds(subject, program, moment, moment.at, self._force.now),
        )
        if matched is not None:
            candidates.append(
                self._candidate(subject, use.slot, program, key, matched, moment, moment.at)
            )
        elif evict(keys):
            self.counters["keys_dropped"] += 1
        state = keys.get(key)
        if state is not None and state.armed is not None:
            self._arm(name, subject, state.armed)
        elif not keys:
            del subject.patterns[use.slot]

    def _candidate(
        self,
        subject: Subject,
        slot: int,
        program: Program,
        key: str | None,
        matched: tuple[Ref, ...],
        moment: Moment,
        at: int,
    ) -> Candidate:
        features = self._features_at(subject, program, moment, at, program.policy.features.keys())
        return Candidate(slot, program, key, matched, moment.traceparent, features)

    def _arm(self, name: str, subject: Subject, armed: Armed) -> None:
        if armed.deadline < subject.deadline:
            subject.deadline = armed.deadline
            heapq.heappush(self._timers, (armed.deadline, name))

    # -- timers ----------------------------------------------------------------------------------

    def _fire_by_grace(self, received: int) -> list[Decision]:
        """Fire every timer with ``deadline + grace < received``, of any subject, earliest first."""
        out: list[Decision] = []
        limit = received - self._force.now.settings.grace
        timers = self._timers
        while timers and timers[0][0] < limit:
            _, name = heapq.heappop(timers)
            subject = self._subjects.get(name)
            if subject is not None and subject.deadline < limit:
                out += self._fire(name, subject)
        return out

    def _fire(self, name: str, subject: Subject) -> list[Decision]:
        """Fire the group of timers at the subject's next deadline; set the deadline after it."""
        at = subject.deadline
        view = self._force.at(at + self._force.now.settings.grace)
        due: list[tuple[int, str | None, Armed]] = []
        for slot, keys in subject.patterns.items():
            if slot in self._force.now.programs:
                due.extend(
                    (slot, key, state.armed)
                    for key, state in keys.items()
                    if state.armed is not None and state.armed.deadline == at
                )
        if due:
            subject.clock = max(subject.clock, at)
        candidates = [
            self._candidate(subject, slot, view.programs[slot], key, armed.matched, armed.last, at)
            for slot, key, armed in due
            if slot in view.programs
            and self._holds(subject, view.programs[slot], armed.last, at, view)
        ]
        for slot, key, _ in due:
            del subject.patterns[slot][key]
        out = self._decide(name, subject, candidates, at, view) if candidates else []
        self._next_deadline(name, subject)
        return out

    def _next_deadline(self, name: str, subject: Subject) -> None:
        subject.patterns = {
            slot: keys
            for slot, keys in subject.patterns.items()
            if keys and slot in self._force.now.programs
        }
        subject.deadline = min(
            (
                state.armed.deadline
                for keys in subject.patterns.values()
                for state in keys.values()
                if state.armed is not None
            ),
            default=NEVER,
        )
        if subject.deadline != NEVER:
            heapq.heappush(self._timers, (subject.deadline, name))

    # -- deciding --------------------------------------------------------------------------------

    def _decide(
        self, name: str, subject: Subject, candidates: Sequence[Candidate], at: int, view: View
    ) -> list[Decision]:
        live = [one for one in candidates if one.program.mode != "shadow"]
        shadow = [one for one in candidates if one.program.mode == "shadow"]
        verdicts = self._judge(name, live, at, view, subject.ledger, subject.ledger)
        if shadow:
            seen = shadow_ledger(subject.ledger, subject.shadow)
            verdicts += self._judge(name, shadow, at, view, seen, subject.shadow)
            verdicts.sort(key=in_order)
        for verdict in verdicts:
            if verdict.outcome != "suppress":
                subject.patterns.pop(verdict.candidate.slot, None)
        return [decision(verdict, name, at) for verdict in verdicts]

    def _judge(
        self,
        name: str,
        candidates: Sequence[Candidate],
        at: int,
        view: View,
        seen: Ledger,
        acts: Ledger,
    ) -> list[Verdict]:
        """Judge by the ledger ``seen`` and write the acts into the ledger ``acts``."""
        if self.watch is not None:
            for candidate in candidates:
                now = _circumstances(seen, candidate.program.policy, at, view)
                self.watch(now, candidate.key)
        verdicts = judge(candidates, name, at, seen, view.settings, view.switches)
        record_acts(verdicts, at, acts)
        return verdicts

    def clock(self, name: str) -> int:
        """A subject's clock: the greatest effective time among its events, 0 before the first."""
        subject = self._subjects.get(name)
        return 0 if subject is None else subject.clock

    def standing(
        self, name: str, policy: str, at: int
    ) -> tuple[Program | None, Circumstances | None, Keys]:
        """The program of a policy in force, what its gates would look at, and its keys' state."""
        subject = self._subjects.get(name) or Subject()
        found = self._force.program_of(policy)
        if found is None:
            return None, None, {}
        slot, program = found
        now = _circumstances(subject.ledger, program.policy, at, self._force.now)
        return program, now, subject.patterns.get(slot, {})

    def _holds(
        self, subject: Subject, program: Program, moment: Moment, at: int, view: View
    ) -> bool:
        if program.condition is None:
            return True
        features = self._features_at(subject, program, moment, at, program.reads)
        traits = subject.ledger.traits
        given = (moment.event, traits, Timestamp(at * 1000), features, view.services)
        held = self._truth(program.condition, given) is True
        if not held and self.unmet is not None:
            self.unmet(program, given)
        return held

    def _features_at(
        self, subject: Subject, program: Program, moment: Moment, at: int, names: Collection[str]
    ) -> dict[str, Any]:
        values = {}
        for name, feature in program.features:
            if name not in names:
                continue
            state = subject.features.get(self._force.features.get(feature, 0))
            found = None
            if state is not None:
                key = None
                if feature.by is not None:
                    given = (moment.event, moment.traits, Timestamp(moment.at * 1000))
                    key = _key(event_expression(feature.by), given)
                found = state.windows.get(key)
            values[name] = window.value_at(feature.kind, feature.over, found, at)
        return values

    def _truth(self, condition: Condition, given: tuple[Any, ...]) -> bool | None:
        """What a condition says; none, counted, where it errors or is not a bool."""
        value = _value(condition, given)
        if isinstance(value, bool):
            return value
        self.counters["expression_errors"] += 1
        return None

    # -- snapshots -------------------------------------------------------------------------------

    def snapshot(self) -> State:
        """Everything the engine remembers, except the control records still ahead."""
        force = self._force
        return State(
            now=rest(force.now),
            past=[(until, rest(view)) for until, view in force.past],
            numbers=force.numbers,
            received=self._received,
            slots=force.slots,
            features=list(force.features.items()),
            subjects=self._subjects,
            counters=self.counters,
        )

    @classmethod
    def restore(cls, state: State) -> "Engine":
        """An engine that goes on exactly where the one that gave ``state`` stood."""
        engine = cls()
        engine.counters = {**engine.counters, **state.counters}
        engine._force.restore(state)
        engine._received = state.received
        engine._subjects = state.subjects
        engine._timers = [
            (subject.deadline, name)
            for name, subject in state.subjects.items()
            if subject.deadline != NEVER
        ]
        heapq.heapify(engine._timers)
        return engine


COUNTERS: Final = (
    "records",
    "duplicate",
    "late",
    "control_ignored",
    "expression_errors",
    "keys_dropped",
    "feature_events_dropped",
)


def _circumstances(ledger: Ledger, policy: Policy, at: int, view: View) -> Circumstances:
    kept = msgspec.structs.replace(ledger)
    return Circumstances(policy, at, kept, view.settings, view.switches)


def _value(expression: Condition, given: tuple[Any, ...]) -> Any:
    try:
        return expression(*given)
    except ExpressionError:
        return None


def _key(by: Condition, given: tuple[Any, ...]) -> str | None:
    try:
        return key_text(by(*given))
    except (ExpressionError, RecursionError):
        return None
