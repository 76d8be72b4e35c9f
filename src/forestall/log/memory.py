"""The log's in-memory twin. A test scripts its crashes as data: ``MemoryLog({3: "after"})``."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from forestall.log.port import Append, Batch, LogFull, OutOfOrder, Piece

Trouble = Literal["before", "after", "full"]
"""Crash before the commit takes effect, crash after it, or have no room for it."""


class Crash(BaseException):
    """The process "died" here. It is no ``Exception``, so that no handler outlives its death."""


class MemoryLog:
    """A ``Log`` that lives as long as the object; after a ``Crash`` go on with the same object.

    ``troubles`` names the commits that go wrong, by index, counting every attempt from 0.
    """

    def __init__(self, troubles: Mapping[int, Trouble] | None = None) -> None:
        self._troubles = dict(troubles or {})
        self._attempts = 0
        self._version = 0
        self._batches: dict[str, list[Batch]] = defaultdict(list)
        self._of_subject: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._newest: dict[tuple[str, str, str], int] = {}
        self._cursors: dict[str, int] = {}
        self._snapshots: dict[str, bytes] = {}
        self._pieces: dict[str, dict[int, bytes]] = defaultdict(dict)
        self._tick = 0

    def commit(
        self,
        appends: Sequence[Append] = (),
        *,
        cursors: Mapping[str, int] | None = None,
        snapshots: Mapping[str, bytes] | None = None,
        tick: int | None = None,
        pieces: Sequence[Piece] = (),
        durable: bool = True,  # noqa: ARG002 (memory knows no disk)
    ) -> Sequence[int]:
        """See ``Log.commit``. Raises the ``Crash`` or ``LogFull`` that the script asks for."""
        trouble = self._troubles.get(self._attempts)
        self._attempts += 1
        if trouble == "before":
            raise Crash
        if trouble == "full":
            raise LogFull("the log in memory: no room, as the test asked for")
        self._check(appends, tick)
        positions = [self._append(append) for append in appends]
        self._cursors.update(cursors or {})
        self._snapshots.update(snapshots or {})
        for piece in pieces:
            self._pieces[piece.key][piece.round] = piece.content
        if tick is not None:
            self._tick = tick
        self._version += 1
        if trouble == "after":
            raise Crash
        return positions

    def _check(self, appends: Sequence[Append], tick: int | None) -> None:
        newest: dict[str, int] = {}
        for append in appends:
            before = newest.get(append.stream, self.received(append.stream))
            if append.received < before:
                raise OutOfOrder(f"{append.stream}: received {append.received} is before {before}")
            newest[append.stream] = append.received
        if tick is not None and tick < self._tick:
            raise OutOfOrder(f"the tick {tick} is before {self._tick}")

    def _append(self, append: Append) -> int:
        batches = self._batches[append.stream]
        position = len(batches) + 1
        batches.append(Batch(position, append.received, append.count, append.payload))
        for subject, identity in append.subjects:
            positions = self._of_subject[append.stream, subject]
            if not positions or positions[-1] != position:
                positions.append(position)
            self._newest[append.stream, subject, identity] = append.received
        return position

    def read(self, stream: str, *, after: int = 0, limit: int = 100) -> Sequence[Batch]:
        """See ``Log.read``."""
        return self._batches.get(stream, [])[after : after + limit]

    def follow(self, stream: str, *, after: int = 0) -> Iterator[Batch]:
        """See ``Log.follow``."""
        while page := self.read(stream, after=after):
            yield from page
            after = page[-1].position

    def last(self, stream: str) -> int:
        """See ``Log.last``."""
        return len(self._batches.get(stream, ()))

    def received(self, stream: str) -> int:
        """See ``Log.received``."""
        batches = self._batches.get(stream)
        return batches[-1].received if batches else 0

    def cursor(self, name: str) -> int:
        """See ``Log.cursor``."""
        return self._cursors.get(name, 0)

    def tick(self) -> int:
        """See ``Log.tick``."""
        return self._tick

    def snapshot(self, name: str) -> bytes | None:
        """See ``Log.snapshot``."""
        return self._snapshots.get(name)

    def pieces(self, until: int) -> Iterator[tuple[str, bytes]]:
        """See ``Log.pieces``."""
        for key, contents in self._pieces.items():
            newest = max((number for number in contents if number <= until), default=None)
            if newest is not None and contents[newest]:
                yield key, contents[newest]

    def drop_after(self, finished: int) -> None:
        """See ``Log.drop_after``."""
        for key, contents in self._pieces.items():
            self._pieces[key] = {n: content for n, content in contents.items() if n <= finished}
        self._version += 1

    def of_subject(self, stream: str, subject: str) -> Sequence[int]:
        """See ``Log.of_subject``."""
        return list(self._of_subject.get((stream, subject), ()))

    def newest_of(
        self, stream: str, pairs: Sequence[tuple[str, str]], *, since: int = 0
    ) -> Sequence[int | None]:
        """See ``Log.newest_of``."""
        found = [self._newest.get((stream, *pair)) for pair in pairs]
        return [None if received is None or received < since else received for received in found]

    def version(self) -> int:
        """See ``Log.version``."""
        return self._version

    def close(self) -> None:
        """Nothing to release."""
