"""From a body to its single events, still unread, so that a bad one cannot spoil the others."""

import re
from collections.abc import Mapping

import msgspec

from forestall.ingest.exchange import Refuse
from forestall.ingest.letter import misread
from forestall.ingest.sources import cloudevents
from forestall.ingest.sources.segment import Batch

_any = msgspec.json.Decoder(msgspec.Raw)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_segment = msgspec.json.Decoder(Batch)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{},"]', re.DOTALL)


def is_batch(body: bytes, media_type: str, headers: Mapping[str, str]) -> bool:
    """Whether a ``/v1/events`` request says it is a list of events."""
    if media_type != "application/cloudevents-batch+json":
        if media_type != "application/json" or body[:1] != b"[":
            return False
        return not any(name.startswith("ce-") for name in headers)
    return True


def count(body: bytes) -> int:
    """How many events a batch holds. Raises ``Refuse``."""
    try:
        return len(_list.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return len(_elements(body))


def events(body: bytes, media_type: str, headers: Mapping[str, str]) -> list[bytes]:
    """The events of a ``/v1/events`` request. Raises ``Refuse`` where there is no telling."""
    if media_type == "application/cloudevents-batch+json":
        return _elements(body)
    if media_type == "application/cloudevents+json":
        return [_whole(body)]
    if media_type not in ("application/json", "", "text/plain") and not media_type.endswith(
        "+json"
    ):
        raise Refuse(
            415,
            "unknown-media-type",
            f"{media_type!r} is not taken; send application/cloudevents+json,"
            " application/cloudevents-batch+json or application/json",
        )
    if any(name.startswith("ce-") for name in headers):
        whole = cloudevents.from_headers(headers, _whole(body) if body else b"")
        return [whole or b"{}"]
    return _elements(body) if body.lstrip()[:1] == b"[" else [_whole(body)]


def calls(body: bytes, *, batched: bool) -> tuple[list[bytes], Batch]:
    """The messages of a Segment request, and what stands about them. Raises ``Refuse``."""
    whole = _whole(body)
    try:
        envelope = _segment.decode(whole)
    except RecursionError:
        return _deep_calls(whole, batched=batched)
    except msgspec.ValidationError as error:
        raise Refuse(400, "invalid-envelope", str(error)) from None
    except UnicodeDecodeError as error:
        raise _not_json(error, body) from None
    if not batched:
        return [whole], envelope
    if envelope.batch is None:
        raise Refuse(400, "invalid-envelope", "the body needs a list named batch")
    return [bytes(message) for message in envelope.batch], envelope


def _deep_calls(body: bytes, *, batched: bool) -> tuple[list[bytes], Batch]:
    if not batched:
        return [body], Batch()
    members = [member.partition(b":") for member in _cut(body)]
    found = {name.strip(): value.strip() for name, _, value in members}
    about = b",".join(
        name + b":" + found[name] for name in (b'"sentAt"', b'"writeKey"') if name in found
    )
    messages = found.get(b'"batch"', b"")
    if not messages.startswith(b"["):
        raise Refuse(400, "invalid-envelope", "the body needs a list named batch")
    try:
        return _cut(messages), _segment.decode(b"{" + about + b"}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(error, body) from None


def _whole(body: bytes) -> bytes:
    try:
        _any.decode(body)
    except RecursionError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_json(error, body) from None
    return body


def _elements(body: bytes) -> list[bytes]:
    try:
        return [bytes(one) for one in _list.decode(body)]
    except RecursionError:
        return _cut(body)
    except msgspec.ValidationError:
        raise Refuse(400, "invalid-envelope", "a batch is a list of events") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _not_json(error, body) from None


def _not_json(error: Exception, body: bytes) -> Refuse:
    return Refuse(400, "invalid-json", f"the body is not JSON: {misread(error, body)}")


def _cut(body: bytes) -> list[bytes]:
    """What a list or object nested too deep for the parser holds, cut at its own commas."""
    found, depth, start = [], 0, len(body) - len(body.lstrip()) + 1
    for match in _TOKEN.finditer(body):
        token = match.group()
        if token == b'"':
            break
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
        if (token == b"," and depth == 1) or depth == 0:
            found.append(body[start : match.start()].strip())
            start = match.end()
        if depth == 0:
            break
    if depth:
        raise Refuse(400, "invalid-json", "the body is not JSON: it is cut off")
    return [element for element in found if element]
