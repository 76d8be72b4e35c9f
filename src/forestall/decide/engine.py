"""The engine: records in, decisions out. Pure: no clock, no chance, no I/O.

A subject's decisions are a function of its own records and of the control records before them.
Whoever runs the engine gives it control records ahead of the signals they govern (``control``),
signals in log order (``process``), and the log's ticks (``tick``).
"""

import heapq
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

import msgspec

from forestall.context import core
from forestall.contracts.control import Control, DecideSettings
from forestall.contracts.decision import Decision
from forestall.contracts.errors import ExpressionError
from forestall.contracts.event import Record
from forestall.decide.arbitrate import (
    Candidate,
    circumstances,
    decision,
    in_order,
    judge,
    record_acts,
    shadow_ledger,
)
from forestall.decide.force import InForce, View, rest
from forestall.decide.gates import Circumstances, Ledger
from forestall.decide.ledger import Effect
from forestall.decide.occasion import Moment, Occasion, Ref
from forestall.decide.patterns import (
    Armed,
    Keys,
    PatternUse,
    Progress,
    Truth,
    evict,
    told,
)
from forestall.decide.plan import (
    FeatureRead,
    Plan,
    Reads,
    Take,
    features_of,
    key_text,
)
from forestall.decide.population import Population
from forestall.decide.snapshot import deadline
from forestall.decide.specialise import specialise
from forestall.decide.state import NEVER, State, Subject
from forestall.policy.language.cel import Timestamp
from forestall.policy.language.compile import Condition, Program, event_expression
from forestall.policy.language.model import Feature

Order = int
"""A decision's place among the records given to ``process``; see ``contracts.decision.Decided``."""

