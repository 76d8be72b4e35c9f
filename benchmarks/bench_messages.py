"""From event to message: from the POST of an event to the message on its customer's event stream.

A real server gets 1,000 events a second at fixed times, whatever it answers, and ten of them each
second trigger an intervention for a customer whose event stream is open; then again with 10,000
idle event streams beside. The bound counts in fsyncs, which are measured meanwhile in the same
folder: p50 under 10 ms + 4 fsyncs, p99 under 50 ms + 10 fsyncs.
"""

import asyncio
import resource
import tempfile
import time
from pathlib import Path
from typing import cast

import jwt
import msgspec
import uvloop

from benchmarks.figures import Figure
from benchmarks.measure import fsyncs_of
from benchmarks.served import KEY, SECRET, Served, served

EVENTS_PER_SECOND = 1_000
EVENTS_PER_POST = 5
INTERVENTIONS_PER_SECOND = 10
IDLE = 10_000
OPENING_AT_ONCE = 100
PATIENCE = 10.0
"""Seconds that the last answers and messages get."""
QUICK: dict[str, object] = {"seconds": 5.0, "idle": (0,)}

ASKED = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: asked, title: Help is wanted, owner: bench}
spec:
  when: {event: help.wanted}
  playbook:
    - guide: {text: "Here is help.", channel: inapp}
    - await: {event: help.found, for: 10m, then: resolved}
"""


def run(seconds: float = 20.0, idle: tuple[int, ...] = (0, IDLE)) -> list[Figure]:
    """Measure without and with idle streams; see the module."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    figures: list[Figure] = []
    try:
        for count in idle:
            with (
                tempfile.TemporaryDirectory() as folder,
                served(Path(folder), {"asked.yaml": ASKED}) as server,
            ):
                figures += uvloop.run(_measured(server, seconds, count))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return figures


async def _measured(server: Served, seconds: float, idle: int) -> list[Figure]:
    customers = [f"customer-{n}" for n in range(int(seconds * INTERVENTIONS_PER_SECOND))]
    idlers = [f"idler-{n}" for n in range(idle)]
    load = Load(server.port)
    await load.send_all([_event(f"hello-{n}", "page.viewed", n) for n in customers + idlers])
    watching = [Watching() for _ in customers]
    streams = [*zip(customers, watching, strict=True), *((one, Idle()) for one in idlers)]
    for start in range(0, len(streams), OPENING_AT_ONCE):
        await asyncio.gather(
            *(_open(server.port, *one) for one in streams[start : start + OPENING_AT_ONCE])
        )
    await asyncio.sleep(2)
    before = server.cpu_seconds()
    with fsyncs_of(server.folder) as fsyncs:
        await _steady(load, customers, watching, seconds)
    used = {role: spent - before[role] for role, spent in server.cpu_seconds().items()}
    return _figures(idle, watching, fsyncs, used, server, seconds)


async def _steady(
    load: "Load", customers: list[str], watching: list["Watching"], seconds: float
) -> None:
    """Send at fixed times; every so many requests one holds an event that is a cry for help."""
    loop = asyncio.get_running_loop()
    posts = int(seconds * EVENTS_PER_SECOND / EVENTS_PER_POST)
    every = posts // len(customers)
    begin = loop.time() + 0.1
    for number in range(posts):
        due = begin + number * EVENTS_PER_POST / EVENTS_PER_SECOND
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        events = [
            _event(f"e{number}-{one}", "page.viewed", f"visitor-{(number * 7 + one * 31) % 997}")
            for one in range(EVENTS_PER_POST)
        ]
        asking = number % every == every // 2 and number // every < len(customers)
        if asking:
            customer = number // every
            events[-1] = _event(f"help-{customer}", "help.wanted", customers[customer])
        body = msgspec.json.encode(events)
        if asking:
            watching[customer].sent = time.perf_counter()
        load.post(body)
    deadline = loop.time() + PATIENCE
    while loop.time() < deadline and not (
        load.unanswered == 0 and all(one.received for one in watching)
    ):
        await asyncio.sleep(0.01)
    assert not load.refused, f"{load.refused} requests were refused"
    assert not load.unanswered, f"{load.unanswered} requests were not answered"


