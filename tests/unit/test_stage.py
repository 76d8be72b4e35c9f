"""The worker's stage over logs in memory: cursors, crashes, snapshots, new features."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.contracts.control import Control, SettingsApplied, SwitchesApplied
from forestall.contracts.decision import Decided
from forestall.contracts.instants import SECOND
from forestall.decide.snapshot import unpack
from forestall.decide.stage import SNAPSHOT, Stage
from forestall.decide.state import Subject
from forestall.log import streams
from forestall.log.memory import Crash, MemoryLog, Trouble
from forestall.log.port import LogFull
from forestall.log.streams import COUNTED, DECIDED
from forestall.policy.bundle import Bundle, applied
from forestall.policy.language.model import Policy
from scenario import OPEN, START, event, on, records

TWICE = on("{sequence: [{event: a, times: 2}]}")
SILENCE = on("{sequence: [{event: a}, {not: b, for: 30s}]}")


def signals_of(batches: Sequence[Sequence[bytes]]) -> MemoryLog:
    log = MemoryLog()
    for lines in batches:
        log.commit([streams.signals(records(*lines))])
    return log


def in_force(*policies: Policy) -> list[Control]:
    return [
        SettingsApplied(0, OPEN, "test", "test"),
        applied(Bundle(policies=policies), 0, "test", "test"),
    ]


def decided(own: MemoryLog) -> list[Decided]:
    return [one for batch in own.follow(streams.DECISIONS) for one in streams.read_decisions(batch)]


def run(signals: MemoryLog, own: MemoryLog, limit: int = 64) -> Stage:
    stage = Stage(signals, own)
    if not stage.governing:
        stage.apply(in_force(TWICE, on("{event: c}", "q")))
    while stage.step(limit):
        pass
    return stage


def known(stage: Stage) -> dict[str, Subject]:
    """What the stage's engine knows of every subject."""
    packed = stage.engine.snapshot().subjects
    subjects = {name: unpack(content) for name, content in packed.items()}
    for subject in subjects.values():
        subject.generation = 0
    return subjects


def test_a_decision_stands_beside_its_cursor_and_knows_its_place() -> None:
    signals = signals_of([[event(0, "a"), event(1, "x")], [event(2, "a"), event(3, "c")]])
    own = MemoryLog()
    run(signals, own)
    first, second = decided(own)
    assert (first.position, first.order, first.decision.policy) == (2, 1, "p")
    assert (second.position, second.order, second.decision.policy) == (2, 3, "q")
    assert first.noticed == START + 2 * SECOND
    assert own.cursor(DECIDED) == 2


def test_a_tick_notices_a_deadline_once_also_across_a_restart() -> None:
    signals, own = signals_of([[event(0, "a")]]), MemoryLog()
    stage = Stage(signals, own)
    stage.apply(in_force(SILENCE))
    stage.step()
    signals.commit(tick=START + 32 * SECOND)
    assert not stage.step()
    signals.commit(tick=START + 32 * SECOND + 1)
    assert stage.step()
    (one,) = decided(own)
    assert (one.position, one.order, one.noticed) == (1, 2, START + 32 * SECOND + 1)
    again = Stage(signals, own)
    assert not again.step()
    signals.commit([streams.signals(records(event(60, "x")))])
    again.step()
    assert len(decided(own)) == 1


def test_counters_account_for_every_record() -> None:
    late = event(0, "a", event_id="late", received=1000)
    signals = signals_of([[event(0, "a"), event(0, "a")], [late]])
    own = MemoryLog()
    run(signals, own)
    counters = json.loads(own.snapshot(COUNTED) or b"")
    assert (counters["records"], counters["duplicate"], counters["late"]) == (3, 1, 1)


LINES = [event(t, "a" if t % 3 else "c", {"k": t % 2}, subject=f"u{t % 4}") for t in range(40)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=20), st.integers(1, 4), st.data())
def test_batches_limits_restarts_and_snapshots_change_nothing(
    sizes: list[int], limit: int, data: st.DataObject
) -> None:
    whole = MemoryLog()
    run(signals_of([LINES]), whole)
    expected = [one.decision for one in decided(whole)]
    batches, rest = [], list(LINES)
    for size in sizes:
        batches.append(rest[:size])
        rest = rest[size:]
    signals = signals_of([batch for batch in [*batches, rest] if batch])
    own = MemoryLog()
    stage = Stage(signals, own)
    stage.apply(in_force(TWICE, on("{event: c}", "q")))
    while stage.step(limit):
        if data.draw(st.booleans()):
            stage.rest()
        if data.draw(st.booleans()):
            stage = Stage(signals, own)
    assert [one.decision for one in decided(own)] == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 3), st.data())
def test_rounds_written_while_deciding_goes_on_change_nothing(
    longest: int, slices: int, data: st.DataObject
) -> None:
    whole = MemoryLog()
    run(signals_of([LINES]), whole)
    signals, own = signals_of([[line] for line in LINES]), MemoryLog()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("forestall.decide.population.SAVED_EVENTS", longest)
        patch.setattr("forestall.decide.stage.AT_ONCE", slices)
        patch.setattr("forestall.decide.stage.PIECES", slices)
        patch.setattr("forestall.decide.population.MANY", data.draw(st.sampled_from([0, 99])))
        stage = Stage(signals, own)
        stage.apply(in_force(TWICE, on("{event: c}", "q")))
        while stage.step(1):
            if data.draw(st.integers(0, 4)) == 0:
                restored = Stage(signals, own)
                assert known(restored) == known(stage)
                stage = restored
    assert [one.decision for one in decided(own)] == [one.decision for one in decided(whole)]


