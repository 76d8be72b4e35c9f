"""One request to the gateway, in the time it has: what came back, or how it failed, as a value.

Straight on httpcore: no proxy of the environment, no redirect, no cookie, and an answer has an end.
"""

import asyncio
import codecs
import gzip
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

from forestall.client.answers import Reply
from forestall.kernel.clock import monotonic

LARGEST_ANSWER = 4_000_000
"""Bytes of an answer that are read; no gateway says more about a batch."""

_CHUNK = 65_536

# Looked up here, in the thread that makes a client: a fork in the middle of the import that resolving
# a first name would set off in the sender's thread leaves the child without the codec for good.
codecs.lookup("idna")


class Door:
    """Where to send, with which key, and how long a request may take (seconds)."""

    def __init__(self, url: str, key: str, timeout: float, *, gzip: bool) -> None:
        self.url, self.timeout, self._gzip = url, timeout, gzip
        self._headers = [
            (b"x-write-key", key.encode()),
            (b"content-type", b"application/cloudevents-batch+json"),
            (b"user-agent", b"forestall-python"),
        ]

    def __repr__(self) -> str:
        return f"Door({self.url!r})"

    def request(self, body: bytes) -> dict[str, Any]:
        """What httpcore is asked to send."""
        headers = list(self._headers)
        if self._gzip:
            body = gzip.compress(body, 1, mtime=0)
            headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", str(len(body)).encode()))
        phases = dict.fromkeys(("connect", "read", "write", "pool"), self.timeout)
        return {
            "method": "POST",
            "url": self.url,
            "headers": headers,
            "content": body,
            "extensions": {"timeout": phases},
        }


class Line:
    """A connection for threads. ``post`` never takes much longer than the door's timeout."""

    def __init__(self, door: Door, tls: ssl.SSLContext | None) -> None:
        self._door, self._clock = door, _Deadline()
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls, max_connections=1, network_backend=_Backend(self._clock)
        )

    def post(self, body: bytes) -> Reply:
        """The answer to ``body``, or how it failed."""
        self._clock.until = monotonic() + self._door.timeout
        try:
            with self._pool.stream(**self._door.request(body)) as answer:
                found = _Body()
                for part in answer.iter_stream():
                    found.add(part)
                return _reply(answer, found)
        except Exception as error:  # noqa: BLE001 the sender never dies: it waits and tries again
            return Reply(0, failure=type(error).__name__)

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()


class AsyncLine:
    """A connection for asyncio. ``post`` never takes longer than the door's timeout."""

    def __init__(self, door: Door, tls: ssl.SSLContext | None) -> None:
        self._door = door
        self._pool = httpcore.AsyncConnectionPool(ssl_context=tls, max_connections=1)

    async def post(self, body: bytes) -> Reply:
        """The answer to ``body``, or how it failed."""
        try:
            async with (
                asyncio.timeout(self._door.timeout),
                self._pool.stream(**self._door.request(body)) as answer,
            ):
                found = _Body()
                async for part in answer.aiter_stream():
                    found.add(part)
                return _reply(answer, found)
        except Exception as error:  # noqa: BLE001 the sender never dies: it waits and tries again
            return Reply(0, failure=type(error).__name__)

    async def close(self) -> None:
        """Close the connection."""
        await self._pool.aclose()


class _Body:
    """The parts of an answer, of which there can be only so many."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > LARGEST_ANSWER:
            raise EOFError("the answer has no end")
        self.parts.append(part)


def _reply(answer: httpcore.Response, body: _Body) -> Reply:
    headers = {name.lower(): value.decode("latin-1") for name, value in answer.headers}
    media_type = headers.get(b"content-type", "").partition(";")[0].strip().lower()
    return Reply(answer.status, b"".join(body.parts), media_type, headers.get(b"retry-after"))


class _Deadline:
    """When the request that is under way has to be over."""

    until = 0.0

    def left(self, kind: type[httpcore.TimeoutException]) -> float:
        left = self.until - monotonic()
        if left <= 0:
            raise kind("the request took too long")
        return left


class _Backend(httpcore.NetworkBackend):
    """Sockets whose every wait ends with the request's time: httpcore's own timeouts start again
    with each byte that a slow server sends."""

    def __init__(self, deadline: _Deadline) -> None:
        self._deadline, self._inner = deadline, httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """See ``httpcore.NetworkBackend``."""
        left = self._deadline.left(httpcore.ConnectTimeout)
        stream = self._inner.connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(stream, self._deadline)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._inner.read(max_bytes, self._deadline.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        for start in range(0, len(buffer), _CHUNK):
            left = self._deadline.left(httpcore.WriteTimeout)
            self._inner.write(buffer[start : start + _CHUNK], left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
