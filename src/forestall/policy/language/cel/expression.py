"""Conditions compiled and run: ``compile_expression``, and ``batch`` for ``policy eval``."""

import base64
import builtins
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel import syntax
from forestall.policy.language.cel.conversions import double_text
from forestall.policy.language.cel.syntax import Call, InvalidExpression, Name, Node, chain
from forestall.policy.language.cel.translate import NAMESPACE, Inline, Path, inline, translate
from forestall.policy.language.cel.values import CelType, Uint, Work, plain_key, spend

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in"]
_MIRRORED: dict[str, Operator] = {
    "==": "==",
    "!=": "!=",
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
}
_MAX_JSON = 1_000_000


class Expression(msgspec.Struct, frozen=True, eq=False):
    """A compiled condition.

    ``reads`` holds the field paths it reads, such as ``("event", "data", "order_id")``; a path ends
    at an index. ``places`` gives each path's first line and column. ``evaluate`` takes one positional
    argument per variable, in order, returns a plain CEL value, and raises ``ExpressionError`` only.
    """

    source: str
    variables: tuple[str, ...]
    reads: frozenset[Path]
    places: Mapping[Path, tuple[int, int]]
    evaluate: Callable[..., Any]


class Comparison(msgspec.Struct, frozen=True):
    """``path operator constant``, one of the parts of a condition joined by ``&&``.

    For ``in`` the constant is a tuple. ``line`` and ``column`` are where the path stands.
    """

    path: Path
    operator: Operator
    constant: Any
    line: int
    column: int


def compile_expression(source: str, variables: Sequence[str]) -> Expression:
    """Compile a condition over the named variables. Raises ``InvalidExpression``."""
    try:
        node = syntax.parse(source)
        translation = translate(source, node, variables)
        namespace = NAMESPACE | translation.constants
        builtins.exec(compile(translation.code, "<condition>", "exec"), namespace)  # noqa: S102
    except (RecursionError, MemoryError):
        raise InvalidExpression("the condition is nested too deeply", 1, 1) from None
    places = {path: _position(source, at) for path, at in translation.places.items()}
    return Expression(source, tuple(variables), frozenset(places), places, namespace["evaluate"])


def inline_expression(source: str, variables: Mapping[str, str], prefix: str) -> Inline | None:
    """A condition as a Python expression over ``variables``, given with their Python names; none
    where it has to stay a function. Raises ``InvalidExpression``."""
    return inline(source, syntax.parse(source), variables, prefix)


def _position(source: str, at: int) -> tuple[int, int]:
    place = syntax.problem(source, at, "")
    return place.line, place.column


def comparisons(expression: Expression) -> list[Comparison]:
    """The comparisons of a field path with a constant among the parts joined by top-level ``&&``."""
    return [part for part in conjuncts(expression) if part]


def conjuncts(expression: Expression) -> list[Comparison | None]:
    """The parts joined by top-level ``&&``, in order; none for one that is no such comparison."""
    node = syntax.parse(expression.source)
    parts = node.args if isinstance(node, Call) and node.function == "&&" else (node,)
    return [_comparison(expression, part) for part in _flat(parts)]


def _flat(parts: Iterable[Node]) -> Iterator[Node]:
    for part in parts:
        if isinstance(part, Call) and part.function == "&&":
            yield from _flat(part.args)
        else:
            yield part


def _comparison(expression: Expression, node: Node) -> Comparison | None:
    if (
        not isinstance(node, Call)
        or node.target is not None
        or node.function not in (*_MIRRORED, "in")
    ):
        return None
    left, right = node.args
    operator: Any = node.function
    if operator == "in":
        constant = _constants(right)
    else:
        if isinstance(left, syntax.Literal):
            left, right, operator = right, left, _MIRRORED[operator]
        constant = (right.value,) if isinstance(right, syntax.Literal) else None
    base, fields = chain(left)
    path = (base.name, *fields) if isinstance(base, Name) else ()
    if constant is None or path not in expression.reads:
        return None
    line, column = _position(expression.source, base.at)
    value = constant if operator == "in" else constant[0]
    return Comparison(path, operator, value, line, column)


def _constants(node: Node) -> tuple[Any, ...] | None:
    if not isinstance(node, syntax.ListNode):
        return None
    items = [item.value for item in node.items if isinstance(item, syntax.Literal)]
    return tuple(items) if len(items) == len(node.items) else None


def to_json(value: Any) -> Any:
    """A CEL value as plain JSON data. Raises ``ExpressionError`` for one too large.

    Timestamps are RFC 3339 text, durations text such as ``1.5s``, bytes base64, types their name;
    NaN and the infinities, which JSON lacks, are the texts ``NaN``, ``Infinity``, ``-Infinity``.
    """
    try:
        return _json([_MAX_JSON], value)
    except RecursionError:
        raise ExpressionError("the value is nested too deeply") from None


def _json(work: Work, value: Any) -> Any:
    kind = value.__class__
    if kind in (str, int, bool, type(None)):
        return value
    if kind is float:
        return value if value - value == 0 else double_text(value)
    if kind is Uint:
        return int(value)
    if kind is list:
        spend(work, len(value))
        return [_json(work, item) for item in value]
    if kind is dict:
        spend(work, len(value))
        made = {_json_key(key): _json(work, item) for key, item in value.items()}
        if len(made) < len(value):
            raise ExpressionError("two keys of the map have the same text in JSON")
        return made
    if kind is bytes:
        return base64.b64encode(value).decode()
    if kind is CelType:
        return value.name
    return str(value)


def _json_key(key: Any) -> str:
    plain = plain_key(key)
    return str(plain).lower() if plain.__class__ is bool else str(plain)


class _Case(msgspec.Struct):
    expr: str
    bindings: dict[str, Any] = {}


def batch(lines: Iterable[str | bytes]) -> Iterator[str]:
    """``{"expr": CEL, "bindings": {...}}`` to ``{"value": ...}`` or ``{"error": ...}``, line by line.

    A line that is not such JSON gives an error of its own; empty lines are skipped.
    """
    for line in lines:
        if line.strip():
            yield _answer(line)


def _answer(line: str | bytes) -> str:
    try:
        case = msgspec.json.decode(line, type=_Case)
        expression = compile_expression(case.expr, tuple(case.bindings))
        return json.dumps({"value": to_json(expression.evaluate(*case.bindings.values()))})
    except (InvalidExpression, ExpressionError) as error:
        return json.dumps({"error": str(error)})
    except (msgspec.MsgspecError, UnicodeError) as error:
        reason = f'the line is not {{"expr": ..., "bindings": ...}} in JSON: {error}'
        return json.dumps({"error": reason})
    except RecursionError:
        return json.dumps({"error": "the line or its value is nested too deeply"})
