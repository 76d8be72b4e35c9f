"""``forestall webhooks``: endpoints that take messages and cases, and those that are parked."""

from typing import Annotated

import msgspec
import typer
from rich.table import Table

from forestall.channels.parking import HEALTH_FILE, Health, SqliteHealth
from forestall.channels.webhook import unpark as take_out
from forestall.cli.deployment import ConfigOption, settings_for
from forestall.cli.person import cell
from forestall.cli.tables import print_table
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.instants import format_time
from forestall.kernel.settings import Settings

app = typer.Typer(
    help="Look at webhook endpoints, and put a mended one back to work.",
    no_args_is_help=True,
)


class Endpoint(msgspec.Struct, frozen=True):
    """One line of the list: ``state`` is well, failing or parked; ``since`` is RFC 3339."""

    name: str
    url: str
    state: str
    failures: int
    since: str | None
    why: str | None


@app.command("list")
def list_(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the endpoints of the settings and how they do. Exit code 1 if one is parked."""
    settings = settings_for(config)
    health = _health(settings)
    found = [
        _endpoint(name, hook.url, health.get(name, Health()))
        for name, hook in settings.webhooks.items()
    ]
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        table = Table(*Endpoint.__struct_fields__, box=None)
        for one in found:
            table.add_row(*(cell(part or "") for part in msgspec.structs.astuple(one)))
        if found:
            print_table(table)
        else:
            typer.echo("The settings name no webhooks.")
    if any(one.state == "parked" for one in found):
        raise typer.Exit(1)


@app.command()
def unpark(
    name: Annotated[str, typer.Argument(help="The NAME of [webhooks.NAME].")],
    config: ConfigOption = None,
) -> None:
    """Try an endpoint again that was parked. Exit code 1 if it was not parked."""
    settings = settings_for(config)
    if name not in settings.webhooks:
        known = ", ".join(settings.webhooks) or "none"
        raise UnreadableInput(f"there is no [webhooks.{name}] in the settings (known: {known})")
    was = False
    if name in _health(settings):
        store = SqliteHealth(settings.data / HEALTH_FILE)
        was = take_out(name, store)
        store.close()
    typer.echo(f"{name} is unparked." if was else f"{name} was not parked.")
    if not was:
        raise typer.Exit(1)


def _health(settings: Settings) -> dict[str, Health]:
    path = settings.data / HEALTH_FILE
    if not path.exists():
        return {}
    store = SqliteHealth(path)
    try:
        return store.all()
    finally:
        store.close()


def _endpoint(name: str, url: str, health: Health) -> Endpoint:
    state = "parked" if health.parked else "failing" if health.failures else "well"
    since = health.parked or health.since
    moment = None if since is None else format_time(since)
    return Endpoint(name, url, state, health.failures, moment, health.why)
