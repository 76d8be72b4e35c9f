"""Conditions for the browser: CEL as a compact JSON tree, or the reason why it stays with the server.

A tree is a scalar, which stands for itself (a JSON number is a double), or a list that begins with
what to do:

* ``["i", 5]`` an int (text beyond 2^53); ``["t", "1714…"]``, ``["d", "90…"]`` a timestamp and a
  duration, in nanoseconds as text;
* ``["$", "event", "data", "x"]`` a variable and the fields after it; ``[".", tree, "x"]`` the fields
  of anything else; ``["has", tree, "x"]``;
* ``["[", …]`` a list; ``["{", "k", tree, …]`` a map with text keys;
* ``["all", list, "x", body, cost]`` and ``exists``, ``exists_one``, ``filter``, ``map``; a cost is the
  steps that one round takes, as the server counts them;
* an operator or function by its name and its operands, ``["&&", …]``, ``["?:", …]``, ``["!", …]``,
  ``["neg", …]``, ``["[]", list, index]``, ``["startsWith", text, part]``.

What a browser cannot do exactly as the server, or what would make its interpreter too large, is
refused: better refused than different.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from forestall.policy.language.cel import (
    Duration,
    InvalidExpression,
    Timestamp,
    Uint,
    compile_expression,
)
from forestall.policy.language.cel.conversions import to_duration, to_timestamp
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

FUNCTIONS = frozenset(
    {
        "size", "int", "double", "string", "contains", "startsWith", "endsWith", "lowerAscii",
        "upperAscii",
    }
)  # fmt: skip
"""Functions that the browser has, called by name or on a value."""

_OPERATORS = frozenset(
    {"&&", "||", "?:", "==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%", "[]"}
)
_UNARY = {"!_": "!", "-_": "neg"}
_INSTANTS: dict[str, Callable[[str], Timestamp | Duration]] = {
    "timestamp": to_timestamp,
    "duration": to_duration,
}
_CONVERSIONS = frozenset({"int", "string"})
_EXACT = 2**53

_WHY = {
    "matches": "RE2 and a browser's regular expressions differ",
    "type": "a browser's numbers are typed in another way",
    "uint": "a browser has no unsigned integers",
    "bytes": "a browser has no bytes",
    "dyn": "it is not needed there",
}
_TOO_LARGE = "the browser's interpreter is kept small and has no such function"


class EdgeCondition(InvalidExpression):
    """A condition that only the server can decide, with the reason and the place."""

    code = "edge-condition"


def compile_edge(source: str, variables: Sequence[str], *, times: bool = True) -> Tree:
    """The tree of a condition over the named variables.

    ``times``: whether it may look at times; a key or a feature's value, which are kept on the
    device, may not. Raises ``EdgeCondition`` for what only the server can decide, and
    ``InvalidExpression`` for what is no condition.
    """
    compile_expression(source, (*variables, *({"service"} - set(variables))))
    return _Compiler(source, variables, times).whole()


class _Compiler:
    def __init__(self, source: str, variables: Sequence[str], times: bool) -> None:
        self.source = source
        self.variables = variables
        self.times = times
        self.root = parse(source)
        self.looks = next(_times(self.root), None)
        self.locals: list[str] = []

    def refuse(self, node: Node, message: str, hint: str | None = None) -> NoReturn:
        found = problem(self.source, node.at, message, hint)
        raise EdgeCondition(found.message, found.line, found.column, found.hint)

    def whole(self) -> Tree:
        if self.looks is not None and not self.times:
            self.refuse(self.looks, "a key or a value at the edge may not be made of times")
        return self.tree(self.root)

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
            return _integer(value)
        return value  # type: ignore[no-any-return]

    def path(self, node: Name | Select) -> Tree:
        base, fields = chain(node)
        if not isinstance(base, Name):
            return [".", self.tree(base), *fields]
        if base.root:
            self.refuse(base, "a leading dot is not known at the edge", f"write {base.name}")
        if base.name not in self.locals:
            self.known(base, fields)
        return ["$", base.name, *fields]

    def known(self, base: Name, fields: Sequence[str]) -> None:
        """Refuse a variable that a browser does not have."""
        if base.name == "service" and base.name not in self.variables:
            self.refuse(base, "the state of services is known to the server only")
        if base.name not in self.variables:
            self.refuse(base, f"{base.name} as a value is not known at the edge")
        if base.name == "subject" and not fields:
            self.refuse(
                base, "a browser knows single traits, not all of them", "write subject.plan"
            )

    def entries(self, node: MapNode) -> Iterator[Tree]:
        seen = set[str]()
        for key, value in node.entries:
            name = key.value if isinstance(key, Literal) else None
            if not isinstance(name, str):
                self.refuse(key, "the keys of a map at the edge are texts, written out")
            if name in seen:
                self.refuse(key, f"the map has the key {name!r} twice")
            seen.add(name)
            yield name
            yield self.tree(value)

    def call(self, node: Call) -> Tree:
        name, args = node.function, node.args
        if node.target is None and name in _OPERATORS:
            return [name, *(self.tree(arg) for arg in args)]
        if node.target is None and name in _UNARY:
            return [_UNARY[name], self.tree(args[0])]
        if name == "has":
            return self.has(args[0])
        if node.target is not None and name in MACROS:
            return self.loop(name, node.target, args)
        if name in _INSTANTS:
            return self.instant(node)
        operands = args if node.target is None else (node.target, *args)
        if name == "dyn":
            return self.tree(operands[0])
        if name not in FUNCTIONS:
            self.refuse(node, f"{name}() is not known at the edge: {_WHY.get(name, _TOO_LARGE)}")
        if name in _CONVERSIONS and self.looks is not None:
            self.refuse(node, f"{name}() is not known at the edge in a condition on times")
        return [name, *(self.tree(operand) for operand in operands)]

    def has(self, node: Node) -> Tree:
        base, fields = chain(node)
        *before, last = fields
        if isinstance(base, Name) and base.name == "subject" and base.name not in self.locals:
            self.known(base, fields)
            return ["has", ["$", base.name, *before], last]
        if not isinstance(node, Select):
            raise TypeError(node)
        return ["has", self.tree(node.operand), last]

    def loop(self, name: str, target: Node, args: Sequence[Node]) -> Tree:
        items, (item, *bodies) = self.tree(target), args
        if not isinstance(item, Name):
            raise TypeError(item)
        self.locals.append(item.name)
        trees = [self.tree(body) for body in bodies]
        self.locals.pop()
        costs = [1 + body.size for body in bodies]
        if len(bodies) == 2:
            items = ["filter", items, item.name, trees[0], costs[0]]
        return [name, items, item.name, trees[-1], costs[-1]]

    def instant(self, node: Call) -> Tree:
        """A time or a duration written out; others are read by the server only."""
        argument = node.args[0] if node.target is None and len(node.args) == 1 else None
        if not isinstance(argument, Literal) or not isinstance(argument.value, str):
            hint = f"write {node.function}('...')"
            self.refuse(node, f"{node.function}() at the edge takes a text, written out", hint)
        nanos = _INSTANTS[node.function](argument.value).nanos
        return [node.function[0], str(nanos)]


def _integer(value: int) -> Tree:
    return ["i", value if abs(value) <= _EXACT else str(value)]


def _times(node: Node) -> Iterator[Node]:
    """Where an expression may take a time from."""
    match node:
        case Name() | Select():
            base, fields = chain(node)
            if not isinstance(base, Name):
                yield from _times(base)
            elif base.name == "now" or (base.name == "event" and fields[:1] in ([], ["time"])):
                yield base
        case ListNode():
            for item in node.items:
                yield from _times(item)
        case MapNode():
            for entry in node.entries:
                for part in entry:
                    yield from _times(part)
        case Call():
            if node.function in _INSTANTS:
                yield node
            for part in (*(() if node.target is None else (node.target,)), *node.args):
                yield from _times(part)
