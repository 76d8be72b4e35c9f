"""What a value can be: kinds, a range, a few constants, fields. Always more than it really is.

``meet`` is what two statements about one value leave, ``join`` what either allows. Kinds are CEL's.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

NUMBERS: Final = frozenset(["int", "uint", "double"])
JSON: Final = frozenset(["null", "bool", "int", "double", "string", "list", "map"])
KINDS: Final = JSON | {"uint", "bytes", "timestamp", "duration", "type"}
EXACT: Final = 2**53
"""Below this an integer compares with a double exactly; bounds from here on are not followed."""

_MANY = 64


class Range(msgspec.Struct, frozen=True):
    """Numbers, or lengths, from ``low`` to ``high``, without an end that is ``open``."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def meet(self, other: "Range") -> "Range":
        """What lies in both."""
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, closed = min((self.high, not self.high_open), (other.high, not other.high_open))
        return Range(low, high, low_open, not closed)

    def join(self, other: "Range") -> "Range":
        """The least range around both."""
        low, low_open = min((self.low, self.low_open), (other.low, other.low_open))
        high, closed = max((self.high, not self.high_open), (other.high, not other.high_open))
        return Range(low, high, low_open, not closed)

    def holds(self, number: float) -> bool:
        """Whether a number lies in it."""
        above = number > self.low or (number == self.low and not self.low_open)
        below = number < self.high or (number == self.high and not self.high_open)
        return above and below

    def is_empty(self, whole: bool) -> bool:
        """Whether it holds no number, or no whole one."""
        if self.low > self.high or (self.low == self.high and (self.low_open or self.high_open)):
            return True
        if not whole or math.isinf(self.low) or math.isinf(self.high):
            return False
        first = math.floor(self.low) + 1 if self.low_open else math.ceil(self.low)
        return not self.holds(first)


EVERYWHERE = Range()
LENGTHS = Range(0)


class Domain(msgspec.Struct, frozen=True):
    """The values something can have; without ``kinds`` there are none.

    ``values`` lists all of them where they are few scalars, ``excluded`` some that it has not.
    ``range`` and ``whole`` speak of numbers, ``length`` of texts, ``fields``, ``required`` and
    ``rest`` (other keys; none: there are no others) of maps, ``items`` of lists.
    """

    kinds: frozenset[str] = KINDS
    values: tuple[Any, ...] | None = None
    excluded: tuple[Any, ...] = ()
    range: Range = EVERYWHERE
    whole: bool = False
    length: Range = LENGTHS
    fields: Mapping[str, "Domain"] = {}
    required: frozenset[str] = frozenset()
    rest: "Domain | None" = None
    items: "Domain | None" = None
    is_open: bool = True

    def child(self, key: str) -> "Domain":
        """The field ``key`` of a map; without kinds where there is none."""
        if "map" not in self.kinds:
            return NOTHING
        if (field := self.fields.get(key)) is not None:
            return field
        if self.rest is not None:
            return self.rest
        return ANYTHING if self.is_open else NOTHING

    @property
    def is_empty(self) -> bool:
        """Whether no value is left."""
        return not self.kinds


ANYTHING = Domain()
NOTHING = Domain(kinds=frozenset())
BOOL = Domain(kinds=frozenset(["bool"]))


def of_kinds(*kinds: str) -> Domain:
    """Any value of these kinds."""
    return Domain(kinds=frozenset(kinds))


def constant(value: Any) -> Domain:
    """Just this value."""
    kind = kind_of(value)
    if kind not in JSON | {"uint"} or kind in ("list", "map"):
        return of_kinds(kind)
    return settled(Domain(kinds=frozenset([kind]), values=(value,)))


_KIND_OF: Final = {
    type(None): "null", bool: "bool", int: "int", float: "double", str: "string", bytes: "bytes",
    list: "list", dict: "map",
}  # fmt: skip


def kind_of(value: Any) -> str:
    """The CEL kind of a constant."""
    return _KIND_OF.get(value.__class__, "uint")


def classes(kinds: frozenset[str]) -> frozenset[str]:
    """The kinds with all numbers as one: what may be equal to each other."""
    return kinds - NUMBERS | {"number"} if kinds & NUMBERS else kinds


def same(one: Any, other: Any) -> bool:
    """Whether two constants are equal in CEL."""
    return bool(one == other) and (one.__class__ is bool) == (other.__class__ is bool)


