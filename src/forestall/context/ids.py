"""Which ids a subject's events had, so that a repetition is no event (policy language, section 7).

An id is known as a hash of 128 bits of its source and itself: two XXH64, with the seeds 0 and 1.
"""

from array import array
from bisect import bisect_left
from itertools import islice
from typing import Any, Final

from xxhash import xxh64_intdigest

from forestall.contracts.instants import DAY

REPEATED_WITHIN: Final = 7 * DAY
"""How long after an event another with its source and id is taken for the same."""

IDS: Final = 100_000
"""Ids remembered per subject; beyond that the oldest are forgotten."""


LOOK_BACK: Final = 16
"""Each time there are so many more ids, those that no repetition can meet any more are forgotten. A
power of two."""


class Ids:
    """The ids of one subject's events, of all sources, with when they were ``received``: in order,
    and never before what is known."""

    __slots__ = ("_known", "_received")

    def __init__(self) -> None:
        self._known: dict[int, None] = {}
        self._received = array("q")

    def __len__(self) -> int:
        return len(self._received)

    def add(self, source: str, name: str, received: int) -> int:
        """Know an id from now on: 0; -1 if it is known; how many had to be forgotten for it."""
        text = f"{source}\0{name}".encode()
        one = xxh64_intdigest(text) | xxh64_intdigest(text, 1) << 64
        known, gone = self._known, 0
        if one in known:
            self.left(received - REPEATED_WITHIN)
            if one in known:
                return -1
        if len(known) & (LOOK_BACK - 1) == 0:
            self.left(received - REPEATED_WITHIN)
        if len(known) >= IDS:
            gone = max(IDS // 100, 1)
            self._forget(gone)
        known[one] = None
        self._received.append(received)
        return gone

    def oldest(self) -> int | None:
        """When the oldest id came; none where there is none."""
        return self._received[0] if self._received else None

    def left(self, horizon: int) -> int:
        """Forget the ids from before ``horizon``; how many are left."""
        if self._received and self._received[0] < horizon:
            self._forget(bisect_left(self._received, horizon))
        return len(self._received)

    def _forget(self, count: int) -> None:
        for one in list(islice(self._known, count)):
            del self._known[one]
        del self._received[:count]

    def content(self) -> list[Any] | None:
        """What is known: hashes, and times in order."""
        if not self._received:
            return None
        return [b"".join(one.to_bytes(16, "little") for one in self._known), self._received]

    @staticmethod
    def restored(content: list[Any] | None) -> "Ids":
        """The ids that gave ``content``."""
        made = Ids()
        if content is not None:
            hashes, made._received = content
            places = range(0, len(hashes), 16)
            made._known = {int.from_bytes(hashes[at : at + 16], "little"): None for at in places}
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ids) and self.content() == other.content()

    __hash__ = None  # type: ignore[assignment]
