"""``forestall fairness``: whether some customers are served much worse than the rest."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forestall.cli.deployment import ConfigOption, DataArgument, data_for, settings_for
from forestall.cli.durations import span
from forestall.cli.person import AsJson, echo_json, plain
from forestall.cli.writing import write
from forestall.contracts.errors import ForestallError
from forestall.contracts.instants import SECOND, format_duration
from forestall.measure.reading import Folder

if TYPE_CHECKING:
    from forestall.measure.fairness import Cell, Fairness

WIDTH = 20
"""Characters of a full bar."""


class TraitNotDeclared(ForestallError):
    """A trait that ``[fairness] traits`` does not name is not read; declare it there first."""

    code = "trait-not-declared"
    exit_code = 2


def fairness(
    data: DataArgument = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="TRAIT",
            help="A trait that the settings declare for this; all of them without it.",
        ),
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Only this policy.")] = None,
    horizon: Annotated[
        int,
        span("How long before a ticket help counts, and tickets after it."),
    ] = "7d",  # type: ignore[assignment]
    config: ConfigOption = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with plots (HTML, one file).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare how customers are served, by the traits that the deployment declares for it.

    Exit code 1 when a segment is served much worse than the rest, and the sample carries it.
    """
    from forestall.measure.fairness import Rule
    from forestall.measure.fairness import fairness as compared

    settings = settings_for(config)
    declared = settings.fairness
    traits = _traits(by or list(declared.traits), declared.traits)
    path = data_for(data, config)
    folder = Folder(path)
    try:
        found = compared(
            folder.happenings(),
            folder.controls(),
            folder.now,
            traits,
            Rule(declared.least, declared.margin, declared.alpha),
            policy=policy,
            horizon=horizon,
        )
        now = folder.now
    finally:
        folder.close()
    if html is not None:
        from forestall.console.fairness_page import render

        write(html, render(found, path.resolve().parent.name, now).encode())
    if as_json:
        echo_json(found)
    else:
        typer.echo("\n".join(text(found)))
    if found.warnings:
        raise typer.Exit(1)


def _traits(wanted: list[str], declared: tuple[str, ...]) -> list[str]:
    missing = [name for name in wanted if name not in declared]
    if missing:
        raise TraitNotDeclared(
            f"{', '.join(missing)}: not among [fairness] traits of the settings"
            f" ({', '.join(declared) or 'none'}); only what is declared there is read"
        )
    if not wanted:
        raise TraitNotDeclared(
            'no trait is declared; write [fairness] traits = ["language", "plan"] in the settings'
        )
    return list(dict.fromkeys(wanted))


# -- text ------------------------------------------------------------------------------------------


def text(found: "Fairness") -> Iterator[str]:
    """The comparison line by line, warnings first."""
    from forestall.measure.fairness import MEASURES

    about = "all policies" if found.policy is None else found.policy
    horizon = format_duration(int(found.horizon_seconds * SECOND))
    yield f"{found.customers:,} customers, {about}, within {horizon}"
    yield ""
    yield from map(warning, found.warnings)
    if not found.warnings:
        yield _nothing(found)
    for trait in found.traits:
        for measure, words in MEASURES.items():
            cells = [one for one in found.cells if (one.trait, one.measure) == (trait, measure)]
            if cells:
                yield from ("", f"{trait}, {measure}: {words}")
                width = max(len(plain(one.segment)) for one in cells)
                yield from (_line(one, width) for one in cells)
    if found.no_effect:
        yield from ("", f"No effect is told. {found.no_effect}")


def warning(cell: "Cell") -> str:
    """A sentence about a segment that is served much worse."""
    worse = f"{100 * (cell.worse_by or 0):.1f} percentage points"
    chance = cell.chance or 0
    told = f"{chance:.3f}" if chance >= 0.001 else "below 0.001"
    return (
        f"WARNING: {cell.trait} {plain(cell.segment)} is served much worse: {cell.measure}"
        f" {_percent(cell.value)}, the rest {_percent(cell.rest)}, worse by {worse}"
        f" (adjusted p {told})"
    )


def _nothing(found: "Fairness") -> str:
    if not found.judged:
        return (
            f"Nothing can be judged: that takes a segment of {found.rule.least:,} customers,"
            " and as many others."
        )
    points = f"{100 * found.rule.margin:g} percentage points"
    return f"No segment is shown to be worse than the rest by more than {points}."


def _line(cell: "Cell", width: int) -> str:
    head = f"  {plain(cell.segment):<{width}}  {cell.customers:>9,}"
    if cell.value is None or cell.low is None or cell.high is None:
        return f"{head}  {'':{WIDTH}}  too few to tell"
    interval = f"{_percent(cell.low)} to {_percent(cell.high)}"
    mark = "  << much worse" if cell.verdict == "much worse" else ""
    rest = "" if cell.rest is None else f"  rest {_percent(cell.rest)}"
    return f"{head}  {_bar(cell.value)}  {_percent(cell.value):>7}  ({interval}){rest}{mark}"


def _bar(value: float) -> str:
    length = round(WIDTH * max(0.0, min(1.0, value)))
    return "█" * length + "·" * (WIDTH - length)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
