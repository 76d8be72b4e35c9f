"""Features, each computed from the whole history every time."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

from forestall.policy.language.model import Feature
from reference.expressions import Failed, equal, evaluate, is_number
from reference.history import Seen
from reference.matching import fits, key_of

REMEMBERED = 10_000
KEYS = 64
ARITHMETIC = ("sum", "avg", "min", "max", "p50", "p90", "p95", "p99")
MILLION = 1_000_000


class Entry(NamedTuple):
    """What a feature remembers of one event."""

    t: int
    key: str | None
    value: Any


def entry(feature: Feature, event: Seen) -> Entry | None:
    """What ``feature`` takes from ``event``, evaluated with the traits of its moment."""
    if not fits(feature.match, event):
        return None
    key = key_of(feature.by, event) if feature.by else None
    if feature.by and key is None:
        return None
    if feature.value is None:
        return Entry(event.t, key, None)
    try:
        value = evaluate(feature.value, event.names)
    except Failed:
        return None
    if feature.kind in ARITHMETIC and not is_number(value):
        return None
    if value is None or (feature.kind == "distinct" and isinstance(value, list | dict)):
        return None
    return Entry(event.t, key, value)


def remembered(feature: Feature, events: Sequence[Seen]) -> list[Entry]:
    """The entries left after the caps of keys and of events."""
    kept: list[Entry] = []
    silent_longest_first: dict[str | None, None] = {}
    for event in events:
        found = entry(feature, event)
        if found is None:
            continue
        kept.append(found)
        silent_longest_first.pop(found.key, None)
        silent_longest_first[found.key] = None
        if len(silent_longest_first) > KEYS:
            dropped = next(iter(silent_longest_first))
            del silent_longest_first[dropped]
            kept = [other for other in kept if other.key != dropped]
        del kept[:-REMEMBERED]
    return kept


def value_at(feature: Feature, events: Sequence[Seen], now: int, deciding: Seen) -> Any:
    """The feature's value at ``now`` for the event being decided."""
    key = key_of(feature.by, deciding) if feature.by else None
    entries = [
        found
        for found in remembered(feature, events)
        if (feature.by is None or (key is not None and found.key == key))
        and (feature.over is None or now - feature.over < found.t <= now)
    ]
    values = [found.value for found in entries]
    if feature.kind == "count":
        return len(entries)
    if feature.kind == "distinct":
        return sum(
            not any(equal(value, other) for other in values[:index])
            for index, value in enumerate(values)
        )
    if feature.kind == "sum":
        return float(exact_sum(values))
    if not entries:
        return None
    if feature.kind == "since":
        return float(Fraction(now - entries[-1].t, MILLION))
    if feature.kind == "avg":
        return float(exact_sum(values) / len(values))
    if feature.kind in ("first", "last"):
        return values[0 if feature.kind == "first" else -1]
    if feature.kind in ("min", "max"):
        return min(values) if feature.kind == "min" else max(values)
    share = Fraction(int(feature.kind[1:]), 100)
    return float(sorted(values)[ceil(share * len(values)) - 1])


def exact_sum(values: list[Any]) -> Fraction:
    """Each value rounded half-even to a multiple of 10^-6, then added exactly."""
    return Fraction(sum(round(Fraction(value) * MILLION) for value in values), MILLION)
