"""What has to survive a restart: how often actions ran, what has begun, and how to undo it.

The file ``actions.db`` in the data folder, shared by the server and the command line.
"""

from pathlib import Path
from typing import Any

import msgspec

from forestall.contracts.instants import DAY
from forestall.kernel.database.files import open_database
from forestall.policy.actions.model import Rate

NOTES_FILE = "actions.db"
KEPT = 30 * DAY
"""How long it is known how to undo something."""

_TABLES = (
    "CREATE TABLE IF NOT EXISTS runs"
    " (action TEXT, key TEXT, at INTEGER NOT NULL, PRIMARY KEY (action, key))",
    "CREATE INDEX IF NOT EXISTS runs_at ON runs (action, at)",
    "CREATE TABLE IF NOT EXISTS undos (key TEXT PRIMARY KEY, at INTEGER NOT NULL, undo TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS begun (key TEXT PRIMARY KEY, at INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS by_hand (at INTEGER NOT NULL, action TEXT NOT NULL, key TEXT NOT NULL,"
    " person TEXT NOT NULL, why TEXT NOT NULL, outcome TEXT NOT NULL)",
)


class ByHand(msgspec.Struct, frozen=True):
    """An action that a person ran from the command line; ``at`` in microseconds."""

    at: int
    action: str
    key: str
    person: str
    why: str
    outcome: str


class Notes:
    """Opens the file at ``path``, and makes it if it is missing. Raises ``sqlite3.OperationalError``."""

    def __init__(self, path: Path) -> None:
        self._connection = open_database(path)
        for statement in _TABLES:
            self._connection.execute(statement)

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def admit(self, action: str, key: str, rate: Rate, now: int) -> int | None:
        """Count one run, or say in how many microseconds there is room for it.

        A repetition of a key counts once.
        """
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        try:
            run("DELETE FROM runs WHERE action = ? AND at <= ?", (action, now - rate.within))
            known = run("SELECT 1 FROM runs WHERE action = ? AND key = ?", (action, key)).fetchone()
            times = run("SELECT at FROM runs WHERE action = ? ORDER BY at", (action,)).fetchall()
            wait = None
            if known is None and len(times) >= rate.most:
                wait = max(1, times[len(times) - rate.most][0] + rate.within - now)
            elif known is None:
                run("INSERT INTO runs VALUES (?, ?, ?)", (action, key, now))
        except BaseException:
            run("ROLLBACK")
            raise
        run("COMMIT")
        return wait

    def begin(self, key: str, now: int) -> None:
        """Remember that the effect ``key`` is being carried out: from here on it may have happened."""
        self._connection.execute("DELETE FROM begun WHERE at < ?", (now - KEPT,))
        self._connection.execute("INSERT OR REPLACE INTO begun VALUES (?, ?)", (key, now))

    def has_begun(self, key: str) -> bool:
        """Whether the effect ``key`` may have happened."""
        row = self._connection.execute("SELECT 1 FROM begun WHERE key = ?", (key,)).fetchone()
        return row is not None

    def did_not_happen(self, key: str) -> None:
        """It is sure that the effect ``key`` did not happen, or not any more."""
        self._connection.execute("DELETE FROM begun WHERE key = ?", (key,))

    def keep_undo(self, key: str, arguments: dict[str, Any], now: int) -> None:
        """Remember with which arguments to undo the effect ``key``."""
        text = msgspec.json.encode(arguments).decode()
        self._connection.execute("DELETE FROM undos WHERE at < ?", (now - KEPT,))
        self._connection.execute("INSERT OR REPLACE INTO undos VALUES (?, ?, ?)", (key, now, text))

    def undo(self, key: str) -> dict[str, Any] | None:
        """With which arguments to undo the effect ``key``; none if that is not known."""
        row = self._connection.execute("SELECT undo FROM undos WHERE key = ?", (key,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0])

    def forget_undo(self, key: str) -> None:
        """It was undone."""
        self._connection.execute("DELETE FROM undos WHERE key = ?", (key,))

    def note_by_hand(self, run: ByHand) -> None:
        """Remember who ran an action from the command line, and why."""
        self._connection.execute(
            "INSERT INTO by_hand VALUES (?, ?, ?, ?, ?, ?)", msgspec.structs.astuple(run)
        )

    def by_hand(self, limit: int = 100) -> list[ByHand]:
        """The newest runs from the command line, newest first."""
        rows = self._connection.execute(
            "SELECT at, action, key, person, why, outcome FROM by_hand ORDER BY at DESC LIMIT ?",
            (limit,),
        )
        return [ByHand(*row) for row in rows.fetchall()]
