"""Which ids the engine knows: an event is itself for seven days, however they are kept."""

from collections.abc import Iterator

import pytest

from forestall.contracts.event import Record
from forestall.contracts.instants import DAY, HOUR, MINUTE
from forestall.decide import state
from forestall.decide.engine import Engine
from forestall.decide.snapshot import decode_state, encode_state
from forestall.decide.state import REPEATED_WITHIN, SETTLED, Subject, repeats, settle_ids

START = 1_790_000_000_000_000


def record(source: str, name: str, at: int) -> Record:
    return Record(name, source, "page.viewed", "p", at, at)


def sources_and_ids(count: int, names: int, step: int) -> Iterator[Record]:
    """Records whose source and id come again now and then, soon or after more than a week."""
    draw, at = 7, START
    for _ in range(count):
        draw = (draw * 6364136223846793005 + 1442695040888963407) % 2**64
        at += (draw >> 20) % step
        yield record("ab"[draw >> 63], f"e{(draw >> 40) % names}", at)


@pytest.mark.parametrize(
    ("count", "names", "step"),
    [(4_000, 1_500, 10 * MINUTE), (4_000, 400, HOUR), (1_500, 40, HOUR), (600, 100, 2 * DAY)],
)
def test_duplicates_are_those_within_seven_days_of_the_one_kept(
    count: int, names: int, step: int
) -> None:
    kept: dict[tuple[str, str], int] = {}
    duplicates, engine = 0, Engine()
    for number, one in enumerate(sources_and_ids(count, names, step)):
        last = kept.get((one.source, one.id))
        if last is not None and one.received - last <= REPEATED_WITHIN:
            duplicates += 1
        else:
            kept[one.source, one.id] = one.received
        engine.process([one])
        assert engine.counters["duplicate"] == duplicates, number
        if number % 500 == 499:
            engine = Engine.restore(decode_state(encode_state(engine.snapshot())))
    assert duplicates


def test_the_times_of_many_ids_lie_in_an_array() -> None:
    subject = Subject(seen={"a": {f"e{n}": START + n for n in range(SETTLED)}, "b": {"x": 5}})
    assert settle_ids(subject, "a") == 0
    assert subject.received is not None
    assert list(subject.received["a"]) == list(range(START, START + SETTLED))
    assert set(subject.seen["a"].values()) == {None}
    assert subject.seen["b"] == {"x": 5}


def test_an_id_that_has_grown_old_is_known_anew_and_takes_those_before_it_along() -> None:
    subject = Subject(seen={"a": {f"e{n}": START + n for n in range(SETTLED)}})
    settle_ids(subject, "a")
    assert repeats(subject, "a", "e3", START + 3 + REPEATED_WITHIN)
    assert not repeats(subject, "a", "e3", START + 4 + REPEATED_WITHIN)
    assert next(iter(subject.seen["a"])) == "e4"
    assert subject.seen["a"]["e3"] == START + 4 + REPEATED_WITHIN
    assert subject.received is not None
    assert subject.received["a"][0] == START + 4
    assert not repeats(subject, "a", "e9", START + 3 * REPEATED_WITHIN)
    assert subject.seen["a"] == {
        "e3": START + 4 + REPEATED_WITHIN,
        "e9": START + 3 * REPEATED_WITHIN,
    }
    assert subject.received is None


def test_beyond_so_many_ids_of_a_source_the_oldest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state, "IDS", 10 * SETTLED)
    engine, count = Engine(), 40 * SETTLED
    engine.process([record("a", f"e{n}", START + n) for n in range(count)])
    ids = engine.population.enter("p").seen["a"]
    assert len(ids) <= 10 * SETTLED
    assert len(ids) == count - engine.counters["ids_forgotten"]
    assert list(ids) == [f"e{n}" for n in range(count - len(ids), count)]
    newest = record("a", f"e{count - 1}", START + count)
    engine.process([newest, record("a", "e0", START + count)])
    assert engine.counters["duplicate"] == 1
