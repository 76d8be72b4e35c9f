"""Outcomes: how often an intervention came before what it was meant to spare the customer.

Works on a history as it streams by and keeps, for each customer and policy, tallies and what
happened within the horizon. Only what was noticed before an outcome counts for it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import DAY, HOUR, SECOND
from forestall.measure.statistics import RESAMPLES, Estimate, quantile, ratio

SLACK: Final = HOUR
"""How late an outcome may arrive and still be set against everything in its horizon."""

ALL: Final = "*"
"""Stands for all policies together."""

QUARTILES: Final = (0.25, 0.5, 0.75)

_REMEMBERED = 7 * DAY


def caveat(avoided: str) -> str:
    """What every report has to say beside its figures; ``avoided`` is such as "a chat"."""
    return (
        f"This history cannot show whether {avoided} would have been avoided: for that, some have to"
        " see a message and others, by chance, none. A holdout among real customers can."
    )


def lead(acts: Iterable[int], at: int, horizon: int | None = None) -> int | None:
    """From the earliest of ``acts`` before ``at``, at most ``horizon`` before, if there is one."""
    found = [at - act for act in acts if act < at and (horizon is None or at - act <= horizon)]
    return max(found, default=None)


class LeadTime(msgspec.Struct, frozen=True):
    """Seconds from the earliest intervention in the horizon to the outcome: quartiles."""

    lower: Estimate
    median: Estimate
    upper: Estimate


class PolicyOutcomes(msgspec.Struct, frozen=True, kw_only=True):
    """One policy, or all together under the name ``*``.

    Of ``interventions``, ``followed`` had the outcome after them within the horizon, and for
    ``unfinished`` the history ends before their horizon does. ``precision`` is followed over all.
    Of the outcomes, ``reached`` had an intervention before them within the horizon (``recall`` is
    their share), and ``reachable`` a candidate, whatever the gates made of it.
    """

    policy: str
    interventions: int
    followed: int
    unfinished: int
    reached: int
    reachable: int
    precision: Estimate
    recall: Estimate
    reachable_share: Estimate
    lead_seconds: LeadTime


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """What followed: ``total`` outcomes of ``customers``, set against each policy.

    Intervals resample customers ``resamples`` times from ``seed``.
    """

    type: str
    horizon_seconds: float
    total: int
    customers: int
    together: PolicyOutcomes
    by_policy: tuple[PolicyOutcomes, ...]
    seed: int
    resamples: int
    caveat: str


class _Trail:
    """One customer under one policy: tallies, and what may still matter.

    ``open`` are the interventions that the outcome has not followed yet.
    """

    __slots__ = ("acts", "candidates", "followed", "interventions", "leads", "open", "reachable")

    def __init__(self) -> None:
        self.interventions = self.followed = self.reachable = 0
        self.leads: Counter[int] = Counter()
        self.acts: list[int] = []
        self.open: list[int] = []
        self.candidates: list[int] = []

    def decided(self, intervenes: bool, noticed: int, horizon: int) -> None:
        """Take a candidate. Of old ones the newest is enough to say that there was one."""
        self.candidates.append(noticed)
        while len(self.candidates) > 1 and self.candidates[1] <= noticed - SLACK:
            del self.candidates[0]
        if intervenes:
            self.interventions += 1
            for kept in (self.acts, self.open):
                while kept and kept[0] < noticed - horizon - SLACK:
                    del kept[0]
                kept.append(noticed)

    def happened(self, at: int, horizon: int) -> None:
        """Take the outcome, which happened at ``at``."""
        self.reachable += lead(self.candidates, at, horizon) is not None
        still = [act for act in self.open if lead((act,), at, horizon) is None]
        self.followed += len(self.open) - len(still)
        self.open = still
        earliest = lead(self.acts, at, horizon)
        if earliest is not None:
            self.leads[_rounded(earliest)] += 1


class _Customer:
    __slots__ = ("outcomes", "seen", "trails")

    def __init__(self) -> None:
        self.outcomes = 0
        self.trails: dict[str, _Trail] = {}
        self.seen: dict[tuple[str, str], int] = {}

    def repeated(self, record: Record) -> bool:
        """Whether the same outcome came within the last 7 days (policy language, section 2)."""
        oldest = record.received - _REMEMBERED
        self.seen = {one: at for one, at in self.seen.items() if at >= oldest}
        key = (record.source, record.id)
        known = key in self.seen
        self.seen.setdefault(key, record.received)
        return known


class Followed:
    """Tallies of what follows decisions: outcomes of one event type within ``horizon``."""

    def __init__(self, outcome: str, horizon: int) -> None:
        self.outcome = outcome
        self.horizon = horizon
        self._customers: dict[str, _Customer] = {}

    def decided(self, decision: Decision, noticed: int) -> None:
        """Take a decision, which was ``noticed`` (log time) when it could be carried out."""
        customer = self._customer(decision.subject)
        for name in (decision.policy, ALL):
            trail = customer.trails.get(name)
            if trail is None:
                trail = customer.trails[name] = _Trail()
            trail.decided(decision.outcome == "intervene", noticed, self.horizon)

    def happened(self, record: Record) -> None:
        """Take an event of the outcome's type; what was noticed before it has been taken."""
        customer = self._customer(record.subject)
        if customer.repeated(record):
            return
        customer.outcomes += 1
        for trail in customer.trails.values():
            trail.happened(min(record.time, record.received), self.horizon)

    def _customer(self, subject: str) -> _Customer:
        customer = self._customers.get(subject)
        if customer is None:
            customer = self._customers[subject] = _Customer()
        return customer

    def absorb(self, other: "Followed") -> None:
        """Take over what ``other`` tallied of other customers."""
        self._customers.update(other._customers)

    def result(self, end: int, seed: int, resamples: int = RESAMPLES) -> Outcomes:
        """What was found by ``end``, the log time at the end of the history."""
        customers = list(self._customers.values())
        names = sorted({name for customer in customers for name in customer.trails} - {ALL})

        def of(name: str) -> PolicyOutcomes:
            return _of_policy(name, customers, end - self.horizon, seed, resamples)

        return Outcomes(
            type=self.outcome,
            horizon_seconds=self.horizon / SECOND,
            total=sum(customer.outcomes for customer in customers),
            customers=sum(customer.outcomes > 0 for customer in customers),
            together=of(ALL),
            by_policy=tuple(of(name) for name in names),
            seed=seed,
            resamples=resamples,
            caveat=caveat(f"any {self.outcome}"),
        )


