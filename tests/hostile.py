"""A server on loopback that answers batches of events as it was told: well, badly, or not at all."""

import gzip
import json
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

PROBLEM = "application/problem+json"


class Hostile:
    """What the server was told, and what it took. Each request uses up one way of ``script``;
    afterwards, or while there is none, the server behaves."""

    def __init__(self, script: Sequence[str]) -> None:
        self.script = list(script)
        self.taken: list[dict[str, Any]] = []
        self.requests: list[tuple[str, int]] = []
        self.headers: list[dict[str, str]] = []
        self.quarantine: Callable[[dict[str, Any]], bool] = lambda _event: False
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.release = threading.Event()
        self.base = ""

    @property
    def ids(self) -> list[str]:
        """The ids taken, in the order in which they first came."""
        return [event["id"] for event in self.taken]

    def next(self, events: list[dict[str, Any]], headers: dict[str, str]) -> str:
        """How to answer the next request."""
        with self.lock:
            way = self.script.pop(0) if self.script else "ok"
            self.requests.append((way, len(events)))
            self.headers.append(headers)
            return way

    def take(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Keep the events that are new; the verdicts."""
        verdicts = []
        with self.lock:
            known = set(self.ids)
            for event in events:
                if self.quarantine(event):
                    why = {"code": "invalid-data", "path": "/data/x", "message": "not a number"}
                    verdicts.append({"id": event["id"], "verdict": "quarantined", **why})
                elif event["id"] in known:
                    verdicts.append({"id": event["id"], "verdict": "duplicate"})
                else:
                    self.taken.append(event)
                    known.add(event["id"])
                    verdicts.append({"id": event["id"], "verdict": "accepted"})
        return verdicts


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    server: "Server"

    def handle(self) -> None:
        with suppress(OSError):
            while self.one():
                pass

    def one(self) -> bool:
        """Answer one request; whether the connection stays open."""
        if not self.rfile.readline():
            return False
        headers = {}
        while (line := self.rfile.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers["content-length"]))
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        events = json.loads(body)
        told = self.server.told
        return WAYS[told.next(events, headers)](self, told, events)

    def answer(self, status: int, body: Any, kind: str = PROBLEM, more: str = "") -> bool:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(content)}\r\n"
        self.wfile.write(f"{head}{more}\r\n".encode() + content)
        return True

    def gone(self) -> bool:
        """Wait until the client gives up, or the test releases it."""
        told = self.server.told
        while not told.stop.is_set() and not told.release.is_set():
            with suppress(TimeoutError):
                self.connection.settimeout(0.05)
                if self.connection.recv(1) == b"":
                    break
        return False

    def reset(self) -> bool:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return False


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    told: Hostile


Events = list[dict[str, Any]]
Way = Callable[[Handler, Hostile, Events], bool]


def _ok(handler: Handler, told: Hostile, events: Events) -> bool:
    return handler.answer(202, {"verdicts": told.take(events)}, "application/json")


def _lost(handler: Handler, told: Hostile, events: Events) -> bool:
    told.take(events)
    return handler.reset()


def _cut(handler: Handler, told: Hostile, events: Events) -> bool:
    body = json.dumps({"verdicts": told.take(events)}).encode()
    handler.wfile.write(b"HTTP/1.1 202 X\r\ncontent-length: 99999\r\n\r\n" + body)
    return False


def _too_large(handler: Handler, told: Hostile, events: Events) -> bool:
    if len(events) == 1:
        return _ok(handler, told, events)
    return handler.answer(413, {"code": "body-too-large", "detail": "too large"})


def _wrong(handler: Handler, _told: Hostile, events: Events) -> bool:
    body = {"verdicts": [{"id": "another", "verdict": "accepted"} for _ in events]}
    return handler.answer(202, body, "application/json")


def _drip(handler: Handler, told: Hostile, _events: Events) -> bool:
    """A header of which a byte comes now and then, for ever."""
    handler.wfile.write(b"HTTP/1.1 202 X\r\nx-slow: ")
    while not told.stop.wait(0.01):
        handler.wfile.write(b"y")
    return False


def _endless(handler: Handler, _told: Hostile, _events: Events) -> bool:
    handler.wfile.write(b"HTTP/1.1 202 X\r\ncontent-type: application/json\r\n\r\n")
    for _ in range(80):
        handler.wfile.write(b" " * 65_536)
    return handler.gone()


def _says(status: int, code: str, more: str = "") -> Way:
    return lambda handler, _told, _events: handler.answer(
        status, {"code": code, "detail": "as it is"}, more=more
    )


def _page(status: int) -> Way:
    return lambda handler, _told, _events: handler.answer(status, b"<html>", "text/html")


WAYS: dict[str, Way] = {
    "ok": _ok,
    "lost": _lost,
    "cut": _cut,
    "413": _too_large,
    "wrong": _wrong,
    "drip": _drip,
    "endless": _endless,
    "hang": lambda handler, _told, _events: handler.gone(),
    "reset": lambda handler, _told, _events: handler.reset(),
    "garbage": lambda handler, _told, _events: bool(handler.wfile.write(b"\0\0\r\n\r\n")) and False,
    "429": _says(429, "overloaded", "retry-after: 0\r\n"),
    "503": _says(503, "shutting-down"),
    "507": _says(507, "log-full", "retry-after: 0\r\n"),
    "401": _says(401, "unknown-key"),
    "400": _says(400, "invalid-json"),
    "html": _page(200),
    "html404": _page(404),
    "html502": _page(502),
    "redirect": lambda handler, _told, _events: handler.answer(
        307, b"", "text/html", "location: http://127.0.0.1:1/\r\n"
    ),
}
"""Each way to answer a request."""

QUICK = ("ok", "lost", "cut", "413", "wrong", "reset", "garbage", "429", "503", "507", "401")
PAGES = ("html", "html404", "html502", "redirect")
SLOW = ("hang", "drip")


@contextmanager
def hostile(script: Sequence[str] = (), tls: ssl.SSLContext | None = None) -> Iterator[Hostile]:
    """A server that follows ``script``, with ``tls`` as `localhost`."""
    told = Hostile(script)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.told = told
        told.base = f"http://127.0.0.1:{server.server_address[1]}"
        if tls is not None:
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
            told.base = f"https://localhost:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield told
        finally:
            told.stop.set()
            server.shutdown()
            thread.join(20)
