"""The log: events appended durably and read back, and what one commit costs in fsyncs."""

import tempfile
import time
from pathlib import Path

from benchmarks import workload
from benchmarks.figures import Figure
from benchmarks.measure import fsync_seconds, quantile
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import SIGNALS, read_signals, signals

EVENTS = 150_000
SIZE = 500
QUICK = {"events": 30_000}


def run(events: int = EVENTS) -> list[Figure]:
    """Append the workload in batches of 500, one fsync each, and read it all."""
    appends = [signals(batch) for batch in workload.batches(events, SIZE)]
    commits, fsyncs = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = SqliteLog(folder / "gateway.db")
        for append in appends:
            fsyncs += fsync_seconds(folder, 1)
            started = time.perf_counter()
            log.commit([append])
            commits.append(time.perf_counter() - started)
        started = time.perf_counter()
        count = sum(len(read_signals(batch)) for batch in log.follow(SIGNALS))
        read = time.perf_counter() - started
        log.close()
    typical, fsync = quantile(sorted(commits), 0.5), quantile(sorted(fsyncs), 0.5)
    return [
        Figure("events appended durably", count / sum(commits), "events/s"),
        Figure("a commit of 500 events, p50", 1000 * typical, "ms"),
        Figure("a commit of 500 events, in fsyncs", typical / fsync, ""),
        Figure("events read and decoded", count / read, "events/s"),
    ]