_NOTHING: Final[dict[str, Any]] = {}
_ALL: Final = Reads(event=True, data=True, now=True)


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
        self.population = Population()
        self._force = InForce(settings or DecideSettings())
        self._pending: deque[Control] = deque()
        self._received = 0
        self._timers: list[tuple[int, str]] = []
        self._alarm = NEVER

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
        slots = {past._force.features[one]: self._force.features[one] for one in features}
        for name in past.population.names():
            theirs = past.population.look(name)
            known = theirs.features.keys() & slots.keys() if theirs else ()
            if theirs and known:
                own = self.population.enter(name)
                own.serial = max(own.serial, theirs.serial)
                for slot in known:
                    own.features[slots[slot]] = theirs.features[slot]

    def keep(self, features: Iterable[Feature]) -> None:
        """Maintain these features from here on although no policy in force needs them yet."""
        self._force.keep(features)

    def release(self) -> None:
        """Keep from here on only what policies in force, or still to come, need."""
        if not self._pending:
            self._force.release()

    def control(self, record: Control) -> None:
        """Take a control record; it takes effect before the first signal not before it."""
        self._pending.append(record)
        self._set_alarm()

    def process(self, records: Sequence[Record]) -> list[tuple[Order, Decision]]:
        """Decide on ``records``, which are in log order."""
        out: list[tuple[Order, Decision]] = []
        self._received = max(self._received, each(self, records, out))
        events = len(records)
        self.counters["records"] += events
        self.population.keep_house(events, self._needs, self._received)
        return out

    def tick(self, received: int) -> list[Decision]:
        """Nothing with an earlier ``received`` can come any more: let what is due by then happen."""
        return self._advance(received)

    def prepare(self) -> bool:
        """Do what the first event of some type would else wait for; whether there was any left."""
        plan = self._force.ahead()
        if plan is None:
            return False
        self.specialised(plan)
        return True

    # -- control ---------------------------------------------------------------------------------

    def _advance(self, received: int) -> list[Decision]:
        out: list[Decision] = []
        while self._pending and self._pending[0].received <= received:
            control = self._pending.popleft()
            out += self._fire_by_grace(control.received)
            self._force.apply(control)
        if received > self._received:
            self._received = received
        out += self._fire_by_grace(received)
        self._set_alarm()
        return out

    def _set_alarm(self) -> None:
        """Find the earliest ``received`` at which something happens besides deciding."""
        self._alarm = self._pending[0].received if self._pending else NEVER
        if self._timers:
            due = self._timers[0][0] + self._force.now.settings.grace + 1
            self._alarm = min(self._alarm, due)

    # -- one record ------------------------------------------------------------------------------

    # ``each`` and what ``specialise`` writes call these.

    def specialised(self, plan: Plan) -> Take:
        """What takes the events of a plan, which has something to do."""
        take = plan.take = specialise(plan)
        return take

    def _judge_again(self, condition: Condition, *given: Any) -> bool:
        """What an ``if`` says whose fast form has failed."""
        return self._truth(condition, (*given, self._force.now.services)) is True

    def _obey(
        self, subject: Subject, record: Record, time: int, effect: Effect, doubles: Any
    ) -> None:
        """Do to the ledger what a control event says."""
        ledger = subject.ledger
        if ledger is None:
            ledger = subject.ledger = Ledger()
        data = Occasion(record, time, time, 0, _NOTHING, doubles).data()
        if not (isinstance(data, dict) and effect(ledger, data, time)):
            self.counters["control_ignored"] += 1

    def _count_error(self) -> None:
        self.counters["expression_errors"] += 1

    def _count_dropped(self, events: int) -> None:
        self.counters["feature_events_dropped"] += events

    def _step(
        self, use: PatternUse, truths: Sequence[Truth], now: Occasion, candidates: list[Candidate]
    ) -> None:
        """Advance a pattern without keys."""
        patterns = now.subject.patterns
        state = patterns.get(use.slot)
        after, matched = use.advance(use, state, truths, now, self._holds)
        if after is not state:
            if after is None:
                del patterns[use.slot]
            else:
                patterns[use.slot] = after
        if matched is not None:
            candidates.append(self._candidate(use, None, matched, now))
        elif after is not None and after.armed is not None:
            self._arm(now.record.subject, now.subject, after.armed)

    def _step_of_key(
        self,
        use: PatternUse,
        key: str,
        truths: Sequence[Truth],
        now: Occasion,
        candidates: list[Candidate],
    ) -> None:
        """Advance a pattern for one key; the event matches a step of it."""
        patterns = now.subject.patterns
        keys = patterns.get(use.slot)
        if keys is None:
            keys = {}
        after, matched = use.advance(use, keys.pop(key, None), truths, now, self._holds)
        if after is not None:
            keys[key] = after
            if evict(keys):
                self.counters["keys_dropped"] += 1
            if after.armed is not None:
                self._arm(now.record.subject, now.subject, after.armed)
        if matched is not None:
            candidates.append(self._candidate(use, key, matched, now))
        if keys:
            patterns[use.slot] = keys
        else:
            patterns.pop(use.slot, None)

    def _candidate(
        self, use: PatternUse, key: str | None, matched: tuple[Ref, ...], now: Occasion
    ) -> Candidate:
        program = use.program
        reads = features_of(program, self._force.features, program.policy.features)
        given = _given(_ALL, now)
        features = _features_at(now.subject, reads, given, now.at)
        return Candidate(use.slot, program, key, matched, now.record.traceparent, features)

    def _arm(self, name: str, subject: Subject, armed: Armed) -> None:
        if armed.deadline < subject.deadline:
            subject.deadline = armed.deadline
            heapq.heappush(self._timers, (armed.deadline, name))
            self._set_alarm()

    # -- timers ----------------------------------------------------------------------------------

    def _fire_by_grace(self, received: int) -> list[Decision]:
        """Fire every timer with ``deadline + grace < received``, of any subject, earliest first."""
        out: list[Decision] = []
        limit = received - self._force.now.settings.grace
        timers = self._timers
        while timers and timers[0][0] < limit:
            _, name = heapq.heappop(timers)
            if name in self.population.of:
                subject = self.population.enter(name)
                if subject.deadline < limit:
                    out += self._fire(name, subject)
        return out

    def _fire(self, name: str, subject: Subject) -> list[Decision]:
        """Fire the group of timers at the subject's next deadline; set the deadline after it."""
        at, force = subject.deadline, self._force
        if force.apart:
            force.catch_up(name, subject)
        view = force.at(at + force.now.settings.grace)
        now, then = force.of(name).programs, force.held(name, view)
        due = [
            (slot, key, state.armed)
            for slot, key, state in _progress(subject.patterns)
            if state.armed is not None and state.armed.deadline == at and slot in now
        ]
        if due:
            subject.clock = max(subject.clock, at)
        candidates = []
        for slot, key, armed in due:
            program = then.get(slot)
            if program is not None and self._holds_then(subject, program, armed.last, at, view):
                features = self._features_then(
                    subject, program, armed.last, at, program.policy.features
                )
                trace = armed.last.traceparent
                candidates.append(Candidate(slot, program, key, armed.matched, trace, features))
        for slot, key, _ in due:
            if key is None:
                del subject.patterns[slot]
            else:
                del subject.patterns[slot][key]  # type: ignore[union-attr]
        out = self._decide(name, subject, candidates, at, view) if candidates else []
        self._next_deadline(name, subject)
        return out

    def _next_deadline(self, name: str, subject: Subject) -> None:
        now = self._force.of(name).programs
        subject.patterns = {
            slot: state for slot, state in subject.patterns.items() if state and slot in now
        }
        progress = _progress(subject.patterns)
        subject.deadline = min(
            (state.armed.deadline for _, _, state in progress if state.armed is not None),
            default=NEVER,
        )
        if subject.deadline != NEVER:
            heapq.heappush(self._timers, (subject.deadline, name))
            self._set_alarm()

    # -- deciding --------------------------------------------------------------------------------

    def _decide(
        self, name: str, subject: Subject, candidates: Sequence[Candidate], at: int, view: View
    ) -> list[Decision]:
        ledger = subject.ledger
        if ledger is None:
            ledger = subject.ledger = Ledger()
        live = [one for one in candidates if one.program.mode != "shadow"]
        verdicts = judge(live, name, at, ledger, view, self.watch)
        record_acts(verdicts, at, ledger)
        if len(live) < len(candidates):
            shadow = [one for one in candidates if one.program.mode == "shadow"]
            acts = subject.shadow
            if acts is None:
                acts = subject.shadow = Ledger()
            seen = shadow_ledger(ledger, acts)
            made = judge(shadow, name, at, seen, view, self.watch)
            record_acts(made, at, acts)
            verdicts = sorted([*verdicts, *made], key=in_order)
        for verdict in verdicts:
            if verdict.outcome != "suppress":
                subject.patterns.pop(verdict.candidate.slot, None)
        return [decision(verdict, name, at) for verdict in verdicts]

    def clock(self, name: str) -> int:
        """A subject's clock: the greatest effective time among its events, 0 before the first."""
        subject = self.population.look(name)
        return 0 if subject is None else subject.clock

    def standing(
        self, name: str, policy: str, at: int
    ) -> tuple[Program | None, Circumstances | None, Keys]:
        """The program of a policy that is in force for a subject (the version that acts, else the one
        in shadow), what its gates would look at, and its keys' state."""
        subject = self.population.look(name) or Subject()
        found = self._force.of(name).program_of(policy)
        if found is None:
            return None, None, {}
        slot, program = found
        ledger = msgspec.structs.replace(subject.ledger or Ledger())
        if program.mode == "shadow":
            ledger = shadow_ledger(ledger, subject.shadow or Ledger())
        features = self._features_now(subject, program, at)
        now = circumstances(program, at, name, ledger, self._force.now, features)
        keys = {
            key: told(program.pattern, state)
            for its, key, state in _progress(self._force.progress(name, subject))
            if its == slot
        }
        return program, now, keys

    def _features_now(self, subject: Subject, program: Program, at: int) -> dict[str, Any]:
        """What a model would be asked about without an event; the subject stays as it is."""
        if program.policy.model is None:
            return {}
        features = {}
        for one in features_of(program, self._force.features, program.policy.features):
            if one.feature.by is None:
                slot = one.place.slot
                alone = {slot: deepcopy(subject.features[slot])} if slot in subject.features else {}
                features[one.name] = one.place.read(alone, at)
        return features

    # -- conditions ------------------------------------------------------------------------------

    def _holds(self, use: PatternUse, now: Occasion) -> bool:
        """Whether the ``if`` holds at an event; equal ones are asked once an event."""
        program = use.program
        if program.condition is None:
            return True
        asked = now.asked
        if asked is None:
            asked = now.asked = {}
        held = asked.get(use.ask)
        if self.unmet is not None or (held is None and not now.asks):
            held = asked[use.ask] = self._asked(use, now)
        elif held is None:
            held = asked[use.ask] = now.asks[use.ask](self, now)
        return held

    def _asked(self, use: PatternUse, now: Occasion) -> bool:
        """As the functions of ``asks``, where there are none or ``unmet`` wants to see all."""
        world = self._force.of(now.record.subject)
        ask = self._force.plan(now.record.type, world).asks[use.ask]
        given = _given(_ALL, now)
        features = _features_at(now.subject, ask.features, given, now.at)
        return self._judged(use.program, (*given, features, self._force.now.services))

    def _holds_then(
        self, subject: Subject, program: Program, last: Moment, at: int, view: View
    ) -> bool:
        """Whether the ``if`` holds at a deadline."""
        features = self._features_then(subject, program, last, at, program.reads)
        traits = subject.ledger.traits if subject.ledger is not None else _NOTHING
        given = (last.event, traits, Timestamp(at * 1000), features, view.services)
        return self._judged(program, given)

    def _judged(self, program: Program, given: tuple[Any, ...]) -> bool:
        held = program.condition is None or self._truth(program.condition, given) is True
        if not held and self.unmet is not None:
            self.unmet(program, given)
        return held

    def _features_then(
        self, subject: Subject, program: Program, last: Moment, at: int, names: Collection[str]
    ) -> dict[str, Any]:
        given = (last.event, last.traits, Timestamp(last.at * 1000))
        return _features_at(subject, features_of(program, self._force.features, names), given, at)

    def _truth(self, condition: Condition, given: tuple[Any, ...]) -> Truth:
        """What a condition says; none, counted, where it errors or is not a bool."""
        try:
            value = condition(*given)
        except ExpressionError:
            value = None
        if value is True or value is False:
            return value
        self.counters["expression_errors"] += 1
        return None

    # -- snapshots -------------------------------------------------------------------------------

    def _needs(self) -> Any:
        return self._force.needs(self._received)

    def end_generation(self) -> None:
        """Begin the population's next generation; ``population.pack_some`` gives the last."""
        self.population.end_generation(self._needs())

    def header(self) -> State:
        """Everything the engine remembers but the subjects and the control records still ahead."""
        force = self._force
        return State(
            now=rest(force.now),
            past=[(until, rest(view)) for until, view in force.past],
            numbers=force.numbers,
            received=self._received,
            slots=force.slots,
            features=list(force.features.items()),
            partings=force.partings,
            subjects={},
            counters=self.counters,
        )

    def snapshot(self) -> State:
        """The header and every subject."""
        return msgspec.structs.replace(self.header(), subjects=self.population.packed())

    @classmethod
    def restore(cls, state: State) -> "Engine":
        """An engine that goes on exactly where the one that gave ``state`` stood."""
        engine = cls()
        engine.counters = {**engine.counters, **state.counters}
        engine._force.restore(state)
        engine._received = state.received
        engine.population = Population(state.subjects, state.received)
        deadlines = ((deadline(packed), name) for name, packed in state.subjects.items())
        engine._timers = [timer for timer in deadlines if timer[0] != NEVER]
        heapq.heapify(engine._timers)
        engine._set_alarm()
        return engine


