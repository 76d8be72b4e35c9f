"""Features: exact sliding windows over one subject's events (policy language, section 4). Pure.

A ``Window`` remembers times and values of one feature, one subject and, with ``by``, one key.
``Keyed`` holds a feature's windows by key. ``KINDS`` tells of each kind how an event is added and
how the feature is read, at a time not before the last event; ``Place`` does so for one feature.

``typed.pyx`` is the twin of this module in C; ``core`` chooses.
"""

import math
from array import array
from bisect import bisect_right
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

import msgspec

from forestall.contracts.instants import SECOND

REMEMBERED: Final = 10_000
"""Events remembered per feature and subject; beyond that the oldest are dropped."""

KEYS: Final = 64
"""Keys kept per feature, or pattern, and subject; the one touched longest ago goes first."""

NUMERIC: Final = frozenset({"sum", "avg", "min", "max", "p50", "p90", "p95", "p99"})
NEWEST: Final = frozenset({"last", "since"})
"""The kinds that remember one event."""

_MICRO: Final = Context(prec=400, rounding=ROUND_HALF_EVEN)
_ROOM: Final = 32
_CODES: Final = {int: "q", float: "d"}
_NO_TIMES: Final = array("q")


class Window(msgspec.Struct, array_like=True, tag=0, gc=False):
    """What is remembered: ``times`` ascending from ``head`` on, and beside them ``values`` where
    the kind has values and ``serials`` (order of arrival) where there are keys.

    Numbers lie in arrays, other values in lists. ``total`` is the running sum in millionths of the
    kinds that add. At ``room`` times, those that left the window are looked for.
    """

    times: Any = msgspec.field(default_factory=lambda: _NO_TIMES[:])
    values: Any = None
    serials: Any = None
    head: int = 0
    total: Any = None
    room: int = _ROOM

    def __len__(self) -> int:
        return len(self.times) - int(self.head)

    def left(self, limit: int) -> int:
        """Forget the events at or before ``limit``; how many are left."""
        expire(self, limit)
        return len(self)

    def content(self) -> list[Any]:
        """What is remembered, as ``restored`` takes it."""
        return [0, self.times, self.values, self.serials, self.head, self.total, self.room]


Add = Callable[[Window, int, Any], None]
"""Adds an event: window, effective time (not before any there), usable value."""

Read = Callable[[Window, int], Any]
"""Reads a window that is not empty, from which what is too old has gone, at a time."""


class Kind(msgspec.Struct, frozen=True):
    """How one kind of feature works; ``empty`` is its value where there is no event, and
    ``of_values`` what it makes of all values, where that is all."""

    add: Add
    read: Read
    empty: Any = None
    of_values: Callable[[Any], Any] | None = None


def usable(kind: str, value: Any) -> bool:
    """Whether ``value`` takes part: not null, a finite number for arithmetic, a scalar for
    ``distinct``."""
    if kind in NUMERIC:
        return type(value) is int or (type(value) is float and math.isfinite(value))
    if kind == "distinct":
        return value is not None and not isinstance(value, list | dict)
    return value is not None


def millionths(value: float) -> int:
    """``value`` rounded half-even to a multiple of 10^-6, in units of 10^-6, exactly."""
    if type(value) is int:
        return value * 1_000_000
    scaled = value * 1e6
    if -1e15 < scaled < 1e15:
        near = round(scaled)
        if -0.25 < scaled - near < 0.25:
            return near
    return int(Decimal(value).scaleb(6, _MICRO).to_integral_value(ROUND_HALF_EVEN, _MICRO))


def ratio(number: float, divisor: int) -> float:
    """``number / divisor``, which is not 0, as a double; beyond what one holds, an infinity."""
    try:
        return number / divisor
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def expire(window: Window, limit: int) -> None:
    """Forget the events at or before ``limit``."""
    times, head = window.times, window.head
    if head == len(times) or times[head] > limit:
        return
    new = bisect_right(times, limit, head)
    if window.total is not None:
        window.total -= sum(window.values[head:new])
    window.head = new
    if new > _ROOM and new * 2 > len(times):
        compact(window)


