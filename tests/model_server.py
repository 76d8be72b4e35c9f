"""A server that speaks the chat completions of OpenAI, over real HTTP on loopback, and can misbehave.

It answers by a script: the n-th request with the n-th reply, those after the last with the last. It
streams where it is asked to. What it was asked is in ``requests``, in order.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

KEY = "sk-canary-5d1f0e6b7a"
"""The key that it wants; it may turn up nowhere."""


@dataclass(frozen=True)
class Reply:
    """One answer. ``calls`` are names with arguments, as JSON data or as text that need not be any.

    ``body`` is sent as it is, in place of a completion. ``hold`` answers nothing until ``release``.
    ``pause`` are seconds between pieces of a stream, ``pieces`` how many characters one has, and
    after ``cut`` pieces the connection is closed. ``endless`` never stops sending text.
    """

    text: str = ""
    calls: Sequence[tuple[str, Any]] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    kind: str = "application/json"
    usage: tuple[int, int] | None = (100, 20)
    finish: str | None = None
    hold: bool = False
    pause: float = 0.0
    pieces: int = 16
    cut: int | None = None
    endless: bool = False


Script = Reply | Callable[[dict[str, Any]], Reply]


def propose(**proposal: Any) -> Reply:
    """A proposal, as an agent makes it."""
    return Reply(calls=[("propose", {"confidence": 0.9, **proposal})])


def fill(**fields: Any) -> Reply:
    """Fields, as an agent fills them."""
    return Reply(calls=[("fill", {"confidence": 0.9, "fields": fields})])


class ModelServer:
    """A running server; see ``model_server``."""

    def __init__(self, script: Sequence[Script], key: str | None) -> None:
        self.key = key
        self._turn = threading.Lock()
        self.begin(*script)
        self._http = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"models": self})
        )
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def begin(self, *script: Script) -> None:
        """Follow another script, as if nothing had been asked before."""
        with self._turn:
            self.script = list(script)
            self.requests: list[dict[str, Any]] = []
            self.headers: list[dict[str, str]] = []
            self.arrived = threading.Semaphore(0)
            """One for each request that came."""
            self._released = threading.Event()

    @property
    def url(self) -> str:
        """What goes into ``[language_models.NAME] url``."""
        return f"http://{self.host}/v1"

    @property
    def host(self) -> str:
        """Where it listens, as ``127.0.0.1:PORT``."""
        return f"127.0.0.1:{self._http.server_address[1]}"

    @property
    def prompts(self) -> list[str]:
        """Every request as text."""
        return [json.dumps(request) for request in self.requests]

    def release(self) -> None:
        """Let what is held go on."""
        self._released.set()

    def stop(self) -> None:
        """Close it."""
        self.release()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def take(self, request: dict[str, Any], headers: dict[str, str]) -> Reply:
        """Note a request; what it is answered with."""
        with self._turn:
            self.requests.append(request)
            self.headers.append(headers)
            step = self.script[min(len(self.requests), len(self.script)) - 1]
            self.arrived.release()
            released = self._released
        reply = step if isinstance(step, Reply) else step(request)
        if self.key is not None and headers.get("authorization") != f"Bearer {self.key}":
            return Reply(status=401, body=b'{"error": {"message": "no such key"}}')
        if reply.hold:
            released.wait()
        return reply


@contextmanager
def model_server(*script: Script, key: str | None = KEY) -> Iterator[ModelServer]:
    """A server with this script; it wants ``key`` (none: any)."""
    server = ModelServer(script or [Reply(text="ok")], key)
    try:
        yield server
    finally:
        server.stop()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    models: "ModelServer"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):
            super().handle()

    def do_POST(self) -> None:
        request = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.path != "/v1/chat/completions":
            self._whole(Reply(status=404), b"{}")
            return
        reply = self.models.take(request, headers)
        if reply.body is not None or reply.status != 200:
            self._whole(reply, reply.body or b'{"error": {"message": "scripted"}}')
        elif request.get("stream"):
            self._stream(reply)
        else:
            self._whole(reply, json.dumps(_completion(reply)).encode())

    def _whole(self, reply: Reply, body: bytes) -> None:
        self.send_response(reply.status)
        self.send_header("content-type", reply.kind)
        self.send_header("content-length", str(len(body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, reply: Reply) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        pause = threading.Event()
        for number, piece in enumerate(_pieces(reply)):
            if number == reply.cut:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._chunk(b"data: " + json.dumps(piece).encode() + b"\n\n")
            if reply.pause:
                pause.wait(reply.pause)
        self._chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


def _calls(reply: Reply) -> list[dict[str, Any]]:
    return [
        {
            "index": number,
            "id": f"call_{number}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": given if isinstance(given, str) else json.dumps(given),
            },
        }
        for number, (name, given) in enumerate(reply.calls)
    ]


def _usage(reply: Reply) -> dict[str, int] | None:
    if reply.usage is None:
        return None
    given, said = reply.usage
    return {"prompt_tokens": given, "completion_tokens": said, "total_tokens": given + said}


def _finish(reply: Reply) -> str:
    return reply.finish or ("tool_calls" if reply.calls else "stop")


def _envelope(kind: str, choice: dict[str, Any] | None, reply: Reply | None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": kind,
        "created": 1_700_000_000,
        "model": "scripted",
        "choices": [] if choice is None else [{"index": 0, **choice}],
    }
    if reply is not None and reply.usage is not None:
        made["usage"] = _usage(reply)
    return made


def _completion(reply: Reply) -> dict[str, Any]:
    message = {"role": "assistant", "content": reply.text or None, "tool_calls": _calls(reply)}
    choice = {"message": message, "finish_reason": _finish(reply)}
    return _envelope("chat.completion", choice, reply)


def _pieces(reply: Reply) -> Iterator[dict[str, Any]]:
    """The pieces of a stream."""

    def piece(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"delta": delta, "finish_reason": finish}
        return _envelope("chat.completion.chunk", choice, None)

    yield piece({"role": "assistant", "content": ""})
    while reply.endless:
        yield piece({"content": "and so on " * 20})
    for start in range(0, len(reply.text), reply.pieces):
        yield piece({"content": reply.text[start : start + reply.pieces]})
    for call in _calls(reply):
        given = call["function"]["arguments"]
        begun = {**call, "function": {"name": call["function"]["name"], "arguments": ""}}
        yield piece({"tool_calls": [begun]})
        for start in range(0, len(given), reply.pieces):
            part = {"arguments": given[start : start + reply.pieces]}
            yield piece({"tool_calls": [{"index": call["index"], "function": part}]})
    yield piece({}, _finish(reply))
    if reply.usage is not None:
        yield _envelope("chat.completion.chunk", None, reply)
