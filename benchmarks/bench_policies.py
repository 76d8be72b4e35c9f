"""Many policies: 2,000 of them where each event concerns as few as among 20, and 200 on one type.

The 2,000 are 100 copies of the workload's 20 over 100 sets of event types of their own. Each subject
lives in one of the sets, so that the same happens to it as under the 20 and both must decide the
same. The two engines take turns on the same events.
"""

import itertools
import time
from collections.abc import Iterable, Iterator
from functools import partial

import msgspec

from benchmarks import workload
from benchmarks.engines import engine_of
from benchmarks.figures import Figure
from benchmarks.measure import collector_at_rest, in_turns, middle_share
from forestall.contracts.event import Record
from forestall.contracts.instants import HOUR
from forestall.decide.engine import Engine
from forestall.policy.bundle import Bundle
from forestall.policy.language.canonical import canonical, from_canonical
from forestall.policy.language.model import Policy
from forestall.policy.language.parse import parse

EVENTS = 300_000
SETS = 100
SLICE = 10_000
BATCH = 500
ON_ONE_TYPE = 200
QUICK = {"events": 50_000}

ALIKE = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: alike, owner: bench}
spec:
  features: {pages_10m: {count: page.viewed, where: "event.data.ms > 200", over: 10m}}
  when: {event: page.viewed, where: "event.data.ms > 200"}
  if: "features.pages_10m > 1000000"
"""
DIFFERENT = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: different-%(n)d, owner: bench}
spec:
  features: {pages_10m: {count: page.viewed, where: "event.data.ms > %(least)d", over: 10m}}
  when: {event: page.viewed, where: "event.data.ms > %(least)d"}
  if: "features.pages_10m > %(most)d"
"""


def run(events: int = EVENTS) -> list[Figure]:
    """Both parts."""
    return [*_two_thousand(events), *_on_one_type(events // 5)]


def in_set(number: int, event_type: str) -> str:
    """The event type of that name in a set."""
    return f"set{number}.{event_type}"


def originals() -> Bundle:
    """The workload's policies, none with a holdout, which a copy's other name would draw anew."""
    few = workload.bundle().policies
    return Bundle(policies=tuple(msgspec.structs.replace(one, holdout=0.0) for one in few))


def copies(sets: int = SETS) -> Bundle:
    """Those policies for each of the sets."""
    few = originals().policies
    return Bundle(policies=tuple(_copy(one, number) for number in range(sets) for one in few))


def _copy(policy: Policy, number: int) -> Policy:
    text = canonical(policy)
    for name in workload.TYPES:
        text = text.replace(f'"{name}"'.encode(), f'"{in_set(number, name)}"'.encode())
    return msgspec.structs.replace(from_canonical(text), name=f"{policy.name}-{number}")


def moved(record: Record, sets: int = SETS) -> Record:
    """The record with its type in its subject's set."""
    number = int(record.subject[-5:], 16) % sets
    return msgspec.structs.replace(record, type=in_set(number, record.type))


def _two_thousand(events: int) -> list[Figure]:
    few = engine_of(originals())
    bundle = copies()
    started = time.process_time()
    many = engine_of(bundle)
    _meet(many, [in_set(number, name) for number in range(SETS) for name in workload.TYPES])
    applied = time.process_time() - started
    _meet(few, workload.TYPES)
    decisions = {"few": 0, "many": 0}

    def decide_few(work: tuple[list[Record], list[Record]]) -> None:
        for start in range(0, len(work[0]), BATCH):
            decisions["few"] += len(few.process(work[0][start : start + BATCH]))

    def decide_many(work: tuple[list[Record], list[Record]]) -> None:
        for start in range(0, len(work[1]), BATCH):
            decisions["many"] += len(many.process(work[1][start : start + BATCH]))

    with collector_at_rest():
        twenty, thousands = in_turns(_both(events), decide_few, decide_many)
    if decisions["few"] != decisions["many"]:
        raise AssertionError(f"2,000 policies decided otherwise than 20: {decisions}")
    return [
        Figure(
            "time with 2,000 policies, of that with 20",
            sum(thousands) / sum(twenty),
            "",
            "F5",
            at_most=1.3,
        ),
        Figure("2,000 policies put in force, and each of 1,500 types met", applied, "s", "F5"),
    ]


def _meet(engine: Engine, types: Iterable[str]) -> None:
    """Show the engine one event of each type, so that it has made its plans."""
    at = workload.BEGIN - HOUR
    engine.process([Record(f"first {name}", "bench", name, "nobody", at, at) for name in types])


def _both(events: int) -> Iterator[tuple[list[Record], list[Record]]]:
    records = workload.records(events)
    while chunk := list(itertools.islice(records, SLICE)):
        yield chunk, [moved(record) for record in chunk]


def _on_one_type(events: int) -> list[Figure]:
    one = parse(ALIKE, "alike")[0]
    alike = [msgspec.structs.replace(one, name=f"alike-{n}") for n in range(ON_ONE_TYPE)]
    different = [
        parse(DIFFERENT % {"n": n, "least": 100 + 4 * n, "most": 1_000_000 + n}, "different")[0]
        for n in range(ON_ONE_TYPE)
    ]
    engines = [engine_of(Bundle(policies=tuple(some))) for some in ([one], alike, different)]
    pages = [record for record in workload.records(events) if record.type == "page.viewed"]
    slices = (pages[start : start + 1000] for start in range(0, len(pages), 1000))
    with collector_at_rest():
        spent = in_turns(slices, *(partial(_decide, engine) for engine in engines))
    single, same, other = (1e6 * sum(seconds) / len(pages) for seconds in spent)
    more = ON_ONE_TYPE - 1
    return [
        Figure(
            "each more of 200 equal policies on one type", (same - single) / more, "µs/event", "F5"
        ),
        Figure(
            "each more of 200 different policies on one type",
            (other - single) / more,
            "µs/event",
            "F5",
        ),
        Figure(
            "one event under 200 equal policies, of that under one",
            1 / middle_share(spent[0], spent[1]),
            "",
            "F5",
        ),
    ]


def _decide(engine: Engine, records: list[Record]) -> None:
    engine.process(records)
