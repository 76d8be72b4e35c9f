"""What every log does: the abstract suite, and what its tests share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from forestall.log.port import Append, Log, OutOfOrder, Piece


def batch(
    stream: str = "signals",
    received: int = 10,
    payload: bytes = b"[1]",
    subjects: tuple[tuple[str, str], ...] = (("s1", "e1"),),
) -> Append:
    return Append(stream, received, max(1, len(subjects)), payload, subjects)


def newest(log: Log, stream: str, subject: str, identity: str) -> int | None:
    return log.newest_of(stream, [(subject, identity)])[0]


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
        assert newest(log, "signals", "s1", "e1") is None
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
        assert newest(log, "signals", "s1", "e1") == 10
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
        assert newest(log, "signals", "a", "x") == 8
        assert newest(log, "signals", "b", "x") == 9
        assert newest(log, "signals", "b", "y") is None
        assert newest(log, "signals", "x", "a") is None
        assert newest(log, "decisions", "a", "x") is None
        log.close()

    def test_newest_answers_in_the_order_of_the_questions(self) -> None:
        log = self.open()
        log.commit([batch(received=1, subjects=(("a", "x"), ("b", "y")))])
        log.commit([batch(received=5, subjects=(("c", "z"),))])
        asked = [("c", "z"), ("a", "y"), ("b", "y"), ("c", "z"), ("a", "x")]
        assert list(log.newest_of("signals", asked)) == [5, None, 1, 5, 1]
        assert list(log.newest_of("signals", [])) == []
        assert list(log.newest_of("nothing", asked[:2])) == [None, None]
        log.close()

    def test_newest_may_leave_out_what_is_too_old_only(self) -> None:
        log = self.open()
        log.commit([batch(received=1, subjects=(("a", "x"),))])
        log.commit([batch(received=5, subjects=(("b", "x"),))])
        old, new = log.newest_of("signals", [("a", "x"), ("b", "x")], since=5)
        assert old in (1, None)
        assert new == 5
        log.close()

    def test_pieces_give_each_key_once_as_of_a_round(self) -> None:
        log = self.open()
        assert dict(log.pieces(9)) == {}
        log.commit(pieces=[Piece("a", 1, b"a1"), Piece("b", 1, b"b1"), Piece("c", 1, b"c1")])
        log.commit(pieces=[Piece("a", 2, b"a2"), Piece("c", 2, b""), Piece("d", 2, b"d2")])
        assert sorted(log.pieces(1)) == [("a", b"a1"), ("b", b"b1"), ("c", b"c1")]
        assert sorted(log.pieces(2)) == [("a", b"a2"), ("b", b"b1"), ("d", b"d2")]
        assert sorted(log.pieces(7)) == sorted(log.pieces(2))
        log.commit(pieces=[Piece("c", 3, b"c3"), Piece("b", 3, b"")])
        assert sorted(log.pieces(3)) == [("a", b"a2"), ("c", b"c3"), ("d", b"d2")]
        log.close()

    def test_of_a_key_and_a_round_the_last_piece_counts(self) -> None:
        log = self.open()
        log.commit(pieces=[Piece("a", 1, b"first"), Piece("a", 1, b"second")])
        assert dict(log.pieces(1)) == {"a": b"second"}
        log.commit(pieces=[Piece("a", 1, b"third")])
        assert dict(log.pieces(1)) == {"a": b"third"}
        log.commit(pieces=[Piece("a", 1, b"")])
        assert dict(log.pieces(1)) == {}
        log.close()

    def test_an_unfinished_round_can_be_ignored_forgotten_and_written_again(self) -> None:
        log = self.open()
        log.commit(pieces=[Piece("a", 1, b"a1")], snapshots={"state": b"1"})
        log.commit(pieces=[Piece("a", 2, b"a2"), Piece("b", 2, b"b2")])
        log.close()
        log = self.open()
        assert dict(log.pieces(1)) == {"a": b"a1"}
        seen = log.version()
        log.drop_after(1)
        assert log.version() != seen
        assert dict(log.pieces(2)) == {"a": b"a1"}
        log.commit(pieces=[Piece("c", 2, b"c2")], snapshots={"state": b"2"})
        assert sorted(log.pieces(2)) == [("a", b"a1"), ("c", b"c2")]
        log.close()

    def test_pieces_are_kept_with_the_rest_of_the_commit_or_not_at_all(self) -> None:
        log = self.open()
        log.commit([batch(received=10)], pieces=[Piece("a", 1, b"a1")])
        with pytest.raises(OutOfOrder):
            log.commit([batch(received=9)], pieces=[Piece("a", 2, b"a2"), Piece("b", 2, b"b2")])
        assert dict(log.pieces(2)) == {"a": b"a1"}
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


@contextmanager
def folding_every(keys: int) -> Iterator[None]:
    with patch.multiple(
        "forestall.log.index", FOLD=keys, SLICES=4, GENERATION=3 * keys, IN_MEMORY=1
    ):
        yield
