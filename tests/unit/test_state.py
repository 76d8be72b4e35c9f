"""Which ids the engine knows: an event is itself for seven days, however they are kept."""

from collections.abc import Iterator

import pytest

from forestall.contracts.event import Record
from forestall.contracts.instants import DAY, HOUR, MINUTE
from forestall.decide import state
from forestall.decide.engine import Engine
from forestall.decide.snapshot import decode_state, encode_state
from forestall.decide.state import MANY, NEVER, REPEATED_WITHIN, Subject, forget, idle, repeats

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
    [
        (4_000, 1_500, 10 * MINUTE),
        (4_000, 400, HOUR),
        (1_500, 40, HOUR),
        (600, 100, 2 * DAY),
        (900, 150, 8 * HOUR),
    ],
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


def engine_with(count: int) -> tuple[Engine, Subject]:
    """An engine that has taken so many ids of one source, and their subject."""
    engine = Engine()
    engine.process([record("a", f"e{n}", START + n) for n in range(count)])
    return engine, engine.population.enter("p")


def test_the_times_of_many_ids_lie_in_an_array() -> None:
    _, subject = engine_with(MANY)
    assert subject.seen["a"] == {f"e{n}": START + n for n in range(MANY)}
    assert subject.received is None
    _, subject = engine_with(MANY + 5)
    assert list(subject.seen["a"].values()) == [*range(START, START + MANY), *[None] * 5]
    assert subject.received is not None
    assert list(subject.received["a"]) == list(range(START + MANY, START + MANY + 5))


def test_an_id_that_has_grown_old_is_known_anew_and_takes_those_before_it_along() -> None:
    _, subject = engine_with(3 * MANY)
    for old in (3, MANY, 2 * MANY):
        again = START + old + REPEATED_WITHIN
        assert repeats(subject, "a", f"e{old}", again)
        assert not repeats(subject, "a", f"e{old}", again + 1)
        assert next(iter(subject.seen["a"])) == f"e{old + 1}"
        assert subject.seen["a"][f"e{old}"] is None
        assert subject.received is not None
        assert subject.received["a"][-1] == again + 1


def test_few_ids_have_their_times_themselves_again() -> None:
    _, subject = engine_with(3 * MANY)
    again = START + 3 * MANY - 3 + REPEATED_WITHIN
    assert not repeats(subject, "a", "e0", again)
    assert subject.received == {}
    assert subject.seen["a"] == {
        **{f"e{n}": START + n for n in range(3 * MANY - 3, 3 * MANY)},
        "e0": again,
    }
    assert not repeats(subject, "a", "e0", again + REPEATED_WITHIN + 1)
    assert subject.seen == {"a": {"e0": again + REPEATED_WITHIN + 1}}


def test_a_subject_is_idle_once_its_oldest_id_is_too_old() -> None:
    engine, subject = engine_with(2 * MANY)
    subject.clock = NEVER
    for kept in range(2 * MANY - 1):
        oldest = START + kept
        engine.tick(oldest + REPEATED_WITHIN)
        assert not idle(subject, engine._needs())
        engine.tick(oldest + REPEATED_WITHIN + 1)
        assert idle(subject, engine._needs())
        forget(subject, engine._needs())
        assert next(iter(subject.seen["a"])) == f"e{kept + 1}"


def test_beyond_so_many_ids_of_a_source_the_oldest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state, "IDS", 10 * MANY)
    engine, count = Engine(), 40 * MANY
    engine.process([record("a", f"e{n}", START + n) for n in range(count)])
    ids = engine.population.enter("p").seen["a"]
    assert len(ids) <= 10 * MANY
    assert len(ids) == count - engine.counters["ids_forgotten"]
    assert list(ids) == [f"e{n}" for n in range(count - len(ids), count)]
    newest = record("a", f"e{count - 1}", START + count)
    engine.process([newest, record("a", "e0", START + count)])
    assert engine.counters["duplicate"] == 1
