"""Compiling and running conditions: values, errors with places, what is read, batches."""

import json
import math
import threading
from typing import Any

import pytest

from forestall.contracts.errors import ExpressionError, ForestallError
from forestall.policy.language.cel import (
    CelType,
    Comparison,
    Duration,
    InvalidExpression,
    Timestamp,
    Uint,
    batch,
    comparisons,
    compile_expression,
    to_json,
)
from forestall.policy.language.cel.operators import make_map

VARIABLES = ("event", "subject", "now", "features", "service")
EVENT = {
    "id": "e1",
    "type": "payment.declined",
    "source": "shop",
    "time": Timestamp(1_000_000_000_000),
    "origin": "server",
    "data": {
        "order_id": "o1",
        "amount": 12.5,
        "count": 3,
        "one": 1,
        "flag": True,
        "none": None,
        "tags": ["a", "b"],
        "nested": {"deep": {"x": 7}},
        "content-type": "text/html",
    },
}
VALUES: tuple[Any, ...] = (
    EVENT,
    {"plan": "pro"},
    Timestamp(1_060_000_000_000),
    {"errors_10m": 4},
    {},
)


def value(source: str) -> Any:
    return compile_expression(source, VARIABLES).evaluate(*VALUES)


def fault(source: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        value(source)
    return str(caught.value)


def refusal(source: str, variables: tuple[str, ...] = VARIABLES) -> InvalidExpression:
    with pytest.raises(InvalidExpression) as caught:
        compile_expression(source, variables)
    return caught.value


@pytest.mark.parametrize(
    "source",
    [
        "event.data.order_id == 'o1'",
        "event.data.amount >= 12.0 && event.data.count < 4",
        "event.data['order_id'] in ['o1', 'o2']",
        "features.errors_10m >= 3 && subject.plan != 'free'",
        "now - event.time < duration('10m')",
        "now - event.time == duration('1m')",
        "event.time < now",
        "!has(event.data.coupon) && has(event.data.none)",
        "event.data.none == null",
        "event.data.flag",
        "event.data.flag == true && event.data.flag != false",
        "event.data.tags.exists(t, t == 'b')",
        "event.data.tags.all(t, size(t) == 1)",
        "event.data.tags[1] == 'b'",
        "event.data.nested.deep.x == 7",
        "event.data.`content-type` == 'text/html'",
        "event.data.order_id.matches('^o[0-9]+$')",
        "service == {}",
        "event.data.count == 3.0 && 3.0 == event.data.count",
        "double(event.data.count) * 1.5 == 4.5",
        "event.type.startsWith('payment.')",
        "(event.data.missing == 1) || true",
        "!(event.data.missing == 1 && false)",
        "event.data.flag ? true : event.data.missing",
    ],
)
def test_conditions_of_everyday_life_hold(source: str) -> None:
    assert value(source) is True


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("event.data.one == true", False),
        ("event.data.flag == 1", False),
        ("event.data.flag != 1", True),
        ("true in [1, 1.0]", False),
        ("1 in [true]", False),
        ("true in [1, 2]", False),
        ("event.data.flag in ['a', 1]", False),
        ("event.data.flag in [2, 3]", False),
        ("event.data.tags in ['a', 2]", False),
        ("3u in ['a', 3.0]", True),
        ("dyn(2.5) in [2, 2.5]", True),
        ("{1: 'int', true: 'bool'}[true]", "bool"),
        ("{1: 'int', true: 'bool'}[1]", "int"),
        ("[true] == [1]", False),
        ("{'a': 1} == {'a': true}", False),
        ("dyn(true) == 1.0", False),
        ("dyn(false) == 0", False),
        ("dyn(false) != 0", True),
        ("[0, false].filter(x, x == 0)", [0]),
        ("[1, true].filter(x, x == true)", [True]),
        ("{true: 1}.map(k, k)", [True]),
        ("size({1: 0, true: 0, 2u: 0})", 3),
        ("type(true) == int", False),
    ],
)
def test_a_bool_is_never_a_number(source: str, expected: Any) -> None:
    result = value(source)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    "source",
    [
        "true + 1", "true + true", "-true", "true < 1", "1 < true", "true >= 0.5", "event.data.flag > 0",
        "event.data.flag + 1", "[1] < [2]", "null < null", "'a' < 1", "1 + 1.0", "1u + 1", "1 - 1u",
        "2.0 % 1.0", "-(1u)", "!1", "!'a'", "1 ? 2 : 3", "'a' && true", "1 || false", "null + null",
        "now + 1", "now + now", "duration('1s') * 2", "event.data.tags.b", "event.data.tags['x']",
        "event.data.order_id.x", "event.data.order_id[0]", "event.data.count.x", "has(event.id.x)",
        "size(1)", "size(null)", "1 in 2", "'a' in 'abc'", "[1, 2][true]", "{}[null]", "{1: 2}[[]]",
        "'a'.contains(1)", "'a'.matches(1)", "int(true)", "int([])", "bool(1)", "timestamp(1.5)",
        "duration(5)", "event.map(x, x + 1)", "5.all(x, true)", "[1].all(x, x)", "[1].filter(x, x)",
        "[1].exists_one(x, 1)", "now.getHours(5)", "duration('1s').getMonth()", "'a'.getHours()",
        "string([])", "string(null)", "bytes(1)", "uint('x')", "double('')", "double([])",
        "now < 5", "now < duration('1s')", "{'a': 1}.a.b", "'a' - 'b'", "b'a' + 'a'", "[1] + {}",
    ],
)  # fmt: skip
def test_operands_of_the_wrong_type_are_errors(source: str) -> None:
    assert fault(source)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("event.data.missing", "no key 'missing'"),
        ("event.data.nested.deep.y.z", "no key 'y'"),
        ("event.data['zip']", "no key 'zip'"),
        ("event.data.tags[2]", "index 2 is outside the list of 2"),
        ("event.data.tags[-1]", "index -1"),
        ("event.data.tags[0.5]", "index 0.5"),
        ("1 / 0", "division by zero"),
        ("event.data.count % 0", "modulus by zero"),
        ("9223372036854775807 + event.data.count", "64 bits"),
        ("-9223372036854775808 - event.data.count", "64 bits"),
        ("9223372036854775807 * event.data.count", "64 bits"),
        ("1u - 2u", "64 bits"),
        ("int(1e99)", "range of an int"),
        ("int(0.0 / 0.0)", "range of an int"),
        ("uint(-1.5)", "range of a uint"),
        ("int('12x')", "'12x' cannot be read as an int"),
        ("int(' 1')", "cannot be read"),
        ("double('1e999')", "out of range"),
        ("bool('yes')", "cannot be read as a bool"),
        ("string(b'\\xff')", "UTF-8"),
        ("{'a': 1, 'a': 2}", "twice"),
        ("{1.5: 2}", "map key"),
        ("'abc'.substring(2, 1)", "after its end"),
        ("'abc'.charAt(9)", "position 9"),
        ("timestamp(event.data.order_id)", "RFC 3339"),
        ("duration(event.data.order_id)", "is not a duration"),
        ("event.id.matches('(' + event.id)", "RE2"),
        ("now.getHours('Mars/Olympus')", "time zone"),
        ("now.getHours('../../etc/passwd')", "time zone"),
        ("now.getHours('/etc/passwd')", "time zone"),
        ("now.getMilliseconds('Mars')", "time zone"),
        ("now.getHours('localtime')", "time zone"),
        ("now.getHours('right/UTC')", "time zone"),
        ("now.getHours('')", "time zone"),
        ("now.getHours('Europe')", "time zone"),
        ("now.getHours('\\x00')", "time zone"),
    ],
)
def test_an_error_says_what_went_wrong(source: str, words: str) -> None:
    assert words in fault(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("7 / 2", 3), ("-7 / 2", -3), ("7 / -2", -3), ("-7 % 3", -1), ("7 % -3", 1), ("7u % 4u", Uint(3)),
        ("1.0 / 0.0", math.inf), ("-1.0 / 0.0", -math.inf), ("1.0 / -0.0", -math.inf),
        ("9007199254740993 == 9007199254740992.0", False), ("9007199254740993 != 9007199254740992.0", True),
        ("9007199254740992 == 9007199254740992.0", True), ("2u == 2 && 2 == 2.0 && 2.0 == 2u", True),
        ("0.0 / 0.0 == 0.0 / 0.0", False), ("[0.0 / 0.0] == [0.0 / 0.0]", False), ("0.0 == -0.0", True),
        ("'Z' < 'a'", True), ("'\\uffff' < '\\U00010000'", True), ("'' < 'a'", True),
        ("b'a' < b'b'", True), ("false < true", True), ("-9223372036854775808", -(2**63)),
        ("- 5", -5), ("--5", 5), ("1-1", 0), ("1 - -1", 2), ("-2 * -3", 6), ("2 + 3 * 4 - 6 / 2", 11),
        ("(2 + 3) * 4", 20), ("10 - 4 - 3", 3), ("100 / 10 / 5", 2), ("1 < 2 == true", True),
        ("true || false && false", True), ("false ? 1 : true ? 2 : 3", 2), ("0x1F", 31), ("0xffu", Uint(255)),
        (".5 + 1e1", 10.5), ("[1, 2, ][1]", 2), ("{'a': 1, }.a", 1), ("1 // comment\n + 1", 2),
        ("size('é😀')", 2), ("'a\\tb'", "a\tb"), ("r'a\\tb'", "a\\tb"),
        ("\"it's\"", "it's"), ("'''a\nb'''", "a\nb"), ("'\\x41\\101\\u00e9\\U0001F600'", "AAé😀"),
        ("b'\\xff\\101é'", b"\xffA\xc3\xa9"), ("[[1, 2], [3]].map(x, x.map(y, y * 2))", [[2, 4], [6]]),
        ("[1, 2, 3].map(x, x > 1, x * x)", [4, 9]), ("[1, 2].map(x, [3].map(x, x))", [[3], [3]]),
        ("[1, 2].exists(x, [x].all(y, y == x && x > 1))", True), ("{'a': 1, 'b': 2}.filter(k, k != 'a')", ["b"]),
        ("[].all(x, x / 0 == 1)", True), ("[1, 0].all(x, 1 / x == 2)", False), ("[0, 1].exists(x, 1 / x == 1)", True),
        ("type(1)", CelType("int")), ("type(null)", CelType("null_type")), ("type(now)", CelType("google.protobuf.Timestamp")),
    ],
)  # fmt: skip
def test_values(source: str, expected: Any) -> None:
    result = value(source)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("event.data.missing && false", False),
        ("false && event.data.missing", False),
        ("event.data.missing || true", True),
        ("1 || true", True),
        ("event.data.missing == 1 || event.data.absent == 2 || event.data.count == 3", True),
        ("(event.data.missing == 1 && true) || event.data.count == 3", True),
        ("[1, 2].exists(x, x == event.data.missing || x == 2)", True),
        ("event.data.tags.all(t, event.data.missing == t && t == 'z')", False),
        ("(true || event.data.missing) && !(false && event.data.missing)", True),
    ],
)
def test_one_operand_outweighs_the_error_of_another(source: str, expected: bool) -> None:
    assert value(source) is expected


