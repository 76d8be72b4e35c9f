"""How long one event is inside the engine, in the worker of a running server under load.

The gateway, the app process and the worker are the real ones; a stopwatch lies around the engine
(``timed_worker``). The workload comes over HTTP at fixed times.
"""

import tempfile
import time
from pathlib import Path

import msgspec
import uvloop

from benchmarks import workload
from benchmarks.bench_ingest import contracts
from benchmarks.figures import Figure
from benchmarks.sending import BATCH, Load, requests
from benchmarks.served import Served, served
from benchmarks.timed_worker import FILE, Timed
from forestall.kernel.clock import wall_clock
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import DECIDED, SIGNALS

RATE = 4_000
QUICK = {"seconds": 5.0, "made": 1_000}


def run(seconds: float = 60.0, made: int = 10_000) -> list[Figure]:
    """Send ``RATE`` events a second for so long, from ``made`` different requests."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contracts(folder / "contracts")
        policies = {file.name: file.read_text() for file in workload.POLICIES.iterdir()}
        more = '[contracts]\nfolder = "contracts"\n'
        modules = {"worker": "benchmarks.timed_worker"}
        with served(folder, policies, more=more, modules=modules) as server:
            load = Load(server.port, requests(made, wall_clock()))
            uvloop.run(_steady(load, seconds))
            _decided(server)
            memory = server.memory()["worker"]
        timed = msgspec.json.decode((folder / "data" / FILE).read_bytes(), type=Timed)
    assert not timed.collecting
    what = "one event in the engine of a running worker"
    return [
        Figure(f"{what}, p50", timed.p50, "µs", "F4", at_most=5.0),
        Figure(f"{what}, p99", timed.p99, "µs", "F4"),
        Figure(f"{what}, p99.99", timed.p9999, "µs", "F4", at_most=1000.0),
        Figure(f"{what}, worst", timed.most, "µs", "F4"),
        Figure(f"{what}, p99.99, processor time only", timed.own_p9999, "µs", "F4"),
        Figure(f"{what}, worst, processor time only", timed.own_most, "µs", "F4"),
        Figure("events longer than 1 ms there, of a million", 1e6 * timed.over_1ms / timed.events,
               "", "F4"),
        Figure("events timed there", timed.events, "events", "F4"),
        Figure("Python threads of the worker, with that of checkpoints", timed.threads[0], "",
               "F4", at_most=2),
        Figure("its collections, at the start included", timed.collected, "", "F4"),
        Figure("objects in reference cycles at the end", timed.cycles, "", "F4"),
        Figure("its memory", memory, "MB", "F4"),
    ]  # fmt: skip


def _decided(server: Served) -> None:
    """Wait until the worker has come to the end of the log."""
    signals = SqliteLog(server.data / "gateway.db", read_only=True)
    decisions = SqliteLog(server.data / "worker.db", read_only=True)
    deadline = time.monotonic() + 60
    while decisions.cursor(DECIDED) < signals.last(SIGNALS):
        assert time.monotonic() < deadline, "the worker is far behind"
        time.sleep(0.05)
    signals.close()
    decisions.close()


async def _steady(load: Load, seconds: float) -> None:
    tally = await load.open(RATE / BATCH, 16, seconds)
    await load.close()
    assert set(tally.statuses) == {202}, tally.statuses
