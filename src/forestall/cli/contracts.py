"""``forestall contracts``: the event catalogue, checked before it is shipped."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from forestall.cli.tables import print_table
from forestall.contracts.catalogue import Contract, contract_files, read_contracts
from forestall.contracts.compatibility import breaking_changes
from forestall.contracts.errors import InvalidFile, Problem
from forestall.contracts.folders import require_some
from forestall.contracts.instants import format_duration

app = typer.Typer(
    help="The event catalogue: JSON Schemas, one per event type and major version.",
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def check(
    old: Annotated[Path, typer.Argument(help="The catalogue as it is: a folder or a file.")],
    new: Annotated[Path, typer.Argument(help="The catalogue as it would be.")],
    as_json: Json = False,
) -> None:
    """Refuse a change that breaks senders, policies or a promise about privacy.

    Within one event type and major version a contract may only become wider. Exit code 1 and a
    reason each, with file and JSON Pointer, when it does not; write a new major instead.
    """
    found = breaking_changes(_sound(old), _sound(new), new)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        for change in found:
            typer.echo(str(change))
        typer.echo(counted(len(found), "breaking change") if found else "no breaking change")
    raise typer.Exit(1 if found else 0)


@app.command()
def lint(
    folder: Annotated[Path, typer.Argument(help="The catalogue: a folder or a file.")],
    as_json: Json = False,
) -> None:
    """Tell every mistake in a catalogue, with file, line and column.

    Exit code 1 when there is an error, 0 when there are warnings at most, 2 where there is no
    contract.
    """
    require_some(contract_files(folder), folder, "contract (*.json)")
    contracts, problems = read_contracts(folder)
    show_problems(problems, as_json=as_json, good=f"contracts checked: {len(contracts)}")


@app.command("list")
def list_contracts(
    folder: Annotated[Path, typer.Argument(help="The catalogue: a folder or a file.")],
    as_json: Json = False,
) -> None:
    """List every contract with its owner, retention, origins and fields."""
    contracts = sorted(_sound(folder), key=lambda one: (one.type, one.major))
    if as_json:
        typer.echo(msgspec.json.encode([_described(one) for one in contracts]).decode())
        return
    table = Table("type", "major", "owner", "kept for", "origins", "fields", box=None)
    for one in contracts:
        origins, retention = ", ".join(sorted(one.origins)), format_duration(one.retention)
        fields = ", ".join(one.fields)
        table.add_row(one.type, str(one.major), one.owner, retention, origins, fields)
    if contracts:
        print_table(table)
    else:
        typer.echo(f"There are no contracts in {folder}.")


def show_problems(problems: list[Problem], *, as_json: bool, good: str) -> None:
    """Print problems, then leave with exit code 1 if one is an error, or ``good`` and 0."""
    errors = sum(problem.severity == "error" for problem in problems)
    if as_json:
        typer.echo(msgspec.json.encode(sorted(problems)).decode())
    else:
        for problem in sorted(problems):
            typer.echo(str(problem))
        warnings = len(problems) - errors
        tail = f", {counted(warnings, 'warning')}" if warnings else ""
        typer.echo(f"{counted(errors, 'error') if errors else good}{tail}")
    raise typer.Exit(1 if errors else 0)


def counted(number: int, thing: str) -> str:
    """``1 error``, ``2 errors``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _sound(path: Path) -> list[Contract]:
    contracts, problems = read_contracts(path)
    if any(problem.severity == "error" for problem in problems):
        raise InvalidFile(problems)
    return contracts


def _described(one: Contract) -> dict[str, object]:
    return {
        "type": one.type,
        "major": one.major,
        "owner": one.owner,
        "retention": format_duration(one.retention),
        "origins": sorted(one.origins),
        "fields": one.fields,
        "file": one.file,
    }
