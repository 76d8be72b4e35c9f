"""Can a condition be true at all? A search for contradictions that never claims one wrongly.

``possible`` supposes that the condition holds and narrows what its paths can be; where nothing is
left, it cannot hold. Whatever is not understood is taken to be possible.
"""

from collections.abc import Callable, Iterable, Mapping

from forestall.policy.language.cel.syntax import Call, ListNode, Literal, Node, Select
from forestall.policy.language.domain import (
    ANYTHING,
    EXACT,
    NOTHING,
    NUMBERS,
    Domain,
    Range,
    constant,
    join,
    meet,
    of_kinds,
)
from forestall.policy.language.infer import Facts, Inference, Path, looped
from forestall.policy.language.signatures import ORDER, ORDERED

_STEPS = 20_000
_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_TESTS: dict[str, Callable[[str, str], bool]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": str.__contains__,
}
_MAP = frozenset(["map"])


class _GaveUp(Exception):
    pass


def possible(node: Node, roots: Mapping[str, Domain], facts: Facts | None = None) -> Facts | None:
    """What is known of the paths when the condition holds; none when it cannot.

    ``facts`` are known beforehand.
    """
    known = {} if facts is None else facts
    try:
        return _Supposition(roots).suppose(node, known, True)
    except _GaveUp:
        return known