@pytest.mark.parametrize(
    "source",
    [
        "event.data.missing && true",
        "true && event.data.missing",
        "event.data.missing || false",
        "event.data.missing ? 1 : 2",
        "[1, 2].exists(x, event.data.missing == x)",
        "[1, 2].all(x, event.data.missing == x)",
        "[1, 1].exists_one(x, event.data.missing == x)",
        "[1].filter(x, event.data.missing == x)",
        "[1].map(x, event.data.missing)",
        "!event.data.missing",
    ],
)
def test_an_error_that_nothing_outweighs_stays(source: str) -> None:
    assert "missing" in fault(source)


# Compile errors


@pytest.mark.parametrize(
    ("source", "line", "column", "message", "hint"),
    [
        ("", 1, 1, "expected a value, found the end of the condition", None),
        ("1 +", 1, 4, "expected a value, found the end", None),
        ("event.data.a = 1", 1, 14, "unexpected character '='", "write == to compare"),
        ("now > now & true", 1, 11, "unexpected character '&'", "write &&"),
        ("now == now and true", 1, 12, "expected an operator, found 'and'", "write && for and"),
        ("event.id == 'x\n'", 1, 13, "the text is not closed", "add the closing '"),
        ("1 +\n  events.x", 2, 3, "there is no variable 'events'", "did you mean 'event'?"),
        ("foo == 1", 1, 1, "there is no variable 'foo'", "there are: event, subject, now, features, service"),
        ("event.id.contain('x')", 1, 10, "there is no function 'contain'", "did you mean 'contains'?"),
        ("startsWith(event.id, 'x')", 1, 1, "there is no function 'startsWith'", "write x.startsWith(...)"),
        ("event.id.int()", 1, 10, "there is no function 'int'", "write int(x)"),
        ("event.id.toLowerCase()", 1, 10, "there is no function 'toLowerCase'", "write lowerAscii"),
        ("now()", 1, 1, "there is no function 'now'", "now is a variable"),
        ("size()", 1, 1, "size() takes 1 argument, not 0", None),
        ("event.id.size(1)", 1, 10, "size() takes 0 arguments, not 1", None),
        ("'a'.indexOf()", 1, 5, "indexOf() takes 1 or 2 arguments, not 0", None),
        ("event.id.matches('a(')", 1, 18, "the pattern is not an RE2 regular expression", None),
        ("event.id.matches('(?=a)')", 1, 18, "RE2", None),
        ("duration('10 minutes')", 1, 1, "is not a duration", None),
        ("timestamp('yesterday')", 1, 1, "RFC 3339", None),
        ("has(event)", 1, 1, "has() takes one field", "write has(event.data.field)"),
        ("has(event.data['x'])", 1, 1, "has() takes one field", None),
        ("[1].all(1, true)", 1, 9, "the name of an item", None),
        ("[1].all(x)", 1, 5, "all() takes a name and a condition", None),
        ("[1].all(i, x, true)", 1, 5, "all() takes a name and a condition", None),
        ("[1].map(x, y)", 1, 12, "there is no variable 'y'", None),
        ("Order{id: 1}", 1, 6, "messages cannot be built", "write a map"),
        ("a.b.Order{}", 1, 10, "messages cannot be built", None),
        ("event.?data", 1, 7, "optional values", "use has()"),
        ("[?event.id]", 1, 2, "optional values", None),
        ("optional.of(1)", 1, 10, "there is no function 'of'", None),
        ("cel.bind(x, 1, x)", 1, 5, "there is no function 'bind'", "cel.bind is not part"),
        ("event.if == while", 1, 13, "'while' is a reserved word", None),
        ("in", 1, 1, "'in' is a reserved word", None),
        ("event.in", 1, 7, "expected a field name", None),
        ("'\\q'", 1, 2, "unknown escape", "write \\\\ for a backslash"),
        ("'ab\\ud800'", 1, 4, "not a Unicode character", None),
        ("b'\\u0041'", 1, 3, "unknown escape", None),
        ("9223372036854775808", 1, 1, "between -2^63 and 2^63-1", None),
        ("18446744073709551616u", 1, 1, "between 0 and 2^64-1", None),
        ("-1u", 1, 2, "an unsigned integer lies between 0", None),
        ("1e400", 1, 1, "too large for a double", None),
        ("(1", 1, 3, "expected ')' to close '('", None),
        ("[1 2]", 1, 4, "expected ',' or ']' in the list", None),
        ("{'a' 1}", 1, 6, "expected ':' after the key", None),
        ("f(1,)", 1, 5, "expected a value", None),
        ("true ? 1", 1, 9, "expected ':' between the two values", None),
        ("1 2", 1, 3, "expected an operator, found '2'", None),
        ("event..id", 1, 7, "expected a field name", None),
        ("#", 1, 1, "unexpected character '#'", None),
        ("!-1", 1, 2, "expected a value", None),
        ("\"\"\"open", 1, 3, "the text is not closed", None),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place_and_a_hint(
    source: str, line: int, column: int, message: str, hint: str | None
) -> None:
    error = refusal(source)
    assert isinstance(error, ForestallError)
    assert error.code == "invalid-expression"
    assert message in error.message
    assert (error.line, error.column) == (line, column)
    assert str(error).startswith(f"{line}:{column}: ")
    if hint:
        assert error.hint is not None
        assert hint in error.hint
        assert error.hint in str(error)


# What is read


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("event.data.order_id == 'x'", {("event", "data", "order_id")}),
        ("now", {("now",)}),
        ("has(event.data.a.b)", {("event", "data", "a", "b")}),
        ("has(subject.plan)", {("subject", "plan")}),
        ("event.data['x'].y", {("event", "data")}),
        ("event.data.list[0].y", {("event", "data", "list")}),
        ("event.data.list.exists(i, i.sku == subject.sku)", {("event", "data", "list"), ("subject", "sku")}),
        ("[1].all(event, event.x == 1)", set()),
        ("size(features) > 0 && features.n > 1", {("features",), ("features", "n")}),
        ("event.id.startsWith('x')", {("event", "id")}),
        ("true ? event.id : subject.name", {("event", "id"), ("subject", "name")}),
        ("int(1) == 1 && type(1) == int", set()),
        (".event.id", {("event", "id")}),
        ("{'a': 1}.a", set()),
        ("event[subject.key]", {("event",), ("subject", "key")}),
    ],
)  # fmt: skip
def test_reads_are_the_paths_of_fields(source: str, reads: set[tuple[str, ...]]) -> None:
    assert compile_expression(source, VARIABLES).reads == reads


