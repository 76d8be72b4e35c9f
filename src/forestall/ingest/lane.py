"""The fast lane: a batch that came whole is taken without a task of its own.

Most requests are a POST /v1/events that comes at once and passes at a glance. For these the steps
between the parser and the app, and back, cost more than the app. ``Lane`` is uvicorn's protocol,
which offers such a request to the gateway, and goes uvicorn's way with every other.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from forestall.ingest.exchange import Response
from forestall.ingest.gateway import EVENTS, Gateway

_URL = EVENTS.encode()

SOON = 0.5
"""Seconds in which the rest of a body comes that did not come with its header, or goes uvicorn's
way."""


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
        content = [STATUS_LINE[response.status]]
        content += [b"%b: %b\r\n" % pair for pair in self._lane.server_state.default_headers]
        for name, value in response.headers.items():
            content += [f"{name.lower()}: {value}\r\n".encode("latin-1")]
        if not self.keep_alive:
            content.append(b"connection: close\r\n")
        length = len(response.body)
        about = f"content-type: {response.content_type}\r\ncontent-length: {length}\r\n\r\n"
        return b"".join((*content, about.encode("latin-1"), response.body))


class Lane(HttpToolsProtocol):
    """Uvicorn's protocol with the lane; a subclass for each server names its ``gateway``."""

    gateway: Gateway
    unheard = asyncio.Event()
    """Rung in vain: nobody waits for a message of a request in the lane."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._held: list[bytes] | None = None
        self._later: asyncio.TimerHandle | None = None

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
        if self._held is not None and not self._taken(b"".join(self._held)):
            self._go_on()
        if self._held is None:
            super().on_message_complete()
        self._drop()

    def _taken(self, body: bytes) -> bool:
        exchange = Exchange(self, keep_alive=self._keeps_alive)
        before, self.cycle = self.cycle, exchange
        if self.gateway.at_once(self.headers, body, exchange.answer):
            return True
        self.cycle = before
        return False

    def data_received(self, data: bytes) -> None:
        """Wait a little for the rest of a request: its body is often sent by itself."""
        super().data_received(data)
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
