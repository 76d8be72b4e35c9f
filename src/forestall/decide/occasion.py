"""An event being decided: what its conditions see, made when first asked for. Pure."""

import math
import sys
from typing import Any

import msgspec

from forestall.contracts.event import Record, decode_data
from forestall.policy.language.cel import Timestamp

Ref = tuple[str, str]
"""``(source, id)`` of an event."""


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """An event that armed a timer, with what was true of its subject when it arrived at ``at``.

    ``event`` is what conditions see: id, type, source, time, origin, data.
    """

    event: dict[str, Any]
    traits: dict[str, Any]
    at: int
    traceparent: str | None


class Occasion(msgspec.Struct, gc=False):
    """An event being decided: its time after the cut to ``received``, its effective time ``at``,
    its ``serial`` among its subject's events, and the subject's traits then.

    ``doubles`` names the integers of its data that are doubles; ``asks`` answer each ``if``
    of its type, and what is ``asked`` about it is answered once.
    """

    record: Record
    time: int
    at: int
    serial: int
    traits: dict[str, Any]
    doubles: dict[str, Any] | None
    read: Any = msgspec.UNSET
    subject: Any = None
    asks: Any = ()
    asked: dict[int, bool] | None = None

    def data(self) -> Any:
        """The event's data, decoded when first asked for."""
        if self.read is msgspec.UNSET:
            data = decode_data(self.record.data)
            self.read = with_doubles(data, self.doubles) if self.doubles else data
        return self.read

    def event(self) -> dict[str, Any]:
        """All that conditions see as ``event``."""
        return binding(self.record, self.time, self.data())

    def ref(self) -> Ref:
        """What names the event among its subject's."""
        return sys.intern(self.record.source), self.record.id

    def moment(self) -> Moment:
        """What has to be remembered of it until a timer fires."""
        return Moment(self.event(), self.traits, self.at, self.record.traceparent)


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
