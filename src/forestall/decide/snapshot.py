"""An engine's state as bytes and back: MessagePack, with CEL's own values and arrays of numbers as
extensions, and so integers beyond 64 bits. Pure."""

from array import array
from typing import Any

import msgspec

from forestall.context import core
from forestall.context.core import Ids, Keyed, Window, restored
from forestall.decide.state import AtRest, State, Subject
from forestall.policy.language.cel import CelType, Duration, Timestamp, Uint
from forestall.policy.language.cel.values import FALSE_KEY, TRUE_KEY, BoolKey

_HELD = frozenset((Window, Ids, Keyed, core.Subject))
_KINDS = (Timestamp, Duration)
_WIDTH = 16
_ARRAY = 16
_CODES = "qd"
_LARGE, _UINT, _TYPE, _BOOL_KEY, _PAIRS = range(32, 37)


class _Head(msgspec.Struct, array_like=True):
    deadline: int


def encode_state(state: State) -> bytes:
    """The bytes of ``state``."""
    return _encode(state)


def decode_state(data: bytes) -> State:
    """The state that ``encode_state`` wrote. Raises ``msgspec.DecodeError`` on anything else."""
    return _decoder.decode(data)


def pack(subject: Subject) -> bytes:
    """The bytes of one subject."""
    return _encode(subject)


def unpack(data: bytes) -> Subject:
    """The subject that ``pack`` wrote. Raises ``msgspec.DecodeError`` on anything else."""
    rest = _subjects.decode(data)
    features = rest.features
    for slot, content in features.items():
        features[slot] = restored(content)
    return Subject(
        rest.deadline,
        rest.clock,
        rest.serial,
        Ids.restored(rest.ids),
        features,
        rest.patterns,
        rest.ledger,
        rest.shadow,
        rest.generation,
        rest.epoch,
    )


def deadline(data: bytes) -> int:
    """The deadline of a packed subject."""
    return _heads.decode(data).deadline


def _encode(value: State | Subject) -> bytes:
    try:
        return _encoder.encode(value)
    except (OverflowError, TypeError):
        return _encoder.encode(_extended(value))


def _extended(value: Any) -> Any:
    """``value`` with what MessagePack lacks as extensions: integers beyond 64 bits, odd keys."""
    match value:
        case Uint():
            return value
        case int():
            fits = -(2**63) <= value < 2**63
            return value if fits else msgspec.msgpack.Ext(_LARGE, b"%d" % value)
        case dict() if all(key.__class__ in (str, int) for key in value):
            return {key: _extended(one) for key, one in value.items()}
        case dict():
            pairs = [[_extended(key), _extended(one)] for key, one in value.items()]
            return msgspec.msgpack.Ext(_PAIRS, _encoder.encode(pairs))
        case list() | tuple():
            return [_extended(one) for one in value]
        case _ if type(value) in _HELD:
            return _extended(value.content())
        case msgspec.Struct():
            fields = value.__struct_fields__
            return type(value)(**{name: _extended(getattr(value, name)) for name in fields})
    return value


def _to_extension(value: Any) -> Any:
    kind = type(value)
    if kind is array:
        code = _ARRAY if value.typecode == "q" else _ARRAY + 1
        return msgspec.msgpack.Ext(code, value.tobytes())
    if kind in _HELD:
        return value.content()
    if isinstance(value, Uint):
        return msgspec.msgpack.Ext(_UINT, b"%d" % value)
    if isinstance(value, CelType):
        return msgspec.msgpack.Ext(_TYPE, value.name.encode())
    if isinstance(value, BoolKey):
        return msgspec.msgpack.Ext(_BOOL_KEY, b"%d" % value.value)
    if not isinstance(value, _KINDS):
        raise NotImplementedError(f"a {type(value).__name__} cannot be remembered")
    nanos = value.nanos.to_bytes(_WIDTH, "big", signed=True)
    return msgspec.msgpack.Ext(_KINDS.index(type(value)), nanos)


def _from_extension(code: int, data: memoryview) -> Any:
    content = bytes(data)
    if code in (_LARGE, _UINT):
        return Uint(content) if code == _UINT else int(content)
    if code == _TYPE:
        return CelType(content.decode())
    if code == _BOOL_KEY:
        return TRUE_KEY if content == b"1" else FALSE_KEY
    if code == _PAIRS:
        return dict(_pairs.decode(content))
    if code >= _ARRAY:
        return array(_CODES[code - _ARRAY], content)
    return _KINDS[code](int.from_bytes(content, "big", signed=True))


_pairs = msgspec.msgpack.Decoder(list[tuple[Any, Any]], ext_hook=_from_extension)
_encoder = msgspec.msgpack.Encoder(enc_hook=_to_extension)
_decoder = msgspec.msgpack.Decoder(State, ext_hook=_from_extension)
_subjects = msgspec.msgpack.Decoder(AtRest, ext_hook=_from_extension)
_heads = msgspec.msgpack.Decoder(_Head)