def drop_oldest(window: Window, count: int) -> None:
    """Forget the oldest ``count`` events, of which there are at least as many."""
    expired = window.head + count
    if window.total is not None:
        window.total -= sum(window.values[window.head : expired])
    window.head = expired
    if expired > _ROOM and expired * 2 > len(window.times):
        compact(window)


def compact(window: Window) -> None:
    """Give back the memory of what is forgotten."""
    head = window.head
    del window.times[:head]
    if window.values is not None:
        del window.values[:head]
    if window.serials is not None:
        del window.serials[:head]
    window.head = 0


def trim(window: Window, over: int | None, t: int) -> int:
    """Make room in a window of a feature without keys; how many events had to be dropped."""
    live = _make_room(window, over, t)
    if live <= REMEMBERED:
        return 0
    drop_oldest(window, live - REMEMBERED)
    window.room = 0
    return live - REMEMBERED


def _make_room(window: Window, over: int | None, t: int) -> int:
    """Give back what has left the window, and say when to do so again; how many are left."""
    if over is not None:
        expire(window, t - over)
    live = len(window)
    if live < REMEMBERED:
        if window.head:
            compact(window)
        window.room = min(2 * live + _ROOM, REMEMBERED + 1)
    return live


class Keyed(msgspec.Struct, array_like=True, tag=1, gc=False):
    """A feature's windows by key, the key touched longest ago first.

    ``upper`` is at least the number of remembered events in all windows together.
    """

    windows: dict[str, Window] = {}
    upper: int = 0

    def left(self, limit: int) -> int:
        """Forget the events at or before ``limit``; how many are left."""
        return sum(window.left(limit) for window in self.windows.values())

    def content(self) -> list[Any]:
        """What is remembered, as ``restored`` takes it."""
        return [1, {key: one.content() for key, one in self.windows.items()}, self.upper]

    def add(self, add: Add, over: int | None, key: str, value: Any, t: int, serial: int) -> int:
        """Add an event; how many remembered ones had to be dropped for it."""
        windows, dropped = self.windows, 0
        window = windows.pop(key, None)
        if window is None:
            if len(windows) >= KEYS:
                dropped = self._drop_key(over, t)
            window = Window(_NO_TIMES[:], None, _NO_TIMES[:])
        windows[key] = window
        add(window, t, value)
        times, serials = window.times, window.serials
        serials.append(serial)
        if len(serials) > len(times):
            del serials[0]
        elif len(times) >= window.room:
            _make_room(window, over, t)
        self.upper += 1
        if self.upper > REMEMBERED:
            dropped += self._shrink(over, t)
        return dropped

    def _drop_key(self, over: int | None, t: int) -> int:
        oldest = self.windows.pop(next(iter(self.windows)))
        if over is not None:
            expire(oldest, t - over)
        return len(oldest)

    def _shrink(self, over: int | None, t: int) -> int:
        if over is not None:
            for window in self.windows.values():
                expire(window, t - over)
        self.upper = sum(len(window) for window in self.windows.values())
        dropped = 0
        while self.upper > REMEMBERED:
            oldest = min(
                (window for window in self.windows.values() if len(window)),
                key=lambda window: window.serials[window.head],
            )
            drop_oldest(oldest, 1)
            self.upper -= 1
            dropped += 1
        return dropped


def _count(window: Window, t: int, _value: Any) -> None:
    window.times.append(t)


def _newest(window: Window, t: int, _value: Any) -> None:
    if window.times:
        window.times[0] = t
        window.head = 0
    else:
        window.times.append(t)


def _newest_value(window: Window, t: int, value: Any) -> None:
    _newest(window, t, value)
    window.values = [value]


def _sum(window: Window, t: int, value: Any) -> None:
    micro = millionths(value)
    window.times.append(t)
    window.total = micro + (window.total or 0)
    if window.values is None:
        window.values = _NO_TIMES[:]
    try:
        window.values.append(micro)
    except OverflowError:
        _keep(window, micro)


def _value(window: Window, t: int, value: Any) -> None:
    window.times.append(t)
    values = window.values
    if values.__class__ is list:
        values.append(value)
    elif values is not None and values.typecode == _CODES.get(value.__class__):
        try:
            values.append(value)
        except OverflowError:
            _keep(window, value)
    else:
        _keep(window, value)