def _fits(domain: Domain, value: Any) -> bool:
    kind = kind_of(value)
    if any(same(value, one) for one in domain.excluded):
        return False
    if kind in NUMBERS:
        fraction = domain.whole and value.__class__ is float and not value.is_integer()
        return bool(domain.kinds & NUMBERS) and domain.range.holds(value) and not fraction
    return kind in domain.kinds and (kind != "string" or domain.length.holds(len(value)))


def settled(domain: Domain) -> Domain:
    """The domain with what its parts rule out taken away."""
    kinds, values, spread = domain.kinds, domain.values, domain.range
    if values is not None:
        values = tuple(value for value in values if _fits(domain, value))
        left = classes(frozenset(kind_of(value) for value in values))
        kinds = frozenset(kind for kind in kinds if classes(frozenset([kind])) & left)
        numbers = [value for value in values if kind_of(value) in NUMBERS]
        if numbers and all(abs(number) < EXACT for number in numbers):
            spread = Range(min(numbers), max(numbers))
    if spread.is_empty(domain.whole):
        kinds -= NUMBERS
    if domain.length.is_empty(whole=True):
        kinds -= {"string"}
    if any(domain.child(name).is_empty for name in domain.required):
        kinds -= {"map"}
    return msgspec.structs.replace(domain, kinds=kinds, values=values, range=spread)


def meet(one: Domain, other: Domain) -> Domain:
    """What is left of a value of which both hold."""
    if one is ANYTHING or other is ANYTHING:
        return other if one is ANYTHING else one
    values = one.values
    if other.values is not None:
        values = (
            other.values
            if values is None
            else tuple(v for v in values if any(same(v, w) for w in other.values))
        )
    names = dict.fromkeys((*one.fields, *other.fields))
    return settled(
        Domain(
            kinds=one.kinds & other.kinds,
            values=values,
            excluded=(*one.excluded, *other.excluded)[:_MANY],
            range=one.range.meet(other.range),
            whole=one.whole or other.whole,
            length=one.length.meet(other.length),
            fields={name: meet(_field(one, name), _field(other, name)) for name in names},
            required=one.required | other.required,
            rest=_both(one.rest, other.rest),
            items=_both(one.items, other.items),
            is_open=one.is_open and other.is_open,
        )
    )


def _field(domain: Domain, name: str) -> Domain:
    if (field := domain.fields.get(name)) is not None:
        return field
    return domain.rest or (ANYTHING if domain.is_open else NOTHING)


def _both(one: Domain | None, other: Domain | None) -> Domain | None:
    return other if one is None else one if other is None else meet(one, other)


def join(one: Domain, other: Domain) -> Domain:
    """What a value can be of which either holds."""
    if one.is_empty or other.is_empty:
        return other if one.is_empty else one
    values = None
    if one.values is not None and other.values is not None:
        values = (*one.values, *other.values)
        values = values if len(values) <= _MANY else None
    names = dict.fromkeys((*one.fields, *other.fields))
    numbers, texts, maps = (
        _speaking(one, other, kinds)
        for kinds in (NUMBERS, frozenset(["string"]), frozenset(["map"]))
    )
    together = Domain(
        kinds=one.kinds | other.kinds,
        values=values,
        excluded=tuple(v for v in one.excluded if any(same(v, w) for w in other.excluded)),
        range=numbers[0].range.join(numbers[-1].range),
        whole=all(domain.whole for domain in numbers),
        length=texts[0].length.join(texts[-1].length),
        required=maps[0].required & maps[-1].required,
        rest=_either(maps[0].rest, maps[-1].rest, any(domain.is_open for domain in maps)),
        items=None if one.items is None or other.items is None else join(one.items, other.items),
        is_open=any(domain.is_open for domain in maps),
    )
    fields = {name: join(_field(maps[0], name), _field(maps[-1], name)) for name in names}
    return msgspec.structs.replace(together, fields=fields)


def _speaking(one: Domain, other: Domain, kinds: frozenset[str]) -> list[Domain]:
    """Those of the two that may be of such a kind; the other has nothing to say of it."""
    return [domain for domain in (one, other) if domain.kinds & kinds] or [one, other]


def _either(one: Domain | None, other: Domain | None, is_open: bool) -> Domain | None:
    if one is None or other is None:
        return None if is_open else one or other
    return join(one, other)
