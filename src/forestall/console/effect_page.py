"""What help changed as one page: self-contained HTML that looks like the console and loads nothing.

Every figure stands there as text; plots are drawn beside them. Names from outside are escaped.
"""

import re
from html import escape

from forestall.console import cards, curves, plots
from forestall.console.sheet import sheet
from forestall.contracts.instants import parse_time
from forestall.measure import wording
from forestall.measure.effect import Contrast, Interval
from forestall.measure.findings import Experiment, Figures, Moment, Report


def render(report: Report, name: str) -> str:
    """The page; ``name`` says whose it is."""
    current = wording.current(report)
    sections = [_short(report, current)]
    sections += [_experiment(number, one, report) for number, one in enumerate(current)]
    sections += [_earlier(report), _caveats(report)]
    return sheet(
        f"What help changed, {escape(name)}",
        "What help changed",
        f"{escape(name)}, up to {_moment(report.now)}",
        sections,
        f"{report.events:,} events and {report.decisions:,} decisions about {report.customers:,}"
        " customers. Customers are compared as the assignment put them, whatever happened to them"
        " (intention to treat). Intervals are 95 %. Times are UTC.",
        ("effect.css",),
    )


def _short(report: Report, current: list[Experiment]) -> str:
    found = [one.figures.outcomes.contrast for one in current if one.figures is not None]
    top = _top([one.difference for one in found if one is not None])
    what, span = _told(wording.noun(report)), wording.horizon(report)
    rows = [
        (
            f'{_told(wording.title(one))}<span class="range">{_told(wording.against(one))}</span>',
            *_in_short(one, top),
        )
        for one in current
    ]
    scale = f"−{top:,.4g} to {top:,.4g}" if found else ""
    table = cards.table(
        f"Difference in {what} per 1,000 customers within {span} after entry; left of the line is"
        " fewer",
        ("of whom", "difference", scale),
        rows,
        "Differences in short",
    )
    without = _told(wording.without(report))
    if without:
        table += f'<p class="note">{without}</p>'
    unit = "account" if report.unit == "account" else "customer"
    return cards.section("short", "In short", f'{table}<p class="note">Counted by {unit}.</p>')


def _in_short(one: Experiment, top: float) -> tuple[str, str]:
    found = None if one.figures is None else one.figures.outcomes.contrast
    if found is None:
        why = "" if one.refused is None else one.refused.why
        return f'<span class="short">No number</span><span class="range">{_told(why)}</span>', ""
    return (
        f"{wording.signed(found.difference.value, wording.number)}"
        f'<span class="range">{_interval(found.difference)}</span>',
        _around(found, top),
    )


def _experiment(number: int, one: Experiment, report: Report) -> str:
    about = f'<p class="against">{_told(wording.against(one))}</p>' if one.start else ""
    body = [about]
    if one.figures is None:
        body.append(_refused(one))
    else:
        body.append(f'<p class="verdict">{_told(wording.verdict(one, report))}</p>')
        body.append(f'<p class="more">{_told(wording.displacement(one, report))}</p>')
        body.append(_figures(one, one.figures, report))
        body.append(f'<div class="pair">{_over_time(one.figures)}{_waiting(one.figures)}</div>')
        body.append(f'<p class="note">{_told(wording.adjustment(one.figures, report))}</p>')
        if one.wanted:
            body.append(f'<p class="note">{_told(one.wanted)}</p>')
    known = "".join(f"<li>{_told(note)}</li>" for note in wording.notes(one))
    if known:
        body.append(f'<ul class="known">{known}</ul>')
    return cards.section(f"e{number}", _told(wording.title(one)), "\n".join(body))


def _refused(one: Experiment) -> str:
    if one.refused is None:
        return ""
    what = f'<p class="more">{_told(one.refused.what)}</p>' if one.refused.what else ""
    return (
        f'<div class="none"><p class="verdict">No number</p>'
        f'<p class="more">{_told(one.refused.why)}</p>{what}</div>'
    )


def _figures(one: Experiment, figures: Figures, report: Report) -> str:
    rows = [("customers", f"{one.counted.offered:,}", f"{one.counted.aside:,}", "", "", "")]
    remarks = []
    for row in wording.rows(figures, report):
        if row.remark:
            remarks.append(f"{escape(row.label)}: {_told(row.remark)}")
        else:
            rows.append(
                (
                    escape(row.label),
                    row.offered,
                    row.aside,
                    row.difference,
                    row.interval,
                    row.relative,
                )
            )
    table = cards.table(
        "Both arms as counted; differences after adjustment",
        ("", *wording.ARMS, "difference", "95 % interval", "relative"),
        rows,
        "All figures",
    )
    if remarks:
        items = "".join(f"<li>{remark}</li>" for remark in remarks)
        table += (
            f"<details><summary>{len(remarks)} not told, and why</summary>"
            f'<ul class="known">{items}</ul></details>'
        )
    return table


