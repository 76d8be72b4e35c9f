"""Features: exact sliding windows over one subject's events (policy language, section 4). Pure.

A ``Window`` remembers times and values of one feature, one subject and, with ``by``, one key.
``observe`` adds an event, ``value_at`` reads the feature at a time not before the last event.
"""

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

import msgspec

from forestall.contracts.instants import SECOND

REMEMBERED: Final = 10_000
"""Events remembered per feature and subject; beyond that the oldest are dropped."""

KEYS: Final = 64
"""Keys kept per feature, or pattern, and subject; the one touched longest ago goes first."""

NUMERIC: Final = frozenset({"sum", "avg", "min", "max", "p50", "p90", "p95", "p99"})
_SUMMED: Final = frozenset({"sum", "avg"})
_NEWEST_ONLY: Final = frozenset({"since", "last"})
_VALUELESS: Final = frozenset({"count", "since"})
_ZERO_WHEN_EMPTY: Final = frozenset({"count", "sum", "distinct"})
_PERCENT: Final = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
_MICRO: Final = Context(prec=400, rounding=ROUND_HALF_EVEN)


class Window(msgspec.Struct):
    """What is remembered: ``times`` ascending from ``head`` on, ``values`` beside them where the
    kind has values, ``serials`` (order of arrival) where there are keys. ``total`` is the running
    sum in millionths."""

    times: list[int] = []
    values: list[Any] = []
    serials: list[int] = []
    head: int = 0
    total: int = 0

    def __len__(self) -> int:
        return len(self.times) - self.head


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
    return int(Decimal(value).scaleb(6, _MICRO).to_integral_value(ROUND_HALF_EVEN, _MICRO))


def observe(kind: str, over: int | None, window: Window, t: int, value: Any, serial: int) -> None:
    """Add an event of effective time ``t``, not before any already there; ``value`` is usable."""
    if kind in _NEWEST_ONLY:
        window.times[:] = (t,)
        window.serials[:] = (serial,)
        if kind == "last":
            window.values[:] = (value,)
        return
    if over is not None:
        _expire(kind, window, t - over)
    window.times.append(t)
    window.serials.append(serial)
    if kind in _SUMMED:
        value = millionths(value)
        window.total += value
    if kind not in _VALUELESS:
        window.values.append(value)


def drop_oldest(kind: str, window: Window) -> None:
    """Forget the oldest event of a window that has one."""
    if kind in _SUMMED:
        window.total -= window.values[window.head]
    window.head += 1
    _compact(kind, window)


def value_at(kind: str, over: int | None, window: Window | None, at: int) -> Any:
    """The feature at time ``at``: events in ``(at - over, at]``, or all remembered ones."""
    if window is not None and over is not None:
        _expire(kind, window, at - over)
    if window is None or not len(window):
        return 0.0 if kind == "sum" else 0 if kind in _ZERO_WHEN_EMPTY else None
    match kind:
        case "count":
            return len(window)
        case "sum":
            return window.total / 1_000_000
        case "avg":
            return window.total / (1_000_000 * len(window))
        case "since":
            return (at - window.times[-1]) / SECOND
        case "first":
            return window.values[window.head]
        case "last":
            return window.values[-1]
    values = window.values[window.head :]
    match kind:
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "distinct":
            return len({(isinstance(value, bool), value) for value in values})
    rank = -(-_PERCENT[kind] * len(values) // 100)
    return float(sorted(values)[rank - 1])


def _expire(kind: str, window: Window, limit: int) -> None:
    times, head, end = window.times, window.head, len(window.times)
    if head == end or times[head] > limit:
        return
    summed = kind in _SUMMED
    while head < end and times[head] <= limit:
        if summed:
            window.total -= window.values[head]
        head += 1
    window.head = head
    _compact(kind, window)


def _compact(kind: str, window: Window) -> None:
    head = window.head
    if head > 32 and head * 2 > len(window.times):
        del window.times[:head]
        del window.serials[:head]
        if kind not in _VALUELESS:
            del window.values[:head]
        window.head = 0
