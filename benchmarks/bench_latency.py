"""How long one event is inside the engine: a million of them in each run, one after another.

So five runs are five million events, and their spread is that of five engines. Events are decoded
in batches of 100, as a worker reads them, and then decided one by one; each is timed by the wall,
so that whatever else the machine does is in the tail; the processor time tells what is our own. The
cyclic collector is as in the worker. A smaller part comes at the pace of a worker that is hardly
busy, in the same process: what its caches lose between two batches shows there.
"""

import itertools
import time
from array import array
from collections.abc import Iterator

import msgspec

from benchmarks import workload
from benchmarks.engines import Decides, engine_of
from benchmarks.figures import Figure
from benchmarks.measure import collector_at_rest, quantile
from forestall.contracts.event import Record

BATCH = 100
PACED_BATCH, PACE = 20, 0.005
"""Events of a batch that comes at a pace, and seconds from one to the next."""

QUICK = {"events": 200_000, "paced": 4_000}
SHARES: tuple[tuple[str, float, float | None], ...] = (
    ("p50", 0.5, 5.0),
    ("p99", 0.99, None),
    ("p99.9", 0.999, None),
    ("p99.99", 0.9999, 1000.0),
)
"""Quantiles, and the microseconds that they may take."""

_decode = msgspec.json.Decoder(list[Record]).decode


def run(events: int = workload.EVENTS, paced: int = 40_000) -> list[Figure]:
    """Decide the workload event by event; the last ``paced`` of them at a pace."""
    engine = engine_of(workload.bundle())
    wall, own = array("q"), array("q")
    with collector_at_rest():
        for batch in _batches(events):
            one_by_one(engine, batch, wall, own)
        slow = _at_a_pace(engine, events, paced)
    ordered, used = array("q", sorted(wall)), array("q", sorted(own))
    long = sum(1 for took in ordered if took > 1_000_000)
    return [
        *(
            Figure(
                f"one event in the engine, {name}",
                quantile(ordered, share) / 1000,
                "µs",
                "F4",
                at_most=most,
            )
            for name, share, most in SHARES
        ),
        Figure("one event in the engine, worst", ordered[-1] / 1000, "µs", "F4"),
        Figure("events longer than 1 ms, of a million", 1e6 * long / len(ordered), "", "F4"),
        Figure(
            "one event in the engine, p99.99, processor time only",
            quantile(used, 0.9999) / 1000,
            "µs",
            "F4",
        ),
        Figure(
            f"one event in the engine, p50, in batches of {PACED_BATCH} every {1000 * PACE:.0f} ms",
            quantile(slow, 0.5) / 1000,
            "µs",
            "F4",
        ),
    ]


def _at_a_pace(engine: Decides, begin: int, events: int) -> "array[int]":
    """Nanoseconds by the wall of the ``events`` after the first ``begin``, sorted."""
    wall, own = array("q"), array("q")
    more = itertools.islice(workload.records(begin + events), begin, None)
    for _ in range(events // PACED_BATCH):
        due = time.perf_counter() + PACE
        batch = _decode(msgspec.json.encode(list(itertools.islice(more, PACED_BATCH))))
        time.sleep(max(0.0, due - time.perf_counter()))
        one_by_one(engine, batch, wall, own)
    return array("q", sorted(wall))


def one_by_one(engine: Decides, batch: list[Record], wall: "array[int]", own: "array[int]") -> None:
    """Decide each record alone; adds the nanoseconds by the wall, and of this thread's own."""
    process, clock, used = engine.process, time.perf_counter_ns, time.thread_time_ns
    for record in batch:
        alone = [record]
        before = used()
        started = clock()
        process(alone)
        wall.append(clock() - started)
        own.append(used() - before)


def _batches(events: int) -> Iterator[list[Record]]:
    for block in workload.blocks(events):
        payloads = [
            msgspec.json.encode(block[start : start + BATCH])
            for start in range(0, len(block), BATCH)
        ]
        del block
        yield from map(_decode, payloads)
