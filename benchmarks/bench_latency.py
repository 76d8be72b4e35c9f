"""How long one event is inside the engine: five million of them, one after another.

Events are decoded in batches of 100, as a worker reads them, and then decided one by one; each is
timed by the wall, so that whatever else the machine does is in the tail too. The cyclic collector is
as in the worker.
"""

import time
from array import array
from collections.abc import Iterator

import msgspec

from benchmarks import workload
from benchmarks.engines import Decides, engine_of
from benchmarks.figures import Figure
from benchmarks.measure import collector_at_rest, quantile
from forestall.contracts.event import Record

EVENTS = 5_000_000
BATCH = 100
QUICK = {"events": 500_000}

_decode = msgspec.json.Decoder(list[Record]).decode


def run(events: int = EVENTS) -> list[Figure]:
    """Decide the workload event by event."""
    engine = engine_of(workload.bundle())
    with collector_at_rest():
        took = array("q")
        for batch in _batches(events):
            took.extend(one_by_one(engine, batch))
    ordered = array("q", sorted(took))
    shares = (("p50", 0.5, 5.0), ("p99", 0.99, None), ("p99.9", 0.999, None))
    return [
        *(
            Figure(
                f"one event in the engine, {name}",
                quantile(ordered, share) / 1000,
                "µs",
                "F4",
                at_most=most,
            )
            for name, share, most in (*shares, ("p99.99", 0.9999, 1000.0))
        ),
        Figure("one event in the engine, worst", ordered[-1] / 1000, "µs", "F4"),
        Figure(
            "events longer than 1 ms, of a million",
            1e6 * sum(1 for t in reversed(ordered) if t > 1_000_000) / len(ordered),
            "",
            "F4",
        ),
    ]


def one_by_one(engine: Decides, batch: list[Record]) -> list[int]:
    """Nanoseconds that each of the records took."""
    process, clock = engine.process, time.perf_counter_ns
    took = []
    for record in batch:
        alone = [record]
        started = clock()
        process(alone)
        took.append(clock() - started)
    return took


def _batches(events: int) -> Iterator[list[Record]]:
    for block in workload.blocks(events):
        payloads = [
            msgspec.json.encode(block[start : start + BATCH])
            for start in range(0, len(block), BATCH)
        ]
        del block
        yield from map(_decode, payloads)
