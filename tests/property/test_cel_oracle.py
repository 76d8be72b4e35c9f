"""Random conditions over random data give what Google's C++ implementation gives.

Left out on purpose, because the implementations differ and neither is wrong: the text of doubles,
timestamps and durations; numbers beyond 2^53 compared across types; durations beyond 292 years.
"""

import datetime
from typing import Any

import pytest
from cel_expr_python import cel
from cel_expr_python.ext import ext_strings
from hypothesis import given, note, settings
from hypothesis import strategies as st

from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel import (
    Duration,
    InvalidExpression,
    Timestamp,
    Uint,
    compile_expression,
)
from forestall.policy.language.cel.values import plain_key

NAMES = ("a", "b", "event")
ENVIRONMENT = cel.NewEnv(
    variables={name: cel.Type.DYN for name in NAMES}, extensions=[ext_strings.ExtStrings()]
)
ERROR = "error"

# Data

TEXTS = st.sampled_from(["", "a", "b", "ab", "abc", "1", "-7", "true", "é", "😀b", "A b", "a,b,,c"])
INTS = st.one_of(st.integers(-3, 5), st.sampled_from([2**31, 2**53, -(2**62), 2**63 - 1, -(2**63)]))
DOUBLES = st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.5, 3.0, 1e10, 0.1])
SCALARS = st.one_of(st.none(), st.booleans(), INTS, DOUBLES, TEXTS)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["a", "b", "data", "x"]), inner, max_size=3),
    ),
    max_leaves=8,
)

# Expressions: mostly of a wanted kind, so that many give values, sometimes of any.


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "\\'") + "'"
    return str(value)


ATOMS = {
    "bool": st.booleans().map(_literal),
    "int": INTS.map(_literal),
    "uint": st.integers(0, 4).map(lambda n: f"{n}u"),
    "double": DOUBLES.map(_literal),
    "string": TEXTS.map(_literal),
    "list": st.sampled_from(["[]", "[1, 2, 3]", "['a', 'ab']", "[true, 1, 1.0, null]", "[[1], {}]"]),
    "map": st.sampled_from(["{}", "{'a': 1, 'b': 'x'}", "{1: 2, 'a': [1]}", "{true: 1, 2u: 3}"]),
    "null": st.just("null"),
    "timestamp": st.sampled_from(
        ["timestamp('2024-02-29T23:59:59Z')", "timestamp('1969-12-31T22:00:00.5-02:00')", "timestamp(7)"]
    ),
    "duration": st.sampled_from(["duration('90m')", "duration('-1.5s')", "duration('0')"]),
}
PATHS = st.sampled_from(
    ["a", "b", "event", "event.data", "event.data.a", "event.data.x", "a.b", "b.a", "event['a']", "a[0]"]
)
LEAVES = st.one_of(*ATOMS.values(), PATHS, PATHS)
RECEIVERS = ("contains", "startsWith", "endsWith", "matches")
GETTERS = ("getFullYear", "getMonth", "getDate", "getDayOfWeek", "getDayOfYear", "getHours",
           "getMinutes", "getSeconds", "getMilliseconds")  # fmt: skip


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    text = st.one_of(ATOMS["string"], PATHS, inner)
    number = st.one_of(ATOMS["int"], ATOMS["int"], ATOMS["double"], ATOMS["uint"], PATHS, inner)
    items = st.one_of(ATOMS["list"], ATOMS["map"], PATHS, inner)
    moment = st.one_of(ATOMS["timestamp"], ATOMS["duration"])
    test = st.one_of(
        inner,
        st.builds("x {} {}".format, st.sampled_from(["==", "!=", "<", ">=", "in"]), st.one_of(LEAVES, inner)),
    )

    def join(strategy: st.SearchStrategy[str], operators: list[str]) -> st.SearchStrategy[str]:
        return st.builds("({} {} {})".format, strategy, st.sampled_from(operators), strategy)

    return st.one_of(
        join(inner, ["&&", "||", "==", "!=", "&&", "||"]),
        join(number, ["+", "-", "*", "/", "%", "<", "<=", ">", ">=", "==", "!="]),
        join(text, ["+", "<", "<=", "==", "in"]),
        join(moment, ["+", "-", "<", ">=", "=="]),
        st.builds("({} in {})".format, inner, items),
        st.builds("({} + {})".format, items, items),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("!{}".format, inner),
        st.builds("-({})".format, number),
        st.builds("{}[{}]".format, items, st.one_of(number, text)),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{'a': {}, {}: 1}}".format, inner, st.one_of(ATOMS["int"], ATOMS["bool"])),
        st.builds("{}.{}({})".format, text, st.sampled_from(RECEIVERS), text),
        st.builds("{}.{}()".format, moment, st.sampled_from(GETTERS)),
        st.builds("{}.{}('{}')".format, ATOMS["timestamp"], st.sampled_from(GETTERS),
                  st.sampled_from(["Europe/Berlin", "-03:30", "Asia/Kathmandu", "Nowhere"])),
        st.builds("{}({})".format, st.sampled_from(["int", "uint", "double", "bool"]), number),
        st.builds("{}({})".format, st.sampled_from(["size", "type", "dyn", "bool"]), inner),
        st.builds("{}.{}(x, {})".format, items,
                  st.sampled_from(["all", "exists", "exists_one", "filter", "map"]), test),
        st.builds("{}.map(x, {}, {})".format, items, test, inner),
        st.builds("has({})".format, st.sampled_from(["event.data.a", "a.b", "event.x", "b.a.x", "{}.a"])),
        st.builds("{}.substring({})".format, text, number),
        st.builds("{}.indexOf({})".format, text, text),
        st.builds("{}.replace({}, {})".format, text, text, text),
        st.builds("{}.split(',')".format, text),
        st.builds("{}.{}()".format, text, st.sampled_from(["lowerAscii", "upperAscii", "trim"])),
    )  # fmt: skip


EXPRESSIONS = st.recursive(LEAVES, _grown, max_leaves=8)


# The two judges


def _oracle(source: str, data: dict[str, Any]) -> Any:
    try:
        value = ENVIRONMENT.compile(source, disable_check=True).eval(data=data)
        if value.type() in (cel.Type.ERROR, cel.Type.UNKNOWN):
            return ERROR
        return _tagged_oracle(value)
    except (RuntimeError, ValueError, OverflowError):
        return ERROR


def _tagged_oracle(value: Any) -> Any:
    kind = value.type().name()
    plain = value.plain_value()
    if kind == "list" or isinstance(plain, list):
        return ["list", *(_tagged_oracle(item) for item in value.value())]
    if isinstance(plain, dict):
        return ["map", *sorted(([repr(k), _loose(v)] for k, v in plain.items()), key=str)]
    if isinstance(plain, float):
        return ["double", repr(plain)]
    if isinstance(plain, datetime.datetime | datetime.timedelta):
        return ["moment", repr(plain)]
    if isinstance(plain, int) and not isinstance(plain, bool):
        return ["uint" if "uint" in kind.lower() else "int", plain]
    if "type" in kind.lower() and plain is not None:
        return ["type", str(plain)]
    return ["plain", repr(plain)]
