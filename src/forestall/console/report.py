"""A backtest as one page: self-contained HTML that looks like the console and loads nothing.

Every figure stands there as text; plots are drawn beside them. Names from outside are escaped.
"""

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from html import escape
from typing import Final

from forestall.console import cards, plots
from forestall.console.sheet import sheet
from forestall.contracts.instants import SECOND, format_duration
from forestall.decide.evidence import Facts
from forestall.measure.outcomes import ALL, LeadTime, Outcomes, PolicyOutcomes
from forestall.measure.statistics import Estimate

REASONS: Final = {
    "intervene": ("intervened", "c-intervene"),
    "policy_holdout": ("policy holdout", "c-holdout"),
    "global_holdout": ("global holdout", "c-holdout"),
    "cooldown": ("cooldown", "c-3"),
    "spacing": ("too soon after another", "c-4"),
    "outranked": ("another policy won", "c-5"),
    "budget": ("over budget", "c-6"),
    "in_conversation": ("in conversation", "c-2"),
    "fatigue": ("dismissed before", "c-1"),
    "opted_out": ("opted out", "c-1"),
    "no_consent": ("no consent", "c-1"),
    "killed": ("switched off", "c-1"),
    "quiet_hours": ("quiet hours", "c-6"),
    "low_confidence": ("not confident", "c-4"),
}
"""Words and colour of each reason, in the order in which they are drawn (as in console.js)."""

SHOWN: Final = 10
"""How many pairs of policies are shown at once; the others can be folded out."""

OUTCOMES: Final = {
    "intervene": ("intervened", "c-intervene"),
    "holdout": ("kept aside", "c-holdout"),
    "suppress": ("refused", "c-3"),
}


def render(facts: Facts, outcomes: Outcomes | None, about: str, history: str) -> str:
    """The page. ``about`` says what was read, ``history`` is its name."""
    sections = [_figures(facts)]
    if facts.counts:
        sections += [_policies(facts), _days(facts)]
    if outcomes is not None:
        sections.append(_outcomes(outcomes))
    if facts.counts:
        sections += [_rates(facts), _overlap(facts), _most_hit(facts)]
    span = f", {facts.first[:10]} to {facts.last[:10]}" if facts.first and facts.last else ""
    return sheet(
        f"Backtest of {escape(history)}",
        "Backtest",
        escape(history) + span,
        sections,
        f"{escape(about)}. What the policies would have decided over this history, by the engine that"
        " decides live. Days are UTC.",
    )


def percent(share: float) -> str:
    """A share in percent, such as ``12.5 %``."""
    return f"{100 * share:.1f} %"