def _keep(window: Window, value: Any) -> None:
    """Put ``value`` with the others where they are not all numbers of one kind that fits an array."""
    values = window.values
    if values is None:
        code = _CODES.get(value.__class__)
        values = window.values = array(code) if code else []
    if values.__class__ is array:
        if values.typecode == _CODES.get(value.__class__) and _fits(value):
            values.append(value)
            return
        values = window.values = list(values)
    values.append(value)


def _fits(value: Any) -> bool:
    return value.__class__ is float or -(2**63) <= value < 2**63


def _held(window: Window) -> Any:
    head = window.head
    return window.values[head:] if head else window.values


def _distinct(values: Any) -> int:
    if values.__class__ is list and bool in map(type, values):
        return len({(value.__class__ is bool, value) for value in values})
    return len(set(values))


def _percentile(percent: int) -> Callable[[Any], float]:
    def read(values: Any) -> float:
        values = sorted(values)
        return ratio(values[-(-percent * len(values) // 100) - 1], 1)

    return read


def _values(of_values: Callable[[Any], Any], empty: Any = None) -> Kind:
    """A kind that looks at all values when it is read."""
    return Kind(_value, lambda window, _: of_values(_held(window)), empty, of_values)


KINDS: Final[dict[str, Kind]] = {
    "count": Kind(_count, lambda window, _: len(window.times) - window.head, 0),
    "sum": Kind(_sum, lambda window, _: ratio(window.total or 0, 1_000_000), 0.0),
    "avg": Kind(_sum, lambda window, _: ratio(window.total or 0, 1_000_000 * len(window))),
    "min": _values(min),
    "max": _values(max),
    "distinct": _values(_distinct, 0),
    "first": Kind(_value, lambda window, _: window.values[window.head]),
    "last": Kind(_newest_value, lambda window, _: window.values[-1]),
    "since": Kind(_newest, lambda window, at: (at - window.times[-1]) / SECOND),
    **{f"p{percent}": _values(_percentile(percent)) for percent in (50, 90, 95, 99)},
}
"""Each kind by name. Percentiles go by the nearest rank."""


class Place:
    """One feature in the features of any subject: where its state lies, and how it is added to and
    read. Times must not be before the last event, and values ``usable``."""

    __slots__ = ("_add", "_empty", "_over", "_read", "slot")

    def __init__(self, kind: str, slot: int, over: int | None) -> None:
        found = KINDS[kind]
        self.slot = slot
        self._add, self._read, self._empty = found.add, found.read, found.empty
        self._over = over

    def add(self, features: dict[int, Any], value: Any, t: int) -> int:
        """Add an event; how many remembered ones had to be dropped for it."""
        window = features.get(self.slot)
        if window is None:
            window = features[self.slot] = Window(_NO_TIMES[:])
        self._add(window, t, value)
        return trim(window, self._over, t) if len(window.times) >= window.room else 0

    def add_key(self, features: dict[int, Any], key: str, value: Any, t: int, serial: int) -> int:
        """Add an event of a key; how many remembered ones had to be dropped for it."""
        keyed = features.get(self.slot)
        if keyed is None:
            keyed = features[self.slot] = Keyed()
        return int(keyed.add(self._add, self._over, key, value, t, serial))

    def read(self, features: dict[int, Any], t: int) -> Any:
        """The feature at ``t``: of the events in ``(t - over, t]``, or of all remembered ones."""
        return self._of(features.get(self.slot), t)

    def read_key(self, features: dict[int, Any], key: str | None, t: int) -> Any:
        """The feature of a key, which may be none, at ``t``."""
        keyed = features.get(self.slot)
        return self._of(None if keyed is None or key is None else keyed.windows.get(key), t)

    def _of(self, window: Window | None, t: int) -> Any:
        if window is None:
            return self._empty
        if self._over is not None:
            expire(window, t - self._over)
        return self._read(window, t) if len(window.times) > window.head else self._empty


def restored(content: list[Any]) -> Window | Keyed:
    """The window, or windows by key, that gave ``content``."""
    if content[0] == 0:
        return Window(*content[1:])
    windows = {key: Window(*one[1:]) for key, one in content[1].items()}
    return Keyed(windows, content[2])
