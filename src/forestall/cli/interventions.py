"""``forestall interventions``: what is being carried out for customers, and how it went."""

from typing import Annotated

import msgspec
import typer
from rich.table import Table

from forestall.cli import command
from forestall.cli.deployment import ConfigOption, DataOption, tables_for
from forestall.cli.person import cell
from forestall.cli.tables import print_table
from forestall.contracts.errors import UnreadableInput
from forestall.intervene import inferences
from forestall.intervene.store import Store, Summary

app = typer.Typer(
    help="Look at interventions, and take command of one: what was done for which customer, and why.",
    no_args_is_help=True,
)
app.add_typer(command.app)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, newest first.")] = 20,
    subject: Annotated[
        str | None, typer.Option(help="Only those of this customer (a pseudonym).")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """List the newest interventions."""
    store = Store(tables_for(data, config), read_only=True)
    try:
        newest = store.newest(limit, subject=subject)
    finally:
        store.close()
    if as_json:
        typer.echo(msgspec.json.encode(newest).decode())
        return
    table = Table("id", "policy", "customer", "since", "outcome", "reason", box=None)
    for one in newest:
        row = (one.id[:12], one.policy, one.subject, one.at, one.outcome, one.reason or "")
        table.add_row(*map(cell, row))
    if newest:
        print_table(table)
    else:
        typer.echo("There are no interventions yet.")


@app.command()
def show(
    intervention: Annotated[
        str, typer.Argument(metavar="ID", help="The intervention's id, or enough of its start.")
    ],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Show one intervention: why it began, every step, what agents concluded, and how it ended.

    Exit code 2 when no intervention, or more than one, has that id.
    """
    store = Store(tables_for(data, config), read_only=True)
    try:
        found = store.find(intervention)
        inferred = inferences.done(store.effects.of(found[0].id)) if len(found) == 1 else []
    finally:
        store.close()
    if not found:
        raise UnreadableInput(f"there is no intervention whose id starts with {intervention!r}")
    if len(found) > 1:
        raise UnreadableInput(
            f"{intervention!r} could be any of " + ", ".join(one.id[:20] for one in found)
        )
    if as_json:
        whole = {**msgspec.to_builtins(found[0]), "inferences": msgspec.to_builtins(inferred)}
        typer.echo(msgspec.json.encode(whole).decode())
        return
    typer.echo(_text(found[0]))
    for one in inferred:
        typer.echo("\n" + "\n".join(inferences.lines(one)))


def _text(one: Summary) -> str:
    lines = [
        f"intervention  {one.id}",
        f"policy        {one.policy}",
        f"customer      {one.subject}",
        f"why           {one.explanation}",
        f"outcome       {one.outcome}" + (f" ({one.reason})" if one.reason else ""),
    ]
    for taken in one.taken:
        step = f" step {taken.step}" if taken.step else ""
        because = f": {taken.reason}" if taken.reason else ""
        lines.append(f"{taken.at}  {taken.what}{step}{because}")
    return "\n".join(lines)
