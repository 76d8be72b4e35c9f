"""Evidence: what a backtest's decisions add up to. Tallies only, no event is kept.

For each customer there are a few numbers: when they were last seen, and, once decided on, how often
and by which policies. Everything else grows with policies, reasons and days.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import nsmallest
from typing import Final, TypeVar

import msgspec

from forestall.contracts.decision import Decision, Outcome, Reason
from forestall.contracts.instants import HOUR, MINUTE, SECOND, format_time, parse_time
from forestall.decide.backtest import Step
from forestall.measure.outcomes import Followed

SESSION_GAP: Final = 30 * MINUTE
"""A customer's events less than this apart are one session."""

OVERLAP_WITHIN: Final = HOUR
MOST: Final = 10
"""How many of the most-hit customers are named."""

Key = TypeVar("Key", bound=tuple[object, ...])


class Count(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """So many decisions of a policy, with this outcome and reason; ``day`` (UTC) by days only."""

    day: str | None = None
    policy: str
    outcome: Outcome
    reason: Reason | None
    decisions: int


class Rate(msgspec.Struct, frozen=True):
    """A policy's decisions and interventions, in all and per 1,000 sessions (null for none)."""

    policy: str
    decisions: int
    interventions: int
    decisions_per_1000: float | None
    interventions_per_1000: float | None


class Overlap(msgspec.Struct, frozen=True):
    """Two policies and how many ``times`` a candidate of the one came at most an hour after a
    candidate of the other for the same customer; of how many ``customers``."""

    policies: tuple[str, str]
    times: int
    customers: int


class Hit(msgspec.Struct, frozen=True):
    """A customer with many interventions: how many, by policy, and of how many decisions."""

    customer: str
    interventions: int
    decisions: int
    by_policy: dict[str, int]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the decisions add up to. ``counts`` by policy, outcome and reason, ``by_day`` besides
    by the day of the decision (UTC). ``first`` and ``last`` are log times of the history (RFC
    3339, null for an empty one)."""

    first: str | None
    last: str | None
    customers: int
    sessions: int
    session_gap_seconds: float
    counts: tuple[Count, ...]
    by_day: tuple[Count, ...]
    rates: tuple[Rate, ...]
    overlap: tuple[Overlap, ...]
    most_hit: tuple[Hit, ...]


class _Customer:
    """Those decided on: totals, each policy's newest candidate, and which policies met."""

    __slots__ = ("by_policy", "decisions", "met", "newest")

    def __init__(self) -> None:
        self.decisions = 0
        self.by_policy: Counter[str] = Counter()
        self.newest: dict[str, int] = {}
        self.met: set[tuple[str, str]] = set()


class Tally(msgspec.Struct, frozen=True):
    """What was counted over some of the customers; the tallies of different customers add up.

    ``first`` and ``last`` are log times, ``met`` the customers for whom two policies overlapped.
    """

    gap: int
    first: int | None
    last: int
    customers: int
    sessions: int
    counts: Counter[tuple[str, str, Outcome, Reason | None]]
    overlap: Counter[tuple[str, str]]
    met: Counter[tuple[str, str]]
    most_hit: tuple[Hit, ...]

    def __add__(self, other: "Tally") -> "Tally":
        begun = [one.first for one in (self, other) if one.first is not None]
        return Tally(
            self.gap,
            min(begun, default=None),
            max(self.last, other.last),
            self.customers + other.customers,
            self.sessions + other.sessions,
            self.counts + other.counts,
            self.overlap + other.overlap,
            self.met + other.met,
            _most(self.most_hit + other.most_hit),
        )

    def facts(self) -> Facts:
        """The tally in words, shares and order."""
        without_day: Counter[tuple[str, Outcome, Reason | None]] = Counter()
        by_policy: Counter[str] = Counter()
        intervened: Counter[str] = Counter()
        for (_, policy, outcome, reason), number in self.counts.items():
            without_day[policy, outcome, reason] += number
            by_policy[policy] += number
            if outcome == "intervene":
                intervened[policy] += number
        return Facts(
            first=None if self.first is None else format_time(self.first),
            last=None if self.first is None else format_time(self.last),
            customers=self.customers,
            sessions=self.sessions,
            session_gap_seconds=self.gap / SECOND,
            counts=tuple(
                Count(policy=policy, outcome=outcome, reason=reason, decisions=number)
                for (policy, outcome, reason), number in _sorted(without_day.items())
            ),
            by_day=tuple(
                Count(day=day, policy=policy, outcome=outcome, reason=reason, decisions=number)
                for (day, policy, outcome, reason), number in _sorted(self.counts.items())
            ),
            rates=tuple(
                Rate(
                    policy,
                    number,
                    intervened[policy],
                    self._per_1000(number),
                    self._per_1000(intervened[policy]),
                )
                for policy, number in sorted(by_policy.items())
            ),
            overlap=tuple(
                Overlap(pair, number, self.met[pair])
                for pair, number in sorted(self.overlap.items(), key=lambda one: (-one[1], one[0]))
            ),
            most_hit=self.most_hit,
        )

    def _per_1000(self, number: int) -> float | None:
        return round(1000 * number / self.sessions, 2) if self.sessions else None


class Evidence:
    """Running tallies over a backtest, of what acts: versions in shadow are left out.

    ``gap`` (microseconds) parts sessions. Events under ``forestall.`` (tickets, consent, reports)
    make no session: often it is not the customer who sends them.
    """

    def __init__(self, gap: int = SESSION_GAP) -> None:
        self._gap = gap
        self._first: int | None = None
        self._last = 0
        self._sessions = 0
        self._seen: dict[str, int] = {}
        self._counts: Counter[tuple[str, str, Outcome, Reason | None]] = Counter()
        self._customers: dict[str, _Customer] = {}
        self._overlap: Counter[tuple[str, str]] = Counter()

    def add(self, step: Step) -> None:
        """Take what was decided on a few records."""
        seen, gap = self._seen, self._gap
        received = step.chunk.received
        if received:
            self._last = received[-1]
            if self._first is None:
                self._first = received[0]
        for record in step.chunk.records:
            if record.type[:10] == "forestall.":
                continue
            subject, time = record.subject, record.time
            if time > record.received:
                time = record.received
            last = seen.get(subject)
            if last is None:
                self._sessions += 1
                seen[subject] = time
            elif time > last:
                self._sessions += time - last >= gap
                seen[subject] = time
        for _, decision in step.decided:
            if decision.mode != "shadow":
                self._decided(decision)

    def tally(self) -> Tally:
        """What has been taken so far."""
        met: Counter[tuple[str, str]] = Counter()
        for customer in self._customers.values():
            met.update(customer.met)
        return Tally(
            self._gap,
            self._first,
            self._last,
            len(self._seen.keys() | self._customers.keys()),
            self._sessions,
            self._counts,
            self._overlap,
            met,
            _most(self._hits()),
        )

    def _decided(self, decision: Decision) -> None:
        policy = decision.policy
        self._counts[decision.at[:10], policy, decision.outcome, decision.reason] += 1
        customer = self._customers.get(decision.subject)
        if customer is None:
            customer = self._customers[decision.subject] = _Customer()
        customer.decisions += 1
        if decision.outcome == "intervene":
            customer.by_policy[policy] += 1
        at = parse_time(decision.at)
        for other, then in customer.newest.items():
            if other != policy and at - then <= OVERLAP_WITHIN:
                pair = (policy, other) if policy < other else (other, policy)
                self._overlap[pair] += 1
                customer.met.add(pair)
        customer.newest[policy] = at

    def _hits(self) -> Iterator[Hit]:
        for name, customer in self._customers.items():
            if customer.by_policy:
                by_policy = dict(customer.by_policy.most_common())
                yield Hit(name, customer.by_policy.total(), customer.decisions, by_policy)


def _most(hits: Iterable[Hit]) -> tuple[Hit, ...]:
    return tuple(nsmallest(MOST, hits, key=lambda hit: (-hit.interventions, hit.customer)))


def follow(followed: Followed, step: Step, grace: int) -> None:
    """Show ``followed`` a step's decisions, but those in shadow, and outcomes, in log order."""
    decided = (one for one in step.noticed(grace) if one[2].mode != "shadow")
    waiting = next(decided, None)
    for index, record in zip(step.chunk.places, step.chunk.records, strict=True):
        if record.type != followed.outcome:
            continue
        while waiting is not None and waiting[0] <= 2 * index:
            followed.decided(waiting[2], waiting[1])
            waiting = next(decided, None)
        followed.happened(record)
    while waiting is not None:
        followed.decided(waiting[2], waiting[1])
        waiting = next(decided, None)


def _sorted(items: Iterable[tuple[Key, int]]) -> list[tuple[Key, int]]:
    return sorted(items, key=lambda item: tuple(str(part or "") for part in item[0]))