def test_places_are_where_a_path_stands_first() -> None:
    expression = compile_expression("event.id == 'x' &&\n  subject.plan == event.id", VARIABLES)
    assert expression.places == {("event", "id"): (1, 1), ("subject", "plan"): (2, 3)}
    assert expression.source.startswith("event.id")
    assert expression.variables == VARIABLES


def test_a_variable_may_have_dots_and_the_longest_name_wins() -> None:
    expression = compile_expression("a.b.c", ("a", "a.b"))
    assert expression.evaluate({"b": {"c": "short"}}, {"c": "long"}) == "long"
    assert compile_expression("a.d", ("a", "a.b")).evaluate({"d": 1}, {}) == 1


def test_a_loop_hides_a_variable_but_a_leading_dot_does_not() -> None:
    assert compile_expression("[2].map(x, x + .x)", ("x",)).evaluate(40) == [42]


def test_names_that_mean_something_in_python_mean_nothing_here() -> None:
    for name in (
        "__import__",
        "__class__",
        "exec",
        "w",
        "v0",
        "p0",
        "k0",
        "failures",
        "lambda",
        "None",
    ):
        assert "no variable" in refusal(f"{name} == 1").message
        assert compile_expression(name, (name,)).evaluate(7) == 7
    for field in ("__class__", "nanos", "__dict__", "keys"):
        assert "no key" in fault(f"event.{field}")
        assert fault(f"now.{field}")
        assert fault(f"event.id.{field}")
    assert value('\'"""); import os #\'') == '"""); import os #'
    assert compile_expression("x.`a-b/c d`", ("x",)).evaluate({"a-b/c d": 1}) == 1


