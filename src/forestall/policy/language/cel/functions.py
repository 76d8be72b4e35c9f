"""Every function a condition may call: how many arguments, what runs, the type it gives."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import msgspec

from forestall.policy.language.cel import conversions, operators, strings, times

Kind = Literal[
    "bool", "int", "uint", "double", "string", "bytes", "null", "timestamp", "duration", "list",
    "map", "type", "dyn",
]  # fmt: skip


class Function(msgspec.Struct, frozen=True):
    """A function or method. ``least`` and ``most`` count arguments, the target included;
    ``works`` says that it takes the evaluation's steps first."""

    name: str
    least: int
    most: int
    kind: Kind
    run: Callable[..., Any]
    works: bool = False


def _by_name(*functions: Function) -> dict[str, Function]:
    return {function.name: function for function in functions}


GLOBALS = _by_name(
    Function("size", 1, 1, "int", operators.size),
    Function("int", 1, 1, "int", conversions.to_int),
    Function("uint", 1, 1, "uint", conversions.to_uint),
    Function("double", 1, 1, "double", conversions.to_double),
    Function("bool", 1, 1, "bool", conversions.to_bool),
    Function("string", 1, 1, "string", conversions.to_string, works=True),
    Function("bytes", 1, 1, "bytes", conversions.to_bytes, works=True),
    Function("type", 1, 1, "type", operators.type_of),
    Function("timestamp", 1, 1, "timestamp", conversions.to_timestamp),
    Function("duration", 1, 1, "duration", conversions.to_duration),
    Function("matches", 2, 2, "bool", operators.matches, works=True),
    Function("strings.quote", 1, 1, "string", strings.quote, works=True),
)
"""Functions called by their name alone; ``dyn`` and ``has`` besides, which the translator knows."""

METHODS = _by_name(
    GLOBALS["size"],
    GLOBALS["matches"],
    Function("contains", 2, 2, "bool", strings.contains_text, works=True),
    Function("startsWith", 2, 2, "bool", strings.starts_with),
    Function("endsWith", 2, 2, "bool", strings.ends_with),
    Function("charAt", 2, 2, "string", strings.char_at, works=True),
    Function("indexOf", 2, 3, "int", strings.index_of, works=True),
    Function("lastIndexOf", 2, 3, "int", strings.last_index_of, works=True),
    Function("join", 1, 2, "string", strings.join, works=True),
    Function("lowerAscii", 1, 1, "string", strings.lower_ascii, works=True),
    Function("upperAscii", 1, 1, "string", strings.upper_ascii, works=True),
    Function("replace", 3, 4, "string", strings.replace, works=True),
    Function("reverse", 1, 1, "string", strings.reverse, works=True),
    Function("split", 2, 3, "list", strings.split, works=True),
    Function("substring", 2, 3, "string", strings.substring, works=True),
    Function("trim", 1, 1, "string", strings.trim, works=True),
    Function("format", 2, 2, "string", strings.format_text, works=True),
    *(Function(name, 1, 2, "int", partial(times.get_field, name)) for name in times.GETTERS),
)
"""Functions called on a value: ``text.contains('x')``."""

MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
"""Loops over a list or the keys of a map."""

OUT_OF_SCOPE = {
    "bind": "cel.bind is not part of this language; repeat the expression",
    "existsOne": "write exists_one",
    "transformList": "write map",
    "transformMap": "write map",
    "transformMapEntry": "write map",
    "optMap": "write has() and '? :'",
    "optFlatMap": "write has() and '? :'",
    "orValue": "write has() and '? :'",
    "hasValue": "write has()",
    "toLowerCase": "write lowerAscii",
    "lower": "write lowerAscii",
    "upper": "write upperAscii",
    "length": "write size",
    "len": "write size",
    "now": "now is a variable: write it without brackets",
}
"""What people try that is not here, and what to write instead."""
