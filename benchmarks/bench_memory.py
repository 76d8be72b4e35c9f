"""Memory of the engine: for a subject at rest, for a remembered event, for one that never stops.

Each part runs in a process of its own, and memory is what the process holds (``/proc/self/statm``)
less what it held before. The subjects' events are the workload's, their subjects and times changed.
"""

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice

import msgspec

from benchmarks import workload
from benchmarks.engines import engine_of
from benchmarks.figures import Figure
from benchmarks.measure import collector_at_rest, cpu, resident
from forestall.contracts.event import Record
from forestall.contracts.instants import HOUR, MINUTE
from forestall.decide.engine import Engine

SUBJECTS = 1_000_000
EVENTS_EACH = 3
WATCHED = 1_000
REMEMBERED = 1_000
AN_HOUR = 50_000
HOURS = 3
BATCH = 500
PER_SUBJECT, PER_EVENT = 1_000, 150
"""Bytes that a subject and a remembered event may take."""

QUICK = {"subjects": 100_000, "remembered": 200}


def run(
    subjects: int = SUBJECTS, remembered: int = REMEMBERED, an_hour: int = AN_HOUR
) -> list[Figure]:
    """All parts, one process after another."""
    return [
        figure
        for part in (f"subjects={subjects}", f"remembered={remembered}", f"busy={an_hour}")
        for figure in _apart(part)
    ]


def _apart(part: str) -> list[Figure]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_memory", part],
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=list[Figure])


def changed(
    count: int, subject: Callable[[int], str], received: Callable[[int], int]
) -> Iterator[Record]:
    """Records of the workload with other subjects and times, by their number; none repeated."""
    source = workload.records(count, seed=2)
    for number, record in enumerate(source):
        at = received(number)
        yield msgspec.structs.replace(
            record, id=f"m{number}", subject=subject(number), time=at, received=at
        )


def _feed(engine: Engine, records: Iterator[Record]) -> float:
    """Let the engine decide all of them; the seconds of processor time that took."""
    spent = 0.0
    while batch := list(islice(records, BATCH)):
        started = cpu()
        engine.process(batch)
        spent += cpu() - started
    return spent


def _settled(engine: Engine, since: int) -> int:
    """Bytes held when nothing has happened for ten days of log time."""
    for hours in range(1, 10 * 24 + 1):
        engine.tick(since + hours * HOUR)
    return resident()


def subjects_at_rest(subjects: int) -> list[Figure]:
    """A million subjects with a few events each within four hours; then ten days of silence."""
    events = EVENTS_EACH * subjects
    step = 4 * HOUR // events
    engine = engine_of(workload.bundle())
    engine.tick(workload.BEGIN)
    with collector_at_rest():
        before = resident()
        spent = _feed(
            engine,
            changed(
                events,
                lambda number: workload.subject(number * 7_919 % subjects),
                lambda number: workload.BEGIN + number * step,
            ),
        )
        after = resident()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        silent = _settled(engine, workload.BEGIN + 4 * HOUR)
    return [
        Figure(
            f"a subject at rest, ten days after its {EVENTS_EACH} events",
            max(silent - before, 0) / subjects,
            "bytes",
            "F6",
            at_most=PER_SUBJECT,
        ),
        Figure(
            f"a subject within four hours of its {EVENTS_EACH} events",
            (after - before) / subjects,
            "bytes",
            "F6",
            at_most=PER_SUBJECT + EVENTS_EACH * PER_EVENT,
        ),
        Figure(f"{subjects:,} subjects: peak of the process", peak, "MB", "F6"),
        Figure(f"{subjects:,} subjects: decided", events / spent, "events/s", "F6"),
    ]


def remembered_events(remembered: int) -> list[Figure]:
    """What more events of the same subjects within five minutes add, by the difference."""
    few = remembered // 5
    engine = engine_of(workload.bundle())
    step = 4 * MINUTE // (WATCHED * (few + remembered))
    stream = changed(
        WATCHED * (few + remembered),
        lambda number: workload.subject(number % WATCHED),
        lambda number: workload.BEGIN + number * step,
    )
    with collector_at_rest():
        _feed(engine, islice(stream, WATCHED * few))
        before = resident()
        _feed(engine, stream)
        after = resident()
    return [
        Figure(
            "a remembered event",
            (after - before) / (WATCHED * remembered),
            "bytes",
            "F6",
            at_most=PER_EVENT,
        )
    ]


def a_busy_subject(an_hour: int) -> list[Figure]:
    """One subject sends 50,000 events an hour for three hours."""
    engine = engine_of(workload.bundle())
    engine.tick(workload.BEGIN)
    step = HOUR // an_hour
    stream = changed(
        an_hour * HOURS,
        lambda _: "busy",
        lambda number: workload.BEGIN + number * step,
    )
    held, spent = [], []
    with collector_at_rest():
        before = resident()
        for _ in range(HOURS):
            spent.append(_feed(engine, islice(stream, an_hour)))
            held.append((resident() - before) / 1e6)
    return [
        Figure(
            f"a subject that sends {an_hour:,} events an hour, after three",
            held[-1],
            "MB",
            "F6",
            at_most=an_hour * HOURS * PER_EVENT / 1e6,
        ),
        Figure(
            "its third hour's time, of its first hour's",
            spent[-1] / spent[0],
            "",
            "F6",
        ),
    ]


PARTS: dict[str, Callable[[int], list[Figure]]] = {
    "subjects": subjects_at_rest,
    "remembered": remembered_events,
    "busy": a_busy_subject,
}


if __name__ == "__main__":
    name, _, size = sys.argv[1].partition("=")
    print(msgspec.json.encode(PARTS[name](int(size))).decode())
