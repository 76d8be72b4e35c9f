"""``&&`` and ``||`` where an operand has failed, and the loops: ``all``, ``exists``, ``map``...

An operand or a predicate is a function of no argument or of one item. Loops take the cost of one
round, in steps. ``FAILURES`` are the exceptions that count as a CEL error.
"""

from collections.abc import Callable
from typing import Any

from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel.operators import keys, truth
from forestall.policy.language.cel.values import Work, spend

FAILURES = (
    ExpressionError,
    TypeError,
    LookupError,
    ValueError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)
"""Everything that a mistake in a condition or its data can raise."""

Predicate = Callable[[Any], Any]


def settle(decisive: bool, *operands: Callable[[], Any]) -> bool:
    """``||`` (decisive true) and ``&&`` (decisive false): one decisive operand outweighs errors."""
    reason = ""
    for operand in operands:
        try:
            if truth(operand()) is decisive:
                return decisive
        except FAILURES as error:
            reason = reason or str(worded(error))
    if reason:
        raise ExpressionError(reason)
    return not decisive


def quantify(work: Work, decisive: bool, cost: int, items: Any, predicate: Predicate) -> bool:
    """``exists`` (decisive true) and ``all`` (decisive false): as if joined by ``||`` or ``&&``."""
    reason = ""
    for item in keys(items):
        spend(work, cost)
        try:
            if truth(predicate(item)) is decisive:
                return decisive
        except FAILURES as error:
            reason = reason or str(worded(error))
    if reason:
        raise ExpressionError(reason)
    return not decisive


def exists_one(work: Work, cost: int, items: Any, predicate: Predicate) -> bool:
    """Whether the predicate holds for exactly one item; an error in any is an error."""
    found = 0
    for item in keys(items):
        spend(work, cost)
        found += truth(predicate(item))
    return found == 1


def select(work: Work, cost: int, items: Any, predicate: Predicate) -> list[Any]:
    """``filter``."""
    kept = []
    for item in keys(items):
        spend(work, cost)
        if truth(predicate(item)):
            kept.append(item)
    return kept


def transform(work: Work, cost: int, items: Any, value: Predicate) -> list[Any]:
    """``map`` with two arguments."""
    made = []
    for item in keys(items):
        spend(work, cost)
        made.append(value(item))
    return made


def measured(work: Work, value: Any) -> Any:
    """The value, charged by its full size: a list shared many times counts as often."""
    if value.__class__ is list:
        spend(work, len(value))
        for item in value:
            measured(work, item)
    elif value.__class__ is dict:
        spend(work, len(value))
        for item in value.values():
            measured(work, item)
    return value


def worded(error: Exception) -> ExpressionError:
    """Any of ``FAILURES`` as the error a caller sees."""
    if isinstance(error, ExpressionError):
        return error
    if isinstance(error, KeyError):
        return ExpressionError(f"there is no key {str(error)[:80]}")
    if isinstance(error, TypeError):
        return ExpressionError("an operator or function has no meaning for values of these types")
    if isinstance(error, RecursionError):
        return ExpressionError("a value is nested too deeply")
    return ExpressionError(f"the condition cannot be evaluated: {str(error)[:80]}")
