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

import re2  # type: ignore[import-untyped]

from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel.times import (
    Duration,
    Timestamp,
    checked_duration,
    checked_timestamp,
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


def dyn(value: Any) -> Any:
    """``dyn(x)``: the value, of no type known beforehand."""
    return value


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
            spend(work, 1 + len(a))
            return len(a) == len(b) and all(equal(work, x, y) for x, y in zip(a, b, strict=True))
        if kind is dict:
            spend(work, 1 + len(a))
            return len(a) == len(b) and all(
                key in b and equal(work, value, b[key]) for key, value in a.items()
            )
        if kind is str:
            spend(work, len(a) >> 10)
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


def checked_int(value: int) -> int:
    """The integer, if it fits 64 bits. Raises ``ExpressionError``."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise ExpressionError("the integer result does not fit 64 bits")


def checked_uint(value: int) -> Uint:
    """The unsigned integer, if it fits 64 bits. Raises ``ExpressionError``."""
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise ExpressionError("the unsigned result does not fit 64 bits")


def add(work: Work, a: Any, b: Any) -> Any:
    """``a + b``."""
    kind = a.__class__
    if kind is b.__class__:
        if kind is int:
            return checked_int(a + b)
        if kind is float:
            return a + b
        if kind is str or kind is bytes:
            spend(work, (len(a) + len(b)) >> 4)
            return a + b
        if kind is list:
            spend(work, len(a) + len(b))
            return a + b
        if kind is Uint:
            return checked_uint(int(a) + int(b))
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
            return checked_int(a - b)
        if kind is float:
            return a - b
        if kind is Timestamp or kind is Duration:
            return checked_duration(a.nanos - b.nanos)
        if kind is Uint:
            return checked_uint(int(a) - int(b))
    elif kind is Timestamp and other is Duration:
        return checked_timestamp(a.nanos - b.nanos)
    raise TypeError


def multiply(a: Any, b: Any) -> Any:
    """``a * b``."""
    kind = a.__class__
    if kind is b.__class__:
        if kind is int:
            return checked_int(a * b)
        if kind is float:
            return a * b
        if kind is Uint:
            return checked_uint(int(a) * int(b))
    raise TypeError


def divide(a: Any, b: Any) -> Any:
    """``a / b``: toward zero for integers, IEEE 754 for doubles."""
    kind = a.__class__
    if kind is not b.__class__:
        raise TypeError
    if kind is float:
        return (
            a / b
            if b
            else math.nan
            if a != a or a == 0
            else math.copysign(math.inf, a) * math.copysign(1, b)
        )
    if kind is not int and kind is not Uint:
        raise TypeError
    if not b:
        raise ExpressionError("division by zero")
    quotient = abs(int(a)) // abs(int(b))
    return (
        checked_uint(quotient)
        if kind is Uint
        else checked_int(quotient if (a < 0) == (b < 0) else -quotient)
    )


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
        return checked_int(-a)
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


def _position(items: list[Any], place: Any) -> int:
    if place.__class__ not in (int, Uint, float):
        raise TypeError
    whole = int(place)
    if whole == place and 0 <= whole < len(items):
        return whole
    raise ExpressionError(f"index {place} is outside the list of {len(items)}")


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

_MAX_PATTERN = 1_000
_MAX_WEIGHT = 2_000
_UNICODE_CLASS = 50
_PIECE = re.compile(
    r"(?P<open>\((?:\?[^:)]*:)?)|(?P<close>\))|(?P<times>\{(\d+)(,(\d*))?\})|[*+?|^$]"
    r"|(?P<wide>\\[pP](?:\{[^}]*\}|.)|\[(?=[^\]]*(?:\\[pPx]|[^\x00-\x7f]))[^\]]*\]?)|\[\^?\]?(?:\\.|[^\]\\])*\]?|\\.|.",
    re.DOTALL,
)
_OPTIONS = re2.Options()
_OPTIONS.never_capture = True
_OPTIONS.log_errors = False


def weight(pattern: str) -> int:
    """How many states a pattern may be in at once: its characters, repetitions written out.

    A Unicode class counts as many, for it is slow to prepare.
    """
    groups, last = [0], 0
    for piece in _PIECE.finditer(pattern):
        if piece["open"] is not None:
            groups.append(0)
            last = 0
        elif piece["close"] is not None and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        elif piece["times"] is not None:
            times = max(int(piece[4][:6]), int((piece[6] or "0")[:6]), 1)
            groups[-1] += last * (times - 1)
            last *= times
        elif piece[0] not in "*+?|^$":
            last = _UNICODE_CLASS if piece["wide"] is not None else 1
            groups[-1] += last
    return 1 + sum(groups)


@lru_cache(maxsize=256)
def regex(pattern: str) -> tuple[Any, int]:
    """The RE2 program of a pattern and its weight. Raises ``ExpressionError``."""
    if len(pattern) > _MAX_PATTERN:
        raise ExpressionError(f"the pattern is longer than {_MAX_PATTERN} characters")
    size = weight(pattern)
    if size > _MAX_WEIGHT:
        raise ExpressionError("the pattern is too large: it repeats too much")
    try:
        return re2.compile(pattern.encode(), _OPTIONS), size
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ExpressionError(f"the pattern is not an RE2 regular expression: {text}") from None


def matches_program(work: Work, text: Any, program: tuple[Any, int]) -> bool:
    """``text.matches('constant')``."""
    if text.__class__ is not str:
        raise TypeError
    compiled, size = program
    raw = text.encode()
    spend(work, len(raw) * max(size, 4) >> 4)
    return compiled.search(raw) is not None


def matches(work: Work, text: Any, pattern: Any) -> bool:
    """``text.matches(pattern)`` with a pattern known only now."""
    if text.__class__ is not str or pattern.__class__ is not str:
        raise TypeError
    spend(work, 200 + 20 * min(len(pattern), _MAX_PATTERN) + 4 * weight(pattern[:_MAX_PATTERN]))
    return matches_program(work, text, regex(pattern))


def keys(value: Any) -> list[Any]:
    """What a loop runs over: the items of a list, the keys of a map."""
    if value.__class__ is list:
        return value
    if value.__class__ is dict:
        return (
            [plain_key(key) for key in value]
            if any(key.__class__ is BoolKey for key in value)
            else list(value)
        )
    raise TypeError
