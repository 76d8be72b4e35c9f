"""Signals that were accepted and are not taken in yet: each batch is decoded once, however often it
is looked at before it is taken."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from forestall.contracts.event import Record
from forestall.log.port import Batch, Log
from forestall.log.streams import SIGNALS, read_signals

FAR = 50_000
"""Records among which ``about`` looks, at least; it goes no further than the batch that has them."""

LEAST = 50
"""As many a batch counts at least: reading one takes as long."""

KEPT = 100_000
"""Records that are kept decoded, at most; the nearest ones."""

_Batch = tuple[list[Record], dict[str, list[Record]]]


class Ahead:
    """What lies ahead in the signals of ``log``."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._kept: dict[int, _Batch] = {}
        self._count = 0

    def take(self, batch: Batch) -> Sequence[Record]:
        """The records of a batch that is taken in now."""
        if batch.position not in self._kept:
            return read_signals(batch)
        return self._drop(batch.position)

    def about(self, subjects: Collection[str], positions: Iterable[int]) -> Iterator[Record]:
        """What the batches at ``positions``, which ascend, hold about ``subjects``; in log order."""
        looked = 0
        for position in positions:
            records, by_subject = self._kept.get(position) or self._look(position)
            if len(subjects) == 1:
                for subject in subjects:
                    yield from by_subject.get(subject, ())
            else:
                yield from (record for record in records if record.subject in subjects)
            looked += max(len(records), LEAST)
            if looked >= FAR:
                return

    def _look(self, position: int) -> _Batch:
        found: _Batch = [], {}
        for batch in self._log.read(SIGNALS, after=position - 1, limit=1):
            found[0].extend(read_signals(batch))
        for record in found[0]:
            found[1].setdefault(record.subject, []).append(record)
        self._kept[position] = found
        self._count += len(found[0])
        while self._count > KEPT:
            self._drop(max(self._kept))
        return found

    def _drop(self, position: int) -> list[Record]:
        records, _ = self._kept.pop(position)
        self._count -= len(records)
        return records
