"""A policy from an untrusted author: it can neither hang, nor crash, nor read what it did not declare."""

import json
import time
from typing import Any

import pytest

from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel import InvalidExpression, Timestamp, compile_expression
from forestall.policy.language.cel.operators import weight
from forestall.policy.language.cel.translate import NAMESPACE
from forestall.policy.language.check import check
from forestall.policy.language.clauses import CONDITION_VARIABLES
from forestall.policy.language.parse import parse_located

PATIENCE = 2.0
DATA: dict[str, Any] = {
    "s": "x" * 30_000,
    "xs": list(range(10_000)),
    "p": "((a{1,9}){1,9}){1,9}",
    "m": {f"k{i}": i for i in range(2_000)},
}

ESCAPES = [
    "__import__('os')", "event.__class__ == 1", "event.data.__class__.__mro__ == 1", "''.__class__ == ''",
    "event.data.s.__len__() == 1", "event.data.xs.append(1)", "event.data.s.format.__globals__ == 1",
    "'{0.__class__}'.format([event]) == 'x'", "'%(a)s'.format([event]) == 'x'", "open('/etc/passwd') == ''",
    "eval('1') == 1", "exec('1') == 1", "globals() == {}", "builtins == 1", "__builtins__ == 1", "bool_ == 1",
    "failures == 1", "settled(event) == 1", "worded == 1", "p0 == 1", "w == 1", "w[0] == 1", "k0 == 1", "t1 == 1", "v0 == 1",
    "f_size(event) == 1", "operators.index == 1", "self == 1", "subjects == {}", "event.subject == 'u'",
    "subject.__dict__ == {}", "type(event).__name__ == 'x'", "type(event).name == 'x'", "now.nanos == 0",
    "event.time.nanos > 0", "getattr(event, 'x') == 1", "lambda: 1", "event.data.s.encode() == b''", "log.read() == 1",
    "random() > 0.5", "now() > now", "event.data.xs.exists(__x, __x.__class__ == 1)", "`event`.data == 1",
    "event.data.`__class__` == 1", "has(event.__class__)", "has(event.data.s.__class__)", "[].__class__ == []",
    "{}.__class__ == {}", "null.__class__ == 1", "1 .real == 1", "event['__class__'] == 1", "b''.fromhex('00') == b''",
]  # fmt: skip


@pytest.mark.parametrize("source", ESCAPES)
def test_there_is_no_way_out(source: str) -> None:
    event = {"id": "1", "type": "a", "source": "s", "time": Timestamp(0), "origin": "server"}
    try:
        run = compile_expression(source, CONDITION_VARIABLES).evaluate
    except InvalidExpression:
        return
    try:
        assert run({**event, "data": DATA}, {}, Timestamp(0), {}, {}) is False
    except ExpressionError:
        return


def test_translated_source_reaches_only_the_language() -> None:
    assert NAMESPACE["__builtins__"] == {}
    modules = {getattr(value, "__module__", "") for value in NAMESPACE.values() if callable(value)}
    assert all(
        name.startswith("forestall.policy.language.cel")
        for name in modules - {"builtins", "functools"}
    )


@pytest.mark.parametrize(
    "source",
    [
        "event.data.xs.all(a, 'q'.matches('[^a]{1,200}|\\\\pL{500}' + string(a)) || true)",
        "event.data.xs.all(a, event.data.s.matches('(x{1,50}){1,19}y') || true)",
        "event.data.xs.all(a, 'q'.matches(event.data.p + string(a)) || true)",
        "event.data.xs.all(a, timestamp(a).getHours('Europe/X' + string(a)) >= 0 || true)",
        "event.data.xs.all(a, event.data.xs.all(b, duration('1h2m3s4ms5us6ns' + '') > duration('1s')))",
        "event.data.xs.all(a, event.data.xs.all(b, string(1e300 * 1.5) != ''))",
        "event.data.xs.all(a, '%.100e%.100e%.100e'.format([1e308, 1e308, 1e308]) != '')",
        "event.data.m.all(k, event.data.m.all(j, k == j || true))",
        "event.data.xs.all(a, event.data.s + event.data.s != event.data.s)",
    ],
)
def test_work_at_run_time_is_bounded(source: str) -> None:
    run = compile_expression(source, ("event",)).evaluate
    start = time.process_time()
    with pytest.raises(ExpressionError):
        run({"data": DATA})
    assert time.process_time() - start < PATIENCE


@pytest.mark.parametrize(
    "source",
    [
        "timestamp('0001-01-01T00:00:00Z').getHours('-23:59') < 99",
        "timestamp('9999-12-31T23:59:59Z').getHours('+23:59') < 99",
        "timestamp('9999-12-31T23:59:59Z') + duration('1s') > now",
        "timestamp('0001-01-01T00:00:00Z') - duration('1ns') > now",
        "duration('2562047h') + duration('2562047h') > duration('0')",
        "timestamp(9223372036854775807) > now",
        "-(-9223372036854775807 - 1) > 0",
    ],
)
def test_the_ends_of_ranges_are_errors_and_no_more(source: str) -> None:
    try:
        compile_expression(source, ("now",)).evaluate(Timestamp(0))
    except (ExpressionError, InvalidExpression):
        return


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a", 2), ("(x{1,50}){1,19}y", 952), ("(x+x+)+y", 4), ("[^a]{1,100}", 101), ("[]a]{3}", 4), ("a\\{3}", 5),
        ("a{3,}", 4), ("\\pL{4}", 201), ("[\\pL_]{2}", 101), ("((((a{9}){9}){9}){9}){9}", 59_050), (")))", 4),
    ],
)  # fmt: skip
def test_the_weight_of_patterns(pattern: str, expected: int) -> None:
    assert weight(pattern) == expected


def test_the_patterns_of_a_file_are_bounded_together() -> None:
    head = (
        "apiVersion: forestall/v1\nkind: Policy\nmetadata: {name: x%d}\nspec:\n  when: {event: a}\n"
    )
    many = " || ".join(f"event.type.matches(r'\\pL{{30}}{k}')" for k in range(150))
    text = "---\n".join(head % i + f"  if: {json.dumps(many)}\n" for i in range(150))
    start = time.process_time()
    _, problems = parse_located(text, "f")
    assert time.process_time() - start < 60
    assert {problem.code for problem in problems} == {"too-large"}


HEAD = "apiVersion: forestall/v1\nkind: Policy\nmetadata: {name: x, owner: me}\nspec:\n  when: {event: a}\n"


def test_a_text_of_a_megabyte_is_refused() -> None:
    text = (
        HEAD + "  playbook: [{guide: {channel: c, text: '" + "{{ event.id }} " * 50_000 + "'}}]\n"
    )
    located, problems = parse_located(text, "f")
    assert [(problem.code, problem.line) for problem in problems] == [("too-large", 6)]
    assert check(located[0]) == []


def test_hints_among_many_names_stay_quick() -> None:
    features = "".join(f"    feature{i}: {{count: a, over: 1h}}\n" for i in range(12_000))
    wrong = " && ".join(f"features.feature{i}x > 1" for i in range(250))
    located, problems = parse_located(f"{HEAD}  features:\n{features}  if: {wrong}\n", "f")
    assert problems == []
    start = time.process_time()
    found = check(located[0])
    assert time.process_time() - start < 30
    assert sum(problem.code == "unknown-feature" for problem in found) == 250