def _each(  # noqa: C901 (the way of every event, in one piece for speed)
    engine: Engine, records: Sequence[Record], out: list[tuple[Order, Decision]]
) -> int:
    """Decide on each record, into ``out``; when the last was received.

    ``context/typed.pyx`` holds the twin of this, which is used where that is compiled.
    """
    population, force = engine.population, engine._force
    subjects = population.of
    late_after = force.now.settings.lateness
    world, apart = force.base, force.apart
    plans = world.plans
    order, received = -2, -1
    for record in records:
        order += 2
        if record.received != received:
            received = record.received
        if received >= engine._alarm:
            out += [(order, made) for made in engine._advance(received)]
            late_after = force.now.settings.lateness
            world, apart = force.base, force.apart
            plans = world.plans
        name = record.subject
        subject = subjects.get(name)
        if subject.__class__ is not Subject:
            subject = population.enter(name)
        elif subject.generation != population.generation:
            population.note(name, subject)
        lost = subject.ids.add(record.source, record.id, received)
        if lost:
            if lost < 0:
                engine.counters["duplicate"] += 1
                continue
            engine.counters["ids_forgotten"] += lost
        time = record.time
        if time > received:
            time = received
        if apart:
            force.catch_up(name, subject)
            world = force.of(name)
            plans = world.plans
        plan = plans.get(record.type) or force.plan(record.type, world)
        if received - time > late_after and plan.effect is None:
            engine.counters["late"] += 1
            continue
        t = subject.clock
        if time > t:
            t = time
        if subject.deadline < t:
            while subject.deadline < max(time, subject.clock):
                out += [(order, made) for made in engine._fire(name, subject)]
            t = max(time, subject.clock)
        subject.clock = t
        if not plan.idle:
            take = plan.take or engine.specialised(plan)
            candidates = take(engine, subject, record, time, t)
            if candidates:
                made = engine._decide(name, subject, candidates, t, force.now)
                out += [(order + 1, one) for one in made]
    return received


