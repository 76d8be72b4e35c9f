"""``forestall quarantine``: events that were not let in, and a second chance for them."""

from typing import Annotated, Any

import httpx
import msgspec
import typer
from rich.table import Table

from forestall.cli.deployment import ConfigOption, settings_for
from forestall.cli.person import ServerSilent, cell
from forestall.cli.tables import print_table
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.instants import format_time
from forestall.ingest import quarantine
from forestall.ingest.quarantine import Entry
from forestall.ingest.serve import gateway_file
from forestall.ingest.writers import internal_key
from forestall.kernel.clock import random_id
from forestall.kernel.database.files import open_database
from forestall.kernel.settings import Settings
from forestall.privacy.keys import load_keys

app = typer.Typer(
    help="Look at events that were not let in, and let them in after a fix.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(config: ConfigOption = None, as_json: AsJson = False) -> None:
    """List quarantined events, oldest first: when each came, from which key, and why it waits."""
    found = _entries(settings_for(config), None)
    if as_json:
        typer.echo(msgspec.json.encode([_summary(entry) for entry in found]).decode())
        return
    table = Table("entry", "received", "key", "event", "code", "path", "message", box=None)
    for entry in found:
        table.add_row(*(cell(value or "") for value in _summary(entry).values()))
    if found:
        print_table(table)
    else:
        typer.echo("The quarantine is empty.")


@app.command()
def show(
    entry: Annotated[str, typer.Argument(help="The entry, as `list` names it.")],
    config: ConfigOption = None,
) -> None:
    """Show one entry as JSON, with the event as it was sent. Exit code 1 if it is not there."""
    found = _entries(settings_for(config), [entry])
    if not found:
        typer.echo(f"There is no entry {entry} in quarantine.", err=True)
        raise typer.Exit(1)
    letter = found[0].letter
    text = letter.raw.decode("utf-8", "backslashreplace")
    whole = {**_summary(found[0]), "origin": letter.sender.origin, "sent": text}
    typer.echo(msgspec.json.format(msgspec.json.encode(whole)).decode())


@app.command()
def retry(
    entries: Annotated[list[str] | None, typer.Argument(help="Entries, as `list` names them.")] = (
        None
    ),
    everything: Annotated[bool, typer.Option("--all", help="Every entry.")] = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Check entries again, by the running server's contracts; those that pass now are let in.

    They keep their time, id and origin. Exit code 1 if any has to stay.
    """
    if bool(entries) == everything:
        raise UnreadableInput("name the entries to retry, or say --all")
    verdicts = _retried(settings_for(config), {"ids": entries or [], "all": everything})
    if as_json:
        typer.echo(msgspec.json.encode(verdicts).decode())
    else:
        for verdict in verdicts:
            why = f": {verdict['code']}: {verdict['message']}" if "code" in verdict else ""
            typer.echo(f"{verdict['entry']} {verdict['verdict']}{why}")
    known = {verdict["entry"] for verdict in verdicts}
    missing = [entry for entry in entries or [] if entry not in known]
    for entry in missing:
        typer.echo(f"There is no entry {entry} in quarantine.", err=True)
    if missing or any(verdict["verdict"] == "quarantined" for verdict in verdicts):
        raise typer.Exit(1)


def _entries(settings: Settings, numbers: list[str] | None) -> list[Entry]:
    file = gateway_file(settings)
    if not file.exists():
        raise UnreadableInput(f"{settings.data}: not a server's data folder: no gateway.db in it")
    keys = load_keys(settings.data, random_id)
    connection = open_database(file, read_only=True)
    try:
        return list(quarantine.entries(connection, keys, numbers))
    finally:
        connection.close()


def _summary(entry: Entry) -> dict[str, Any]:
    return {
        "entry": entry.id,
        "received": format_time(entry.received),
        "key": entry.letter.sender.name,
        "event": entry.event,
        "code": entry.code,
        "path": entry.path,
        "message": entry.message,
    }


def _retried(settings: Settings, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    url = f"{settings.server.url}/v1/quarantine/retries"
    key = internal_key(settings.data, random_id)
    try:
        answer = httpx.post(
            url, json=wanted, headers={"x-write-key": key}, timeout=60, trust_env=False
        )
        body = answer.json()
    except httpx.ConnectError:
        raise ServerSilent(
            f"no server answers at {url}; start it with `forestall serve`, then retry"
        ) from None
    except (httpx.HTTPError, ValueError) as error:
        raise ServerSilent(f"{url}: no answer that can be read: {error}") from None
    if answer.status_code != 200:
        raise ServerSilent(f"{url}: {body.get('code')}: {body.get('detail')}")
    verdicts: list[dict[str, Any]] = body["verdicts"]
    return verdicts
