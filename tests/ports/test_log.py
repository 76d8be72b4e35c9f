"""What every log does, proved for the in-memory twin; and that SQLite never differs from it."""

from collections import Counter
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forestall.log.memory import Crash, MemoryLog
from forestall.log.port import BUCKETS, Append, Log, LogFull, OutOfOrder, Piece, bucket
from forestall.log.sqlite import SqliteLog
from logsuite import LogSuite, batch, folding_every


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
@given(
    commits=st.lists(_commits, max_size=8),
    reopened=st.integers(0, 8),
    fold=st.sampled_from([1, 2, 5, 1 << 16]),
)
def test_sqlite_and_its_twin_never_differ(
    tmp_path_factory: pytest.TempPathFactory,
    commits: list[dict[str, object]],
    reopened: int,
    fold: int,
) -> None:
    path = tmp_path_factory.mktemp("twins") / "log.db"
    with folding_every(fold):
        twin, log = MemoryLog(), SqliteLog(path)
        for index, commit in enumerate(commits):
            if index == reopened:
                log.close()
                log = SqliteLog(path)
            assert _attempt(log, commit) == _attempt(twin, commit)
            assert _everything(log) == _everything(twin)
        log.close()


_rounds = st.lists(
    st.lists(st.dictionaries(st.sampled_from("abcdef"), st.binary(max_size=20)), max_size=3),
    max_size=8,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(rounds=_rounds, broken=st.sets(st.integers(0, 8)))
def test_pieces_in_sqlite_and_its_twin_never_differ(
    tmp_path_factory: pytest.TempPathFactory,
    rounds: list[list[dict[str, bytes]]],
    broken: set[int],
) -> None:
    path = tmp_path_factory.mktemp("pieces") / "log.db"
    twin, log, finished = MemoryLog(), SqliteLog(path), 0
    with patch("forestall.log.port.BUCKETS", 2):
        for index, commits in enumerate(rounds):
            for commit in commits:
                pieces = [Piece(key, finished + 1, content) for key, content in commit.items()]
                log.commit(pieces=pieces)
                twin.commit(pieces=pieces)
                assert dict(log.pieces(finished)) == dict(twin.pieces(finished))
            if index in broken:
                log.close()
                log = SqliteLog(path)
                log.drop_after(finished)
                twin.drop_after(finished)
            else:
                finished += 1
            assert dict(log.pieces(finished)) == dict(twin.pieces(finished))
    log.close()


def test_buckets_never_change_and_are_filled_evenly() -> None:
    assert bucket("123456789") == 0xCBF43926 % 1024  # the check value of CRC-32
    filled = Counter(bucket(f"key-{number}") for number in range(20 * BUCKETS))
    assert len(filled) == BUCKETS
    assert max(filled.values()) < 60


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
                log.newest_of(stream, [(name, other) for name in names for other in names]),
            )
            for stream in ("signals", "decisions", "control")
        ],
        [(log.cursor(name), log.snapshot(name)) for name in names],
        log.tick(),
    ]
