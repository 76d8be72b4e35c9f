"""Timestamps and durations of CEL: nanoseconds inside, the proleptic Gregorian calendar, UTC."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from forestall.contracts.errors import ExpressionError

SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = -62_135_596_800 * SECOND
_END = 253_402_300_800 * SECOND
_DURATION_MAX = 2**63 - 1

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d)(?:\.(\d+))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|μs|ns)", re.ASCII)
_OFFSET = re.compile(r"([+-]?)([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_OF_THIS_MACHINE = ("localtime", "posix", "right/")
_UNITS = {
    "h": 3600 * SECOND,
    "m": 60 * SECOND,
    "s": SECOND,
    "ms": 1_000_000,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ns": 1,
}


class _Instant:
    """A count of nanoseconds that compares with its own kind only."""

    __slots__ = ("nanos",)

    def __init__(self, nanos: int) -> None:
        self.nanos = nanos

    def __eq__(self, other: object) -> bool:
        return other.__class__ is self.__class__ and self.nanos == other.nanos

    def __lt__(self, other: Any) -> bool:
        return self.nanos < other.nanos if other.__class__ is self.__class__ else NotImplemented

    def __le__(self, other: Any) -> bool:
        return self.nanos <= other.nanos if other.__class__ is self.__class__ else NotImplemented

    def __gt__(self, other: Any) -> bool:
        return self.nanos > other.nanos if other.__class__ is self.__class__ else NotImplemented

    def __ge__(self, other: Any) -> bool:
        return self.nanos >= other.nanos if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self) -> int:
        return hash((self.__class__, self.nanos))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.nanos})"


class Timestamp(_Instant):
    """A moment: nanoseconds since 1970-01-01 UTC. Of microseconds: ``Timestamp(micros * 1000)``."""

    __slots__ = ()

    def __str__(self) -> str:
        moment = _EPOCH + timedelta(seconds=self.nanos // SECOND)
        text = moment.replace(tzinfo=None).isoformat(timespec="seconds")
        return f"{text}{_fraction(self.nanos % SECOND)}Z"


class Duration(_Instant):
    """A length of time in nanoseconds, within 64 bits (about 292 years)."""

    __slots__ = ()

    def __str__(self) -> str:
        seconds, nanos = divmod(abs(self.nanos), SECOND)
        return f"{'-' if self.nanos < 0 else ''}{seconds}{_fraction(nanos)}s"


def _fraction(nanos: int) -> str:
    return f".{nanos:09d}".rstrip("0") if nanos else ""


def checked_timestamp(nanos: int) -> Timestamp:
    """The timestamp, if it lies in the years 1 to 9999. Raises ``ExpressionError``."""
    if _FIRST <= nanos < _END:
        return Timestamp(nanos)
    raise ExpressionError("the timestamp is out of range: it must lie in the years 1 to 9999")


def checked_duration(nanos: int) -> Duration:
    """The duration, if its nanoseconds fit 64 bits. Raises ``ExpressionError``."""
    if -_DURATION_MAX - 1 <= nanos <= _DURATION_MAX:
        return Duration(nanos)
    raise ExpressionError("the duration is out of range: it must be shorter than 292 years")


def parse_timestamp(text: str) -> Timestamp:
    """An RFC 3339 time, to the nanosecond. Raises ``ExpressionError``."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ExpressionError(f"{text[:60]!r} is not an RFC 3339 time such as 2024-05-01T12:00:00Z")
    moment, fraction, zone = match.groups()
    try:
        naive = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    except ValueError as error:
        raise ExpressionError(f"{text!r} is not a time: {error}") from None
    seconds = (naive - _EPOCH) // timedelta(seconds=1) - _offset_seconds(zone)
    return checked_timestamp(seconds * SECOND + int((fraction or "0")[:9].ljust(9, "0")))


def parse_duration(text: str) -> Duration:
    """A duration such as ``1h30m``, ``-1.5s`` or ``250ms``. Raises ``ExpressionError``."""
    body = text[1:] if text[:1] in ("+", "-") else text
    parts = list(_PART.finditer(body)) if len(body) <= 100 else []
    if "".join(part[0] for part in parts) != body or not body:
        if body == "0":
            return Duration(0)
        raise ExpressionError(f"{text[:60]!r} is not a duration such as 1h30m, 90s or 250ms")
    nanos = 0
    for part in parts:
        whole, _, fraction = part[1].partition(".")
        unit = _UNITS[part[2]]
        nanos += int(whole or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
    return checked_duration(-nanos if text[0] == "-" else nanos)


def _offset_seconds(zone: str) -> int:
    if zone == "Z":
        return 0
    match = _OFFSET.fullmatch(zone)
    if match is None:
        raise ValueError(zone)
    seconds = int(match[2]) * 3600 + int(match[3]) * 60
    return -seconds if match[1] == "-" else seconds


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(maxsize=2048)
def _zone(name: str) -> tzinfo:
    if _OFFSET.fullmatch(name):
        return timezone(timedelta(seconds=_offset_seconds(name)))
    try:
        if name not in _zones() or name.startswith(_OF_THIS_MACHINE):
            raise LookupError(name)
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise ExpressionError(
            f"{name[:60]!r} is not a time zone; write a name such as Europe/Berlin or +02:00"
        ) from None


_FIELDS = {
    "getFullYear": lambda moment: moment.year,
    "getMonth": lambda moment: moment.month - 1,
    "getDate": lambda moment: moment.day,
    "getDayOfMonth": lambda moment: moment.day - 1,
    "getDayOfWeek": lambda moment: moment.isoweekday() % 7,
    "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
    "getHours": lambda moment: moment.hour,
    "getMinutes": lambda moment: moment.minute,
    "getSeconds": lambda moment: moment.second,
}
_DURATION_FIELDS = {
    "getHours": 3600 * SECOND,
    "getMinutes": 60 * SECOND,
    "getSeconds": SECOND,
}
GETTERS = (*_FIELDS, "getMilliseconds")
"""The names of the functions that take a timestamp or a duration apart."""


def get_field(name: str, value: Any, zone: Any = "UTC") -> int:
    """``value.getHours('Europe/Berlin')`` and its like. Raises ``ExpressionError``, ``TypeError``."""
    if value.__class__ is Duration and zone == "UTC":
        return _duration_field(name, value.nanos)
    if value.__class__ is not Timestamp or zone.__class__ is not str:
        raise TypeError(name)
    place = UTC if zone == "UTC" else _zone(zone)
    if name == "getMilliseconds":
        return int(value.nanos % SECOND // 1_000_000)
    moment = _EPOCH + timedelta(seconds=value.nanos // SECOND)
    return int(_FIELDS[name](moment.astimezone(place)))


def _duration_field(name: str, nanos: int) -> int:
    size, sign = abs(nanos), -1 if nanos < 0 else 1
    if name == "getMilliseconds":
        return sign * (size % SECOND // 1_000_000)
    if name not in _DURATION_FIELDS:
        raise TypeError(name)
    return sign * (size // _DURATION_FIELDS[name])
