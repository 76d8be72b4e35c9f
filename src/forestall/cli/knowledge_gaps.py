"""``forestall knowledge gaps``: what customers asked and our knowledge does not answer."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from forestall.cli.deployment import ConfigOption, DataOption, data_for, settings_for
from forestall.cli.durations import span
from forestall.cli.person import AsJson, cell, echo_json
from forestall.cli.tables import print_table
from forestall.cli.writing import write
from forestall.contracts.instants import day_of
from forestall.kernel.settings import Settings
from forestall.measure.reading import Folder

if TYPE_CHECKING:
    from forestall.measure.knowledge_gaps import Gap, Gaps


def gaps(
    data: DataOption = None,
    config: ConfigOption = None,
    since: Annotated[int, span("How far back to look, from the newest event.")] = "30d",  # type: ignore[assignment]
    horizon: Annotated[
        int, span("A ticket this soon after guidance says that it did not help.")
    ] = "7d",  # type: ignore[assignment]
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many gaps to list.")] = 20,
    html: Annotated[Path | None, typer.Option(help="Write a page (HTML, one file).")] = None,
    as_json: AsJson = False,
) -> None:
    """List what customers needed and our knowledge does not have, most customers first.

    Searches without a good answer (of the event types in [knowledge] searches), answers that an
    agent had nothing for, articles voted unhelpful, guidance that did not help, and cases that no
    runbook is about. Personal data in examples is masked.
    """
    from forestall.context.knowledge.index import library_of
    from forestall.context.knowledge.runbooks import load_runbooks
    from forestall.measure.knowledge_gaps import Asked, knowledge_gaps
    from forestall.measure.likeness import stemmer
    from forestall.privacy.masking import Masks, finder

    settings = settings_for(config)
    finds = finder(settings.privacy.find)
    path = data_for(data, config)
    folder = Folder(path)
    try:
        now = folder.now
        runbooks = load_runbooks(settings.runbooks) if settings.runbooks is not None else {}
        library = library_of(runbooks, day_of(now), settings.knowledge)
        asked = Asked(
            since=now - since,
            now=now,
            searches=settings.knowledge.searches,
            answered=lambda words: bool(library.search(words, limit=1)),
            mask=lambda words: str(Masks(finds).hide(words)),
            stem=stemmer(),
            guides=_guides(folder),
            plans=_plans(folder),
            versions={name: one.version for name, one in runbooks.items()},
            agents=_agents(settings),
            horizon=horizon,
        )
        found = knowledge_gaps(folder.happenings(), asked)
    finally:
        folder.close()
    if html is not None:
        from forestall.console.gaps_page import render

        write(html, render(found, path.resolve().parent.name).encode())
    if as_json:
        echo_json(_shown(found, limit))
        return
    typer.echo(_heading(found, settings))
    if found.gaps:
        print_table(_table(found.gaps[:limit]))
        for line in _examples(found.gaps[:limit]):
            typer.echo(line)
    if len(found.gaps) > limit:
        typer.echo(f"{len(found.gaps) - limit} more; see them with --limit")


def _guides(folder: Folder) -> Mapping[tuple[str, str], Mapping[int, str]]:
    """The runbooks that each version of a policy shows, by step."""
    from forestall.contracts.control import PoliciesApplied
    from forestall.policy.language.canonical import from_canonical
    from forestall.policy.language.flow import flow
    from forestall.policy.language.model import Guide

    found: dict[tuple[str, str], dict[int, str]] = {}
    for record in folder.controls():
        if isinstance(record, PoliciesApplied):
            for one in record.policies:
                if (one.name, one.version) not in found:
                    found[one.name, one.version] = {
                        node.number: node.step.runbook
                        for node in flow(from_canonical(one.canonical))
                        if isinstance(node.step, Guide) and node.step.runbook is not None
                    }
    return found


def _plans(folder: Folder) -> frozenset[tuple[str, str]]:
    """The versions of policies in which an agent plans what is shown."""
    from forestall.contracts.control import PoliciesApplied
    from forestall.policy.language.canonical import from_canonical
    from forestall.policy.language.flow import flow
    from forestall.policy.language.model import Plan

    return frozenset(
        (one.name, one.version)
        for record in folder.controls()
        if isinstance(record, PoliciesApplied)
        for one in record.policies
        if any(isinstance(node.step, Plan) for node in flow(from_canonical(one.canonical)))
    )


def _agents(settings: Settings) -> Mapping[str, bool]:
    """The agents that may search our knowledge, and whether the composer does in their place."""
    from forestall.policy.actions.folder import load_declarations

    if settings.actions is None:
        return {}
    declared = load_declarations(settings.actions, settings).agents.values()
    return {one.name: one.fallback == "compose" for one in declared if one.knowledge is not None}


# -- text ------------------------------------------------------------------------------------------


def _shown(found: "Gaps", limit: int) -> dict[str, object]:
    rows = [{**msgspec.to_builtins(gap), "trend": gap.trend} for gap in found.gaps[:limit]]
    more = max(0, len(found.gaps) - limit)
    return {**msgspec.to_builtins(found), "gaps": rows, "more": more}


def _heading(found: "Gaps", settings: Settings) -> str:
    since = f"since {found.since[:10]}"
    if not settings.knowledge.searches:
        searches = "no event type of [knowledge] searches, so searches are not looked at"
    else:
        searches = f"{found.unanswered:,} of {found.searches:,} searches without a good answer"
    if not found.gaps:
        return f"No gaps {since}; {searches}."
    customers = "customer" if found.customers == 1 else "customers"
    gaps = "gap" if len(found.gaps) == 1 else "gaps"
    return f"{len(found.gaps):,} {gaps} {since}, {found.customers:,} {customers}; {searches}."


def _table(listed: "tuple[Gap, ...]") -> Table:
    table = Table("customers", "share", "trend", "tickets", "what happened", "to do", box=None)
    for gap in listed:
        happened = ", ".join(f"{kind} {count}" for kind, count in gap.by.items())
        share = f"{100 * gap.share:.0f} % of {gap.concerned:,}"
        row = (f"{gap.customers:,}", share, gap.trend, str(gap.tickets), happened, gap.todo)
        table.add_row(*map(cell, row))
    return table


def _examples(listed: "tuple[Gap, ...]") -> Iterator[str]:
    from forestall.cli.person import plain

    for gap in listed:
        if gap.examples and gap.about == "words":
            yield f"{plain(gap.name)}: {'; '.join(plain(one) for one in gap.examples)}"
