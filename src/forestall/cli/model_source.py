"""Where examples come from: a server's data folder, or policies decided over a history."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from forestall.contracts.control import Control, DecideSettings
from forestall.contracts.decision import Decided
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import Record
from forestall.decide.backtest import backtest, opening
from forestall.decide.engine import Engine
from forestall.decide.history import History
from forestall.measure.examples import Among
from forestall.measure.reading import Folder
from forestall.policy.bundle import Bundle


class Source(msgspec.Struct, frozen=True):
    """What was decided and what happened, to be read once, under which control records, up to which
    log time (none: that of the newest event).

    ``among`` says which decisions are fit to learn from unless somebody says otherwise.
    """

    controls: list[Control]
    happenings: Iterator[Record | Decided]
    end: int | None
    among: Among


def logged(data: Path) -> Source:
    """What a server's data folder tells. Raises ``UnreadableInput``."""
    if data.is_file():
        raise UnreadableInput(f"{data}: a history has no decisions yet; give --policies")
    folder = Folder(data)
    return Source(folder.controls(), _read(folder), folder.now, "untreated")


def _read(folder: Folder) -> Iterator[Record | Decided]:
    try:
        yield from folder.happenings()
    finally:
        folder.close()


def decided(history: History, bundle: Bundle, settings: DecideSettings) -> Source:
    """What policies would have decided over a history; they did nothing to anybody in it.

    Reading it raises ``UnreadableInput``.
    """
    controls = opening(bundle, settings)
    return Source(controls, _decide(history, controls, settings.grace), None, "all")


def _decide(history: History, controls: list[Control], grace: int) -> Iterator[Record | Decided]:
    for step in backtest(controls, history, Engine()):
        yield from step.chunk.records
        for order, noticed, decision in step.noticed(grace):
            yield Decided(0, order, noticed, decision)
