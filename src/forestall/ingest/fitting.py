"""Reads data that fits a plain contract in one step: decoding is the check.

A contract is plain where each keyword of its schema can be said as a type. Data that is then read
without an error fits, and holds just what is kept; any other may fit all the same, and is looked at
more closely by whoever asked.
"""

import functools
import operator
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from forestall.ingest.letter import DEEPEST

_LARGEST = 2**63
_EXACT = 2**53
"""Integers below it are doubles too."""

_SAID = {"title", "description", "examples", "default", "$schema", "$id", "$comment"}
_ALLOWED: dict[str, dict[str, str]] = {
    "string": {"minLength": "min_length", "maxLength": "max_length"},
    "integer": {"minimum": "ge", "maximum": "le", "exclusiveMinimum": "gt",
                "exclusiveMaximum": "lt"},
    "array": {"minItems": "min_length", "maxItems": "max_length"},
}  # fmt: skip
_ALLOWED["number"] = _ALLOWED["integer"]
_BELONG = {
    "items": "array", "properties": "object", "required": "object",
    "additionalProperties": "object",
}  # fmt: skip

_Integer = Annotated[int, msgspec.Meta(ge=-_LARGEST, le=_LARGEST - 1)]
_Number = Annotated[float, msgspec.Meta(gt=-float(_LARGEST), lt=float(_LARGEST))]
"""Integers that a double takes for one of more than 64 bits are left out."""

_TYPES: dict[str, Any] = {
    "string": str, "integer": _Integer, "number": _Number, "boolean": bool, "null": None,
}  # fmt: skip
_Any = str | _Integer | float | bool | None


class _Unusual(Exception):
    """A schema that is not plain."""


def reader_of(schema: dict[str, Any]) -> Callable[[bytes], Any] | None:
    """Reads the text of data that fits ``schema``, as a Struct of what is kept; raises
    ``msgspec.DecodeError`` where it is not sure. None for a contract that is not plain."""
    try:
        if schema.get("type") != "object":
            return None
        return msgspec.json.Decoder(_value(schema, DEEPEST // 2)).decode
    except (_Unusual, TypeError, ValueError):
        return None


def _value(schema: Any, levels: int) -> Any:
    """What stands for a value of ``schema``."""
    if not isinstance(schema, dict) or schema.get("x-privacy", "keep") != "keep" or not levels:
        raise _Unusual
    if "enum" in schema:
        return _one_of(schema)
    given = schema.get("type")
    types = {given} if isinstance(given, str) else set(given or ())
    if not types:
        raise _Unusual
    if {"number", "integer"} <= types:
        raise _Unusual
    known = set[str]().union(*(_ALLOWED.get(kind, ()) for kind in types))
    known |= {name for name, kind in _BELONG.items() if kind in types}
    _only(schema, known | {"type"})
    parts = [_part(kind, schema, levels) for kind in types]
    return functools.reduce(operator.or_, parts)


def _part(kind: str, schema: dict[str, Any], levels: int) -> Any:
    if kind == "object":
        return _object(schema, levels)
    if kind == "array":
        items = _value(schema["items"], levels - 1) if "items" in schema else _Any
        return _bounded(list[items], kind, schema)  # type: ignore[valid-type]
    return _bounded(_TYPES[kind], kind, schema)


def _bounded(type_: Any, kind: str, schema: dict[str, Any]) -> Any:
    """``type_`` within the bounds that ``schema`` sets to values of this kind."""
    bounds: dict[str, Any] = {}
    for keyword, name in _ALLOWED.get(kind, {}).items():
        bound = schema.get(keyword)
        if bound is None:
            continue
        if isinstance(bound, bool) or abs(bound) >= _EXACT or (kind != "number" and bound % 1):
            raise _Unusual
        bounds[name] = float(bound) if kind == "number" else int(bound)
    if not bounds:
        return type_
    if kind in ("integer", "number"):
        # One bound a side is enough for the rest: a number within them is no larger than 64 bits.
        type_ = int if kind == "integer" else float
        if not (bounds.keys() & {"ge", "gt"}):
            bounds["ge"] = -_EXACT
        if not (bounds.keys() & {"le", "lt"}):
            bounds["le"] = _EXACT
        if {"ge", "gt"} <= bounds.keys() or {"le", "lt"} <= bounds.keys():
            raise _Unusual
    return Annotated[type_, msgspec.Meta(**bounds)]


def _one_of(schema: dict[str, Any]) -> Any:
    """What stands for one of a few texts."""
    values = schema["enum"]
    _only(schema, {"enum", "type"})
    types = schema.get("type", "string")
    if not all(isinstance(value, str) for value in values):
        raise _Unusual
    if "string" not in ([types] if isinstance(types, str) else types):
        raise _Unusual
    return Literal[tuple(values)]


def _object(schema: dict[str, Any], levels: int) -> Any:
    """The Struct that stands for an object; it has every field that may come, and no other."""
    if schema.get("additionalProperties", False) is not False:
        raise _Unusual
    required, properties = set(schema.get("required", ())), schema.get("properties", {})
    if not required <= properties.keys():
        raise _Unusual
    fields: list[Any] = []
    for index, (name, inner) in enumerate(properties.items()):
        value = _value(inner, levels - 1)
        if name in required:
            fields.append((f"f{index}", value))
        else:
            fields.append((f"f{index}", value | msgspec.UnsetType, msgspec.UNSET))
    return msgspec.defstruct(
        "Fitting",
        fields,
        rename={f"f{index}": name for index, name in enumerate(properties)},
        kw_only=True,
        forbid_unknown_fields=True,
        gc=False,
    )


def _only(schema: dict[str, Any], known: set[str]) -> None:
    """Nothing but these keywords, and those that only explain."""
    for keyword in schema:
        if keyword not in known and keyword not in _SAID and not keyword.startswith("x-"):
            raise _Unusual
