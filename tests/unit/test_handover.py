"""Event streams change hands: from the server a page speaks to, to the one that tells it things."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from forestall.app.handover import Adopting, passing
from forestall.app.wake import Bell, Tap
from forestall.ingest.exchange import Receive, Scope, Send
from forestall.ingest.serve import Server, listen

pytestmark = pytest.mark.anyio
STREAM = b"GET /v1/stream?token=abc HTTP/1.1\r\nhost: here\r\n\r\n"
OTHER = b"GET /console HTTP/1.1\r\nhost: here\r\n\r\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Says:
    """An app that answers with its name, what was asked, and who asked; then goes on or ends."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.left = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = f"{self.name} {scope['path']}?{scope['query_string'].decode()}".encode()
        goes_on = scope["path"] == "/v1/stream"
        headers = [] if goes_on else [(b"content-length", str(len(asked)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": asked, "more_body": goes_on})
        while goes_on and (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[int]:
    bound = listen("127.0.0.1", 0)
    task = asyncio.create_task(server.serve(sockets=[bound]))
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.005)
    try:
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        await task


class House:
    """The server in front, its port, and the one behind with its app."""

    def __init__(self, port: int, front: Server, behind: Server, bell: Bell) -> None:
        self.port, self.front, self.behind, self.bell = port, front, behind, bell

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


@asynccontextmanager
async def house(folder: Path) -> AsyncIterator[House]:
    bell, tap = Bell(folder / "app.bell"), Tap(folder / "app.bell")
    front = Server(Says("front"), 5, passing(tap))
    behind = Server(Says("behind"), 5)
    async with serving(front) as port, serving(behind):
        adopting = Adopting(bell, behind, asyncio.Event())
        try:
            yield House(port, front, behind, bell)
        finally:
            await adopting.close()
            bell.close()
            tap.close()


async def told(reader: asyncio.StreamReader, text: bytes) -> bytes:
    async with asyncio.timeout(10):
        return await reader.readuntil(text)


async def test_a_stream_goes_behind_and_leaves_nothing_in_front(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        reader, writer = await home.connect()
        writer.write(STREAM)
        await told(reader, b"behind /v1/stream?token=abc")
        async with asyncio.timeout(10):
            while home.front.server_state.connections:
                await asyncio.sleep(0.005)
        assert len(home.behind.server_state.connections) == 1
        writer.close()
        app = home.behind.config.app
        assert isinstance(app, Says)
        async with asyncio.timeout(10):
            await app.left.wait()


async def test_a_connection_kept_open_goes_behind_when_it_asks_for_a_stream(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        reader, writer = await home.connect()
        for _ in range(2):
            writer.write(OTHER)
            await told(reader, b"front /console?")
        writer.write(STREAM)
        await told(reader, b"behind /v1/stream?token=abc")
        writer.close()


@pytest.mark.parametrize(
    "pieces",
    [
        (STREAM[:20], STREAM[20:]),
        (STREAM[:1], STREAM[1:]),
        (STREAM.replace(b"/v1/stream", b"/v1/streams"),),
        (STREAM.replace(b"GET", b"HEAD"),),
    ],
)
async def test_what_cannot_be_passed_is_answered_in_front(
    tmp_path: Path, pieces: tuple[bytes, ...]
) -> None:
    async with house(tmp_path) as home:
        reader, writer = await home.connect()
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)
        await told(reader, b"\r\n\r\n")
        assert not home.behind.server_state.connections
        writer.close()


async def test_requests_sent_ahead_stay_in_front_and_in_order(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        reader, writer = await home.connect()
        writer.write(OTHER + STREAM)
        await told(reader, b"front /console?")
        await told(reader, b"front /v1/stream?token=abc")
        writer.close()


async def test_while_nobody_is_behind_it_is_answered_in_front(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        (tmp_path / "app.bell").unlink()
        reader, writer = await home.connect()
        writer.write(STREAM)
        await told(reader, b"front /v1/stream?token=abc")
        writer.close()


async def test_many_at_once_all_go_behind(tmp_path: Path) -> None:
    """More than the queue between the two holds."""
    async with house(tmp_path) as home:
        streams = [await home.connect() for _ in range(400)]
        for _, writer in streams:
            writer.write(STREAM)
        for reader, writer in streams:
            await told(reader, b"behind /v1/stream?token=abc")
            writer.close()


async def test_one_that_comes_while_the_server_behind_ends_is_closed(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.behind.should_exit = True
        reader, writer = await home.connect()
        writer.write(STREAM)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()


async def test_one_whose_page_has_gone_already_does_no_harm(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        with socket.create_connection(("127.0.0.1", home.port)) as page:
            page.sendall(STREAM)
            page.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        reader, writer = await home.connect()
        writer.write(STREAM)
        await told(reader, b"behind /v1/stream?token=abc")
        writer.close()
