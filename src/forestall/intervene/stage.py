"""The stage: signals and decisions in, state, messages, reports and intents out, in one commit.

It reads a batch of signals once the worker has decided it, so that every decision is there, and
merges the two (``merge``). What the playbook commands becomes rows of ``Store`` in the very
transaction that moves the cursor: cut off at any moment, it goes on from its last commit, and
nothing is said twice or lost.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from forestall.contracts.decision import Decided, Decision
from forestall.contracts.event import Record
from forestall.contracts.intervention import REPORTS
from forestall.intervene import playbook
from forestall.intervene.ahead import Ahead
from forestall.intervene.carry import Carrier
from forestall.intervene.evaluate import matched_of
from forestall.intervene.governing import Governing
from forestall.intervene.merge import merge
from forestall.intervene.running import Arrival, Command, Matched, Running
from forestall.intervene.store import Store
from forestall.intervene.telemetry import INTERVENTIONS
from forestall.log.port import Log
from forestall.log.streams import DECIDED, DECISIONS, SIGNALS, read_decisions

BATCHES = 16
"""Signals batches taken into one commit."""


class Stage:
    """Runs playbooks over the log. One per data folder; call ``step`` again and again.

    ``signals`` holds the signals stream and its tick, ``decisions`` the decisions and control
    streams and the worker's cursor. ``log_time`` is how far the log has come; ``took`` is how many
    events the last step took in, and ``behind`` says that more were decided.
    """

    def __init__(self, signals: Log, decisions: Log, store: Store, carrier: Carrier) -> None:
        self._signals, self._decisions = signals, decisions
        self._store, self._carrier = store, carrier
        self._governing = Governing()
        self._ahead = Ahead(signals)
        self._running: dict[str, Running] = {}
        self._of_subject: dict[str, list[str]] = {}
        self._due: list[tuple[int, str]] = []
        self._changed: set[str] = set()
        self._counted: list[tuple[str, str]] = []
        self._governed = True
        self.took, self.behind = 0, False
        self.log_time = signals.received(SIGNALS)
        carrier.known.policy = self._governing.policy
        self._reload()

    @property
    def caught_up(self) -> bool:
        """Whether everything accepted so far is decided and taken in."""
        taken = self._taken >= self._signals.last(SIGNALS)
        return taken and self._read >= self._decisions.last(DECISIONS)

    def require_consent(self) -> bool:
        """Whether nothing may reach anybody without consent, by the settings in force."""
        return self._governing.settings(self.log_time).require_consent

    def _reload(self) -> None:
        self._running.clear()
        self._of_subject.clear()
        self._due.clear()
        self._changed.clear()
        self._counted.clear()
        self._governed = True
        self._taken, self._read = self._store.cursor(SIGNALS), self._store.cursor(DECISIONS)
        for state in self._store.running():
            self._place(state)

    def still_needed(self, state: Running) -> bool:
        """Whether nothing that came in since ends the intervention, as far as that is known before
        the worker has decided it: the customer helped themselves, or opened a ticket."""
        if self._taken >= self._signals.last(SIGNALS):
            return True
        subjects = (state.subject, *state.former)
        found = {place for one in subjects for place in self._signals.of_subject(SIGNALS, one)}
        ahead = sorted(place for place in found if place > self._taken)
        for record in self._ahead.about(subjects, ahead):
            state, _ = playbook.on_event(state, self._arrival(record))
            if state.ending is not None:
                return False
        return state.ending is None

    def step(self) -> bool:
        """Take in what there is, in one commit; false if there was nothing to do.

        Raises ``TROUBLE`` (``kernel.database.tables``) when the commit fails; nothing of it is kept then, and the next
        call does it again. What only moves the cursors does not wait for the disk.
        """
        tick = self._signals.tick()
        last = self._signals.last(SIGNALS)
        worker = self._decisions.cursor(DECIDED)
        start, read = self._taken, self._read
        upto = max(start, min(worker, start + BATCHES))
        self.behind = upto < worker
        decided, consumed = self._decided(read, upto)
        self._governed = self._governing.read(self._decisions) or self._governed
        ended = self._to_end() if self._governed else []
        caught_up = upto >= last
        due = caught_up and bool(self._due) and self._due[0][0] < tick
        if (upto, consumed) == (start, read) and not (decided or ended or due):
            self.log_time = max(self.log_time, tick if caught_up else 0)
            self._governed = False
            return False
        batches = list(self._batches(start, upto))
        self.took = sum(len(records) for _, records in batches)
        durable = bool(decided or ended or due) or self._concerned(batches)
        try:
            with self._store.transaction(durable=durable):
                for item in merge(batches, decided):
                    if isinstance(item, Decided):
                        self._begin(item)
                    else:
                        self._take(item)
                if caught_up:
                    self.log_time = max(self.log_time, tick)
                    self._fire(tick)
                if self._governed:
                    self._end(self._to_end())
                for intervention in self._changed:
                    self._store.keep(self._running[intervention])
                self._store.move(SIGNALS, upto)
                self._store.move(DECISIONS, consumed)
        except BaseException:
            self._carrier.rolled_back()
            self._reload()
            raise
        self._taken, self._read, self._governed = upto, consumed, False
        self._carrier.committed()
        self._forget_ended()
        return True

    def _to_end(self) -> list[tuple[Running, str]]:
        """Running interventions that must end by what governs now, and why."""
        judged = [
            (state, self._governing.ends(state.policy, state.version))
            for state in self._running.values()
        ]
        return [(state, why) for state, why in judged if why is not None]

    def _concerned(self, batches: Iterable[tuple[int, Sequence[Record]]]) -> bool:
        """Whether any event is about an intervention or its customer, so that something may follow."""
        return any(
            record.subject in self._of_subject or record.type.startswith("forestall.")
            for _, records in batches
            for record in records
        )

    def _decided(self, read: int, upto: int) -> tuple[list[Decided], int]:
        """Entries made at signals batches up to ``upto``, and the last batch wholly among them."""
        taken: list[Decided] = []
        while batches := self._decisions.read(DECISIONS, after=read, limit=BATCHES):
            for batch in batches:
                entries = read_decisions(batch)
                fitting = [entry for entry in entries if entry.position <= upto]
                taken.extend(entry for entry in fitting if self._starts(entry))
                if len(fitting) < len(entries):
                    return taken, read
                read = batch.position
        return taken, read

    def _starts(self, entry: Decided) -> bool:
        decision = entry.decision
        acts = decision.outcome == "intervene" and decision.mode != "shadow"
        here = acts and decision.edge is not True
        return here and not self._store.has(decision.id)

    def _batches(self, start: int, upto: int) -> Iterator[tuple[int, Sequence[Record]]]:
        while start < upto:
            for batch in self._signals.read(SIGNALS, after=start, limit=min(BATCHES, upto - start)):
                yield batch.position, self._ahead.take(batch)
                start = batch.position

    def _begin(self, entry: Decided) -> None:
        decision = entry.decision
        policy = self._governing.policy(decision.version)
        settings = self._governing.settings(entry.noticed)
        computing = playbook.computes(policy)
        state, commands = playbook.start(
            decision,
            policy,
            lateness=settings.lateness,
            grace=settings.grace,
            event=self._matched(decision) if computing else None,
            traits=self._store.traits(decision.subject) if computing else None,
            trusted=not playbook.remediates(policy) or self._carrier.trusted(decision),
        )
        self._store.open(state, decision, policy.title)
        self._counted.append((policy.name, "started"))
        self._keep(state, commands)
        why = self._governing.ends(policy.name, decision.version)
        if why is not None and state.ending is None:
            self._end([(state, why)])

    def _matched(self, decision: Decision) -> Matched | None:
        record = self._carrier.matched(decision)
        return None if record is None else matched_of(record, self._governing.data(record))

    def _take(self, record: Record) -> None:
        self.log_time = max(self.log_time, record.received)
        if record.type == "forestall.optout":
            self._carrier.opted_out(record.subject)
        told = REPORTS.get(record.type)
        about_itself = record.type in ("forestall.identify", "forestall.alias")
        if not about_itself and told is None and record.subject not in self._of_subject:
            return
        arrival = self._arrival(record)
        if about_itself:
            self._learn(record, arrival.data)
        if told is not None:
            state = self._running.get(str(arrival.data.get("intervention")))
            joined = state is not None and record.subject in state.former
            subject = state.subject if state is not None and joined else record.subject
            self._carrier.heard(subject, told, arrival.data, min(record.time, record.received))
        for intervention in tuple(self._of_subject.get(record.subject, ())):
            self._keep(*playbook.on_event(self._running[intervention], arrival))

    def _arrival(self, record: Record) -> Arrival:
        return Arrival(
            record,
            partial(self._governing.data, record),
            partial(self._store.traits, record.subject),
        )

    def _learn(self, record: Record, data: dict[str, Any]) -> None:
        """Traits of a subject; or that another pseudonym was the same person's all along."""
        if record.type == "forestall.identify":
            if isinstance(data.get("traits"), dict):
                known = self._store.traits(record.subject)
                self._store.keep_traits(record.subject, {**known, **data["traits"]})
            return
        former = data.get("from")
        if not isinstance(former, str) or former == record.subject:
            return
        self._store.join(former, record.subject)
        self._carrier.joined(former, record.subject)
        for intervention in tuple(self._of_subject.get(former, ())):
            state = self._running[intervention]
            if state.subject == former:
                self._running[intervention] = playbook.join(state, record.subject)
                self._changed.add(intervention)
                self._of_subject.setdefault(record.subject, []).append(intervention)

    def _fire(self, tick: int) -> None:
        while self._due and self._due[0][0] < tick:
            due, intervention = heapq.heappop(self._due)
            state = self._running.get(intervention)
            if state is not None and playbook.due(state) == due:
                self._keep(*playbook.on_time(state, tick))

    def _end(self, ended: Iterable[tuple[Running, str]]) -> None:
        for state, why in ended:
            self._keep(*playbook.stop(state, why, max(self.log_time, state.clock)))

    def _keep(self, state: Running, commands: Sequence[Command]) -> None:
        """Carry out ``commands`` and remember ``state``, which may have ended."""
        before = self._running.get(state.id)
        self._carrier.carry_out(state, commands)
        if state == before:
            return
        self._changed.add(state.id)
        self._running[state.id] = state
        due = playbook.due(state)
        if before is None:
            self._place(state)
        elif due is not None and due != playbook.due(before):
            heapq.heappush(self._due, (due, state.id))
        if state.ending is not None and (before is None or before.ending is None):
            self._leave(state)

    def _place(self, state: Running) -> None:
        self._running[state.id] = state
        for subject in (state.subject, *state.former):
            self._of_subject.setdefault(subject, []).append(state.id)
        due = playbook.due(state)
        if due is not None:
            heapq.heappush(self._due, (due, state.id))

    def _leave(self, state: Running) -> None:
        self._counted.append((state.policy, str(state.ending)))
        for subject in (state.subject, *state.former):
            ids = self._of_subject[subject]
            ids.remove(state.id)
            if not ids:
                del self._of_subject[subject]

    def _forget_ended(self) -> None:
        for intervention in self._changed:
            if self._running[intervention].ending is not None:
                del self._running[intervention]
        self._changed.clear()
        for policy, outcome in self._counted:
            INTERVENTIONS.labels(policy, outcome).inc()
        self._counted.clear()
