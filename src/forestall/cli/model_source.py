"""Where examples come from: a server's data folder, or policies decided over a history."""

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
    """What was decided and what happened, under which control records, up to which log time.

    ``among`` says which decisions are fit to learn from unless somebody says otherwise.
    """

    controls: list[Control]
    happenings: list[Record | Decided]
    end: int
    among: Among


def logged(data: Path) -> Source:
    """What a server's data folder tells. Raises ``UnreadableInput``."""
    if data.is_file():
        raise UnreadableInput(f"{data}: a history has no decisions yet; give --policies")
    folder = Folder(data)
    try:
        return Source(folder.controls(), list(folder.happenings()), folder.now, "untreated")
    finally:
        folder.close()


def decided(history: History, bundle: Bundle, settings: DecideSettings) -> Source:
    """What policies would have decided over a history; they did nothing to anybody in it.

    Raises ``UnreadableInput``.
    """
    controls = opening(bundle, settings)
    found: list[Record | Decided] = []
    for step in backtest(controls, history, Engine()):
        found += step.chunk.records
        found += [
            Decided(0, order, noticed, decision)
            for order, noticed, decision in step.noticed(settings.grace)
        ]
    return Source(controls, found, history.tick or 0, "all")
