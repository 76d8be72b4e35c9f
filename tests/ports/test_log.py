"""What every log does, proved for the in-memory twin and for SQLite."""

import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forestall.kernel.database import open_database
from forestall.log.memory import Crash, MemoryLog
from forestall.log.port import Append, Log, LogBusy, LogFull, LogMissing, LogUnreadable, OutOfOrder
from forestall.log.sqlite import SqliteLog


def batch(
    stream: str = "signals",
    received: int = 10,
    payload: bytes = b"[1]",
    subjects: tuple[tuple[str, str], ...] = (("s1", "e1"),),
) -> Append:
    return Append(stream, received, max(1, len(subjects)), payload, subjects)


class LogSuite:
    """The abstract suite: a subclass gives ``open``, called again to reopen the same log."""

    open: Callable[[], Log]

    def test_an_empty_log_answers_everything(self) -> None:
        log = self.open()
        assert list(log.read("signals")) == []
        assert list(log.follow("signals")) == []
        assert (log.last("signals"), log.received("signals"), log.tick()) == (0, 0, 0)
        assert (log.cursor("worker"), log.snapshot("worker")) == (0, None)
        assert list(log.of_subject("signals", "s1")) == []
        assert log.newest("signals", "s1", "e1") is None
        log.close()

    def test_positions_count_from_one_in_each_stream(self) -> None:
        log = self.open()
        assert list(log.commit([batch(received=5), batch("control"), batch(received=6)])) == [
            1,
            1,
            2,
        ]
        assert list(log.commit([batch(received=6)])) == [3]
        assert [found.position for found in log.read("signals")] == [1, 2, 3]
        assert (log.last("signals"), log.last("control"), log.last("decisions")) == (3, 1, 0)
        assert (log.received("signals"), log.received("control")) == (6, 10)
        log.close()

    def test_a_batch_comes_back_as_it_was_appended(self) -> None:
        log = self.open()
        log.commit([Append("signals", 42, 3, b'["\x00\xff"]', [("s", "e")] * 3)])
        (found,) = log.read("signals")
        assert (found.position, found.received, found.count) == (1, 42, 3)
        assert found.payload == b'["\x00\xff"]'
        log.close()

    def test_reading_starts_after_a_position_and_stops_at_the_limit(self) -> None:
        log = self.open()
        log.commit([batch(received=n, payload=b"%d" % n) for n in range(1, 8)])
        assert [found.payload for found in log.read("signals", after=2, limit=3)] == [
            b"3",
            b"4",
            b"5",
        ]
        assert list(log.read("signals", after=7)) == []
        assert list(log.read("signals", limit=0)) == []
        log.close()

    def test_following_gives_everything_that_is_there(self) -> None:
        log = self.open()
        for n in range(1, 240):
            log.commit([batch(received=n)])
        assert [found.position for found in log.follow("signals", after=5)] == list(range(6, 240))
        log.close()

    def test_cursors_snapshots_and_tick_are_replaced(self) -> None:
        log = self.open()
        log.commit(cursors={"worker": 3, "app": 9}, snapshots={"state": b"old"}, tick=100)
        log.commit(cursors={"worker": 4}, snapshots={"state": b"new"}, tick=100)
        assert (log.cursor("worker"), log.cursor("app")) == (4, 9)
        assert (log.snapshot("state"), log.tick()) == (b"new", 100)
        log.close()

    def test_a_reopened_log_holds_everything(self) -> None:
        log = self.open()
        log.commit([batch()], cursors={"worker": 1}, snapshots={"state": b"x"}, tick=10)
        log.close()
        log = self.open()
        assert [found.payload for found in log.read("signals")] == [b"[1]"]
        assert (log.cursor("worker"), log.snapshot("state"), log.tick()) == (1, b"x", 10)
        assert log.newest("signals", "s1", "e1") == 10
        assert list(log.commit([batch(received=11)])) == [2]
        log.close()

    def test_received_never_goes_back_and_a_refused_commit_leaves_nothing(self) -> None:
        log = self.open()
        log.commit([batch(received=10)], tick=7)
        with pytest.raises(OutOfOrder):
            log.commit([batch("control"), batch(received=9)], cursors={"worker": 1}, tick=8)
        with pytest.raises(OutOfOrder):
            log.commit([batch(received=12), batch(received=11)])
        with pytest.raises(OutOfOrder):
            log.commit([batch(received=12)], snapshots={"state": b"x"}, tick=6)
        assert (log.last("signals"), log.last("control"), log.tick()) == (1, 0, 7)
        assert (log.cursor("worker"), log.snapshot("state")) == (0, None)
        assert list(log.of_subject("signals", "s1")) == [1]
        assert list(log.commit([batch(received=10), batch("control", received=1)])) == [2, 1]
        log.close()

    def test_the_index_finds_a_subjects_batches(self) -> None:
        log = self.open()
        log.commit([batch(received=1, subjects=(("a", "1"), ("b", "2"), ("a", "3")))])
        log.commit([batch(received=2, subjects=(("b", "4"),))])
        log.commit([batch(received=3, subjects=(("a", "5"),)), batch("decisions", 4)])
        assert list(log.of_subject("signals", "a")) == [1, 3]
        assert list(log.of_subject("signals", "b")) == [1, 2]
        assert list(log.of_subject("signals", "s1")) == []
        assert list(log.of_subject("decisions", "s1")) == [1]
        log.close()

    def test_newest_finds_the_latest_duplicate_of_that_subject(self) -> None:
        log = self.open()
        log.commit([batch(received=1, subjects=(("a", "x"), ("a", "x")))])
        log.commit([batch(received=8, subjects=(("a", "x"),))])
        log.commit([batch(received=9, subjects=(("b", "x"), ("a", "y")))])
        assert log.newest("signals", "a", "x") == 8
        assert log.newest("signals", "b", "x") == 9
        assert log.newest("signals", "b", "y") is None
        assert log.newest("signals", "x", "a") is None
        assert log.newest("decisions", "a", "x") is None
        log.close()

    def test_the_version_changes_with_every_commit_only(self) -> None:
        log = self.open()
        seen = [log.version()]
        assert log.version() == seen[0]
        for n in range(3):
            log.commit([batch(received=n)])
            seen.append(log.version())
        assert len(set(seen)) == 4
        log.close()


