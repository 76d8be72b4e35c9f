"""One customer's records in a server's data folder, found by their own id or by pseudonym."""

from pathlib import Path

from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import Record
from forestall.contracts.instants import parse_time
from forestall.ingest.past import signals_of
from forestall.kernel.clock import random_id
from forestall.kernel.database.files import open_database
from forestall.log.sqlite import SqliteLog
from forestall.privacy.keys import load_keys
from forestall.privacy.vault import Vault, joined_into


def open_signals(folder: Path) -> SqliteLog:
    """The signals of a data folder, to read. Raises ``UnreadableInput`` where it is none."""
    path = folder / "gateway.db"
    if not path.is_file():
        raise UnreadableInput(f"{folder}: not a server's data folder: no gateway.db in it")
    return SqliteLog(path, read_only=True)


def records_of(log: SqliteLog, folder: Path, subject: str) -> tuple[str, list[Record]]:
    """The customer's pseudonym and records in log order; ``subject`` is tried as a pseudonym first.

    No records when the customer is not known.
    """
    records = signals_of(log, subject)
    if records:
        return subject, records
    connection = open_database(folder / "gateway.db", read_only=True)
    try:
        vault = Vault(connection, load_keys(folder, random_id), random_id)
        pseudonym = vault.resolve("user", subject) or vault.resolve("anonymous", subject)
    finally:
        connection.close()
    return (pseudonym, signals_of(log, pseudonym)) if pseudonym else (subject, [])


def become(folder: Path, pseudonym: str) -> str | None:
    """The pseudonym that this one was joined into when the person signed in, if it was."""
    connection = open_database(folder / "gateway.db", read_only=True)
    try:
        return joined_into(connection, pseudonym)
    finally:
        connection.close()


def moment(text: str, option: str) -> int:
    """The moment that an option names (RFC 3339). Raises ``UnreadableInput``."""
    try:
        return parse_time(text)
    except ValueError as error:
        raise UnreadableInput(f"{option}: {error}") from None
