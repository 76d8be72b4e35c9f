"""Memory of the engine: for a subject at rest, for a remembered event, for one that never stops.

Each part runs in a process of its own, and memory is what the process holds (``/proc/self/statm``)
less what it held before. The subjects' events are the workload's, their subjects and times changed.
"""

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice

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
SOURCE = 10_007
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
    source: Sequence[Record], count: int, subject: Callable[[int], str], every: int
) -> Iterator[Record]:
    """``count`` records made of those in ``source``, over and over, none a duplicate.

    Each has the ``subject`` of its number, and comes ``every`` so many microseconds.
    """
    for number, record in zip(range(count), cycle(source)):
        at = workload.BEGIN + number * every
        yield msgspec.structs.replace(
            record, id=f"m{number}", subject=subject(number), time=at, received=at
        )


def _engine() -> tuple[Engine, list[Record]]:
    """An engine ready to decide, and the records to make others of."""
    engine = engine_of(workload.bundle())
    engine.tick(workload.BEGIN)
    return engine, list(workload.records(SOURCE, seed=2))


def _feed(engine: Engine, records: Iterator[Record]) -> float:
    """Let the engine decide all of them; the seconds of processor time that took."""
    spent = 0.0
    while batch := list(islice(records, BATCH)):
        started = cpu()
        engine.process(batch)
        spent += cpu() - started
    return spent


def _settled(engine: Engine, subjects: int, since: int) -> int:
    """Bytes held when all but one subject have been silent for ten days of log time.

    That one repeats one event, so that the engine has occasion to keep house: six times for each
    of the others.
    """
    hours = 10 * 24
    for hour in range(1, hours + 1):
        at = since + hour * HOUR
        engine.tick(at)
        left = 6 * subjects // hours
        while left > 0:
            engine.process([Record("again", "bench", "page.viewed", "one", at, at)] * BATCH)
            left -= BATCH
    return resident()


def subjects_at_rest(subjects: int) -> list[Figure]:
    """A million subjects with a few events each within four hours; then ten days of silence."""
    events = EVENTS_EACH * subjects
    engine, source = _engine()
    with collector_at_rest():
        before = resident()
        spent = _feed(
            engine,
            changed(
                source,
                events,
                lambda number: workload.subject(number * 7_919 % subjects),
                4 * HOUR // events,
            ),
        )
        after = resident()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        silent = _settled(engine, subjects, workload.BEGIN + 4 * HOUR)
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
    engine, source = _engine()
    total = WATCHED * (few + remembered)
    stream = changed(
        source, total, lambda number: workload.subject(number % WATCHED), 4 * MINUTE // total
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
    engine, source = _engine()
    stream = changed(source, an_hour * HOURS, lambda _: "busy", HOUR // an_hour)
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
