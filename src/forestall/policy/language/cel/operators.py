"""The operators and conversions that translated conditions call, with CEL's exact meaning.

Each takes plain values and raises ``ExpressionError`` with a message, or ``TypeError`` (no such
overload) and ``LookupError`` (no such key) without one; ``expression`` words those.
"""

import math
import operator
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import re2

from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel.times import (
    SECOND,
    Duration,
    Timestamp,
    checked_duration,
    checked_timestamp,
    parse_duration,
    parse_timestamp,
)
from forestall.policy.language.cel.values import (
    FALSE_KEY,
    INT_MAX,
    INT_MIN,
    TRUE_KEY,
    UINT_MAX,
    BoolKey,
    CelType,
    Uint,
    Work,
    plain_key,
    spend,
)

_NUMBERS = frozenset({int, Uint, float})
_KEYS = frozenset({str, int, Uint})
_ORDERED = frozenset({bool, int, Uint, float, str, bytes, Timestamp, Duration})
TYPES = {
    name: CelType(name)
    for name in (
        "bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint",
        "google.protobuf.Timestamp", "google.protobuf.Duration",
    )
}  # fmt: skip
_TYPE_OF = {
    bool: "bool", bytes: "bytes", float: "double", int: "int", list: "list", dict: "map",
    type(None): "null_type", str: "string", CelType: "type", Uint: "uint",
    Timestamp: "google.protobuf.Timestamp", Duration: "google.protobuf.Duration",
}  # fmt: skip


def type_of(value: Any) -> CelType:
    """``type(x)``."""
    return TYPES[_TYPE_OF[value.__class__]]


def no_overload() -> Any:
    """What a branch that cannot have a value calls."""
    raise TypeError


def truth(value: Any) -> bool:
    """The value, if it is a bool."""
    if value is True or value is False:
        return value
    raise TypeError


# Equality and order.


def equal(work: Work, a: Any, b: Any) -> bool:
    """``a == b``: by value across numbers, deep, and false across any other two types."""
    kind, other = a.__class__, b.__class__
    if kind is other:
        if kind is list:
            spend(work, len(a))
            return len(a) == len(b) and all(equal(work, x, y) for x, y in zip(a, b, strict=True))
        if kind is dict:
            spend(work, len(a))
            return len(a) == len(b) and all(
                key in b and equal(work, value, b[key]) for key, value in a.items()
            )
        return bool(a == b)
    return kind in _NUMBERS and other in _NUMBERS and bool(a == b)


