"""Quarantine: letters that did not pass, encrypted, until somebody mended what was wrong.

An entry's number is an HMAC of the letter, so that sending the same again adds nothing. In the
clear stand only the number, when it came, and the code.
"""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from forestall.ingest import counting
from forestall.ingest.letter import Letter, Refusal
from forestall.kernel.clock import Tokens
from forestall.privacy.keys import Keys

_SCHEMA = """
CREATE TABLE IF NOT EXISTS quarantine (
    id TEXT PRIMARY KEY, received INTEGER NOT NULL, code TEXT NOT NULL, sealed BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS quarantine_by_time ON quarantine (received, id);
"""


class Entry(msgspec.Struct, frozen=True):
    """One quarantined letter; ``event`` is the event's own id, where it could be read."""

    id: str
    received: int
    code: str
    path: str
    message: str
    event: str | None
    letter: Letter


class _Sealed(msgspec.Struct):
    path: str
    message: str
    event: str | None
    letter: Letter


_sealed = msgspec.json.Decoder(_Sealed)


def lay(connection: sqlite3.Connection) -> None:
    """Make the table where it is missing."""
    for statement in _SCHEMA.split(";\n"):
        connection.execute(statement)


KEPT = 10_000
"""Letters kept; beyond that the oldest go, so that nobody can fill the disk with refused ones."""


def put(connection: sqlite3.Connection, keys: Keys, ids: Tokens, refusal: Refusal) -> str:
    """Keep a refused letter; the entry's number. One already there stays as it is."""
    letter = refusal.letter
    number = keys.field(f"quarantine\x00{letter.sender.name}", _text(letter))[:16].hex()
    plain = msgspec.json.encode(_Sealed(refusal.path, refusal.message, refusal.id, letter))
    connection.execute(
        "INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?)",
        (number, letter.arrived, refusal.code, keys.box.seal(plain, number.encode(), ids)),
    )
    (kept,) = connection.execute("SELECT count(*) FROM quarantine").fetchone()
    if kept > KEPT:
        oldest = "SELECT id FROM quarantine ORDER BY received, id LIMIT ?"
        connection.execute(f"DELETE FROM quarantine WHERE id IN ({oldest})", (kept - KEPT,))  # noqa: S608
        counting.QUARANTINE_DROPPED.inc(kept - KEPT)
    return number


def entries(
    connection: sqlite3.Connection, keys: Keys, numbers: Sequence[str] | None = None
) -> Iterator[Entry]:
    """The entries named, or all, oldest first; a number that is not there is left out."""
    if numbers is None:
        sql = "SELECT * FROM quarantine ORDER BY received, id"
        rows: Iterator[tuple[str, int, str, bytes]] = iter(connection.execute(sql))
    else:
        sql = "SELECT * FROM quarantine WHERE id = ?"
        rows = (row for number in numbers for row in connection.execute(sql, (number,)))
    for number, received, code, sealed in rows:
        opened = _sealed.decode(keys.box.open(sealed, number.encode()))
        yield Entry(
            number, received, code, opened.path, opened.message, opened.event, opened.letter
        )


def release(connection: sqlite3.Connection, numbers: Sequence[str]) -> None:
    """Delete entries, because their letters came in after all."""
    connection.executemany("DELETE FROM quarantine WHERE id = ?", [(n,) for n in numbers])


def _text(letter: Letter) -> str:
    return f"{letter.form}\x00{letter.kind}\x00{letter.raw.decode('utf-8', 'backslashreplace')}"
