"""Random conditions over random data give what Google's C++ implementation gives.

Left out on purpose, because the implementations differ and neither is wrong: the text of doubles,
timestamps and durations; ``''.split('')``; equality beyond 2^53 across types; durations beyond 292
years; the order in which loops visit a map; ``int(true)``, which is no CEL; ``!!x``, which
its parser takes for ``x`` of any type; and ``substring`` up to the very end, which that version
refuses against the official data.
"""

import datetime
from typing import Any

import pytest
from cel_expr_python import cel  # type: ignore[import-untyped]
from cel_expr_python.ext import ext_strings  # type: ignore[import-untyped]
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
from property.holes import filled

NAMES = ("a", "b", "event", "x")
ENVIRONMENT = cel.NewEnv(
    variables=dict.fromkeys(NAMES, cel.Type.DYN), extensions=[ext_strings.ExtStrings()]
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

BINDINGS = st.fixed_dictionaries(
    {
        "a": st.fixed_dictionaries(
            {
                "n": INTS,
                "d": DOUBLES,
                "s": TEXTS,
                "t": st.booleans(),
                "l": st.lists(SCALARS, max_size=4),
                "m": st.dictionaries(TEXTS, SCALARS, max_size=3),
            }
        ),
        "b": DATA,
        "event": st.fixed_dictionaries({"data": DATA}),
        "x": SCALARS,
    }
)

# Expressions: of a wanted kind, so that most give values, and one time in twelve of any.


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "\\'") + "'"
    return str(value)


ANY_PATH = ["b", "b.a", "b[0]", "event", "event.data", "event.data.a", "event.data.x", "a['n']"]
LEAVES: dict[str, st.SearchStrategy[str]] = {
    "bool": st.one_of(st.booleans().map(_literal), st.just("a.t"), st.sampled_from(["has(b.a)", "has(a.s)"])),
    "int": st.one_of(INTS.map(_literal), st.just("a.n")),
    "uint": st.integers(0, 4).map("{}u".format),
    "double": st.one_of(DOUBLES.map(_literal), st.just("a.d")),
    "string": st.one_of(TEXTS.map(_literal), st.just("a.s")),
    "list": st.sampled_from(["[]", "[1, 2, 3]", "['a', 'ab']", "[true, 1, 1.0, null]", "a.l"]),
    "map": st.sampled_from(["{}", "{'a': 1, 'b': 'x'}", "{1: 2, 'a': [1]}", "{true: 1, 2u: 3}", "a.m"]),
    "any": st.sampled_from([*ANY_PATH, "null", "x", "type(1)"]),
    "timestamp": st.sampled_from(
        ["timestamp('2024-02-29T23:59:59Z')", "timestamp('1969-12-31T22:00:00.5-02:00')", "timestamp(7)"]
    ),
    "duration": st.sampled_from(["duration('90m')", "duration('-1.5s')", "duration('0')"]),
}  # fmt: skip
WORDS = {
    "LOGIC": ["&&", "||"],
    "CMP": ["==", "!=", "<", "<=", ">", ">="],
    "EQ": ["==", "!="],
    "ARITH": ["+", "-", "*", "/", "%"],
    "SUM": ["+", "-"],
    "FEW": ["0", "1", "2", "1.0", "true", "null", "'a'", "{1: 2}", "[]"],
    "TEST": ["contains", "startsWith", "endsWith", "matches"],
    "QUANT": ["all", "exists", "exists_one"],
    "LOOP": ["map", "filter", "all", "exists", "exists_one"],
    "CASE": ["trim", "lowerAscii", "upperAscii", "reverse"],
    "CONVERT": ["uint", "double", "bool", "size", "type", "dyn"],
    "ZONE": ["", "", "'Europe/Berlin'", "'-03:30'", "'Asia/Kathmandu'", "'Nowhere'"],
    "PART": ["getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
             "getHours", "getMinutes", "getSeconds", "getMilliseconds"],
    "SPAN": ["getHours", "getMinutes", "getSeconds", "getMilliseconds", "getMonth"],
    "CLAUSE": ["%s", "%d", "%x", "%b", "%.2f", "%%"],
}  # fmt: skip
GROWN: dict[str, list[str]] = {
    "bool": [
        "({bool} LOGIC {bool})", "({bool} LOGIC {any} LOGIC {bool})", "!({bool})", "({any} EQ {any})",
        "({int} CMP {int})", "({int} CMP {double})", "({double} CMP {uint})", "({any} CMP FEW)",
        "({string} CMP {string})", "({timestamp} CMP {timestamp})", "({duration} CMP {duration})",
        "({any} in {list})", "({string} in {map})", "({int} in [{int}, {double}, {any}])",
        "{string}.TEST({string})", "({list} EQ {list})", "({map} EQ {map})", "(FEW CMP {any})",
        "{list}.QUANT(x, {bool})", "{list}.QUANT(x, x CMP {int})", "{map}.QUANT(x, x == {string})",
        "{list}.QUANT(x, x CMP {int} LOGIC {bool})", "bool({string})",
    ],
    "int": [
        "({int} ARITH {int})", "-({int})", "size({string})", "{list}.size()", "int(a.d)",
        "int(a.s)", "int(2u)", "({bool} ? {int} : {int})", "{string}.indexOf({string})",
        "{string}.lastIndexOf({string})", "{timestamp}.PART(ZONE)", "{duration}.SPAN()",
        "int(timestamp(7))",
    ],
    "uint": ["({uint} ARITH {uint})", "uint({int})", "uint({double})"],
    "double": ["({double} ARITH {double})", "-({double})", "double({int})", "double({string})"],
    "string": [
        "({string} + {string})", "string(a.n)", "string(a.t)", "{string}.substring({int})", "{string}.charAt({int})", "{string}.CASE()",
        "{string}.replace({string}, {string})", "({bool} ? {string} : {string})",
        "{string}.split(',').join('-')", "'<CLAUSE>'.format([a.n])",
        "'%s-%s'.format([a.s, a.t])",
    ],
    "list": [
        "({list} + {list})", "[{any}, {int}]", "{list}.LOOP(x, {bool})", "({map}.QUANT(x, x EQ {any}) ? [1] : [])",
        "{list}.map(x, {bool}, {any})", "{list}.map(x, [x, {int}])", "{list}.filter(x, x CMP {any})",
        "{string}.split('b')",
    ],
    "map": ["{'a': {any}, {int}: {bool}}", "{'a': {list}, {string}: {uint}}"],
    "any": [
        "{list}[{int}]", "{map}[{string}]", "{any}[{any}]", "{any}.a", "dyn({any})", "type({any})",
        "({bool} ? {int} : {string})", "CONVERT({any})", "({any} ARITH {any})",
    ],
    "timestamp": ["({timestamp} SUM {duration})", "({duration} + {timestamp})"],
    "duration": ["({duration} SUM {duration})", "({timestamp} - {timestamp})"],
}  # fmt: skip
KINDS = sorted(LEAVES)
SCALAR_KINDS = ["bool", "int", "uint", "double", "string", "timestamp", "duration"]


