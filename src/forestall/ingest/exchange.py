"""One HTTP exchange on bare ASGI: a body within limits in, JSON or a problem out.

Errors are problem details after RFC 9457, with a ``code`` that never changes.
"""

import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import msgspec

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

DRAINED = 32_000_000
"""Bytes of a body too large that are read and thrown away, so that the sender hears why."""

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


class Request:
    """A request whose body is read only on demand and only within limits."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        self.query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        self.media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def body(self, limit: int) -> bytes:
        """The body, unpacked. Raises ``Refuse`` with 413 above ``limit`` bytes, packed or not, and
        with 415 or 400 where it cannot be unpacked; ``Gone`` where it never ends."""
        too_large = Refuse(413, "body-too-large", f"a request has at most {limit} bytes")
        announced = self.headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > limit:
            await self._drain(int(announced))
            raise too_large
        parts, size = [], 0
        async for part in self._parts():
            size += len(part)
            if size > limit:
                await self._drain(DRAINED)
                raise too_large
            parts.append(part)
        packed = parts[0] if len(parts) == 1 else b"".join(parts)
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
            raise too_large
        if not unpacker.eof:
            raise Refuse(400, "invalid-gzip", "the gzip body is cut off")
        return plain

    async def _parts(self) -> Any:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            more = message.get("more_body", False)
            if part := message.get("body", b""):
                yield part

    async def _drain(self, announced: int) -> None:
        """Read on and throw away, within reason; many clients only listen once they have sent."""
        if announced > DRAINED or self.headers.get("expect", "").lower() == "100-continue":
            return
        left = DRAINED
        async for part in self._parts():
            left -= len(part)
            if left < 0:
                return


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