# Comparisons with constants


def test_comparisons_are_the_parts_joined_by_and() -> None:
    source = (
        "event.data.a == 'x' && 3 < event.data.n &&\n (subject.plan != null && event.type in ['a', 'b'])"
        " && (event.data.b == 1 || event.data.c == 2) && event.data.d == event.data.e && now > now"
    )
    assert comparisons(compile_expression(source, VARIABLES)) == [
        Comparison(("event", "data", "a"), "==", "x", 1, 1),
        Comparison(("event", "data", "n"), ">", 3, 1, 28),
        Comparison(("subject", "plan"), "!=", None, 2, 3),
        Comparison(("event", "type"), "in", ("a", "b"), 2, 27),
    ]


@pytest.mark.parametrize(
    "source",
    [
        "true",
        "event.data.flag",
        "!(event.id == 'x')",
        "event.x['a'] == 1",
        "0 < int",
        "size(event.x) == 1",
    ],
)
def test_other_conditions_have_no_comparisons(source: str) -> None:
    assert comparisons(compile_expression(source, VARIABLES)) == []


def test_a_single_comparison_counts() -> None:
    found = comparisons(compile_expression("-1.5 >= event.data.x", VARIABLES))
    assert found == [Comparison(("event", "data", "x"), "<=", -1.5, 1, 9)]


