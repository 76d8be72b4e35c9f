"""Whatever is written as a condition: a value, or one of the two documented errors."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cel_conformance import cases
from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel import (
    Expression,
    InvalidExpression,
    batch,
    comparisons,
    compile_expression,
    to_json,
)
from forestall.policy.language.cel.functions import GLOBALS, MACROS, METHODS
from forestall.policy.language.cel.syntax import RESERVED

DATA = {
    "a": {"b": [1, 2.5, "x", None, True, {"k": "v"}], "s": "héllo", "n": -7, "t": True},
    "x": [0, 1, "1"],
}
TOKENS = st.sampled_from(
    [
        *GLOBALS, *METHODS, *MACROS, *sorted(RESERVED), "a", "a.b", "a.s", "a.n", "x", "e", "has", "dyn",
        "true", "false", "null", "in", "0", "1", "-1", "1.5", "2u", "9223372036854775807", "1e308", "''",
        "'a'", "b'\\xff'", "r'\\d+'", '"%s %d"', "'2024-01-01T00:00:00Z'", "'90m'", "'Europe/Berlin'",
        "(", ")", "(", ")", "[", "]", "{", "}", ",", ",", ".", ".", ":", "?", "!", "-", "+", "*", "/", "%",
        "<", "<=", ">", ">=", "==", "!=", "&&", "||", "=", "`", "\\", "\n", "// c\n", "[].", "x.map(e, ",
        "x.all(e, ", "a.b[", "{'k': ", " ? ", " : ", "'", '"""', "é", "\x00", "\ud7ff", "_", "__class__",
    ]
)  # fmt: skip
SOUP = st.lists(TOKENS, max_size=30).map(" ".join)
OFFICIAL = sorted({case.expr for case in cases() if len(case.expr) < 200})


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """An official expression with a few pieces cut out, doubled or replaced."""
    text = draw(st.sampled_from(OFFICIAL))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = at + draw(st.integers(0, 5))
        piece = draw(st.one_of(st.just(""), TOKENS, st.just(text[at:end] * 2), st.characters()))
        text = text[:at] + piece + text[end:]
    return text


SOURCES = st.one_of(SOUP, mutants(), st.text(max_size=40))


def _compiled(source: str) -> Expression | InvalidExpression:
    try:
        return compile_expression(source, tuple(DATA))
    except InvalidExpression as error:
        return error


def _result(expression: Expression, data: dict[str, Any]) -> str:
    try:
        return json.dumps(to_json(expression.evaluate(*data.values())), allow_nan=False)
    except ExpressionError as error:
        return str(error)


def _holds_up(source: str) -> None:
    compiled = _compiled(source)
    if isinstance(compiled, InvalidExpression):
        lines = source.split("\n")
        assert 1 <= compiled.line <= len(lines)
        assert 1 <= compiled.column <= len(lines[compiled.line - 1]) + 1
        return
    assert all(isinstance(part, str) for path in compiled.reads for part in path)
    assert all(comparison.path[0] in DATA for comparison in comparisons(compiled))
    before = json.dumps(DATA)
    for data in (DATA, {"a": 1, "x": None}, {"a": [], "x": {"k": {}}}):
        assert _result(compiled, data)
    assert json.dumps(DATA) == before


@settings(max_examples=400, deadline=None)
@given(SOURCES)
def test_nothing_but_the_documented_errors_comes_out(source: str) -> None:
    _holds_up(source)


@pytest.mark.soak
@settings(max_examples=100_000, deadline=None)
@given(SOURCES)
def test_nothing_else_comes_out_of_very_many(source: str) -> None:
    _holds_up(source)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.binary(max_size=30),
            SOURCES.map(lambda s: json.dumps({"expr": s})),
        )
    )
)
def test_a_batch_answers_every_line(lines: list[str | bytes]) -> None:
    answers = [json.loads(answer) for answer in batch(lines)]
    assert len(answers) == sum(1 for line in lines if line.strip())
    assert all(set(answer) in ({"value"}, {"error"}) for answer in answers)
