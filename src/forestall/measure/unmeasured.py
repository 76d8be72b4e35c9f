"""What is not measured, for nobody was kept aside, and how large a holdout would measure it."""

from typing import Final

import msgspec
import numpy as np

from forestall.contracts.instants import DAY
from forestall.measure import refusals
from forestall.measure.cohorts import Cohort, Kind, Question, table
from forestall.measure.findings import Experiment
from forestall.measure.refusals import LEAST_OUTCOMES, Arms, Outlook, Refusal
from forestall.measure.terms import Plan, Term

NOBODY: Final = Term(0, None, "", 0.0, 0)
"""Stands for a term where there is none: nobody is kept aside, so all are in one arm."""

SUGGESTED: Final = {"policy": 0.1, "everyone": 0.05, "reached": 0.05}
"""The share to begin with."""


def filled(plan: Plan) -> Plan:
    """The plan with ``NOBODY`` where there is no term, so that customers are counted there too."""
    return msgspec.structs.replace(
        plan,
        everyone=plan.everyone or (NOBODY,),
        policies={name: terms or (NOBODY,) for name, terms in plan.policies.items()},
    )


def another_time(kind: Kind, name: str) -> Experiment:
    """There was a holdout, but not when it was asked about."""
    return _refused(
        kind,
        name,
        "Nobody was kept aside in the time that was asked about.",
        "Ask about another time with --since and --until.",
    )


def unknown(name: str, plan: Plan) -> Experiment:
    """There was no such policy."""
    known = ", ".join(sorted(plan.policies)) or "none"
    return _refused(
        "policy", name, f"No policy {name} was ever in force here.", f"These were: {known}."
    )


def unmeasured(kind: Kind, name: str, cohort: Cohort, question: Question) -> Experiment:
    """There was no holdout; ``cohort`` are the customers among whom there might be one."""
    advice = _advice(cohort, question, SUGGESTED[kind])
    if kind == "policy":
        return _refused(
            kind,
            name,
            "This policy keeps nobody aside, so nobody shows what happens without it.",
            f"Give the policy a holdout, such as `holdout: {SUGGESTED[kind]}`.{advice}",
        )
    return _refused(
        kind,
        name,
        "There is no global holdout, so nobody shows what happens without help.",
        f"Set `holdout = {SUGGESTED[kind]}` under [decide], with a `salt` of your own.{advice}",
    )


def _advice(cohort: Cohort, question: Question, share: float) -> str:
    """How long that holdout would take, by the customers and outcomes there are; or nothing."""
    whole = table(cohort, question)
    people = whole.by_unit(whole.columns["people"])
    above = whole.by_unit(whole.columns["outcomes"])
    if refusals.arms(above).offered < LEAST_OUTCOMES:
        return ""
    times = [one.at for one in cohort.entries]
    span = max(times) - min(times)
    units = np.count_nonzero(people) / people.sum() * len(times)
    daily = share * float(units) * DAY / span if span else 0.0
    return " " + refusals.wanted(above, people, Outlook(question.unit, share, daily))


def _refused(kind: Kind, name: str, why: str, what: str) -> Experiment:
    nothing = Arms(0, 0)
    return Experiment(
        kind=kind,
        policy=name or None,
        start=None,
        end=None,
        current=True,
        share=0.0,
        versions=0,
        entered=nothing,
        counted=nothing,
        units=nothing,
        earlier=0,
        neither=0,
        unknown=0,
        crossed=nothing,
        sample_ratio=None,
        refused=Refusal("no-holdout", why, what),
        figures=None,
    )
