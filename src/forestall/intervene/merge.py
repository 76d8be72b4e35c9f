"""The one order of signals and decisions. Pure.

A decision has the place at which it was made (``Decided``): one that a timer made lies before the
record that made it due, one that a record caused after it, one that a tick caused after its batch.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence

from forestall.contracts.decision import Decided
from forestall.contracts.event import Record

Item = Record | Decided
_Place = tuple[int, int]


def merge(
    batches: Iterable[tuple[int, Sequence[Record]]], decided: Iterable[Decided]
) -> Iterator[Item]:
    """Records of the signals ``batches`` (position, records) and ``decided``, both in order, as one
    sequence. Decisions made at batches before the first of ``batches`` come first."""
    for _, item in heapq.merge(_records(batches), _decisions(decided), key=lambda pair: pair[0]):
        yield item


def _records(
    batches: Iterable[tuple[int, Sequence[Record]]],
) -> Iterator[tuple[_Place, Item]]:
    for position, records in batches:
        for index, record in enumerate(records):
            yield (position, 4 * index + 1), record


def _decisions(decided: Iterable[Decided]) -> Iterator[tuple[_Place, Item]]:
    for entry in decided:
        yield (entry.position, 2 * entry.order), entry