def lasting(seconds: float) -> str:
    """A time span for people, such as ``90 s``, ``12 min``, ``3.5 h`` or ``2.1 d``."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            number = seconds / size
            return f"{number:.0f} {unit}" if number >= 10 else f"{number:.1f} {unit}"
    return f"{seconds:.0f} s"


def spread(low: float, high: float, text: Callable[[float], str]) -> str:
    """From ``low`` to ``high``, the unit once if it is the same, such as ``1.5 to 2.5 h``."""
    start, end = text(low), text(high)
    number, _, unit = start.rpartition(" ")
    return f"{number if end.endswith(f' {unit}') else start} to {end}"


def _figures(facts: Facts) -> str:
    decisions = sum(one.decisions for one in facts.counts)
    interventions = sum(one.interventions for one in facts.rates)
    rate = f"{1000 * interventions / facts.sessions:,.1f}" if facts.sessions else "-"
    shown = {
        "Customers": facts.customers,
        "Sessions": facts.sessions,
        "Decisions": decisions,
        "Interventions": interventions,
    }
    items = "".join(f"<div><dt>{word}</dt><dd>{n:,}</dd></div>" for word, n in shown.items())
    gap = format_duration(int(facts.session_gap_seconds * SECOND))
    nothing = "" if decisions else '<p class="empty">No policy noticed anything.</p>'
    return cards.section(
        "figures",
        "In short",
        f'<p class="number">{rate}</p><p class="unit">interventions per 1,000 sessions</p>'
        f'<dl class="facts">{items}</dl>{nothing}'
        f'<p class="note">A session is a customer\'s events less than {gap} apart.</p>',
    )


def _policies(facts: Facts) -> str:
    counts: dict[str, Counter[str]] = {}
    for one in facts.counts:
        counts.setdefault(one.policy, Counter())[one.reason or one.outcome] += one.decisions
    most = max(reasons.total() for reasons in counts.values())
    used = [key for key in REASONS if any(reasons[key] for reasons in counts.values())]
    rows = [
        (
            escape(policy),
            f"{reasons.total():,}",
            " · ".join(f"{reasons[key]:,} {REASONS[key][0]}" for key in used if reasons[key])
            + plots.bar([(REASONS[key][1], reasons[key]) for key in used], most),
        )
        for policy, reasons in sorted(counts.items(), key=lambda one: (-one[1].total(), one[0]))
    ]
    table = cards.table(
        "Each bar is as long as the policy has decisions; its pieces are their reasons",
        ("policy", "decisions", "intervened, or why not"),
        rows,
        "Decisions by policy and reason",
    )
    return cards.section(
        "policies", "Decisions by policy and reason", cards.legend(REASONS[k] for k in used) + table
    )


def _days(facts: Facts) -> str:
    unit, start_of = _period(facts)
    counts: dict[date, Counter[str]] = {}
    for one in facts.by_day:
        start = start_of(date.fromisoformat(one.day or ""))
        counts.setdefault(start, Counter())[one.outcome] += one.decisions
    first, last = min(counts), max(counts)
    every = sorted({start_of(first + timedelta(days)) for days in range((last - first).days + 1)})
    top = plots.ceiling(max(one.total() for one in counts.values()))
    none: Counter[str] = Counter()
    bars = [
        (
            f"{start}: " + _counted(counts.get(start, none)),
            [(OUTCOMES[key][1], counts.get(start, none)[key]) for key in OUTCOMES],
        )
        for start in every
    ]
    plot = plots.columns(bars, top, f"Decisions by {unit}; the same figures are in the table below")
    axis = "".join(f"<span>{_tick(mark)}</span>" for mark in (top, top / 2, 0))
    figure = (
        f'<figure class="days"><div class="axis" aria-hidden="true">{axis}</div>{plot}'
        f"<figcaption><span>{first}</span><span>{last}</span></figcaption></figure>"
    )
    rows = [
        (str(start), *(f"{counts[start][key]:,}" for key in OUTCOMES)) for start in sorted(counts)
    ]
    head = (unit, *(word for word, _ in OUTCOMES.values()))
    table = cards.table(f"Every {unit} with decisions", head, rows, f"Decisions by {unit}")
    return cards.section(
        "days",
        f"Decisions by {unit}",
        f"{cards.legend(OUTCOMES.values())}{figure}<details><summary>As a table</summary>{table}</details>",
    )


def _period(facts: Facts) -> tuple[str, Callable[[date], date]]:
    """Days for up to three months, weeks for up to two years, else months; each by its start."""
    days = sorted(date.fromisoformat(one.day or "") for one in facts.by_day)
    span = (days[-1] - days[0]).days
    if span <= 92:
        return "day", lambda day: day
    if span <= 731:
        return "week", lambda day: day - timedelta(day.weekday())
    return "month", lambda day: day.replace(day=1)


def _counted(counts: Counter[str]) -> str:
    parts = [f"{counts[key]:,} {word}" for key, (word, _) in OUTCOMES.items() if counts[key]]
    return ", ".join(parts) or "nothing"


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _outcomes(outcomes: Outcomes) -> str:
    horizon = format_duration(int(outcomes.horizon_seconds * SECOND))
    each = [*outcomes.by_policy, outcomes.together]
    tops = [
        plots.ceiling(max((part.high or part.value or 0 for part in parts), default=0))
        for parts in zip(*(_shares(one) for one in each), strict=True)
    ]
    tops = [min(1.0, top) for top in tops]
    names = ("precision", "recall", "reachable")
    scales = [f"{name}, 0 to {100 * top:.4g} %" for name, top in zip(names, tops, strict=True)]
    rows = [
        (
            "All together" if one.policy == ALL else escape(one.policy),
            f"{one.interventions:,}",
            *(_share(part, top) for part, top in zip(_shares(one), tops, strict=True)),
            _lead_time(one.lead_seconds, outcomes.horizon_seconds),
        )
        for one in each
    ]
    head = ("policy", "interventions", *scales, f"lead time, 1 s to {horizon}, logarithmic")
    kind = escape(outcomes.type)
    table = cards.table(
        f"{outcomes.total:,} outcomes of {outcomes.customers:,} customers, within {horizon};"
        " under each figure its 95 % interval",
        head,
        rows,
        "What followed",
    )
    unfinished = outcomes.together.unfinished
    short = (
        f" For {unfinished:,} interventions the history ends before {horizon} have passed; they"
        " count as not followed."
        if unfinished
        else ""
    )
    return cards.section(
        "outcomes",
        f"What followed: {kind}",
        f'{table}<p class="note"><strong>{escape(outcomes.caveat)}</strong></p>'
        f'<p class="note">Precision: the share of interventions that the outcome followed within'
        f" {horizon}. Recall: the share of outcomes that an intervention preceded. Reachable: the"
        " share that a candidate preceded, whatever the gates made of it. Lead time: from the"
        f" earliest intervention to the outcome, median and quartiles.{short} Intervals resample"
        f" customers {outcomes.resamples:,} times (seed {outcomes.seed}).</p>",
    )


def _shares(one: PolicyOutcomes) -> tuple[Estimate, Estimate, Estimate]:
    return one.precision, one.recall, one.reachable_share


def _share(estimate: Estimate, top: float) -> str:
    value, low, high = estimate.value, estimate.low, estimate.high
    if value is None:
        return "-"
    if low is None or high is None:
        return percent(value) + plots.interval(value, value, value, top)
    return f"{percent(value)}{_range(estimate, percent)}" + plots.interval(value, low, high, top)


def _range(estimate: Estimate, text: Callable[[float], str]) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f'<span class="range">{spread(estimate.low, estimate.high, text)}</span>'


def _lead_time(lead: LeadTime, horizon: float) -> str:
    lower, middle, upper = lead.lower.value, lead.median.value, lead.upper.value
    if lower is None or middle is None or upper is None:
        return "-"
    return (
        f'{lasting(middle)}{_range(lead.median, lasting)}<span class="range">quartiles'
        f" {spread(lower, upper, lasting)}</span>" + plots.box(lower, middle, upper, horizon)
    )


def _rates(facts: Facts) -> str:
    most = max((one.decisions_per_1000 or 0 for one in facts.rates), default=0)
    rows = [
        (
            escape(one.policy),
            _rate(one.interventions_per_1000),
            _rate(one.decisions_per_1000),
            plots.bar(
                [
                    ("c-intervene", one.interventions_per_1000 or 0),
                    ("c-3", (one.decisions_per_1000 or 0) - (one.interventions_per_1000 or 0)),
                ],
                most,
            ),
        )
        for one in facts.rates
    ]
    table = cards.table(
        "Each bar is as long as the decisions; its first piece are the interventions",
        ("policy", "interventions", "decisions", "both"),
        rows,
        "Per 1,000 sessions",
    )
    return cards.section("rates", "Per 1,000 sessions", table)


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _overlap(facts: Facts) -> str:
    if not facts.overlap:
        told = '<p class="empty">No two policies noticed the same customer within an hour.</p>'
        return cards.section("overlap", "Overlap between policies", told)
    most = max(one.times for one in facts.overlap)
    rows = [
        (
            " and ".join(escape(policy) for policy in one.policies),
            f"{one.customers:,}",
            f"{one.times:,}{plots.bar([('c-5', one.times)], most)}",
        )
        for one in facts.overlap
    ]
    head = ("policies", "customers", "times")
    caption = (
        "How often a candidate of the one came within an hour after one of the other, for the same"
        " customer"
    )
    table = cards.table(caption, head, rows[:SHOWN], "Overlap between policies")
    if rows[SHOWN:]:
        rest = cards.table("Rarer ones", head, rows[SHOWN:], "More overlap between policies")
        table += f"<details><summary>{len(rows) - SHOWN:,} more</summary>{rest}</details>"
    return cards.section("overlap", "Overlap between policies", table)


def _most_hit(facts: Facts) -> str:
    if not facts.most_hit:
        told = '<p class="empty">Nobody would have seen an intervention.</p>'
        return cards.section("most-hit", "Customers with most interventions", told)
    most = facts.most_hit[0].interventions
    rows = [
        (
            f'<span class="id">{escape(one.customer)}</span>',
            f"{one.decisions:,}",
            f"{one.interventions:,}: "
            + " · ".join(f"{number:,} {escape(name)}" for name, number in one.by_policy.items())
            + plots.bar([("c-intervene", one.interventions)], most),
        )
        for one in facts.most_hit
    ]
    table = cards.table(
        "How many interventions they would have seen, and of which policies",
        ("customer", "decisions", "interventions"),
        rows,
        "Customers with most interventions",
    )
    return cards.section("most-hit", "Customers with most interventions", table)
