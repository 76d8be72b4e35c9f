"""What passes every check beyond doubt, seen at a fraction of their cost. Pure.

``admit.CHECKS`` say what holds. This file only recognises that all of them would pass for a plain
CloudEvent of a batch, and then gives the same ``Admitted``; what it is not sure of, it leaves to
them. The property tests hold the two together.
"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec

from forestall.contracts.catalogue import Contract
from forestall.contracts.event import EMPTY_DATA, CloudEvent, Origin
from forestall.contracts.instants import parse_time
from forestall.contracts.shape import Shape
from forestall.ingest.admit import (
    EARLIEST,
    LARGEST,
    LATEST_AHEAD,
    LONGEST_ID,
    Arrival,
    Rules,
    allowed_origin,
    known_type,
    named,
)
from forestall.ingest.fitting import reader_of as fitting_reader
from forestall.ingest.letter import CONTROL, Admitted, Letter, Refused, Sender
from forestall.kernel.telemetry import parse_traceparent

MOST_PLANS = 2_000
"""Types remembered for a sender; without a catalogue senders choose them."""

_Named = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID)]
_Id = Annotated[str, msgspec.Meta(max_length=LONGEST_ID)]
_NOTHING: dict[str, Any] = {}


class Sight(msgspec.Struct, gc=False):
    """A ``CloudEvent`` within narrower bounds."""

    id: _Named
    source: _Named
    type: str
    specversion: Literal["1.0"] = "1.0"
    subject: _Id | None = None
    time: str | None = None
    received: str | None = None
    origin: Origin | None = None
    anonymousid: _Id | None = None
    datacontenttype: Literal["application/json"] | None = None
    dataschema: str | None = None
    traceparent: str | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_sights = msgspec.json.Decoder(list[Sight])
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_Integer = Annotated[int, msgspec.Meta(ge=-LARGEST - 1, le=LARGEST)]
_Scalar = str | _Integer | float | bool | None
_Flat = _Scalar | list[_Scalar] | dict[str, _Scalar]
_Shallow = _Scalar | list[_Flat] | dict[str, _Flat]
_data = msgspec.json.Decoder(dict[str, _Scalar | list[_Shallow] | dict[str, _Shallow]] | None)
"""Data of four levels; deeper ones are counted by the checks."""

_encode = msgspec.json.Encoder().encode


class Plan(msgspec.Struct, frozen=True):
    """What is left to look at for a type that the sender may send: whether its data fits
    ``contract``, and what of it is kept, which ``kept`` reads where the contract is plain enough.
    ``fitting`` does both at once for a plainer one still."""

    contract: Contract | None
    fits: Callable[[Any], bool]
    kept: Callable[[bytes], Any] | None
    fitting: Callable[[bytes], Any] | None = None


_UNMADE = Plan(None, bool, None)


def read(body: bytes, rules: Rules) -> list[Sight] | None:
    """The events of a batch, or none where any of them needs a closer look.

    A NUL shows in the text already.
    """
    if b"\\" in body and b"\\u0000" in body:
        return None
    try:
        if len(body) > rules.max_event_bytes:
            pieces = _raws.decode(body)
            if any(len(memoryview(piece)) > rules.max_event_bytes for piece in pieces):
                return None
        return _sights.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def may_be_control(body: bytes) -> bool:
    """Whether a control event may be among the events in ``body``; an escape may hide its type."""
    return b"\\" in body or CONTROL.encode() in body


class Glance:
    """Looks at sights by ``rules``, and remembers what holds for every event of a type."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._plans: dict[Sender, dict[tuple[str, str | None], Plan | None]] = {}

    def admit(
        self,
        sights: Sequence[Sight],
        sender: Sender,
        arrived: int,
        traceparent: str | None,
        *,
        printable: bool = False,
    ) -> list[Admitted | None]:
        """For each event what ``admit.admit`` makes of it, or none where that has to say.

        ``printable`` says that every text in them can be printed.
        """
        plans = self._plans.setdefault(sender, {})
        latest = arrived + LATEST_AHEAD
        outer = traceparent if parse_traceparent(traceparent) else None
        internal, origin = sender.internal, sender.origin
        found: list[Admitted | None] = []
        for sight in sights:
            key = (sight.type, sight.dataschema)
            plan = plans.get(key, _UNMADE)
            if plan is _UNMADE:
                if len(plans) >= MOST_PLANS:
                    plans.clear()
                plan = plans[key] = self._plan(sender, sight.type, sight.dataschema)
            data = None if plan is None else self._kept(sight, plan)
            time = None if data is None or sight.time is None else _time(sight.time, latest)
            if data is None or time == -1 or not _named(sight, internal, printable):
                found.append(None)
                continue
            trace = sight.traceparent
            found.append(
                Admitted(
                    sight.id,
                    sight.source,
                    sight.type,
                    None if internal else sight.subject or None,
                    None if internal else sight.anonymousid or None,
                    sight.subject if internal else None,
                    time,
                    origin,
                    data,
                    _NOTHING,
                    _NOTHING,
                    (trace if parse_traceparent(trace) else None) if trace else outer,
                    False,
                )
            )
        return found

    def _plan(self, sender: Sender, type_: str, dataschema: str | None) -> Plan | None:
        """What the checks of the type itself leave to look at; none where they refuse it, and for
        control events, whose data is heeded here and now."""
        if type_.startswith(CONTROL):
            return None
        event = CloudEvent(id="i", source="s", type=type_, subject="u", dataschema=dataschema)
        arrival = Arrival(Letter(b"", sender, 0), event)
        try:
            for check in (named, known_type, allowed_origin):
                arrival = check(arrival, self._rules)
        except Refused:
            return None
        contract = arrival.contract
        if contract is None:
            return Plan(None, bool, None)
        kept, fitting = reader_of(contract.shape), fitting_reader(contract.schema)
        return Plan(contract, contract.fits, kept, fitting)

    def _kept(self, sight: Sight, plan: Plan) -> msgspec.Raw | None:
        """What may be kept of its data, none where that does not pass. It is encoded at once, while
        it lies in the cache: as objects, those of all that waits would not."""
        raw, contract = sight.data, plan.contract
        if raw is msgspec.UNSET:
            if sight.data_base64 is not msgspec.UNSET:
                return None
            raw = EMPTY_DATA
        if plan.fitting is not None:
            try:
                return msgspec.Raw(_encode(plan.fitting(raw)))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
        try:
            data: Any = _data.decode(raw) or {}
            if contract is not None:
                if not plan.fits(data):
                    return None
                if plan.kept is not None and data:
                    data = plan.kept(raw)
                else:
                    data = contract.minimise(data, self._rules.tokenise)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return msgspec.Raw(_encode(data))


