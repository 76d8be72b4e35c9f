"""Says in a message which settings there are, where the decoder only says what there is not."""

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from forestall.contracts.nearest import did_you_mean

_UNKNOWN = re.compile(r"Object contains unknown field `([^`]+)`(?: - at `\$(.*)`)?$")
_NO_VALUE = re.compile(r"Invalid enum value (.+?) - at `\$(.*)`$")
_STEP = re.compile(r"\.([^.\[]+)|(\[)\d+\]")
_MANY = 12
"""Names that are listed where none is alike; more of them are to be looked up."""


def hinted(message: str, kind: type) -> str:
    """``message`` of decoding as ``kind``, with the key that was perhaps meant, or the values that
    there are; as it is where it is about something else."""
    unknown, value = _UNKNOWN.match(message), _NO_VALUE.match(message)
    if unknown:
        name, path = unknown[1], unknown[2] or ""
        told = f"there is no setting `{name}`{_instead(name, _keys(kind, path))}"
        return f"{told} - at `${path}`" if path else told
    if value:
        known = sorted(repr(one) for found in _at(kind, value[2]) for one in _values(found))
        if known:
            return f"{value[1]} is none of {', '.join(known)} - at `${value[2]}`"
    return message


def _instead(name: str, known: list[str]) -> str:
    hint = did_you_mean(name, known)
    if hint:
        return f"; {hint}"
    if known and len(known) <= _MANY:
        return f"; there are {', '.join(f'`{one}`' for one in known)}"
    return ""


def _keys(kind: type, path: str) -> list[str]:
    found = [
        field.encode_name
        for one in _at(kind, path)
        if isinstance(one, type) and issubclass(one, msgspec.Struct)
        for field in msgspec.structs.fields(one)
    ]
    return sorted(set(found))


def _values(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _at(kind: Any, path: str) -> list[Any]:
    """The types that may stand at ``path`` below ``kind``; none where it leads nowhere."""
    found = list(_plain(kind))
    for key, item in _STEP.findall(path):
        found = [inner for one in found for inner in _below(one, key, bool(item))]
    return found


def _below(kind: Any, key: str, item: bool) -> Iterator[Any]:
    inner = get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            if field.encode_name == key:
                yield from _plain(field.type)
    elif inner and get_origin(kind) is dict:
        yield from _plain(inner[1])
    elif inner and item:
        yield from _plain(inner[0])


def _plain(kind: Any) -> Iterator[Any]:
    """``kind`` without what is said about it; of a union each."""
    if get_origin(kind) is Annotated:
        yield from _plain(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for one in get_args(kind):
            yield from _plain(one)
    else:
        yield kind
