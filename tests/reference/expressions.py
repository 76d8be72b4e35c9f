"""A small evaluator for the conditions that the reference needs: a fraction of CEL, by the book.

Covered: ``||``, ``&&``, ``!``, comparisons, ``in``, ``+ - *``, literals, lists, maps, fields,
``has``, ``size``, ``duration``, ``startsWith``. Anything else raises ``SyntaxError``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

Names = Mapping[str, Any]
INT64 = range(-(2**63), 2**63)


class Failed(Exception):
    """The expression has no value: a missing field, a type without such an operator, overflow."""


@dataclass(frozen=True, order=True)
class Instant:
    """A timestamp, in microseconds."""

    micros: int


@dataclass(frozen=True, order=True)
class Span:
    """A duration, in microseconds."""

    micros: int


@dataclass(frozen=True)
class Node:
    """One node of a parsed expression; ``parts`` are nodes, names or constants."""

    kind: str
    parts: tuple[Any, ...]


TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.\d+|\d+)|(?P<text>'[^']*'|\"[^\"]*\")|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<mark>&&|\|\||==|!=|<=|>=|[-<>!+*()\[\]{},.:]))"
)
SPANS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
CONSTANTS = {"true": True, "false": False, "null": None}
COMPARISONS = ("==", "!=", "<=", ">=", "<", ">", "in")


class Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, source: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        place = 0
        while source[place:].strip():
            found = TOKEN.match(source, place)
            if found is None or found.lastgroup is None:
                raise SyntaxError(f"cannot read {source[place:]!r}")
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            place = found.end()

    def peek(self) -> str:
        return self.tokens[0][1] if self.tokens else ""

    def accept(self, *marks: str) -> str | None:
        if self.tokens and self.tokens[0][0] != "text" and self.tokens[0][1] in marks:
            return self.tokens.pop(0)[1]
        return None

    def expect(self, mark: str) -> None:
        if self.accept(mark) is None:
            raise SyntaxError(f"expected {mark!r} before {self.peek()!r}")

    def whole(self) -> Node:
        node = self.either()
        if self.tokens:
            raise SyntaxError(f"cannot read {self.peek()!r}")
        return node

    def either(self) -> Node:
        terms = [self.both()]
        while self.accept("||"):
            terms.append(self.both())
        return terms[0] if len(terms) == 1 else Node("junction", (True, *terms))

    def both(self) -> Node:
        terms = [self.comparison()]
        while self.accept("&&"):
            terms.append(self.comparison())
        return terms[0] if len(terms) == 1 else Node("junction", (False, *terms))

    def comparison(self) -> Node:
        left = self.addition()
        while mark := self.accept(*COMPARISONS):
            left = Node("compare", (mark, left, self.addition()))
        return left

    def addition(self) -> Node:
        left = self.product()
        while mark := self.accept("+", "-"):
            left = Node("arithmetic", (mark, left, self.product()))
        return left

    def product(self) -> Node:
        left = self.unary()
        while self.accept("*"):
            left = Node("arithmetic", ("*", left, self.unary()))
        return left

    def unary(self) -> Node:
        if self.accept("!"):
            return Node("not", (self.unary(),))
        if self.accept("-"):
            return Node("minus", (self.unary(),))
        node = self.primary()
        while self.accept("."):
            field = self.tokens.pop(0)[1]
            if self.accept("("):
                node = Node("call", (field, node, *self.items(")")))
            else:
                node = Node("field", (node, field))
        return node

    def items(self, end: str) -> list[Node]:
        found: list[Node] = []
        while not self.accept(end):
            found.append(self.either())
            if self.peek() != end:
                self.expect(",")
        return found

    def primary(self) -> Node:
        if not self.tokens:
            raise SyntaxError("the expression ends too early")
        kind, text = self.tokens.pop(0)
        if kind == "number":
            return Node("constant", (float(text) if "." in text else int(text),))
        if kind == "text":
            return Node("constant", (text[1:-1],))
        if text == "(":
            node = self.either()
            self.expect(")")
            return node
        if text == "[":
            return Node("list", tuple(self.items("]")))
        if text == "{":
            return self.entries()
        if kind != "name":
            raise SyntaxError(f"cannot read {text!r}")
        if text in CONSTANTS:
            return Node("constant", (CONSTANTS[text],))
        if self.accept("("):
            return Node("call", (text, *self.items(")")))
        return Node("name", (text,))

    def entries(self) -> Node:
        found: list[Node] = []
        while not self.accept("}"):
            found.append(self.either())
            self.expect(":")
            found.append(self.either())
            if self.peek() != "}":
                self.expect(",")
        return Node("map", tuple(found))


@cache
def parse(source: str) -> Node:
    """The tree of ``source``. Raises ``SyntaxError``."""
    return Parser(source).whole()


def is_number(value: Any) -> bool:
    """Whether CEL counts ``value`` among the numbers: a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(left: Any, right: Any) -> bool:
    """CEL's ``==``: numbers by value, lists and maps by content, different types unequal."""
    if is_number(left) and is_number(right):
        return bool(left == right)
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[k], right[k]) for k in left)
    return bool(left == right)


