"""Cohorts: the customers of one experiment, each with its arm, its entry and what followed.

By intention to treat: a customer stays in the arm that the hash says, whatever happened.
"""

from collections import Counter
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from forestall.contracts.instants import DAY, HOUR
from forestall.measure.terms import Plan, Term, within
from forestall.measure.trails import SESSION_GAP, Asked, Met, Trail

Floats = NDArray[np.float64]
Unit = Literal["subject", "account"]
Kind = Literal["everyone", "reached", "policy"]

SLACK: Final = HOUR
"""How late an outcome may arrive after it happened and still be counted."""

PLACES: Final = 6
"""So many channels and categories are told apart; the rest is one."""

OTHERS: Final = "all others"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the trails; times in microseconds of log time.

    Outcomes count until ``horizon`` after a customer's entry, which lies in ``since`` to before
    ``until``; ``before`` is how long before it the pre-period reaches, ``gap`` what parts sessions.
    ``now`` is the log time reached.
    """

    horizon: int
    now: int
    before: int = 28 * DAY
    since: int | None = None
    until: int | None = None
    unit: Unit = "subject"
    gap: int = SESSION_GAP


class Entry(msgspec.Struct, frozen=True):
    """One customer's entry into an experiment."""

    subject: str
    trail: Trail
    at: int
    aside: bool


class Cohort:
    """The customers of one experiment in one term.

    ``entered`` are all of them, and how many by arm (offered help, kept aside); ``open_`` those of
    whom the horizon has not passed. ``earlier`` had entered before the time that was asked about,
    ``neither`` are in the global holdout and so in no arm, ``unknown`` cannot be told. ``crossed`` counts by arm those to
    whom the other arm's lot fell within the horizon.
    """

    def __init__(self, kind: Kind, name: str, term: Term) -> None:
        self.kind = kind
        self.name = name
        self.term = term
        self.entries: list[Entry] = []
        self.open_ = [0, 0]
        self.earlier = self.neither = self.unknown = 0
        self.crossed = [0, 0]
        self.versions: set[str] = set()

    @property
    def entered(self) -> tuple[int, int]:
        """Customers by arm, also those whose horizon has not passed."""
        aside = sum(one.aside for one in self.entries)
        return len(self.entries) - aside, aside


