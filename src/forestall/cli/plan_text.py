"""A plan as people read it: what becomes of each thing, and what the backtest says."""

from collections.abc import Iterator, Sequence

import msgspec

from forestall.cli.person import plain
from forestall.console.report import percent, spread
from forestall.contracts.instants import SECOND, format_duration
from forestall.decide.trial import Figures, Sum
from forestall.measure.outcomes import caveat
from forestall.policy.plan import Line, Plan

ROWS = 12
"""How many of the rows of moments that differ are shown."""

_MARKS = {
    "new": "+",
    "changed": "~",
    "restated": "=",
    "waiting": "?",
    "gone": "-",
}
_WHAT = {
    "new": "new",
    "changed": "changed",
    "restated": "changes no decision",
    "waiting": "still a draft, checked again",
    "gone": "not in the folder",
}


def plan_text(plan: Plan, warnings: Sequence[str]) -> Iterator[str]:
    """The lines of text."""
    yield from warnings
    if not plan.to_do:
        yield f"Nothing to do: set {plan.set} has all of it."
    else:
        yield f"Plan {plan.hash[:12]} for set {plan.set}:"
    unchanged = sum(line.what == "unchanged" for line in plan.lines)
    for line in plan.lines:
        if line.what != "unchanged":
            yield from _line(plan, line)
    if unchanged:
        yield f"  {unchanged} unchanged"
    if plan.figures is not None:
        yield from _figures(msgspec.convert(plan.figures, Figures))
    elif plan.unbacked and plan.to_do:
        yield f"No backtest: {plan.unbacked}."


def _line(plan: Plan, line: Line) -> Iterator[str]:
    state = f", {line.state}" if line.state else ""
    versions = " -> ".join(one[:8] for one in (line.before, line.version) if one)
    if line.before == line.version:
        versions = line.version[:8]
    what = _WHAT[line.what]
    if line.what == "gone":
        what += ", is retired" if plan.prune else "; --prune retires it"
    yield f"  {_MARKS[line.what]} {line.kind} {line.name} {versions}{state}: {what}"
    yield from (f"      {plain(words)}" for words in line.words)
    yield from (f"      {plain(words)} (changes no decision)" for words in line.besides)
    if line.checked is not None:
        if line.checked.passed:
            yield f"      tests passed: {line.checked.passed}"
        for problem in line.checked.problems:
            first, *more = problem.splitlines()
            yield f"      WRONG {plain(first)}"
            yield from (f"      {plain(words)}" for words in more)
        if not line.checked.sound:
            stays = line.state if line.what == "restated" else "a draft"
            yield f"      it stays {stays}"


def _figures(found: Figures) -> Iterator[str]:
    if found.first is None:
        return
    yield (
        f"Backtest over {found.events:,} events, {found.first[:16]}Z to {(found.last or '')[:16]}Z"
        f" ({found.sessions:,} sessions of {found.customers:,} customers):"
    )
    horizon = format_duration(int(found.horizon_seconds * SECOND))
    for old, new in zip(found.old, found.new, strict=True):
        yield f"  {new.policy}"
        yield f"    interventions       {old.interventions:,} -> {new.interventions:,}"
        yield f"    per 1,000 sessions  {_rate(old)} -> {_rate(new)}"
        yield f"    precision           {_precision(old)} -> {_precision(new)}"
    yield f"  {found.gained:,} interventions are gained, {found.lost:,} are lost, of all policies"
    for row in found.became[:ROWS]:
        yield f"    {row.moments:>7,}  {row.policy}: {row.old} -> {row.new}"
    if len(found.became) > ROWS:
        yield f"    and {len(found.became) - ROWS} more rows"
    if any(one.precision.value is not None for one in (*found.old, *found.new)):
        yield f"  Precision: followed by {found.outcome} within {horizon}, with its 95 % interval."
        yield f"  {caveat(f'any {found.outcome}')}"


def _rate(one: Sum) -> str:
    return "-" if one.per_1000 is None else f"{one.per_1000:,.2f}"


def _precision(one: Sum) -> str:
    found = one.precision
    if found.value is None:
        return "-"
    if found.low is None or found.high is None:
        return percent(found.value)
    return f"{percent(found.value)} ({spread(found.low, found.high, percent)})"
