"""Which ids the engine knows: an event is itself for seven days, however they are kept."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from forestall.context import ids
from forestall.context.ids import REPEATED_WITHIN
from forestall.contracts.event import Record
from forestall.contracts.instants import DAY, HOUR, MINUTE
from forestall.decide.engine import Engine
from forestall.decide.snapshot import decode_state, encode_state
from forestall.decide.state import NEVER, Subject, forget, idle

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


@pytest.fixture(params=["python", "typed"])
def twin(request: pytest.FixtureRequest) -> ModuleType:
    """Each of the two cores; the typed one where it has been compiled."""
    return pytest.importorskip("forestall.context.typed") if request.param == "typed" else ids


def known(twin: ModuleType, count: int) -> Any:
    """So many ids, which came one microsecond after the other."""
    made = twin.Ids()
    assert made.oldest() is None
    assert made.content() is None
    for n in range(count):
        assert made.add("a", f"e{n}", START + n) == 0
    return made


@pytest.mark.parametrize("count", [2, 8, 9, 100, 5_000])
def test_an_id_is_known_for_seven_days_and_no_longer(twin: ModuleType, count: int) -> None:
    made = known(twin, count)
    last = START + count - 1
    assert [made.add("a", f"e{n}", last) for n in range(count)] == [-1] * count
    assert made.add("b", "e0", last) == made.add("ae", "0", last) == made.add("a", "", last) == 0
    assert made.add("a", "e0", START + REPEATED_WITHIN) == -1
    assert made.add("a", "e0", START + REPEATED_WITHIN + 1) == 0
    assert made.add("a", "e0", START + REPEATED_WITHIN + 1) == -1
    assert len(made) == count + 3


def test_an_id_that_has_grown_old_takes_those_before_it_along(twin: ModuleType) -> None:
    made = known(twin, 96)
    for old in (3, 32, 64):
        again = START + old + REPEATED_WITHIN
        assert made.add("a", f"e{old}", again) == -1
        assert made.add("a", f"e{old}", again + 1) == 0
        assert made.oldest() == START + old + 1


def test_ids_that_nothing_can_repeat_do_not_pile_up(twin: ModuleType) -> None:
    made, day = twin.Ids(), REPEATED_WITHIN // 7
    for n in range(4_000):
        at = START + n * day // 10
        assert made.add("a", f"e{n}", at) == 0
        assert len(made) <= 70 + ids.LOOK_BACK
        assert made.add("a", f"e{max(n - 70, 0)}", at) == -1


@pytest.mark.parametrize("count", [5, 40, 3_000])
def test_the_oldest_ids_go_first(twin: ModuleType, count: int) -> None:
    made = known(twin, count)
    for gone in (1, 2, count // 2, count - 1, count):
        assert made.left(START + gone) == count - gone == len(made)
        assert made.oldest() == (START + gone if gone < count else None)
    again = START + count
    assert [made.add("a", f"e{n}", again) for n in range(count)] == [0] * count


@pytest.mark.parametrize("size", [*range(1, 12), 31, 32, 33, 63, 64, 65, 254, 255, 256, 300, 1_000])
def test_both_cores_know_ids_by_the_same_hashes(size: int) -> None:
    typed = pytest.importorskip("forestall.context.typed")
    ours, theirs = ids.Ids(), typed.Ids()
    for n in range(12):
        for name in (f"{n}" + "x" * size, "é\U0001f600" * size + f"{n}"):
            assert ours.add("s" * n, name, START) == theirs.add("s" * n, name, START) == 0
    assert ours.content() == theirs.content()
    for twin, content in ((ids.Ids, theirs.content()), (typed.Ids, ours.content())):
        again = twin.restored(content)
        assert again.content() == content
        assert again.add("s", "1" + "x" * size, START) == -1


def test_a_subject_is_idle_once_its_oldest_id_is_too_old() -> None:
    engine, subject = engine_with(64)
    subject.clock = NEVER
    for kept in range(63):
        oldest = START + kept
        engine.tick(oldest + REPEATED_WITHIN)
        assert not idle(subject, engine._needs())
        engine.tick(oldest + REPEATED_WITHIN + 1)
        assert idle(subject, engine._needs())
        forget(subject, engine._needs())
        assert subject.ids.oldest() == oldest + 1


def test_beyond_so_many_ids_the_oldest_are_forgotten(
    twin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "IDS", 2_000)
    made, count = twin.Ids(), 9_000
    forgotten = sum(made.add("a", f"e{n}", START + n) for n in range(count))
    assert forgotten
    assert len(made) <= 2_000
    assert len(made) == count - forgotten
    assert made.oldest() == START + forgotten
    assert made.add("a", f"e{count - 1}", START + count) == -1
    assert made.add("a", "e0", START + count) >= 0


def test_forgotten_ids_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "IDS", 2_000)
    engine, subject = engine_with(2_001)
    assert len(subject.ids) == 1_981
    assert engine.counters["ids_forgotten"] == 20


def test_records_come_in_any_sequence_and_are_records() -> None:
    engine = Engine()
    engine.process(tuple(record("a", f"e{n}", START + n) for n in range(40)))
    assert engine.counters["records"] == 40
    assert len(engine.population.enter("p").ids) == 40
    with pytest.raises((AttributeError, TypeError)):
        engine.process([object()])  # type: ignore[list-item]
