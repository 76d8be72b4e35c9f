"""Reading a data folder: events and decisions in log order, each decision at its place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from forestall.contracts.control import DecideSettings, SettingsApplied
from forestall.contracts.decision import Decided
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND
from forestall.log import streams
from forestall.log.memory import MemoryLog
from forestall.log.sqlite import SqliteLog
from forestall.measure.reading import Folder, Happening, happenings
from simulator import decided


def event(number: int) -> Record:
    return Record(f"e{number}", "test", "page.viewed", "ann", number * SECOND, number * SECOND)


def made(position: int, order: int) -> Decided:
    return replace(decided("ann", position * SECOND), position=position, order=order)


def logs(batches: list[int], entries: list[Decided]) -> tuple[MemoryLog, MemoryLog]:
    """Batches of so many events, numbered through, and decisions one a batch."""
    signals, decisions = MemoryLog(), MemoryLog()
    number = 0
    for count in batches:
        records = [event(number + index) for index in range(count)]
        number += count
        signals.commit([streams.signals(records)])
    for entry in entries:
        decisions.commit([streams.decisions([entry])])
    return signals, decisions


def told(found: list[Happening]) -> list[str]:
    return [one.id if isinstance(one, Record) else f"{one.position}.{one.order}" for one in found]


def test_a_decision_stands_after_the_event_that_it_was_made_at() -> None:
    entries = [made(1, 1), made(1, 2), made(1, 3), made(2, 1)]
    found = told(list(happenings(*logs([2, 1], entries))))
    assert found == ["e0", "1.1", "1.2", "e1", "1.3", "e2", "2.1"]


def test_a_timer_before_the_first_event_and_one_at_a_tick_keep_their_places() -> None:
    entries = [made(1, 0), made(1, 4), made(2, 2)]
    found = told(list(happenings(*logs([2, 1], entries))))
    assert found == ["1.0", "e0", "e1", "1.4", "e2", "2.2"]


def test_several_decisions_at_one_event_keep_their_order() -> None:
    first, second = made(1, 1), replace(made(1, 1), noticed=2 * SECOND)
    found = list(happenings(*logs([1], [first, second])))
    assert found[1:] == [first, second]


def test_reading_begins_and_ends_where_it_is_asked_to() -> None:
    entries = [made(1, 1), made(2, 1), made(3, 1)]
    found = told(list(happenings(*logs([1, 1, 1], entries), after=1, until=2)))
    assert found == ["e1", "2.1"]


@given(
    st.lists(st.integers(1, 4), max_size=5),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 8)), max_size=8, unique=True),
)
def test_nothing_is_lost_and_nothing_comes_twice(
    batches: list[int], places: list[tuple[int, int]]
) -> None:
    inside = sorted(
        (position, order)
        for position, order in places
        if position <= len(batches) and order <= 2 * batches[position - 1]
    )
    found = told(list(happenings(*logs(batches, [made(*place) for place in inside]))))
    assert [one for one in found if one.startswith("e")] == [f"e{n}" for n in range(sum(batches))]
    assert [one for one in found if "." in one] == [f"{p}.{order}" for p, order in inside]


def folder(path: Path) -> Path:
    """A data folder with two events, a decision and a control record."""
    path.mkdir()
    signals, decisions = SqliteLog(path / "gateway.db"), SqliteLog(path / "worker.db")
    signals.commit([streams.signals([event(1), event(2)])], tick=9 * SECOND)
    decisions.commit([streams.control([SettingsApplied(0, DecideSettings(), "t", "why")])])
    decisions.commit([streams.decisions([made(1, 1)])])
    signals.close()
    decisions.close()
    return path


def test_a_data_folder_says_what_happened_what_was_in_force_and_how_far_it_is(
    tmp_path: Path,
) -> None:
    found = Folder(folder(tmp_path / "data"))
    try:
        assert told(list(found.happenings())) == ["e1", "1.1", "e2"]
        assert [type(one) for one in found.controls()] == [SettingsApplied]
        assert found.now == 9 * SECOND
    finally:
        found.close()


def test_a_folder_that_no_server_wrote_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match=r"not a server's data folder: no gateway\.db"):
        Folder(tmp_path)
    (tmp_path / "gateway.db").touch()
    with pytest.raises(UnreadableInput, match=r"no worker\.db"):
        Folder(tmp_path)
