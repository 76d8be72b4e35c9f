"""Wording: what a report about effects says in plain words, for a terminal and for a page."""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from forestall.contracts.instants import SECOND, format_duration, format_time
from forestall.measure.effect import Interval
from forestall.measure.findings import Experiment, Figures, Finding, Report
from forestall.measure.refusals import Arms
from forestall.measure.trails import TICKET

ARMS: Final = ("offered help", "kept aside")
_BEGINNING = format_time(0)


class Row(msgspec.Struct, frozen=True):
    """One figure in words: in both arms, the difference with its interval, and the relative one.

    ``remark`` stands in their place where there is no number.
    """

    label: str
    offered: str = ""
    aside: str = ""
    difference: str = ""
    interval: str = ""
    relative: str = ""
    remark: str = ""


Text = Callable[[float], str]


def noun(report: Report) -> str:
    """What outcomes are called."""
    return "tickets" if report.outcome == TICKET else f"{report.outcome} events"


def singular(report: Report) -> str:
    """What one outcome is called."""
    return "ticket" if report.outcome == TICKET else report.outcome


def horizon(report: Report) -> str:
    """The horizon, such as ``7d``."""
    return format_duration(round(report.horizon_seconds * SECOND))


def current(report: Report) -> list[Experiment]:
    """The newest term of each experiment, but nothing twice: without the policies that ``unmeasured``
    names, and where there is no global holdout that is told once."""
    named = set(unmeasured(report))
    return [
        one
        for one in report.experiments
        if one.current
        and one.policy not in named
        and not (one.kind == "reached" and one.start is None)
    ]


def unmeasured(report: Report) -> list[str]:
    """Policies that keep nobody aside, where the report is about more than one."""
    found = [
        one.policy
        for one in report.experiments
        if one.policy is not None and one.start is None and len(report.experiments) > 1
    ]
    return found if len(found) > 1 else []


def without(report: Report) -> str:
    """What is to be said of ``unmeasured`` policies, or nothing."""
    names = unmeasured(report)
    if not names:
        return ""
    return (
        f"Not measured, for they keep nobody aside: {', '.join(names)}. A policy's `holdout: 0.1`"
        " changes that."
    )


def title(one: Experiment) -> str:
    """Of whom an experiment tells."""
    if one.kind == "policy":
        return one.policy or ""
    return "Everybody active" if one.kind == "everyone" else "Everybody reached by any policy"


def against(one: Experiment) -> str:
    """What they are compared with, and since when, where that was not before all events."""
    if one.start is None:
        return ""
    whose = "its own holdout" if one.kind == "policy" else "the global holdout"
    since = "the beginning" if one.start == _BEGINNING else one.start[:10]
    until = "" if one.end is None else f" until {one.end[:10]}"
    return f"against {whose} of {100 * one.share:g} %, from {since}{until}"


def verdict(one: Experiment, report: Report) -> str:
    """What an experiment says, in one or two sentences."""
    if one.refused is not None or one.figures is None or one.figures.outcomes.contrast is None:
        return "No number." if one.refused is None else f"No number. {one.refused.why}"
    found = one.figures.outcomes.contrast
    what = noun(report)
    low, high = _bounds(found.difference)
    if low <= 0 <= high:
        return (
            f"No difference can be told: between {number(-low)} {what} fewer and {number(high)} more"
            " per 1,000 customers."
        )
    spared = found.difference.value < 0
    verb, way = ("spared", "fewer") if spared else ("brought", "more")
    size = abs(found.difference.value)
    least, most = sorted((abs(low), abs(high)))
    told = (
        f"Help {verb} {number(size)} {what} per 1,000 customers ({number(least)} to {number(most)})"
    )
    if found.relative is None:
        return told + "."
    first, second = sorted(abs(each) for each in _bounds(found.relative))
    share = abs(found.relative.value)
    return f"{told}: {percent(share)} {way} ({percent(first)} to {percent(second)})."


def displacement(one: Experiment, report: Report) -> str:
    """Whether what was spared came later instead."""
    if one.figures is None or one.figures.outcomes.contrast is None:
        return ""
    span = horizon(report)
    later = one.figures.later
    if later.contrast is None:
        why = "" if later.refused is None else f" {later.refused.why}"
        return f"Whether they asked in the {span} after that instead cannot be told yet.{why}"
    low, high = _bounds(later.contrast.difference)
    what = noun(report)
    if low <= 0 <= high:
        return (
            f"In the {span} after that no difference can be told: between {number(-low)} {what} fewer"
            f" and {number(high)} more per 1,000."
        )
    if high < 0:
        return (
            f"In the {span} after that there were fewer as well: {number(-high)} to {number(-low)}."
        )
    return (
        f"In the {span} after that there were {number(low)} to {number(high)} more per 1,000:"
        " some of it only came later."
    )


