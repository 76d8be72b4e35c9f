"""What every log does, proved for SQLite; and what only a file does: other processes, sudden death,
full disks, damage."""

import json
import os
import resource
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from unittest.mock import patch

import pytest

from forestall.kernel.database.files import open_database
from forestall.log import index
from forestall.log.keys import WORDS
from forestall.log.memory import MemoryLog
from forestall.log.port import LogBusy, LogFull, LogMissing, LogUnreadable, OutOfOrder, Piece
from forestall.log.sqlite import SqliteLog
from logsuite import LogSuite, batch, folding_every, newest


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
            asked = [("s", str(position)) for position in range(last)]
            assert log.newest_of("signals", asked) == list(range(last))
            assert dict(log.pieces(last)) == {str(last % 7): b"%d" % last, "last": b"%d" % last}
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

    def test_what_is_not_durable_waits_for_no_disk_and_what_follows_does(self) -> None:
        with closing(SqliteLog(self.path)) as log:
            waits = "PRAGMA synchronous"
            log.commit([batch()], durable=False)
            assert log._connection.execute(waits).fetchone() == (1,)
            log.commit([batch()])
            assert log._connection.execute(waits).fetchone() == (2,)
            log.commit(cursors={"worker": 2}, durable=False)
            with log.transaction():
                assert log._connection.execute(waits).fetchone() == (2,)
                log.commit([batch()], durable=False)
        with closing(SqliteLog(self.path)) as log:
            assert (log.last("signals"), log.cursor("worker")) == (3, 2)

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

    def test_the_index_is_folded_and_answers_as_before(self) -> None:
        twin = MemoryLog()
        pairs = [(f"s{n * n % 7}", f"e{n * n % 61}") for n in range(400)]
        with folding_every(20):
            for start in range(0, 400, 100):
                with closing(SqliteLog(self.path)) as log:
                    for at in range(start, start + 100, 4):
                        append = batch(received=at, subjects=tuple(pairs[at : at + 4]))
                        assert log.commit([append]) == twin.commit([append])
            with closing(SqliteLog(self.path)) as log:
                rows = log._connection.execute
                assert rows("SELECT count(*) FROM recent_signals").fetchone()[0] < 11
                assert rows("SELECT count(*) FROM generations_signals").fetchone()[0] > 4
                every = [(f"s{s}", f"e{e}") for s in range(8) for e in range(62)]
                assert log.newest_of("signals", every) == twin.newest_of("signals", every)
                for subject in {pair[0] for pair in every}:
                    assert log.of_subject("signals", subject) == twin.of_subject("signals", subject)

    def test_what_was_folded_is_deleted_by_and_by_and_counts_once(self) -> None:
        pairs = [(f"s{n % 5}", f"e{n}") for n in range(105)]
        twin, left = MemoryLog(), []
        with folding_every(20):
            for start in range(0, 105, 7):
                with closing(SqliteLog(self.path)) as log:
                    for at in range(start, start + 7):
                        append = batch(received=at, subjects=(pairs[at],))
                        assert log.commit([append]) == twin.commit([append])
                        rows = log._connection.execute
                        (kept,) = rows("SELECT count(*) FROM recent_signals").fetchone()
                        (folded,) = rows("SELECT max(last) FROM generations_signals").fetchone()
                        left.append(kept - (at + 1 - (folded or 0)))
                        found = log.newest_of("signals", pairs)
                        assert found == twin.newest_of("signals", pairs)
                    for number in range(5):
                        batches = log.of_subject("signals", f"s{number}")
                        assert batches == twin.of_subject("signals", f"s{number}")
        assert max(left) > 5
        assert left.count(0) > 20
        assert min(left) == 0

    def test_a_filter_is_written_in_parts_of_its_rows(self) -> None:
        pairs = [("s", f"e{n}") for n in range(300)]
        with (
            folding_every(20),
            patch.multiple(index, SLICES=8, FILTER_ROWS=2, GENERATION=1_000),
        ):
            with closing(SqliteLog(self.path)) as log:
                for n in range(0, 300, 2):
                    log.commit([batch(received=n, subjects=tuple(pairs[n : n + 2]))])
                held = log._indexes["signals"]._words
                sizes = log._connection.execute("SELECT length(words) FROM filters_signals")
                assert sizes.fetchall() == [(8 * WORDS // 2,)] * 2
            with closing(SqliteLog(self.path)) as log:
                found = log.newest_of("signals", [*pairs, ("s", "new")])
                assert found == [*(n // 2 * 2 for n in range(300)), None]
                assert log._indexes["signals"]._words == held

    def test_a_fold_that_was_undone_begins_again(self) -> None:
        pairs = [("s", f"e{n}") for n in range(60)]
        with folding_every(20), closing(SqliteLog(self.path)) as log:
            for n, pair in enumerate(pairs):
                for kept in (False, True):
                    with suppress(ZeroDivisionError), log.transaction():
                        log.commit([batch(received=n, subjects=(pair,))])
                        assert kept or 1 / 0
            assert log.newest_of("signals", pairs) == list(range(60))
            assert list(log.of_subject("signals", "s")) == list(range(1, 61))

    def test_a_busy_subject_is_found_in_each_of_its_batches_once(self) -> None:
        busy = [tuple((f"s{n % k}", f"e{n}") for n in range(30)) for k in (1, 2, 7, 30, 1)]
        with folding_every(60), closing(SqliteLog(self.path)) as log:
            log.commit([batch(received=1, subjects=pairs) for pairs in busy])
            log.commit([batch(received=2, subjects=(("x", str(n)),)) for n in range(9)])
            assert log._connection.execute("SELECT * FROM generations_signals").fetchall()
            assert list(log.of_subject("signals", "s0")) == [1, 2, 3, 4, 5]
            assert list(log.of_subject("signals", "s1")) == [2, 3, 4]
            assert list(log.of_subject("signals", "s8")) == [4]

    def test_a_generation_that_is_too_old_is_not_asked(self) -> None:
        with folding_every(4), closing(SqliteLog(self.path)) as log:
            for n in range(60):
                log.commit([batch(received=n, subjects=(("s", f"e{n}"),))])
            asked = [("s", "e1"), ("s", "e58")]
            assert log.newest_of("signals", asked) == [1, 58]
            assert log.newest_of("signals", asked, since=30) == [None, 58]

    def test_an_index_that_another_connection_wrote_is_read_again(self) -> None:
        with closing(SqliteLog(self.path)) as log, closing(SqliteLog(self.path)) as second:
            for n in range(6):
                writer, other = (log, second) if n % 2 else (second, log)
                assert newest(other, "signals", "s", f"e{n}") is None
                writer.commit([batch(received=n, subjects=(("s", f"e{n}"),))])
                assert newest(other, "signals", "s", f"e{n}") == n
            assert list(log.of_subject("signals", "s")) == [1, 2, 3, 4, 5, 6]

    def test_what_pieces_supersede_does_not_pile_up(self) -> None:
        with closing(SqliteLog(self.path)) as log:
            for number in range(1, 40):
                log.commit(pieces=[Piece(f"k{key}", number, os.urandom(100)) for key in range(20)])
            ((rows, size),) = log._connection.execute(
                "SELECT count(*), sum(length(content)) FROM pieces"
            )
        assert rows <= 3 * 20
        assert size <= 3 * 20 * 110

    def test_a_file_of_format_1_is_converted_by_its_writer(self) -> None:
        items = [(("a", "x"),), (), (("a", "y"), ("b", "x")), (("a", "x"),)]
        _write_format_1(self.path, items)
        with pytest.raises(LogUnreadable, match="older Forestall"):
            SqliteLog(self.path, read_only=True)
        for _ in range(2):
            with closing(SqliteLog(self.path)) as log:
                assert [found.payload for found in log.follow("signals")] == [b"[]"] * 4
                assert list(log.of_subject("signals", "a")) == [1, 3, 4]
                asked = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
                assert log.newest_of("signals", asked) == [40, 30, 30, None]
                assert (log.cursor("worker"), log.tick()) == (3, 40)
        with closing(SqliteLog(self.path)) as log:
            assert list(log.commit([batch(received=41)], pieces=[Piece("p", 1, b"1")])) == [5]

    def test_a_transaction_in_steps_may_end_in_another_thread(self) -> None:
        with closing(SqliteLog(self.path)) as log:
            log.begin().execute("CREATE TABLE notes (text TEXT)")
            log.commit([batch()])
            ending = threading.Thread(target=log.finish)
            ending.start()
            ending.join()
            log.begin().execute("INSERT INTO notes VALUES ('lost')")
            log.commit([batch("decisions"), batch(subjects=(("s9", "e9"),))])
            assert newest(log, "signals", "s9", "e9") == 10
            log.abandon()
            assert log._connection.execute("SELECT * FROM notes").fetchall() == []
            assert (log.last("signals"), log.last("decisions")) == (1, 0)
            assert log.newest_of("signals", [("s1", "e1"), ("s9", "e9")]) == [10, None]
            assert list(log.commit([batch()])) == [2]

    def test_a_step_that_cannot_be_finished_keeps_nothing(self) -> None:
        with closing(SqliteLog(self.path)) as log:
            log.commit([batch()])
            with _files_no_larger_than(300_000):
                log.begin()
                log.commit([batch(received=11, payload=b"x" * 400_000)])
                with pytest.raises(LogFull):
                    log.finish()
            assert log.last("signals") == 1
            assert list(log.commit([batch(received=11)])) == [2]

    def test_errors_of_what_the_owner_writes_are_translated(self) -> None:
        with closing(SqliteLog(self.path)) as log:
            connection = log.begin()
            connection.execute("CREATE TABLE notes (text TEXT)")
            connection.execute("PRAGMA max_page_count = 40")
            with pytest.raises(LogFull), log.translated():
                connection.execute("INSERT INTO notes VALUES (?)", ("x" * 400_000,))
            log.abandon()

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


def _write_format_1(path: Path, items: list[tuple[tuple[str, str], ...]]) -> None:
    """A log as the first version wrote it: a batch for each of ``items``."""

    def hashed(text: str, role: bytes) -> int:
        digest = blake2b(text.encode(), digest_size=8, person=role).digest()
        return int(struct.unpack("<q", digest)[0])

    with closing(open_database(path)) as file:
        file.executescript("""
            CREATE TABLE cursors (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
            CREATE TABLE snapshots (name TEXT PRIMARY KEY, content BLOB NOT NULL);
            CREATE TABLE ticks (one INTEGER PRIMARY KEY CHECK (one = 1), tick INTEGER NOT NULL);
            CREATE TABLE batches_signals (position INTEGER PRIMARY KEY, received INTEGER NOT NULL,
                count INTEGER NOT NULL, payload BLOB NOT NULL);
            CREATE TABLE items_signals (subject INTEGER NOT NULL, identity INTEGER NOT NULL,
                position INTEGER NOT NULL, PRIMARY KEY (subject, identity, position)) WITHOUT ROWID;
            INSERT INTO cursors VALUES ('worker', 3);
            INSERT INTO ticks VALUES (1, 40);
            PRAGMA application_id = 0x4653544C;
            PRAGMA user_version = 1;
        """)
        for position, pairs in enumerate(items, 1):
            row = (position, 10 * position, len(pairs), b"[]")
            file.execute("INSERT INTO batches_signals VALUES (?, ?, ?, ?)", row)
            file.executemany(
                "INSERT INTO items_signals VALUES (?, ?, ?)",
                [(hashed(s, b"subject"), hashed(i, b"identity"), position) for s, i in pairs],
            )


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
from forestall.log import index
from forestall.log.port import Append, Piece
from forestall.log.sqlite import SqliteLog
index.FOLD = 6
log = SqliteLog(Path(sys.argv[1]))
position = 0
while True:
    append = Append("signals", position, 1, b"x" * 3000, [("s", str(position))])
    content = b"%d" % (position + 1)
    kept = {str(position % 7): b"", str((position + 1) % 7): content, "last": content}
    pieces = [Piece(key, position + 1, value) for key, value in kept.items()]
    [position] = log.commit(
        [append], cursors={"writer": position + 1}, snapshots={"state": content}, pieces=pieces
    )
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
