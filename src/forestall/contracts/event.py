"""Events: CloudEvents 1.0 at the rim, compact records in the log.

A history file and a structured-mode request carry ``CloudEvent``; the log and the engine carry
``Record``, whose times are integers and whose ``data`` stays undecoded until a policy needs it.
"""

import json
from typing import Any, Literal

import msgspec

Origin = Literal["browser", "server"]

EMPTY_DATA = msgspec.Raw(b"{}")


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event in CloudEvents 1.0 JSON form, with Forestall's extension attributes.

    ``received`` (RFC 3339) is the moment the log took it, present in histories only; ``origin``
    is the class of the key that sent it; ``anonymousid`` the id of a visitor not yet signed in.
    Unknown attributes are ignored. ``data`` is kept as JSON text.
    """

    id: str
    source: str
    type: str
    specversion: str = "1.0"
    subject: str | None = None
    time: str | None = None
    received: str | None = None
    origin: Origin | None = None
    anonymousid: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    traceparent: str | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One accepted event as the log keeps it: ``subject`` is a pseudonym, times are microseconds.

    ``time`` is what the sender said, ``received`` when the log took it.
    ``data`` is JSON text of an object.
    """

    id: str
    source: str
    type: str
    subject: str
    time: int
    received: int
    origin: Origin = "server"
    data: msgspec.Raw = EMPTY_DATA
    traceparent: str | None = None


def decode_data(raw: msgspec.Raw) -> Any:
    """The value in ``raw``, which is JSON text; null, and what cannot be read, become ``{}``.

    Numbers beyond what a double holds become infinities.
    """
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = _leniently(bytes(raw))
    return {} if value is None else value


def _leniently(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
