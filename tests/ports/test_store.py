"""The one store on both databases, and what is special about each."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from databases import postgres
from forestall.intervene.store import Store, StoreMissing, StoreOutdated
from forestall.kernel.database.tables import TROUBLE, DatabaseInUse, DatabaseUnavailable
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


class TestPostgres(_Opened):
    """A database on a real server."""

    @pytest.fixture(autouse=True)
    def _on_a_server(self) -> Iterator[None]:
        self.url = postgres().database()
        yield from self._serve(self.url)

    def test_there_is_one_writer(self) -> None:
        first = self.open()
        with pytest.raises(DatabaseInUse, match="another server writes"):
            Store(self.url)
        self.open(read_only=True)
        first.close()
        self.open()

    def test_what_must_be_durable_waits_for_the_disk(self) -> None:
        store = self.open()

        def waits() -> Any:
            return store.database.run(sa.text("SHOW synchronous_commit")).scalar_one()

        with store.transaction(durable=False):
            assert waits() == "off"
        with store.transaction():
            assert waits() == "on"

    def test_an_outage_ends_nothing_and_loses_nothing(self) -> None:
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
