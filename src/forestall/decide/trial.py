"""A change tried over a history: what two sets of policies decide, what followed, what differs.

Both decide in one pass, each by the very code that decides live (``decide.backtest``). ``evidence``
says what each comes to, ``difference`` what became of single decisions.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from forestall.contracts.control import Control, DecideSettings
from forestall.contracts.decision import Decision
from forestall.contracts.instants import SECOND
from forestall.decide.backtest import Step, backtest
from forestall.decide.difference import Pairing, Totals
from forestall.decide.engine import Engine
from forestall.decide.evidence import Evidence, Facts, Rate, follow
from forestall.decide.history import History, Share, log_end
from forestall.measure.outcomes import Followed, Outcomes
from forestall.measure.statistics import Estimate


class Sum(msgspec.Struct, frozen=True):
    """What one policy of a set came to. ``per_1000`` are interventions per 1,000 sessions (none
    without sessions), ``precision`` the share that the outcome followed within the horizon."""

    policy: str
    decisions: int = 0
    interventions: int = 0
    per_1000: float | None = None
    precision: Estimate = Estimate(None)


class Became(msgspec.Struct, frozen=True):
    """How many moments of a policy became what."""

    policy: str
    old: str
    new: str
    moments: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a change comes to over a history of ``events``, from ``first`` to ``last`` (log time,
    RFC 3339; null for an empty one).

    ``old`` and ``new`` are the policies that were asked about, ``became`` is of all policies.
    ``gained`` and ``lost`` are interventions that only the one set makes. ``unfinished``
    interventions are too near the end for their horizon.
    """

    events: int
    first: str | None
    last: str | None
    customers: int
    sessions: int
    outcome: str
    horizon_seconds: float
    gained: int
    lost: int
    old: tuple[Sum, ...]
    new: tuple[Sum, ...]
    became: tuple[Became, ...]
    unfinished: int = 0


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be tried: two sets, put in force by ``old`` and ``new``, over the history at
    ``path``; ``names`` are the policies asked about. ``horizon`` and ``gap`` in microseconds."""

    path: Path
    old: tuple[Control, ...]
    new: tuple[Control, ...]
    names: tuple[str, ...]
    settings: DecideSettings
    outcome: str
    horizon: int
    gap: int
    resamples: int = 200


def trial(question: Question, told: Callable[[float], None]) -> Figures:
    """Try it; ``told`` hears which fraction is done, chunk by chunk. Raises ``UnreadableInput``."""
    share = Share(end=log_end(question.path))
    sides = [_Side(question, controls, share) for controls in (question.old, question.new)]
    pairing, totals = Pairing(), Totals()
    wait = question.settings.lateness + question.settings.grace
    for before, after in zip(*(side.steps() for side in sides), strict=True):
        received = before.chunk.received
        until = received[-1] - wait if received else None
        totals.add(pairing.take(_decisions(before), _decisions(after), until))
        told(sides[1].history.done)
    totals.add(pairing.take((), (), None))
    old, new = (side.result(question) for side in sides)
    facts, outcomes = new
    return Figures(
        events=sides[1].engine.counters["records"],
        first=facts.first,
        last=facts.last,
        customers=facts.customers,
        sessions=facts.sessions,
        outcome=question.outcome,
        horizon_seconds=question.horizon / SECOND,
        gained=totals.gained,
        lost=totals.lost,
        old=_sums(question.names, *old),
        new=_sums(question.names, *new),
        became=tuple(Became(*row, moments) for row, moments in sorted(totals.rows.items())),
        unfinished=outcomes.together.unfinished,
    )


class _Side:
    """One of the two sets at work."""

    def __init__(self, question: Question, controls: Sequence[Control], share: Share) -> None:
        self.history = History(question.path, share=share)
        self.engine = Engine()
        self._controls = controls
        self._grace = question.settings.grace
        self._evidence = Evidence(question.gap)
        self._followed = Followed(question.outcome, question.horizon)

    def steps(self) -> Iterator[Step]:
        return map(self._take, backtest(self._controls, self.history, self.engine))

    def _take(self, step: Step) -> Step:
        self._evidence.add(step)
        follow(self._followed, step, self._grace)
        return step

    def result(self, question: Question) -> tuple[Facts, Outcomes]:
        end = self.history.tick or 0
        return self._evidence.tally().facts(), self._followed.result(end, 0, question.resamples)


def _decisions(step: Step) -> list[Decision]:
    return [decision for _, decision in step.decided]


def _sums(names: Sequence[str], facts: Facts, outcomes: Outcomes) -> tuple[Sum, ...]:
    rates: dict[str, Rate] = {one.policy: one for one in facts.rates}
    precisions = {one.policy: one.precision for one in outcomes.by_policy}
    return tuple(
        Sum(
            name,
            rates[name].decisions,
            rates[name].interventions,
            rates[name].interventions_per_1000,
            precisions.get(name, Estimate(None)),
        )
        if name in rates
        else Sum(name, per_1000=0.0 if facts.sessions else None)
        for name in names
    )