def _of_policy(
    name: str, customers: Sequence[_Customer], whole_until: int, seed: int, resamples: int
) -> PolicyOutcomes:
    nothing = _Trail()
    both = [(customer.trails.get(name, nothing), customer.outcomes) for customer in customers]
    trails = [trail for trail, _ in both]
    leads = [trail.leads for trail in trails if trail.leads]

    def share(pairs: Iterable[tuple[int, int]]) -> Estimate:
        return ratio(Counter(pairs), seed, resamples)

    return PolicyOutcomes(
        policy=name,
        interventions=sum(trail.interventions for trail in trails),
        followed=sum(trail.followed for trail in trails),
        unfinished=sum(at > whole_until for trail in trails for at in trail.open),
        reached=sum(tally.total() for tally in leads),
        reachable=sum(trail.reachable for trail in trails),
        precision=share((trail.followed, trail.interventions) for trail in trails),
        recall=share((trail.leads.total(), total) for trail, total in both),
        reachable_share=share((trail.reachable, total) for trail, total in both),
        lead_seconds=LeadTime(*(quantile(leads, part, seed, resamples) for part in QUARTILES)),
    )


def _rounded(lead_time: int) -> int:
    """Seconds, to three significant digits: few different values, so that tallies stay small."""
    seconds = lead_time // SECOND
    unit: int = 10 ** max(0, len(str(seconds)) - 3)
    return (seconds + unit // 2) // unit * unit