class _Supposition(Inference):
    def __init__(self, roots: Mapping[str, Domain]) -> None:
        super().__init__(roots)
        self._left = _STEPS

    def infer(self, node: Node, facts: Facts) -> Domain:
        """What a part can be, while there are steps left."""
        self._left -= 1
        if self._left < 0:
            raise _GaveUp
        return super().infer(node, facts)

    def suppose(self, node: Node, facts: Facts, holds: bool) -> Facts | None:
        """The facts when ``node`` is true, or false; none when it cannot be."""
        self._left -= 1
        if self._left < 0:
            raise _GaveUp
        if isinstance(node, Call):
            found = self._operation(node, facts, holds)
            if found is not _UNKNOWN:
                return found
        return self._narrowed(node, constant(holds), facts)

    def _operation(self, node: Call, facts: Facts, holds: bool) -> Facts | None:
        name, args = node.function, node.args
        if node.target is not None:
            return self._method(node, node.target, facts, holds)
        if name == "!_":
            return self.suppose(args[0], facts, not holds)
        if name in ("&&", "||"):
            if holds is (name == "&&"):
                return self._every(args, facts, holds)
            return self._some(self.suppose(arg, facts, holds) for arg in args)
        if name == "?:":
            return self._some(self._chosen(node, facts, holds, way) for way in (True, False))
        if name in ("==", "!="):
            return self._equal(args[0], args[1], facts, holds is (name == "=="))
        if name in ORDER:
            return self._order(name, args[0], args[1], facts, holds)
        if name == "in":
            return self._in(args[0], args[1], facts, holds)
        if name == "has" and isinstance(args[0], Select):
            return self._has(args[0], facts, holds)
        return _UNKNOWN

    def _every(self, parts: Iterable[Node], facts: Facts, holds: bool) -> Facts | None:
        left: Facts | None = facts
        for part in parts:
            if left is not None:
                left = self.suppose(part, left, holds)
        return left

    def _some(self, ways: Iterable[Facts | None]) -> Facts | None:
        found = [way for way in ways if way is not None]
        if not found:
            return None
        first, *others = found
        for other in others:
            first = {
                path: join(domain, other[path]) for path, domain in first.items() if path in other
            }
        return first

    def _chosen(self, node: Call, facts: Facts, holds: bool, way: bool) -> Facts | None:
        chosen = self.suppose(node.args[0], facts, way)
        return None if chosen is None else self.suppose(node.args[1 if way else 2], chosen, holds)

    # Narrowing

    def _narrowed(self, node: Node, to: Domain, facts: Facts) -> Facts | None:
        """The facts when ``node`` has a value, and that lies in ``to``."""
        path = self.path(node)
        if path is not None:
            return self._known(path, to, facts)
        return None if meet(self.infer(node, facts), to).is_empty else facts

    def _known(self, path: Path, to: Domain, facts: Facts) -> Facts | None:
        domain = meet(self.at(path, facts), to)
        if domain.is_empty:
            return None
        narrowed: Facts | None = facts
        if len(path) > 1:
            key = path[-1]
            holder = of_kinds("list", "map")
            if isinstance(key, str):
                holder = Domain(kinds=_MAP, required=frozenset([key]))
            narrowed = self._known(path[:-1], holder, facts)
        return None if narrowed is None else {**narrowed, path: domain}

    def _has(self, node: Select, facts: Facts, holds: bool) -> Facts | None:
        path = self.path(node)
        if path is None:
            return self._narrowed(node.operand, of_kinds("map"), facts)
        if holds:
            return self._known(path, ANYTHING, facts)
        narrowed = self._known(path[:-1], of_kinds("map"), facts)
        if narrowed is None or path[-1] in self.at(path[:-1], narrowed).required:
            return None
        return {**narrowed, path: NOTHING}

    # Comparisons

    def _equal(self, left: Node, right: Node, facts: Facts, holds: bool) -> Facts | None:
        one, other = self.infer(left, facts), self.infer(right, facts)
        narrowed: Facts | None = facts
        for node, against in ((left, other), (right, one)):
            if narrowed is not None:
                narrowed = self._narrowed(node, (_like if holds else _unlike)(against), narrowed)
        return narrowed

    def _order(self, name: str, left: Node, right: Node, facts: Facts, holds: bool) -> Facts | None:
        one, other = self.infer(left, facts), self.infer(right, facts)
        kinds = one.kinds & other.kinds & ORDERED
        if one.kinds & NUMBERS and other.kinds & NUMBERS:
            kinds |= NUMBERS
        if not holds and not (one.whole and other.whole):
            name = ""
        elif not holds:
            name = _NEGATED[name]
        below, above = (left, right) if name[:1] == "<" else (right, left)
        low, high = (one, other) if name[:1] == "<" else (other, one)
        is_open = not name.endswith("=")
        limits = Range(high=high.range.high, high_open=is_open or high.range.high_open)
        floors = Range(low=low.range.low, low_open=is_open or low.range.low_open)
        narrowed: Facts | None = facts
        for node, spread, bound in (
            (below, limits, high.range.high),
            (above, floors, low.range.low),
        ):
            usable = spread if name and abs(bound) < EXACT else Range()
            if narrowed is not None:
                narrowed = self._narrowed(node, Domain(kinds=kinds, range=usable), narrowed)
        return narrowed

    def _in(self, left: Node, right: Node, facts: Facts, holds: bool) -> Facts | None:
        if not isinstance(right, ListNode):
            narrowed = self._narrowed(right, of_kinds("list", "map"), facts)
            return None if narrowed is None else self._narrowed(left, ANYTHING, narrowed)
        items = [self.infer(item, facts) for item in right.items]
        if any(item.is_empty for item in items):
            return None
        if not holds:
            excluded = tuple(value for item in items for value in _unlike(item).excluded)
            return self._narrowed(left, Domain(excluded=excluded), facts)
        allowed = NOTHING
        for item in items:
            allowed = join(allowed, _like(item))
        return self._narrowed(left, allowed, facts)

    # Methods and loops

    def _method(self, node: Call, target: Node, facts: Facts, holds: bool) -> Facts | None:
        name, args = node.function, node.args
        if name in ("all", "exists", "exists_one"):
            return self._loop_holds(node, target, facts, holds)
        if name not in _TESTS:
            return _UNKNOWN
        domain = self.infer(target, facts)
        to = of_kinds("string")
        if isinstance(args[0], Literal) and isinstance(args[0].value, str):
            part = args[0].value
            values = domain.values
            if values is not None:
                values = tuple(
                    v for v in values if isinstance(v, str) and _TESTS[name](v, part) is holds
                )
            length = Range(len(part)) if holds else Range(0)
            to = Domain(kinds=frozenset(["string"]), values=values, length=length)
        narrowed = self._narrowed(target, to, facts)
        return None if narrowed is None else self._narrowed(args[0], of_kinds("string"), narrowed)

    def _loop_holds(self, node: Call, target: Node, facts: Facts, holds: bool) -> Facts | None:
        narrowed = self._narrowed(target, of_kinds("list", "map"), facts)
        if narrowed is None or holds is (node.function == "all"):
            return narrowed
        item = looped(self.infer(target, narrowed))
        outer, inner = self.enter(node.args[0], item, narrowed)
        try:
            found = self.suppose(node.args[1], inner, holds)
        finally:
            self.leave(outer)
        return None if found is None else narrowed


_UNKNOWN: Facts = {("?",): NOTHING}


def _like(domain: Domain) -> Domain:
    """What equals one of the domain's values."""
    kinds = domain.kinds | NUMBERS if domain.kinds & NUMBERS else domain.kinds
    return Domain(kinds, domain.values, domain.excluded, domain.range, domain.whole, domain.length)


def _unlike(domain: Domain) -> Domain:
    """What does not equal the domain's value, where it has just one."""
    if domain.values is not None and len(domain.values) == 1:
        return Domain(excluded=domain.values)
    return ANYTHING if domain.kinds else NOTHING
