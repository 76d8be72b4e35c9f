"""The fast lane: a batch that came whole is taken without a task of its own.

Most requests are a POST /v1/events that comes at once and passes at a glance. For these the steps
between the parser and the app, and back, cost more than the app. ``Lane`` is uvicorn's protocol,
which offers such a request to the gateway, and goes uvicorn's way with every other. A client's
requests begin alike but for their length: what was parsed once is remembered.
"""

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from forestall.ingest.exchange import Response
from forestall.ingest.gateway import EVENTS, Gateway, Opening

_URL = EVENTS.encode()

SOON = 0.5
"""Seconds in which the rest of a body comes that did not come with its header, or goes uvicorn's
way."""

LONGEST_HEAD = 2_000
MOST_HEADS = 1_000
"""Beginnings of requests that are remembered, in bytes and number; with more all are forgotten."""

_LENGTH = re.compile(rb"\r\ncontent-length: ?([0-9]{1,9})(?=\r\n)", re.IGNORECASE)


class Heads:
    """Beginnings of requests that were taken at once, without their length; shared by a server's
    connections."""

    def __init__(self) -> None:
        self._known: dict[bytes, Opening] = {}
        self._prefix: tuple[object, bytes] = (None, b"")

    def find(self, data: bytes) -> tuple[Opening, bytes] | None:
        """What is known of the request that ``data`` is, and its body; none where it is not known,
        not whole, or more than one."""
        found = _cut(data)
        opening = None if found is None else self._known.get(found[0])
        return None if found is None or opening is None else (opening, data[found[1] :])

    def learn(self, data: bytes, opening: Opening) -> None:
        """Remember how the request that ``data`` is begins, if it is one."""
        found = _cut(data)
        if found is not None:
            if len(self._known) >= MOST_HEADS:
                self._known.clear()
            self._known[found[0]] = opening

    def answering(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """How an answer begins that takes an event: uvicorn's ``headers``, a new list each second."""
        known, prefix = self._prefix
        if known is not headers:
            prefix = STATUS_LINE[202] + b"".join(b"%b: %b\r\n" % pair for pair in headers)
            self._prefix = headers, prefix
        return prefix


def _cut(data: bytes) -> tuple[bytes, int] | None:
    """The head of the one request that ``data`` is, but its length, and where its body begins."""
    end = data.find(b"\r\n\r\n", 0, LONGEST_HEAD) + 4
    length = _LENGTH.search(data, 0, end - 2) if end > 3 else None
    if length is None or len(data) != end + int(length[1]):
        return None
    return data[: length.start()] + data[length.end() : end], end


class Exchange(RequestResponseCycle):
    """A request in the lane. Of uvicorn's cycle it has what the protocol looks at."""

    def __init__(self, lane: "Lane", *, keep_alive: bool) -> None:
        self._lane = lane
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.message_event = lane.unheard

    def answer(self, response: Response | None) -> None:
        """Send the answer; none hangs up, since there is none to give."""
        transport = self._lane.transport
        self.response_complete = True
        if self.disconnected or transport.is_closing():
            return
        if response is None:
            transport.close()
            return
        transport.write(self._rendered(response))
        if not self.keep_alive:
            transport.close()
        self._lane.on_response_complete()

    def _rendered(self, response: Response) -> bytes:
        standard = self._lane.server_state.default_headers
        if response.status == 202 and self.keep_alive and not response.headers:
            start = self._lane.heads.answering(standard)
        else:
            content = [STATUS_LINE[response.status]]
            content += [b"%b: %b\r\n" % pair for pair in standard]
            for name, value in response.headers.items():
                content += [f"{name.lower()}: {value}\r\n".encode("latin-1")]
            if not self.keep_alive:
                content.append(b"connection: close\r\n")
            start = b"".join(content)
        length = len(response.body)
        about = f"content-type: {response.content_type}\r\ncontent-length: {length}\r\n\r\n"
        return b"".join((start, about.encode("latin-1"), response.body))


class Lane(HttpToolsProtocol):
    """Uvicorn's protocol with the lane; a subclass for each server names its ``gateway`` and has
    ``heads`` of its own."""

    gateway: Gateway
    heads = Heads()
    unheard = asyncio.Event()
    """Rung in vain: nobody waits for a message of a request in the lane."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._held: list[bytes] | None = None
        self._later: asyncio.TimerHandle | None = None
        self._between = True
        self._opening: Opening | None = None

    def on_message_begin(self) -> None:
        """The parser is inside a request."""
        self._between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Hold the request back if it may take the lane."""
        idle = self.cycle is None or self.cycle.response_complete
        parser = self.parser
        if (
            idle
            and self.url == _URL
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and not (self.expect_100_continue or self.flow.write_paused or parser.should_upgrade())
        ):
            self._held = []
            self._keeps_alive = parser.should_keep_alive()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hold it too."""
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        """Offer a request that is whole to the gateway."""
        self._between = True
        if self._held is not None and not self._taken(b"".join(self._held)):
            self._go_on()
        if self._held is None:
            super().on_message_complete()
        self._drop()

    def _taken(self, body: bytes) -> bool:
        opening = self.gateway.opening(self.headers)
        if opening is None or not self._offered(opening, body, keep_alive=self._keeps_alive):
            return False
        self._opening = opening if self._keeps_alive else None
        return True

    def _offered(self, opening: Opening, body: bytes, *, keep_alive: bool) -> bool:
        exchange = Exchange(self, keep_alive=keep_alive)
        before, self.cycle = self.cycle, exchange
        if self.gateway.at_once(opening, body, exchange.answer):
            return True
        self.cycle = before
        return False

    def data_received(self, data: bytes) -> None:
        """Take a request that begins like one before; else wait a little for the rest of one: its
        body is often sent by itself."""
        fresh = self._between and (self.cycle is None or self.cycle.response_complete)
        if fresh and not self.transport.is_closing() and not self.flow.write_paused:
            self._unset_keepalive_if_required()
            known = self.heads.find(data)
            if known is not None and self._offered(*known, keep_alive=True):
                return
        self._opening = None
        super().data_received(data)
        if fresh and self._between and self._opening is not None:
            self.heads.learn(data, self._opening)
        if self._held is None:
            return
        if self.transport.is_closing():
            self._drop()
        elif sum(map(len, self._held)) > self.gateway.largest:
            self._go_on()
        elif self._later is None:
            self._later = self.loop.call_later(SOON, self._go_on)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        self._drop()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """What is half here may still finish."""
        if self._held is not None:
            self._go_on()
        super().shutdown()

    def _drop(self) -> None:
        self._held = None
        if self._later is not None:
            self._later.cancel()
            self._later = None

    def _go_on(self) -> None:
        """Let uvicorn do what it would have done from the headers on."""
        held = self._held or []
        self._drop()
        super().on_headers_complete()
        for part in held:
            super().on_body(part)
