"""One HTTP exchange on bare ASGI: a body within limits in, JSON or a problem out.

Errors are problem details after RFC 9457, with a ``code`` that never changes.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from forestall.ingest.letter import misread

T = TypeVar("T")
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

DRAINED = 32_000_000
"""Bytes of a body too large that are read and thrown away, so that the sender hears why."""

PATIENCE = 30.0
"""Seconds in which a body must have come."""

DOCS = "https://forestall.dev/problems/"

_encode = msgspec.json.Encoder().encode


class Refuse(Exception):
    """The whole request is refused; ``gateway`` answers with a problem."""

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status, self.code, self.detail = status, code, detail
        self.headers = dict(headers or {})
        super().__init__(f"{status} {code}: {detail}")


class Gone(Exception):
    """The client went away before it had sent everything."""


class Response(msgspec.Struct, frozen=True):
    """What to answer."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}


def json(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """``value`` as JSON."""
    return Response(status, _encode(value), headers=headers or {})


def read_json(body: bytes, shape: type[T]) -> T:
    """``body`` as ``shape``. Raises ``Refuse``."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        told = f"the body is not as it should be: {misread(error, body)}"
        raise Refuse(400, "invalid-json", told) from None


def problem(refuse: Refuse) -> Response:
    """RFC 9457 problem details. ``message`` repeats ``detail`` for Segment's libraries."""
    body = {
        "type": f"{DOCS}{refuse.code}",
        "title": HTTPStatus(refuse.status).phrase,
        "status": refuse.status,
        "detail": refuse.detail,
        "code": refuse.code,
        "message": refuse.detail,
    }
    return Response(refuse.status, _encode(body), "application/problem+json", refuse.headers)


def media_type(headers: Mapping[str, str]) -> str:
    """What the content type says, without its parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


class Request:
    """A request whose body is read only on demand and only within limits."""

    def __init__(self, scope: Scope, receive: Receive, patience: float = PATIENCE) -> None:
        self._receive = receive
        self._patience = patience
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        self.query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        self.media_type = media_type(self.headers)

    async def body(self, limit: int) -> bytes:
        """The body, unpacked. Raises ``Refuse``: 413 above ``limit`` bytes, packed or not, 408 when
        it takes too long, 415 or 400 where it cannot be unpacked; ``Gone`` where it never ends."""
        try:
            async with asyncio.timeout(self._patience):
                packed = await self._packed(limit)
        except TimeoutError:
            slow = f"the body did not come within {self._patience:.0f} seconds"
            raise Refuse(408, "body-timeout", slow, {"connection": "close"}) from None
        encoding = self.headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("identity", ""):
            return packed
        if encoding not in ("gzip", "x-gzip"):
            raise Refuse(
                415, "unknown-encoding", f"{encoding!r} is not taken; send gzip or nothing"
            )
        try:
            unpacker = zlib.decompressobj(wbits=31)
            plain = unpacker.decompress(packed, limit + 1)
        except zlib.error:
            raise Refuse(400, "invalid-gzip", "the body is not gzip, as its header says") from None
        if len(plain) > limit:
            raise _too_large(limit)
        if not unpacker.eof:
            raise Refuse(400, "invalid-gzip", "the gzip body is cut off")
        return plain

    async def _packed(self, limit: int) -> bytes:
        """The body as sent. What is too large is read on and thrown away, within reason, since many
        clients only listen once they have sent."""
        announced = self.headers.get("content-length", "0")
        length = int(announced) if announced.isdigit() else 0
        waits = self.headers.get("expect", "").lower() == "100-continue"
        if length > DRAINED or (length > limit and waits):
            raise _too_large(limit)
        parts, size = [], 0
        async for part in self._parts():
            size += len(part)
            if size <= limit:
                parts.append(part)
            elif size > DRAINED:
                break
        if size > limit:
            raise _too_large(limit)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _parts(self) -> Any:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            more = message.get("more_body", False)
            if part := message.get("body", b""):
                yield part


def _too_large(limit: int) -> Refuse:
    return Refuse(413, "body-too-large", f"a request has at most {limit} bytes")


async def respond(send: Send, response: Response, extra: Mapping[str, str]) -> None:
    """Send ``response`` with ``extra`` headers."""
    headers = {
        "content-type": response.content_type,
        "content-length": str(len(response.body)),
        **extra,
        **response.headers,
    }
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in headers.items()
            ],
        }
    )
    await send({"type": "http.response.body", "body": response.body})
