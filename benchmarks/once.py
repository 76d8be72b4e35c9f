"""One run of one benchmark, in this process: figures as JSON. The frame starts it."""

import importlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from benchmarks.figures import Figure
from benchmarks.measure import fsync_seconds


class Run(msgspec.Struct, frozen=True):
    """What one run found, and the median fsync (milliseconds) before and after it."""

    fsync_ms: float
    figures: list[Figure]


def main(arguments: Sequence[str]) -> None:
    """Run the benchmark named first; ``--quick`` after it makes the run small."""
    bench = importlib.import_module(f"benchmarks.bench_{arguments[0]}")
    options = getattr(bench, "QUICK", {}) if "--quick" in arguments else {}
    folder = Path(tempfile.gettempdir())
    fsyncs = fsync_seconds(folder)
    figures: list[Figure] = bench.run(**options)
    fsyncs += fsync_seconds(folder)
    print(msgspec.json.encode(Run(1000 * median(fsyncs), figures)).decode())


if __name__ == "__main__":
    main(sys.argv[1:])
