"""A condition from an untrusted author can neither hang, nor crash, nor grow without bound."""

import gc
import time
from typing import Any

import pytest

from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel import (
    InvalidExpression,
    compile_expression,
    to_json,
)
from forestall.policy.language.cel.syntax import MAX_DEPTH, MAX_NODES, MAX_SOURCE

PATIENCE = 5.0


def refused(source: str) -> str:
    start = time.process_time()
    with pytest.raises(InvalidExpression) as caught:
        compile_expression(source, ("x", "s", "xs"))
    assert time.process_time() - start < PATIENCE
    return caught.value.message


def exhausted(source: str, *values: Any) -> str:
    run = compile_expression(source, ("x", "s", "xs")).evaluate
    start = time.process_time()
    with pytest.raises(ExpressionError) as caught:
        run(*values)
    assert time.process_time() - start < PATIENCE
    return str(caught.value)


def test_source_is_bounded() -> None:
    assert compile_expression("1 " + " " * (MAX_SOURCE - 2), ()).evaluate() == 1
    assert "longer than 8192 characters" in refused("1" + " " * MAX_SOURCE)


@pytest.mark.parametrize(
    "source",
    [
        "(" * 4000 + "1" + ")" * 4000,
        "[" * 4000,
        "{1:" * 2000,
        "!" * 8000 + "true",
        "-" * 8000 + "1",
        "x" + ".a" * 4000,
        "x" + "[0]" * 2500,
        "1" + "+1" * 4000,
        "true" + " ? true : true" * 500,
        "size(" * 1300 + "x" + ")" * 1300,
        "xs" + ".map(x, x)" * 700,
        "xs.all(a, " * 700,
        "s" + ".trim()" * 1000,
    ],
)
def test_depth_is_bounded(source: str) -> None:
    assert "nested deeper" in refused(source)


def test_the_deepest_allowed_of_every_shape_compiles() -> None:
    shapes = {
        "[": "]", "{1: ": "}", "size(": ")", "xs.map(x, ": ")", "!(": ")", "-(": ")", "(1 < ": ")",
        "(true && ": " && x)", "(x ? 1 : ": ")", "s.replace(s, ": ")", "xs.map(x, true, ": ")", "(x == ": " == x)",
        "xs.all(x, x || ": ")", "(0 == ": ")", "xs[": "]", "xs.exists_one(x, 1 > ": ")", "!(x && 1 == ": ")",
        "(x > 1.5 ? 1 : ": ")", "dyn(": ")", "('a' != ": ")",
    }  # fmt: skip
    for opening, closing in shapes.items():
        compiled = 0
        for depth in range(1, MAX_DEPTH + 1):
            try:
                compile_expression(opening * depth + "x" + closing * depth, ("x", "s", "xs"))
                compiled = depth
            except InvalidExpression as error:
                assert "nested deeper" in error.message  # noqa: PT017
        assert compiled >= MAX_DEPTH // 3 - 1, opening


def test_the_number_of_parts_is_bounded() -> None:
    assert "more than 2000 parts" in refused("[" + "1," * (MAX_NODES + 1) + "]")
    assert "more than 2000 parts" in refused("||".join(["x"] * (MAX_NODES + 1)))


@pytest.mark.parametrize(
    "source",
    [
        "'" + "\\n" * 4000,
        '"' * 4001,
        "'''" + "''\\'" * 2000,
        "r'" + "\\" * 8000,
        "/" * 8000,
        "`" * 8000,
    ],
)
def test_hostile_tokens_are_read_in_linear_time(source: str) -> None:
    start = time.process_time()
    try:
        compile_expression(source, ())
    except InvalidExpression:
        assert time.process_time() - start < PATIENCE


