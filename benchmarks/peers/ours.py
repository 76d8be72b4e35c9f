"""Forestall's answers: the log's bytes decoded and decided, with everything switched off.

Run as ``python -m benchmarks.peers.ours FOLDER ANSWERS QUESTIONS``. The kill switch lets each
completed pattern become a decision with the reason ``killed``, so no gate of an earlier one stands
in a later one's way; the whole decision is made all the same.
"""

import gc
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.peers.contest import serve
from benchmarks.peers.questions import questions
from forestall.contracts.control import DecideSettings, SwitchesApplied
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import DAY
from forestall.decide.backtest import BEGINNING, opening
from forestall.decide.engine import Engine
from forestall.policy.bundle import Bundle


def answered(bundle: Bundle, batches: Iterable[list[Record]]) -> Iterator[Decision]:
    """A decision for every time a pattern of ``bundle`` is complete, in the engine's order."""
    engine = Engine()
    for control in opening(bundle, DecideSettings()):
        engine.control(control)
    engine.control(SwitchesApplied(BEGINNING, (), True, "bench", "only the patterns count"))
    for batch in batches:
        for _, decision in engine.process(batch):
            yield decision
    yield from engine.tick(engine.received + 30 * DAY)


def main() -> None:
    """Answer until the pipe closes."""
    bundle = questions(sys.argv[3])
    decode = msgspec.json.Decoder(list[Record]).decode

    def run(folder: Path, answers: Path) -> None:
        gc.collect()
        gc.freeze()
        gc.disable()
        with (folder / "events.log").open("rb") as log, answers.open("w") as out:
            for decision in answered(bundle, map(decode, log)):
                out.write(f"{decision.policy} {decision.matched[-1]}\n")
        gc.enable()

    serve("Forestall", version("forestall"), run)


if __name__ == "__main__":
    main()
