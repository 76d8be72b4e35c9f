"""Plans: for one event type, everything its events concern, with equal expressions shared. Pure."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from forestall.contracts.event import Record
from forestall.policy.language.cel import Timestamp, to_json
from forestall.policy.language.compile import Condition, Program, event_expression
from forestall.policy.language.model import WILDCARD, Feature, Match

ALWAYS = 0
"""The index of the condition that always holds, and of the key of everything without ``by``."""


class FeatureUse(msgspec.Struct, frozen=True):
    """A feature that this type may add to; the rest are indices into the plan."""

    slot: int
    feature: Feature
    where: int
    key: int
    value: int


class PatternUse(msgspec.Struct, frozen=True):
    """A pattern with steps for this type, as ``(step, where)`` pairs of indices."""

    slot: int
    program: Program
    key: int
    positives: tuple[tuple[int, int], ...]
    gaps: tuple[tuple[int, int], ...]
    trailing: int | None


class Plan(msgspec.Struct, frozen=True):
    """What an event of one type concerns. Index 0 of the lists that ``wheres``, ``keys`` and
    ``values`` give is not theirs: it holds always, and is none.

    ``idle`` says that nothing does, ``evaluates`` that there is an expression at all.
    """

    wheres: Sequence[Condition]
    keys: Sequence[Condition]
    values: Sequence[Condition]
    features: Sequence[FeatureUse]
    patterns: Sequence[PatternUse]
    idle: bool
    evaluates: bool


class _Shared:
    """Expressions in order of first use, each once."""

    def __init__(self) -> None:
        self.sources: dict[str | None, int] = {None: ALWAYS}

    def index(self, source: str | None) -> int:
        return self.sources.setdefault(source, len(self.sources))

    def functions(self) -> list[Condition]:
        return [event_expression(source) for source in self.sources if source is not None]


def concerns(match: Match, event_type: str) -> bool:
    """Whether events of that type can match."""
    if WILDCARD in match.types:
        return not event_type.startswith("forestall.")
    return event_type in match.types


def make_plan(
    event_type: str,
    features: Iterable[tuple[int, Feature]],
    programs: Iterable[tuple[int, Program]],
) -> Plan:
    """The plan of ``event_type`` among the features and programs in force, by slot."""
    wheres, keys, values = _Shared(), _Shared(), _Shared()
    feature_uses = [
        FeatureUse(
            slot,
            feature,
            wheres.index(feature.match.where),
            keys.index(feature.by),
            values.index(feature.value),
        )
        for slot, feature in features
        if concerns(feature.match, event_type)
    ]
    pattern_uses = []
    for slot, program in programs:
        pattern = program.pattern
        positives = tuple(
            (step, wheres.index(match.where))
            for step, match in enumerate(pattern.positives)
            if concerns(match, event_type)
        )
        gaps = tuple(
            (gap, wheres.index(match.where))
            for gap, match in pattern.gaps.items()
            if concerns(match, event_type)
        )
        trailing = (
            wheres.index(pattern.trailing.where)
            if pattern.trailing is not None and concerns(pattern.trailing, event_type)
            else None
        )
        if positives or gaps or trailing is not None:
            pattern_uses.append(
                PatternUse(slot, program, keys.index(pattern.by), positives, gaps, trailing)
            )
    functions = (wheres.functions(), keys.functions(), values.functions())
    idle = not feature_uses and not pattern_uses
    return Plan(*functions, feature_uses, pattern_uses, idle, any(functions))


def binding(record: Record, time: int, data: Any) -> dict[str, Any]:
    """What conditions see as ``event``; ``time`` in microseconds, after the cut to ``received``."""
    return {
        "id": record.id,
        "type": record.type,
        "source": record.source,
        "time": Timestamp(time * 1000),
        "origin": record.origin,
        "data": data,
    }


def key_text(value: Any) -> str | None:
    """A key as compact JSON, sorted, numbers shortest; none for null."""
    if value is None:
        return None
    if type(value) is not str:
        value = _shortest(to_json(value))
    return msgspec.json.encode(value, order="deterministic").decode()


def key_order(key: str | None) -> bytes:
    """Sorts keys by their UTF-8 bytes, none first."""
    return b"" if key is None else key.encode()


def _shortest(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    if isinstance(value, list | tuple):
        return [_shortest(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _shortest(item) for name, item in value.items()}
    return value


def with_doubles(data: Any, tree: dict[str, Any]) -> Any:
    """``data`` with the integers that ``tree`` names turned into doubles (see ``PoliciesApplied``)."""
    if isinstance(data, list):
        below = tree.get("*")
        return data if below is None else [_double(item, below) for item in data]
    if isinstance(data, dict):
        unnamed = tree.get("*", {})
        return {name: _double(value, tree.get(name, unnamed)) for name, value in data.items()}
    return data


def _double(value: Any, below: Any) -> Any:
    if below is True:
        return _as_double(value) if type(value) is int else value
    return with_doubles(value, below)


def _as_double(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