def _ordering(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def order(a: Any, b: Any) -> bool:
        kind, other = a.__class__, b.__class__
        if kind is not other:
            if kind not in _NUMBERS or other not in _NUMBERS:
                raise TypeError
            if kind is float or other is float:
                return compare(float(a), float(b))
        elif kind not in _ORDERED:
            raise TypeError
        return compare(a, b)

    return order


less = _ordering(operator.lt)
at_most = _ordering(operator.le)
greater = _ordering(operator.gt)
at_least = _ordering(operator.ge)


# Arithmetic.


def _int(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise ExpressionError("the integer result does not fit 64 bits")


def _uint(value: int) -> Uint:
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise ExpressionError("the unsigned result does not fit 64 bits")


def add(work: Work, a: Any, b: Any) -> Any:
    """``a + b``."""
    kind = a.__class__
    if kind is b.__class__:
        if kind is int:
            return _int(a + b)
        if kind is float:
            return a + b
        if kind is str or kind is bytes:
            spend(work, (len(a) + len(b)) >> 4)
            return a + b
        if kind is list:
            spend(work, len(a) + len(b))
            return a + b
        if kind is Uint:
            return _uint(int(a) + int(b))
        if kind is Duration:
            return checked_duration(a.nanos + b.nanos)
    elif {kind, b.__class__} == {Timestamp, Duration}:
        return checked_timestamp(a.nanos + b.nanos)
    raise TypeError


def subtract(a: Any, b: Any) -> Any:
    """``a - b``."""
    kind, other = a.__class__, b.__class__
    if kind is other:
        if kind is int:
            return _int(a - b)
        if kind is float:
            return a - b
        if kind is Timestamp or kind is Duration:
            return checked_duration(a.nanos - b.nanos)
        if kind is Uint:
            return _uint(int(a) - int(b))
    elif kind is Timestamp and other is Duration:
        return checked_timestamp(a.nanos - b.nanos)
    raise TypeError


def multiply(a: Any, b: Any) -> Any:
    """``a * b``."""
    kind = a.__class__
    if kind is b.__class__:
        if kind is int:
            return _int(a * b)
        if kind is float:
            return a * b
        if kind is Uint:
            return _uint(int(a) * int(b))
    raise TypeError


def divide(a: Any, b: Any) -> Any:
    """``a / b``: toward zero for integers, IEEE 754 for doubles."""
    kind = a.__class__
    if kind is not b.__class__:
        raise TypeError
    if kind is float:
        return a / b if b else math.nan if a != a or a == 0 else math.copysign(math.inf, a) * math.copysign(1, b)
    if kind is not int and kind is not Uint:
        raise TypeError
    if not b:
        raise ExpressionError("division by zero")
    quotient = abs(int(a)) // abs(int(b))
    return _uint(quotient) if kind is Uint else _int(quotient if (a < 0) == (b < 0) else -quotient)


def modulo(a: Any, b: Any) -> Any:
    """``a % b`` of integers, with the sign of ``a``."""
    kind = a.__class__
    if kind is not b.__class__ or (kind is not int and kind is not Uint):
        raise TypeError
    if not b:
        raise ExpressionError("modulus by zero")
    rest = abs(int(a)) % abs(int(b))
    return Uint(rest) if kind is Uint else -rest if a < 0 else rest


def negate(a: Any) -> Any:
    """``-a``."""
    if a.__class__ is int:
        return _int(-a)
    if a.__class__ is float:
        return -a
    raise TypeError


# Lists and maps.


def stored_key(key: Any) -> Any:
    """A map key as maps store it. Raises ``TypeError`` for a type that is no key."""
    if key.__class__ in _KEYS:
        return key
    if key.__class__ is bool:
        return TRUE_KEY if key else FALSE_KEY
    raise TypeError


def _looked_up(key: Any) -> Any:
    """A key to look for: doubles may be asked for, though none is ever stored."""
    return key if key.__class__ is float else stored_key(key)


def make_map(*parts: Any) -> dict[Any, Any]:
    """``{k: v}`` of alternating keys and values."""
    made: dict[Any, Any] = {}
    for i in range(0, len(parts), 2):
        if parts[i].__class__ not in _KEYS and parts[i].__class__ is not bool:
            raise ExpressionError("a map key must be a bool, an int, a uint or a string")
        key = stored_key(parts[i])
        if key in made:
            raise ExpressionError(f"the map has the key {parts[i]!r} twice")
        made[key] = parts[i + 1]
    return made


def _position(items: list[Any], index: Any) -> int:
    if index.__class__ not in _NUMBERS or index != (whole := int(index)):
        raise TypeError
    if 0 <= whole < len(items):
        return whole
    raise ExpressionError(f"index {whole} is outside the list of {len(items)}")


def index(container: Any, key: Any) -> Any:
    """``container[key]``."""
    if container.__class__ is dict:
        return container[_looked_up(key)]
    if container.__class__ is list:
        return container[_position(container, key)]
    raise TypeError


def contains(work: Work, item: Any, container: Any) -> bool:
    """``item in container``."""
    if container.__class__ is list:
        spend(work, len(container))
        return any(equal(work, item, element) for element in container)
    if container.__class__ is dict:
        return _looked_up(item) in container
    raise TypeError


def has(container: Any, field: str) -> bool:
    """``has(container.field)``."""
    if container.__class__ is dict:
        return field in container
    raise TypeError


def size(value: Any) -> int:
    """``size(x)``: code points, bytes, items or keys."""
    if value.__class__ in (str, bytes, list, dict):
        return len(value)
    raise TypeError


# Regular expressions.

_OPTIONS = re2.Options()
_OPTIONS.never_capture = True
_OPTIONS.log_errors = False


@lru_cache(maxsize=256)
def regex(pattern: str) -> Any:
    """The RE2 program of a pattern. Raises ``ExpressionError``."""
    try:
        return re2.compile(pattern.encode(), _OPTIONS)
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ExpressionError(f"the pattern is not an RE2 regular expression: {text}") from None


def matches_program(work: Work, text: Any, program: Any) -> bool:
    """``text.matches('constant')``."""
    if text.__class__ is not str:
        raise TypeError
    spend(work, len(text) >> 2)
    return program.search(text.encode()) is not None


def matches(work: Work, text: Any, pattern: Any) -> bool:
    """``text.matches(pattern)`` with a pattern known only now."""
    if text.__class__ is not str or pattern.__class__ is not str:
        raise TypeError
    if len(pattern) > 1_000:
        raise ExpressionError("the pattern is longer than 1000 characters")
    spend(work, 200 + 20 * len(pattern))
    return matches_program(work, text, regex(pattern))


# Conversions.

_INT = re.compile(r"[+-]?\d{1,40}", re.ASCII)
_UINT = re.compile(r"\d{1,40}", re.ASCII)
_DOUBLE = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|nan|inf(?:inity)?)", re.A | re.I)
_BOOLS = {
    **dict.fromkeys(("1", "t", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "false", "FALSE", "False"), False),
}


def _unconvertible(value: Any, kind: str) -> ExpressionError:
    return ExpressionError(f"{str(value)[:60]!r} cannot be read as {kind}")


def to_int(value: Any) -> int:
    """``int(x)``."""
    kind = value.__class__
    if kind is int or kind is Uint:
        return _int(int(value))
    if kind is float:
        if -(2.0**63) < value < 2.0**63:
            return int(value)
        raise ExpressionError("the double is out of the range of an int")
    if kind is str:
        if not _INT.fullmatch(value):
            raise _unconvertible(value, "an int")
        return _int(int(value))
    if kind is Timestamp:
        return int(value.nanos // SECOND)
    raise TypeError


def to_uint(value: Any) -> Uint:
    """``uint(x)``."""
    kind = value.__class__
    if kind is int or kind is Uint:
        return _uint(int(value))
    if kind is float:
        if 0 <= value < 2.0**64:
            return Uint(value)
        raise ExpressionError("the double is out of the range of a uint")
    if kind is str:
        if not _UINT.fullmatch(value):
            raise _unconvertible(value, "a uint")
        return _uint(int(value))
    raise TypeError


def to_double(value: Any) -> float:
    """``double(x)``."""
    kind = value.__class__
    if kind in _NUMBERS:
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
    kind = value.__class__
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
        return value  # type: ignore[no-any-return]
    if value.__class__ is str:
        return parse_timestamp(value)
    if value.__class__ is int:
        return checked_timestamp(value * SECOND)
    raise TypeError


def to_duration(value: Any) -> Duration:
    """``duration(x)`` of text such as ``1h30m``."""
    if value.__class__ is Duration:
        return value  # type: ignore[no-any-return]
    if value.__class__ is str:
        return parse_duration(value)
    raise TypeError


def keys(value: Any) -> list[Any]:
    """What a loop runs over: the items of a list, the keys of a map."""
    if value.__class__ is list:
        return value  # type: ignore[no-any-return]
    if value.__class__ is dict:
        return [plain_key(key) for key in value] if any(key.__class__ is BoolKey for key in value) else list(value)
    raise TypeError
