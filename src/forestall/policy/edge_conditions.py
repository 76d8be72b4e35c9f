"""Conditions for the browser: CEL as a compact JSON tree, or the reason why it stays with the server.

A tree is a scalar, which stands for itself (a JSON number is a double), or a list that begins with
what to do:

* ``["i", 5]`` an int (text beyond 2^53);
* ``["$", "event", "data", "x"]`` a variable and the fields after it; ``[".", tree, "x"]`` the fields
  of anything else; ``["has", tree, "x"]``;
* ``["[", …]`` a list; ``["{", ["[", "k", tree], …]`` a map with text keys;
* an operator or function by its name and its operands: ``["&&", …]``, ``["?:", …]``, ``["!", …]``,
  ``["[]", list, index]``, ``["startsWith", text, part]``.

What a browser cannot do exactly as the server, or what would make its interpreter too large, is
refused: better refused than different.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

from forestall.policy.language.cel import WORK, InvalidExpression, Uint, compile_expression
from forestall.policy.language.cel.functions import MACROS
from forestall.policy.language.cel.syntax import (
    Call,
    ListNode,
    Literal,
    MapNode,
    Name,
    Node,
    Select,
    chain,
    parse,
    problem,
)

Tree = None | bool | float | str | list[Any]
"""A condition as the browser reads it: plain JSON."""

FUNCTIONS = frozenset({"size", "contains", "startsWith", "endsWith", "lowerAscii"})
"""Functions that the browser has, called by name or on a value."""

EVENT_FIELDS = frozenset({"id", "type", "source", "origin", "data"})
"""What conditions at the edge may look at of an event."""

_ARITHMETIC = frozenset({"+", "-", "*", "/", "%"})
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_PLAIN = _ARITHMETIC | _COMPARISONS | {"&&", "||", "?:", "[]"}
_EXACT = 2**53

_LENGTH = 11_000
"""Steps that going once through the largest value takes: an event of a browser, and what the pass
tells of a person, have at most 16,000 bytes. The browser does not count steps."""

_NO_TIMES = "there are no times at the edge: an event is decided when it happens"
_WHY = {
    "matches": "RE2 and a browser's regular expressions differ",
    "type": "a browser's numbers are typed in another way",
    "uint": "a browser has no unsigned integers",
    "bytes": "a browser has no bytes",
    "timestamp": _NO_TIMES,
    "duration": _NO_TIMES,
}
_TOO_LARGE = "the browser's interpreter is kept small and has no such function"


class EdgeCondition(InvalidExpression):
    """A condition that only the server can decide, with the reason and the place."""

    code = "edge-condition"


def compile_edge(source: str, variables: Sequence[str]) -> Tree:
    """The tree of a condition over the named variables.

    Raises ``EdgeCondition`` for what only the server can decide, and ``InvalidExpression`` for what
    is no condition.
    """
    compile_expression(source, (*variables, *({"service"} - set(variables))))
    compiler = _Compiler(source, variables)
    root = parse(source)
    tree = compiler.tree(root)
    if tree is None:
        compiler.refuse(root, "the condition is always null")
    if compiler.steps > WORK:
        compiler.refuse(root, "the condition goes through long values too often", _WRITE_OUT)
    return tree


_WRITE_OUT = "compare with values that are written out"


class _Compiler:
    """Makes the tree; ``steps`` counts what the server may need for it at most."""

    def __init__(self, source: str, variables: Sequence[str]) -> None:
        self.source = source
        self.variables = variables
        self.steps = 0

    def refuse(self, node: Node, message: str, hint: str | None = None) -> NoReturn:
        found = problem(self.source, node.at, message, hint)
        raise EdgeCondition(found.message, found.line, found.column, found.hint)

    def tree(self, node: Node) -> Tree:
        match node:
            case Literal():
                return self.literal(node)
            case Name() | Select():
                return self.path(node)
            case ListNode():
                return ["[", *(self.tree(item) for item in node.items)]
            case MapNode():
                return ["{", *self.entries(node)]
            case Call():
                return self.call(node)
        raise TypeError(node)

    def literal(self, node: Literal) -> Tree:
        value = node.value
        if isinstance(value, bytes) or value.__class__ is Uint:
            kind = "bytes" if isinstance(value, bytes) else "unsigned integers"
            self.refuse(node, f"there are no {kind} at the edge")
        if isinstance(value, float) and abs(value) == _EXACT:
            self.refuse(node, f"{value:.1f} is where doubles stop telling integers apart")
        if value.__class__ is int:
            return ["i", value if abs(value) <= _EXACT else str(value)]
        return value  # type: ignore[no-any-return]

    def path(self, node: Name | Select) -> Tree:
        base, fields = chain(node)
        if not isinstance(base, Name):
            return [".", self.tree(base), *fields]
        self.known(base, fields)
        return ["$", base.name, *fields]

    def known(self, base: Name, fields: Sequence[str]) -> None:
        """Refuse what a browser does not have."""
        name = base.name
        if base.root:
            self.refuse(base, "a leading dot is not known at the edge", f"write {name}")
        if name == "now" or (name == "event" and fields[:1] == ["time"]):
            self.refuse(base, _NO_TIMES)
        if name == "event" and not EVENT_FIELDS.intersection(fields[:1]):
            hint = f"there are: {', '.join(sorted(EVENT_FIELDS))}"
            self.refuse(base, "of an event a browser knows single fields", hint)
        if name == "subject" and not fields:
            hint = "write subject.plan"
            self.refuse(base, "a browser knows single traits, not all of them", hint)
        if name == "service" and name not in self.variables:
            self.refuse(base, "the state of services is known to the server only")
        if name not in self.variables:
            self.refuse(base, f"{name} as a value is not known at the edge")

    def entries(self, node: MapNode) -> Iterator[Tree]:
        seen = set[str]()
        for key, value in node.entries:
            name = key.value if isinstance(key, Literal) else None
            if not isinstance(name, str):
                self.refuse(key, "the keys of a map at the edge are texts, written out")
            if name in seen:
                self.refuse(key, f"the map has the key {name!r} twice")
            seen.add(name)
            yield ["[", name, self.tree(value)]

    def call(self, node: Call) -> Tree:
        name, target, args = node.function, node.target, node.args
        if name == "has":
            return self.has(args[0])
        if target is not None and name in MACROS:
            self.refuse(node, f"{name}() goes through a list, which is left to the server")
        operands = args if target is None else (target, *args)
        if target is None and name == "in":
            self.inside(node, *operands)
        elif name == "!_":
            name = "!"
        elif name == "-_":
            self.refuse(node, "'-' before a value is not known at the edge", "write 0 - x")
        elif target is None and name in _PLAIN:
            self.steps += self.cost(name, operands)
        elif name == "dyn":
            return self.tree(operands[0])
        elif name in FUNCTIONS:
            self.steps += _steps(map(_length, operands)) // 10
        else:
            self.refuse(node, f"{name}() is not known at the edge: {_WHY.get(name, _TOO_LARGE)}")
        return [name, *(self.tree(operand) for operand in operands)]

    def cost(self, name: str, operands: Sequence[Node]) -> int:
        """Steps that an operator may take: equality goes through both sides, a sum makes a copy."""
        if name not in ("==", "!=", "+"):
            return 0
        lengths = [_length(operand) for operand in operands]
        constants = [operand.value for operand in operands if isinstance(operand, Literal)]
        if name == "+":
            return _steps(lengths) if not constants else _steps(lengths) // 10
        return 0 if constants else _LENGTH * max(lengths)

    def inside(self, node: Call, item: Node, holder: Node) -> None:
        plain = isinstance(holder, ListNode) and all(
            isinstance(one, Literal) for one in holder.items
        )
        if not (plain or isinstance(item, Literal) or isinstance(holder, MapNode)):
            self.refuse(node, "of 'in' at the edge one side is written out", _WRITE_OUT)
        self.steps += _steps([_length(holder)])

    def has(self, node: Node) -> Tree:
        base, fields = chain(node)
        *before, last = fields
        if isinstance(base, Name):
            self.known(base, fields)
            return ["has", ["$", base.name, *before], last]
        if not isinstance(node, Select):
            raise TypeError(node)
        return ["has", self.tree(node.operand), last]


def _steps(lengths: Iterable[int]) -> int:
    return sum(lengths) * _LENGTH


def _length(node: Node) -> int:
    """How many of the largest values an expression may hold."""
    match node:
        case Name():
            return 1
        case Select():
            return _length(node.operand)
        case ListNode():
            return sum(map(_length, node.items))
        case MapNode():
            return sum(_length(value) for _, value in node.entries)
        case Call(function="?:"):
            return max(map(_length, node.args[1:]))
        case Call(function="[]"):
            return _length(node.args[0])
        case Call(function="+" | "dyn"):
            return sum(map(_length, node.args))
        case Call(function="lowerAscii", target=Node() as text):
            return _length(text)
    return 0
