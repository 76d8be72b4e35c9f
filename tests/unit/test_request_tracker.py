"""Request Tracker when the network fails, hangs and lies; what it does well is in the port suite."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest

from forestall.channels.helpdesk.port import BEGINNING, HelpdeskUnavailable, InvalidHelpdesk, tagged
from forestall.channels.helpdesk.request_tracker import RequestTrackerHelpdesk
from forestall.channels.outbound import outbound
from forestall.contracts.instants import SECOND
from forestall.contracts.intervention import Case
from forestall.kernel.settings import Outbound, RequestTracker

pytestmark = pytest.mark.anyio

KEY = "ab" * 16
NOTHING: dict[str, Any] = {"items": []}
CASE = Case(
    id=KEY,
    intervention="d-1",
    queue="payments",
    customer="p-1",
    policy="card-declined",
    title="Card declined twice",
    why="2 x payment.declined in 10m",
    at="2024-05-01T12:00:00.000000Z",
    events=(),
    features={},
    taken=(),
    advice=None,
    trace=None,
)

Reply = tuple[int, Any] | tuple[int, Any, str] | None
"""Status, JSON and a header line; none breaks the connection off."""

Act = Callable[[str, str, Any], Awaitable[Reply]]
"""What a server answers to a method, a path and JSON."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Fake:
    """A server on loopback that keeps tickets, and fails as it is told to."""

    def __init__(self) -> None:
        self.tickets: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self.plan: list[Act] = []

    async def answer(self, method: str, path: str, body: Any) -> Reply:
        self.asked.append((method, path))
        if self.plan:
            return await self.plan.pop(0)(method, path, body)
        return await self.well(method, path, body)

    async def well(self, method: str, path: str, body: Any) -> Reply:
        if method == "GET":
            items = [{"id": str(one + 1), "Subject": name} for one, name in enumerate(self.tickets)]
            return 200, {"items": items if "/tickets" in path else []}
        if method == "POST" and path.endswith("/ticket"):
            self.tickets.append(body["Subject"])
            return 201, {"id": str(len(self.tickets))}
        return 200, []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *headers = head.split("\r\n")
            method, target, _ = line.split(" ")
            sizes = [one for one in headers if one.lower().startswith("content-length:")]
            length = int(sizes[0].split(":")[1]) if sizes else 0
            content = await reader.readexactly(length)
            reply = await self.answer(
                method, target.partition("?")[0], json.loads(content) if content else None
            )
            if reply is not None:
                status, body, *extra = reply
                text = body if isinstance(body, bytes) else json.dumps(body).encode()
                said = [f"HTTP/1.1 {status} X", f"content-length: {len(text)}", *map(str, extra)]
                writer.write("\r\n".join([*said, "connection: close", "", ""]).encode() + text)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class Bench:
    def __init__(self, url: str, client: httpx.AsyncClient, **settings: Any) -> None:
        self.url, self.wall = url, 1_700_000_000 * SECOND
        defaults: dict[str, Any] = {"url": url, "token": "1-2-secret", "queue": "payments"}
        self.helpdesk = RequestTrackerHelpdesk(
            "rt",
            RequestTracker(**defaults | settings),
            client=client,
            now=lambda: self.wall,
        )


@asynccontextmanager
async def fake(**settings: Any) -> AsyncIterator[tuple[Fake, Bench]]:
    server = Fake()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, httpx.AsyncClient(trust_env=False) as client:
        yield server, Bench(f"http://127.0.0.1:{port}", client, **settings)


def answering(*reply: Any) -> Act:
    async def act(_method: str, _path: str, _body: Any) -> Reply:
        return cast("Reply", reply or None)

    return act


async def hanging(_method: str, _path: str, _body: Any) -> Reply:
    await asyncio.Event().wait()
    return None


def after_doing(server: Fake, *reply: Any) -> Act:
    async def act(method: str, path: str, body: Any) -> Reply:
        await server.well(method, path, body)
        return await answering(*reply)(method, path, body)

    return act


