"""When there is no number: what the data cannot carry, and what would carry it."""

from math import floor, log10
from typing import Final, Literal

import msgspec
import numpy as np

from forestall.contracts.instants import DAY, format_duration, format_time
from forestall.measure.cohorts import Cohort, Floats, Question, Unit
from forestall.measure.effect import ASIDE, OFFERED, Contrast, planned, sample_ratio, spread_of

LEAST_CUSTOMERS: Final = 100
"""Customers that each arm needs."""

LEAST_ACCOUNTS: Final = 30
"""Accounts that each arm needs, where accounts are the unit."""

LEAST_OUTCOMES: Final = 20
"""Outcomes that are needed among those kept aside."""

MOST_SKEW: Final = 0.22
"""The skewness of a difference up to which its interval holds.

By the Edgeworth expansion of Student's statistic (Hall, "The Bootstrap and Edgeworth Expansion", 1992)
the chance of being outside a plain 95 % interval grows by about a quarter of the skewness squared: here
by 1 %. Beyond it too little is known of the skewness to move the bounds by.
"""

LEAST_RATIO_P: Final = 0.001
"""A split less likely than this stops the number."""

MOST_CROSSED: Final = 0.05
"""The share of an arm to whom the other arm's lot may have fallen."""

WIDTH: Final = 0.2
"""The half-width, as a part of the rate, that sample sizes are told for."""

Code = Literal[
    "no-holdout",
    "nobody",
    "unfinished",
    "few-customers",
    "few-outcomes",
    "skewed",
    "sample-ratio",
    "contaminated",
]


class Refusal(msgspec.Struct, frozen=True):
    """Why there is no number: ``code`` is stable, ``why`` what is wrong, ``what`` would help."""

    code: Code
    why: str
    what: str = ""


class Arms(msgspec.Struct, frozen=True):
    """A count in either arm: those offered help, and those kept aside."""

    offered: int
    aside: int


class SampleRatio(msgspec.Struct, frozen=True):
    """The split of all who entered: the share kept aside, what it should be, and how likely (p) a
    split at least as uneven is."""

    share: float
    expected: float
    p: float


class Outlook(msgspec.Struct, frozen=True):
    """How fast units kept aside come in: ``daily``, or 0 where that is not known; ``share`` of all
    are kept aside."""

    unit: Unit
    share: float
    daily: float

    def words(self, need: int, have: int, aim: str) -> str:
        """What ``aim`` needs, in a sentence."""
        name = {"subject": "customers", "account": "accounts"}[self.unit]
        wait = ""
        if self.daily and need > have:
            days = (need - have) / self.daily
            wait = (
                "; at today's traffic that takes more than ten years"
                if days > 3650
                else f"; at today's traffic that takes {_days(days)} more"
            )
        return f"{aim} needs about {rounded(need):,} {name} kept aside{wait}."

    def hint(self, have: int) -> str:
        """How to get there sooner, where that is far away."""
        return " A larger holdout gets there sooner." if have and self.share < 0.5 else ""


def arms(column: Floats) -> Arms:
    """The sums of a (2, units) column."""
    offered, aside = (round(float(each)) for each in column.sum(axis=1))
    return Arms(offered, aside)


def units_of(people: Floats) -> Arms:
    """How many units have customers in either arm."""
    offered, aside = (int(each) for each in np.count_nonzero(people, axis=1))
    return Arms(offered, aside)


def split(cohort: Cohort) -> SampleRatio:
    """How those who entered fell into the arms."""
    offered, aside = cohort.entered
    share = aside / (offered + aside) if offered + aside else 0.0
    expected = cohort.term.share
    return SampleRatio(share, expected, sample_ratio(offered, aside, expected))


def distrust(cohort: Cohort) -> Refusal | None:
    """Why the arms cannot be compared at all, however many are in them."""
    ratio = split(cohort)
    offered, aside = cohort.entered
    if ratio.p < LEAST_RATIO_P:
        return Refusal(
            "sample-ratio",
            f"Of {offered + aside:,} customers {100 * ratio.share:.2f} % are kept aside, where"
            f" {100 * ratio.expected:g} % should be. Chance alone does that once in"
            f" {_once(ratio.p)}.",
            "Something loses customers of one arm or counts them twice, so any difference may come"
            " from that. Look for decisions or events missing in one arm, robots, and pseudonyms"
            " joined late.",
        )
    for number, entered, text in (
        (cohort.crossed[ASIDE], aside, "customers kept aside were helped all the same"),
        (cohort.crossed[OFFERED], offered, "customers to be helped were held back all the same"),
    ):
        if number > MOST_CROSSED * entered:
            return Refusal(
                "contaminated",
                f"{number:,} of {entered:,} {text}: {100 * number / entered:.1f} %, where at most"
                f" {100 * MOST_CROSSED:g} % can be lived with. The arms no longer differ in what"
                " they are meant to differ in.",
                "Find what acts against the assignment (another salt in one process, people with"
                " several pseudonyms, messages sent by hand), then measure from that day on with"
                " --since.",
            )
    return None


