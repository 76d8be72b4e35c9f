"""The functions on text, as in CEL's string extension. Positions count code points from 0."""

import re
from typing import Any

from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel.conversions import double_text, to_string
from forestall.policy.language.cel.values import CelType, Uint, Work, plain_key, spend

_MAX_PRECISION = 100
_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_LOWER = {code: code + 32 for code in range(65, 91)}
_UPPER = {code + 32: code for code in range(65, 91)}
_QUOTED = str.maketrans(
    {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v",
     "\\": r"\\", '"': r"\""}
)  # fmt: skip


def _texts(work: Work, *values: Any) -> None:
    for value in values:
        if value.__class__ is not str:
            raise TypeError
        spend(work, len(value) >> 4)


def _within(position: Any, length: int) -> int:
    if position.__class__ is not int:
        raise TypeError
    if 0 <= position <= length:
        return int(position)
    raise ExpressionError(f"position {position} is outside the text of {length} characters")


def contains_text(work: Work, text: Any, part: Any) -> bool:
    """``text.contains(part)``."""
    _texts(work, text, part)
    return part in text


def starts_with(text: Any, part: Any) -> bool:
    """``text.startsWith(part)``."""
    if text.__class__ is str and part.__class__ is str:
        return bool(text.startswith(part))
    raise TypeError


def ends_with(text: Any, part: Any) -> bool:
    """``text.endsWith(part)``."""
    if text.__class__ is str and part.__class__ is str:
        return bool(text.endswith(part))
    raise TypeError


def char_at(work: Work, text: Any, position: Any) -> str:
    """``text.charAt(i)``; empty just past the end."""
    _texts(work, text)
    start = _within(position, len(text))
    return str(text[start : start + 1])


def index_of(work: Work, text: Any, part: Any, start: Any = 0) -> int:
    """``text.indexOf(part)``, ``text.indexOf(part, start)``; -1 where there is none."""
    _texts(work, text, part)
    return int(text.find(part, _within(start, len(text))))


def last_index_of(work: Work, text: Any, part: Any, start: Any = None) -> int:
    """``text.lastIndexOf(part)``, and at or before ``start``; -1 where there is none."""
    _texts(work, text, part)
    if start is None:
        return int(text.rfind(part))
    return int(text.rfind(part, 0, _within(start, len(text)) + len(part)))


def join(work: Work, items: Any, separator: Any = "") -> str:
    """``list.join()``, ``list.join(separator)`` of texts."""
    if items.__class__ is not list:
        raise TypeError
    _texts(work, separator, *items)
    spend(work, len(items) + (len(items) * len(separator) >> 4))
    return str(separator.join(items))


def lower_ascii(work: Work, text: Any) -> str:
    """``text.lowerAscii()``: only A to Z change."""
    _texts(work, text)
    return str(text.translate(_LOWER))


def upper_ascii(work: Work, text: Any) -> str:
    """``text.upperAscii()``: only a to z change."""
    _texts(work, text)
    return str(text.translate(_UPPER))


def replace(work: Work, text: Any, old: Any, new: Any, limit: Any = -1) -> str:
    """``text.replace(old, new)``, and at most ``limit`` times where that is not negative."""
    _texts(work, text, old, new)
    if limit.__class__ is not int:
        raise TypeError
    times = text.count(old) if limit < 0 else min(limit, text.count(old))
    spend(work, times * len(new) >> 4)
    return str(text.replace(old, new, times))


def split(work: Work, text: Any, separator: Any, limit: Any = -1) -> list[str]:
    """``text.split(separator)``, into at most ``limit`` pieces where that is not negative."""
    _texts(work, text, separator)
    if limit.__class__ is not int:
        raise TypeError
    if limit == 0:
        return []
    if separator:
        pieces = text.split(separator, min(limit, len(text) + 1) - 1 if limit > 0 else -1)
    elif 0 < limit < len(text):
        pieces = [*text[: limit - 1], text[limit - 1 :]]
    else:
        pieces = list(text)
    spend(work, len(pieces))
    return list(pieces)


