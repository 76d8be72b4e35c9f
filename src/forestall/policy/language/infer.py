"""What kinds of values the parts of a condition can have, and which parts can have none.

``Inference`` walks a tree once, given what its variables can be; ``findings`` are its certain
mistakes. ``suppose`` builds on it.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from forestall.contracts.nearest import did_you_mean
from forestall.policy.language.cel.functions import GLOBALS, MACROS, METHODS
from forestall.policy.language.cel.syntax import (
    Call,
    ListNode,
    Literal,
    MapNode,
    Name,
    Node,
    Select,
)
from forestall.policy.language.declared import words
from forestall.policy.language.domain import (
    ANYTHING,
    BOOL,
    NOTHING,
    NUMBERS,
    Domain,
    Range,
    classes,
    constant,
    join,
    kind_of,
    of_kinds,
    same,
)
from forestall.policy.language.signatures import INT, ORDER, ORDERED, OVERLOADS, TAKES, TEXT, TIMES

Path = tuple[str | int, ...]
Facts = Mapping[Path, Domain]


class Finding(msgspec.Struct, frozen=True, order=True):
    """A certain mistake at offset ``at`` of a condition."""

    at: int
    code: str
    message: str
    hint: str | None = None


class Inference:
    """What a condition's variables can be (``roots``), and what follows for its parts."""

    def __init__(self, roots: Mapping[str, Domain], *, finds: bool = False) -> None:
        self.roots = roots
        self.findings: list[Finding] = []
        self._finds = finds
        self._locals: dict[str, str] = {}

    # Paths

    def path(self, node: Node) -> Path | None:
        """The path that a chain of fields and constant indexes reads, or none."""
        keys: list[str | int] = []
        while True:
            match node:
                case Select(operand=operand, field=field):
                    keys.append(field)
                    node = operand
                case Call(function="[]", args=(operand, Literal(value=str() | int() as key))) if (
                    key is not True and key is not False
                ):
                    keys.append(key)
                    node = operand
                case Name(name=name, root=root):
                    start = name if root else self._locals.get(name, name)
                    return (start, *reversed(keys))
                case _:
                    return None

    def at(self, path: Path, facts: Facts) -> Domain:
        """What stands at a path."""
        if path in facts:
            return facts[path]
        if len(path) == 1:
            return self.roots.get(str(path[0]), of_kinds("type"))
        parent, key = self.at(path[:-1], facts), path[-1]
        return parent.child(key) if isinstance(key, str) else _item(parent)

    # Findings

    def _find(self, node: Node, code: str, message: str, hint: str | None = None) -> None:
        if self._finds:
            self.findings.append(Finding(node.at, code, message, hint))

    def _mismatch(self, node: Node, message: str, hint: str | None = None) -> Domain:
        self._find(node, "type-mismatch", message, hint)
        return NOTHING

    def _named(self, node: Node) -> str:
        path = self.path(node)
        if path is None:
            return f"`{_shown(node.value)}`" if isinstance(node, Literal) else "this"
        text = str(path[0]).partition("@")[0]
        for key in path[1:]:
            text += f"[{key}]" if isinstance(key, int) else f".{key}"
        return f"`{text}`"

    # Inference

    def infer(self, node: Node, facts: Facts) -> Domain:
        """What a part can be; nothing when it always fails."""
        match node:
            case Literal(value=value):
                return constant(value)
            case ListNode(items=items):
                inner = NOTHING
                for item in items:
                    inner = join(inner, self.infer(item, facts))
                return Domain(kinds=frozenset(["list"]), items=inner if items else None)
            case MapNode(entries=entries):
                for entry in entries:
                    for part in entry:
                        self.infer(part, facts)
                return of_kinds("map")
            case Name():
                return self.at(self.path(node) or (), facts)
            case Select():
                return self._select(node, facts)
            case Call():
                return self._call(node, facts)
        raise TypeError(node)

    def condition(self, node: Node, facts: Facts) -> None:
        """Look for mistakes in what must be true or false."""
        domain = self.infer(node, facts)
        if domain.kinds and "bool" not in domain.kinds:
            subject = self._named(node) if self.path(node) else "the condition"
            self._mismatch(_base(node), f"{subject} is {words(domain)}, not true or false")

    def _select(self, node: Select, facts: Facts) -> Domain:
        operand = self.infer(node.operand, facts)
        if operand.kinds and "map" not in operand.kinds:
            message = (
                f"{self._named(node.operand)} is {words(operand)} and has no field `{node.field}`"
            )
            return self._mismatch(_base(node), message)
        path = self.path(node)
        return operand.child(node.field) if path is None else self.at(path, facts)

    def _call(self, node: Call, facts: Facts) -> Domain:
        name = node.function
        if node.target is not None and name in MACROS:
            return self._loop(node, node.target, facts)
        if name == "has":
            self.infer(node.args[0], facts)
            return BOOL
        if name in ("&&", "||", "!_"):
            for arg in node.args if self._finds else ():
                self._truth(name[:2].rstrip("_"), arg, facts)
            return BOOL
        if name == "?:":
            self._truth("?", node.args[0], facts)
            return join(self.infer(node.args[1], facts), self.infer(node.args[2], facts))
        if name in ("==", "!=", "in", *ORDER):
            if self._finds:
                judge = self._membership if name == "in" else partial(self._compare, name)
                judge(node.args[0], node.args[1], facts)
            return BOOL
        return self._computed(node, facts)

    def _computed(self, node: Call, facts: Facts) -> Domain:
        if node.function == "[]":
            return self._index(node, facts)
        if node.function == "-_":
            return self._negated(node, facts)
        if node.function in OVERLOADS:
            return self._arithmetic(node, facts)
        return self._function(node, facts)

    def _truth(self, symbol: str, node: Node, facts: Facts) -> None:
        domain = self.infer(node, facts)
        if domain.kinds and "bool" not in domain.kinds:
            message = f"`{symbol}` takes true or false, and {self._named(node)} is {words(domain)}"
            self._mismatch(_base(node), message)

    def _index(self, node: Call, facts: Facts) -> Domain:
        operand, key = (self.infer(arg, facts) for arg in node.args)
        if operand.is_empty or key.is_empty:
            return NOTHING
        if not operand.kinds & {"list", "map"}:
            message = f"{self._named(node.args[0])} is {words(operand)} and has no items"
            return self._mismatch(_base(node), message)
        if operand.kinds <= {"list"} and not key.kinds & NUMBERS:
            message = f"{self._named(node.args[0])} is a list: its items have numbers, from 0"
            return self._mismatch(_base(node), message)
        path = self.path(node)
        if path is not None:
            return self.at(path, facts)
        return _item(operand) if operand.kinds <= {"list"} else ANYTHING

    def _negated(self, node: Call, facts: Facts) -> Domain:
        operand = self.infer(node.args[0], facts)
        kinds = operand.kinds & {"int", "double"}
        if operand.kinds and not kinds:
            message = f"`-` takes a number, and {self._named(node.args[0])} is {words(operand)}"
            return self._mismatch(node, message)
        return Domain(kinds=kinds)

    def _arithmetic(self, node: Call, facts: Facts) -> Domain:
        left, right = (self.infer(arg, facts) for arg in node.args)
        kinds = frozenset(
            result
            for one, other, result in OVERLOADS[node.function]
            if one in left.kinds and other in right.kinds
        )
        if left.kinds and right.kinds and not kinds:
            return self._mismatch(
                node,
                f"`{node.function}` has no meaning for {words(left)} and {words(right)}",
                _arithmetic_hint(node, left, right),
            )
        return Domain(kinds=kinds)

    def _function(self, node: Call, facts: Facts) -> Domain:
        name, args = node.function, node.args
        if name == "dyn":
            return self.infer(args[0], facts)
        function = METHODS.get(name) if node.target is not None else GLOBALS.get(name)
        if node.target is not None and function is not None:
            args = (node.target, *args)
        elif function is None:  # strings.quote
            function = GLOBALS["strings.quote"]
        domains = [self.infer(arg, facts) for arg in args]
        takes = TAKES.get(name, (TIMES, TEXT) if name.startswith("get") else (TEXT, TEXT))
        for arg, domain, accepted in zip(args, domains, takes, strict=False):
            if domain.kinds and not domain.kinds & accepted:
                wanted = words(of_kinds(*accepted))
                message = f"`{name}()` takes {wanted}, and {self._named(arg)} is {words(domain)}"
                return self._mismatch(_base(arg), message)
        if any(domain.is_empty for domain in domains):
            return NOTHING
        if name == "size":
            return _sized(domains[0])
        return of_kinds(function.kind) if function.kind != "dyn" else ANYTHING

    def _loop(self, node: Call, target: Node, facts: Facts) -> Domain:
        items = self.infer(target, facts)
        if items.kinds and not items.kinds & {"list", "map"}:
            message = f"`{node.function}()` takes a list or a map, and {self._named(target)} is {words(items)}"
            return self._mismatch(_base(target), message)
        item = looped(items)
        name = node.args[0]
        bodies = [self.local(name, item, body, facts) for body in node.args[1:]]
        for body, domain in zip(node.args[1:], bodies, strict=True):
            is_value = node.function == "map" and body is node.args[-1]
            if domain.kinds and "bool" not in domain.kinds and not is_value:
                message = (
                    f"`{node.function}()` asks what is true or false, and this is {words(domain)}"
                )
                self._mismatch(_base(body), message)
        if node.function == "map":
            return Domain(kinds=frozenset(["list"]), items=bodies[-1])
        if node.function == "filter":
            return Domain(kinds=frozenset(["list"]), items=item)
        return BOOL

    def local(self, name: Node, item: Domain, body: Node, facts: Facts) -> Domain:
        """What the body of a loop can be, its item being so."""
        outer, inner = self.enter(name, item, facts)
        try:
            return self.infer(body, inner)
        finally:
            self._locals = outer

    def enter(self, name: Node, item: Domain, facts: Facts) -> tuple[dict[str, str], Facts]:
        """Bring a loop's name into scope; gives the scope to ``leave`` to, and the facts inside."""
        outer = self._locals
        key = f"{name.name if isinstance(name, Name) else ''}@{name.at}"
        self._locals = {**outer, key.partition("@")[0]: key}
        return outer, {**facts, (key,): item}

    def leave(self, outer: dict[str, str]) -> None:
        """Go back to the scope around a loop."""
        self._locals = outer

    # Comparisons

    def _compare(self, name: str, left: Node, right: Node, facts: Facts) -> None:
        if isinstance(left, Literal):
            left, right = right, left
        one, other = self.infer(left, facts), self.infer(right, facts)
        if one.is_empty or other.is_empty:
            return
        if isinstance(right, Literal) and right.value is None and name in ("==", "!="):
            return
        shared = classes(one.kinds) & classes(other.kinds)
        if name in ORDER:
            shared &= classes(ORDERED)
        if not shared:
            self._apart(left, one, right, other)
        elif isinstance(right, Literal) and name in ("==", "!="):
            self._value(left, one, right.value)

    def _apart(self, left: Node, one: Domain, right: Node, other: Domain) -> None:
        if isinstance(right, Literal):
            message = (
                f"{self._named(left)} is {words(one)}, and is compared with a {_said(right.value)}"
            )
            self._mismatch(_base(left), message, _as(right.value, one))
        else:
            message = f"{self._named(left)} is {words(one)}, and is compared with {words(other)}"
            self._mismatch(_base(left), message)

    def _value(self, node: Node, domain: Domain, value: Any) -> None:
        kind = kind_of(value)
        if domain.values is not None:
            if any(same(value, one) for one in domain.values):
                return
            texts = [one for one in domain.values if isinstance(one, str)]
            near = did_you_mean(value, texts) if isinstance(value, str) else None
            listed = ", ".join(_shown(one) for one in domain.values[:8])
            hint = near or f"it is one of {listed}" + (", ..." if len(domain.values) > 8 else "")
        elif kind in NUMBERS and not domain.range.holds(value):
            hint = f"it lies {_between(domain.range)}"
        elif kind == "string" and not domain.length.holds(len(value)):
            hint = f"its length lies {_between(domain.length)}"
        elif kind == "double" and domain.whole and not value.is_integer():
            hint = "it is a whole number"
        else:
            return
        self._find(
            _base(node), "unknown-value", f"{self._named(node)} is never {_shown(value)}", hint
        )

    def _membership(self, left: Node, right: Node, facts: Facts) -> None:
        one = self.infer(left, facts)
        if isinstance(right, ListNode):
            self._among(left, one, right, facts)
            return
        other = self.infer(right, facts)
        if other.kinds and not other.kinds & {"list", "map"}:
            hint = "write text.contains(part)" if other.kinds == {"string"} else None
            message = f"`in` takes a list or a map on its right, and {self._named(right)} is {words(other)}"
            self._mismatch(_base(right), message, hint)
            return
        items = other.items if other.kinds == {"list"} else None
        if items is not None and one.kinds and items.kinds and not _alike(one, items):
            message = (
                f"{self._named(left)} is {words(one)}, and the list's items are {words(items)}"
            )
            self._mismatch(_base(left), message)

    def _among(self, left: Node, one: Domain, right: ListNode, facts: Facts) -> None:
        told = False
        for item in right.items:
            domain = self.infer(item, facts)
            is_null = isinstance(item, Literal) and item.value is None
            if told or is_null or one.is_empty or domain.is_empty:
                continue
            if not _alike(one, domain):
                self._apart(left, one, item, domain)
                told = True
            elif isinstance(item, Literal):
                self._value(left, one, item.value)