class TestMemoryLog(LogSuite):
    """The twin, and what only it does: crash by script."""

    @pytest.fixture(autouse=True)
    def _one_log(self) -> None:
        log = MemoryLog()
        self.open = lambda: log

    def test_it_crashes_before_and_after_as_scripted(self) -> None:
        log = MemoryLog({0: "before", 2: "after"})
        with pytest.raises(Crash):
            log.commit([batch()], cursors={"worker": 1})
        assert (log.last("signals"), log.cursor("worker")) == (0, 0)
        log.commit([batch()])
        with pytest.raises(Crash):
            log.commit([batch()], cursors={"worker": 2})
        assert (log.last("signals"), log.cursor("worker")) == (2, 2)
        log.commit([batch()])
        assert log.last("signals") == 3

    def test_it_has_no_room_as_scripted(self) -> None:
        log = MemoryLog({0: "full"})
        with pytest.raises(LogFull):
            log.commit([batch()])
        assert log.last("signals") == 0
        assert list(log.commit([batch()])) == [1]

    def test_no_handler_of_errors_swallows_a_crash(self) -> None:
        assert not issubclass(Crash, Exception)


class TestSqliteLog(LogSuite):
    """SQLite, and what only a file does: other processes, sudden death, full disks, damage."""

    @pytest.fixture(autouse=True)
    def _one_file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "log.db"
        self.open = lambda: SqliteLog(self.path)

    def test_commits_wait_for_the_disk(self) -> None:
        with closing(SqliteLog(self.path)) as log:
            pragma = log._connection.execute
            assert pragma("PRAGMA journal_mode").fetchone() == ("wal",)
            assert pragma("PRAGMA synchronous").fetchone() == (2,)

    def test_a_reader_in_another_process_sees_commits_and_notices_them(self) -> None:
        with closing(SqliteLog(self.path)) as log:
            reader = subprocess.Popen(
                [sys.executable, "-c", _LOOKS_ON_REQUEST, str(self.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
            with reader:
                assert reader.stdin is not None
                assert reader.stdout is not None
                looks = []
                for commit in (
                    {"appends": [batch(received=1)]},
                    {},
                    {
                        "appends": [batch(received=2, payload=b"[2]")],
                        "cursors": {"w": 1},
                        "tick": 2,
                    },
                ):
                    if commit:
                        log.commit(**commit)
                    reader.stdin.write("look\n")
                    looks.append(json.loads(reader.stdout.readline()))
        assert [look[1:] for look in looks] == [
            [["[1]"], 0, 0],
            [["[1]"], 0, 0],
            [["[1]", "[2]"], 1, 2],
        ]
        assert looks[0][0] == looks[1][0] != looks[2][0]
        assert reader.returncode == 0

    def test_a_reader_that_came_early_sees_a_stream_that_began_later(self) -> None:
        with (
            closing(SqliteLog(self.path)) as log,
            closing(SqliteLog(self.path, read_only=True)) as reader,
        ):
            assert reader.last("signals") == 0
            log.commit([batch()])
            assert reader.last("signals") == 1
            assert list(reader.of_subject("signals", "s1")) == [1]

    def test_what_was_acknowledged_survives_a_sudden_death(self) -> None:
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITES_FOR_EVER, str(self.path)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(20)]
        writer.kill()
        acknowledged += [int(line) for line in writer.stdout.read().split()]
        writer.stdout.close()
        writer.wait()
        with closing(SqliteLog(self.path)) as log:
            last = log.last("signals")
            assert last in (acknowledged[-1], acknowledged[-1] + 1)
            assert log.cursor("writer") == last
            assert log.snapshot("state") == b"%d" % last
            assert [found.position for found in log.follow("signals")] == list(range(1, last + 1))
            assert list(log.of_subject("signals", "s")) == list(range(1, last + 1))
            assert list(log.commit([batch(received=last)])) == [last + 1]

    def test_a_full_database_loses_nothing_and_goes_on_when_there_is_room(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def small(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
            connection = open_database(path, read_only=read_only)
            connection.execute("PRAGMA max_page_count = 40")
            return connection

        monkeypatch.setattr("forestall.log.sqlite.open_database", small)
        with closing(SqliteLog(self.path)) as log:
            log.commit([batch()], cursors={"worker": 1})
            with pytest.raises(LogFull, match="Free space"):
                log.commit([batch("control", payload=b"x" * 400_000)], cursors={"worker": 2})
            assert (log.last("signals"), log.last("control"), log.cursor("worker")) == (1, 0, 1)
            log._connection.execute("PRAGMA max_page_count = 4000")
            assert list(log.commit([batch("control", payload=b"x" * 400_000)])) == [1]
            assert len(log.read("control")[0].payload) == 400_000

    def test_a_disk_that_takes_no_more_loses_nothing_and_goes_on_when_it_does(self) -> None:
        with closing(SqliteLog(self.path)) as log:
            log.commit([batch()], cursors={"worker": 1})
            with _files_no_larger_than(300_000), pytest.raises(LogFull):
                log.commit([batch(received=11, payload=b"x" * 400_000)], cursors={"worker": 2})
            assert (log.last("signals"), log.cursor("worker")) == (1, 1)
            assert list(log.of_subject("signals", "s1")) == [1]
            assert list(log.commit([batch(received=11, payload=b"x" * 400_000)])) == [2]
        with closing(SqliteLog(self.path)) as log:
            assert log.last("signals") == 2
            assert log._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    def test_a_file_that_is_no_database_is_refused(self) -> None:
        self.path.write_bytes(b"not a database at all" * 300)
        with pytest.raises(LogUnreadable, match="file is not a database"):
            SqliteLog(self.path)
        assert self.path.read_bytes().startswith(b"not a database")

    def test_somebody_elses_database_is_refused_and_untouched(self) -> None:
        with closing(sqlite3.connect(self.path)) as other:
            other.execute("CREATE TABLE bookmarks (url TEXT)")
        with pytest.raises(LogUnreadable, match="not a log"):
            SqliteLog(self.path)
        with closing(sqlite3.connect(self.path)) as other:
            tables = other.execute("SELECT name FROM sqlite_schema").fetchall()
        assert tables == [("bookmarks",)]

    def test_a_newer_format_is_refused(self) -> None:
        SqliteLog(self.path).close()
        with closing(sqlite3.connect(self.path)) as newer:
            newer.execute("PRAGMA user_version = 99")
        with pytest.raises(LogUnreadable, match="newer"):
            SqliteLog(self.path)

    def test_damage_is_told_clearly(self) -> None:
        with closing(SqliteLog(self.path)) as log:
            log.commit([batch(received=n, payload=b"x" * 5_000) for n in range(100)])
        with self.path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(self.path.stat().st_size - 4096))
        with closing(SqliteLog(self.path)) as log, pytest.raises(LogUnreadable):
            list(log.follow("signals"))

    def test_a_missing_log_is_not_made_by_reading(self) -> None:
        with pytest.raises(LogMissing):
            SqliteLog(self.path, read_only=True)
        assert not self.path.exists()

    def test_a_missing_folder_is_told_clearly(self, tmp_path: Path) -> None:
        with pytest.raises(LogUnreadable, match="no-such-folder"):
            SqliteLog(tmp_path / "no-such-folder" / "log.db")

    def test_opening_while_its_writer_lays_it_is_fine(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks: list[str] = []

        def watched(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
            connection = open_database(path, read_only=read_only)
            connection.set_trace_callback(looked)
            return connection

        def looked(statement: str) -> None:
            looks.append(statement)
            if len(looks) == 2:
                monkeypatch.undo()
                SqliteLog(self.path).close()

        self.path.touch()
        monkeypatch.setattr("forestall.log.sqlite.open_database", watched)
        with closing(SqliteLog(self.path, read_only=True)) as log:
            assert log.last("signals") == 0
        assert len(looks) >= 2

    def test_a_second_writer_at_the_same_time_is_told(self) -> None:
        with closing(SqliteLog(self.path)) as log, closing(SqliteLog(self.path)) as second:
            second._connection.execute("PRAGMA busy_timeout = 0")
            with log.transaction():
                log.commit([batch()])
                with pytest.raises(LogBusy, match="another process"):
                    second.commit([batch()])
            assert list(second.commit([batch()])) == [2]

    def test_a_stream_needs_a_plain_name(self) -> None:
        with closing(SqliteLog(self.path)) as log:
            with pytest.raises(ValueError, match="no name of a stream"):
                log.commit([batch('x"; DROP TABLE cursors')])
            with pytest.raises(ValueError, match="no name of a stream"):
                log.read("Signals; --")
            assert log.last("signals") == 0

    def test_raw_identities_are_not_in_the_index(self) -> None:
        with closing(SqliteLog(self.path)) as log:
            log.commit([batch(payload=b"[]", subjects=(("anna-pseudonym", "order-4711"),))])
        everything = b"".join(file.read_bytes() for file in self.path.parent.iterdir())
        assert b"anna-pseudonym" not in everything
        assert b"order-4711" not in everything

    def test_what_the_owner_writes_beside_is_kept_with_the_commit_or_not_at_all(self) -> None:
        with closing(SqliteLog(self.path)) as log:
            with log.transaction() as connection:
                connection.execute("CREATE TABLE notes (text TEXT)")
                connection.execute("INSERT INTO notes VALUES ('kept')")
                assert list(log.commit([batch()])) == [1]
                assert log.last("signals") == 1
            with pytest.raises(OutOfOrder):
                self._write_beside_and_fail(log)
            assert log._connection.execute("SELECT text FROM notes").fetchall() == [("kept",)]
            assert (log.last("signals"), log.last("decisions"), log.cursor("worker")) == (1, 0, 0)
            assert list(log.commit([batch("decisions")])) == [1]

    @staticmethod
    def _write_beside_and_fail(log: SqliteLog) -> None:
        with log.transaction() as connection:
            connection.execute("INSERT INTO notes VALUES ('lost')")
            log.commit([batch("decisions")], cursors={"worker": 1})
            log.commit([batch(received=1)])

    def test_the_summary_counts(self) -> None:
        with closing(SqliteLog(self.path)) as log:
            log.commit(
                [
                    batch(received=3, subjects=(("a", "1"), ("b", "2"))),
                    batch(received=9, payload=b"[1,2]"),
                    batch("control", 4, subjects=()),
                ],
                cursors={"worker": 2},
                snapshots={"engine": b"12345"},
                tick=8,
            )
            found = log.summary()
        assert [
            (s.stream, s.batches, s.items, s.first, s.last, s.bytes) for s in found.streams
        ] == [
            ("control", 1, 1, 4, 4, 3),
            ("signals", 2, 3, 3, 9, 8),
        ]
        assert (found.cursors, found.snapshots, found.tick) == ({"worker": 2}, {"engine": 5}, 8)


_names = st.sampled_from(["s1", "s2", "s3"])
_appends = st.builds(
    Append,
    stream=st.sampled_from(["signals", "decisions", "control"]),
    received=st.integers(0, 6),
    count=st.integers(1, 3),
    payload=st.binary(max_size=20),
    subjects=st.lists(st.tuples(_names, _names), max_size=3),
)
_commits = st.fixed_dictionaries(
    {"appends": st.lists(_appends, max_size=3)},
    optional={
        "cursors": st.dictionaries(_names, st.integers(0, 9), max_size=2),
        "snapshots": st.dictionaries(_names, st.binary(max_size=9), max_size=2),
        "tick": st.integers(0, 9),
    },
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(commits=st.lists(_commits, max_size=8), reopened=st.integers(0, 8))
def test_sqlite_and_its_twin_never_differ(
    tmp_path_factory: pytest.TempPathFactory, commits: list[dict[str, object]], reopened: int
) -> None:
    path = tmp_path_factory.mktemp("twins") / "log.db"
    twin, log = MemoryLog(), SqliteLog(path)
    for index, commit in enumerate(commits):
        if index == reopened:
            log.close()
            log = SqliteLog(path)
        assert _attempt(log, commit) == _attempt(twin, commit)
        assert _everything(log) == _everything(twin)
    log.close()


def _attempt(log: Log, commit: dict[str, object]) -> object:
    arguments = dict(commit)
    appends = arguments.pop("appends")
    try:
        return list(log.commit(appends, **arguments))  # type: ignore[arg-type]
    except OutOfOrder:
        return "out of order"


def _everything(log: Log) -> object:
    names = ["s1", "s2", "s3"]
    return [
        [
            (
                list(log.follow(stream)),
                log.last(stream),
                log.received(stream),
                [list(log.of_subject(stream, name)) for name in names],
                [log.newest(stream, name, other) for name in names for other in names],
            )
            for stream in ("signals", "decisions", "control")
        ],
        [(log.cursor(name), log.snapshot(name)) for name in names],
        log.tick(),
    ]


_LOOKS_ON_REQUEST = """
import json, sys
from pathlib import Path
from forestall.log.sqlite import SqliteLog
log = None
for _ in sys.stdin:
    log = log or SqliteLog(Path(sys.argv[1]), read_only=True)
    payloads = [found.payload.decode() for found in log.follow("signals")]
    print(json.dumps([log.version(), payloads, log.cursor("w"), log.tick()]), flush=True)
"""

_WRITES_FOR_EVER = """
import sys
from pathlib import Path
from forestall.log.port import Append
from forestall.log.sqlite import SqliteLog
log = SqliteLog(Path(sys.argv[1]))
position = 0
while True:
    append = Append("signals", position, 1, b"x" * 3000, [("s", str(position))])
    content = b"%d" % (position + 1)
    [position] = log.commit([append], cursors={"writer": position + 1}, snapshots={"state": content})
    print(position, flush=True)
"""


@contextmanager
def _files_no_larger_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