@pytest.mark.parametrize(
    "source",
    [
        "xs.all(a, xs.all(b, xs.all(c, true)))",
        "xs.map(a, xs.map(b, xs.map(c, 1))).size() > 0",
        "xs.exists(a, xs == [a])  || xs.all(a, xs == xs)",
        "xs.all(a, a in xs || !(a in xs))",
        "xs.all(a, xs + xs != xs)",
        "xs.all(a, s.contains('needle') || true)",
        "xs.all(a, s.matches('(x+x+)+y') || true)",
        "xs.all(a, s.matches('(x+x+)+y' + s.substring(0, 1)) || true)",
        "xs.all(a, s.replace('x', 'yy').size() > 0)",
        "xs.all(a, s.split('').size() > 0)",
        "xs.all(a, (s + s).size() > 0)",
        "xs.all(a, s.lowerAscii() == s.reverse())",
        "xs.all(a, '%s%s'.format([xs, s]) != '')",
        "xs.all(a, xs.map(b, 'x').join(s) != '')",
        "xs.all(a, bytes(s) != b'')",
    ],
)
def test_work_is_bounded(source: str) -> None:
    assert "takes more than 100000 steps" in exhausted(source, 1, "x" * 20_000, list(range(2_000)))


def test_text_cannot_explode() -> None:
    doubling = "s" + ".replace('x', 'xxxxxxxxxx')" * 9
    assert "steps" in exhausted(doubling, 0, "x" * 100, [])
    assert "steps" in exhausted("s.replace('', s).replace('', s)", 0, "x" * 5_000, [])
    assert "steps" in exhausted(
        "xs.map(x, s).join(s).size() > 0", 0, "x" * 60_000, list(range(500))
    )


def test_a_shared_value_cannot_explode_where_it_is_written_out() -> None:
    source = "[1, 1]"
    for _ in range(20):
        source = f"[{source}].map(x, [x, x, x, x])"
    assert "steps" in exhausted(source, 1, "", [])
    assert "steps" in exhausted(f"{{'a': {source}}}", 1, "", [])
    assert "steps" in exhausted(f"{source} == {source}", 1, "", [])
    assert "steps" in exhausted(f"'%s'.format([{source}]) == ''", 1, "", [])
    assert compile_expression(f"{source}.size()", ()).evaluate() == 1


def test_json_cannot_explode() -> None:
    shared: list[Any] = [1]
    for _ in range(40):
        shared = [shared, shared]
    with pytest.raises(ExpressionError):
        to_json(shared)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ExpressionError, match="nested too deeply"):
        to_json(deep)
    with pytest.raises(ExpressionError):
        compile_expression("x == y", ("x", "y")).evaluate(deep, [deep])
    while deep:
        deep = deep.pop()


def test_the_steps_start_anew_with_each_evaluation() -> None:
    run = compile_expression("xs.map(x, x + 1).size()", ("xs",)).evaluate
    assert [run(list(range(20_000))) for _ in range(10)] == [20_000] * 10


def test_an_exhausted_loop_is_not_started_again_by_or() -> None:
    heavy = "xs.all(a, xs.all(b, true))"
    start = time.process_time()
    assert (
        compile_expression(f"{heavy} || {heavy} || true", ("xs",)).evaluate(list(range(5_000)))
        is True
    )
    assert time.process_time() - start < PATIENCE


def test_failing_leaves_no_garbage_to_collect() -> None:
    run = compile_expression("x.a && x.b || [1].all(y, x.c)", ("x",)).evaluate
    gc.collect()
    for _ in range(100):
        with pytest.raises(ExpressionError):
            run({})
    assert gc.collect() < 100


@pytest.mark.parametrize(
    "pattern", ["(" * 300, "a{1001}", "(a{1000}){1000}", "\\1", "(?=a)", "(?<n", "[z-a]"]
)
def test_patterns_are_limited_to_what_re2_takes(pattern: str) -> None:
    escaped = pattern.replace("\\", "\\\\")
    try:
        assert compile_expression(f"s.matches('{escaped}')", ("s",)).evaluate("x") is False
    except InvalidExpression as error:
        assert "RE2" in error.message or "too large" in error.message  # noqa: PT017


def test_a_pattern_of_the_data_is_limited_too() -> None:
    run = compile_expression("s.matches(p)", ("s", "p")).evaluate
    assert run("abc", "b+") is True
    with pytest.raises(ExpressionError, match="longer than 1000"):
        run("abc", "b" * 1001)
    with pytest.raises(ExpressionError, match="RE2"):
        run("abc", "(b")
