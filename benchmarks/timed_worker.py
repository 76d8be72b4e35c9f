"""The worker of a server, as it is, with a stopwatch around the engine: one event at a time.

``python -m benchmarks.timed_worker --config FILE`` runs it until SIGTERM. Then ``timed.json`` in the
data folder says how long events took, and in what state the process was.
"""

import gc
import os
import signal
import sys
import threading
import time
from array import array
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.measure import quantile
from forestall.app.worker import run_worker
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.decide.engine import Engine, Order
from forestall.kernel.settings import load_settings

FILE = "timed.json"


class Timed(msgspec.Struct, frozen=True):
    """Microseconds of ``events``: wall time at some shares, and processor time at the highest.

    ``over_1ms`` counts events. ``threads`` are those of Python and of the process, ``collecting``
    whether the cyclic collector was on, ``collected`` how often it ran, ``cycles`` the objects it
    found in the end that only hung on each other.
    """

    events: int
    p50: float
    p99: float
    p9999: float
    most: float
    own_p9999: float
    own_most: float
    over_1ms: int
    threads: tuple[int, int]
    collecting: bool
    collected: int
    cycles: int


class Stopwatch:
    """``process`` in place of the engine's, with the same answers."""

    def __init__(self) -> None:
        self.wall, self.own = array("q"), array("q")
        self._process = Engine.process

    def process(self, engine: Engine, records: Sequence[Record]) -> list[tuple[Order, Decision]]:
        """Decide record by record."""
        made: list[tuple[Order, Decision]] = []
        clock, used, process = time.perf_counter_ns, time.thread_time_ns, self._process
        for index, record in enumerate(records):
            alone = [record]
            before, started = used(), clock()
            decided = process(engine, alone)
            self.wall.append(clock() - started)
            self.own.append(used() - before)
            made += [(2 * index + order, decision) for order, decision in decided]
        return made

    def result(self, threads: tuple[int, int], collecting: bool, collected: int) -> Timed:
        """What was measured."""
        wall, own = sorted(self.wall), sorted(self.own)
        return Timed(
            events=len(wall),
            p50=quantile(wall, 0.5) / 1000,
            p99=quantile(wall, 0.99) / 1000,
            p9999=quantile(wall, 0.9999) / 1000,
            most=wall[-1] / 1000,
            own_p9999=quantile(own, 0.9999) / 1000,
            own_most=own[-1] / 1000,
            over_1ms=sum(1 for took in wall if took > 1_000_000),
            threads=threads,
            collecting=collecting,
            collected=collected,
            cycles=gc.collect(),
        )


def main(config: Path) -> None:
    """Run the worker until SIGTERM."""
    settings = load_settings(config)
    settings.data.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    watch = Stopwatch()

    def process(engine: Engine, records: Sequence[Record]) -> list[tuple[Order, Decision]]:
        return watch.process(engine, records)

    Engine.process = process  # type: ignore[method-assign, assignment]
    before = _collections()
    run_worker(config, settings, stop.is_set)
    threads = threading.active_count(), len(os.listdir("/proc/self/task"))  # noqa: PTH208
    result = watch.result(threads, gc.isenabled(), _collections() - before)
    (settings.data / FILE).write_bytes(msgspec.json.encode(result))


def _collections() -> int:
    return int(sum(generation["collections"] for generation in gc.get_stats()))


if __name__ == "__main__":
    main(Path(sys.argv[sys.argv.index("--config") + 1]))
