"""What lookups answered a moment ago: bounded, by lookup and arguments."""

from collections import OrderedDict
from typing import Any

import msgspec

from forestall.kernel.clock import Clock

Key = tuple[str, bytes]


class Cache:
    """Keeps the newest ``most`` answers. ``clock`` says how old they are, in microseconds."""

    def __init__(self, clock: Clock, most: int = 10_000) -> None:
        self._clock, self._most = clock, most
        self._kept: OrderedDict[Key, tuple[int, dict[str, Any]]] = OrderedDict()

    def get(self, lookup: str, arguments: dict[str, Any], age: int) -> dict[str, Any] | None:
        """The fields answered to these arguments, if that is less than ``age`` ago."""
        found = self._kept.get(_key(lookup, arguments))
        if found is None or not 0 <= self._clock() - found[0] < age:
            return None
        return found[1]

    def put(self, lookup: str, arguments: dict[str, Any], fields: dict[str, Any]) -> None:
        """Keep an answer from now on; the oldest goes when there are too many."""
        key = _key(lookup, arguments)
        self._kept[key] = (self._clock(), fields)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)


def _key(lookup: str, arguments: dict[str, Any]) -> Key:
    return lookup, msgspec.json.encode(arguments, order="sorted")
