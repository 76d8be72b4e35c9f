"""``forestall records``: what people did, with who and why."""

from typing import Annotated
from urllib.parse import urlencode

import typer
from rich.table import Table

from forestall.cli.deployment import ConfigOption
from forestall.cli.person import AsJson, ask, cell, echo_json, moment
from forestall.cli.tables import print_table


def records(
    about: Annotated[
        str | None, typer.Option(help="Only about this id, or what begins so.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 50,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """List what people approved, granted, paused, commanded and reviewed, newest first.

    Your token is read from FORESTALL_TOKEN.
    """
    asked = {"limit": limit, **({} if about is None else {"about": about})}
    found = ask(config, "GET", f"/v1/records?{urlencode(asked)}")["records"]
    if as_json:
        echo_json(found)
        return
    table = Table("at", "who", "what", "about", "why", box=None)
    for one in found:
        row = (moment(one["at"]), one["who"], one["what"], one["about"], one["why"])
        table.add_row(*map(cell, row))
    if found:
        print_table(table)
    else:
        typer.echo("There are no records.")