@pytest.mark.parametrize("trouble", ["before", "after", "full"])
def test_trouble_at_a_commit_loses_and_doubles_nothing(trouble: Trouble) -> None:
    expected = MemoryLog()
    run(signals_of([LINES]), expected)
    signals = signals_of([[line] for line in LINES])
    for commit in range(1, 12):
        own = MemoryLog({commit: trouble})
        for _ in range(3):
            try:
                run(signals, own, limit=4)
            except (Crash, LogFull):
                continue
        assert [one.decision for one in decided(own)] == [one.decision for one in decided(expected)]


@pytest.mark.parametrize("trouble", ["before", "after", "full"])
def test_trouble_while_a_round_is_written_loses_and_doubles_nothing(
    trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = MemoryLog()
    end = known(run(signals_of([LINES]), expected))
    signals = signals_of([[line] for line in LINES])
    monkeypatch.setattr("forestall.decide.population.SAVED_EVENTS", 2)
    monkeypatch.setattr("forestall.decide.stage.AT_ONCE", 1)
    monkeypatch.setattr("forestall.decide.stage.PIECES", 1)
    for commit in range(1, 25):
        own = MemoryLog({commit: trouble})
        for _ in range(3):
            try:
                run(signals, own, limit=4)
            except (Crash, LogFull):
                continue
        assert [one.decision for one in decided(own)] == [one.decision for one in decided(expected)]
        assert known(Stage(signals, own)) == end


def test_a_round_is_written_in_small_commits_between_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("forestall.decide.stage.AT_ONCE", 10)
    signals, own = signals_of([[event(t, "a", subject=f"s{t}")] for t in range(64)]), MemoryLog()
    stage = run(signals, own)
    sizes: list[tuple[int, bool]] = []
    real = own.commit

    def commit(*arguments: Any, **named: Any) -> Sequence[int]:
        sizes.append((len(named.get("pieces", ())), "cursors" in named))
        return real(*arguments, **named)

    monkeypatch.setattr(own, "commit", commit)
    stage.rest()
    assert sum(pieces for pieces, _ in sizes) == 64
    assert max(pieces for pieces, _ in sizes) <= 12
    assert sizes[-1][1]


def test_a_new_version_with_the_same_pattern_goes_on_and_another_starts_empty() -> None:
    signals, own = signals_of([[event(0, "a")]]), MemoryLog()
    stage = Stage(signals, own)
    stage.apply(in_force(TWICE))
    stage.step()
    stage.apply(in_force(on("{sequence: [{event: a, times: 2}]}", priority=90)))
    signals.commit([streams.signals(records(event(1, "a")))])
    stage.step()
    assert len(decided(own)) == 1
    signals.commit([streams.signals(records(event(2, "a")))])
    stage.step()
    stage.apply(in_force(on("{sequence: [{event: a, times: 2}], within: 1h}")))
    signals.commit([streams.signals(records(event(3, "a")))])
    stage.step()
    assert len(decided(own)) == 1


@pytest.mark.parametrize("rest", [False, True])
def test_a_new_feature_is_filled_from_the_log(rest: bool) -> None:
    signals, own = signals_of([[event(t, "a")] for t in range(5)]), MemoryLog()
    stage = Stage(signals, own)
    stage.apply(in_force(TWICE))
    while stage.step():
        pass
    counting = on("{event: c}", "q", features={"n": {"count": "a", "over": "3s"}})
    stage.apply(in_force(counting))
    if rest:
        stage.rest()
        stage = Stage(signals, own)
    signals.commit([streams.signals(records(event(5, "c")))])
    stage.step()
    assert decided(own)[-1].decision.features == {"n": 2}


def test_control_takes_effect_after_all_that_was_decided() -> None:
    signals, own = signals_of([[event(5, "c")]]), MemoryLog()
    stage = Stage(signals, own)
    stage.apply(in_force(on("{event: c}", "q")))
    stage.step()
    stage.apply([SwitchesApplied(0, ("q",), False, "test", "test")])
    assert stage.governing[-1].received == START + 5 * SECOND + 1
    signals.commit([streams.signals(records(event(6, "c")))])
    stage.step()
    assert [one.decision.reason for one in decided(own)] == [None, "killed"]


def test_a_snapshot_is_written_every_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forestall.decide.population.SAVED_EVENTS", 3)
    own = MemoryLog()
    stage = Stage(signals_of([[line] for line in LINES[:5]]), own)
    stage.apply(in_force(TWICE))
    stage.step(2)
    assert own.snapshot(SNAPSHOT) is None
    while stage.step(2):
        pass
    assert own.snapshot(SNAPSHOT) is not None


@pytest.mark.parametrize(
    "spoilt", [b"", b"\x93", msgspec.msgpack.encode({"position": 40, "count": 1, "state": b""})]
)
def test_a_snapshot_that_cannot_be_read_is_made_good_from_the_log(spoilt: bytes) -> None:
    whole, own = MemoryLog(), MemoryLog()
    run(signals_of([[line] for line in LINES]), whole)
    signals = signals_of([[line] for line in LINES[:20]])
    run(signals, own).rest()
    own.commit(snapshots={SNAPSHOT: spoilt})
    for line in LINES[20:]:
        signals.commit([streams.signals(records(line))])
    run(signals, own)
    assert [one.decision for one in decided(own)] == [one.decision for one in decided(whole)]