def printable(body: bytes) -> bool:
    """Whether every text in a batch can be printed, beyond doubt: plain ASCII, with no escape."""
    return body.isascii() and b"\\" not in body and b"\x7f" not in body


def _named(sight: Sight, internal: bool, printable: bool) -> bool:
    """Whether somebody is named, and every name can be printed."""
    subject = sight.subject
    if printable:
        return bool(subject or (sight.anonymousid and not internal))
    subject, visitor = subject or "", sight.anonymousid or ""
    whose = subject or (visitor and not internal)
    return bool(whose) and f"{sight.id}{sight.source}{subject}{visitor}".isprintable()


def _time(text: str, latest: int) -> int:
    """Its time, -1 where that does not pass."""
    try:
        time = parse_time(text)
    except (ValueError, OverflowError):
        return -1
    return time if EARLIEST <= time <= latest else -1


def reader_of(shape: Shape) -> Callable[[bytes], Any] | None:
    """Reads, of data that fits its contract, just what ``shape`` keeps, as a Struct; refuses what
    it cannot keep exactly as ``minimise`` would. None for shapes with tokens and free keys."""
    try:
        return msgspec.json.Decoder(_kept_type(shape, "Kept")).decode
    except (_Unusual, ValueError):
        return None


class _Unusual(Exception):
    """A shape that only ``minimise`` follows."""


_SCALARS = {"string": str, "integer": int, "number": float, "boolean": bool, "null": None}


def _kept_type(shape: Shape, name: str) -> Any:
    """The Struct that stands for an object of ``shape``."""
    if shape.rest is not None or shape.privacy == "tokenise":
        raise _Unusual
    kept = [(key, child) for key, child in shape.properties.items() if child.privacy != "drop"]
    fields = [
        (f"f{index}", _value_type(child, f"{name}{index}") | msgspec.UnsetType, msgspec.UNSET)
        for index, (_, child) in enumerate(kept)
    ]
    names = {f"f{index}": key for index, (key, _) in enumerate(kept)}
    return msgspec.defstruct(name, fields, rename=names, gc=False)


def _value_type(shape: Shape, name: str) -> Any:
    """What stands for any value of ``shape``; where it names no types, those without parts."""
    if shape.privacy == "tokenise":
        raise _Unusual
    kinds = set(shape.types or _SCALARS)
    if not shape.types:
        kinds |= {"object"} if shape.properties else set()
    elif "number" in kinds:
        kinds.discard("integer")
    parts: list[Any] = [_SCALARS[kind] for kind in kinds & _SCALARS.keys()]
    if "object" in kinds:
        parts.append(_kept_type(shape, name))
    if "array" in kinds:
        items = shape.items or Shape()
        if items.privacy == "drop":
            raise _Unusual
        parts.append(list[_value_type(items, f"{name}i")])  # type: ignore[misc]
    return functools.reduce(operator.or_, parts)
