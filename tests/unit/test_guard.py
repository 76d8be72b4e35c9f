"""The guard: shares against their thresholds, and that it notices a loss of speed."""

import time
import tomllib
from collections.abc import Sequence

import pytest

from benchmarks import guard, workload
from benchmarks.engines import engine_of
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.decide.engine import Engine, Order


class Slower:
    """An engine that takes 40 % more processor time for everything."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def process(self, records: Sequence[Record]) -> list[tuple[Order, Decision]]:
        started = time.thread_time_ns()
        decided = self._engine.process(records)
        until = started + 1.4 * (time.thread_time_ns() - started)
        while time.thread_time_ns() < until:
            pass
        return decided


@pytest.mark.parametrize("name", ["decide", "latency"])
def test_the_guard_fails_when_deciding_takes_40_percent_longer(name: str) -> None:
    measured = {"decide": guard.decide, "latency": guard.latency}[name]
    share = max(measured(turns=15)[name] for _ in range(2))
    thresholds = {name: guard.SLACK * share}
    (slow, *_) = guard.judge(lambda: measured(Slower(_engine()), 15), thresholds)
    assert not slow.passed, str(slow)
    (same, *_) = guard.judge(lambda: measured(_engine(), 15), thresholds)
    assert same.passed, str(same)


def _engine() -> Engine:
    return engine_of(workload.bundle())


def test_a_share_below_its_threshold_is_measured_three_times() -> None:
    shares = iter([0.1, 0.2, 0.15])
    (verdict,) = guard.judge(lambda: {"decide": next(shares)}, {"decide": 0.3})
    assert verdict == guard.Verdict("decide", 0.2, 0.3)
    assert not verdict.passed
    assert "IS BELOW" in str(verdict)
    assert next(shares, None) is None


def test_one_good_measure_is_enough() -> None:
    shares = iter([0.1, 0.4])
    (verdict,) = guard.judge(lambda: {"decide": next(shares)}, {"decide": 0.3})
    assert verdict.passed
    assert "is at least" in str(verdict)


@pytest.mark.parametrize(("share", "code"), [(0.9, 0), (0.01, 1)])
def test_the_guard_answers_by_its_exit_code(
    share: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(guard, "measures", lambda: [lambda: {"decide": share}])
    assert guard.main([]) == code
    assert ("slower than it was: decide" in capsys.readouterr().out) is bool(code)


def test_measuring_prints_thresholds_that_can_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(guard, "measures", lambda: [lambda: {"decide": 0.5}])
    assert guard.main(["--measure"]) == 0
    assert capsys.readouterr().out == "decide = 0.4350   # measured: 0.5000\n"


def test_every_measure_has_a_threshold() -> None:
    names = {*guard.decide(turns=1), *guard.latency(turns=1), "accept"}
    thresholds = tomllib.loads(guard.THRESHOLDS.read_text())
    assert thresholds.pop("typed").keys() < names
    assert thresholds.keys() == names
