"""Events that a pattern's step accepts: one of the customer's own again, or one made for it. Pure.

Only what comparisons of fields with constants, joined by ``&&``, ask for can be made.
"""

import copy
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from forestall.contracts.errors import ExpressionError
from forestall.contracts.event import Origin, Record, decode_data
from forestall.decide.occasion import binding
from forestall.decide.plan import concerns, key_text
from forestall.policy.language.cel import (
    Comparison,
    Timestamp,
    comparisons,
    compile_expression,
    conjuncts,
)
from forestall.policy.language.compile import (
    CONDITION_VARIABLES,
    EVENT_VARIABLES,
    Condition,
    event_expression,
)
from forestall.policy.language.model import WILDCARD, Match

_PLAIN_KEY = re.compile(r"event\.data((?:\.[A-Za-z_][A-Za-z0-9_]*)+)")
_ANY_TYPE = "any.event"


class Fit(msgspec.Struct, frozen=True):
    """An event for a step. ``like`` is the id of the record it repeats, but for what was wanted of
    it; ``traits`` are what the customer must have besides."""

    type: str
    data: dict[str, Any]
    origin: Origin
    like: str | None
    traits: dict[str, Any]


def bound(record: Record, time: int) -> dict[str, Any]:
    """What ``event`` is in conditions."""
    return binding(record, time, decode_data(record.data))


def holds(where: str | None, given: tuple[Any, ...]) -> bool:
    """Whether a ``where`` is true of event, traits and now."""
    if where is None:
        return True
    try:
        return event_expression(where)(*given) is True
    except ExpressionError:
        return False


def key_of(by: str | None, given: tuple[Any, ...]) -> str | None:
    """The text of the key; none without ``by``, or where it has no value."""
    if by is None:
        return None
    try:
        return key_text(event_expression(by)(*given))
    except (ExpressionError, RecursionError):
        return None


def simple(where: str | None) -> bool:
    """Whether a condition is nothing but comparisons of fields with constants, joined by ``&&``."""
    if where is None:
        return True
    return None not in conjuncts(compile_expression(where, CONDITION_VARIABLES))


def plain_key(by: str | None) -> bool:
    """Whether an event can be made to have a given key: it is a field of its data."""
    return by is None or _PLAIN_KEY.fullmatch(by) is not None


def fit(
    match: Match,
    by: str | None,
    key: str | None,
    likes: Iterable[Record],
    traits: dict[str, Any],
    wanted: Sequence[Comparison] = (),
    time: int = 0,
) -> Fit | None:
    """An event at ``time`` that ``match`` accepts, of the key, with what ``wanted`` says of it.

    ``likes`` are the customer's own events, the best to repeat first; none where none can be made.
    """
    asked = [one for one in wanted if one.path[0] == "event"]
    now = Timestamp(time * 1000)
    fitting = [one for one in likes if _fits(match, by, key, (bound(one, time), traits, now))]
    for like in [*fitting, None]:
        made = _made(match, by, key, like, asked)
        event = {"id": "", "source": "", "time": now}
        event |= {"type": made.type, "origin": made.origin, "data": made.data}
        if _fits(match, by, key, (event, {**traits, **made.traits}, now)):
            return made
    return None


def _fits(match: Match, by: str | None, key: str | None, given: tuple[Any, ...]) -> bool:
    return (
        concerns(match, given[0]["type"])
        and holds(match.where, given)
        and (by is None or ((found := key_of(by, given)) is not None and key in (None, found)))
    )


def _made(
    match: Match, by: str | None, key: str | None, like: Record | None, asked: Sequence[Comparison]
) -> Fit:
    """``like`` with what is ``asked``, or an event with no more than the conditions ask for."""
    root = _blank(match, by, key) if like is None else _copy(like)
    where = compile_expression(match.where, EVENT_VARIABLES) if match.where else None
    parts = [*(comparisons(where) if where and like is None else ()), *asked]
    traits: dict[str, Any] = {}
    for path in dict.fromkeys(part.path for part in parts):
        value = satisfying([part for part in parts if part.path == path], path, root)
        if path[0] == "event" and len(path) > 1:
            _put(root, path[1:], value)
        elif path[0] == "subject" and len(path) > 1:
            _put(traits, path[1:], value)
    origin: Origin = "browser" if root["origin"] == "browser" else "server"
    return Fit(root["type"], root["data"], origin, None if like is None else like.id, traits)


def _blank(match: Match, by: str | None, key: str | None) -> dict[str, Any]:
    data: dict[str, Any] = {}
    place = _PLAIN_KEY.fullmatch(by or "")
    if place is not None:
        value = "x" if key is None else msgspec.json.decode(key)
        _put(data, place[1].split(".")[1:], value)
    event_type = next((one for one in match.types if one != WILDCARD), _ANY_TYPE)
    return {"type": event_type, "origin": "server", "data": data}


def _copy(like: Record) -> dict[str, Any]:
    data = copy.deepcopy(decode_data(like.data))
    root = {"type": like.type, "origin": like.origin}
    return {**root, "data": data if isinstance(data, dict) else {}}


def satisfying(parts: Sequence[Comparison], path: tuple[str, ...], root: dict[str, Any]) -> Any:
    """A value of which every one of ``parts`` (of one path) holds; what is there where it does."""
    here = found_at(path, {"event": root})
    for candidate in [here, *_candidates(parts)]:
        if all(_is(part, candidate) for part in parts):
            return candidate
    return here


def _candidates(parts: Sequence[Comparison]) -> list[Any]:
    constants: list[Any] = []
    for part in parts:
        constants += part.constant if part.operator == "in" else [part.constant]
    near: list[Any] = []
    for one in constants:
        if isinstance(one, bool):
            near.append(not one)
        elif isinstance(one, int | float):
            near += [one + 1, one - 1, one + 0.000001, one - 0.000001]
        elif isinstance(one, str):
            near += [one + "~", one[:-1], ""]
        else:
            near.append(0)
    return [*constants, *near]


def _is(part: Comparison, value: Any) -> bool:
    constant = list(part.constant) if part.operator == "in" else part.constant
    try:
        return _operation(part.operator)(value, constant) is True
    except ExpressionError:
        return False


@lru_cache
def _operation(operator: str) -> Condition:
    return compile_expression(f"value {operator} constant", ("value", "constant")).evaluate


def comparison_holds(part: Comparison, root: dict[str, Any]) -> bool:
    """Whether a comparison is true of the variables in ``root``; a missing field makes it false."""
    for depth in range(1, len(part.path)):
        above = found_at(part.path[:depth], root)
        if not isinstance(above, dict) or part.path[depth] not in above:
            return False
    return _is(part, found_at(part.path, root))


def found_at(path: Sequence[str], root: Any) -> Any:
    """What stands at a path of maps; none where there is nothing."""
    for name in path:
        if not isinstance(root, dict) or name not in root:
            return None
        root = root[name]
    return root


def _put(root: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        below = root.get(name)
        if not isinstance(below, dict):
            below = root[name] = {}
        root = below
    root[path[-1]] = value