class Cohorts:
    """All experiments of a deployment, filled one person after the other."""

    def __init__(self, plan: Plan, question: Question) -> None:
        self.plan = plan
        self.question = question
        self._cohorts: dict[tuple[Kind, str, int], Cohort] = {}
        self._exempt = {version for version, one in plan.versions.items() if one.exempt}
        self._exempt_names = {one.policy for one in plan.versions.values() if one.exempt}

    def take(self, subject: str, trail: Trail) -> None:
        """Take one person into every experiment that they belong to."""
        self._everyone(subject, trail)
        self._reached(subject, trail)
        for name in {met.policy for met in trail.met}:
            self._policy(name, subject, trail)

    def of(self, kind: Kind, name: str = "") -> list[Cohort]:
        """The cohorts of one experiment in the order of their terms, also those that are empty."""
        terms = self.plan.policies.get(name, ()) if kind == "policy" else self.plan.everyone
        return [self._cohort(kind, name, term) for term in terms]

    # -- who enters where ------------------------------------------------------------------------

    def _everyone(self, subject: str, trail: Trail) -> None:
        for term in self.plan.everyone:
            at = trail.first_active(max(term.start, self.question.since or term.start))
            if at is not None and self._asked_for(term, at):
                self._enter(self._cohort("everyone", "", term), subject, trail, at)

    def _reached(self, subject: str, trail: Trail) -> None:
        acts = [
            met
            for met in trail.met
            if met.reason != "policy_holdout" and met.version not in self._exempt
        ]
        self._triggered("reached", "", self.plan.everyone, acts, subject, trail)

    def _policy(self, name: str, subject: str, trail: Trail) -> None:
        terms = self.plan.policies.get(name, ())
        acts = [met for met in trail.met if met.policy == name]
        self._triggered("policy", name, terms, acts, subject, trail)

    def _triggered(
        self,
        kind: Kind,
        name: str,
        terms: tuple[Term, ...],
        acts: list[Met],
        subject: str,
        trail: Trail,
    ) -> None:
        known: set[str] = set()
        for met in acts:
            term = within(terms, met.at)
            if term is None or term.salt in known:
                continue
            known.add(term.salt)
            cohort = self._cohort(kind, name, term)
            if not self._asked_for(term, met.at):
                cohort.earlier += met.at < (self.question.since or 0)
            elif met.version not in self.plan.versions:
                cohort.unknown += 1
            elif not term.belongs(subject):
                cohort.neither += 1
            else:
                cohort.versions.add(met.version)
                self._enter(cohort, subject, trail, met.at)

    def _asked_for(self, term: Term, at: int) -> bool:
        since, until = self.question.since, self.question.until
        inside = (since is None or at >= since) and (until is None or at < until)
        return inside and (term.end is None or at < term.end)

    def _cohort(self, kind: Kind, name: str, term: Term) -> Cohort:
        key = (kind, name, term.start)
        found = self._cohorts.get(key)
        if found is None:
            found = self._cohorts[key] = Cohort(kind, name, term)
        return found

    def _enter(self, cohort: Cohort, subject: str, trail: Trail, at: int) -> None:
        if self.question.unit == "account" and trail.account is None:
            cohort.unknown += 1
            return
        aside = cohort.term.aside(subject)
        cohort.entries.append(Entry(subject, trail, at, aside))
        cohort.crossed[aside] += self._crossed(cohort, trail, at, aside)

    def _crossed(self, cohort: Cohort, trail: Trail, at: int, aside: bool) -> bool:
        """Whether help reached one kept aside, or was withheld at entry from one who was not."""
        name, end = cohort.name, at + self.question.horizon

        def concerns(policy: str) -> bool:
            return policy == name if name else policy not in self._exempt_names

        acts = [met for met in trail.met if at <= met.at <= end and concerns(met.policy)]
        if aside:
            seen = (at <= when <= end and concerns(policy) for when, policy in trail.shown)
            return any(seen) or any(met.reason is None for met in acts)
        withheld = "policy_holdout" if name else "global_holdout"
        return any(met.reason == withheld for met in acts)


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A cohort's customers with their horizon behind them, as columns of numbers.

    ``columns`` are by name, one number a customer; ``aside`` is the arm, ``entry`` the log time of
    the entry. ``unit`` numbers the unit of analysis, of which there are ``units``: the customer
    itself or the account.
    """

    aside: NDArray[np.bool_]
    entry: NDArray[np.int64]
    unit: NDArray[np.int64]
    units: int
    columns: dict[str, Floats]
    channels: dict[str, Floats]
    categories: dict[str, Floats]

    def by_unit(self, column: Floats) -> Floats:
        """The sums of ``column`` by arm and unit: (2, units), offered help first."""
        place = self.unit + self.units * self.aside
        flat = np.bincount(place, weights=column, minlength=2 * self.units)
        return flat.astype(np.float64).reshape(2, self.units)

    def where(self, chosen: NDArray[np.bool_]) -> "Table":
        """Only the ``chosen`` customers."""
        names, unit = np.unique(self.unit[chosen], return_inverse=True)

        def those(columns: dict[str, Floats]) -> dict[str, Floats]:
            return {name: column[chosen] for name, column in columns.items()}

        return Table(
            aside=self.aside[chosen],
            entry=self.entry[chosen],
            unit=unit.astype(np.int64),
            units=len(names),
            columns=those(self.columns),
            channels=those(self.channels),
            categories=those(self.categories),
        )


COLUMNS: Final = (
    "people",
    "outcomes",
    "sessions",
    "before",
    "sessions_before",
    "later",
    "asked",
    "hours",
    "own",
    "resolved",
    "ratings",
    "scores",
    "interventions",
)
"""``before`` are outcomes in the pre-period, ``later`` those in a second horizon after the first,
``asked`` whether there was any outcome, ``hours`` the time to the first one or the whole horizon,
``own`` tickets that Forestall opened, ``resolved`` those answered at first contact."""


def table(cohort: Cohort, question: Question) -> Table:
    """The customers of ``cohort`` whose horizon has passed; counts those whose has not."""
    ends = cohort.term.end
    limit = question.now - SLACK if ends is None else min(ends, question.now - SLACK)
    done = []
    for one in cohort.entries:
        if one.at + question.horizon <= limit:
            done.append(one)
        else:
            cohort.open_[one.aside] += 1
    rows = np.array([_row(one, cohort, question) for one in done]).reshape(len(done), len(COLUMNS))
    asked = [one.trail.asked_within(one.at, one.at + question.horizon) for one in done]
    unit, units = _units(done, question.unit)
    return Table(
        aside=np.array([one.aside for one in done], dtype=np.bool_),
        entry=np.array([one.at for one in done], dtype=np.int64),
        unit=unit,
        units=units,
        columns=dict(zip(COLUMNS, rows.T, strict=True)),
        channels=_places([[one.channel for one in each] for each in asked]),
        categories=_places([[one.category for one in each] for each in asked]),
    )


def later_done(table: Table, cohort: Cohort, question: Question) -> NDArray[np.bool_]:
    """Of whom a second horizon has passed as well."""
    ends = cohort.term.end
    limit = question.now - SLACK if ends is None else min(ends, question.now - SLACK)
    chosen: NDArray[np.bool_] = table.entry + 2 * question.horizon <= limit
    return chosen


def _row(one: Entry, cohort: Cohort, question: Question) -> tuple[float, ...]:
    trail, at = one.trail, one.at
    end = at + question.horizon
    asked = trail.asked_within(at, end)
    begin, stop = _pre_period(at, cohort, question)
    ratings = [score for when, score in trail.rated if at < when <= end]
    acts = [met for met in trail.met if at <= met.at <= end and met.reason is None]
    if cohort.kind == "policy":
        acts = [met for met in acts if met.policy == cohort.name]
    first = asked[0].at - at if asked else question.horizon
    return (
        1,
        len(asked),
        trail.sessions(at, end, question.gap),
        len(trail.asked_within(begin, stop)),
        trail.begun(begin, stop),
        len(trail.asked_within(end, end + question.horizon)),
        bool(asked),
        first / HOUR,
        sum(each.own for each in asked),
        _resolved(asked, trail, question.horizon),
        len(ratings),
        sum(ratings),
        len(acts),
    )


def _pre_period(at: int, cohort: Cohort, question: Question) -> tuple[int, int]:
    """Nothing of it may lie after the first difference between the arms.

    Who meets a policy, or any, for the first time was treated alike until then. Of everybody active
    some may have been kept aside from the first day of the holdout.
    """
    stop = min(at, cohort.term.began) if cohort.kind == "everyone" else at
    return stop - question.before, stop


def _resolved(asked: list[Asked], trail: Trail, horizon: int) -> int:
    """How many were neither reopened nor followed by another within ``horizon``."""
    return sum(
        one.ticket not in trail.reopened and not trail.asked_within(one.at, one.at + horizon)
        for one in asked
    )


def _units(entries: list[Entry], unit: Unit) -> tuple[NDArray[np.int64], int]:
    if unit == "subject":
        return np.arange(len(entries), dtype=np.int64), len(entries)
    numbers: dict[str | None, int] = {}
    found = [numbers.setdefault(one.trail.account, len(numbers)) for one in entries]
    return np.array(found, dtype=np.int64), len(numbers)


def _places(named: list[list[str]]) -> dict[str, Floats]:
    """How often each of the most frequent names, and the others together, by customer."""
    total = Counter(name for each in named for name in each)
    kept = [name for name, _ in total.most_common(PLACES)]
    rest = len(total) > len(kept)
    columns = {name: np.zeros(len(named)) for name in [*kept, *([OTHERS] if rest else [])]}
    for place, each in enumerate(named):
        for name in each:
            columns[name if name in columns else OTHERS][place] += 1
    return columns
