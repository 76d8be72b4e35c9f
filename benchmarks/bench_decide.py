"""Deciding, as a share of the speed of decoding alone: on one core, everything switched on.

The limit decodes the log's own bytes into Structs, ``data`` into dicts. Ours decodes the same bytes
and decides them under the 20 policies, in batches of 100 to 1,000. They take turns every few
thousand events, and both are timed in processor time. The limit has a process of its own, whose
memory is as Python arranges it.
"""

import itertools
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import msgspec

from benchmarks import workload
from benchmarks.engines import Decides, engine_of
from benchmarks.figures import Figure
from benchmarks.measure import collector_at_rest, in_turns
from forestall.contracts.event import Origin
from forestall.log.port import Batch
from forestall.log.streams import read_signals, signals

SIZES = (100, 250, 500, 1000)
SLICE = 5_000
QUICK = {"events": 100_000}


class RecordWithData(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record as the log keeps it, with its ``data`` decoded."""

    id: str
    source: str
    type: str
    subject: str
    time: int
    received: int
    origin: Origin = "server"
    data: dict[str, object] = {}
    traceparent: str | None = None


_decode = msgspec.json.Decoder(list[RecordWithData]).decode


def decode_alone(batches: list[Batch]) -> None:
    """The limit: Structs, and dicts in them."""
    for batch in batches:
        _decode(batch.payload)


def decode_lazily(batches: list[Batch]) -> None:
    """Structs only; ``data`` stays text."""
    for batch in batches:
        read_signals(batch)


def slices(events: int, each: int = SLICE, sizes: tuple[int, ...] = SIZES) -> Iterator[list[Batch]]:
    """The log's own bytes for the workload's first events: lists of batches, each of one size."""
    records = workload.records(events)
    for size in itertools.cycle(sizes):
        chunk = list(itertools.islice(records, each))
        if not chunk:
            return
        appends = [signals(chunk[start : start + size]) for start in range(0, len(chunk), size)]
        yield [Batch(1, one.received, one.count, bytes(one.payload)) for one in appends]


class Deciding:
    """Decode and decide; counts the decisions."""

    def __init__(self, engine: Decides) -> None:
        self.engine = engine
        self.decisions = 0

    def __call__(self, batches: list[Batch]) -> None:
        """Ours."""
        for batch in batches:
            self.decisions += len(self.engine.process(read_signals(batch)))


Spent = tuple[float, float]
"""Seconds of processor time of the two limits: ``data`` left as text, and decoded."""


@contextmanager
def limits() -> Iterator["Connection[list[Batch] | None, Spent]"]:
    """A process that decodes the batches it is sent both ways, and answers with what that took."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_decode_both, args=(theirs,))
    process.start()
    theirs.close()
    try:
        yield ours
        ours.send(None)
    finally:
        ours.close()
        process.join()


def _decode_both(connection: "Connection[Spent, list[Batch] | None]") -> None:
    with collector_at_rest():
        while (batches := connection.recv()) is not None:
            (lazy,), (alone,) = in_turns([batches], decode_lazily, decode_alone)
            connection.send((lazy, alone))


def run(events: int = workload.EVENTS) -> list[Figure]:
    """Decode and decide the workload once."""
    deciding = Deciding(engine_of(workload.bundle()))
    lazy = alone = ours = 0.0
    with limits() as connection, collector_at_rest():
        for batches in slices(events):
            connection.send(batches)
            spent = connection.recv()
            ((took,),) = in_turns([batches], deciding)
            lazy, alone, ours = lazy + spent[0], alone + spent[1], ours + took
    return [
        Figure(
            "decode and decide, of the speed of decoding alone",
            alone / ours,
            "",
            "F3",
            at_least=0.30,
            target="at least 0.30, better 0.45",
        ),
        Figure(
            "decode and decide, of decoding with `data` left as text",
            lazy / ours,
            "",
            "F3",
        ),
        Figure("decoded alone", events / alone, "events/s", "F3"),
        Figure("decoded and decided", events / ours, "events/s", "F3"),
        Figure("decisions in 1,000 events", 1000 * deciding.decisions / events, "", "F3"),
    ]