def _event(name: str, event_type: str, subject: str) -> dict[str, object]:
    data = {"path": "/checkout/payment", "referrer": "https://shop.example/cart", "note": "x" * 200}
    return {
        "specversion": "1.0",
        "id": name,
        "source": "bench",
        "type": event_type,
        "subject": subject,
        "data": data,
    }


class Load:
    """Requests on connections kept open; one that finds none free opens another."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[_Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.refused = self.unanswered = 0

    def post(self, body: bytes) -> None:
        """Send now."""
        self.unanswered += 1
        while self._free:
            connection = self._free.pop()
            if connection.open:
                connection.send(body)
                break
        else:
            task = asyncio.get_running_loop().create_task(self._connect(body))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def send_all(self, events: list[dict[str, object]]) -> None:
        """Send in batches, one after the other."""
        for start in range(0, len(events), 500):
            self.post(msgspec.json.encode(events[start : start + 500]))
            while self.unanswered:
                await asyncio.sleep(0.001)

    async def _connect(self, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(self, self._free), "127.0.0.1", self._port
        )
        connection.send(body)


class _Connection(asyncio.Protocol):
    def __init__(self, load: Load, free: "list[_Connection]") -> None:
        self._load, self._free = load, free
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    @property
    def open(self) -> bool:
        """Whether the server has not closed it."""
        return not self._transport.is_closing()

    def send(self, body: bytes) -> None:
        head = (
            f"POST /v1/events HTTP/1.1\r\nhost: bench\r\nx-write-key: {KEY}\r\n"
            "content-type: application/cloudevents-batch+json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if end and len(body) >= int(length or 0):
            self._load.unanswered -= 1
            self._load.refused += b" 202 " not in head[:16]
            self._answer = b""
            self._free.append(self)


class Idle(asyncio.Protocol):
    """An event stream nobody says anything on. ``opened`` once the server answered."""

    def __init__(self) -> None:
        self.opened = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """The answer; or a heartbeat."""
        if not self.opened.done():
            good = data.startswith(b"HTTP/1.1 200")
            self.opened.set_result(None) if good else self.opened.set_exception(
                RuntimeError(data.decode())
            )


class Watching(Idle):
    """The event stream of a customer; when it was asked for a message, and when that came."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = self.received = 0.0

    def data_received(self, data: bytes) -> None:
        """The answer, a heartbeat, or the message."""
        super().data_received(data)
        if b"event: message" in data:
            assert not self.received, "a customer was told twice"
            self.received = time.perf_counter()


async def _open(port: int, subject: str, stream: Idle) -> None:
    token = jwt.encode({"sub": subject, "exp": int(time.time()) + 3_600}, SECRET, "HS256")
    transport, _ = await asyncio.get_running_loop().create_connection(
        lambda: stream, "127.0.0.1", port
    )
    transport.write(f"GET /v1/stream?token={token} HTTP/1.1\r\nhost: bench\r\n\r\n".encode())
    await stream.opened


def _figures(
    idle: int,
    watching: list[Watching],
    fsyncs: list[float],
    used: dict[str, float],
    server: Served,
    seconds: float,
) -> list[Figure]:
    took = sorted(1000 * (one.received - one.sent) for one in watching if one.received)
    assert len(took) == len(watching), f"{len(watching) - len(took)} messages never came"
    fsync = 1000 * sorted(fsyncs)[len(fsyncs) // 2]
    half, most = took[len(took) // 2], took[min(len(took) - 1, len(took) * 99 // 100)]
    beside = f", {idle:,} idle streams" if idle else ""
    return [
        Figure(f"an fsync meanwhile, p50{beside}", fsync, "ms"),
        Figure(
            f"event to message, p50{beside}",
            half,
            "ms",
            "F9",
            at_most=10 + 4 * fsync,
            target="10 ms + 4 fsyncs",
        ),
        Figure(
            f"event to message, p99{beside}",
            most,
            "ms",
            "F9",
            at_most=50 + 10 * fsync,
            target="50 ms + 10 fsyncs",
        ),
        Figure(f"event to message, most{beside}", took[-1], "ms"),
        *(
            Figure(f"{role}, busy{beside}", 100 * spent / seconds, "%")
            for role, spent in used.items()
        ),
        *(Figure(f"{role}, memory{beside}", mb, "MB") for role, mb in server.memory().items()),
    ]