async def test_a_good_day() -> None:
    async with fake() as (server, bench):
        delivery = await bench.helpdesk.create(CASE, KEY)
        assert (delivery.outcome, delivery.ticket, delivery.attempts) == ("delivered", "1", 1)
        assert server.tickets == [f"{tagged(KEY)} Card declined twice"]
        assert [method for method, _ in server.asked] == ["GET", "POST", "GET"]


@pytest.mark.parametrize(
    "header", ["retry-after: 120", "retry-after: Tue, 14 Nov 2023 22:15:20 GMT"]
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_asks_for_time_gets_it(status: int, header: str) -> None:
    async with fake() as (server, bench):
        server.plan = [answering(status, {}, header)]
        delivery = await bench.helpdesk.create(CASE, KEY)
        assert (delivery.outcome, delivery.again, delivery.status) == ("failed", True, status)
        assert delivery.retry_after == 120 * SECOND
        bench.wall += 119 * SECOND
        early = await bench.helpdesk.create(CASE, "cd" * 16)
        assert (early.again, early.retry_after) == (True, SECOND)
        assert len(server.asked) == 1
        bench.wall += SECOND
        assert (await bench.helpdesk.create(CASE, KEY)).outcome == "delivered"


async def test_an_answer_that_got_lost_is_looked_up_and_not_repeated() -> None:
    for lost in [(), (500, {}), (200, b"<html>"), (201, {"id": 5})]:
        async with fake() as (server, bench):
            server.plan = [server.well, after_doing(server, *lost)]
            first = await bench.helpdesk.create(CASE, KEY)
            second = await bench.helpdesk.create(CASE, KEY)
            assert first.outcome != "failed" or first.again, lost
            assert (second.outcome, second.ticket) == ("delivered", "1")
            assert len(server.tickets) == 1


async def test_a_server_that_hangs_while_it_creates_leaves_it_uncertain() -> None:
    async with fake(timeout="200ms") as (server, bench):
        server.plan = [server.well, hanging]
        delivery = await bench.helpdesk.create(CASE, KEY)
    assert (delivery.outcome, delivery.reason, delivery.again) == ("uncertain", "timeout", True)


async def test_a_server_that_hangs_while_it_looks_up_has_done_nothing() -> None:
    async with fake(timeout="200ms") as (server, bench):
        server.plan = [hanging]
        delivery = await bench.helpdesk.create(CASE, KEY)
    assert (delivery.outcome, delivery.reason, delivery.again) == ("failed", "timeout", True)


async def test_a_connection_that_breaks_is_uncertain_only_once_it_mattered() -> None:
    async with fake() as (server, bench):
        server.plan = [answering(), server.well, answering()]
        before = await bench.helpdesk.create(CASE, KEY)
        during = await bench.helpdesk.create(CASE, KEY)
    assert (before.outcome, during.outcome) == ("failed", "uncertain")
    assert before.again
    assert during.again


async def test_a_server_that_is_not_there_is_waited_for() -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        bench = Bench("http://127.0.0.1:1", client)
        delivery = await bench.helpdesk.create(CASE, KEY)
        assert (delivery.outcome, delivery.reason, delivery.again) == (
            "failed",
            "unreachable",
            True,
        )
        with pytest.raises(HelpdeskUnavailable, match="helpdesks"):
            await bench.helpdesk.find(KEY)


async def test_a_private_address_has_to_be_allowed() -> None:
    async with fake() as (server, bench):
        async with outbound(Outbound()) as client:
            delivery = await Bench(bench.url, client).helpdesk.create(CASE, KEY)
        assert (delivery.outcome, delivery.reason, delivery.again) == ("failed", "refused", False)
        assert server.asked == []
        allowed = Outbound(allow=(bench.url.removeprefix("http://"),))
        async with outbound(allowed) as client:
            delivery = await Bench(bench.url, client).helpdesk.create(CASE, KEY)
        assert delivery.outcome == "delivered"


@pytest.mark.parametrize("call", ["find", "changes"])
async def test_asking_raises_where_it_cannot_be_asked(call: str) -> None:
    async with fake() as (server, bench):
        server.plan = [answering(503, {}, "retry-after: 7"), answering(403, {"message": "no"})]
        argument = KEY if call == "find" else BEGINNING
        with pytest.raises(HelpdeskUnavailable) as raised:
            await getattr(bench.helpdesk, call)(argument)
        assert (raised.value.refused, raised.value.retry_after) == (False, 7 * SECOND)
        bench.wall += 8 * SECOND
        with pytest.raises(HelpdeskUnavailable, match="403") as raised:
            await getattr(bench.helpdesk, call)(argument)
        assert raised.value.refused


async def test_comments_and_closing_say_how_they_failed() -> None:
    async with fake() as (server, bench):
        server.plan = [answering(429, {}, "retry-after: 1")]
        assert (await bench.helpdesk.comment("1", "x", KEY)).retry_after == SECOND
        bench.wall += SECOND
        server.plan = [server.well, answering(403, {"message": "no"})]
        assert (await bench.helpdesk.close("1", "x", KEY)).reason == "refused"
        server.tickets.clear()
        gone = await bench.helpdesk.close("7", "x", KEY)
        assert "no ticket 7" in gone.detail


async def test_a_change_that_makes_no_sense_is_left_out() -> None:
    transaction = {"type": "transaction", "ObjectId": "1", "Created": "2023-11-14T22:13:20Z"}
    async with fake(satisfaction="Satisfaction") as (server, bench):
        items = [
            transaction | {"id": "1", "Type": "Status", "OldValue": "new"},
            transaction | {"id": "2", "Type": "CustomField", "Field": "9"},
            transaction | {"id": "3", "Type": "Set", "Field": "Subject"},
            transaction | {"id": "4", "Type": "Create", "ObjectId": "77"},
            transaction | {"id": "5", "Type": "Create"},
        ]
        ticket = {"id": "1", "Subject": tagged(KEY), "CustomFields": ""}
        server.plan = [answering(200, {"items": items}), answering(200, {"items": [ticket]})]
        found = await bench.helpdesk.changes(BEGINNING)
    assert [(one.kind, one.id.rpartition("/")[2]) for one in found.changes] == [("opened", "5")]
    assert (found.cursor, found.more) == ("5", False)


@pytest.mark.parametrize("wrong", [{"Created": "yesterday"}, {"id": "x"}, {"ObjectId": "x"}])
async def test_an_answer_that_makes_no_sense_is_asked_for_again(wrong: dict[str, str]) -> None:
    plain = {"id": "1", "Type": "Create", "ObjectId": "1", "Created": "2023-11-14T22:13:20Z"}
    async with fake() as (server, bench):
        server.plan = [answering(200, {"items": [plain | wrong]})]
        with pytest.raises(HelpdeskUnavailable, match="makes no sense"):
            await bench.helpdesk.changes(BEGINNING)


async def test_nothing_new_leaves_the_cursor_where_it_is() -> None:
    async with fake() as (server, bench):
        server.plan = [answering(200, NOTHING)]
        assert (await bench.helpdesk.changes("41")).cursor == "41"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "rt.example.com"}, "url"),
        ({"url": "ftp://rt.example.com"}, "url"),
        ({"url": "http://[::1"}, "url"),
        ({"url": "https://rt.example.com", "solved": ()}, "solved"),
    ],
)
async def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], said: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(InvalidHelpdesk, match=rf"\[helpdesks\.rt\] {said}"):
            Bench(settings.pop("url"), client, **settings)


async def test_the_token_is_never_told() -> None:
    async with fake() as (server, bench):
        server.plan = [answering(401, {"message": "Unauthorized"})]
        delivery = await bench.helpdesk.create(CASE, KEY)
    assert "secret" not in repr(delivery)
