"""The log: events appended durably and read back, and what one commit costs."""

import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.figures import Figure
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import SIGNALS, read_signals, signals

BATCHES = 300
SIZE = 500


def run() -> list[Figure]:
    """Append 150,000 events in batches of 500, one fsync each, and read them all."""
    data = msgspec.Raw(b'{"session":"s","platform":"mobile"}')
    batches = [
        [
            Record(f"e{number}", "bench", "page.viewed", f"p{number % 997}", at, at, data=data)
            for number in range(batch * SIZE, (batch + 1) * SIZE)
            for at in [batch * SECOND]
        ]
        for batch in range(BATCHES)
    ]
    with tempfile.TemporaryDirectory() as folder:
        log = SqliteLog(Path(folder) / "gateway.db")
        started = time.perf_counter()
        for records in batches:
            log.commit([signals(records)])
        appended = time.perf_counter() - started
        started = time.perf_counter()
        count = sum(len(read_signals(batch)) for batch in log.follow(SIGNALS))
        read = time.perf_counter() - started
        log.close()
    return [
        Figure("events appended durably", count / appended, "events/s"),
        Figure("a commit of 500 events", 1000 * appended / BATCHES, "ms"),
        Figure("events read and decoded", count / read, "events/s"),
    ]
