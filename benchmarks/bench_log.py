"""The log: what a commit costs in fsyncs, the index by subject, questions to it, and pieces.

The index is measured in a log that holds ``filled`` events already, against the same commits to a
log without one, in turns.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import msgspec

from benchmarks import workload
from benchmarks.figures import Figure
from benchmarks.measure import cpu, fsync_seconds, in_turns, quantile
from forestall.log.port import BUCKETS, Append, Piece, bucket
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import SIGNALS, read_signals, signals

EVENTS = 150_000
SIZE = 500
FILLED = 1_000_000
PIECES = 1_000_000
QUICK = {"events": 30_000, "filled": 100_000, "pieces": 50_000}


def run(events: int = EVENTS, filled: int = FILLED, pieces: int = PIECES) -> list[Figure]:
    """Append the workload in batches of 500, ask for subjects and duplicates, and keep pieces."""
    appends = [signals(batch) for batch in workload.batches(events, SIZE)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            *_commits(folder, appends),
            *_index(folder, appends, filled),
            *_pieces(folder, pieces),
        ]


def _commits(folder: Path, appends: list[Append]) -> list[Figure]:
    commits, fsyncs = [], []
    with closing(SqliteLog(folder / "commits.db")) as log:
        for append in appends:
            fsyncs += fsync_seconds(folder, 1)
            commits += _timed(time.perf_counter, lambda append: log.commit([append]), [append])
        started = time.perf_counter()
        count = sum(len(read_signals(batch)) for batch in log.follow(SIGNALS))
        read = time.perf_counter() - started
    typical, fsync = quantile(sorted(commits), 0.5), quantile(sorted(fsyncs), 0.5)
    return [
        Figure("events appended durably", count / sum(commits), "events/s"),
        Figure("a commit of 500 events, p50", 1000 * typical, "ms"),
        Figure("a commit of 500 events, in fsyncs", typical / fsync, ""),
        Figure("events read and decoded", count / read, "events/s"),
    ]


def _index(folder: Path, appends: list[Append], filled: int) -> list[Figure]:
    groups = [append.subjects for append in appends]
    count = sum(len(group) for group in groups)
    with (
        closing(SqliteLog(folder / "bare.db")) as bare,
        closing(SqliteLog(folder / "indexed.db")) as log,
    ):
        for past in _past(groups, filled):
            log.commit([past])
        absent = _timed(cpu, lambda group: log.newest_of(SIGNALS, group), groups)
        without, indexed = in_turns(
            appends,
            lambda append: bare.commit([msgspec.structs.replace(append, subjects=())]),
            lambda append: log.commit([append]),
        )
        last = groups[-1][:100]
        present = _timed(cpu, lambda pair: log.newest_of(SIGNALS, [pair]), last)
        found = _timed(cpu, lambda pair: log.of_subject(SIGNALS, pair[0]), last)
    held = f"in a log of {filled:,}"
    return [
        Figure(
            f"the index by subject, of an event {held}",
            1e6 * (sum(indexed) - sum(without)) / count,
            "µs of CPU",
        ),
        Figure(f"asking for an event that is new {held}", 1e6 * sum(absent) / count, "µs of CPU"),
        Figure(f"asking for a duplicate {held}", 1e6 * quantile(sorted(present), 0.5), "µs of CPU"),
        Figure(f"a subject's batches {held}, p50", 1e3 * quantile(sorted(found), 0.5), "ms of CPU"),
    ]


def _past(groups: Iterable[Sequence[tuple[str, str]]], filled: int) -> Iterator[Append]:
    """Batches of ``filled`` events of the same subjects, with other ids."""
    for number, group in zip(range(0, filled, SIZE), itertools.cycle(groups), strict=False):
        pairs = [(subject, f"{identity}-{number}") for subject, identity in group]
        yield Append(SIGNALS, 0, len(pairs), b"[]", pairs)


def _pieces(folder: Path, count: int) -> list[Figure]:
    """One round of everything, and ten of a twelfth each."""
    random = Random(1)
    buckets: list[list[str]] = [[] for _ in range(BUCKETS)]
    for number in range(count):
        buckets[bucket(f"subject-{number:014}")].append(f"subject-{number:014}")
    with closing(SqliteLog(folder / "worker.db")) as log:
        for commit in _round(1, buckets, random):
            log.commit(pieces=commit)
        spent, written = [], 0
        for number in range(2, 12):
            touched = [random.sample(keys, len(keys) // 12) for keys in buckets]
            for commit in _round(number, touched, random):
                spent += _timed(cpu, lambda pieces: log.commit(pieces=pieces), [commit])
                written += len(commit)
        empty = _timed(cpu, lambda number: log.commit(cursors={"worker": number}), range(100))
        (load,) = _timed(cpu, lambda finished: sum(1 for _ in log.pieces(finished)), [11])
    added = sum(spent) / written * 500 - quantile(sorted(empty), 0.5)
    return [
        Figure("500 pieces of 250 bytes in a commit", 1000 * added, "ms of CPU"),
        Figure(f"reading {count:,} pieces", load, "s of CPU"),
    ]


def _round(number: int, buckets: list[list[str]], random: Random) -> Iterator[list[Piece]]:
    """Pieces of all these keys, bucket by bucket, in commits of 500 or a few more."""
    commit: list[Piece] = []
    for keys in buckets:
        commit += [Piece(key, number, random.randbytes(250)) for key in keys]
        if len(commit) >= 500:
            yield commit
            commit = []
    yield commit


def _timed(
    clock: Callable[[], float], do: Callable[..., object], arguments: Iterable[object]
) -> list[float]:
    """The seconds that ``do`` takes for each of ``arguments``."""
    spent = []
    for argument in arguments:
        started = clock()
        do(argument)
        spent.append(clock() - started)
    return spent
