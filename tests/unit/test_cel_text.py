"""The functions on text and the conversions, beyond what the official cases ask."""

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel import Uint, compile_expression
from forestall.policy.language.cel.conversions import double_text, to_double


def value(source: str, text: Any = "") -> Any:
    return compile_expression(source, ("s",)).evaluate(text)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("'abc'.charAt(0)", "a"), ("'abc'.charAt(3)", ""), ("'héé'.indexOf('é')", 1), ("'abc'.indexOf('')", 0),
        ("'abc'.indexOf('c', 3)", -1), ("'abc'.lastIndexOf('')", 3), ("'abab'.lastIndexOf('ab', 1)", 0),
        ("'abab'.lastIndexOf('ab', 2)", 2), ("'abc'.lastIndexOf('x')", -1), ("'a,b,,c'.split(',')", ["a", "b", "", "c"]),
        ("'a,b,c'.split(',', 2)", ["a", "b,c"]), ("'a,b'.split(',', 9)", ["a", "b"]), ("'a,b'.split(',', 0)", []),
        ("'abc'.split('')", ["a", "b", "c"]), ("'abc'.split('', 2)", ["a", "bc"]), ("'abc'.split('', 3)", ["a", "b", "c"]),
        ("'abc'.split('', 1)", ["abc"]), ("''.split(',')", [""]), ("''.split('')", []),
        ("'a,b'.split(',', 9223372036854775807)", ["a", "b"]), ("'aaa'.replace('a', 'b', 2)", "bba"),
        ("'aaa'.replace('a', 'b', 0)", "aaa"), ("'aaa'.replace('a', '', -5)", ""), ("'ab'.replace('', '-')", "-a-b-"),
        ("'ab'.replace('', '-', 2)", "-a-b"), ("'aaa'.replace('a', 'b', 9223372036854775807)", "bbb"),
        ("'abc'.substring(1)", "bc"), ("'abc'.substring(3)", ""), ("'abc'.substring(0, 3)", "abc"),
        ("' \\u00a0a\\u3000'.trim()", "a"), ("'\\x1ca'.trim()", "\x1ca"), ("'é😀'.reverse()", "😀é"),
        ("'ÀBc'.lowerAscii()", "Àbc"), ("'àBc'.upperAscii()", "àBC"), ("['a', 'b', 'c'].join(', ')", "a, b, c"),
        ("strings.quote('a\"\\n')", '"a\\"\\n"'), ("'abc'.contains('')", True), ("''.matches('')", True),
        ("matches('abc', 'b')", True), ("'ABC'.matches('(?i)abc')", True), ("'a\\nb'.matches('a.b')", False),
        ("'é'.matches('^.$')", True), ("'%d%%'.format([5])", "5%"), ("'%s'.format([[1, 'a', null]])", "[1, a, null]"),
        ("'%x'.format([-255])", "-ff"), ("'%.0f'.format([2.5])", "2"), ("'%f'.format([1])", "1.000000"),
        ("'%s'.format([{true: 1, 'a': 2, 3: []}])", "{3: [], a: 2, true: 1}"), ("'%s'.format([b'a\\xff'])", "a\ufffd"),
        ("'%s'.format([1u])", "1"), ("'%b'.format([false])", "0"), ("'a'.format([1, 2])", "a"),
    ],
)  # fmt: skip
def test_text(source: str, expected: object) -> None:
    result = value(source)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    "source",
    [
        "'abc'.charAt(4)", "'abc'.charAt(-1)", "'abc'.charAt(1.0)", "'abc'.charAt(1u)", "'abc'.indexOf('a', 4)",
        "'abc'.lastIndexOf('a', 4)", "'abc'.substring(-1)", "'abc'.substring(0, 4)", "'abc'.split(1)",
        "'a'.split('a', true)", "'a'.replace('a', 1)", "'a'.replace('a', 'b', 1.0)", "['a', 1].join()", "'a'.join()",
        "['a'].join(1)", "1.trim()", "'a'.startsWith(b'a')", "strings.quote(1)", "'%s'.format('a')", "'%'.format([1])",
        "'%s'.format([])", "'%5d'.format([1])", "'%.101f'.format([1.0])", "'%d'.format([1.5])", "'%f'.format(['a'])",
        "'%x'.format([1.5])", "'%b'.format(['a'])", "'%q'.format([1])", "'%.f'.format([1.0])", "s.matches(s + '(')",
        "s.matches('[' + s)",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_an_error(source: str) -> None:
    with pytest.raises(ExpressionError):
        value(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("string(1.0)", "1"), ("string(1e23)", "100000000000000000000000"), ("string(-1.5e-7)", "-0.00000015"),
        ("string(0.1)", "0.1"), ("string(123456789.125)", "123456789.125"), ("string(0.0/0.0)", "NaN"),
        ("string(-1.0/0.0)", "-Infinity"), ("string(true)", "true"), ("string(7u)", "7"), ("int('-0')", 0),
        ("int('+5')", 5), ("int('-9223372036854775808')", -(2**63)), ("int(1.99)", 1), ("int(-1.99)", -1),
        ("int(9223372036854774784.0)", 9223372036854774784), ("uint('18446744073709551615')", Uint(2**64 - 1)),
        ("uint(0.99)", Uint(0)), ("double('1e3')", 1000.0), ("double('-inf')", -math.inf), ("double('.5')", 0.5),
        ("double('1.')", 1.0), ("bytes('é')", b"\xc3\xa9"), ("string(b'\\xc3\\xa9')", "é"), ("dyn(1)", 1),
        ("int(int(5u))", 5), ("double(9007199254740993)", 9007199254740992.0),
    ],
)  # fmt: skip
def test_conversions(source: str, expected: object) -> None:
    result = value(source)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    "source",
    [
        "int('')", "int('1.5')", "int('0x10')", "int('1_000')", "int('٣')", "int('9223372036854775808')",
        "int('9' + s)", "uint('-1')", "uint(18446744073709551616.0)", "uint(-1)", "int(9223372036854775808u)",
        "double('1_0')", "double('0x1p3')", "double('١')", "double(' 1')", "double(true)", "bool('TrUe')", "bool(0)",
        "bytes(1)", "string({})", "string(type(1))",
    ],
)  # fmt: skip
def test_conversions_that_fail(source: str) -> None:
    with pytest.raises(ExpressionError):
        value(source, "9" * 30)


def test_nan_converts_from_its_name() -> None:
    assert math.isnan(value("double('NaN')"))


@given(st.integers(0, 2**64 - 1))
def test_the_text_of_a_double_is_exact_and_has_no_exponent(bits: int) -> None:
    (number,) = struct.unpack("<d", struct.pack("<Q", bits))
    text = double_text(number)
    assert "e" not in text
    read = to_double(text) if len(text) <= 400 else float(text)
    assert read == number or math.isnan(number)


@given(st.text(max_size=20), st.text(max_size=3), st.text(max_size=3))
def test_text_functions_agree_with_each_other(text: str, part: str, other: str) -> None:
    run = compile_expression(
        "[s.split(p).join(p), s.replace(p, o) == s.split(p).join(o), s.contains(p) == (s.indexOf(p) >= 0),"
        " s.reverse().reverse(), s.substring(0, s.size() / 2) + s.substring(s.size() / 2)]",
        ("s", "p", "o"),
    ).evaluate
    joined, replaced, found, twice, halves = run(text, part, other)
    assert found is True
    assert twice == halves == text
    if part:
        assert joined == text
        assert replaced is True