def outlook(cohort: Cohort, question: Question, kept_aside: int) -> Outlook:
    """How fast units come in, from the entries so far; ``kept_aside`` is their number by now."""
    times = [one.at for one in cohort.entries]
    span = max(times) - min(times) if times else 0
    daily = kept_aside * DAY / span if span else 0.0
    return Outlook(question.unit, cohort.term.share, daily)


def unfinished(cohort: Cohort, question: Question) -> Refusal:
    """That nobody's horizon has passed."""
    horizon = format_duration(question.horizon)
    if not cohort.entries:
        return Refusal("nobody", "Nobody entered in the time that was asked about.")
    first = min(one.at for one in cohort.entries) + question.horizon
    end = cohort.term.end
    if end is not None and first > end:
        return Refusal(
            "unfinished",
            f"The assignment changed before anybody's {horizon} after entry had passed.",
            "Leave salt and share alone for longer, or ask about a shorter --horizon.",
        )
    return Refusal(
        "unfinished",
        f"Nobody's {horizon} after entry have passed yet.",
        f"The first will have on {format_time(first)[:16].replace('T', ' at ')} UTC; or ask about a"
        " shorter --horizon.",
    )


def too_little(above: Floats, people: Floats, outcomes: str, ahead: Outlook) -> Refusal | None:
    """Why the figure has no legs yet: too few customers, or too few outcomes."""
    units = units_of(people)
    least, name = {
        "subject": (LEAST_CUSTOMERS, "customers"),
        "account": (LEAST_ACCOUNTS, "accounts"),
    }[ahead.unit]
    if min(units.aside, units.offered) < least:
        arm, number = (
            ("The holdout", units.aside)
            if units.aside <= units.offered
            else ("The arm that is offered help", units.offered)
        )
        return Refusal(
            "few-customers",
            f"{arm} has {number:,} {name}; no interval holds with fewer than {least}.",
            wanted(above, people, ahead),
        )
    found = arms(above).aside
    if found < LEAST_OUTCOMES:
        return Refusal(
            "few-outcomes",
            f"Those kept aside had {found:,} {outcomes}; no interval holds with fewer than"
            f" {LEAST_OUTCOMES}.",
            wanted(above, people, ahead),
        )
    return None


def too_skewed(found: Contrast, people: Floats, outcomes: str, ahead: Outlook) -> Refusal | None:
    """Why the figure has no legs: a few units with many outcomes weigh too much."""
    if abs(found.skewness) <= MOST_SKEW:
        return None
    have = units_of(people).aside
    name = {"subject": "customers", "account": "accounts"}[ahead.unit]
    need = have * (found.skewness / MOST_SKEW) ** 2
    return Refusal(
        "skewed",
        f"A few {name} have so many of the {outcomes} that an interval would claim too much"
        f" (skewness {abs(found.skewness):.2f}, at most {MOST_SKEW}).",
        ahead.words(int(need), have, "An interval that holds"),
    )


def wanted(above: Floats, people: Floats, ahead: Outlook, removed: float = 0.0) -> str:
    """How many an interval of plus or minus ``WIDTH`` of the rate needs, in a sentence."""
    have = units_of(people).aside
    if ahead.share >= 1:
        return "Everybody is kept aside; a smaller holdout leaves somebody to compare them with."
    aim = f"An interval of ±{100 * WIDTH:.0f} % of the rate"
    spread = spread_of(above, people)
    if spread is None:
        return f"{aim} can only be planned for once there are some." + ahead.hint(have)
    need = planned(spread, ahead.share, WIDTH, removed)
    rate = above.sum() / np.count_nonzero(people.sum(axis=0))
    least = {"subject": LEAST_CUSTOMERS, "account": LEAST_ACCOUNTS}[ahead.unit]
    need = max(need, least, int(LEAST_OUTCOMES / rate))
    if need <= have:
        return ""
    return ahead.words(need, have, aim) + ahead.hint(have)


def rounded(number: float) -> int:
    """To two significant digits."""
    if number < 100:
        return round(number)
    unit: int = 10 ** (floor(log10(number)) - 1)
    return round(number / unit) * unit


def _days(days: float) -> str:
    count = max(1, round(days))
    return f"{count:,} day{'s' if count > 1 else ''}"


def _once(p: float) -> str:
    return f"{rounded(1 / p):,} times" if p > 1e-9 else "a thousand million times or less"
