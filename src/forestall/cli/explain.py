"""``forestall explain``: why, or why not, for one customer, policy and moment."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from forestall.cli.deployment import ConfigOption, DataOption, data_for
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import Record
from forestall.contracts.instants import parse_time
from forestall.decide.explain import Explanation
from forestall.decide.explain import explain as answer
from forestall.decide.history import deployed_controls
from forestall.kernel.clock import random_id
from forestall.kernel.database import open_database
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from forestall.privacy.keys import load_keys
from forestall.privacy.vault import Vault


def explain(
    subject: Annotated[str, typer.Option(help="The customer's own id, or the pseudonym.")],
    policy: Annotated[str, typer.Option(help="The policy's name.")],
    at: Annotated[
        str | None, typer.Option(help="The moment (RFC 3339); the newest if not given.")
    ] = None,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole answer as JSON.")
    ] = False,
) -> None:
    """Say why a policy acted for a customer, or which gate said no and what would have to differ.

    Exit code 1 when the customer is not known.
    """
    folder = data_for(data, config)
    path = folder / "gateway.db"
    if not path.is_file():
        raise UnreadableInput(f"{folder}: not a server's data folder: no gateway.db in it")
    log = SqliteLog(path, read_only=True)
    try:
        moment = log.tick() if at is None else _moment(at)
        moment = max(moment, log.received(streams.SIGNALS)) if at is None else moment
        pseudonym, records = _records(log, folder, subject)
    finally:
        log.close()
    if not records:
        typer.echo(f"No events of {subject!r} are in the log of {folder}.", err=True)
        raise typer.Exit(1)
    found = answer(deployed_controls(folder), records, pseudonym, policy, moment)
    typer.echo(msgspec.json.encode(found).decode() if as_json else _text(found))


def _moment(text: str) -> int:
    try:
        return parse_time(text)
    except ValueError as error:
        raise UnreadableInput(f"--at: {error}") from None


def _records(log: SqliteLog, folder: Path, subject: str) -> tuple[str, list[Record]]:
    """The subject's pseudonym and records; ``subject`` is tried as a pseudonym first."""
    records = _of_pseudonym(log, subject)
    if records:
        return subject, records
    connection = open_database(folder / "gateway.db", read_only=True)
    try:
        vault = Vault(connection, load_keys(folder, random_id), random_id)
        pseudonym = vault.resolve("user", subject) or vault.resolve("anonymous", subject)
    finally:
        connection.close()
    return (pseudonym, _of_pseudonym(log, pseudonym)) if pseudonym else (subject, [])


def _of_pseudonym(log: SqliteLog, subject: str) -> list[Record]:
    records: list[Record] = []
    for position in log.of_subject(streams.SIGNALS, subject):
        for batch in log.read(streams.SIGNALS, after=position - 1, limit=1):
            records += [one for one in streams.read_signals(batch) if one.subject == subject]
    return records


def _text(found: Explanation) -> str:
    lines = [f"{found.policy} for {found.subject} at {found.at}", "", found.summary]
    if found.decision is not None:
        lines += ["", f"matched: {', '.join(found.decision.matched)}"]
        lines += [f"  {name} = {value}" for name, value in found.decision.features.items()]
    lines += ["", "gates, in order:"]
    for gate in found.gates:
        until = f" until {gate.until}" if gate.until else ""
        lines.append(f"  {'NO ' if gate.refuses else 'ok '} {gate.reason}{until}")
    if found.progress:
        lines += ["", "pattern at that moment:"]
        for one in found.progress:
            key = "" if one.key is None else f" for {one.key}"
            lines.append(f"  {one.reached} of {one.steps}{key}; missing: {one.missing}")
    lines += ["", "newest events:"]
    lines += [f"  {event.time}  {event.type}  {event.id}" for event in found.events]
    return "\n".join(lines)
