"""Checkpoints beside the commits: nothing is lost, nothing waits, and the WAL stays within bounds."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from forestall.kernel.database.files import open_database
from forestall.log import checkpoints
from forestall.log.port import LogFull
from forestall.log.sqlite import SqliteLog
from logsuite import batch
from syncs import watched_syncs

PAGE = 4_096


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY", 0.002)
    monkeypatch.setattr(checkpoints, "LARGEST", 50)
    monkeypatch.setattr(checkpoints, "LARGEST_KEPT", 100 * PAGE)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    with closing(SqliteLog(tmp_path / "log.db")) as log:
        yield log


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Waits until the thread has copied all that is committed."""
    copies, real = threading.Semaphore(0), checkpoints._copy

    def counted(own: sqlite3.Connection, mode: str) -> int:
        try:
            return real(own, mode)
        finally:
            copies.release()

    def wait() -> None:
        while copies.acquire(blocking=False):
            pass
        # The first was perhaps under way, and a turn is up to three.
        for _ in range(6):
            assert copies.acquire(timeout=30)

    monkeypatch.setattr(checkpoints, "_copy", counted)
    return wait


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def commit(log: SqliteLog, pages: int) -> None:
    log.commit([batch(payload=bytes(pages * PAGE), subjects=())])


def test_what_was_committed_comes_into_the_file(
    log: SqliteLog, tmp_path: Path, copied: Callable[[], None]
) -> None:
    with log.checkpoints_beside():
        commit(log, 30)
        copied()
        assert (tmp_path / "log.db").stat().st_size > 30 * PAGE


def test_no_commit_copies_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY", 3_600)
    with watched_syncs() as syncs, closing(SqliteLog(tmp_path / "log.db")) as log:
        with log.checkpoints_beside():
            syncs.names.clear()
            for _ in range(15):
                commit(log, 100)
            assert len(syncs.names) == 15
            assert all(name.endswith("-wal") for name in syncs.names)
        syncs.names.clear()
        commit(log, 1)
        assert any(name.endswith("log.db") for name in syncs.names)


def test_the_wal_is_begun_anew_while_commits_go_on(
    log: SqliteLog, tmp_path: Path, copied: Callable[[], None]
) -> None:
    with log.checkpoints_beside():
        for _ in range(60):
            commit(log, 10)
            copied()
        assert (tmp_path / "log.db-wal").stat().st_size < 100 * PAGE
        assert [found.position for found in log.follow("signals")] == list(range(1, 61))


def test_a_reader_that_stays_holds_up_only_the_beginning_anew(
    log: SqliteLog, tmp_path: Path, copied: Callable[[], None]
) -> None:
    wal = tmp_path / "log.db-wal"
    with log.checkpoints_beside(), closing(open_database(tmp_path / "log.db")) as reader:
        commit(log, 1)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM batches_signals").fetchone()
        for _ in range(30):
            commit(log, 10)
        copied()
        assert wal.stat().st_size > 300 * PAGE
        assert reader.execute("SELECT count(*) FROM batches_signals").fetchone() == (1,)
        reader.execute("ROLLBACK")
        copied()
        commit(log, 1)
        assert wal.stat().st_size <= 100 * PAGE
    assert log.last("signals") == 32


def test_what_the_writer_remembers_stays_good(log: SqliteLog, copied: Callable[[], None]) -> None:
    with log.checkpoints_beside():
        before = log._connection.execute("PRAGMA data_version").fetchone()
        for _ in range(3):
            commit(log, 60)
            copied()
        assert log._connection.execute("PRAGMA data_version").fetchone() == before


def test_it_ends_with_the_block_and_commits_copy_again(log: SqliteLog, tmp_path: Path) -> None:
    def broken() -> None:
        with log.checkpoints_beside():
            assert "checkpoints" in threads()
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert "checkpoints" not in threads()
    assert log._connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (1_000,)
    commit(log, 1)
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["log.db"]


def test_a_copy_that_fails_is_tried_again(
    log: SqliteLog, tmp_path: Path, copied: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, works = threading.Semaphore(0), checkpoints._copy

    def failing(_own: sqlite3.Connection, _mode: str) -> int:
        tried.release()
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(checkpoints, "_copy", failing)
    with log.checkpoints_beside():
        commit(log, 30)
        assert all(tried.acquire(timeout=30) for _ in range(3))
        monkeypatch.setattr(checkpoints, "_copy", works)
        copied()
        assert (tmp_path / "log.db").stat().st_size > 30 * PAGE


def test_where_there_is_no_room_to_begin_it_is_told_as_elsewhere(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path) -> sqlite3.Connection:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(checkpoints, "open_database", full)
    with pytest.raises(LogFull), log.checkpoints_beside():
        pass
    assert "checkpoints" not in threads()
