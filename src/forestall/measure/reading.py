"""What a deployment's log says, read once and in order: events, and the decisions they led to."""

from collections.abc import Iterator
from pathlib import Path

from forestall.contracts.control import Control
from forestall.contracts.decision import Decided
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import Record
from forestall.log import streams
from forestall.log.port import Batch, Log
from forestall.log.sqlite import SqliteLog

Happening = Record | Decided
"""An event, or a decision at its place among the events."""


def happenings(
    signals: Log, decisions: Log, after: int = 0, until: int | None = None
) -> Iterator[Happening]:
    """Everything that happened from the signals batch after ``after`` on, up to the batch ``until``
    or the newest, in log order; a decision stands after the event that it was made at.

    A decision made before a batch's first event stands in front of that event.
    """
    last = signals.last(streams.SIGNALS) if until is None else until
    made = _Made(decisions, after)
    for batch in signals.follow(streams.SIGNALS, after=after):
        if batch.position > last:
            break
        yield from made.before(batch)
        entries = made.of(batch.position)
        for index, record in enumerate(streams.read_signals(batch)):
            while entries and entries[0].order <= 2 * index:
                yield entries.pop(0)
            yield record
            while entries and entries[0].order <= 2 * index + 1:
                yield entries.pop(0)
        yield from entries
    yield from made.rest(last)


class _Made:
    """Decisions in the order of their places, read no further than is asked for."""

    def __init__(self, log: Log, after: int) -> None:
        self._entries = (
            entry
            for batch in log.follow(streams.DECISIONS)
            for entry in streams.read_decisions(batch)
            if entry.position > after
        )
        self._next = next(self._entries, None)

    def before(self, batch: Batch) -> Iterator[Decided]:
        while self._next is not None and self._next.position < batch.position:
            yield self._take()

    def of(self, position: int) -> list[Decided]:
        found = []
        while self._next is not None and self._next.position == position:
            found.append(self._take())
        return found

    def rest(self, last: int) -> Iterator[Decided]:
        while self._next is not None and self._next.position <= last:
            yield self._take()

    def _take(self) -> Decided:
        entry = self._next
        assert entry is not None  # noqa: S101
        self._next = next(self._entries, None)
        return entry


class Folder:
    """A server's data folder, read only; close it when done. Raises ``UnreadableInput``."""

    def __init__(self, path: Path) -> None:
        for name in ("gateway.db", "worker.db"):
            if not (path / name).is_file():
                raise UnreadableInput(f"{path}: not a server's data folder: no {name} in it")
        self.signals = SqliteLog(path / "gateway.db", read_only=True)
        self.decisions = SqliteLog(path / "worker.db", read_only=True)

    def happenings(self) -> Iterator[Happening]:
        """Everything up to what is there now."""
        return happenings(self.signals, self.decisions)

    def controls(self) -> list[Control]:
        """Every control record, in order."""
        return [
            record
            for batch in self.decisions.follow(streams.CONTROL)
            for record in streams.read_control(batch)
        ]

    @property
    def now(self) -> int:
        """The log time reached."""
        return max(self.signals.tick(), self.signals.received(streams.SIGNALS))

    def close(self) -> None:
        """Release the files."""
        self.signals.close()
        self.decisions.close()
