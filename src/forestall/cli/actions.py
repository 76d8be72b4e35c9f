"""``forestall action``: what a deployment declares, tried and run by hand."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from forestall.channels.outbound import outbound
from forestall.cli.deployment import DEFAULT, ConfigOption, settings_for
from forestall.cli.tables import print_table
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.instants import SECOND
from forestall.intervene.actions.load import load_workshop
from forestall.intervene.actions.notes import ByHand
from forestall.intervene.jobs import Job, JobKind, Outcome
from forestall.kernel.clock import random_id, wall_clock
from forestall.kernel.settings import Settings, load_settings
from forestall.policy.actions.folder import Declarations, load_declarations
from forestall.policy.actions.model import Action, Agent, Declaration, Flag, Lookup

app = typer.Typer(
    help="Look at lookups, agents and actions, try them without effect, and run one by hand.",
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(help="The name of a lookup, an agent or an action.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Line(msgspec.Struct, frozen=True):
    """One line of the list; ``risk``, ``people`` and ``dry_run`` are an action's."""

    kind: str
    name: str
    title: str
    risk: str | None = None
    people: int | None = None
    dry_run: str | None = None
    undo: bool | None = None


@app.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List what is declared. Exit code 1 if a declaration has mistakes."""
    declared = _declared(settings_for(config))
    lines = [_line(one) for one in _all(declared)]
    if as_json:
        typer.echo(msgspec.json.encode(lines).decode())
    elif not lines:
        typer.echo("Nothing is declared; name a folder under [actions].")
    else:
        table = Table("kind", "name", "risk", "people", "dry run", "undo", "title", box=None)
        for line in lines:
            undo = "" if line.undo is None else "yes" if line.undo else "no"
            people = str(line.people or "")
            table.add_row(line.kind, line.name, line.risk, people, line.dry_run, undo, line.title)
        print_table(table)


@app.command()
def show(name: NameArgument, config: ConfigOption = None) -> None:
    """Show one declaration as JSON, with every default filled in."""
    found = _found(_declared(settings_for(config)), name)
    shown = {"kind": type(found).__name__.lower(), **msgspec.to_builtins(found)}
    typer.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())


@app.command()
def run(
    name: NameArgument,
    given: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NAME=VALUE", help="An argument; may be repeated."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--json", help="A file with the arguments as a JSON object.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Really run an action.")] = False,
    by: Annotated[str | None, typer.Option("--by", help="Who runs an action.")] = None,
    why: Annotated[str | None, typer.Option("--why", help="Why an action is run.")] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", help="The idempotency key; that of an earlier run repeats it."),
    ] = None,
    timeout: Annotated[int, typer.Option("--timeout", min=1, max=300, help="Seconds.")] = 30,
    config: ConfigOption = None,
) -> None:
    """Ask a lookup or an agent, or run an action, and print the outcome as JSON.

    An action is only run with --yes, --by and --why, and never one that needs an approval: those run
    in playbooks. Exit code 1 if it failed or its end is not known.
    """
    settings = load_settings(config or DEFAULT)
    found = _found(_declared(settings), name)
    arguments = _arguments(found, given or [], file)
    if isinstance(found, Action) and not dry_run and not (yes and by and why):
        raise UnreadableInput(
            f"{name} changes something: give --yes, --by and --why to run it, or --dry-run to try it"
        )
    kind: JobKind = {Lookup: "enrich", Agent: "infer", Action: "action"}[type(found)]  # type: ignore[assignment]
    job = Job(
        kind=kind,
        name=name,
        arguments=arguments,
        fields=tuple(found.output),
        timeout=timeout * SECOND,
    )
    key = key or random_id()
    outcome = asyncio.run(_performed(settings, job, key, dry=dry_run, by=by, why=why))
    shown = {"key": key, **msgspec.to_builtins(outcome)}
    typer.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())
    if outcome.outcome != "done":
        raise typer.Exit(1)


async def _performed(
    settings: Settings, job: Job, key: str, *, dry: bool, by: str | None, why: str | None
) -> Outcome:
    async with (
        outbound(settings.outbound) as client,
        load_workshop(settings, client=client, clock=wall_clock) as workshop,
    ):
        outcome = await workshop.perform(job, key, dry=dry)
        if job.kind == "action" and not dry:
            ended = f"{outcome.outcome} {outcome.reason or ''}".strip()
            workshop.notes.note_by_hand(
                ByHand(wall_clock(), job.name, key, by or "", why or "", ended)
            )
        return outcome


def _declared(settings: Settings) -> Declarations:
    if settings.actions is None:
        return Declarations()
    return load_declarations(settings.actions, settings)


def _all(declared: Declarations) -> list[Declaration]:
    return [*declared.lookups.values(), *declared.agents.values(), *declared.actions.values()]


def _found(declared: Declarations, name: str) -> Declaration:
    for one in _all(declared):
        if one.name == name:
            return one
    known = ", ".join(one.name for one in _all(declared)) or "nothing"
    raise UnreadableInput(f"nothing is declared as {name!r} (known: {known})")


def _line(one: Declaration) -> Line:
    kind = type(one).__name__.lower()
    if not isinstance(one, Action):
        return Line(kind, one.name, one.title)
    dry: str = one.dry_run if isinstance(one.dry_run, str) else "asked"
    if isinstance(one.dry_run, Flag):
        dry = f"argument {one.dry_run.argument}"
    return Line(kind, one.name, one.title, one.risk, one.people, dry, one.undo is not None)


def _arguments(found: Declaration, given: list[str], file: Path | None) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if file is not None:
        try:
            arguments = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        except OSError as error:
            raise UnreadableInput(f"{file}: {error.strerror}") from None
        except msgspec.DecodeError as error:
            raise UnreadableInput(f"{file}: not a JSON object: {error}") from None
    for pair in given:
        name, mark, text = pair.partition("=")
        if not mark or not name:
            raise UnreadableInput(f"--with {pair}: write it as NAME=VALUE")
        arguments[name] = _value(found.input.get("properties", {}).get(name), text)
    return arguments


def _value(schema: Any, text: str) -> Any:
    """Text where the schema wants text, and otherwise JSON where it is some."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind == "string":
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