# JSON and batches


def test_every_kind_of_value_has_a_json_form() -> None:
    values: list[Any] = [
        None,
        True,
        1,
        1.5,
        "é",
        Uint(7),
        b"\x00\xff",
        CelType("int"),
        Timestamp(1_500_000_000),
    ]
    values += [
        Duration(-1_500_000_000),
        math.nan,
        math.inf,
        -math.inf,
        make_map(True, 1, 2, 3, "a", []),
    ]
    assert to_json(values) == [
        None, True, 1, 1.5, "é", 7, "AP8=", "int", "1970-01-01T00:00:01.5Z", "-1.5s", "NaN", "Infinity",
        "-Infinity", {"true": 1, "2": 3, "a": []},
    ]  # fmt: skip
    json.dumps(to_json(values), allow_nan=False)


def test_a_map_that_json_cannot_hold_is_an_error() -> None:
    with pytest.raises(ExpressionError, match="same text"):
        to_json(make_map(1, "a", "1", "b"))


def test_batch_answers_every_line_and_never_stops() -> None:
    lines: list[str | bytes] = [
        '{"expr": "a.n * 2 > 5", "bindings": {"a": {"n": 3}}}',
        b'{"expr": "duration(\'90m\')"}',
        '{"expr": "a.x", "bindings": {"a": {}}}',
        '{"expr": "a +", "bindings": {"a": {}}}',
        "not json",
        "",
        '{"bindings": {}}',
        '{"expr": 5}',
        '{"expr": "x", "bindings": []}',
        b"\xff\xfe",
        '{"expr": "x", "bindings": {"x": ' + "[" * 5000 + "]" * 5000 + "}}",
        '{"expr": "[x, y, z]", "bindings": {"x": 1, "y": 1.0, "z": null}}',
        '{"expr": "\'\\\\u00e9\'"}',
    ]
    answers = [json.loads(answer) for answer in batch(lines)]
    assert len(answers) == len(lines) - 1
    assert answers[0] == {"value": True}
    assert answers[1] == {"value": "5400s"}
    assert answers[2] == {"error": "there is no key 'x'"}
    assert answers[3]["error"].startswith("1:4: expected a value")
    assert all(set(answer) == {"error"} for answer in answers[4:10])
    assert answers[10] == {"value": [1, 1.0, None]}
    assert isinstance(answers[10]["value"][1], float)
    assert answers[11] == {"value": "é"}


# Being called from many places


def test_one_expression_serves_many_threads() -> None:
    expression = compile_expression("xs.filter(x, x % 2 == 0).map(x, x * n)", ("xs", "n"))
    results: dict[int, list[int]] = {}

    def run(n: int) -> None:
        for _ in range(50):
            results[n] = expression.evaluate(list(range(100)), n)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: [x * n for x in range(0, 100, 2)] for n in range(4)}


def test_evaluating_leaves_data_alone() -> None:
    data = {"xs": [1, 2], "m": {"a": [1]}}
    expression = compile_expression("[d.xs + [3], d.m, d.xs.map(x, x)]", ("d",))
    expression.evaluate(data)[0].append(4)
    assert data == {"xs": [1, 2], "m": {"a": [1]}}
