"""Signals ahead of what was taken in: decoded once, the nearest kept, and not looked at for ever."""

from collections.abc import Sequence

import pytest

from forestall.contracts.event import Record
from forestall.intervene import ahead as module
from forestall.intervene.ahead import Ahead
from forestall.log.memory import MemoryLog
from forestall.log.port import Batch
from forestall.log.streams import SIGNALS, read_signals, signals


def record(number: int, subject: str) -> Record:
    return Record(f"e{number}", "s", "page.viewed", subject, number, number)


class Counted:
    """Counts the batches that are decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.positions: list[int] = []

        def read(batch: Batch) -> list[Record]:
            self.positions.append(batch.position)
            return read_signals(batch)

        monkeypatch.setattr(module, "read_signals", read)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def of(*batches: Sequence[str]) -> MemoryLog:
    """A log with an event for each letter of each batch."""
    log, number = MemoryLog(), 0
    for batch in batches:
        log.commit([signals([record(number + n, name) for n, name in enumerate(batch)])])
        number += len(batch)
    return log


def ids(found: Sequence[Record]) -> list[str]:
    return [one.id for one in found]


def test_what_is_about_a_subject_comes_in_log_order() -> None:
    ahead = Ahead(of("abab", "bb", "cab"))
    assert ids(list(ahead.about(["a"], [1, 3]))) == ["e0", "e2", "e7"]
    assert ids(list(ahead.about(("a", "c"), [1, 2, 3]))) == ["e0", "e2", "e6", "e7"]
    assert list(ahead.about(["x"], [1, 2, 3])) == []
    assert list(ahead.about(["a"], [9])) == []


def test_a_batch_is_decoded_once_until_it_is_taken(decoded: Counted) -> None:
    log = of("ab", "ba")
    ahead = Ahead(log)
    for subject in "abab":
        list(ahead.about([subject], [1, 2]))
    first, second = log.read(SIGNALS)
    assert ids(ahead.take(first)) == ["e0", "e1"]
    assert ids(ahead.take(second)) == ["e2", "e3"]
    assert decoded.positions == [1, 2]
    assert ids(ahead.take(first)) == ["e0", "e1"]
    assert decoded.positions == [1, 2, 1]


def test_it_looks_no_further_than_so_many_events(
    monkeypatch: pytest.MonkeyPatch, decoded: Counted
) -> None:
    monkeypatch.setattr(module, "FAR", 3)
    monkeypatch.setattr(module, "LEAST", 1)
    ahead = Ahead(of("aa", "aa", "aa"))
    assert ids(list(ahead.about(["a"], [1, 2, 3]))) == ["e0", "e1", "e2", "e3"]
    assert decoded.positions == [1, 2]


def test_a_small_batch_counts_as_a_larger_one(
    monkeypatch: pytest.MonkeyPatch, decoded: Counted
) -> None:
    monkeypatch.setattr(module, "FAR", 2 * module.LEAST)
    ahead = Ahead(of("a", "a", "a"))
    assert ids(list(ahead.about(["a"], [1, 2, 3]))) == ["e0", "e1"]
    assert decoded.positions == [1, 2]


def test_the_nearest_are_kept(monkeypatch: pytest.MonkeyPatch, decoded: Counted) -> None:
    monkeypatch.setattr(module, "KEPT", 4)
    ahead = Ahead(of("aa", "aa", "aa"))
    list(ahead.about(["a"], [3]))
    list(ahead.about(["a"], [2]))
    list(ahead.about(["a"], [1]))
    list(ahead.about(["a"], [1, 2]))
    assert decoded.positions == [3, 2, 1]
    assert ids(list(ahead.about(["a"], [3]))) == ["e4", "e5"]
    assert decoded.positions == [3, 2, 1, 3]


def test_one_batch_larger_than_what_is_kept_is_read_all_the_same(
    monkeypatch: pytest.MonkeyPatch, decoded: Counted
) -> None:
    monkeypatch.setattr(module, "KEPT", 1)
    ahead = Ahead(of("aba"))
    for _ in range(2):
        assert ids(list(ahead.about(["a"], [1]))) == ["e0", "e2"]
    assert decoded.positions == [1, 1]