def substring(work: Work, text: Any, start: Any, end: Any = None) -> str:
    """``text.substring(start)``, ``text.substring(start, end)`` without the end."""
    _texts(work, text)
    first = _within(start, len(text))
    last = len(text) if end is None else _within(end, len(text))
    if first > last:
        raise ExpressionError(f"the substring starts at {first}, after its end at {last}")
    return str(text[first:last])


def trim(work: Work, text: Any) -> str:
    """``text.trim()``: without Unicode white space at both ends."""
    _texts(work, text)
    return str(text.strip(_SPACE))


def reverse(work: Work, text: Any) -> str:
    """``text.reverse()``, by code points."""
    _texts(work, text)
    return str(text[::-1])


def quote(work: Work, text: Any) -> str:
    """``strings.quote(text)``: in double quotes, with escapes."""
    _texts(work, text)
    return f'"{text.translate(_QUOTED)}"'


# text.format(list)

_CLAUSE = re.compile(r"%(?:(?P<percent>%)|(?:\.(?P<precision>\d{1,9}))?(?P<kind>[sdfebxXo]))", re.A)


def format_text(work: Work, text: Any, values: Any) -> str:
    """``text.format([...])`` with ``%s %d %f %e %b %o %x %X``, ``%.3f`` and ``%%``."""
    _texts(work, text)
    if values.__class__ is not list:
        raise TypeError
    pieces: list[str] = []
    at = used = 0
    while (found := text.find("%", at)) >= 0:
        clause = _CLAUSE.match(text, found)
        if clause is None:
            raise ExpressionError(f"unknown format clause {text[found : found + 3]!r}")
        pieces.append(text[at:found])
        at = clause.end()
        if clause["percent"]:
            pieces.append("%")
            continue
        if used >= len(values):
            raise ExpressionError(f"the format needs more than {len(values)} values")
        pieces.append(_formatted(work, clause["kind"], clause["precision"], values[used]))
        spend(work, 1 + (len(pieces[-1]) >> 4))
        used += 1
    return "".join([*pieces, text[at:]])


def _formatted(work: Work, kind: str, precision: str | None, value: Any) -> str:
    if kind == "s":
        return _plain_text(work, value)
    if kind in "fe":
        return _fixed(kind, 6 if precision is None else int(precision), value)
    if value.__class__ is float and kind == "d" and (value != value or value - value != 0):
        return double_text(value)
    if value.__class__ is bool and kind == "b":
        return "1" if value else "0"
    if kind in "xX" and value.__class__ in (str, bytes):
        raw = value.encode() if isinstance(value, str) else bytes(value)
        digits = raw.hex()
        return digits if kind == "x" else digits.upper()
    if value.__class__ not in (int, Uint):
        raise ExpressionError(f"%{kind} cannot format a value of this type")
    return format(int(value), kind)


def _fixed(kind: str, precision: int, value: Any) -> str:
    if value.__class__ not in (float, int, Uint):
        raise ExpressionError(f"%{kind} formats numbers only")
    if precision > _MAX_PRECISION:
        raise ExpressionError(f"%{kind} takes at most {_MAX_PRECISION} digits")
    number = float(value)
    return format(number, f".{precision}{kind}") if number - number == 0 else double_text(number)


def _plain_text(work: Work, value: Any) -> str:
    """What ``%s`` gives; lists and maps in brackets, maps sorted by the text of their keys."""
    spend(work, 1)
    kind = value.__class__
    if kind is list:
        return "[" + ", ".join([_plain_text(work, item) for item in value]) + "]"
    if kind is dict:
        entries = sorted(
            (_plain_text(work, plain_key(key)), _plain_text(work, item))
            for key, item in value.items()
        )
        return "{" + ", ".join(f"{key}: {item}" for key, item in entries) + "}"
    if value is None:
        return "null"
    if kind is CelType:
        return str(value.name)
    if kind is bytes:
        return str(value, "utf-8", "replace")
    return to_string(work, value)
