"""The one order of signals and decisions, however they were cut."""

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.decision import Decided, Decision
from forestall.contracts.event import Record
from forestall.intervene.merge import merge

DECISION = Decision(
    id="",
    policy="p",
    version="v",
    mode="live",
    subject="s",
    key=None,
    at="2024-01-01T00:00:00.000000Z",
    outcome="intervene",
    reason=None,
    matched=(),
    features={},
    explanation="",
)


def record(name: str) -> Record:
    return Record(name, "test", "a", "s", 0, 0)


def decided(position: int, order: int, name: str) -> Decided:
    return Decided(position, order, 0, msgspec.structs.replace(DECISION, id=name))


def names(batches: Sequence[tuple[int, Sequence[Record]]], entries: Sequence[Decided]) -> list[str]:
    return [
        item.decision.id if isinstance(item, Decided) else item.id
        for item in merge(batches, entries)
    ]


def test_timers_come_before_the_record_its_own_decisions_after_and_ticks_last() -> None:
    batches = [(1, [record("r0"), record("r1")]), (2, [record("r2")])]
    entries = [
        decided(0, 0, "before everything"),
        decided(1, 0, "due before r0"),
        decided(1, 1, "by r0"),
        decided(1, 2, "due before r1"),
        decided(1, 3, "by r1"),
        decided(1, 4, "by a tick"),
        decided(2, 0, "due before r2"),
        decided(2, 2, "by a later tick"),
    ]
    assert names(batches, entries) == [
        "before everything",
        "due before r0",
        "r0",
        "by r0",
        "due before r1",
        "r1",
        "by r1",
        "by a tick",
        "due before r2",
        "r2",
        "by a later tick",
    ]


def test_decisions_of_one_place_keep_their_order() -> None:
    entries = [decided(1, 1, "b"), decided(1, 1, "a")]
    assert names([(1, [record("r")])], entries) == ["r", "b", "a"]


def test_either_may_be_empty() -> None:
    assert names([], []) == []
    assert names([], [decided(3, 2, "d")]) == ["d"]
    assert names([(1, [record("r")])], []) == ["r"]


@given(st.lists(st.integers(1, 4), max_size=4), st.data())
def test_cutting_between_batches_changes_nothing(sizes: list[int], data: st.DataObject) -> None:
    batches = [
        (position, [record(f"{position}/{index}") for index in range(size)])
        for position, size in enumerate(sizes, start=1)
    ]
    all_places = [
        (position, order)
        for position, size in enumerate(sizes, start=1)
        for order in range(2 * size + 1)
    ]
    places = [place for place in all_places for _ in range(data.draw(st.integers(0, 2)))]
    entries = [decided(*place, name=f"d{n}") for n, place in enumerate(places)]
    cut = data.draw(st.integers(0, len(sizes)))
    first = names(batches[:cut], [entry for entry in entries if entry.position <= cut])
    second = names(batches[cut:], [entry for entry in entries if entry.position > cut])
    assert first + second == names(batches, entries)
