"""An engine's state as bytes and back: MessagePack, with CEL's own values as extensions. Pure."""

from typing import Any

import msgspec

from forestall.decide.state import State
from forestall.policy.language.cel import Duration, Timestamp

_TIMESTAMP, _DURATION = 1, 2
_WIDTH = 16


def encode_state(state: State) -> bytes:
    """The bytes of ``state``."""
    return _encoder.encode(state)


def decode_state(data: bytes) -> State:
    """The state that ``encode_state`` wrote. Raises ``msgspec.DecodeError`` on anything else."""
    return _decoder.decode(data)


def _to_extension(value: Any) -> msgspec.msgpack.Ext:
    match value:
        case Timestamp():
            return msgspec.msgpack.Ext(_TIMESTAMP, value.nanos.to_bytes(_WIDTH, "big", signed=True))
        case Duration():
            return msgspec.msgpack.Ext(_DURATION, value.nanos.to_bytes(_WIDTH, "big", signed=True))
    raise NotImplementedError(f"a {type(value).__name__} cannot be remembered")


def _from_extension(code: int, data: memoryview) -> Any:
    nanos = int.from_bytes(data, "big", signed=True)
    return Timestamp.of_nanos(nanos) if code == _TIMESTAMP else Duration(nanos)


_encoder = msgspec.msgpack.Encoder(enc_hook=_to_extension)
_decoder = msgspec.msgpack.Decoder(State, ext_hook=_from_extension)
