"""The log as one SQLite file: a table and an index by subject per stream, one blob a batch.

A commit is one transaction and one fsync. Other processes read the file while it grows.
"""

import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from forestall.kernel.database import open_database
from forestall.log.port import (
    Append,
    Batch,
    LogBusy,
    LogFull,
    LogMissing,
    LogUnreadable,
    OutOfOrder,
)

_APPLICATION_ID = 0x4653_544C
_FORMAT = 1
_STREAM = re.compile(r"[a-z][a-z0-9_]{0,40}")

_UNREADABLE = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
)

_SCHEMA = """
CREATE TABLE cursors (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE snapshots (name TEXT PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE ticks (one INTEGER PRIMARY KEY CHECK (one = 1), tick INTEGER NOT NULL);
"""
_SCHEMA_OF_STREAM = """
CREATE TABLE batches_{0} (
    position INTEGER PRIMARY KEY, received INTEGER NOT NULL,
    count INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE TABLE items_{0} (
    subject INTEGER NOT NULL, identity INTEGER NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (subject, identity, position)
) WITHOUT ROWID;
"""


class StreamSummary(msgspec.Struct, frozen=True):
    """How much one stream holds; ``first`` and ``last`` are log times, ``bytes`` of payload."""

    stream: str
    batches: int
    items: int
    first: int
    last: int
    bytes: int


class Summary(msgspec.Struct, frozen=True):
    """What a file holds; ``snapshots`` gives the size of each in bytes."""

    streams: tuple[StreamSummary, ...]
    cursors: dict[str, int]
    snapshots: dict[str, int]
    tick: int