@st.composite
def expressions(draw: st.DrawFn, kind: str = "bool", depth: int = 3) -> str:
    """Source of a condition, usually of the wanted kind."""
    if draw(st.integers(0, 11)) == 0:
        kind = draw(st.sampled_from(SCALAR_KINDS if kind == "list" else KINDS))
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(LEAVES[kind])

    pattern = draw(st.sampled_from(GROWN[kind]))
    return filled(draw, pattern, WORDS, lambda inner: expressions(inner, depth - 1))


EXPRESSIONS = st.sampled_from(KINDS).flatmap(expressions)


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
    kind = value.type()
    if kind == cel.Type.TYPE:
        return ["type"]
    if kind.name().startswith("LIST"):
        return ["list", *(_tagged_oracle(item) for item in value.value())]
    if kind.name().startswith("MAP"):
        return ["map", *sorted([repr(k), _tagged_oracle(v)] for k, v in value.value().items())]
    return [kind.name().lower(), repr(value.plain_value())]


def _ours(source: str, data: dict[str, Any]) -> Any:
    try:
        return _tagged(compile_expression(source, NAMES).evaluate(*(data[name] for name in NAMES)))
    except (InvalidExpression, ExpressionError):
        return ERROR


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def _tagged(value: Any) -> Any:
    match value:
        case None:
            return ["null", "None"]
        case bool():
            return ["bool", repr(value)]
        case Uint():
            return ["uint", repr(int(value))]
        case int():
            return ["int", repr(value)]
        case float():
            return ["double", repr(value)]
        case str():
            return ["string", repr(value)]
        case list():
            return ["list", *(_tagged(item) for item in value)]
        case dict():
            return ["map", *sorted([repr(_key(k)), _tagged(v)] for k, v in value.items())]
        case Timestamp():
            return ["timestamp", repr(EPOCH + datetime.timedelta(microseconds=value.nanos // 1000))]
        case Duration():
            return ["duration", repr(datetime.timedelta(microseconds=value.nanos // 1000))]
    return ["type"]


def _key(key: Any) -> Any:
    plain = plain_key(key)
    return int(plain) if isinstance(plain, Uint) else plain


def _agree(source: str, data: dict[str, Any]) -> None:
    note(f"{source}   over   {data}")
    assert _ours(source, data) == _oracle(source, data)


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS, BINDINGS)
def test_random_conditions_agree_with_the_cpp_implementation(
    source: str, data: dict[str, Any]
) -> None:
    _agree(source, data)


@pytest.mark.soak
@settings(max_examples=30_000, deadline=None)
@given(EXPRESSIONS, BINDINGS)
def test_many_random_conditions_agree(source: str, data: dict[str, Any]) -> None:
    _agree(source, data)