def _alike(one: Domain, other: Domain) -> bool:
    return bool(classes(one.kinds) & classes(other.kinds))


def _item(domain: Domain) -> Domain:
    if "map" in domain.kinds:
        return ANYTHING
    if "list" not in domain.kinds:
        return NOTHING
    return domain.items or ANYTHING


def looped(domain: Domain) -> Domain:
    """What a loop's item can be."""
    if "map" in domain.kinds:
        return ANYTHING
    return _item(domain)


def _base(node: Node) -> Node:
    """Where a chain of fields starts."""
    while True:
        match node:
            case Select(operand=operand) | Call(function="[]", args=(operand, _)):
                node = operand
            case _:
                return node


def _sized(domain: Domain) -> Domain:
    kinds = domain.kinds & TAKES["size"][0]
    spread = domain.length if kinds == TEXT else Range(0)
    return Domain(kinds=INT, range=spread, whole=True)


def _arithmetic_hint(node: Call, left: Domain, right: Domain) -> str | None:
    if {"int", "double"} != (left.kinds | right.kinds) - {"null"}:
        if "string" in left.kinds | right.kinds and node.function == "+":
            return "write string(...) around what is not text"
        if {"timestamp", "int"} == left.kinds | right.kinds:
            return "write duration('30s') for a length of time"
        return "write int(...) around both" if node.function == "%" else None
    for arg in node.args:
        if isinstance(arg, Literal) and arg.value.__class__ is int:
            return f"a number of the catalogue is a double: write {arg.value}.0"
    return "write double(...) around the integer"


def _as(value: Any, domain: Domain) -> str | None:
    if "string" in domain.kinds and not isinstance(value, str):
        return f"write '{_shown(value)}' in quotes"
    if domain.kinds & NUMBERS and isinstance(value, str):
        return "write the number without quotes"
    if "bool" in domain.kinds and value in ("true", "false"):
        return f"write {value} without quotes"
    return None


def _said(value: Any) -> str:
    kind = kind_of(value)
    return "number" if kind in NUMBERS else words(of_kinds(kind))


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value[:40] if isinstance(value, str) else value)[:42]


def _between(spread: Range) -> str:
    ends = []
    if spread.low > -float("inf"):
        ends.append(f"{'above' if spread.low_open else 'from'} {spread.low}")
    if spread.high < float("inf"):
        ends.append(f"{'below' if spread.high_open else 'to'} {spread.high}")
    return " ".join(ends)
