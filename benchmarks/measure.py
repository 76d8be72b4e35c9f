"""Measuring: one thing against another in turns, quantiles, memory, and the collector at rest."""

import gc
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TypeVar

Slice = TypeVar("Slice")
Clock = Callable[[], float]

cpu: Clock = time.process_time
"""Seconds of processor time of this process: what others do on the machine counts little."""


def in_turns(
    slices: Iterable[Slice], *ways: Callable[[Slice], object], clock: Clock = cpu
) -> list[list[float]]:
    """Do each slice of the work in every one of ``ways`` before the next; the seconds of each way.

    So all of them meet the same machine. Making a slice is not timed.
    """
    seconds: list[list[float]] = [[] for _ in ways]
    for one in slices:
        for way, spent in zip(ways, seconds, strict=True):
            started = clock()
            way(one)
            spent.append(clock() - started)
    return seconds


def middle_share(limit: Sequence[float], ours: Sequence[float]) -> float:
    """Our speed as a share of the limit's in the median slice."""
    return median(a / b for a, b in zip(limit, ours, strict=True))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below or at which ``share`` of the values lie, which are sorted: nearest rank."""
    if not ordered:
        raise ValueError("no values")
    rank = -int(-share * len(ordered) // 1)
    return ordered[min(max(rank, 1), len(ordered)) - 1]


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """The cyclic collector as the worker has it: what there is frozen, and then switched off."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fsync_seconds(folder: Path, times: int = 50) -> list[float]:
    """How long it takes to append 4 KB to a file in ``folder`` durably, sorted."""
    path = folder / f"fsync.{os.getpid()}"
    took = []
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(times):
                file.write(b"\0" * 4096)
                started = time.perf_counter()
                os.fsync(file.fileno())
                took.append(time.perf_counter() - started)
    finally:
        path.unlink(missing_ok=True)
    return sorted(took)


@contextmanager
def fsyncs_of(folder: Path) -> Iterator[list[float]]:
    """Seconds of one fsync after another in ``folder`` while it lasts, twenty a second."""
    found: list[float] = []
    over = threading.Event()

    def sync() -> None:
        with (folder / "fsyncs").open("wb", buffering=0) as file:
            while not over.wait(0.05):
                file.write(bytes(4096))
                started = time.perf_counter()
                os.fsync(file.fileno())
                found.append(time.perf_counter() - started)

    thread = threading.Thread(target=sync)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
