"""From CEL source to a tree: one regular expression for the tokens, precedence climbing above.

Follows the grammar of the CEL specification. ``cel-python``'s parser is not used: its string tokens
backtrack exponentially on hostile source and accept ``'\\'``. Every node carries its ``at``, the
offset in the source, and its ``height``, so that depth is bounded before anything walks the tree.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import msgspec

from forestall.contracts.errors import ForestallError
from forestall.policy.language.cel.values import INT_MAX, UINT_MAX, Uint

MAX_SOURCE = 8192
MAX_DEPTH = 48
MAX_NODES = 2000


class InvalidExpression(ForestallError):
    """A condition that is not CEL, or uses what this language leaves out.

    ``line`` and ``column`` count from 1 within the condition; ``hint`` says what to write instead.
    """

    code = "invalid-expression"

    def __init__(self, message: str, line: int, column: int, hint: str | None = None) -> None:
        self.message, self.line, self.column, self.hint = message, line, column, hint
        super().__init__(f"{line}:{column}: {message}" + (f" ({hint})" if hint else ""))


def problem(source: str, at: int, message: str, hint: str | None = None) -> InvalidExpression:
    """An ``InvalidExpression`` at an offset of the source."""
    before = source[:at]
    return InvalidExpression(message, before.count("\n") + 1, at - before.rfind("\n"), hint)


class Node(msgspec.Struct, frozen=True):
    """A part of an expression; ``at`` is its offset, ``height`` the depth of the tree that starts
    here, ``size`` the number of its nodes."""

    at: int
    height: int
    size: int


class Literal(Node, frozen=True):
    """A constant: None, bool, int, Uint, float, str or bytes."""

    value: Any


class Name(Node, frozen=True):
    """An identifier; ``root`` when written with a leading dot."""

    name: str
    root: bool


class Select(Node, frozen=True):
    """``operand.field``."""

    operand: Node
    field: str


def chain(node: Node) -> tuple[Node, list[str]]:
    """``a.b.c`` as what it starts from and the fields after it."""
    fields: list[str] = []
    while isinstance(node, Select):
        fields.append(node.field)
        node = node.operand
    return node, fields[::-1]


class Call(Node, frozen=True):
    """A function, method or operator; operators have their symbol for a name (``-_``, ``[]``)."""

    function: str
    target: Node | None
    args: tuple[Node, ...]


class ListNode(Node, frozen=True):
    """``[a, b]``."""

    items: tuple[Node, ...]


class MapNode(Node, frozen=True):
    """``{k: v}``, as pairs."""

    entries: tuple[tuple[Node, Node], ...]


_TOKEN = re.compile(
    r"""
      (?P<space> [ \t\n\f\r]++ | //[^\n]*+ )
    | (?P<string>
          (?: [bB]?[rR] (?: \"{3}[\s\S]*?\"{3} | '{3}[\s\S]*?'{3} | "[^"\r\n]*+" | '[^'\r\n]*+' ) )
        | (?: [bB]? (?: \"{3}(?:[^"\\]|\\[\s\S]|"(?!""))*\"{3} | '{3}(?:[^'\\]|\\[\s\S]|'(?!''))*'{3}
                      | "(?:[^"\\\r\n]|\\[^\r\n])*" | '(?:[^'\\\r\n]|\\[^\r\n])*' ) ) )
    | (?P<float> \d++\.\d++(?:[eE][+-]?\d++)? | \d++[eE][+-]?\d++ | \.\d++(?:[eE][+-]?\d++)? )
    | (?P<int> (?: 0x[0-9a-fA-F]++ | \d++ ) (?P<unsigned>[uU])? )
    | (?P<name> [_a-zA-Z][_a-zA-Z0-9]*+ )
    | (?P<quoted> `[a-zA-Z0-9_.\-/\ ]++` )
    | (?P<op> && | \|\| | [=!<>]= | [-+*/%<>!?:.,()\[\]{}] )
    """,
    re.VERBOSE | re.ASCII,
)
KEYWORDS = frozenset({"true", "false", "null", "in"})
RESERVED = frozenset(
    {
        "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let",
        "loop", "package", "namespace", "return", "var", "void", "while",
    }
)  # fmt: skip
_WRITE_INSTEAD = {
    "and": "write && for and",
    "or": "write || for or",
    "not": "write ! for not",
    "is": "write == to compare",
    "None": "write null",
    "True": "write true",
    "False": "write false",
}
_ESCAPE = re.compile(
    r"\\(?:[xX](?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|(?P<o>[0-3][0-7]{2})"
    r"|(?P<c>[abfnrtv\\?\"'`])|(?P<bad>[\s\S]?))"
)
_SPLIT = "split it, or move a part into a feature"
_CONTROL = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))
_PRECEDENCE = {
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!=", "in"), 3),
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "%": 5,
}  # fmt: skip


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    at: int


def _tokens(source: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            _bad_character(source, at)
        kind = next(
            name
            for name in ("space", "string", "float", "int", "name", "quoted", "op")
            if match[name] is not None
        )
        if kind != "space":
            tokens.append(_Token(kind, match[0], at))
        at = match.end()
    tokens.append(_Token("end", "", len(source)))
    return tokens


def conjunct_texts(source: str) -> list[str]:
    """The texts of the parts joined by top-level ``&&``, white space made one space.

    Raises ``InvalidExpression`` where the source has no tokens to tell apart.
    """
    parts, depth, end = [""], 0, 0
    for token in _tokens(source)[:-1]:
        opens = token.kind == "op"
        depth += (opens and token.text in "([{") - (opens and token.text in ")]}")
        if depth == 0 and opens and token.text in ("||", "?"):
            return [" ".join(source.split())]
        if depth == 0 and opens and token.text == "&&":
            parts.append("")
        else:
            space = " " if parts[-1] and token.at > end else ""
            parts[-1] += space + token.text
        end = token.at + len(token.text)
    return parts


def _bad_character(source: str, at: int) -> NoReturn:
    character = source[at]
    if character in "\"'":
        raise problem(source, at, "the text is not closed", f"add the closing {character}")
    hint = {"=": "write == to compare", "&": "write &&", "|": "write ||"}.get(character)
    raise problem(source, at, f"unexpected character {character!r}", hint)


def _unescape(source: str, token: _Token) -> str | bytes:
    """The value of a string or bytes token."""
    text = token.text
    start = len(text) - len(text.lstrip("bBrR"))
    prefix = text[:start].lower()
    width = 3 if text[start : start + 3] in ('"""', "'''") and len(text) - start >= 6 else 1
    body = text[start + width : -width]
    in_bytes = "b" in prefix
    pieces: list[str | bytes] = []

    def replace(match: re.Match[str]) -> str:
        if match["c"]:
            return _CONTROL.get(match["c"], match["c"])
        if match["bad"] is not None or (in_bytes and (match["u"] or match["U"])):
            at = token.at + start + width + match.start()
            raise problem(source, at, f"unknown escape {match[0]}", "write \\\\ for a backslash")
        digits = match["x"] or match["u"] or match["U"]
        code = int(digits, 16) if digits else int(match["o"], 8)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            at = token.at + start + width + match.start()
            raise problem(source, at, f"{match[0]} is not a Unicode character")
        return chr(code)

    if not in_bytes:
        return body if "r" in prefix else _ESCAPE.sub(replace, body)
    if "r" in prefix:
        return body.encode()
    last = 0
    for match in _ESCAPE.finditer(body):
        pieces += [body[last : match.start()].encode(), bytes([ord(replace(match))])]
        last = match.end()
    return b"".join([*pieces, body[last:].encode()])  # type: ignore[list-item]


class _Parser:
    """One pass over the tokens; every method leaves ``i`` after what it read."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = _tokens(source)
        self.i = 0
        self.depth = 0

    def fail(self, token: _Token, message: str, hint: str | None = None) -> NoReturn:
        raise problem(self.source, token.at, message, hint)

    def node(
        self, build: Callable[..., Node], token: _Token, children: Sequence[Node], *parts: Any
    ) -> Node:
        height = 1 + max((child.height for child in children), default=0)
        size = 1 + sum(child.size for child in children)
        if height > MAX_DEPTH:
            self.too_deep(token)
        if size > MAX_NODES:
            self.fail(token, f"the condition has more than {MAX_NODES} parts", _SPLIT)
        return build(token.at, height, size, *parts)

    def too_deep(self, token: _Token) -> NoReturn:
        self.fail(token, f"the condition is nested deeper than {MAX_DEPTH} levels", _SPLIT)

    def accept(self, *texts: str) -> _Token | None:
        token = self.tokens[self.i]
        if token.text in texts and token.kind in ("op", "name"):
            self.i += 1
            return token
        return None

    def expect(self, text: str, where: str) -> _Token:
        token = self.accept(text)
        if token is None:
            self.unexpected(f"expected {text!r} {where}")
        return token

    def unexpected(self, message: str) -> NoReturn:
        token = self.tokens[self.i]
        found = repr(token.text[:40]) if token.text else "the end of the condition"
        self.fail(token, f"{message}, found {found}", _WRITE_INSTEAD.get(token.text))

    def whole(self) -> Node:
        node = self.expression()
        if self.tokens[self.i].kind != "end":
            self.unexpected("expected an operator")
        return node

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.too_deep(self.tokens[self.i])
        node = self.logic("||")
        question = self.accept("?")
        if question:
            chosen = self.logic("||")
            self.expect(":", "between the two values of '?'")
            other = self.expression()
            node = self.node(
                Call, question, (node, chosen, other), "?:", None, (node, chosen, other)
            )
        self.depth -= 1
        return node

    def logic(self, symbol: str) -> Node:
        first = self.tokens[self.i]
        parts = [self.conjunct(symbol)]
        while self.accept(symbol):
            parts.append(self.conjunct(symbol))
        return self.node(Call, first, parts, symbol, None, tuple(parts)) if parts[1:] else parts[0]

    def conjunct(self, symbol: str) -> Node:
        return self.logic("&&") if symbol == "||" else self.binary(3)

    def binary(self, level: int) -> Node:
        if level > 5:
            return self.unary()
        left = self.binary(level + 1)
        while True:
            token = self.tokens[self.i]
            if token.kind not in ("op", "name") or _PRECEDENCE.get(token.text) != level:
                return left
            self.i += 1
            right = self.binary(level + 1)
            left = self.node(Call, token, (left, right), token.text, None, (left, right))

    def unary(self) -> Node:
        first = self.tokens[self.i]
        operators = []
        while first.text in ("!", "-") and (token := self.accept(first.text)):
            operators.append(token)
        negative = (
            bool(operators) and first.text == "-" and self.tokens[self.i].kind in ("int", "float")
        )
        if negative:
            operators.pop()
        node = self.member(negative)
        for token in reversed(operators):
            node = self.node(Call, token, (node,), f"{token.text}_", None, (node,))
        return node

    def member(self, negative: bool) -> Node:
        node = self.primary(negative)
        while True:
            token = self.tokens[self.i]
            if self.accept("."):
                node = self.select(node)
            elif self.accept("["):
                self.no_optional()
                index = self.expression()
                self.expect("]", "after the index")
                node = self.node(Call, token, (node, index), "[]", None, (node, index))
            elif token.text == "{" and token.kind == "op" and isinstance(node, Name | Select):
                self.fail(
                    token, "messages cannot be built here", "write a map such as {'key': value}"
                )
            else:
                return node

    def no_optional(self) -> None:
        token = self.tokens[self.i]
        if token.text == "?":
            self.fail(token, "optional values are not part of this language", "use has() and '? :'")

    def select(self, operand: Node) -> Node:
        self.no_optional()
        token = self.tokens[self.i]
        if token.kind == "quoted":
            self.i += 1
            return self.node(Select, token, (operand,), operand, token.text[1:-1])
        if token.kind != "name" or token.text in KEYWORDS:
            self.unexpected("expected a field name after '.'")
        self.i += 1
        if self.accept("("):
            args = self.sequence(")", "the arguments")
            return self.node(Call, token, (operand, *args), token.text, operand, args)
        return self.node(Select, token, (operand,), operand, token.text)

    def sequence(self, close: str, what: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self.accept(close):
            if items:
                self.expect(",", f"or {close!r} in {what}")
                if close == "]" and self.accept(close):
                    break
            self.no_optional()
            items.append(self.expression())
        return tuple(items)

    def primary(self, negative: bool) -> Node:
        token = self.tokens[self.i]
        self.i += 1
        if token.kind in ("int", "float"):
            return self.node(Literal, token, (), self.number(token, negative))
        if token.kind == "string":
            return self.node(Literal, token, (), _unescape(self.source, token))
        if token.kind == "name":
            return self.name(token, root=False)
        if token.text == "(":
            node = self.expression()
            self.expect(")", "to close '('")
            return node
        if token.text == "[":
            items = self.sequence("]", "the list")
            return self.node(ListNode, token, items, items)
        if token.text == "{":
            return self.map_literal(token)
        if token.text == ".":
            name = self.tokens[self.i]
            if name.kind == "name":
                self.i += 1
                return self.name(name, root=True)
        self.i -= 1
        return self.unexpected("expected a value")

    def map_literal(self, token: _Token) -> Node:
        entries: list[tuple[Node, Node]] = []
        while not self.accept("}"):
            if entries:
                self.expect(",", "or '}' in the map")
                if self.accept("}"):
                    break
            self.no_optional()
            key = self.expression()
            self.expect(":", "after the key")
            entries.append((key, self.expression()))
        children = [node for entry in entries for node in entry]
        return self.node(MapNode, token, children, tuple(entries))

    def name(self, token: _Token, root: bool) -> Node:
        if token.text in RESERVED or (token.text == "in" or (root and token.text in KEYWORDS)):
            self.fail(
                token, f"{token.text!r} is a reserved word of CEL", "quote it as text, or rename it"
            )
        if token.text in KEYWORDS:
            return self.node(
                Literal, token, (), {"true": True, "false": False, "null": None}[token.text]
            )
        if self.accept("("):
            args = self.sequence(")", "the arguments")
            return self.node(Call, token, args, token.text, None, args)
        return self.node(Name, token, (), token.text, root)

    def number(self, token: _Token, negative: bool) -> int | float:
        if token.kind == "float":
            value = float(token.text)
            if value == float("inf"):
                self.fail(token, "the number is too large for a double")
            return -value if negative else value
        digits = token.text.rstrip("uU")
        size = int(digits, 16) if digits[:2] == "0x" else int(digits.lstrip("0")[:40] or "0")
        if digits != token.text:
            if negative or size > UINT_MAX:
                self.fail(token, "an unsigned integer lies between 0 and 2^64-1")
            return Uint(size)
        if size > INT_MAX + negative:
            self.fail(token, "an integer lies between -2^63 and 2^63-1")
        return -size if negative else size


def parse(source: str) -> Node:
    """The tree of an expression. Raises ``InvalidExpression``."""
    if len(source) > MAX_SOURCE:
        raise InvalidExpression(f"the condition is longer than {MAX_SOURCE} characters", 1, 1)
    return _Parser(source).whole()