def _over_time(figures: Figures) -> str:
    moments = figures.over_time
    if len(moments) < 2:
        return ""
    times = [parse_time(one.at) for one in moments]
    first, span = times[0], times[-1] - times[0]
    top = plots.ceiling(max(abs(one.difference) for one in moments) * 2)
    points = [
        ((at - first) / span, one.difference, one.low, one.high)
        for at, one in zip(times, moments, strict=True)
    ]
    title = "Difference as more customers were counted; the same figures are in the table below"
    plot = curves.banded(points, -top, top, title)
    rows = [
        (one.at[:10], wording.signed(one.difference, wording.number), _interval(one))
        for one in moments
    ]
    table = cards.table(
        "With those whose time had passed by then",
        ("by", "difference", "95 % interval"),
        rows,
        "Difference over time",
    )
    axis = [wording.signed(mark, _tick) for mark in (top, 0.0, -top)]
    ends = (moments[0].at[:10], moments[-1].at[:10])
    return _plotted("Difference per 1,000 over time", "", axis, plot, ends, table)


def _waiting(figures: Figures) -> str:
    waits = figures.waiting
    if not waits:
        return ""
    least = min(min(one.offered, one.aside) for one in waits)
    floor = next(mark for mark in (0.98, 0.95, 0.9, 0.8, 0.6, 0.5, 0.0) if mark <= least)
    longest = waits[-1].hours or 1
    series = [
        ("c-intervene", [(one.hours / longest, one.offered) for one in waits]),
        ("c-holdout", [(one.hours / longest, one.aside) for one in waits]),
    ]
    title = "Share who had not asked yet, by time since entry; the table below has the same figures"
    plot = curves.steps(series, floor, 1.0, title)
    legend = cards.legend([("offered help", "c-intervene"), ("kept aside (dashed)", "c-holdout")])
    rows = [
        (f"{one.hours:,.1f} h", wording.percent(one.offered), wording.percent(one.aside))
        for one in waits
    ]
    table = cards.table(
        "Share who had not asked yet", ("after", *wording.ARMS), rows, "Waiting for the first"
    )
    axis = [f"{100 * mark:.4g} %" for mark in (1.0, (1 + floor) / 2, floor)]
    ends = ("entry", f"{longest / 24:,.4g} days after")
    return _plotted("Who had not asked yet", legend, axis, plot, ends, table)


def _plotted(
    title: str, legend: str, axis: list[str], plot: str, ends: tuple[str, str], table: str
) -> str:
    marks = "".join(f"<span>{mark}</span>" for mark in axis)
    return (
        f"<div><h3>{title}</h3>{legend}"
        f'<figure class="days"><div class="axis" aria-hidden="true">{marks}</div>{plot}'
        f"<figcaption><span>{ends[0]}</span><span>{ends[1]}</span></figcaption></figure>"
        f"<details><summary>As a table</summary>{table}</details></div>"
    )


def _earlier(report: Report) -> str:
    past = [one for one in report.experiments if not one.current]
    if not past:
        return ""
    items = "".join(
        f"<li><strong>{_told(wording.title(one))}</strong> {_told(wording.against(one))}:"
        f" {_told(wording.verdict(one, report))}</li>"
        for one in past
    )
    told = "Salt or share were others then, so these are experiments of their own."
    return cards.section(
        "earlier", "Earlier", f'<p class="more">{told}</p><ul class="known">{items}</ul>'
    )


def _caveats(report: Report) -> str:
    items = "".join(f"<li>{escape(one)}</li>" for one in report.caveats)
    return cards.section("caveats", "How to read this", f'<ul class="known">{items}</ul>')


def _around(found: Contrast, top: float) -> str:
    one = found.difference
    low = one.value if one.low is None else one.low
    high = one.value if one.high is None else one.high
    return curves.around_zero(one.value, low, high, top)


def _top(intervals: list[Interval]) -> float:
    ends = [abs(end) for one in intervals for end in (one.value, one.low, one.high) if end]
    return plots.ceiling(max(ends, default=0.0))


def _interval(one: Interval | Moment) -> str:
    low, high = one.low, one.high
    if low is None or high is None:
        return ""
    return f"{wording.signed(low, wording.number)} to {wording.signed(high, wording.number)}"


def _tick(value: float) -> str:
    return f"{value:,.4g}"


def _moment(text: str) -> str:
    return text[:16].replace("T", " ")


def _told(text: str) -> str:
    """A sentence whose numbers keep their units beside them, with code as such."""
    kept = escape(text).replace(" %", "\u00a0%")
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", kept)
