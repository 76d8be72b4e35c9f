"""Times and durations: integers of microseconds, UTC, since 1970-01-01.

Everything inside Forestall counts time this way; RFC 3339 text is read and written only at the rim.
"""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_UNITS = {"ms": 1_000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_DURATION = re.compile(r"(0|[1-9][0-9]{0,11})(ms|s|m|h|d)", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001
_MICROSECOND = timedelta(microseconds=1)


@lru_cache(maxsize=4096)
def _minute(text: str, zone: str) -> int:
    offset = "+00:00" if zone in "Zz" else zone
    return (datetime.fromisoformat(f"{text}:00{offset}") - _EPOCH) // _MICROSECOND


@lru_cache(maxsize=4096)
def _second(text: str) -> int | None:
    """Microseconds of a time in UTC, given without its fraction and zone; none if it is no time."""
    match = _TIME.fullmatch(f"{text}Z")
    return None if match is None or match[2] > "59" else _parsed(match)


def parse_time(text: str) -> int:
    """Microseconds of an RFC 3339 time; digits past the sixth are cut. Raises ``ValueError``."""
    fraction = text[20:-1]
    if text[19:20] == "." and text[-1] == "Z" and fraction.isdecimal() and fraction.isascii():
        second = _second(text[:19])
        if second is not None:
            return second + int(fraction if len(fraction) == 6 else fraction[:6].ljust(6, "0"))
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time such as 2024-05-01T12:00:00Z")
    if match[2] > "59":
        raise ValueError(f"{text!r} has more than 59 seconds")
    return _parsed(match)


def _parsed(match: re.Match[str]) -> int:
    minute, second, fraction, zone = match.groups()
    micros = int(fraction[:6].ljust(6, "0")) if fraction else 0
    return _minute(minute, zone) + int(second) * SECOND + micros


def day_of(micros: int) -> date:
    """The day (UTC) in which a time lies."""
    return (_EPOCH + timedelta(microseconds=micros)).date()


def format_time(micros: int) -> str:
    """RFC 3339, UTC, always six digits: ``2024-05-01T12:00:00.000000Z``."""
    moment = _NAIVE_EPOCH + timedelta(microseconds=micros)
    return moment.isoformat(timespec="microseconds") + "Z"


def parse_duration(text: str) -> int:
    """Microseconds of ``30s``, ``10m``, ``24h``, ``250ms`` or ``7d``. Raises ``ValueError``."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a duration; write an integer and ms, s, m, h or d, such as 90s"
        )
    return int(match[1]) * _UNITS[match[2]]


def format_duration(micros: int) -> str:
    """The shortest text that ``parse_duration`` reads back, in the largest unit that divides it."""
    for unit in ("d", "h", "m", "s"):
        if micros and micros % _UNITS[unit] == 0:
            return f"{micros // _UNITS[unit]}{unit}"
    return f"{micros // 1_000}ms" if micros else "0s"
