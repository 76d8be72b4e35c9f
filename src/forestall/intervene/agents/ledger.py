"""The ledger of model calls: each is noted before it is sent, and its answer before anything follows.

The file ``agents.db`` in the data folder, written by the app process and read by the command line.
A call is known by the effect's key, its number and the hash of all that the model was given. What was
asked again under the same key is answered from here, byte for byte; a call that was begun and has no
answer, because the process died, is spent: it is never sent again. Lookups that an agent made are
noted as well, so that the model is given the same again.
"""

import sqlite3
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from forestall.contracts.instants import DAY
from forestall.intervene.agents.asking import Failure, ModelFailed, Said
from forestall.kernel.database.files import open_database

LEDGER_FILE = "agents.db"
KEPT = 30 * DAY
"""How long calls, their answers and lookups are kept: as long as signals are, by default."""

Ended = Literal["begun", "said", "failed", "cut-off"]

_TABLES = (
    "CREATE TABLE IF NOT EXISTS calls (key TEXT, number INTEGER, prompt TEXT NOT NULL,"
    " agent TEXT NOT NULL, model TEXT NOT NULL, at INTEGER NOT NULL, day INTEGER NOT NULL,"
    " ended TEXT NOT NULL, said BLOB, reason TEXT, retry_after INTEGER,"
    " tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, cost REAL NOT NULL,"
    " latency INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (key, number)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS calls_day ON calls (day, agent, tokens_in, tokens_out, cost)",
    "CREATE INDEX IF NOT EXISTS calls_at ON calls (at)",
    "CREATE TABLE IF NOT EXISTS looks (key TEXT, asked TEXT, at INTEGER NOT NULL,"
    " found BLOB NOT NULL, PRIMARY KEY (key, asked)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS looks_at ON looks (at)",
)
_COLUMNS = (
    "key, number, prompt, agent, model, at, ended, said, reason, retry_after, tokens_in,"
    " tokens_out, cost, latency"
)


class CutOff(Exception):
    """The call was begun by a process that died before the answer was noted: it is spent."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a model. ``at`` is wall time in microseconds, ``latency`` too; ``said`` is what
    was answered, where it was; ``reason`` why not. A call that is only ``begun`` counts with what it
    was allowed to take."""

    key: str
    number: int
    prompt: str
    agent: str
    model: str
    at: int
    ended: Ended
    said: Said | None = None
    reason: Failure | None = None
    retry_after: int | None = None
    tokens_in: int
    tokens_out: int
    cost: float
    latency: int = 0


class Spent(msgspec.Struct, frozen=True):
    """What calls took together."""

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        return self.tokens_in + self.tokens_out


