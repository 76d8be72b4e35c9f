"""``forestall flag``: switches of the deployment, who set them, why and when."""

from typing import Annotated, Any

import typer
from rich.table import Table

from forestall.cli.deployment import ConfigOption, DataOption, data_for
from forestall.cli.person import AsJson, Because, ask, cell, echo_json, moment
from forestall.cli.tables import print_table
from forestall.contracts.flags import OWN, Value
from forestall.contracts.instants import format_time
from forestall.measure.reading import Folder
from forestall.policy.flags import changes, in_force, read

app = typer.Typer(help="Switches of the deployment.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The flag's name.")]


@app.command("set")
def set_(
    name: Name,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="true, false, a number, or a text.")
    ],
    reason: Because,
    config: ConfigOption = None,
) -> None:
    """Set a flag in a managed deployment; it holds within seconds. Needs FORESTALL_TOKEN.

    Elsewhere write it into the settings, under `flags.values`.
    """
    body = {"name": name, "value": read(value), "reason": reason}
    told = ask(config, "POST", "/v1/flags", body)
    again = "" if told["transitions"] else " already"
    typer.echo(f"{name} is {_shown(told['value'])}{again}.")


@app.command()
def unset(name: Name, reason: Because, config: ConfigOption = None) -> None:
    """Take a flag away, so that the default of whoever reads it holds. Needs FORESTALL_TOKEN."""
    body = {"name": name, "kind": "flag", "reason": reason}
    ask(config, "POST", "/v1/lifecycle/retirements", body)
    typer.echo(f"{name} is not set any more.")


@app.command("list")
def list_(
    past: Annotated[bool, typer.Option("--history", help="Every change, oldest first.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """List the flags that are set: since when, by whom and why; then the product's own."""
    folder = Folder(data_for(data, config))
    try:
        controls = folder.controls()
    finally:
        folder.close()
    rows: list[dict[str, Any]] = (
        [
            {**_told(one.name, one.after, one.by, one.why, one.at), "before": one.before}
            for one in changes(controls)
        ]
        if past
        else [_told(one.name, one.value, one.by, one.why, one.since) for one in in_force(controls)]
    )
    if as_json:
        echo_json(rows)
        return
    if rows:
        _print(rows, past)
    else:
        typer.echo("No flag is set.")
    if not past:
        set_now = {row["name"] for row in rows}
        for name in sorted(OWN.keys() - set_now):
            typer.echo(f"{name} is not set, so {OWN[name].otherwise} holds. {OWN[name].does}")


def _told(name: str, value: Value | None, by: str, why: str, at: int) -> dict[str, Any]:
    return {"name": name, "value": value, "since": format_time(at), "by": by, "why": why}


def _print(rows: list[dict[str, Any]], past: bool) -> None:
    names = ("before", "value") if past else ("value",)
    table = Table("flag", *names, "since", "by", "why", box=None)
    for row in rows:
        shown = [_shown(row[name]) for name in names]
        table.add_row(
            *map(cell, (row["name"], *shown, moment(row["since"]), row["by"], row["why"]))
        )
    print_table(table)


def _shown(value: Value | None) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
