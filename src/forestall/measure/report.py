"""The honest number: what help changed, figure by figure, or why nobody can say."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np

from forestall.contracts.instants import DAY, HOUR, SECOND, format_time
from forestall.measure import refusals, unmeasured
from forestall.measure.cohorts import (
    Cohort,
    Cohorts,
    Floats,
    Kind,
    Question,
    Table,
    later_done,
    table,
)
from forestall.measure.effect import contrast
from forestall.measure.findings import (
    Experiment,
    Figures,
    Finding,
    Moment,
    Money,
    Place,
    Report,
    Wait,
)
from forestall.measure.refusals import LEAST_OUTCOMES, Arms, Outlook, Refusal, units_of
from forestall.measure.terms import Plan
from forestall.measure.trails import TICKET, UNTOLD, Trails

POINTS: Final = 40
"""How many points the difference over time, and the waiting for a first outcome, are told at."""

LEAST_DRAWN: Final = 30
"""Units that each arm needs for a point of the difference over time."""

UNCLOSED: Final = "Nobody tells when tickets are closed (forestall.ticket.closed)."


def report(
    trails: Trails,
    plan: Plan,
    question: Question,
    policy: str | None = None,
    money: Money | None = None,
) -> Report:
    """What ``trails`` say; only of ``policy`` where one is named.

    Decisions outlive events in the log. Who entered before its first event is left out, for nobody
    knows what they did.
    """
    asked = question
    if trails.first is not None:
        question = msgspec.structs.replace(asked, since=max(asked.since or 0, trails.first))
    cohorts = Cohorts(unmeasured.filled(plan), question)
    customers = 0
    for subject, trail in trails.whole():
        customers += bool(trail.starts or trail.met)
        cohorts.take(subject, trail)
    study = Study(question, trails.outcome, trails.closing, money)
    wanted: list[tuple[Kind, str]] = [("policy", name) for name in sorted(plan.policies)]
    wanted = (
        [("everyone", ""), ("reached", ""), *wanted] if policy is None else [("policy", policy)]
    )
    found = [one for key in wanted for one in study.experiments(*key, cohorts, plan)]
    return Report(
        outcome=trails.outcome,
        horizon_seconds=question.horizon / SECOND,
        before_seconds=question.before / SECOND,
        unit=question.unit,
        since=_told(asked.since),
        until=_told(asked.until),
        now=format_time(question.now),
        events=trails.events,
        decisions=trails.decisions,
        customers=customers,
        joined=trails.joined,
        experiments=tuple(found),
    )


class Study:
    """The figures of one cohort after the other."""

    def __init__(
        self, question: Question, outcome: str, closing: bool, money: Money | None = None
    ) -> None:
        self.question = question
        self.money = money
        self.closing = closing
        self.noun = "tickets" if outcome == TICKET else f"{outcome} events"

    def experiments(self, kind: Kind, name: str, cohorts: Cohorts, plan: Plan) -> list[Experiment]:
        """One for each term that the question is about, or one that says why there is none."""
        if kind == "policy" and name not in plan.policies:
            return [unmeasured.unknown(name, plan)]
        found = cohorts.of(kind, name)
        if found[0].term is unmeasured.NOBODY:
            return [unmeasured.unmeasured(kind, name, found[0], self.question)]
        since, until = self.question.since or 0, self.question.until
        asked = [
            one
            for one in found
            if (one.term.end is None or one.term.end > since)
            and (until is None or one.term.start < until)
        ]
        if not asked:
            return [unmeasured.another_time(kind, name)]
        return [self.experiment(one, current=one is asked[-1]) for one in asked]

    def experiment(self, cohort: Cohort, current: bool) -> Experiment:
        """What one cohort says."""
        whole = table(cohort, self.question)
        people = whole.by_unit(whole.columns["people"])
        units = refusals.units_of(people)
        ahead = refusals.outlook(cohort, self.question, units.aside + cohort.open_[1])
        refused = refusals.distrust(cohort)
        if refused is None and not whole.units:
            refused = refusals.unfinished(cohort, self.question)
        figures, wanted = None, ""
        if refused is None:
            main = self.compare(whole, "outcomes", ahead, 1000)
            refused = main.refused
            if main.contrast is not None:
                figures = self._figures(whole, cohort, ahead, main)
                wanted = self._wanted(whole, people, ahead, main)
        term = cohort.term
        return Experiment(
            kind=cohort.kind,
            policy=cohort.name or None,
            start=format_time(term.start),
            end=_told(term.end),
            current=current,
            share=term.share,
            versions=len(cohort.versions),
            entered=Arms(*cohort.entered),
            counted=refusals.arms(people),
            units=units,
            earlier=cohort.earlier,
            neither=cohort.neither,
            unknown=cohort.unknown,
            crossed=Arms(*cohort.crossed),
            sample_ratio=refusals.split(cohort),
            refused=refused,
            figures=figures,
            wanted=wanted,
        )

    def compare(self, whole: Table, name: str, ahead: Outlook, per: int = 1) -> Finding:
        """Column ``name`` of the table per customer, adjusted by what was before."""
        people = whole.by_unit(whole.columns["people"])
        above = whole.by_unit(whole.columns[name])
        return self._finding(above, people, people, _covariates(whole), ahead, per)

    def per_session(self, whole: Table, ahead: Outlook) -> Finding:
        """Outcomes per 1,000 sessions, adjusted by what was before."""
        people = whole.by_unit(whole.columns["people"])
        outcomes = whole.by_unit(whole.columns["outcomes"])
        sessions = whole.by_unit(whole.columns["sessions"])
        return self._finding(outcomes, sessions, people, _covariates(whole), ahead, 1000)

    def _finding(
        self,
        above: Floats,
        below: Floats,
        people: Floats,
        covariates: Sequence[Floats],
        ahead: Outlook,
        per: int,
        noun: str | None = None,
        counted: Floats | None = None,
    ) -> Finding:
        """The contrast where it has legs: enough units, of ``counted`` enough, and not too skewed."""
        noun = noun or self.noun
        refused = refusals.too_little(above if counted is None else counted, people, noun, ahead)
        if refused is None and not below.any(axis=1).all():
            refused = Refusal("few-outcomes", "In one arm there is nothing to count it by.")
        if refused is not None:
            return Finding(per, refused=refused)
        found = contrast(above * per, below, people, covariates)
        refused = refusals.too_skewed(found, people, noun, ahead)
        return Finding(per, refused=refused) if refused else Finding(per, found)

    def _figures(self, whole: Table, cohort: Cohort, ahead: Outlook, main: Finding) -> Figures:
        people = whole.by_unit(whole.columns["people"])
        before = _covariates(whole)

        def of(name: str) -> Floats:
            return whole.by_unit(whole.columns[name])

        outcomes = of("outcomes")

        def each(above: Floats, below: Floats, noun: str, per: int = 1) -> Finding:
            return self._finding(above, below, people, before, ahead, per, noun, outcomes)

        cost = interaction = None
        if self.money is not None:
            paid = self.money.ticket * outcomes + self.money.intervention * of("interventions")
            cost = each(paid, people, "costs", 1000)
            interaction = each(paid, outcomes + of("interventions"), "costs")
        later = whole.where(later_done(whole, cohort, self.question))
        return Figures(
            outcomes=main,
            per_session=self.per_session(whole, ahead),
            sessions=each(of("sessions"), people, "sessions"),
            later=self.compare(later, "later", ahead, 1000),
            asked=self.compare(whole, "asked", ahead),
            hours=self.compare(whole, "hours", ahead),
            interventions=Finding(1000, contrast(1000 * of("interventions"), people, people)),
            resolved=self._resolved(whole, ahead),
            satisfaction=self._satisfaction(whole, ahead),
            cost=cost,
            interaction=interaction,
            places=tuple(self._places(whole, ahead)),
            own=refusals.arms(of("own")),
            over_time=tuple(self._over_time(whole)),
            waiting=tuple(self._waiting(whole)),
        )

    def _resolved(self, whole: Table, ahead: Outlook) -> Finding:
        if not self.closing:
            return Finding(1, refused=Refusal("few-outcomes", UNCLOSED))
        asked = whole.where(whole.columns["outcomes"] > 0)
        return self._ratio(asked, "resolved", "outcomes", ahead)

    def _satisfaction(self, whole: Table, ahead: Outlook) -> Finding:
        rated = whole.where(whole.columns["ratings"] > 0)
        return self._ratio(rated, "scores", "ratings", ahead)

    def _ratio(self, some: Table, above: str, below: str, ahead: Outlook) -> Finding:
        """Of those customers of whom something is known; that many there must be in each arm."""
        known = some.by_unit(some.columns[below])
        people = some.by_unit(some.columns["people"])
        fewest = int(known.sum(axis=1).min())
        if (
            fewest < LEAST_OUTCOMES
            or min(msgspec.structs.astuple(units_of(people))) < LEAST_OUTCOMES
        ):
            return Finding(
                1,
                refused=Refusal(
                    "few-outcomes",
                    f"One arm has {fewest:,}; at least {LEAST_OUTCOMES} are needed.",
                ),
            )
        found = contrast(some.by_unit(some.columns[above]), known, people)
        refused = refusals.too_skewed(found, people, below, ahead)
        return Finding(1, refused=refused) if refused else Finding(1, found)

    def _places(self, whole: Table, ahead: Outlook) -> Iterator[Place]:
        people = whole.by_unit(whole.columns["people"])
        for by, columns in (("channel", whole.channels), ("category", whole.categories)):
            if set(columns) <= {UNTOLD}:
                continue
            for name, column in columns.items():
                above = whole.by_unit(column)
                noun = f"{self.noun} of {by} {name}"
                yield Place(by, name, self._finding(above, people, people, (), ahead, 1000, noun))

    def _wanted(self, whole: Table, people: Floats, ahead: Outlook, main: Finding) -> str:
        found = main.contrast
        removed = found.variance_removed if found else 0.0
        return refusals.wanted(whole.by_unit(whole.columns["outcomes"]), people, ahead, removed)

    def _over_time(self, whole: Table) -> Iterator[Moment]:
        """The difference as it stood at the end of each day, or of longer spans if there are many.

        A moment with too few customers for an interval is left out.
        """
        done = whole.entry + self.question.horizon
        first, last = int(done.min()), int(done.max())
        step = DAY * max(1, -(-(last - first) // (DAY * POINTS)))
        ends = [*range(first - first % DAY + DAY, last, step), last + 1]
        for end in ends:
            part = whole.where(done < end)
            people = part.by_unit(part.columns["people"])
            units = units_of(people)
            if min(units.offered, units.aside) < LEAST_DRAWN:
                continue
            above = 1000 * part.by_unit(part.columns["outcomes"])
            found = contrast(above, people, people, _covariates(part)).difference
            if found.low is not None and found.high is not None and found.high > found.low:
                yield Moment(format_time(end), found.value, found.low, found.high)

    def _waiting(self, whole: Table) -> Iterator[Wait]:
        horizon = self.question.horizon / HOUR
        aside, asked = whole.aside, whole.columns["asked"] > 0
        first = np.where(asked, whole.columns["hours"], np.inf)
        groups = [np.sort(first[~aside]), np.sort(first[aside])]
        for place in range(POINTS + 1):
            hours = horizon * place / POINTS
            offered, kept = (
                float(1 - np.searchsorted(one, hours, side="right") / max(len(one), 1))
                for one in groups
            )
            yield Wait(round(hours, 3), offered, kept)


def _covariates(whole: Table) -> list[Floats]:
    return [whole.by_unit(whole.columns[name]) for name in ("before", "sessions_before")]


def _told(at: int | None) -> str | None:
    return None if at is None else format_time(at)
