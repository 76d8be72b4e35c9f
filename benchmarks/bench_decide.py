"""The engine over the shop's kind of events: how many a second, and how long the worst takes."""

import gc
import itertools
import time
from pathlib import Path

import msgspec

from benchmarks.figures import Figure
from forestall.contracts.control import DecideSettings
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND
from forestall.decide.backtest import opening
from forestall.decide.engine import Engine
from forestall.policy.bundle import load_folder

POLICIES = Path(__file__).parents[1] / "examples" / "shop" / "policies"
EVENTS = 100_000
SUBJECTS = 2_000
TYPES = (
    "home.viewed", "catalog.viewed", "product.viewed", "search.performed", "product.viewed",
    "cart.added", "cart.viewed", "checkout.delivery", "checkout.payment", "order.placed",
    "catalog.viewed", "search.filtered", "page.failed",
)  # fmt: skip


def run() -> list[Figure]:
    """Decide 100,000 events of 2,000 subjects under the shop's policies."""
    engine = Engine()
    for control in opening(load_folder(POLICIES), DecideSettings()):
        engine.control(control)
    batches = _batches(100)
    gc.collect()
    gc.disable()
    worst = 0.0
    started = time.perf_counter()
    for batch in batches:
        before = time.perf_counter()
        engine.process(batch)
        worst = max(worst, time.perf_counter() - before)
    seconds = time.perf_counter() - started
    gc.enable()
    return [
        Figure("events decided", EVENTS / seconds, "events/s"),
        Figure("worst batch of 100 events", worst * 1000, "ms"),
    ]


def _batches(size: int) -> list[list[Record]]:
    data = msgspec.Raw(b'{"session":"s","platform":"mobile"}')
    records = (
        Record(
            f"e{number}",
            "bench",
            TYPES[(number * 7 + number // SUBJECTS) % len(TYPES)],
            f"p{number % SUBJECTS}",
            number * SECOND // 20,
            number * SECOND // 20,
            data=data,
        )
        for number in range(EVENTS)
    )
    return [list(itertools.islice(records, size)) for _ in range(EVENTS // size)]
