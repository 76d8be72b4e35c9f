"""``forestall drift`` and ``forestall due``: what is not as it should be, for people and for CI."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from forestall.app.standing import drifted, reviews, today
from forestall.cli.deployment import ConfigOption, settings_for
from forestall.cli.person import AsJson, cell, echo_json
from forestall.cli.tables import print_table
from forestall.kernel.clock import wall_clock
from forestall.policy.drift import WORDS
from forestall.policy.reviews import overdue


def drift(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="The folder; that of [policies] if left out."),
    ] = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """List where the folder, the registry's live state and what is in force differ.

    Reads the data folder, so it runs on the server's machine. What was applied and is on its way to
    live is listed too; exit code 1 if there is anything else.
    """
    found = drifted(settings_for(config), folder)
    if as_json:
        echo_json(found)
    elif not found:
        typer.echo("Nothing has drifted.")
    else:
        table = Table("kind", "name", "folder", "live", "in force", "what", box=None)
        for one in found:
            state = f" ({one.state})" if one.state else ""
            versions = (version[:8] for version in (one.folder, one.live, one.in_force))
            table.add_row(*map(cell, (one.kind, one.name, *versions, WORDS[one.what] + state)))
        print_table(table)
    if any(one.wrong for one in found):
        raise typer.Exit(1)


def due(config: ConfigOption = None, as_json: AsJson = False) -> None:
    """List policies, declarations and runbooks whose day of review has passed.

    Longest overdue first; exit code 1 if there is any.
    """
    found = overdue(reviews(settings_for(config)), today(wall_clock()))
    if as_json:
        echo_json([msgspec.to_builtins(one) for one in found])
    elif not found:
        typer.echo("No review is overdue.")
    else:
        table = Table("kind", "name", "owner", "review by", "overdue", box=None)
        for one in found:
            days = f"{one.days} day{'' if one.days == 1 else 's'}"
            table.add_row(*map(cell, (one.kind, one.name, one.owner, one.review_by, days)))
        print_table(table)
    if found:
        raise typer.Exit(1)
