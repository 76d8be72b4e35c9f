"""Gaps in what we know as one page: self-contained HTML that loads nothing.

Words of customers and names from outside are escaped; personal data in them was masked before.
"""

from collections.abc import Sequence
from html import escape
from typing import Final

from forestall.console import cards
from forestall.console.sheet import sheet
from forestall.measure.knowledge_gaps import About, Gap, Gaps

TITLES: Final[dict[About, str]] = {
    "words": "Asked for, and not there",
    "runbook": "Read, and no help",
    "policy": "Policies without words",
}
_NOTES: Final[dict[About, str]] = {
    "words": "Searches without a good answer, grouped by the informative words that they share.",
    "runbook": "Voted unhelpful, dismissed, run out, handed to people, or followed by a ticket.",
    "policy": "Cases that no runbook is about, and agents that found nothing to say.",
}
_HEAD: Final = ("Gap", "Customers", "Share", "Trend", "Tickets", "What happened", "For example")


def render(found: Gaps, name: str) -> str:
    """The page; ``name`` says whose it is."""
    return sheet(
        f"Gaps in the knowledge of {escape(name)}",
        "Gaps in our knowledge",
        f"{escape(name)}, {found.since[:10]} to {found.now[:10]}",
        [_short(found), *(_about(about, found.gaps) for about in TITLES)],
        "A customer counts once a gap, however often it happened to them. Searches are judged by the"
        " knowledge of today. Personal data is masked.",
    )


def _short(found: Gaps) -> str:
    if not found.gaps:
        return cards.section("short", "In short", '<p class="empty">There is no gap.</p>')
    first = found.gaps[0]
    gaps = "1 gap concerns" if len(found.gaps) == 1 else f"{len(found.gaps):,} gaps concern"
    customers = "customer" if found.customers == 1 else "customers"
    body = (
        f"<p>{gaps} {found.customers:,} {customers}. The largest:"
        f" <strong>{escape(first.todo)}</strong>, for {first.customers:,} of"
        f" {first.concerned:,}.</p>"
    )
    if found.searches:
        body += f"<p>{found.unanswered:,} of {found.searches:,} searches had no good answer.</p>"
    return cards.section("short", "In short", body)


def _about(about: About, gaps: Sequence[Gap]) -> str:
    """One kind of gaps; nothing where there are none."""
    own = [gap for gap in gaps if gap.about == about]
    if not own:
        return ""
    title = TITLES[about]
    table = cards.table(_NOTES[about], _HEAD, [_row(gap) for gap in own], title)
    return cards.section(about, title, table)


def _row(gap: Gap) -> tuple[str, ...]:
    happened = ", ".join(f"{kind} {count:,}" for kind, count in gap.by.items())
    return (
        escape(gap.name),
        f"{gap.customers:,}",
        f"{100 * gap.share:.0f}&nbsp;% of&nbsp;{gap.concerned:,}",
        gap.trend,
        f"{gap.tickets:,}",
        happened,
        "<br>".join(map(escape, _examples(gap))),
    )


def _examples(gap: Gap) -> Sequence[str]:
    """Words, or as much of the ids of interventions as commands list and take for them."""
    return gap.examples if gap.about == "words" else [one[:12] for one in gap.examples]
