"""Data checks on streams: does each event type still come as it used to?

The last stretch of time (``pulse``) is compared with the stretches of the same length before it:

- *volume*: how many events;
- *nulls*: the share in which a declared field is missing or null;
- *new values*: a field with few values has one that never came before;
- *freshness*: the silence since the last event, against the longest in the reference.

Of all checks of a run together, one at which nothing changed raises an alarm with a chance of
``alpha`` at most (``surprise.surprising``), if stretches are alike apart from chance. An alarm names
the owner of the contract. One pass; memory is bounded by the contracts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from forestall.contracts.catalogue import Catalogue
from forestall.contracts.event import Record, decode_data
from forestall.contracts.instants import DAY, HOUR, MINUTE, SECOND, format_duration
from forestall.measure.surprise import surprising, unlike

ALPHA: Final = 0.01
STRETCHES: Final = 7
"""Earlier stretches that a comparison needs at least."""

LEAST: Final = 50
"""Events of a stretch below which nothing is said about its fields."""

VOLUME: Final = 0.5
"""By how much volume has to differ, as a part of what is usual, to be worth an alarm."""

NULLS: Final = 0.05
"""By how much the share of nulls has to differ."""

FEW: Final = 50
"""Different values that a field may have, in the reference, to be watched for new ones."""

GAPS: Final = 50
"""Events in the reference that freshness needs at least; silence may be twice the longest."""

OURS: Final = frozenset({("policy",), ("version",)})
"""Fields of our own events that get a new value whenever somebody promotes something."""

MOST_FIELDS: Final = 200
_LONGEST = 200

Check = Literal["volume", "nulls", "new-value", "freshness"]
_ABSENT = object()


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared, in microseconds of log time: the last ``length`` before ``now`` with up to
    ``earlier`` stretches before it."""

    now: int
    length: int = DAY
    earlier: int = 28

    def stretch(self, at: int) -> int | None:
        """0 for the last stretch, 1 for the one before it; none for what is older or later."""
        back = (self.now - at) // self.length
        return back if 0 <= back <= self.earlier else None


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check of one event type. ``text`` says what was found, ``chance`` is its p-value;
    ``matters`` tells whether the change is large enough to act on."""

    type: str
    owner: str
    check: Check
    field: str | None
    chance: float
    matters: bool
    alarm: bool
    text: str


class _Field:
    """One field: nulls by stretch, and its values while they are few (none when there are many)."""

    __slots__ = ("before", "new", "nulls", "seen")

    def __init__(self, stretches: int) -> None:
        self.nulls = [0] * stretches
        self.seen = 0
        self.before: set[str] | None = set()
        self.new: Counter[str] = Counter()

    def take(self, value: Any, stretch: int) -> None:
        if value is None or value is _ABSENT:
            self.nulls[stretch] += 1
            return
        if self.before is None or not isinstance(value, str | bool | int):
            return
        word = str(value)[:_LONGEST]
        if stretch:
            self.seen += 1
            self.before.add(word)
            if len(self.before) > FEW:
                self.before = None
        elif word not in self.before and (word in self.new or len(self.new) < FEW):
            self.new[word] += 1


class _Stream:
    """One event type."""

    __slots__ = ("counts", "fields", "last", "longest", "owner")

    def __init__(self, owner: str, fields: Iterable[tuple[str, ...]], stretches: int) -> None:
        self.owner = owner
        self.counts = [0] * stretches
        self.fields = {path: _Field(stretches) for path in fields}
        self.last: int | None = None
        self.longest = 0

    def take(self, record: Record, stretch: int) -> None:
        if self.last is not None and stretch:
            self.longest = max(self.longest, record.received - self.last)
        self.last = record.received
        self.counts[stretch] += 1
        if self.fields:
            data = decode_data(record.data)
            for path, field in self.fields.items():
                field.take(_at(data, path), stretch)


class Streams:
    """Takes events in log order, and says which of the contracts of ``catalogue`` to look at."""

    def __init__(self, catalogue: Catalogue, pulse: Pulse, alpha: float = ALPHA) -> None:
        self.pulse = pulse
        self.alpha = alpha
        self._first: int | None = None
        self._streams = {
            name: _Stream(contract.owner, _paths(contract.fields), pulse.earlier + 1)
            for name in catalogue.types
            if (contract := catalogue.contract(name)) is not None
        }

    def take(self, record: Record) -> None:
        """Take the next event."""
        if self._first is None:
            self._first = record.received
        stream = self._streams.get(record.type)
        stretch = self.pulse.stretch(record.received)
        if stream is not None and stretch is not None:
            stream.take(record, stretch)

    def result(self) -> tuple[Finding, ...]:
        """Every check that could be made, alarms first."""
        whole = self._whole()
        found = [
            one
            for name, stream in self._streams.items()
            for one in self._checks(name, stream, whole)
        ]
        chosen = surprising([one.chance for one in found], self.alpha)
        judged = [
            replace(one, alarm=yes and one.matters) for one, yes in zip(found, chosen, strict=True)
        ]
        return tuple(sorted(judged, key=lambda one: (not one.alarm, one.type, one.check)))

    def _whole(self) -> int:
        """How many of the earlier stretches the log covers from beginning to end."""
        if self._first is None:
            return 0
        return min((self.pulse.now - self._first) // self.pulse.length - 1, self.pulse.earlier)

    def _checks(self, name: str, stream: _Stream, whole: int) -> Iterator[Finding]:
        counts = stream.counts[1 : whole + 1]
        if whole < STRETCHES or not any(counts):
            return
        yield _volume(name, stream, counts)
        fresh = _freshness(name, stream, sum(counts), self.pulse.now)
        if fresh is not None:
            yield fresh
        for path, field in stream.fields.items():
            yield from _nulls(name, stream, ".".join(path), field.nulls, whole)
            if path not in OURS or not name.startswith("forestall."):
                yield from _new_values(name, stream, ".".join(path), field)


def _volume(name: str, stream: _Stream, counts: list[int]) -> Finding:
    now, usual = stream.counts[0], sum(counts) / len(counts)
    return Finding(
        type=name,
        owner=stream.owner,
        check="volume",
        field=None,
        chance=unlike(counts, now, usual),
        matters=abs(now - usual) >= VOLUME * usual,
        alarm=False,
        text=f"{now:,} events; {usual:,.1f} are usual",
    )


def _freshness(name: str, stream: _Stream, count: int, now: int) -> Finding | None:
    """Events that come at random are silent for twice the longest of n gaps with a chance of
    ``2 / ((n + 1) (n + 2))``; ``count`` events have one gap less."""
    if stream.last is None or count < GAPS:
        return None
    silence = now - stream.last
    long = silence > 2 * stream.longest
    return Finding(
        type=name,
        owner=stream.owner,
        check="freshness",
        field=None,
        chance=2 / (count * (count + 1)) if long else 1.0,
        matters=long,
        alarm=False,
        text=f"silent for {_span(silence)}; at most {_span(stream.longest)} before",
    )


def _nulls(
    name: str, stream: _Stream, field: str, nulls: list[int], whole: int
) -> Iterator[Finding]:
    shares = [
        nulls[back] / stream.counts[back]
        for back in range(1, whole + 1)
        if stream.counts[back] >= LEAST
    ]
    if stream.counts[0] < LEAST or len(shares) < STRETCHES:
        return
    now, usual = nulls[0] / stream.counts[0], sum(shares) / len(shares)
    pooled = (sum(nulls[: whole + 1]) + 1) / (sum(stream.counts[: whole + 1]) + 2)
    yield Finding(
        type=name,
        owner=stream.owner,
        check="nulls",
        field=field,
        chance=unlike(shares, now, pooled * (1 - pooled) / stream.counts[0]),
        matters=abs(now - usual) >= NULLS,
        alarm=False,
        text=f"{now:.1%} without {field}; {usual:.1%} are usual",
    )


def _new_values(name: str, stream: _Stream, field: str, known: _Field) -> Iterator[Finding]:
    """A value of which all ``times`` cases fall into the last stretch: if cases came in any order,
    with a chance of at most the stretch's share of them to the power of ``times``."""
    if known.before is None or not known.before or known.seen < LEAST:
        return
    now = stream.counts[0] - known.nulls[0]
    share = now / (known.seen + now) if now else 0.0
    for value, times in sorted(known.new.items()):
        yield Finding(
            type=name,
            owner=stream.owner,
            check="new-value",
            field=field,
            chance=min(1.0, share**times * FEW),
            matters=True,
            alarm=False,
            text=f"{field} was {value!r} {times:,} times, which it never was before",
        )


def _paths(fields: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The fields that can be watched: those of objects, and not what lies in lists or has any key."""
    paths = [
        tuple(path.split("."))
        for path, types in fields.items()
        if "[]" not in path and "*" not in path and types != "object"
    ]
    return paths[:MOST_FIELDS]


def _at(data: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(data, dict):
            return _ABSENT
        data = data.get(key, _ABSENT)
    return data


def _span(micros: int) -> str:
    unit = next((one for one in (DAY, HOUR, MINUTE) if micros >= 2 * one), SECOND)
    return format_duration(micros // unit * unit)
