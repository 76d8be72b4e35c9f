"""The page and its data as a bare ASGI application.

It has no secrets and changes nothing, but says what happens to customers (as pseudonyms): the
server listens on loopback unless told otherwise.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.resources import files
from typing import Any

import msgspec

from forestall.console.overview import Overview
from forestall.ingest.exchange import Refuse, problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PATHS = {
    "/": ("index.html", b"text/html; charset=utf-8"),
    "/console/console.css": ("console.css", b"text/css; charset=utf-8"),
    "/console/console.js": ("console.js", b"text/javascript; charset=utf-8"),
    "/console/icon.svg": ("icon.svg", b"image/svg+xml"),
}
"""What the page consists of: file and media type by path."""

OVERVIEW = "/console/overview.json"

_POLICY = (
    b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
    b" img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


def build(poll: Callable[[], Overview], monotonic: Callable[[], float]) -> App:
    """The application. ``poll`` may block; it runs in a thread, one call at a time, and its answer
    serves every viewer for half a second. ``monotonic`` gives seconds."""
    static = files("forestall.console") / "static"
    pages = {path: (kind, (static / name).read_bytes()) for path, (name, kind) in PATHS.items()}
    turn = asyncio.Lock()
    kept: tuple[float, bytes] | None = None

    async def overview() -> bytes:
        nonlocal kept
        async with turn:
            if kept is None or monotonic() - kept[0] >= 0.5:
                body = msgspec.json.encode(await asyncio.to_thread(poll))
                kept = (monotonic(), body)
            return kept[1]

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        if path not in pages and path != OVERVIEW:
            await _problem(send, Refuse(404, "not-found", f"nothing is served at {path}"))
        elif method not in ("GET", "HEAD"):
            await _problem(send, Refuse(405, "method-not-allowed", f"{path} can only be read"))
        else:
            kind, body = pages.get(path) or (b"application/json", await overview())
            await _answer(send, 200, kind, body, head=method == "HEAD")

    return app


async def _answer(send: Send, status: int, kind: bytes, body: bytes, *, head: bool = False) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *_HEADERS]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def _problem(send: Send, refuse: Refuse) -> None:
    response = problem(refuse)
    await _answer(send, response.status, response.content_type.encode(), response.body)
