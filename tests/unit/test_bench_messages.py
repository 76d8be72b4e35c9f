"""The bench from event to message, against a server that is not one: what it sends and how it counts."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import jwt
import msgspec
import pytest

from benchmarks import bench_messages as bench
from benchmarks.bench_messages import Idle, Load, Watching
from benchmarks.served import KEY, SECRET, Served

OPENED = b"HTTP/1.1 200 OK\r\n\r\n"
MESSAGE = b"event: message\ndata: {}\n\n"
LIMIT = 20.0


class Pretender:
    """Answers every POST with ``status`` and keeps its head and its events."""

    def __init__(self, status: str = "202 Accepted") -> None:
        self.status = status
        self.heads: list[str] = []
        self.batches: list[list[dict[str, object]]] = []
        self.connections = 0
        self.taken: Callable[[dict[str, object]], None] = lambda _: None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it closes."""
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                if head.startswith("GET"):
                    writer.write(OPENED)
                    continue
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                events = msgspec.json.decode(await reader.readexactly(length))
                self.batches.append(events)
                # in two pieces, as a network may deliver it
                writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: 2\r\n\r\n".encode())
                await writer.drain()
                writer.write(b"{}")
                for event in events:
                    self.taken(event)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(pretender: Pretender) -> AsyncIterator[int]:
    server = await asyncio.start_server(pretender.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def run(work: Callable[[int], Awaitable[None]], pretender: Pretender) -> None:
    """Do ``work`` with the pretender's port, for so long at most."""

    async def all_of_it() -> None:
        async with listening(pretender) as port:
            await asyncio.wait_for(work(port), LIMIT)

    asyncio.run(all_of_it())


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_a_connection_that_is_free_is_used_again() -> None:
    pretender = Pretender()

    async def work(port: int) -> None:
        load = Load(port)
        for number in range(3):
            load.post(msgspec.json.encode([bench._event(f"e{number}", "page.viewed", "p")]))
            await until(lambda: load._free)
        assert not load.refused

    run(work, pretender)
    assert pretender.connections == 1
    assert [events[0]["id"] for events in pretender.batches] == ["e0", "e1", "e2"]
    assert f"x-write-key: {KEY}" in pretender.heads[0]
    assert "application/cloudevents-batch+json" in pretender.heads[0]


def test_requests_that_overlap_have_connections_of_their_own() -> None:
    pretender = Pretender()

    async def work(port: int) -> None:
        load = Load(port)
        for _ in range(3):
            load.post(b"[]")
        await until(lambda: len(load._free) == 3)

    run(work, pretender)
    assert pretender.connections == 3


def test_a_request_that_is_not_accepted_is_counted() -> None:
    pretender = Pretender("429 Too Many Requests")

    async def work(port: int) -> None:
        load = Load(port)
        load.post(b"[]")
        await until(lambda: load._free)
        assert load.refused == 1

    run(work, pretender)


def test_many_events_go_in_batches_one_after_the_other() -> None:
    pretender = Pretender()
    events = [bench._event(f"e{number}", "page.viewed", "p") for number in range(1_200)]

    async def work(port: int) -> None:
        await Load(port).send_all(events)
        await until(lambda: len(pretender.batches) == 3)

    run(work, pretender)
    assert [len(batch) for batch in pretender.batches] == [500, 500, 200]
    assert [event for batch in pretender.batches for event in batch] == events


def test_a_steady_load_holds_one_cry_for_help_of_each_customer() -> None:
    pretender = Pretender()
    seconds = 0.4
    customers = [f"customer-{number}" for number in range(4)]

    async def work(port: int) -> None:
        watching = [Watching() for _ in customers]
        for one in watching:
            one.data_received(OPENED)

        def taken(event: dict[str, object]) -> None:
            if event["type"] == "help.wanted":
                watching[customers.index(str(event["subject"]))].data_received(MESSAGE)

        pretender.taken = taken
        load = Load(port)
        await bench._steady(load, customers, watching, seconds)
        assert all(one.received > one.sent > 0 for one in watching)

    run(work, pretender)
    sent = [event for batch in pretender.batches for event in batch]
    assert len(sent) == seconds * bench.EVENTS_PER_SECOND
    assert len({event["id"] for event in sent}) == len(sent)
    asked = [event["subject"] for event in sent if event["type"] == "help.wanted"]
    assert sorted(map(str, asked)) == customers


def test_a_refusal_ends_the_run() -> None:
    async def work(port: int) -> None:
        load, watching = Load(port), Watching()
        load.refused = watching.received = 1
        with pytest.raises(AssertionError, match="1 requests were refused"):
            await bench._steady(load, ["customer-0"], [watching], 0.1)

    run(work, Pretender())


def test_a_request_without_an_answer_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "PATIENCE", 0.0)

    async def work(port: int) -> None:
        load, watching = Load(port), Watching()
        load.unanswered = 1
        watching.received = 1.0
        with pytest.raises(AssertionError, match="1 requests were not answered"):
            await bench._steady(load, ["customer-0"], [watching], 0.0)

    run(work, Pretender())