def notes(one: Experiment) -> Iterator[str]:
    """What has to be known of an experiment's customers, one sentence each."""
    waiting = Arms(one.entered.offered - one.counted.offered, one.entered.aside - one.counted.aside)
    if waiting != Arms(0, 0):
        yield f"{both(waiting)} entered too lately to be counted: their time has not passed."
    if one.earlier:
        yield f"{one.earlier:,} had entered before the time that was asked about, and are left out."
    if one.neither:
        yield f"{one.neither:,} are in the global holdout, and so in neither arm."
    if one.unknown:
        yield f"{one.unknown:,} cannot be told (no account, or an unknown version); they are left out."
    if one.crossed != Arms(0, 0):
        yield (
            f"{one.crossed.aside:,} kept aside were helped all the same, and {one.crossed.offered:,}"
            " to be helped were held back; they stay where the assignment put them (intention to"
            " treat)."
        )
    if one.versions > 1:
        yield f"{one.versions} versions acted; the number is of what they did together."
    ratio = one.sample_ratio
    if ratio is not None and one.entered != Arms(0, 0):
        yield (
            f"Split: {100 * ratio.share:.2f} % kept aside, {100 * ratio.expected:g} % expected (p ="
            f" {ratio.p:.3f})."
        )


def rows(figures: Figures, report: Report) -> Iterator[Row]:
    """Every figure of one experiment."""
    what, span = noun(report), horizon(report)
    yield _row(f"{what} per 1,000 customers", figures.outcomes, number)
    yield _row(f"{what} per 1,000 sessions", figures.per_session, number)
    yield _row(f"in the {span} after that, per 1,000", figures.later, number)
    yield _row("customers with any", figures.asked, percent)
    yield _row(f"hours to the first, or all {span}", figures.hours, number)
    yield _row("sessions per customer", figures.sessions, precise)
    yield _row("interventions per 1,000 customers", figures.interventions, number)
    yield _row("solved at first contact", figures.resolved, percent)
    yield _row("satisfaction, 1 to 5", figures.satisfaction, precise)
    if figures.cost is not None:
        yield _row("cost per 1,000 customers", figures.cost, number)
    if figures.interaction is not None:
        yield _row(f"cost per {singular(report)} or intervention", figures.interaction, precise)
    for place in figures.places:
        yield _row(f"{place.by} {place.name}, per 1,000", place.finding, number)


def adjustment(figures: Figures, report: Report) -> str:
    """What the pre-period did."""
    found = figures.outcomes.contrast
    if found is None or not found.variance_removed:
        return "Nothing was known of these customers from before, so nothing is adjusted by it."
    days = format_duration(round(report.before_seconds * SECOND))
    plain = found.unadjusted
    low, high = _bounds(plain)
    return (
        f"Differences are adjusted by what customers did in the {days} before, which removed"
        f" {percent(max(0.0, found.variance_removed))} of the variance of {noun(report)}; without it"
        f" {signed(plain.value, number)} ({signed(low, number)} to {signed(high, number)})."
    )


def number(value: float) -> str:
    """Such as ``12.3`` or ``1,234``."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}"


def precise(value: float) -> str:
    """Two digits after the point."""
    return f"{value:,.2f}"


def percent(share: float) -> str:
    """Such as ``12.3 %``."""
    return f"{100 * share:.1f} %"


def signed(value: float, text: Text) -> str:
    """With its sign, also a plus; nothing has none."""
    told = text(abs(value))
    return told if told == text(0.0) else f"{'+' if value > 0 else '−'}{told}"


def both(count: Arms) -> str:
    """Two counts in a few words."""
    return f"{count.offered:,} offered help and {count.aside:,} kept aside"


def _row(label: str, finding: Finding, text: Text) -> Row:
    found = finding.contrast
    if found is None:
        return Row(label, remark="" if finding.refused is None else finding.refused.why)
    low, high = _bounds(found.difference)
    return Row(
        label,
        text(found.offered.value),
        text(found.aside.value),
        signed(found.difference.value, text),
        f"{signed(low, text)} to {signed(high, text)}" if low < high else "",
        "" if found.relative is None else signed(found.relative.value, percent),
    )


def _bounds(interval: Interval) -> tuple[float, float]:
    low, high = interval.low, interval.high
    return (interval.value if low is None else low), (interval.value if high is None else high)
