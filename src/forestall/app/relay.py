"""One address for everything: what the gateway does not serve is relayed to the app process.

A small reverse proxy as bare ASGI, for the console and the event streams. It streams, adds no
buffering, and closes the other side when one side goes. When the gateway stops, event streams,
which have no end of their own, end at once.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress

import httpx

from forestall.ingest.exchange import App, Receive, Refuse, Scope, Send, problem, respond

_TIMEOUT = httpx.Timeout(10.0, read=None, pool=None)
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=100)
_HOP_BY_HOP = frozenset(
    {b"date", b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te"}
)
RETRY = {"Retry-After": "1"}


LARGER = 4_000_000
"""Bytes that a body may have, packed, which brings policies and models."""

_LARGER_PATHS = ("/v1/plans", "/v1/lifecycle/")


def relay_to(address: Callable[[], str | None], stop: asyncio.Event, limit: int = 64_000) -> App:
    """An app that asks the server at ``address()`` (a base URL, or none while it is not up).

    Request bodies over ``limit`` bytes are refused, but where policies and models come (``LARGER``).
    After ``stop`` no event stream goes on.
    """
    client = httpx.AsyncClient(timeout=_TIMEOUT, limits=_LIMITS, trust_env=False)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        base = address()
        most = LARGER if scope["path"].startswith(_LARGER_PATHS) else limit
        try:
            if base is None:
                raise Refuse(503, "app-down", "the app process is starting; try again", RETRY)
            request = client.build_request(
                scope["method"],
                f"{base}{scope['raw_path'].decode('latin-1')}",
                params=scope["query_string"].decode("latin-1") or None,
                headers=[pair for pair in scope["headers"] if pair[0] not in _HOP_BY_HOP],
                content=await _body(receive, most),
            )
            await _exchange(client, request, receive, send, stop)
        except Refuse as refuse:
            await respond(send, problem(refuse), {})

    return app


async def _body(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            raise Refuse(413, "body-too-large", f"at most {limit:,} bytes go here")
        if not message.get("more_body", False):
            return bytes(body)


async def _exchange(
    client: httpx.AsyncClient,
    request: httpx.Request,
    receive: Receive,
    send: Send,
    stop: asyncio.Event,
) -> None:
    try:
        response = await client.send(request, stream=True)
    except httpx.TransportError:
        raise Refuse(503, "app-down", "the app process is not up; try again", RETRY) from None
    try:
        headers = [pair for pair in response.headers.raw if pair[0].lower() not in _HOP_BY_HOP]
        await send(
            {"type": "http.response.start", "status": response.status_code, "headers": headers}
        )
        ends: list[Coroutine[None, None, object]] = [_pump(response, send), _disconnected(receive)]
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            ends.append(stop.wait())
        _, pending = await asyncio.wait(
            [asyncio.create_task(end) for end in ends], return_when=asyncio.FIRST_COMPLETED
        )
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await send({"type": "http.response.body", "body": b""})
    finally:
        await response.aclose()


async def _pump(response: httpx.Response, send: Send) -> None:
    with suppress(httpx.TransportError):
        async for chunk in response.aiter_raw():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
