"""Engines for benchmarks."""

from collections.abc import Sequence
from typing import Protocol

from forestall.context import core
from forestall.contracts.control import DecideSettings
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.decide.backtest import opening
from forestall.decide.engine import Engine, Order
from forestall.policy.bundle import Bundle


class Decides(Protocol):
    """What is measured: an engine, or something around one."""

    def process(self, records: Sequence[Record]) -> list[tuple[Order, Decision]]:
        """Decide on records in log order."""


def engine_of(bundle: Bundle) -> Engine:
    """An engine with the policies in force from the beginning, under the default settings; memory
    comes in large pages, as in the worker."""
    core.large_pages()
    engine = Engine()
    for control in opening(bundle, DecideSettings()):
        engine.control(control)
    return engine
