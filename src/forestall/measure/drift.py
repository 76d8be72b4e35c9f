"""Drift: are customers, and what becomes of them, still what they were?

- *Population*: each feature of a policy's candidates, in the last window against an earlier one of
  the same length; an alarm if the difference is more than chance *and* matters (stability index).
- *Outcomes*: the share of customers with the outcome, everybody's and after each policy's
  candidates, likewise (ratio of the rates).

A look at which nothing changed raises any alarm with a chance of ``alpha`` at most, over all tests
together (``surprise.surprising``). One pass, in memory bounded by the policies: each window keeps a
fair sample of customers. ``claims`` watches models.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from forestall.contracts.decision import Decided
from forestall.contracts.event import Record
from forestall.contracts.instants import DAY
from forestall.measure.outcomes import SLACK
from forestall.measure.sketch import Sketch
from forestall.measure.surprise import cells, homogeneous, rates_differ, stability, surprising

ALPHA: Final = 0.01
LEAST: Final = 200
"""Customers in each of the two samples below which nothing is said."""

MATTERS: Final = 0.1
"""The stability index from which a shift of the population is worth an alarm."""

CHANGED: Final = 1.25
"""The ratio of two rates from which a change of outcomes is worth an alarm."""

MISSING: Final = 0.1
"""The part of the reference, at its beginning, that the log may lack: a shorter one is no match."""

EVERYBODY: Final = "*"
MOST_FEATURES: Final = 200
_CELLS = 10


class Spans(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared, in microseconds of log time: the ``window`` before ``now`` with one of the
    same length, the reference, that ended ``ago`` before ``now``. Both have the same length because
    a longer one meets more of those who come seldom. An outcome counts until ``horizon`` after, of
    those for whom that is before their window ends."""

    now: int
    window: int = 7 * DAY
    ago: int = 7 * DAY
    horizon: int = DAY

    def place(self, at: int) -> int | None:
        """0 in the reference, 1 in the window, none elsewhere."""
        if self.now - self.window <= at <= self.now:
            return 1
        return 0 if self.now - self.ago - self.window <= at < self.now - self.ago else None


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """One feature of a policy's candidates, in customers of the ``reference`` and ``now``.

    ``index`` is the stability index, ``chance`` the p-value; null where the sample is too small."""

    policy: str
    feature: str
    reference: int
    now: int
    index: float | None
    chance: float | None
    alarm: bool


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Customers with the outcome, and of how many; ``policy`` ``*`` stands for everybody."""

    policy: str
    outcome: str
    reference: tuple[int, int]
    now: tuple[int, int]
    chance: float | None
    alarm: bool


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """What a look found; ``alpha`` is its false alarm rate."""

    alpha: float
    population: tuple[Shift, ...]
    outcomes: tuple[Rate, ...]


class _Customer(msgspec.Struct):
    """A customer of a sample: since when, with which features, and whether the outcome followed."""

    at: int
    features: dict[str, Any]
    followed: bool = False


class Watch:
    """Takes what happened, in order, and says what drifted; ``outcome`` is an event type."""

    def __init__(self, spans: Spans, outcome: str, alpha: float = ALPHA) -> None:
        self.spans = spans
        self.outcome = outcome
        self.alpha = alpha
        self._samples: dict[str, tuple[Sketch[_Customer], Sketch[_Customer]]] = {}
        self._first: int | None = None

    def take(self, one: Record | Decided) -> None:
        """Take the next event or decision."""
        if self._first is None:
            self._first = one.received if isinstance(one, Record) else one.noticed
        if isinstance(one, Record):
            if one.type == self.outcome:
                self._followed(one)
            elif not one.type.startswith("forestall."):
                self._sample(EVERYBODY, one.subject, one.received, {})
        elif one.decision.mode != "shadow":
            decision = one.decision
            self._sample(decision.policy, decision.subject, one.noticed, decision.features)

    def result(self) -> Drift:
        """What drifted by now."""
        shifts = [one for name in sorted(self._samples) for one in self._population(name)]
        rates = [self._rate(name) for name in sorted(self._samples)]
        chances = [*(one.chance for one in shifts), *(one.chance for one in rates)]
        chosen = iter(surprising([one for one in chances if one is not None], self.alpha))
        unlikely = [one is not None and next(chosen) for one in chances]
        return Drift(
            alpha=self.alpha,
            population=tuple(
                replace(one, alarm=yes and _shifted(one))
                for one, yes in zip(shifts, unlikely, strict=False)
            ),
            outcomes=tuple(
                replace(one, alarm=yes and _changed(one))
                for one, yes in zip(rates, unlikely[len(shifts) :], strict=True)
            ),
        )

    @property
    def _covered(self) -> bool:
        """Whether the log reaches back over nearly all of the reference."""
        begins = self.spans.now - self.spans.ago - self.spans.window
        return self._first is not None and self._first <= begins + self.spans.window * MISSING

    def _followed(self, record: Record) -> None:
        at = min(record.time, record.received)
        for both in self._samples.values():
            for sample in both:
                known = sample.get(record.subject)
                if known is not None and known.at < at <= known.at + self.spans.horizon:
                    known.followed = True

    def _sample(self, name: str, subject: str, at: int, features: dict[str, Any]) -> None:
        place = self.spans.place(at)
        if place is None:
            return
        both = self._samples.get(name)
        if both is None:
            both = self._samples[name] = (Sketch(), Sketch())
        if both[place].get(subject) is None:
            both[place].offer(subject, _Customer(at, features))

    def _population(self, name: str) -> Iterable[Shift]:
        before, now = ([one.features for one in sample] for sample in self._samples[name])
        names = sorted({feature for features in (*before, *now) for feature in features})
        for feature in names[:MOST_FEATURES]:
            counts = cells(
                [one.get(feature) for one in before], [one.get(feature) for one in now], _CELLS
            )
            enough = self._covered and min(len(before), len(now)) >= LEAST
            yield Shift(
                policy=name,
                feature=feature,
                reference=len(before),
                now=len(now),
                index=stability(*counts) if enough else None,
                chance=homogeneous(*counts) if enough else None,
                alarm=False,
            )

    def _rate(self, name: str) -> Rate:
        """Of both windows only those count whose horizon ends before the window does, so that the
        one that goes on until now holds no others than the reference."""
        spans, samples = self.spans, self._samples[name]
        pairs = []
        for sample, end in zip(samples, (spans.now - spans.ago, spans.now), strict=True):
            finished = [one.followed for one in sample if one.at <= end - spans.horizon - SLACK]
            pairs.append((sum(finished), len(finished)))
        before, now = pairs
        enough = self._covered and min(before[1], now[1]) >= LEAST
        return Rate(
            policy=name,
            outcome=self.outcome,
            reference=before,
            now=now,
            chance=rates_differ(before, now) if enough else None,
            alarm=False,
        )


def _shifted(one: Shift) -> bool:
    return one.index is not None and one.index >= MATTERS


def _changed(one: Rate) -> bool:
    (before, of), (now, of_now) = one.reference, one.now
    ratio = ((now + 0.5) / (of_now + 1)) / ((before + 0.5) / (of + 1))
    return ratio >= CHANGED or ratio <= 1 / CHANGED
