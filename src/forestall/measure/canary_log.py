"""Canaries read off the log: what the control stream began is counted on as signals are decided."""

from collections.abc import Callable, Iterator

import msgspec

from forestall.log import streams
from forestall.log.port import Log
from forestall.measure.canary import Kind, Plan, Tallies
from forestall.measure.rollout import Ladder, Rollout
from forestall.measure.verdict import Look, look


class CanaryLook(msgspec.Struct, frozen=True, kw_only=True):
    """A look at a canary. ``next`` is the share of the step that follows, none after the last;
    ``number`` that of the newest transition that the look knows of."""

    kind: Kind
    name: str
    version: str
    next: float | None
    number: int
    look: Look


class CanaryLog:
    """Follows the logs of a deployment, from the beginning of the oldest step that runs on.

    Everything is derived from the log: whoever starts anew finds the same. Only signals that were
    decided on (``cursor`` of the ``decisions`` log) are taken, so that every control record and
    decision they depend on is there. Belongs to one thread.
    """

    def __init__(self, signals: Log, decisions: Log, ladder: Ladder, cursor: str) -> None:
        self._signals = signals
        self._decisions = decisions
        self._ladder = ladder
        self._cursor = cursor
        self._rollout = Rollout(ladder)
        self._tallies: dict[tuple[Kind, str], Tallies] = {}
        self._control = self._decided = self._position = 0
        self._now = 0
        self._round: Iterator[None] | None = None

    def read(self, seconds: float, monotonic: Callable[[], float]) -> bool:
        """Read on to what is there now, for about so many ``seconds``; whether more is left."""
        deadline = monotonic() + seconds
        if self._round is None:
            self._round = self._reading()
        for _ in self._round:
            if monotonic() >= deadline:
                return True
        self._round = None
        return False

    def looks(self) -> list[CanaryLook]:
        """What is known of each canary that runs, as of what was read."""
        return [
            self._look(kind, name, tallies)
            for (kind, name), tallies in sorted(self._tallies.items())
        ]

    def _look(self, kind: Kind, name: str, tallies: Tallies) -> CanaryLook:
        plan = tallies.plan
        now = max(self._now, plan.begun)
        return CanaryLook(
            kind=kind,
            name=name,
            version=plan.version,
            next=self._ladder.after(plan.share),
            number=self._rollout.number,
            look=look(plan, tallies.counted(now), now),
        )

    def _reading(self) -> Iterator[None]:
        """One round, a batch at a time. The ends are taken in an order in which everything up to an
        earlier one is there once a later one is known."""
        tick = self._signals.tick()
        newest = self._signals.last(streams.SIGNALS)
        until = self._decisions.cursor(self._cursor)
        decided = self._decisions.last(streams.DECISIONS)
        self._obey()
        if not self._tallies:
            self._decided, self._position = decided, until
        for batch in self._decisions.follow(streams.DECISIONS, after=self._decided):
            if batch.position > decided:
                break
            for entry in streams.read_decisions(batch):
                for tallies in self._tallies.values():
                    tallies.decided(entry)
            self._decided = batch.position
            yield
        for batch in self._signals.follow(streams.SIGNALS, after=self._position):
            if batch.position > until:
                break
            records = streams.read_signals(batch)
            for tallies in self._tallies.values():
                for record in records:
                    tallies.happened(record)
            self._position, self._now = batch.position, max(self._now, batch.received)
            yield
        if until >= newest:
            self._now = max(self._now, tick)

    def _obey(self) -> None:
        """Take new control records; steps that began count from nothing."""
        begins = self._control == 0
        for batch in self._decisions.follow(streams.CONTROL, after=self._control):
            for record in streams.read_control(batch):
                self._rollout.take(record)
            self._control = batch.position
        plans = self._rollout.running
        self._tallies = {
            key: self._tallies[key] if self._counts(key, plan) else Tallies(plan)
            for key, plan in plans.items()
        }
        if begins and plans:
            earliest = min(plan.begun for plan in plans.values())
            self._decided = position_before(self._decisions, streams.DECISIONS, earliest)
            self._position = position_before(self._signals, streams.SIGNALS, earliest)

    def _counts(self, key: tuple[Kind, str], plan: Plan) -> bool:
        return key in self._tallies and self._tallies[key].plan == plan


def position_before(log: Log, stream: str, received: int) -> int:
    """The position of the newest batch whose log time is before ``received``, 0 if there is none."""
    low, high = 0, log.last(stream)
    while low < high:
        middle = (low + high + 1) // 2
        found = log.read(stream, after=middle - 1, limit=1)
        if found and found[0].received < received:
            low = middle
        else:
            high = middle - 1
    return low
