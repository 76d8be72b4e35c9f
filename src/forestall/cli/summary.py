"""What ``forestall backtest`` tells on a terminal: tables."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from forestall.console.report import lasting, percent, spread
from forestall.contracts.instants import SECOND, format_duration
from forestall.decide.evidence import Facts
from forestall.measure.outcomes import ALL, Outcomes, PolicyOutcomes
from forestall.measure.statistics import Estimate

DAYS = 14
"""How many of the newest days with decisions a terminal is shown; JSON and the page have all."""

PAIRS = 10
"""How many of the pairs of policies that overlap most a terminal is shown."""


def show(console: Console, facts: Facts, outcomes: Outcomes | None) -> None:
    """Print the tables."""
    if facts.counts:
        for title, table in _tables(facts):
            _print(console, title, table)
    else:
        console.print("No decisions.")
    if outcomes is not None:
        _show_outcomes(console, outcomes)


def _tables(facts: Facts) -> Iterator[tuple[str, Table]]:
    yield "Decisions", _decisions(facts)
    days = {one.day for one in facts.by_day}
    yield "By day (UTC)" + _first(DAYS, len(days), "last"), _days(facts)
    whole = f"{facts.sessions:,} sessions of {facts.customers:,} customers"
    yield f"Per 1,000 sessions ({whole})", _rates(facts)
    if facts.overlap:
        title = "Overlap: candidates of both for a customer within an hour"
        yield title + _first(PAIRS, len(facts.overlap)), _overlap(facts)
    if facts.most_hit:
        yield "Customers with most interventions", _most_hit(facts)


def _print(console: Console, title: str, table: Table) -> None:
    console.print(escape(title), style="italic", highlight=False)
    console.print(table)


def _first(shown: int, number: int, which: str = "first") -> str:
    return f", the {which} {shown} of {number:,}" if number > shown else ""


def _decisions(facts: Facts) -> Table:
    table = Table("policy", "outcome", "reason")
    table.add_column("decisions", justify="right")
    for one in facts.counts:
        table.add_row(one.policy, one.outcome, one.reason or "", f"{one.decisions:,}")
    return table


def _days(facts: Facts) -> Table:
    counts: dict[str, Counter[str]] = {}
    for one in facts.by_day:
        counts.setdefault(one.day or "", Counter())[one.outcome] += one.decisions
    table = _table("day", "intervene", "suppress", "holdout")
    for day in sorted(counts)[-DAYS:]:
        numbers = (counts[day][outcome] for outcome in ("intervene", "suppress", "holdout"))
        table.add_row(day, *(f"{number:,}" for number in numbers))
    return table


def _rates(facts: Facts) -> Table:
    table = _table("policy", "interventions", "decisions")
    for one in facts.rates:
        table.add_row(
            one.policy, _number(one.interventions_per_1000), _number(one.decisions_per_1000)
        )
    return table


def _overlap(facts: Facts) -> Table:
    table = _table("policies", "times", "customers")
    for one in facts.overlap[:PAIRS]:
        table.add_row(" + ".join(one.policies), f"{one.times:,}", f"{one.customers:,}")
    return table


def _most_hit(facts: Facts) -> Table:
    table = _table("customer", "interventions", "decisions", "policies")
    table.columns[0].overflow = "fold"
    for one in facts.most_hit:
        numbers = (one.interventions, one.decisions, len(one.by_policy))
        table.add_row(escape(one.customer), *(f"{number:,}" for number in numbers))
    return table


def _show_outcomes(console: Console, outcomes: Outcomes) -> None:
    horizon = format_duration(int(outcomes.horizon_seconds * SECOND))
    table = _table("policy", "precision", "recall", "reachable", "median lead")
    for one in (*outcomes.by_policy, outcomes.together):
        table.add_row(*_outcome_row(one))
    found = f"{outcomes.total:,} of {outcomes.customers:,} customers"
    _print(console, f"{outcomes.type} within {horizon}: {found}", table)
    if not outcomes.total:
        console.print(f"There is no {escape(outcomes.type)} in this history.")
    unfinished = outcomes.together.unfinished
    if unfinished:
        console.print(
            f"For {unfinished:,} interventions the history ends before {horizon} have passed;"
            " they count as not followed."
        )
    console.print(f"Under each figure its 95 % interval. {escape(outcomes.caveat)}")


def _outcome_row(one: PolicyOutcomes) -> list[str]:
    name = "all together" if one.policy == ALL else one.policy
    shares = (one.precision, one.recall, one.reachable_share)
    median = one.lead_seconds.median
    return [name, *(_estimate(share, percent) for share in shares), _estimate(median, lasting)]


def _estimate(estimate: Estimate, text: Any) -> str:
    if estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return str(text(estimate.value))
    return f"{text(estimate.value)}\n{spread(estimate.low, estimate.high, text)}"


def _table(first: str, *numbers: str) -> Table:
    table = Table(first)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
