"""Segment's HTTP tracking API, which RudderStack speaks too.

<https://segment.com/docs/connections/spec/common/>. How calls become events is documented in
``docs/reference/segment.md``. Everything under ``context`` is dropped, but for the traits of an
identify call, which RudderStack's libraries put there.
"""

from typing import Any

import msgspec

from forestall.contracts.event import CloudEvent
from forestall.contracts.instants import format_time, parse_time
from forestall.contracts.naming import CONTROL, event_type, url_path
from forestall.ingest.letter import Letter, Refused, misshapen, not_json, too_deep

CALLS = {
    "track": "track",
    "t": "track",
    "identify": "identify",
    "i": "identify",
    "page": "page",
    "p": "page",
    "screen": "screen",
    "s": "screen",
    "group": "group",
    "g": "group",
    "alias": "alias",
    "a": "alias",
}
"""Paths under ``/v1/`` that carry one message, with the short forms that analytics.js uses."""

BATCHES = ("batch", "import", "b")
"""Paths under ``/v1/`` that carry many."""

_ID = str | int | float | None


class Message(msgspec.Struct, rename="camel"):
    """One message of the tracking API. Attributes that we do not use are ignored."""

    type: str | None = None
    message_id: str | None = None
    user_id: _ID = None
    anonymous_id: _ID = None
    previous_id: _ID = None
    group_id: _ID = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    timestamp: str | None = None
    original_timestamp: str | None = None
    sent_at: str | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: msgspec.Raw = msgspec.Raw(b"null")


class Batch(msgspec.Struct, rename="camel"):
    """The body of ``/v1/batch``, or of one call: then it has no ``batch``."""

    batch: list[msgspec.Raw] | None = None
    sent_at: str | None = None
    write_key: str | None = None


class _Context(msgspec.Struct):
    traits: dict[str, Any] | None = None


_context = msgspec.json.Decoder(_Context | None)
_message = msgspec.json.Decoder(Message)


def read(letter: Letter) -> CloudEvent:
    """The event that a message stands for. Raises ``Refused``."""
    try:
        return _event(_message.decode(letter.raw), letter)
    except msgspec.ValidationError as error:
        raise misshapen(error) from None
    except RecursionError:
        raise too_deep("") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_json("", error, letter.raw) from None


def _event(message: Message, letter: Letter) -> CloudEvent:
    call = letter.kind or message.type
    if call is None or call not in _SHAPES:
        raise Refused("invalid-envelope", "/type", f"{call!r} is no call of the tracking API")
    if not message.message_id:
        raise Refused("invalid-envelope", "/messageId", "a message needs a messageId")
    type_, data = _SHAPES[call](message)
    return CloudEvent(
        id=message.message_id,
        source=f"segment:{letter.sender.name}",
        type=type_,
        subject=_text(message.user_id),
        anonymousid=_text(message.previous_id if call == "alias" else message.anonymous_id),
        time=_time(message, letter),
        traceparent=letter.traceparent,
        data=msgspec.Raw(msgspec.json.encode(data)),
    )


def _track(message: Message) -> tuple[str, dict[str, Any]]:
    name = event_type(message.event or "")
    if not name:
        raise Refused("invalid-envelope", "/event", "a track call needs the name of its event")
    if (message.event or "").startswith(CONTROL):
        name = message.event or ""
    return name, message.properties or {}


def _identify(message: Message) -> tuple[str, dict[str, Any]]:
    traits = message.traits
    if traits is None:
        context = _context.decode(message.context)
        traits = context.traits if context else None
    return "forestall.identify", {"traits": traits or {}}


def _view(type_: str, message: Message) -> tuple[str, dict[str, Any]]:
    properties = message.properties or {}
    given = properties.get("path") or properties.get("url")
    data = {
        "name": message.name or properties.get("name"),
        "category": message.category or properties.get("category"),
        "path": url_path(given) if isinstance(given, str) else None,
    }
    return type_, {key: value for key, value in data.items() if value is not None}


def _group(message: Message) -> tuple[str, dict[str, Any]]:
    group = _text(message.group_id)
    if group is None:
        raise Refused("invalid-envelope", "/groupId", "a group call needs a groupId")
    return "group.joined", {"group": group, "traits": message.traits or {}}


def _alias(message: Message) -> tuple[str, dict[str, Any]]:
    if _text(message.previous_id) is None or _text(message.user_id) is None:
        raise Refused("invalid-envelope", "", "an alias call needs previousId and userId")
    return "forestall.identify", {"traits": {}}


_SHAPES = {
    "track": _track,
    "identify": _identify,
    "page": lambda message: _view("page.viewed", message),
    "screen": lambda message: _view("screen.viewed", message),
    "group": _group,
    "alias": _alias,
}


def _text(value: _ID) -> str | None:
    """An id as text; libraries also send numbers, and empty text for none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None or value == "" else str(value)


def _time(message: Message, letter: Letter) -> str | None:
    """When it happened by our clock, ``arrived - (sentAt - timestamp)``, as Segment corrects it."""
    given = message.original_timestamp or message.timestamp
    sent = message.sent_at or letter.sent
    if given is None or sent is None:
        return given
    try:
        return format_time(letter.arrived - (parse_time(sent) - parse_time(given)))
    except (ValueError, OverflowError):
        return given
