"""The backtest over ten million events, of 46 hours: as ``bench_backtest``, and long enough to tell
how memory grows. A run takes minutes, so it is made only when it is named."""

from benchmarks import bench_backtest
from benchmarks.figures import Figure

EVENTS = 10_000_000
QUICK = {"events": 1_000_000}


def run(events: int = EVENTS) -> list[Figure]:
    """What ``bench_backtest`` measures, of more events."""
    return bench_backtest.run(events)
