"""Consent and opt-out per subject, as the front door last heard them.

The gateway writes them in the transaction that appends the event; whoever is about to reach a
customer looks here once more, so that an engine that lags delays no stop.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from forestall.kernel.database.files import open_database

_SCHEMA = """
CREATE TABLE IF NOT EXISTS optouts (
    subject TEXT PRIMARY KEY, out INTEGER NOT NULL, time INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS consents (
    subject TEXT NOT NULL, purpose TEXT NOT NULL, granted INTEGER NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (subject, purpose)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stops (subject TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS stops_seq ON stops (seq);
CREATE TABLE IF NOT EXISTS joined (
    former TEXT PRIMARY KEY, current TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS joined_current ON joined (current);
"""
_OPT = """
INSERT INTO optouts VALUES (?, ?, ?) ON CONFLICT DO UPDATE
SET out = excluded.out, time = excluded.time
WHERE (excluded.time, excluded.out) > (time, out)
"""
_CONSENT = """
INSERT INTO consents VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
SET granted = excluded.granted, time = excluded.time
WHERE (excluded.time, NOT excluded.granted) > (time, NOT granted)
"""
_STOP = """
INSERT OR REPLACE INTO stops VALUES (?, (SELECT coalesce(max(seq), 0) + 1 FROM stops))
"""
_STOP_FORMER = """
INSERT OR REPLACE INTO stops
SELECT former, (SELECT coalesce(max(seq), 0) FROM stops) + row_number() OVER (ORDER BY former)
FROM joined WHERE current = ?
"""
STOPS_AT_ONCE = 500
"""Subjects that ``Door.stops`` names in one answer."""


class OptOut(msgspec.Struct, frozen=True):
    """Whether a subject opted out, and when they said so (microseconds)."""

    out: bool
    time: int


class Consent(msgspec.Struct, frozen=True):
    """Whether consent for a purpose stands, and when that was said (microseconds)."""

    granted: bool
    time: int


class DoorState(msgspec.Struct, frozen=True):
    """What a subject said; ``consents`` by purpose."""

    optout: OptOut | None = None
    consents: Mapping[str, Consent] = {}

    @property
    def opted_out(self) -> bool:
        """Whether nothing may reach them."""
        return self.optout is not None and self.optout.out

    def allows(self, purpose: str, *, require_consent: bool) -> bool:
        """Whether they may be reached for ``purpose`` at all."""
        consent = self.consents.get(purpose)
        return not self.opted_out and (
            not require_consent or (consent is not None and consent.granted)
        )


def lay(connection: sqlite3.Connection) -> None:
    """Make the door's tables where they are missing."""
    for statement in _SCHEMA.split(";\n"):
        connection.execute(statement)


def note(
    connection: sqlite3.Connection, subject: str, type_: str, time: int, data: Mapping[str, Any]
) -> None:
    """Write what an event says about consent or opt-out; other types change nothing.

    Of two statements the one with the later ``time`` stands, at equal times the stricter.
    """
    purpose = data.get("purpose")
    if type_ in ("forestall.optout", "forestall.optin"):
        connection.execute(_OPT, (subject, type_ == "forestall.optout", time))
        if type_ == "forestall.optout":
            _stop(connection, subject)
    elif type_ in ("forestall.consent.granted", "forestall.consent.withdrawn") and purpose:
        granted = type_ == "forestall.consent.granted"
        connection.execute(_CONSENT, (subject, purpose, granted, time))
        if not granted:
            _stop(connection, subject)


def _stop(connection: sqlite3.Connection, subject: str) -> None:
    """Name ``subject``, and all that it was before, among those who said no."""
    connection.execute(_STOP, (subject,))
    connection.execute(_STOP_FORMER, (subject,))


def join(connection: sqlite3.Connection, former: str, current: str) -> None:
    """Let ``current`` say the stricter of what the two say; where they agree, the later. From here
    on it speaks for ``former`` too."""
    before, now = read(connection, former), read(connection, current)
    connection.execute("UPDATE joined SET current = ? WHERE current = ?", (current, former))
    connection.execute("INSERT OR REPLACE INTO joined VALUES (?, ?)", (former, current))
    for subject in (former, current):
        connection.execute(_STOP, (subject,))
    if before.optout is not None:
        held, said = now.optout, before.optout
        if held is None or (said.out, said.time) > (held.out, held.time):
            connection.execute(
                "INSERT OR REPLACE INTO optouts VALUES (?, ?, ?)", (current, said.out, said.time)
            )
    for purpose, given in before.consents.items():
        kept = now.consents.get(purpose)
        if kept is None or (not given.granted, given.time) > (not kept.granted, kept.time):
            connection.execute(
                "INSERT OR REPLACE INTO consents VALUES (?, ?, ?, ?)",
                (current, purpose, given.granted, given.time),
            )


def read(connection: sqlite3.Connection, subject: str) -> DoorState:
    """What ``subject`` said."""
    out = connection.execute("SELECT out, time FROM optouts WHERE subject = ?", (subject,))
    row = out.fetchone()
    consents = connection.execute(
        "SELECT purpose, granted, time FROM consents WHERE subject = ?", (subject,)
    )
    return DoorState(
        OptOut(bool(row[0]), row[1]) if row else None,
        {purpose: Consent(bool(granted), time) for purpose, granted, time in consents},
    )


class Door:
    """A reader of the door in ``path`` (the gateway's file) for other processes."""

    def __init__(self, path: Path) -> None:
        self._connection = open_database(path, read_only=True)

    def state(self, subject: str) -> DoorState:
        """What ``subject`` said, or who it turned out to be, as of the newest commit."""
        found = self._connection.execute("SELECT current FROM joined WHERE former = ?", (subject,))
        row = found.fetchone()
        return read(self._connection, subject if row is None else row[0])

    def stops(self, after: int) -> tuple[int, list[str]]:
        """Subjects that may have said no since ``after``, oldest first and at most
        ``STOPS_AT_ONCE``, and up to where that goes; 0 is the beginning."""
        rows = self._connection.execute(
            "SELECT seq, subject FROM stops WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, STOPS_AT_ONCE),
        ).fetchall()
        return (rows[-1][0] if rows else after), [row[1] for row in rows]

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def __enter__(self) -> "Door":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
