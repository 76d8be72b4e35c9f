"""How customers are served, by segment, as one page: self-contained HTML that loads nothing.

Every figure stands there as text; plots are drawn beside them. Names from outside are escaped.
"""

from html import escape
from typing import Final

from forestall.console import cards, plots
from forestall.console.report import percent
from forestall.console.sheet import sheet
from forestall.contracts.instants import SECOND, format_duration, format_time
from forestall.measure.fairness import MEASURES, Cell, Fairness
from forestall.measure.segments import Measure

TITLES: Final[dict[Measure, str]] = {
    "coverage": "Coverage",
    "unwanted": "Unwanted help",
    "missed": "Missed tickets",
    "effect": "Effect",
}


def render(found: Fairness, name: str, now: int) -> str:
    """The page; ``name`` says whose it is, ``now`` is the log time reached."""
    about = "all policies" if found.policy is None else f"the policy {found.policy}"
    moment = format_time(now)
    return sheet(
        f"Fairness of {escape(name)}",
        "Fairness",
        f"{escape(name)}, up to {moment[:10]} {moment[11:16]} UTC",
        [_short(found), *(_trait(found, trait) for trait in found.traits)],
        escape(f"{found.customers:,} customers, {about}.")
        + " Only the traits that the settings declare for this were read.",
        ("fairness.css",),
    )


def _short(found: Fairness) -> str:
    margin = f"{100 * found.rule.margin:g} percentage points"
    if found.warnings:
        items = "".join(f"<li>{_warning(cell)}</li>" for cell in found.warnings)
        body = f'<ul class="warnings">{items}</ul>'
    elif found.judged:
        body = f"<p>No segment is shown to be worse than the rest by more than {margin}.</p>"
    else:
        body = (
            f'<p class="empty">Nothing can be judged: that takes a segment of'
            f" {found.rule.least:,} customers, and as many others.</p>"
        )
    effect = f'<p class="note">No effect is told. {escape(found.no_effect)}</p>'
    note = (
        f'<p class="note">A segment is set against all other customers, {found.judged:,} comparisons'
        f" in all. A warning means that it is worse by more than {margin}; any false one comes in at"
        f" most {percent(found.rule.alpha)} of reports (Holm). Fewer than"
        f" {found.rule.least:,} customers are not told.</p>"
    )
    return cards.section("short", "In short", body + (effect if found.no_effect else "") + note)


def _warning(cell: Cell) -> str:
    return (
        f"<strong>{escape(cell.trait)}: {escape(cell.segment)}</strong> is served much worse."
        f" {TITLES[cell.measure]} {_percent(cell.value)}, the rest {_percent(cell.rest)}."
    )


def _trait(found: Fairness, trait: str) -> str:
    cells = [one for one in found.cells if one.trait == trait]
    tables = [
        _measure(measure, [one for one in cells if one.measure == measure], found)
        for measure in MEASURES
    ]
    name = f"trait-{found.traits.index(trait)}"
    empty = '<p class="empty">Nothing to compare yet.</p>'
    return cards.section(name, f"By {escape(trait)}", "\n".join(filter(None, tables)) or empty)


def _measure(measure: Measure, cells: list[Cell], found: Fairness) -> str:
    if not cells:
        return ""
    extent = max((abs(edge) for one in cells for edge in (one.low or 0, one.high or 0)), default=0)
    top = min(1.0, plots.ceiling(extent))
    rows = [
        (
            escape(one.segment),
            f"{one.customers:,}",
            _value(one, top),
            _percent(one.rest),
            _verdict(one),
        )
        for one in cells
    ]
    start = f"−{100 * top:g} %" if measure == "effect" else "0"
    scale = f"{TITLES[measure].lower()}, {start} to {100 * top:g} %"
    horizon = format_duration(int(found.horizon_seconds * SECOND))
    within = f", within {horizon}" if measure in ("missed", "effect") else ""
    words = MEASURES[measure][0].upper() + MEASURES[measure][1:]
    return cards.table(
        f"{words}{within}; under each figure its 95 % interval",
        ("segment", "customers", scale, "the rest", "verdict"),
        rows,
        f"{TITLES[measure]} by segment",
    )


def _value(cell: Cell, top: float) -> str:
    value, low, high = cell.value, cell.low, cell.high
    if value is None or low is None or high is None:
        return "-"
    told = f'{_percent(value)}<span class="range">{percent(low)} to {percent(high)}</span>'
    if cell.measure == "effect":
        return told + plots.interval(value + top, low + top, high + top, 2 * top)
    return told + plots.interval(value, low, high, top)


def _verdict(cell: Cell) -> str:
    if cell.verdict != "much worse":
        return cell.verdict
    return '<strong class="worse">much worse</strong>'


def _percent(value: float | None) -> str:
    return "-" if value is None else percent(value)