def test_a_stream_is_opened_with_a_token_of_its_customer() -> None:
    pretender = Pretender()

    async def work(port: int) -> None:
        await bench._open(port, "customer-7", Idle())

    run(work, pretender)
    (head,) = pretender.heads
    token = head.partition("token=")[2].partition(" ")[0]
    assert jwt.decode(token, SECRET, ["HS256"])["sub"] == "customer-7"


def test_a_stream_that_is_not_opened_fails() -> None:
    async def work() -> None:
        stream = Idle()
        stream.data_received(b"HTTP/1.1 401 Unauthorized\r\n\r\n")
        with pytest.raises(RuntimeError, match="401"):
            await stream.opened

    asyncio.run(work())


def test_a_message_is_timed_when_it_comes_and_a_heartbeat_is_none() -> None:
    async def work() -> None:
        stream = Watching()
        stream.data_received(OPENED)
        stream.data_received(b": heartbeat\n\n")
        assert not stream.received
        stream.data_received(MESSAGE)
        assert stream.received > 0
        with pytest.raises(AssertionError, match="told twice"):
            stream.data_received(MESSAGE)

    asyncio.run(work())


def _watched(took: list[float]) -> list[Watching]:
    async def made() -> list[Watching]:
        found = []
        for milliseconds in took:
            one = Watching()
            one.sent, one.received = 10.0, 10.0 + milliseconds / 1000
            found.append(one)
        return found

    return asyncio.run(made())


def test_figures_count_in_fsyncs_measured_meanwhile(tmp_path: Path) -> None:
    server = Served(tmp_path, 1, {"worker": os.getpid()})
    watching = _watched([float(number) for number in range(1, 101)])
    found = bench._figures(10_000, watching, [0.004, 0.002, 0.001], {"worker": 1.0}, server, 5.0)
    by_name = {figure.what.removesuffix(", 10,000 idle streams"): figure for figure in found}
    assert len(by_name) == len(found) == 6
    half, most = by_name["event to message, p50"], by_name["event to message, p99"]
    assert half.value == pytest.approx(51)
    assert most.value == by_name["event to message, most"].value == pytest.approx(100)
    assert half.at_most == pytest.approx(10 + 4 * 2)
    assert most.at_most == pytest.approx(50 + 10 * 2)
    assert half.id == most.id == "F9"
    assert by_name["worker, busy"].value == pytest.approx(20)
    assert by_name["worker, memory"].value > 1


def test_a_message_that_never_came_is_no_figure(tmp_path: Path) -> None:
    watching = _watched([1.0, 2.0])
    watching[1].received = 0.0
    with pytest.raises(AssertionError, match="1 messages never came"):
        bench._figures(0, watching, [0.001], {}, Served(tmp_path, 1, {}), 1.0)
