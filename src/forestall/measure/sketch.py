"""A fair sample of customers out of a stream, in memory that does not grow. Pure."""

import hashlib
from collections.abc import Iterator
from heapq import heappush, heappushpop
from typing import Final, Generic, TypeVar

SIZE: Final = 2_000

T = TypeVar("T")


class Sketch(Generic[T]):
    """The customers with the smallest hashes, at most ``size``, each with what came first.

    However often somebody comes, all have the same chance to be in it (Broder, "On the Resemblance
    and Containment of Documents", 1997: bottom-k). Who is in it has been since first coming, so
    what is noted of them is complete.
    """

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._heap: list[tuple[int, str]] = []
        self._kept: dict[str, T] = {}
        self.limit = 2**64

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[T]:
        """What is kept, in an order that depends on the customers only."""
        return (self._kept[subject] for subject in sorted(self._kept))

    def get(self, subject: str) -> T | None:
        """What is kept of ``subject``."""
        return self._kept.get(subject)

    def offer(self, subject: str, value: T) -> None:
        """Keep ``value``, if it is the first of a customer who belongs to the sample."""
        if subject in self._kept:
            return
        place = int.from_bytes(hashlib.sha256(subject.encode()).digest()[:8], "big")
        if place >= self.limit:
            return
        self._kept[subject] = value
        if len(self._heap) < self._size:
            heappush(self._heap, (-place, subject))
        else:
            del self._kept[heappushpop(self._heap, (-place, subject))[1]]
        if len(self._heap) == self._size:
            self.limit = -self._heap[0][0]
