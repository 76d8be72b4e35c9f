"""Watching the logs grow: reads what is new, keeps totals in memory, writes nothing.

A poll reads a bounded number of batches, so that a console started beside a long history catches
up over several polls and never holds up the process it lives in.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise

import msgspec

from forestall.console.overview import (
    Events,
    Interventions,
    Overview,
    PolicyTotals,
    Sample,
    Shown,
    State,
)
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.contracts.intervention import REPORTS, Tell
from forestall.log.port import Batch, Log, LogMissing
from forestall.log.streams import DECISIONS, SIGNALS, read_decisions, read_signals

_REPORT = b'"forestall.intervention.'
_REMEMBERED = 10_000
_SAMPLES = 60
_RATE_SECONDS = 3.0
_WEIGHT: dict[State, int] = {
    "waiting": 0,
    "started": 1,
    "filled": 1,
    "commanded": 1,
    "expired": 2,
    "failed": 2,
    "approved": 2,
    "declined": 2,
    "shown": 3,
    "seen": 4,
    "acted": 5,
    "answered": 5,
    "dismissed": 6,
    "remediated": 6,
    "undone": 6,
    "escalated": 7,
    "taken": 7,
    "helped": 8,
    "resolved": 8,
}


class _Intervention:
    """One live intervention and how far it has come."""

    __slots__ = ("decision", "reason", "state")

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.state: State = "waiting"
        self.reason: str | None = None


class _Tail:
    """What one stream of one log has new; the log is opened once it exists."""

    def __init__(self, open_log: Callable[[], Log], stream: str) -> None:
        self._open = open_log
        self._stream = stream
        self._log: Log | None = None
        self.position = 0

    def log(self) -> Log | None:
        if self._log is None:
            with suppress(LogMissing):
                self._log = self._open()
        return self._log

    def new(self, limit: int) -> Iterator[Batch]:
        log = self.log()
        while log is not None and limit > 0:
            page = log.read(self._stream, after=self.position, limit=min(limit, 100))
            if not page:
                return
            for batch in page:
                self.position = batch.position
                yield batch
            limit -= len(page)

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None


class Watch:
    """Running totals over the logs of the gateway and the worker.

    ``open_gateway`` and ``open_worker`` give read-only logs, or raise ``LogMissing`` as long as
    there are none. ``cursor`` is the worker's name for its place among the signals. ``monotonic``
    gives seconds. Not for several threads at once.
    """

    def __init__(
        self,
        open_gateway: Callable[[], Log],
        open_worker: Callable[[], Log],
        *,
        cursor: str,
        monotonic: Callable[[], float],
        newest: int = 12,
    ) -> None:
        self._signals = _Tail(open_gateway, SIGNALS)
        self._decisions = _Tail(open_worker, DECISIONS)
        self._cursor = cursor
        self._monotonic = monotonic
        self._newest = newest
        self._accepted = 0
        self._made = 0
        self._intervened = 0
        self._policies: dict[str, Counter[tuple[str, str, str]]] = {}
        self._live: OrderedDict[str, _Intervention] = OrderedDict()
        self._early: OrderedDict[str, list[tuple[State, str | None]]] = OrderedDict()
        self._states: Counter[State] = Counter()
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES + 1)

    def poll(self, limit: int = 2_000) -> Overview:
        """Read up to ``limit`` new batches of each log and say how things stand."""
        for batch in self._decisions.new(limit):
            for entry in read_decisions(batch):
                self._decided(entry.decision)
        for batch in self._signals.new(limit):
            self._accepted += batch.count
            if _REPORT in batch.payload:
                for record in read_signals(batch):
                    self._told(record)
        self._sample()
        return self._overview()

    def close(self) -> None:
        """Release the files."""
        self._signals.close()
        self._decisions.close()

    def _decided(self, decision: Decision) -> None:
        self._made += 1
        totals = self._policies.setdefault(decision.policy, Counter())
        totals[decision.mode, decision.outcome, decision.reason or ""] += 1
        acts = decision.outcome == "intervene" and decision.mode != "shadow"
        if not acts or decision.edge is True:
            return
        self._intervened += 1
        intervention = _Intervention(decision)
        self._live[decision.id] = intervention
        self._states["waiting"] += 1
        for state, reason in self._early.pop(decision.id, ()):
            self._advance(intervention, state, reason)
        if len(self._live) > _REMEMBERED:
            self._forget()

    def _forget(self) -> None:
        """Follow the oldest no longer; it has surely begun by now."""
        _, oldest = self._live.popitem(last=False)
        if oldest.state == "waiting":
            self._advance(oldest, "started", None)

    def _told(self, record: Record) -> None:
        """A report; it may be read before its decision, for the two lie in different files."""
        state = REPORTS.get(record.type)
        if state is None:
            return
        try:
            tell = msgspec.json.decode(record.data, type=Tell)
        except msgspec.DecodeError:
            return
        intervention = self._live.get(tell.intervention)
        if intervention is not None:
            self._advance(intervention, state, tell.reason)
            return
        self._early.setdefault(tell.intervention, []).append((state, tell.reason))
        if len(self._early) > _REMEMBERED:
            self._early.popitem(last=False)

    def _advance(self, intervention: _Intervention, state: State, reason: str | None) -> None:
        if _WEIGHT[state] >= _WEIGHT[intervention.state]:
            self._states[intervention.state] -= 1
            self._states[state] += 1
            intervention.state, intervention.reason = state, reason

    def _sample(self) -> None:
        now = self._monotonic()
        if not self._samples or now - self._samples[-1][0] >= 1:
            self._samples.append((now, self._accepted))

    def _events(self) -> Events:
        now = self._monotonic()
        samples = list(self._samples)
        recent = tuple(
            Sample(round(now - end, 2), round((after - before) / (end - start), 1))
            for (start, before), (end, after) in pairwise(samples)
        )
        rates = [sample.per_second for sample in recent if sample.ago <= _RATE_SECONDS]
        worker, gateway = self._decisions.log(), self._signals.log()
        last = gateway.last(SIGNALS) if gateway is not None else 0
        done = worker.cursor(self._cursor) if worker is not None else 0
        return Events(
            self._accepted,
            round(sum(rates) / len(rates), 1) if rates else 0.0,
            recent,
            max(0, last - done),
        )

    def _overview(self) -> Overview:
        events = self._events()
        gateway, worker = self._signals.log(), self._decisions.log()
        behind = (gateway is not None and gateway.last(SIGNALS) > self._signals.position) or (
            worker is not None and worker.last(DECISIONS) > self._decisions.position
        )
        newest = [self._live[key] for key in list(self._live)[-self._newest :]]
        return Overview(
            events,
            self._made,
            tuple(_totals(name, counts) for name, counts in sorted(self._policies.items())),
            Interventions(
                self._intervened,
                {state: number for state, number in sorted(self._states.items()) if number},
                tuple(_shown(intervention) for intervention in reversed(newest)),
            ),
            settled=not (behind or events.pending_batches or self._states["waiting"]),
        )


def _totals(policy: str, counts: Counter[tuple[str, str, str]]) -> PolicyTotals:
    by_mode: Counter[str] = Counter()
    by_outcome: dict[str, dict[str, int]] = {}
    for (mode, outcome, reason), number in sorted(counts.items()):
        by_mode[mode] += number
        reasons = by_outcome.setdefault(outcome, {})
        reasons[reason] = reasons.get(reason, 0) + number
    return PolicyTotals(policy, sum(by_mode.values()), dict(by_mode), by_outcome)


def _shown(intervention: _Intervention) -> Shown:
    decision = intervention.decision
    return Shown(
        decision.id,
        decision.policy,
        decision.subject,
        decision.at,
        decision.mode,
        decision.explanation,
        intervention.state,
        intervention.reason,
    )
