"""The one way out: an HTTP client for everything that leaves, which cannot be led astray.

It resolves names itself, refuses addresses that are not public unless the host is allowed by name,
and connects to exactly the address it checked, so a name that changes its mind in between gains
nothing. TLS and ``Host`` keep the name. A redirect is a request of its own and is checked again; none
is followed unless asked for. No proxies from the environment. Answers are limited in size and time;
compressed ones are never expanded: we ask for plain ones, and what comes compressed stays so.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

from forestall.channels.addresses import Allowed, allowed, check
from forestall.contracts.errors import ForestallError
from forestall.contracts.instants import SECOND, parse_duration
from forestall.kernel.settings import Outbound

TOTAL = "total"
"""The key of a request's ``extensions`` that shortens the time of that request, in seconds."""

ENCODING = "content_encoding"
"""The key of a response's ``extensions`` that says how the answer is compressed, if it is."""

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Gives the addresses of a host; raises ``OSError`` where there is none."""


class TooLarge(ForestallError, httpx.ReadError):
    """An answer is longer than ``[outbound] max_bytes``; the rest was not read."""

    code = "answer-too-large"


class TooSlow(ForestallError, httpx.ReadTimeout):
    """A request took longer than ``[outbound] timeout``, or than it was given."""

    code = "answer-too-slow"


class UnconnectedTooSlow(ForestallError, httpx.ConnectTimeout):
    """No connection came about in the time that a request had; nothing was sent."""

    code = "connection-too-slow"


async def system_resolver(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver knows, in its order, each once."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def outbound(
    settings: Outbound,
    *,
    redirects: int = 0,
    resolve: Resolve = system_resolver,
    tls: ssl.SSLContext | None = None,
) -> httpx.AsyncClient:
    """A client with the limits of ``settings``, which follows so many redirects. Close it.

    Raises ``InvalidOutbound``. Its requests raise ``BlockedAddress``, ``TooLarge``, ``TooSlow`` and
    ``UnconnectedTooSlow``, all of which are ``httpx.TransportError``.
    """
    seconds = parse_duration(settings.timeout) / SECOND
    transport = SafeTransport(
        allowed(settings.allow),
        seconds=seconds,
        most=settings.max_bytes,
        resolve=resolve,
        tls=tls,
    )
    return httpx.AsyncClient(
        transport=transport,
        trust_env=False,
        follow_redirects=redirects > 0,
        max_redirects=redirects,
        timeout=seconds,
        headers={"accept-encoding": "identity", "user-agent": "forestall"},
    )


class SafeTransport(httpx.AsyncBaseTransport):
    """Carries requests to checked addresses; ``most`` bytes of an answer, ``seconds`` for it all."""

    def __init__(
        self,
        allow: Allowed,
        *,
        seconds: float,
        most: int,
        resolve: Resolve = system_resolver,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._seconds, self._most = seconds, most
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or httpx.create_ssl_context(),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=_Checked(allow, resolve),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See ``httpx.AsyncBaseTransport``."""
        url = request.url
        if url.scheme not in ("http", "https") or not url.host:
            raise httpx.UnsupportedProtocol(f"{url.scheme}: only http and https leave")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(self._seconds, request.extensions.get(TOTAL, self._seconds))
        progress = _Progress()
        outgoing = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions={**request.extensions, "trace": progress},
        )
        try:
            async with asyncio.timeout_at(deadline):
                with _translated():
                    answer = await self._pool.handle_async_request(outgoing)
        except TimeoutError:
            kind = TooSlow if progress.sending else UnconnectedTooSlow
            raise kind(f"{url.host} did not answer in time") from None
        headers = httpx.Headers(answer.headers)
        encoding = headers.pop("content-encoding", "identity").strip().lower()
        extensions = dict(answer.extensions)
        if encoding not in ("", "identity"):
            extensions[ENCODING] = encoding
        stream = _Limited(answer, url.host, deadline, self._most)
        return httpx.Response(answer.status, headers=headers, stream=stream, extensions=extensions)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()


class _Progress:
    """Notes when a request begins to be sent: before that, nothing can have happened."""

    def __init__(self) -> None:
        self.sending = False

    async def __call__(self, name: str, _: dict[str, Any]) -> None:
        self.sending = self.sending or name.endswith("send_request_headers.started")


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to the addresses that were checked, and to no other."""

    def __init__(self, allow: Allowed, resolve: Resolve) -> None:
        self._allow, self._resolve = allow, resolve
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host}: {error}") from None
        failure: httpcore.ConnectError | None = None
        for address in check(host, port, found, self._allow):
            try:
                return await self._plain.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Limited(httpx.AsyncByteStream):
    """An answer's bytes until there are too many, or it takes too long."""

    def __init__(self, answer: httpcore.Response, host: str, deadline: float, most: int) -> None:
        self._answer, self._host = answer, host
        self._deadline, self._most = deadline, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        parts = self._answer.aiter_stream()
        while True:
            try:
                async with asyncio.timeout_at(self._deadline):
                    with _translated():
                        part = await anext(parts, None)
            except TimeoutError:
                raise TooSlow(f"{self._host} did not finish its answer in time") from None
            if part is None:
                return
            read += len(part)
            if read > self._most:
                raise TooLarge(f"{self._host} answered more than {self._most:,} bytes")
            yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of httpcore as those of httpx, which have the same names."""
    try:
        yield
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
        known = (getattr(httpx, kind.__name__, None) for kind in type(error).__mro__)
        raise next(kind for kind in known if kind)(str(error)) from error
    except httpcore.UnsupportedProtocol as error:
        raise httpx.UnsupportedProtocol(str(error)) from error
