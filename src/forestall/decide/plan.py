"""Plans: for one event type, everything its events concern, with equal expressions shared. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from forestall.context.core import Place
from forestall.contracts import edge
from forestall.decide.ledger import EFFECTS, Effect
from forestall.decide.patterns import PatternUse, advance_of
from forestall.policy.language.cel import Path, to_json
from forestall.policy.language.compile import Condition, Program, event_expression, event_reads
from forestall.policy.language.model import WILDCARD, Feature, Match

ALWAYS: Final = 0
"""The index of the condition that always holds, and of the key of everything without ``by``."""


Take = Callable[[Any, Any, Any, int, int], Any]
"""Takes an event: engine, subject, record, time after the cut to ``received``, effective time.
Gives the candidates; none where there are none."""

Source = tuple[str, Condition]
"""An expression as text and as a function of event, subject and now."""


class Reads(msgspec.Struct, frozen=True):
    """What expressions look at: any field of ``event`` besides ``data``, its data, ``now``."""

    event: bool = False
    data: bool = False
    now: bool = False


class FeatureUse(msgspec.Struct, frozen=True):
    """A feature that this type may add to; ``where``, ``key`` and ``value`` are indices into
    the plan."""

    place: Place
    feature: Feature
    where: int
    key: int
    value: int


class FeatureRead(msgspec.Struct, frozen=True):
    """A feature as a condition or a decision reads it, under its ``name`` there."""

    name: str
    feature: Feature
    place: Place


class Ask(msgspec.Struct, frozen=True):
    """An ``if``, shared by the policies that ask the same of the same features; none always holds."""

    condition: Condition | None
    source: str | None
    reads: Reads
    features: tuple[FeatureRead, ...]


class Plan(msgspec.Struct):
    """What an event of one type concerns. Index 0 of the lists that ``wheres``, ``keys`` and
    ``values`` give is not theirs: it holds always, and is none.

    ``effect`` is what a control event does; ``doubles`` names the integers of the data that are
    doubles; ``fields`` are all fields of the data that expressions look at, none where they look at
    the whole; ``idle`` says that nothing is to do. ``take`` is made at the first event. ``told``
    are, by name, the policies that pages decide too, for the event that says they did.
    """

    wheres: Sequence[Source]
    keys: Sequence[Source]
    values: Sequence[Source]
    reads: Reads
    fields: tuple[str, ...] | None
    features: Sequence[FeatureUse]
    patterns: Sequence[PatternUse]
    asks: Sequence[Ask]
    effect: Effect | None
    doubles: dict[str, Any] | None
    idle: bool
    take: Take | None = None
    told: Mapping[str, Program] | None = None


class _Shared:
    """Expressions in order of first use, each once."""

    def __init__(self) -> None:
        self.sources: dict[str | None, int] = {None: ALWAYS}

    def index(self, source: str | None) -> int:
        return self.sources.setdefault(source, len(self.sources))

    def texts(self) -> list[str]:
        return [source for source in self.sources if source is not None]


def concerns(match: Match, event_type: str) -> bool:
    """Whether events of that type can match."""
    if WILDCARD in match.types:
        return not event_type.startswith("forestall.")
    return event_type in match.types


def make_plan(
    event_type: str,
    slots: Mapping[Feature, int],
    programs: Collection[tuple[int, Program]],
    doubles: dict[str, Any] | None = None,
) -> Plan:
    """The plan of ``event_type`` among the features and programs in force, by slot."""
    wheres, keys, values = _Shared(), _Shared(), _Shared()
    feature_uses = [
        FeatureUse(
            place_of(feature, slot),
            feature,
            wheres.index(feature.match.where),
            keys.index(feature.by),
            values.index(feature.value),
        )
        for feature, slot in slots.items()
        if concerns(feature.match, event_type)
    ]
    pattern_uses, asks, asked = [], list[Ask](), dict[tuple[object, ...], int]()
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
            ask = ask_of(program, slots)
            read = tuple((one.name, one.place.slot) for one in ask.features)
            same = (program.policy.condition, *read)
            if asked.setdefault(same, len(asks)) == len(asks):
                asks.append(ask)
            pattern_uses.append(
                PatternUse(
                    slot,
                    program,
                    advance_of(pattern),
                    keys.index(pattern.by),
                    positives,
                    gaps,
                    trailing,
                    len(pattern.positives) - 1,
                    asked[same],
                )
            )
    texts = [*wheres.texts(), *keys.texts(), *values.texts()]
    paths = {path for text in texts for path in event_reads(text)}
    effect = EFFECTS.get(event_type)
    idle = not feature_uses and not pattern_uses
    return Plan(
        _sources(wheres),
        _sources(keys),
        _sources(values),
        reads_of(paths),
        fields_of(paths),
        feature_uses,
        pattern_uses,
        asks,
        effect,
        doubles,
        idle and effect is None,
        told=_decided_on_pages(programs) if event_type == edge.DECIDED else None,
    )


def _decided_on_pages(programs: Iterable[tuple[int, Program]]) -> dict[str, Program]:
    return {one.policy.name: one for _, one in programs if one.policy.edge and one.mode != "shadow"}


def _sources(shared: _Shared) -> list[Source]:
    return [(text, event_expression(text)) for text in shared.texts()]


def ask_of(program: Program, slots: Mapping[Feature, int]) -> Ask:
    """What a program asks before it becomes a candidate."""
    features = features_of(program, slots, program.reads)
    keys = [event_reads(one.feature.by) for one in features if one.feature.by is not None]
    source = program.policy.condition
    return Ask(program.condition, source, reads_of(program.paths.union(*keys)), features)


def features_of(
    program: Program, slots: Mapping[Feature, int], names: Collection[str]
) -> tuple[FeatureRead, ...]:
    """Those of a program's features that have one of the ``names``; slot 0 is nobody's."""
    return tuple(
        FeatureRead(name, feature, place_of(feature, slots.get(feature, 0)))
        for name, feature in program.features
        if name in names
    )


@lru_cache(maxsize=65_536)
def place_of(feature: Feature, slot: int) -> Place:
    """Where a feature's state lies, and how it is added to and read."""
    return Place(feature.kind, slot, feature.over)


def reads_of(paths: Collection[Path]) -> Reads:
    """What expressions that read these paths look at."""
    event = [path for path in paths if path[0] == "event"]
    return Reads(
        event=any(path[1:2] != ("data",) for path in event),
        data=any(path[1:2] in ((), ("data",)) for path in event),
        now=any(path[0] == "now" for path in paths),
    )


def fields_of(paths: Collection[Path]) -> tuple[str, ...] | None:
    """The fields of the data that these paths begin with; none where one takes it as a whole."""
    inside = [path for path in paths if path[0] == "event" and path[1:2] in ((), ("data",))]
    if any(len(path) < 3 for path in inside):
        return None
    return tuple(sorted({path[2] for path in inside}))


def key_text(value: Any) -> str | None:
    """A key as compact JSON, sorted, numbers shortest; none for null."""
    if value is None:
        return None
    if value.__class__ is str:
        return text_key(value)
    value = _shortest(to_json(value))
    return msgspec.json.encode(value, order="deterministic").decode()


@lru_cache(maxsize=65_536)
def text_key(value: str) -> str:
    """The key of a text."""
    return msgspec.json.encode(value).decode()


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
