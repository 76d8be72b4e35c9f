"""Tables on SQLite or PostgreSQL, through SQLAlchemy Core.

On PostgreSQL one session holds a lock as long as it writes, so that there is one writer; and there
are time limits on everything.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import NullPool

from forestall.contracts.errors import ForestallError
from forestall.kernel.database.files import open_database

TROUBLE = (sqlite3.OperationalError, sa.exc.OperationalError, sa.exc.InterfaceError)
"""What a disk or a database that does not work at the moment raises; a later try may do better."""

_ONE_WRITER = 5_063_317_246_093_151_301
"""The advisory lock of the writer, one for a PostgreSQL database."""

PATIENCE = 15.0
"""Seconds that who opens waits for the writer's lock. PostgreSQL lets it go a moment after its holder
has closed the connection, and after 11 seconds where the holder's machine is gone."""

_SESSION = (
    "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"
    " -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=3 -c tcp_keepalives_count=2"
    " -c default_transaction_read_only={}"
)

_log = structlog.get_logger("database")


class DatabaseUnavailable(ForestallError):
    """PostgreSQL cannot be reached, or lets us not in; see ``[database] url``."""

    code = "database-unavailable"
    exit_code = 2


class DatabaseInUse(ForestallError):
    """Another server writes into this PostgreSQL database; give each deployment its own."""

    code = "database-in-use"
    exit_code = 2


class Database:
    """Tables in the SQLite file ``where``, or in PostgreSQL if that is a URL. Holds one connection,
    which is opened again after it broke; belongs to one thread.

    Whoever is not ``read_only`` is the one writer: the file's by the caller's lock, PostgreSQL's by
    one that is taken here, for which who opens waits ``PATIENCE``. A connection that is opened again
    waits for nothing: where another session has the lock, that is ``TROUBLE`` like any other.
    Raises ``DatabaseUnavailable`` and ``DatabaseInUse``.
    """

    def __init__(self, where: Path | str, *, read_only: bool = False) -> None:
        self.in_file = isinstance(where, Path)
        self.read_only = read_only
        self._inside = False
        self._prepared: dict[int, tuple[str, dict[str, Any], list[str]]] = {}
        self._patience = PATIENCE
        self.engine = (
            _file(where, read_only) if isinstance(where, Path) else _server(where, read_only)
        )
        if not (self.in_file or read_only):
            sa.event.listen(self.engine, "connect", self._claim)
        try:
            self._connection = self.engine.connect()
        except sa.exc.OperationalError as error:
            if self.in_file:
                raise
            raise DatabaseUnavailable(
                f"{self.engine.url.render_as_string()}: {first_line(error)}; see [database] url"
            ) from None
        self._patience = 0
        self._raw: Any = self._connection.connection.driver_connection

    def close(self) -> None:
        """Let the connection go, and with it the lock."""
        self._connection.close()
        self.engine.dispose()

    def run(
        self,
        statement: sa.Executable,
        values: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
    ) -> sa.CursorResult[*tuple[Any, ...]]:
        """Execute ``statement``, once or for each of ``values``. Outside a ``transaction`` it is
        committed at once. Raises ``TROUBLE``."""
        self._mend()
        return self._connection.execute(statement, values)

    def hot(self, statement: sa.Executable, values: dict[str, Any]) -> Any:
        """``run`` for the statements of every event: in a file the prepared text goes straight to
        SQLite, which saves 25 µs each. The answer has ``fetchone``, ``rowcount`` and rows.
        ``statement`` must live as long as this."""
        if not self.in_file:
            return self.run(statement, values)
        prepared = self._prepared.get(id(statement))
        if prepared is None:
            compiled: Any = statement.compile(self.engine, column_keys=list(values))  # type: ignore[attr-defined]
            prepared = str(compiled), compiled.params, compiled.positiontup
            self._prepared[id(statement)] = prepared
        text, defaults, order = prepared
        given = defaults | values
        return self._raw.execute(text, [given[name] for name in order])

    @property
    def inside(self) -> bool:
        """Whether a ``transaction`` has begun and not ended."""
        return self._inside

    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """An ``INSERT`` that knows ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
        return sqlite.insert(table) if self.in_file else postgresql.insert(table)

    def lay(self, metadata: sa.MetaData) -> None:
        """Make these tables."""
        metadata.create_all(self._connection, checkfirst=False)

    def has(self, table: sa.Table) -> bool:
        """Whether there is such a table."""
        return sa.inspect(self._connection).has_table(table.name)

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """Everything run inside is committed together, or rolled back when it raises.

        What is not ``durable`` may be undone by a loss of power until the next durable commit.
        Raises ``TROUBLE``, after which it is uncertain whether the commit happened.
        """
        self._mend()
        say = self._raw.execute if self.in_file else self._connection.exec_driver_sql
        if self.in_file:
            say(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        say("BEGIN IMMEDIATE" if self.in_file else "BEGIN")
        self._inside = True
        try:
            if not (durable or self.in_file):
                say("SET LOCAL synchronous_commit = off")
            yield
            say("COMMIT")
        except BaseException:
            if not self._connection.invalidated:
                say("ROLLBACK")
            raise
        finally:
            self._inside = False
            if self.in_file:
                say("PRAGMA synchronous = FULL")

    def _mend(self) -> None:
        """Let a broken connection be opened anew, but never in the middle of a transaction."""
        if self._connection.invalidated and not self._inside:
            self._connection.rollback()

    def _claim(self, connection: Any, _: object) -> None:
        """Be the one writer from here on."""
        import psycopg

        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_try_advisory_lock({_ONE_WRITER})")
            if cursor.fetchone()[0]:
                return
            if not self._patience:
                connection.close()
                raise psycopg.OperationalError("another session has the lock of the one writer")
            _log.warning(
                "another server writes into this PostgreSQL database, or has just stopped;"
                " waiting for its lock",
                seconds=self._patience,
            )
            cursor.execute(f"SET lock_timeout = {self._patience * 1000:.0f}")
            try:
                cursor.execute(f"SELECT pg_advisory_lock({_ONE_WRITER})")
            except psycopg.errors.LockNotAvailable:
                connection.close()
                raise DatabaseInUse(
                    f"another server writes into this PostgreSQL database, and still did after"
                    f" {self._patience:g} seconds; stop it, or give each deployment a database of"
                    " its own under [database] url"
                ) from None
            cursor.execute("RESET lock_timeout")


def _file(path: Path, read_only: bool) -> sa.Engine:
    return sa.create_engine(
        "sqlite://",
        creator=lambda: open_database(path, read_only=read_only),
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
    )


def _server(url: str, read_only: bool) -> sa.Engine:
    return sa.create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
        connect_args={
            "connect_timeout": 10,
            "keepalives_idle": 10,
            "tcp_user_timeout": 30_000,
            "options": _SESSION.format("on" if read_only else "off"),
        },
    )


def first_line(error: Exception) -> str:
    """What ``TROUBLE`` says, in one line and without the statement."""
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0] if said else type(error).__name__