class Ledger:
    """Opens the file at ``path``, and makes it if it is missing and this is not ``read_only``.

    Raises ``sqlite3.OperationalError``.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._connection = open_database(path, read_only=read_only)
        for statement in () if read_only else _TABLES:
            self._connection.execute(statement)

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def recall(self, key: str, number: int, prompt: str) -> Said | None:
        """What this call was answered before; none if it was never begun.

        Raises ``ModelFailed`` as it failed before, and ``CutOff`` where its answer was lost, or where
        something else was asked under this key and number: then what was noted answers another
        question, and nothing is paid for again.
        """
        call = self.call(key, number)
        if call is None:
            return None
        if call.ended == "failed" and call.prompt == prompt:
            raise ModelFailed(
                call.reason or "unreachable",
                retry_after=call.retry_after,
                tokens_in=call.tokens_in,
                tokens_out=call.tokens_out,
            )
        if call.ended != "said" or call.prompt != prompt:
            if call.ended == "begun":
                self._connection.execute(
                    "UPDATE calls SET ended = 'cut-off' WHERE key = ? AND number = ?", (key, number)
                )
            raise CutOff
        return call.said

    def begin(self, call: Call) -> None:
        """Note that a call is about to be sent: from here on it may have been paid for. ``tokens_in``,
        ``tokens_out`` and ``cost`` are the most that it may take. Durable on return.

        Raises ``sqlite3.IntegrityError`` where it was begun already.
        """
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.execute(
                "INSERT INTO calls (key, number, prompt, agent, model, at, day, ended, tokens_in,"
                " tokens_out, cost) VALUES (?, ?, ?, ?, ?, ?, ?, 'begun', ?, ?, ?)",
                (
                    call.key, call.number, call.prompt, call.agent, call.model, call.at,
                    call.at // DAY, call.tokens_in, call.tokens_out, call.cost,
                ),
            )  # fmt: skip
            self._connection.execute("DELETE FROM calls WHERE at < ?", (call.at - KEPT,))
            self._connection.execute("DELETE FROM looks WHERE at < ?", (call.at - KEPT,))
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def said(self, key: str, number: int, said: Said, cost: float, latency: int) -> None:
        """Note the answer, and what it took. Durable on return."""
        self._connection.execute(
            "UPDATE calls SET ended = 'said', said = ?, tokens_in = ?, tokens_out = ?, cost = ?,"
            " latency = ? WHERE key = ? AND number = ?",
            (
                msgspec.json.encode(said), said.tokens_in, said.tokens_out, cost, latency, key,
                number,
            ),
        )  # fmt: skip

    def failed(self, key: str, number: int, error: ModelFailed, cost: float, latency: int) -> None:
        """Note that there is no answer, and what it took all the same. Durable on return."""
        self._connection.execute(
            "UPDATE calls SET ended = 'failed', reason = ?, retry_after = ?, tokens_in = ?,"
            " tokens_out = ?, cost = ?, latency = ? WHERE key = ? AND number = ?",
            (
                error.reason, error.retry_after, error.tokens_in, error.tokens_out, cost, latency,
                key, number,
            ),
        )  # fmt: skip

    def found(self, key: str, asked: str) -> Any | None:
        """What the lookup ``asked`` was answered under this key before; none if it was not made."""
        row = self._connection.execute(
            "SELECT found FROM looks WHERE key = ? AND asked = ?", (key, asked)
        ).fetchone()
        return None if row is None else msgspec.json.decode(row[0])

    def keep(self, key: str, asked: str, found: Any, now: int) -> None:
        """Note what a lookup was answered, as JSON data. Durable on return."""
        self._connection.execute(
            "INSERT OR REPLACE INTO looks VALUES (?, ?, ?, ?)",
            (key, asked, now, msgspec.json.encode(found)),
        )

    def spent(self, day: int, agent: str | None = None) -> Spent:
        """What was spent on the day (days since 1970, UTC), by all agents or by one."""
        row = self._connection.execute(
            "SELECT count(*), total(tokens_in), total(tokens_out), total(cost) FROM calls"
            " WHERE day = ?1 AND (?2 IS NULL OR agent = ?2)",
            (day, agent),
        ).fetchone()
        return Spent(row[0], int(row[1]), int(row[2]), row[3])

    def calls(self, key: str) -> list[Call]:
        """The calls under an effect's key, in order."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM calls WHERE key = ? ORDER BY number",  # noqa: S608
            (key,),
        )
        return [_read(row) for row in rows.fetchall()]

    def recent(self, agent: str, limit: int = 20) -> list[Call]:
        """The newest calls of an agent, newest first."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM calls WHERE agent = ? ORDER BY at DESC, number DESC LIMIT ?",  # noqa: S608
            (agent, limit),
        )
        return [_read(row) for row in rows.fetchall()]

    def call(self, key: str, number: int) -> Call | None:
        """One call; none if it was never begun."""
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM calls WHERE key = ? AND number = ?",  # noqa: S608
            (key, number),
        ).fetchone()
        return None if row is None else _read(row)


def open_ledger(data: Path) -> Ledger | None:
    """The ledger of a data folder, for reading only; none where no agent ever asked."""
    try:
        return Ledger(data / LEDGER_FILE, read_only=True)
    except sqlite3.OperationalError:
        return None


def _read(row: tuple[Any, ...]) -> Call:
    said = None if row[7] is None else msgspec.json.decode(row[7], type=Said)
    return Call(
        key=row[0],
        number=row[1],
        prompt=row[2],
        agent=row[3],
        model=row[4],
        at=row[5],
        ended=cast("Ended", row[6]),
        said=said,
        reason=row[8],
        retry_after=row[9],
        tokens_in=row[10],
        tokens_out=row[11],
        cost=row[12],
        latency=row[13],
    )
