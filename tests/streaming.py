"""A hub of event streams on a real server, and readers of it as pages are."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx
import uvicorn

from forestall.channels.inapp import Hub
from forestall.contracts.instants import HOUR, SECOND
from forestall.contracts.intervention import Message
from forestall.kernel.clock import wall_clock
from forestall.kernel.telemetry import METRICS
from forestall.privacy.tokens import SubjectToken, sign

SECRET = "an-example-secret-of-more-than-32-bytes"
LOG_TIME = 1_000_000 * SECOND
PSEUDONYMS = {"anna": "p-anna", "berta": "p-berta"}
BASE = "http://127.0.0.1"


def message(number: int, subject: str = "p-anna", expires: int = LOG_TIME + HOUR) -> Message:
    return Message(
        id=f"m-{number}",
        intervention=f"d-{number}",
        subject=subject,
        policy="card-declined",
        title="Card declined?",
        body=f"Hint {number}\nwith a second line – and more",
        why="Your card was declined twice.",
        created=LOG_TIME,
        expires=expires,
    )


class Shelf:
    """A message store in memory, as the port describes it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.withdrawn: set[str] = set()

    def after(self, subject: str, last_id: str | None, now: int) -> Sequence[Message]:
        mine = [found for found in self.messages if found.subject == subject]
        ids = [found.id for found in mine]
        start = ids.index(last_id) + 1 if last_id in ids else 0
        return [m for m in mine[start:] if m.expires > now and m.intervention not in self.withdrawn]


class House:
    """A hub on a real server, its clock, its shelf, and who is who."""

    def __init__(self, **hub: Any) -> None:
        self.shelf = Shelf()
        self.log_time = LOG_TIME
        self.people: dict[str, str] = dict(PSEUDONYMS)
        settings: dict[str, Any] = {"heartbeat": 10.0, "origins": {"https://shop.example"}} | hub
        self.hub = Hub(
            messages=self.shelf,
            identify=lambda token: self.people.get(token.subject_id or token.anonymous_id or ""),
            secret=SECRET,
            now=wall_clock,
            log_time=lambda: self.log_time,
            **settings,
        )
        self.port = 0

    def say(self, told: Message) -> None:
        self.shelf.messages.append(told)
        self.hub.publish(told.subject, told)

    @property
    def url(self) -> str:
        return f"{BASE}:{self.port}/v1/stream"


class Server(uvicorn.Server):
    """Leaves the signals of the test run alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def house(
    http: Literal["h11", "httptools"] = "httptools", **hub: Any
) -> AsyncIterator[House]:
    home = House(**hub)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        home.port = listening.getsockname()[1]
        config = uvicorn.Config(
            home.hub, http=http, lifespan="off", log_config=None, access_log=False
        )
        server = Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        await until(lambda: server.started)
        try:
            yield home
        finally:
            home.hub.close()
            server.should_exit = True
            await serving


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def token(user: str = "anna", lives: int = HOUR) -> str:
    return sign(SubjectToken(subject_id=user, expires=wall_clock() + lives), SECRET)


class Reader:
    """What a browser's EventSource would make of the bytes."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.heartbeats = 0
        self._lines = response.aiter_lines()

    async def event(self) -> tuple[str, str | None, Any]:
        """The next event: its name, id and data. Raises ``StopAsyncIteration`` at the end."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(10):
            while True:
                line = await anext(self._lines)
                if not line and "data" in fields:
                    return fields["event"], fields.get("id"), json.loads(fields["data"])
                if line.startswith(":"):
                    self.heartbeats += 1
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value

    async def ends(self) -> list[str]:
        """Names of the events until the server ends the stream."""
        names = []
        with contextlib.suppress(StopAsyncIteration):
            while True:
                names.append((await self.event())[0])
        return names


@asynccontextmanager
async def reading(
    home: House, user: str = "anna", last: str | None = None
) -> AsyncIterator[Reader]:
    headers = {"authorization": f"Bearer {token(user)}"}
    if last is not None:
        headers["last-event-id"] = last
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("GET", home.url, headers=headers) as response,
    ):
        assert response.status_code == 200
        yield Reader(response)


async def get(home: House, method: str = "GET", **options: Any) -> httpx.Response:
    """A request that is answered at once."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(method, options.pop("url", home.url), **options)


def streams() -> float | None:
    return METRICS.get_sample_value("forestall_inapp_streams")
