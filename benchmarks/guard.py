"""Has the code become slower? A small version of three benchmarks, for ``make check``.

Each measure is the speed of ours as a share of the speed of its limit, by the median of many short
turns in processor time, so that a busy machine slows both. A share below its threshold is measured
again, three times at most: noise passes, a loss of 30 % does not.
"""

import argparse
import importlib
import importlib.util
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from benchmarks import workload
from benchmarks.bench_decide import Deciding, RecordWithData, decode_alone, slices
from benchmarks.engines import Decides, engine_of
from benchmarks.measure import collector_at_rest, in_turns, middle_share, quantile
from forestall.context.core import CORE

THRESHOLDS = Path(__file__).with_suffix(".toml")
TRIES = 3
TURNS = 31
SLICE = 2_000
WARM = 5
"""Turns at the start that do not count."""

SLACK = 0.87
SLACK_OF_TAILS = 0.65
"""A threshold as a part of the share on a quiet machine; tails vary more with what others do."""

Measure = Callable[[], Mapping[str, float]]


class Verdict(msgspec.Struct, frozen=True):
    """A measure's best share, and the threshold it was held against."""

    name: str
    share: float
    threshold: float

    @property
    def passed(self) -> bool:
        """Whether it is fast enough."""
        return self.share >= self.threshold

    def __str__(self) -> str:
        verb = "is at least" if self.passed else "IS BELOW"
        return f"{self.name}: {self.share:.3f} of the limit's speed {verb} {self.threshold:.3f}"


def decide(engine: Decides | None = None, turns: int = TURNS) -> dict[str, float]:
    """Decoding and deciding, against decoding alone."""
    deciding = Deciding(engine or engine_of(workload.bundle()))
    work = slices((turns + WARM) * SLICE, SLICE, (500,))
    with collector_at_rest():
        limit, ours = in_turns(work, decode_alone, deciding)
    return {"decide": middle_share(limit[WARM:], ours[WARM:])}


def latency(engine: Decides | None = None, turns: int = TURNS) -> dict[str, float]:
    """One event in the engine, against decoding that one event: the middle and the tail."""
    engine = engine or engine_of(workload.bundle())
    middles, tails = [], []
    with collector_at_rest():
        for number, records in enumerate(workload.batches((turns + WARM) * SLICE, SLICE)):
            lines = [msgspec.json.encode(record) for record in records]
            limit = quantile(_each(_decode_one, lines), 0.5)
            ours = _each(engine.process, [[record] for record in records])
            if number >= WARM:
                middles.append(limit / quantile(ours, 0.5))
                tails.append(limit / quantile(ours, 0.99))
    return {"latency": median(middles), "latency_tail": median(tails)}


_decode_one = msgspec.json.Decoder(RecordWithData).decode


def _each(act: Callable[[Any], object], things: Sequence[Any]) -> list[int]:
    """Nanoseconds of processor time that each took, sorted."""
    clock = time.thread_time_ns
    took = []
    for thing in things:
        started = clock()
        act(thing)
        took.append(clock() - started)
    return sorted(took)


def measures() -> list[Measure]:
    """What the guard measures here."""
    found: list[Measure] = [decide, latency]
    if importlib.util.find_spec("benchmarks.bench_ingest") is not None:
        found.append(accept)
    return found


def accept() -> dict[str, float]:
    """Accepting events, against what it cannot do without; see ``bench_ingest``."""
    ratio: Callable[[], float] = importlib.import_module("benchmarks.bench_ingest").accept_ratio
    return {"accept": ratio()}


def judge(measure: Measure, thresholds: Mapping[str, float], tries: int = TRIES) -> list[Verdict]:
    """Measure until all is fast enough, ``tries`` times at most; the best share of each name.

    A name without a threshold passes.
    """
    best: dict[str, float] = {}
    for _ in range(tries):
        for name, share in measure().items():
            best[name] = max(share, best.get(name, 0.0))
        verdicts = [Verdict(name, share, thresholds.get(name, 0.0)) for name, share in best.items()]
        if all(verdict.passed for verdict in verdicts):
            break
    return verdicts


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all is fast enough, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    parser.add_argument(
        "--measure", action="store_true", help="print shares as thresholds, judge nothing"
    )
    options = parser.parse_args(arguments)
    if options.measure:
        for measure in measures():
            for name, share in measure().items():
                slack = SLACK_OF_TAILS if name.endswith("tail") else SLACK
                print(f"{name} = {slack * share:.4f}   # measured: {share:.4f}")
        return 0
    found = tomllib.loads(THRESHOLDS.read_text())
    thresholds = {**found, **found.get(CORE, {})}
    verdicts = [verdict for measure in measures() for verdict in judge(measure, thresholds)]
    for verdict in verdicts:
        print(verdict)
    slow = [verdict.name for verdict in verdicts if not verdict.passed]
    if slow:
        print(f"slower than it was: {', '.join(slow)}; profile it, or set {THRESHOLDS.name} anew")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