class SqliteLog:
    """A ``Log`` in the file ``path``, which is created where missing unless ``read_only``.

    Calls from several threads take turns; to read while another thread commits, open a second,
    read-only one. Raises ``LogMissing`` and ``LogUnreadable``.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._commits = 0
        self._joined = False
        self._streams: set[str] = set()
        if read_only and not path.exists():
            raise LogMissing(f"{path}: there is no log yet; start the process that writes it")
        with self._translated():
            self._connection = open_database(path, read_only=read_only)
            try:
                self._prepare(read_only)
            except BaseException:
                self._connection.close()
                raise

    def commit(
        self,
        appends: Sequence[Append] = (),
        *,
        cursors: Mapping[str, int] | None = None,
        snapshots: Mapping[str, bytes] | None = None,
        tick: int | None = None,
    ) -> Sequence[int]:
        """See ``Log.commit``."""
        rows = [(append, _index(append.subjects)) for append in appends]
        with self._lock, self._translated(), self._transaction():
            positions = [self._append(append, index) for append, index in rows]
            self._connection.executemany(
                "INSERT INTO cursors VALUES (?, ?)"
                " ON CONFLICT DO UPDATE SET position = excluded.position",
                (cursors or {}).items(),
            )
            self._connection.executemany(
                "INSERT INTO snapshots VALUES (?, ?)"
                " ON CONFLICT DO UPDATE SET content = excluded.content",
                (snapshots or {}).items(),
            )
            if tick is not None:
                self._move_tick(tick)
            whole = not self._joined
        self._commits += 1
        if whole:
            self._streams.update(append.stream for append in appends)
        return positions

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection inside one transaction that ``commit`` joins.

        What the owner of the file writes beside the log is then kept with it or not at all.
        """
        with self._lock, self._translated(), self._transaction():
            self._joined = True
            try:
                yield self._connection
            finally:
                self._joined = False

    def read(self, stream: str, *, after: int = 0, limit: int = 100) -> Sequence[Batch]:
        """See ``Log.read``."""
        rows = self._of_stream(
            stream,
            "SELECT position, received, count, payload FROM batches_{0}"
            " WHERE position > ? ORDER BY position LIMIT ?",
            (after, limit),
        )
        return [Batch(*row) for row in rows]

    def follow(self, stream: str, *, after: int = 0) -> Iterator[Batch]:
        """See ``Log.follow``."""
        while page := self.read(stream, after=after, limit=16):
            yield from page
            after = page[-1].position

    def last(self, stream: str) -> int:
        """See ``Log.last``."""
        return self._number(stream, "SELECT max(position) FROM batches_{0}") or 0

    def received(self, stream: str) -> int:
        """See ``Log.received``."""
        newest = "SELECT received FROM batches_{0} ORDER BY position DESC LIMIT 1"
        return self._number(stream, newest) or 0

    def cursor(self, name: str) -> int:
        """See ``Log.cursor``."""
        rows = self._rows("SELECT position FROM cursors WHERE name = ?", (name,))
        return rows[0][0] if rows else 0

    def tick(self) -> int:
        """See ``Log.tick``."""
        rows = self._rows("SELECT tick FROM ticks")
        return rows[0][0] if rows else 0

    def snapshot(self, name: str) -> bytes | None:
        """See ``Log.snapshot``."""
        rows = self._rows("SELECT content FROM snapshots WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    def of_subject(self, stream: str, subject: str) -> Sequence[int]:
        """See ``Log.of_subject``. In about one of 10^19 cases a batch is named without need."""
        sql = "SELECT DISTINCT position FROM items_{0} WHERE subject = ? ORDER BY position"
        rows = self._of_stream(stream, sql, (_hash(subject, b"subject"),))
        return [position for (position,) in rows]

    def newest(self, stream: str, subject: str, identity: str) -> int | None:
        """See ``Log.newest``."""
        sql = (
            "SELECT received FROM batches_{0} WHERE position ="
            " (SELECT max(position) FROM items_{0} WHERE subject = ? AND identity = ?)"
        )
        return self._number(stream, sql, (_hash(subject, b"subject"), _hash(identity, b"identity")))

    def version(self) -> int:
        """See ``Log.version``."""
        return int(self._rows("PRAGMA data_version")[0][0]) + self._commits

    def summary(self) -> Summary:
        """What the file holds, for people; reads every batch's header, no payload."""
        tables = self._rows("SELECT name FROM sqlite_schema WHERE name GLOB 'batches_*' ORDER BY 1")
        streams = [name.removeprefix("batches_") for (name,) in tables]
        totals = (
            "SELECT count(*), total(count), ifnull(min(received), 0), ifnull(max(received), 0),"
            " total(length(payload)) FROM batches_{0}"
        )
        return Summary(
            tuple(
                StreamSummary(stream, *map(int, self._of_stream(stream, totals)[0]))
                for stream in streams
            ),
            dict(self._rows("SELECT name, position FROM cursors ORDER BY name")),
            dict(self._rows("SELECT name, length(content) FROM snapshots ORDER BY name")),
            self.tick(),
        )

    def close(self) -> None:
        """See ``Log.close``."""
        with self._lock:
            self._connection.close()

    def _prepare(self, read_only: bool) -> None:
        """Lay the tables in an empty file; refuse a file that is something else."""
        tables = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        # After the tables: its writer, just starting, lays both in one transaction.
        application = self._connection.execute("PRAGMA application_id").fetchone()[0]
        if application == _APPLICATION_ID:
            found = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if found > _FORMAT:
                raise LogUnreadable(
                    f"{self._path}: written by a newer Forestall (format {found}, this one reads"
                    f" {_FORMAT}); upgrade Forestall"
                )
        elif application or tables:
            raise LogUnreadable(f"{self._path}: a database, but not a log; name another file")
        elif read_only:
            raise LogMissing(f"{self._path}: the log is still empty; its writer is just starting")
        else:
            self._lay()

    def _lay(self) -> None:
        with self._transaction():
            if self._connection.execute("PRAGMA application_id").fetchone()[0] == 0:
                self._script(_SCHEMA)
                self._connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._connection.execute(f"PRAGMA user_version = {_FORMAT}")

    def _append(self, append: Append, index: list[tuple[int, int]]) -> int:
        if not self._exists(append.stream):
            self._script(_SCHEMA_OF_STREAM.format(append.stream))
        sql = (
            f"SELECT position, received FROM batches_{append.stream} ORDER BY position DESC LIMIT 1"  # noqa: S608 (a checked name)
        )
        position, received = self._connection.execute(sql).fetchone() or (0, 0)
        if append.received < received:
            raise OutOfOrder(
                f"{self._path}: {append.stream}: received {append.received} is before {received}"
            )
        position += 1
        self._connection.execute(
            f"INSERT INTO batches_{append.stream} VALUES (?, ?, ?, ?)",  # noqa: S608
            (position, append.received, append.count, append.payload),
        )
        self._connection.executemany(
            f"INSERT OR IGNORE INTO items_{append.stream} VALUES (?, ?, {position})",  # noqa: S608
            index,
        )
        return position

    def _move_tick(self, tick: int) -> None:
        moved = self._connection.execute(
            "INSERT INTO ticks VALUES (1, ?)"
            " ON CONFLICT DO UPDATE SET tick = excluded.tick WHERE excluded.tick >= tick",
            (tick,),
        )
        if moved.rowcount == 0:
            raise OutOfOrder(f"{self._path}: the tick {tick} is before {self.tick()}")

    def _exists(self, stream: str) -> bool:
        """Whether the stream has tables; raises ``ValueError`` where its name could not have."""
        if stream in self._streams:
            return True
        if not _STREAM.fullmatch(stream):
            raise ValueError(f"{stream!r} is no name of a stream")
        sql = "SELECT 1 FROM sqlite_schema WHERE name = ?"
        return bool(self._rows(sql, (f"batches_{stream}",)))

    def _of_stream(self, stream: str, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            if stream not in self._streams:
                if not self._exists(stream):
                    return []
                if not self._connection.in_transaction:
                    self._streams.add(stream)
            return self._rows(sql.format(stream), values)

    def _number(self, stream: str, sql: str, values: Sequence[Any] = ()) -> int | None:
        rows = self._of_stream(stream, sql, values)
        return rows[0][0] if rows else None

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock, self._translated():
            return self._connection.execute(sql, values).fetchall()

    def _script(self, statements: str) -> None:
        """Run several statements inside the open transaction, which ``executescript`` would end."""
        for statement in statements.split(";\n"):
            self._connection.execute(statement)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._joined:
            yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn SQLite's errors into the port's; what is left is a bug and passes through."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                raise LogFull(
                    f"{self._path}: {error}; nothing was written. Free space on the disk and retry"
                ) from error
            if primary == sqlite3.SQLITE_BUSY:
                raise LogBusy(
                    f"{self._path}: another process is writing here; stop the second server"
                ) from error
            if primary in _UNREADABLE:
                raise LogUnreadable(
                    f"{self._path}: {error}; check the path and its permissions, or restore the"
                    " file from a backup"
                ) from error
            raise


def _hash(text: str, role: bytes) -> int:
    """64 bits of BLAKE2b, as SQLite's signed integer; a name hashes differently in each role."""
    digest = blake2b(text.encode(), digest_size=8, person=role).digest()
    return int.from_bytes(digest, "little", signed=True)


def _index(subjects: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
    """The hashed pairs, ascending, as the index wants to be written."""
    hashes = {subject: _hash(subject, b"subject") for subject in {pair[0] for pair in subjects}}
    return sorted((hashes[subject], _hash(identity, b"identity")) for subject, identity in subjects)
