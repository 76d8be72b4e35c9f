"""``forestall shadow``: what a version in shadow would have done, against what was live."""

from collections.abc import Iterator
from typing import Annotated

import typer

from forestall.cli.deployment import ConfigOption, DataArgument, data_for
from forestall.cli.person import AsJson, echo_json
from forestall.decide.shadow_report import Example, ShadowReport, report
from forestall.measure.reading import Folder

SHORT = 12
"""Characters of a version that are shown."""


def shadow(
    policy: Annotated[str, typer.Argument(metavar="NAME", help="The policy's name.")],
    data: DataArgument = None,
    config: ConfigOption = None,
    examples: Annotated[
        int, typer.Option(min=0, help="How many customers and moments to show.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Say how the version in shadow decides differently from the live one, with examples.

    Counts since the version came into shadow, over live traffic. Exit code 1 when none is there.
    """
    folder = Folder(data_for(data, config))
    try:
        found = report(folder, policy, examples)
    finally:
        folder.close()
    if as_json:
        echo_json(found)
    else:
        typer.echo("\n".join(text(found)))


def text(found: ShadowReport) -> Iterator[str]:
    """The report line by line."""
    live = ", ".join(version[:SHORT] for version in found.live_versions) or "nothing"
    yield f"{found.policy}: {found.version[:SHORT]} in shadow, against {live} live"
    if found.events:
        yield f"  {found.since[:19]}Z to {found.until[:19]}Z"
    yield f"  {found.events:,} events of {found.subjects:,} customers"
    yield ""
    yield f"  {'':14}  {'decisions':>10}  {'interventions':>13}"
    yield f"  {'live':14}  {found.live:>10,}  {found.live_acts:>13,}"
    yield f"  {'shadow':14}  {found.shadow:>10,}  {found.shadow_acts:>13,}"
    yield ""
    yield from _differences(found)
    if found.examples:
        yield from ("", f"Examples ({len(found.examples)})")
    for one in found.examples:
        yield from _example(one)


def _differences(found: ShadowReport) -> Iterator[str]:
    if not found.events:
        yield "Nothing has happened since it came into shadow."
    elif not found.totals:
        yield "Both decided everything alike."
    else:
        gained = f"{found.gained:,} interventions would be new ({_rate(found.gained_per_1000)})"
        lost = f"{found.lost:,} would be gone ({_rate(found.lost_per_1000)})"
        yield f"{sum(row.moments for row in found.totals):,} moments differ: {gained}, {lost}."
        yield from (f"  {row.moments:>7,}  {row.live} -> {row.shadow}" for row in found.totals)
        if found.crowded:
            yield (
                f"Of the new ones, {found.crowded:,} were refused for what was done before, perhaps by"
                " other policies: a shadow sees its own acts only, and once live would be refused too."
            )


def _example(one: Example) -> Iterator[str]:
    key = "" if one.key is None else f" for {one.key}"
    yield f"  {one.at}  {one.subject}{key}: {one.live} -> {one.shadow}"
    yield f"    live:   {one.live_why}"
    yield f"    shadow: {one.shadow_why}"
    yield f"    events: {', '.join(one.matched)}"


def _rate(per_1000: float | None) -> str:
    return "-" if per_1000 is None else f"{per_1000:,.2f} per 1,000 customers"
