"""The worker's cyclic collector: off, looking when it is quiet, and with nothing to find."""

import gc
from collections.abc import Iterator

import pytest

from benchmarks import workload
from forestall.app.collecting import EVERY, QUIET, Collecting
from forestall.contracts.control import DecideSettings
from forestall.decide.backtest import opening
from forestall.decide.stage import Stage
from forestall.log.memory import MemoryLog
from forestall.log.streams import signals


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """As before, for the tests after this."""
    yield
    gc.unfreeze()
    gc.enable()


class Time:
    """A clock set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_never_collects_while_there_is_work() -> None:
    time = Time()
    collecting = Collecting(time)
    assert not gc.isenabled()
    assert gc.get_freeze_count() > 1_000
    for second in range(1, 500):
        time.now = float(second)
        collecting.worked()
        time.now += QUIET / 2
        assert not collecting.rested()


def test_it_collects_once_it_is_quiet_and_rarely() -> None:
    time = Time()
    collecting = Collecting(time)
    time.now = EVERY - 0.1
    assert not collecting.rested()
    time.now = EVERY
    collecting.worked()
    assert not collecting.rested()
    time.now = EVERY + QUIET
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    frozen = gc.get_freeze_count()
    kept = [[] for _ in range(100)]  # type: ignore[var-annotated]
    assert collecting.rested()
    assert gc.get_freeze_count() >= frozen + len(kept)
    assert gc.collect() == 0
    assert not collecting.rested()
    time.now += EVERY
    assert collecting.rested()


def test_deciding_makes_no_cycles() -> None:
    """Nothing is found after 20,000 events, some of which intervene, and the timers after them."""
    log, own = MemoryLog(), MemoryLog()
    records = list(workload.records(20_000))
    stage = Stage(log, own)
    stage.apply(opening(workload.bundle(), DecideSettings()))
    for start in range(0, 1_000, 100):
        log.commit([signals(records[start : start + 100])], tick=records[start + 99].received)
    while stage.step():
        pass
    gc.disable()
    gc.collect()
    for start in range(1_000, len(records), 100):
        log.commit([signals(records[start : start + 100])], tick=records[start + 99].received)
        while stage.step():
            pass
    assert stage.engine.counters["records"] >= 19_000
    assert gc.collect() == 0