each: Callable[[Engine, Sequence[Record], list[tuple[Order, Decision]]], int] = core.each or _each


COUNTERS: Final = (
    "records",
    "duplicate",
    "late",
    "control_ignored",
    "expression_errors",
    "keys_dropped",
    "feature_events_dropped",
    "ids_forgotten",
)


def _given(reads: Reads, now: Occasion) -> tuple[Any, ...]:
    """What expressions with these ``reads`` are given: event, traits and now."""
    event = now.event() if reads.event else {"data": now.data()} if reads.data else None
    return event, now.traits, Timestamp(now.at * 1000) if reads.now else None


def _features_at(
    subject: Subject, reads: Iterable[FeatureRead], given: tuple[Any, ...], at: int
) -> dict[str, Any]:
    values = {}
    for read in reads:
        if read.feature.by is None:
            values[read.name] = read.place.read(subject.features, at)
        else:
            key = _key(event_expression(read.feature.by), given)
            values[read.name] = read.place.read_key(subject.features, key, at)
    return values


def _progress(
    patterns: Mapping[int, Progress | dict[str, Progress]],
) -> Iterator[tuple[int, str | None, Progress]]:
    """Slot, key and progress of all that is remembered of patterns."""
    for slot, found in patterns.items():
        if isinstance(found, dict):
            for key, state in found.items():
                yield slot, key, state
        else:
            yield slot, None, found


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
