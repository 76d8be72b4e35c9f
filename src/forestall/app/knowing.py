"""Keeps what is known up to date while the server runs: changed files are used, expiry is told."""

import asyncio
import datetime
from collections.abc import Callable
from pathlib import Path

import structlog
from prometheus_client import Gauge

from forestall.context.knowledge.stock import Stock
from forestall.contracts.instants import day_of
from forestall.kernel.clock import Clock, monotonic, within
from forestall.kernel.settings import Settings
from forestall.kernel.telemetry import METRICS

EVERY = 0.5
"""Seconds between two looks; more where there are so many files that a look takes long."""

SHARE = 20
"""How many times as long as a look is the pause before the next one, at least."""

DOCUMENTS = Gauge(
    "forestall_knowledge_documents",
    "Runbooks and articles that are in use, that have expired, and files with mistakes",
    ("state",),
    registry=METRICS,
)

_log = structlog.get_logger("app")


def open_stock(settings: Settings) -> Stock:
    """What the deployment knows, not looked at for any day yet. Raises ``InvalidFile`` with every
    mistake of its runbooks."""
    synonyms = settings.knowledge.synonyms
    stock = Stock(settings.runbooks, [Path(synonyms)] if synonyms else [])
    stock.look(datetime.date.min)
    stock.demand()
    return stock


async def keep_reading(
    stock: Stock,
    use: Callable[[Stock], None],
    log_time: Clock,
    stop: asyncio.Event,
    every: float = EVERY,
) -> None:
    """Have ``stock`` used, and again whenever a file changed or something has expired, until
    ``stop``. ``use`` is called in a thread, as making an index takes a while."""
    pause, told = 0.0, False
    expired: tuple[str, ...] = ()
    while not await within(stop, pause):
        began = monotonic()
        changed = await asyncio.to_thread(stock.look, day_of(log_time()))
        pause = max(every, SHARE * (monotonic() - began))
        if changed or not told:
            await asyncio.to_thread(use, stock)
            if told:
                _log.info("runbooks reloaded", documents=len(stock.runbooks))
            tell(stock, expired)
        told, expired = True, stock.expired


def tell(stock: Stock, before: tuple[str, ...] = ()) -> None:
    """Count what there is, and log what has mistakes or has expired since it was ``before``."""
    broken = {problem.file for problem in stock.problems}
    DOCUMENTS.labels("current").set(len(stock.runbooks) - len(stock.expired))
    DOCUMENTS.labels("expired").set(len(stock.expired))
    DOCUMENTS.labels("broken").set(len(broken))
    fresh = sorted(set(stock.expired) - set(before))
    if fresh:
        _log.warning(
            "runbooks or articles have expired and are not used; review them", documents=fresh
        )
    if stock.problems:
        _log.error(
            "runbooks have mistakes; the last good ones stay",
            problems=[str(problem) for problem in stock.problems],
        )