def compare(mark: str, left: Any, right: Any) -> bool:
    """One of ``COMPARISONS``. Raises ``Failed`` where CEL has no such overload."""
    if mark == "==":
        return equal(left, right)
    if mark == "!=":
        return not equal(left, right)
    if mark == "in":
        if isinstance(right, list | dict):
            return any(equal(left, item) for item in right)
        raise Failed("in")
    ordered = isinstance(left, bool | str | Instant | Span) and type(left) is type(right)
    if not ordered and not (is_number(left) and is_number(right)):
        raise Failed(mark)
    below, same = bool(left < right), bool(left == right)
    return {"<": below, "<=": below or same, ">": not below and not same, ">=": not below}[mark]


def arithmetic(mark: str, left: Any, right: Any) -> Any:
    """``+ - *`` of two ints, two doubles, two texts (``+``), or a time and a duration."""
    if isinstance(left, Instant) and isinstance(right, Instant) and mark == "-":
        return Span(left.micros - right.micros)
    if isinstance(left, Instant) and isinstance(right, Span) and mark in "+-":
        return Instant(left.micros + (right.micros if mark == "+" else -right.micros))
    if isinstance(left, str) and isinstance(right, str) and mark == "+":
        return left + right
    if not (is_number(left) and type(left) is type(right)):
        raise Failed(mark)
    value = {"+": left + right, "-": left - right, "*": left * right}[mark]
    if isinstance(value, int) and value not in INT64:
        raise Failed("overflow")
    return value


def junction(deciding: bool, terms: tuple[Node, ...], names: Names) -> bool:
    """``&&`` (decided by false) or ``||`` (by true): one deciding term absorbs errors."""
    failed = False
    for term in terms:
        try:
            value = run(term, names)
        except Failed:
            failed = True
            continue
        if value is deciding:
            return bool(value)
        failed = failed or not isinstance(value, bool)
    if failed:
        raise Failed("junction")
    return not deciding


def field(holder: Any, name: str) -> Any:
    """``holder.name``. Raises ``Failed`` where there is none."""
    if not isinstance(holder, dict) or name not in holder:
        raise Failed(name)
    return holder[name]


def call(name: str, arguments: tuple[Node, ...], names: Names) -> Any:
    """One of the few functions."""
    if name == "has":
        holder, wanted = arguments[0].parts
        where = run(holder, names)
        if not isinstance(where, dict):
            raise Failed("has")
        return wanted in where
    values = [run(argument, names) for argument in arguments]
    if name == "size" and isinstance(values[0], str | list | dict):
        return len(values[0])
    if name == "startsWith" and all(isinstance(value, str) for value in values):
        return str(values[0]).startswith(str(values[1]))
    if name == "duration" and isinstance(values[0], str):
        amount, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", values[0]).groups()  # type: ignore[union-attr]
        return Span(int(amount) * SPANS[unit])
    raise Failed(name)


def run(node: Node, names: Names) -> Any:
    """The value of ``node``. Raises ``Failed``."""
    parts = node.parts
    match node.kind:
        case "constant":
            return parts[0]
        case "name":
            return names[parts[0]]
        case "field":
            return field(run(parts[0], names), parts[1])
        case "junction":
            return junction(parts[0], parts[1:], names)
        case "compare":
            return compare(parts[0], run(parts[1], names), run(parts[2], names))
        case "arithmetic":
            return arithmetic(parts[0], run(parts[1], names), run(parts[2], names))
        case "list":
            return [run(part, names) for part in parts]
        case "map":
            values = [run(part, names) for part in parts]
            return dict(zip(values[::2], values[1::2], strict=True))
        case "call":
            return call(parts[0], parts[1:], names)
    value = run(parts[0], names)
    if node.kind == "not" and isinstance(value, bool):
        return not value
    if node.kind == "minus" and is_number(value):
        return -value
    raise Failed(node.kind)


def evaluate(source: str, names: Names) -> Any:
    """The value of ``source`` over ``names``. Raises ``Failed`` and ``SyntaxError``."""
    return run(parse(source), names)


def holds(source: str | None, names: Names, otherwise: bool) -> bool:
    """Whether a condition is true; none is; ``otherwise`` is what an error or non-bool counts."""
    if source is None:
        return True
    try:
        value = evaluate(source, names)
    except Failed:
        return otherwise
    return value if isinstance(value, bool) else otherwise
