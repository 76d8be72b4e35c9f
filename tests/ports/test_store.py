"""The one store on both databases, and what is special about each."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from databases import postgres
from forestall.intervene.store import Store, StoreMissing, StoreOutdated
from forestall.kernel.database import tables
from forestall.kernel.database.tables import TROUBLE, DatabaseInUse, DatabaseUnavailable
from running import until
from storesuite import StoreSuite, add


class _Opened(StoreSuite):
    """Closes what a test opened."""

    def _serve(self, where: Path | str) -> Iterator[None]:
        opened = []

        def open_(**how: Any) -> Store:
            opened.append(Store(where, **how))
            return opened[-1]

        self.open = open_
        yield
        for store in opened:
            store.close()


class TestSqlite(_Opened):
    """A file in the data folder."""

    @pytest.fixture(autouse=True)
    def _in_a_file(self, tmp_path: Path) -> Iterator[None]:
        self.file = tmp_path / "app.db"
        yield from self._serve(self.file)

    def test_a_folder_without_a_store_is_named(self) -> None:
        with pytest.raises(StoreMissing, match=r"app\.db: there is no such file"):
            self.open(read_only=True)

    def test_what_only_moves_cursors_waits_for_no_disk(self) -> None:
        store = self.open()

        def waits() -> int:
            value = store.database.run(sa.text("PRAGMA synchronous")).scalar_one()
            assert isinstance(value, int)
            return value

        with store.transaction(durable=False):
            assert waits() == 1
        assert waits() == 2
        with store.transaction():
            assert waits() == 2
        with pytest.raises(RuntimeError), store.transaction(durable=False):
            raise RuntimeError
        assert waits() == 2

    def test_it_is_a_file_that_others_may_read_while_it_is_written(self) -> None:
        self.open()
        connection = sqlite3.connect(self.file)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.close()

    def test_the_tables_of_the_first_release_are_refused(self) -> None:
        connection = sqlite3.connect(self.file)
        connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT)")
        connection.execute("CREATE TABLE interventions (id TEXT)")
        connection.execute("PRAGMA user_version = 1")
        connection.close()
        with pytest.raises(StoreOutdated, match="move it away"):
            self.open()


def _shown(store: Store, setting: str) -> Any:
    """A setting of the store's session."""
    return store.database.run(sa.text(f"SHOW {setting}")).scalar_one()


def _queued(store: Store) -> bool:
    """Whether somebody waits for a lock of this database that another holds."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'"
    return bool(store.database.run(sa.text(f"{waiting} AND datname = current_database()")).scalar())


def _works(store: Store) -> bool:
    try:
        store.cursor("signals")
    except TROUBLE:
        return False
    return True


class TestPostgres(_Opened):
    """A database on a real server."""

    @pytest.fixture(autouse=True)
    def _on_a_server(self) -> Iterator[None]:
        self.url = postgres().database()
        yield from self._serve(self.url)

    def test_there_is_one_writer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tables, "PATIENCE", 0.2)
        first = self.open()
        with pytest.raises(DatabaseInUse, match=r"still did after 0\.2 seconds; stop it"):
            Store(self.url)
        self.open(read_only=True)
        first.close()
        self.open()

    def test_who_opens_waits_for_the_lock_of_the_one_before(self) -> None:
        first, watching = self.open(), self.open(read_only=True)
        with ThreadPoolExecutor(1) as thread:
            second = thread.submit(self.open)
            until(lambda: _queued(watching))
            assert not second.done()
            first.close()
            store = second.result(30)
        assert _shown(store, "lock_timeout") == "10s", "what it waits for later is as before"
        add(store, "abc1")

    def test_one_restart_after_the_other(self) -> None:
        """PostgreSQL ends a session a moment after its connection is closed."""
        for number in range(20):
            store = self.open()
            assert len(store.newest()) == number
            add(store, f"abc{number}")
            store.close()

    def test_a_session_that_lost_its_lock_is_in_trouble_until_the_other_ends(self) -> None:
        """It does not end the server: as a rule the other is our own, not yet seen to be gone."""
        store, watching = self.open(), self.open(read_only=True)
        with ThreadPoolExecutor(1) as thread:
            taken = thread.submit(self.open)
            until(lambda: _queued(watching))
            with pytest.raises(TROUBLE):
                store.database.run(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
            other = taken.result(30)
        for _ in range(2):
            with pytest.raises(TROUBLE, match="another session has the lock"):
                store.cursor("signals")
        other.close()
        until(lambda: _works(store))

    def test_what_must_be_durable_waits_for_the_disk(self) -> None:
        store = self.open()
        with store.transaction(durable=False):
            assert _shown(store, "synchronous_commit") == "off"
        with store.transaction():
            assert _shown(store, "synchronous_commit") == "on"

    def test_an_outage_ends_nothing_and_loses_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tables, "PATIENCE", 0.2)
        store = self.open()
        add(store, "abc1")
        postgres().stop()
        for _ in range(2):
            with pytest.raises(TROUBLE):
                store.cursor("signals")
        postgres().start()
        assert [one.id for one in store.newest()] == ["abc1"]
        with pytest.raises(DatabaseInUse):
            Store(self.url)

    def test_a_connection_that_breaks_within_a_transaction_leaves_nothing_of_it(self) -> None:
        store = self.open()
        cut = sa.text("SELECT pg_terminate_backend(pg_backend_pid())")

        def half() -> None:
            with store.transaction():
                store.move("signals", 7)
                with pytest.raises(TROUBLE):
                    store.database.run(cut)
                store.move("decisions", 8)

        with pytest.raises(sa.exc.PendingRollbackError):
            half()
        assert (store.cursor("signals"), store.cursor("decisions")) == (0, 0)

    def test_a_server_that_is_not_there_is_named_without_its_password(self) -> None:
        with pytest.raises(DatabaseUnavailable) as refused:
            Store("postgresql+psycopg://me:hush@127.0.0.1:1/forestall")
        assert "hush" not in str(refused.value)
        assert "127.0.0.1" in str(refused.value)
        assert "[database] url" in str(refused.value)
