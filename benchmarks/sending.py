"""A client that costs little: requests made beforehand, sent on connections that stay open."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import cast

import msgspec

from benchmarks import workload
from benchmarks.served import KEY
from forestall.contracts.instants import format_time

BATCH = 20
STEP = 0.001
"""Seconds between looks at what is due; the loop's timers know no less, and a shorter sleep spins."""

MARK = b"@@@@@@"
"""Stands in every id where the number of the pass goes."""


def requests(count: int, now: int, *, strangers: bool = False) -> list[bytes]:
    """``count`` requests with the workload's first events, which happen ``now``; ids hold ``MARK``.

    A source of the workload sends with one key; subjects are taken as the customer's own ids. With
    ``strangers`` every event is another customer's, in each pass anew.
    """
    encode, moment = msgspec.json.Encoder().encode, format_time(now)
    numbers, made = itertools.count(), []
    for records in workload.batches(count * BATCH, BATCH):
        events = [
            msgspec.structs.replace(
                workload.cloud_event(record),
                id=f"{MARK.decode()}-{record.id}",
                subject=f"{MARK.decode()}-new-{next(numbers)}" if strangers else record.subject,
                time=moment,
                received=None,
                origin=None,
            )
            for record in records
        ]
        made.append(request(encode(events)))
    return made


def request(body: bytes) -> bytes:
    """A POST of a batch."""
    head = (
        f"POST /v1/events HTTP/1.1\r\nhost: bench\r\nx-write-key: {KEY}\r\n"
        "content-type: application/cloudevents-batch+json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


Answered = Callable[["Connection", int], None]


class Connection(asyncio.Protocol):
    """One connection, one request at a time; ``answered`` is told each status."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self._answer = b""
        self.number = -1
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def send(self, data: bytes, number: int, due: float) -> None:
        """Send request ``number``, which was due at ``due``."""
        self.number, self.due = number, due
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Wait until the answer is whole."""
        answer = self._answer + data if self._answer else data
        head = answer.find(b"\r\n\r\n")
        start = answer.find(b"content-length: ", 0, head) + 16
        if head < 0 or len(answer) < head + 4 + int(answer[start : answer.find(b"\r", start)]):
            self._answer = answer
            return
        self._answer = b""
        self._answered(self, int(answer[9:12]))

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


class Tally:
    """What became of requests: times sent, statuses, and what was acknowledged."""

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.acknowledged: list[int] = []
        self.latencies: list[float] = []
        self.unsent = 0

    def note(self, connection: Connection, status: int) -> None:
        """Count an answer."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status == 202:
            self.acknowledged.append(connection.number)
            self.latencies.append(time.perf_counter() - connection.due)


class Load:
    """Sends the requests made beforehand, pass by pass, each pass with ids of its own."""

    def __init__(self, port: int, made: list[bytes]) -> None:
        self._port, self._made = port, made
        self._connections: list[Connection] = []
        self._next = 0
        self.tally = Tally()

    def data(self, number: int) -> bytes:
        """Request ``number``."""
        passed, index = divmod(number, len(self._made))
        return self._made[index].replace(MARK, b"%06d" % passed)

    async def connect(self, count: int) -> None:
        """Have ``count`` connections open, all new: a server hangs up on those long at rest."""
        loop = asyncio.get_running_loop()
        while self._connections:
            self._connections.pop().close()
        while len(self._connections) < count:
            _, made = await loop.create_connection(
                lambda: Connection(self.tally.note), "127.0.0.1", self._port
            )
            self._connections.append(made)

    async def close(self) -> None:
        """Hang up everywhere."""
        await self.connect(0)
        await asyncio.sleep(0)

    def _send(self, connection: Connection, due: float) -> None:
        connection.send(self.data(self._next), self._next, due)
        self._next += 1

    def __len__(self) -> int:
        """How many different requests there are."""
        return len(self._made)

    async def closed(
        self, connections: int, *, seconds: float = 3_600.0, count: int = 10**9
    ) -> Tally:
        """Each connection sends as soon as it was answered, for so long or so many requests."""
        await self.connect(connections)
        tally = self.tally = Tally()
        end = time.perf_counter() + seconds
        last = self._next + count
        waiting = len(self._connections)
        over = asyncio.get_running_loop().create_future()

        def answered(connection: Connection, status: int) -> None:
            nonlocal waiting
            tally.note(connection, status)
            now = time.perf_counter()
            if now < end and self._next < last:
                self._send(connection, now)
            else:
                waiting -= 1
                if not waiting:
                    over.set_result(None)

        for connection in self._connections:
            connection._answered = answered
            self._send(connection, time.perf_counter())
        await over
        return tally

    async def open(self, rate: float, connections: int, seconds: float) -> Tally:
        """``rate`` requests a second at fixed times, whatever is answered.

        One that is due while every connection waits for an answer is sent by the first to get its
        own, up to a second late, and else counts as unsent.
        """
        await self.connect(connections)
        tally = self.tally = Tally()
        free = deque(self._connections)
        due: list[float] = []

        def answered(connection: Connection, status: int) -> None:
            tally.note(connection, status)
            free.append(connection)

        for connection in self._connections:
            connection._answered = answered
        begin, number = time.perf_counter(), 0
        total = int(rate * seconds)
        while number < total or due:
            now = time.perf_counter()
            while number < total and begin + number / rate <= now:
                due.append(begin + number / rate)
                number += 1
            late = 0
            while late < len(due) and due[late] < now - 1:
                late += 1
            tally.unsent += late
            del due[:late]
            ready = min(len(due), len(free))
            for moment in due[:ready]:
                self._send(free.popleft(), moment)
            del due[:ready]
            await asyncio.sleep(STEP)
        while len(free) < len(self._connections):
            await asyncio.sleep(0.001)
        return tally
