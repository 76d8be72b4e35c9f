"""An engine's state as bytes and back: MessagePack, with CEL's own values and arrays of numbers as
extensions, and so integers beyond 64 bits. Pure."""

from array import array
from typing import Any

import msgspec

from forestall.decide.state import State, Subject
from forestall.policy.language.cel import Duration, Timestamp

_KINDS = (Timestamp, Duration)
_WIDTH = 16
_ARRAY = 16
_CODES = "qd"
_LARGE = 32


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
    return _subjects.decode(data)


def deadline(data: bytes) -> int:
    """The deadline of a packed subject."""
    return _heads.decode(data).deadline


def _encode(value: State | Subject) -> bytes:
    try:
        return _encoder.encode(value)
    except OverflowError:
        return _encoder.encode(_extended(value))


def _extended(value: Any) -> Any:
    """``value`` with the integers in it that are beyond 64 bits as extensions."""
    match value:
        case int():
            fits = -(2**63) <= value < 2**63
            return value if fits else msgspec.msgpack.Ext(_LARGE, b"%d" % value)
        case dict():
            return {key: _extended(one) for key, one in value.items()}
        case list() | tuple():
            return [_extended(one) for one in value]
        case msgspec.Struct():
            fields = value.__struct_fields__
            return type(value)(**{name: _extended(getattr(value, name)) for name in fields})
    return value


def _to_extension(value: Any) -> msgspec.msgpack.Ext:
    if type(value) is array:
        return msgspec.msgpack.Ext(_ARRAY + _CODES.index(value.typecode), value.tobytes())
    if not isinstance(value, _KINDS):
        raise NotImplementedError(f"a {type(value).__name__} cannot be remembered")
    nanos = value.nanos.to_bytes(_WIDTH, "big", signed=True)
    return msgspec.msgpack.Ext(_KINDS.index(type(value)), nanos)


def _from_extension(code: int, data: memoryview) -> Any:
    if code == _LARGE:
        return int(bytes(data))
    if code >= _ARRAY:
        return array(_CODES[code - _ARRAY], bytes(data))
    return _KINDS[code](int.from_bytes(data, "big", signed=True))


_encoder = msgspec.msgpack.Encoder(enc_hook=_to_extension)
_decoder = msgspec.msgpack.Decoder(State, ext_hook=_from_extension)
_subjects = msgspec.msgpack.Decoder(Subject, ext_hook=_from_extension)
_heads = msgspec.msgpack.Decoder(_Head)
