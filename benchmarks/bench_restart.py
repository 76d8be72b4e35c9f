"""A worker killed with a million subjects in state: how soon it decides again, and whether writing
its snapshots held up deciding before.

A process of its own decides over a log that holds an event of each subject and more of some, and is
killed with ``kill -9`` while it writes a round. Another is started in its place; what counts is the
time from its start to its first decision on an event that came meanwhile. A stall is the longest
piece of work that a round adds between two batches: beginning it, packing some subjects, or
committing for longer than steps outside of rounds do in the median.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from unittest.mock import patch

import msgspec

from benchmarks import workload
from benchmarks.figures import Figure
from benchmarks.measure import collector_at_rest, quantile
from forestall.contracts.control import DecideSettings
from forestall.contracts.event import Record
from forestall.contracts.instants import MINUTE
from forestall.decide.backtest import opening
from forestall.decide.population import Population
from forestall.decide.stage import Stage
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import signals

SUBJECTS = 1_000_000
MORE = 0.5
"""Events besides the first of each subject, as a share."""

BATCH = 500
STEP = 4
"""Batches a step, as under load."""

LATE = 0.9
"""The share of the log after which the worker is killed in its next round."""

SOURCE = 20_011
QUICK = {"subjects": 60_000}


class Step(msgspec.Struct):
    """What the worker tells of a step: whether a round is being written, and milliseconds of
    beginning one, packing, and committing."""

    position: int
    begun: bool
    writing: bool
    begin: float
    pack: float
    commit: float


def run(subjects: int = SUBJECTS) -> list[Figure]:
    """Fill a log, decide, kill, start again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with closing(SqliteLog(folder / "gateway.db")) as log:
            batches, at = _fill(log, subjects)
            steps = _until_killed(folder, LATE * batches)
            log.commit([signals([_last(at + MINUTE)])])
            started = time.perf_counter()
            with _worker(folder) as child:
                for line in child.stdout or ():
                    if msgspec.json.decode(line, type=Step).position > batches:
                        break
                seconds = time.perf_counter() - started
                child.kill()
    usual = median(step.commit for step in steps if not step.writing)
    stalls = sorted(
        max(step.begin, step.pack, step.commit - usual) for step in steps if step.writing
    )
    what = f"{subjects:,} subjects"
    return [
        Figure(f"from kill -9 to deciding again, {what}", seconds, "s", "F10", at_most=10),
        Figure("longest stall by writing a snapshot", stalls[-1], "ms", "F10", at_most=20),
        Figure("stalls by writing a snapshot, p99", quantile(stalls, 0.99), "ms", "F10"),
        Figure("longest beginning of a snapshot", max(one.begin for one in steps), "ms", "F10"),
        Figure("longest packing of a step", max(one.pack for one in steps), "ms", "F10"),
    ]


def _fill(log: SqliteLog, subjects: int) -> tuple[int, int]:
    """The number of batches written, and their last log time."""
    source = list(workload.records(SOURCE, seed=3))
    records = _records(source, subjects, int(subjects * (1 + MORE)))
    batches = at = 0
    while batch := list(islice(records, BATCH)):
        log.commit([signals(batch)])
        batches, at = batches + 1, batch[-1].received
    return batches, at


def _records(source: list[Record], subjects: int, count: int) -> Iterator[Record]:
    for number, record in zip(range(count), cycle(source)):
        at = workload.BEGIN + number * 1_000
        name = workload.subject(number * 7_919 % subjects)
        yield msgspec.structs.replace(record, id=f"r{number}", subject=name, time=at, received=at)


def _last(at: int) -> Record:
    return Record("last", "bench", "page.viewed", "one", at, at)


def _until_killed(folder: Path, late: float) -> list[Step]:
    """Let a worker decide and kill it in a round after ``late``, or at the end; its steps."""
    steps = []
    with _worker(folder) as child:
        for line in child.stdout or ():
            steps.append(msgspec.json.decode(line, type=Step))
            if steps[-1].writing and steps[-1].position > late:
                break
        child.kill()
    return steps


def _worker(folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "benchmarks.bench_restart", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


class _Timed:
    """Milliseconds of the longest call of a function since it was last asked."""

    def __init__(self, function: object) -> None:
        self.function, self.spent = function, 0.0

    def __get__(self, one: object, _kind: object = None) -> object:
        def call(*arguments: object, **named: object) -> object:
            started = time.perf_counter()
            try:
                return self.function(one, *arguments, **named)  # type: ignore[operator]
            finally:
                self.spent = max(self.spent, (time.perf_counter() - started) * 1_000)

        return call

    def taken(self) -> float:
        """The milliseconds; it begins anew."""
        spent, self.spent = self.spent, 0.0
        return spent


def decide(folder: Path) -> None:
    """Be a worker: decide until there is nothing more, and tell of every step."""
    begin, pack = _Timed(Stage._begin_round), _Timed(Population.pack_some)
    commit = _Timed(SqliteLog.commit)
    with (
        collector_at_rest(),
        patch.object(Stage, "_begin_round", begin),
        patch.object(Population, "pack_some", pack),
        patch.object(SqliteLog, "commit", commit),
        closing(SqliteLog(folder / "gateway.db", read_only=True)) as log,
        closing(SqliteLog(folder / "worker.db")) as own,
        own.checkpoints_beside(),
    ):
        stage = Stage(log, own)
        if not stage.governing:
            stage.apply(opening(workload.bundle(), DecideSettings()))
        population = stage.engine.population
        while True:
            writing = population.closing
            begin.taken(), pack.taken(), commit.taken()
            if not stage.step(STEP):
                break
            one = Step(
                stage.position, population.closing and not writing, writing or population.closing,
                begin.taken(), pack.taken(), commit.taken(),
            )  # fmt: skip
            print(msgspec.json.encode(one).decode(), flush=True)


if __name__ == "__main__":
    decide(Path(sys.argv[1]))
