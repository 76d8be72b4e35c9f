"""The log as one SQLite file: a table and an index by subject per stream, one blob a batch.

A commit is one transaction and one fsync. Other processes read the file while it grows. ``index``
and ``pieces`` are the parts of the file that are more than a table.
"""

import re
import sqlite3
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from forestall.kernel.database.files import open_database
from forestall.log import checkpoints, index
from forestall.log import pieces as parts
from forestall.log.core import keys_of
from forestall.log.keys import subject_hash
from forestall.log.port import (
    BUCKETS,
    Append,
    Batch,
    LogBusy,
    LogFull,
    LogMissing,
    LogUnreadable,
    OutOfOrder,
    Piece,
)

_APPLICATION_ID = 0x4653_544C
_FORMAT = 2
_STREAM = re.compile(r"[a-z][a-z0-9_]{0,40}")

PAGES = 64_000_000
"""Bytes of pages that a writer keeps in memory, at most: rows in the order of a hash, such as the
gateway's identities, are written to pages anywhere."""

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
_BATCHES = """
CREATE TABLE batches_{0} (
    position INTEGER PRIMARY KEY, received INTEGER NOT NULL,
    count INTEGER NOT NULL, payload BLOB NOT NULL
);
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
        self._durable = True
        self._written_elsewhere = 0
        self._asked: tuple[Sequence[tuple[str, str]], bytes] = ((), b"")
        self._forget()
        if read_only and not path.exists():
            raise LogMissing(f"{path}: there is no log yet; start the process that writes it")
        with self.translated():
            self._connection = open_database(path, read_only=read_only)
            if not read_only:
                self._connection.execute(f"PRAGMA cache_size = {-PAGES // 1000}")
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
        pieces: Sequence[Piece] = (),
        durable: bool = True,
    ) -> Sequence[int]:
        """See ``Log.commit``. Inside a ``transaction`` that one says what is durable."""
        keys = [self._keys(append.subjects) for append in appends]
        with self._lock, self.translated(), self._transaction(durable=durable):
            positions = [self._append(*one) for one in zip(appends, keys, strict=True)]
            if cursors:
                self._connection.executemany(
                    "INSERT INTO cursors VALUES (?, ?)"
                    " ON CONFLICT DO UPDATE SET position = excluded.position",
                    cursors.items(),
                )
            if snapshots:
                self._connection.executemany(
                    "INSERT INTO snapshots VALUES (?, ?)"
                    " ON CONFLICT DO UPDATE SET content = excluded.content",
                    snapshots.items(),
                )
            if tick is not None:
                self._move_tick(tick)
            if pieces:
                parts.write(self._connection, pieces)
        self._commits += 1
        return positions

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection inside one transaction that ``commit`` joins.

        What the owner of the file writes beside the log is then kept with it or not at all.
        """
        with self._lock, self.translated(), self._transaction():
            yield self._connection

    def begin(self, *, durable: bool = True) -> sqlite3.Connection:
        """Begin what ``transaction`` is, in steps that may run in different threads.

        Until ``finish`` or ``abandon`` nobody else may call this object: no lock is held.
        """
        with self._lock, self.translated():
            if durable != self._durable:
                mode = "FULL" if durable else "NORMAL"
                self._connection.execute(f"PRAGMA synchronous = {mode}")
                self._durable = durable
            self._connection.execute("BEGIN IMMEDIATE")
            self._joined = True
            self._refresh()
            return self._connection

    def finish(self) -> None:
        """Keep what was written since ``begin``, durably; where that fails nothing is kept."""
        with self._lock, self.translated():
            try:
                self._connection.execute("COMMIT")
            except BaseException:
                self.abandon()
                raise
            self._joined = False

    def abandon(self) -> None:
        """Undo what was written since ``begin``."""
        with self._lock, self.translated():
            self._joined = False
            self._forget()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn SQLite's errors into the port's, also where the owner of the file writes beside the
        log; what is left is a bug and passes through."""
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

    def pieces(self, until: int) -> Iterator[tuple[str, bytes]]:
        """See ``Log.pieces``. They come bucket by bucket."""
        for bucket in range(BUCKETS):
            with self._lock, self.translated():
                found = parts.read(self._connection, until, bucket)
            yield from found.items()

    def drop_after(self, finished: int) -> None:
        """See ``Log.drop_after``."""
        with self._lock, self.translated(), self._transaction():
            parts.drop_after(self._connection, finished)
        self._commits += 1

    def of_subject(self, stream: str, subject: str) -> Sequence[int]:
        """See ``Log.of_subject``. In about one of 10^19 cases a batch is named without need."""
        with self._lock, self.translated():
            if not self._exists(stream):
                return []
            return self._index(stream).positions(subject_hash(subject))

    def newest_of(
        self, stream: str, pairs: Sequence[tuple[str, str]], *, since: int = 0
    ) -> Sequence[int | None]:
        """See ``Log.newest_of``. Meant for the writer: it keeps filters in memory (see ``index``)."""
        keys = keys_of(pairs)
        self._asked = list(pairs), keys
        with self._lock, self.translated():
            if not self._joined:
                self._refresh()
            if not self._exists(stream):
                return [None] * len(pairs)
            positions = self._index(stream).newest(keys, since)
            if not any(positions):
                return [None] * len(pairs)
            sql = "SELECT received FROM batches_{0} WHERE position = ?"
            received = {at: self._number(stream, sql, (at,)) for at in set(positions) if at}
            return [received.get(at) for at in positions]

    def version(self) -> int:
        """See ``Log.version``."""
        return int(self._rows("PRAGMA data_version")[0][0]) + self._commits

    def summary(self) -> Summary:
        """What the file holds, for people; reads every batch's header, no payload."""
        totals = (
            "SELECT count(*), total(count), ifnull(min(received), 0), ifnull(max(received), 0),"
            " total(length(payload)) FROM batches_{0}"
        )
        return Summary(
            tuple(
                StreamSummary(stream, *map(int, self._of_stream(stream, totals)[0]))
                for stream in self._all_streams()
            ),
            dict(self._rows("SELECT name, position FROM cursors ORDER BY name")),
            dict(self._rows("SELECT name, length(content) FROM snapshots ORDER BY name")),
            self.tick(),
        )

    @contextmanager
    def checkpoints_beside(self) -> Iterator[None]:
        """While it lasts, a thread copies from the WAL what else a commit would (``checkpoints``).

        Raises ``LogFull`` where there is no room for its beginning.
        """
        with ExitStack() as stack:
            with self.translated():
                stack.enter_context(checkpoints.beside(self._path, self._connection))
            yield

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
            self._check_format(read_only)
        elif application or tables:
            raise LogUnreadable(f"{self._path}: a database, but not a log; name another file")
        elif read_only:
            raise LogMissing(f"{self._path}: the log is still empty; its writer is just starting")
        else:
            self._lay()

    def _check_format(self, read_only: bool) -> None:
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found > _FORMAT:
            raise LogUnreadable(
                f"{self._path}: written by a newer Forestall (format {found}, this one reads"
                f" {_FORMAT}); upgrade Forestall"
            )
        if found < _FORMAT:
            if read_only:
                raise LogUnreadable(
                    f"{self._path}: written by an older Forestall (format {found}); start the"
                    " server once, which converts it"
                )
            self._convert()

    def _lay(self) -> None:
        with self._transaction():
            if self._connection.execute("PRAGMA application_id").fetchone()[0] == 0:
                self._script(_SCHEMA + parts.SCHEMA)
                self._connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._connection.execute(f"PRAGMA user_version = {_FORMAT}")

    def _convert(self) -> None:
        """Take over a file of format 1, which had a row an item for an index, and no pieces."""
        with self._transaction():
            if self._connection.execute("PRAGMA user_version").fetchone()[0] == _FORMAT:
                return
            self._script(parts.SCHEMA)
            for stream in self._all_streams():
                self._script(index.SCHEMA.format(stream))
                sql = f"SELECT position, subject, identity FROM items_{stream} ORDER BY position"  # noqa: S608 (a checked name)
                for position, items in groupby(self._connection.execute(sql), itemgetter(0)):
                    keys = (struct.pack("<qq", *hashes) for _, *hashes in items)
                    self._index(stream).add(position, b"".join(keys))
                self._connection.execute(f"DROP TABLE items_{stream}")
            self._connection.execute(f"PRAGMA user_version = {_FORMAT}")

    def _append(self, append: Append, keys: bytes) -> int:
        stream = append.stream
        if not self._exists(stream):
            self._script((_BATCHES + index.SCHEMA).format(stream))
        position, received = self._head(stream)
        if append.received < received:
            raise OutOfOrder(
                f"{self._path}: {stream}: received {append.received} is before {received}"
            )
        position += 1
        self._connection.execute(
            f"INSERT INTO batches_{stream} VALUES (?, ?, ?, ?)",  # noqa: S608 (a checked name)
            (position, append.received, append.count, append.payload),
        )
        self._heads[stream] = (position, append.received)
        self._index(stream).add(position, keys)
        return position

    def _head(self, stream: str) -> tuple[int, int]:
        """Position and ``received`` of the newest batch; remembered while we are the writer."""
        if stream not in self._heads:
            newest = "SELECT position, received FROM batches_{0} ORDER BY position DESC LIMIT 1"
            rows = self._rows(newest.format(stream))
            self._heads[stream] = rows[0] if rows else (0, 0)
        return self._heads[stream]

    def _keys(self, pairs: Sequence[tuple[str, str]]) -> bytes:
        """The keys of ``pairs``, about which ``newest_of`` was probably asked just before."""
        asked, keys = self._asked
        return keys if asked == pairs else keys_of(pairs)

    def _index(self, stream: str) -> index.SubjectIndex:
        if stream not in self._indexes:
            self._indexes[stream] = index.SubjectIndex(self._connection, stream)
        return self._indexes[stream]

    def _refresh(self) -> None:
        """Forget what is remembered of the file if another connection has written since."""
        ((version,),) = self._connection.execute("PRAGMA data_version")
        if version != self._written_elsewhere:
            self._forget()
            self._written_elsewhere = version

    def _forget(self) -> None:
        self._streams: set[str] = set()
        self._heads: dict[str, tuple[int, int]] = {}
        self._indexes: dict[str, index.SubjectIndex] = {}

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
        if stream not in self._streams:
            if not _STREAM.fullmatch(stream):
                raise ValueError(f"{stream!r} is no name of a stream")
            sql = "SELECT 1 FROM sqlite_schema WHERE name = ?"
            if self._rows(sql, (f"batches_{stream}",)):
                self._streams.add(stream)
        return stream in self._streams

    def _all_streams(self) -> list[str]:
        tables = self._rows("SELECT name FROM sqlite_schema WHERE name GLOB 'batches_*' ORDER BY 1")
        return [name.removeprefix("batches_") for (name,) in tables]

    def _of_stream(self, stream: str, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._rows(sql.format(stream), values) if self._exists(stream) else []

    def _number(self, stream: str, sql: str, values: Sequence[Any] = ()) -> int | None:
        rows = self._of_stream(stream, sql, values)
        return rows[0][0] if rows else None

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock, self.translated():
            return self._connection.execute(sql, values).fetchall()

    def _script(self, statements: str) -> None:
        """Run several statements inside the open transaction, which ``executescript`` would end."""
        for statement in statements.split(";\n"):
            self._connection.execute(statement)

    @contextmanager
    def _transaction(self, *, durable: bool = True) -> Iterator[None]:
        if self._joined:
            yield
            return
        self.begin(durable=durable)
        try:
            yield
        except BaseException:
            self.abandon()
            raise
        self.finish()
