"""An engine's state as bytes and back: MessagePack, with CEL's own values as extensions. Pure."""

from typing import Any

import msgspec

from forestall.decide.state import State
from forestall.policy.language.cel import Duration, Timestamp

_KINDS = (Timestamp, Duration)
_WIDTH = 16


def encode_state(state: State) -> bytes:
    """The bytes of ``state``."""
    return _encoder.encode(state)


def decode_state(data: bytes) -> State:
    """The state that ``encode_state`` wrote. Raises ``msgspec.DecodeError`` on anything else."""
    return _decoder.decode(data)


def _to_extension(value: Any) -> msgspec.msgpack.Ext:
    if not isinstance(value, _KINDS):
        raise NotImplementedError(f"a {type(value).__name__} cannot be remembered")
    nanos = value.nanos.to_bytes(_WIDTH, "big", signed=True)
    return msgspec.msgpack.Ext(_KINDS.index(type(value)), nanos)


def _from_extension(code: int, data: memoryview) -> Any:
    return _KINDS[code](int.from_bytes(data, "big", signed=True))


_encoder = msgspec.msgpack.Encoder(enc_hook=_to_extension)
_decoder = msgspec.msgpack.Decoder(State, ext_hook=_from_extension)
