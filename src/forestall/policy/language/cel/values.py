"""What CEL has and Python lacks: unsigned integers, types as values, bool keys, bounded work."""

from typing import Any

from forestall.contracts.errors import ExpressionError

WORK = 100_000
"""Steps one evaluation may take: a step is about one node of a loop's body or 16 characters."""

INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1

Work = list[int]
"""The steps left, in a list of one."""


def spend(work: Work, steps: int) -> None:
    """Take ``steps`` from what is left. Raises ``ExpressionError`` when nothing is."""
    work[0] -= steps
    if work[0] < 0:
        raise ExpressionError(
            f"the condition takes more than {WORK} steps; make its lists or texts shorter"
        )


class Uint(int):
    """An unsigned 64-bit integer; equal by value to other numbers, never mixed in arithmetic."""

    __slots__ = ()


class BoolKey:
    """A bool as a map key, so that ``True`` and ``1`` stay two keys."""

    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value


TRUE_KEY, FALSE_KEY = BoolKey(True), BoolKey(False)


def plain_key(key: Any) -> Any:
    """The CEL value of a stored map key."""
    return key.value if key.__class__ is BoolKey else key


class CelType:
    """A type as a value: what ``type(x)`` gives and names such as ``int`` stand for."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return other.__class__ is CelType and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"CelType({self.name!r})"
