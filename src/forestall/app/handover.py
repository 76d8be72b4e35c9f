"""Event streams change hands: the gateway gives their connections to the app process.

A page opens its stream at the gateway's address, where it would be relayed: two more sockets, two
more tasks and one more hop for each. Instead the gateway passes the connection itself, with the
bytes of the request, over a Unix socket (SCM_RIGHTS, unix(7)). What cannot be passed, because the
app process is not up or the request came in pieces, is relayed.
"""

import asyncio
import os
import socket

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import Server

from forestall.app.wake import LARGEST, Bell, Tap
from forestall.channels.feed import PATH
from forestall.ingest.lane import Lane

AGAIN = 0.02
"""Seconds until a connection is offered again while the app process is busy taking others."""

TRIES = 100

_STREAM = f"GET {PATH}".encode()


class Passing(Lane):
    """The gateway's protocol, which gives away connections that ask for an event stream."""

    tap: Tap

    def data_received(self, data: bytes) -> None:
        """Give the connection away, or answer."""
        if self._between and _is_stream(data) and self._answered():
            self._unset_keepalive_if_required()
            self._offer(data, TRIES)
        else:
            super().data_received(data)

    def _answered(self) -> bool:
        nothing_left = self.transport.get_write_buffer_size() == 0
        return nothing_left and (self.cycle is None or self.cycle.response_complete)

    def _offer(self, data: bytes, tries: int) -> None:
        if self.transport.is_closing():
            return
        try:
            self.tap.bring(data, self.transport.get_extra_info("socket").fileno())
        except BlockingIOError:
            if tries:
                self.transport.pause_reading()
                self.loop.call_later(AGAIN, self._offer, data, tries - 1)
                return
        except OSError:
            pass
        else:
            self.transport.abort()
            return
        self.transport.resume_reading()
        super().data_received(data)


def passing(tap: Tap) -> type[Passing]:
    """The protocol that gives away by ``tap``."""
    return type("Passing", (Passing,), {"tap": tap})


def _is_stream(data: bytes) -> bool:
    """Whether these bytes are the whole of one request for an event stream."""
    whole = data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1
    return whole and len(data) < LARGEST and data.startswith((_STREAM + b"?", _STREAM + b" "))


async def adopt(server: Server, data: bytes, descriptor: int) -> None:
    """Serve a connection whose first request is ``data``, as if it had come to ``server``."""
    if server.should_exit:
        os.close(descriptor)
        return
    given = socket.socket(fileno=descriptor)
    given.setblocking(False)

    def protocol() -> HttpToolsProtocol:
        return HttpToolsProtocol(server.config, server.server_state, {})

    try:
        loop = asyncio.get_running_loop()
        _, connection = await loop.connect_accepted_socket(protocol, given)
    except OSError:
        given.close()
        return
    connection.data_received(data)


class Adopting:
    """Takes in what the bell brings, on the running event loop, until ``close``.

    ``heard`` is called for every tap, whether it brought a connection or not.
    """

    def __init__(self, bell: Bell, server: Server, heard: asyncio.Event) -> None:
        self._bell, self._server, self._heard = bell, server, heard
        self._taking: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(bell.socket, self._answer)

    def _answer(self) -> None:
        self._heard.set()
        for data, descriptor in self._bell.answer():
            task = self._loop.create_task(adopt(self._server, data, descriptor))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    async def close(self) -> None:
        """Take in no more."""
        self._loop.remove_reader(self._bell.socket)
        await asyncio.gather(*self._taking)
