"""Conversions of CEL: ``int(x)``, ``double(x)``, ``string(x)`` and the rest.

Each raises ``ExpressionError`` for a value that does not convert, ``TypeError`` for a type that never
does.
"""

import math
import re
from typing import Any

from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel.operators import checked_int, checked_uint
from forestall.policy.language.cel.times import (
    SECOND,
    Duration,
    Timestamp,
    checked_timestamp,
    parse_duration,
    parse_timestamp,
)
from forestall.policy.language.cel.values import Uint, Work, spend

_INT = re.compile(r"[+-]?\d{1,40}", re.ASCII)
_UINT = re.compile(r"\d{1,40}", re.ASCII)
_DOUBLE = re.compile(
    r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|nan|inf(?:inity)?)", re.A | re.I
)
_BOOLS = {
    **dict.fromkeys(("1", "t", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "false", "FALSE", "False"), False),
}


def _unconvertible(value: Any, kind: str) -> ExpressionError:
    return ExpressionError(f"{str(value)[:60]!r} cannot be read as {kind}")


def to_int(value: Any) -> int:
    """``int(x)``."""
    kind: type = value.__class__
    if kind is int or kind is Uint:
        return checked_int(int(value))
    if kind is float:
        if -(2.0**63) < value < 2.0**63:
            return int(value)
        raise ExpressionError("the double is out of the range of an int")
    if kind is str:
        if not _INT.fullmatch(value):
            raise _unconvertible(value, "an int")
        return checked_int(int(value))
    if kind is Timestamp:
        return int(value.nanos // SECOND)
    raise TypeError


def to_uint(value: Any) -> Uint:
    """``uint(x)``."""
    kind: type = value.__class__
    if kind is int or kind is Uint:
        return checked_uint(int(value))
    if kind is float:
        if 0 <= value < 2.0**64:
            return Uint(value)
        raise ExpressionError("the double is out of the range of a uint")
    if kind is str:
        if not _UINT.fullmatch(value):
            raise _unconvertible(value, "a uint")
        return checked_uint(int(value))
    raise TypeError


def to_double(value: Any) -> float:
    """``double(x)``."""
    kind: type = value.__class__
    if kind in (int, Uint, float):
        return float(value)
    if kind is str:
        if len(value) > 400 or not _DOUBLE.fullmatch(value):
            raise _unconvertible(value, "a double")
        number = float(value)
        if math.isinf(number) and "i" not in value.lower():
            raise ExpressionError("the double is out of range")
        return number
    raise TypeError


def to_bool(value: Any) -> bool:
    """``bool(x)``."""
    if value.__class__ is bool:
        return bool(value)
    if value.__class__ is str:
        if value not in _BOOLS:
            raise _unconvertible(value, "a bool")
        return _BOOLS[value]
    raise TypeError


def double_text(value: float) -> str:
    """A double's shortest exact digits, never with an exponent: ``1``, ``-0.0045``, ``NaN``."""
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = repr(value)
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        whole, _, fraction = mantissa.lstrip("-").partition(".")
        digits, point = whole + fraction, len(whole) + int(exponent)
        if point <= 0:
            digits, point = "0" * (1 - point) + digits, 1
        digits = digits.ljust(point, "0")
        text = f"{'-' if value < 0 else ''}{digits[:point]}.{digits[point:]}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def to_string(work: Work, value: Any) -> str:
    """``string(x)``."""
    kind: type = value.__class__
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is Uint:
        return str(int(value))
    if kind is float:
        return double_text(value)
    if kind is Timestamp or kind is Duration:
        return str(value)
    if kind is bytes:
        spend(work, len(value) >> 4)
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError:
            raise ExpressionError("the bytes are not UTF-8") from None
    raise TypeError


def to_bytes(work: Work, value: Any) -> bytes:
    """``bytes(x)``."""
    if value.__class__ is bytes:
        return bytes(value)
    if value.__class__ is str:
        spend(work, len(value) >> 4)
        return bytes(value, "utf-8")
    raise TypeError


def to_timestamp(value: Any) -> Timestamp:
    """``timestamp(x)`` of RFC 3339 text or of seconds since 1970."""
    if value.__class__ is Timestamp:
        return value
    if value.__class__ is str:
        return parse_timestamp(value)
    if value.__class__ is int:
        return checked_timestamp(value * SECOND)
    raise TypeError


def to_duration(value: Any) -> Duration:
    """``duration(x)`` of text such as ``1h30m``."""
    if value.__class__ is Duration:
        return value
    if value.__class__ is str:
        return parse_duration(value)
    raise TypeError
