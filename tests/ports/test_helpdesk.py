"""What every helpdesk does, proved for the in-memory twin, Request Tracker and e-mail."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from forestall.channels.helpdesk import request_tracker
from forestall.channels.helpdesk.memory import MemoryHelpdesk
from forestall.channels.helpdesk.port import (
    BEGINNING,
    tag,
)
from forestall.channels.helpdesk.request_tracker import RequestTrackerHelpdesk
from forestall.kernel.clock import wall_clock
from forestall.kernel.settings import RequestTracker
from ports.desks import imap, post, rt
from ports.helpdesksuite import CASE, HelpdeskSuite, fresh_key, told
from scripts.request_tracker import Server

pytestmark = pytest.mark.anyio
__all__ = ["imap", "post", "rt"]


class MemoryBench:
    def __init__(self) -> None:
        self.helpdesk = MemoryHelpdesk("memory", wall_clock)

    async def now(self) -> str:
        return (await self.helpdesk.changes(BEGINNING)).cursor

    async def take(self, ticket: str) -> None:
        self.helpdesk.take(ticket, "ann")

    async def solve(self, ticket: str) -> None:
        self.helpdesk.solve(ticket, "ann")

    async def reopen(self, ticket: str) -> None:
        self.helpdesk.reopen(ticket, "ann")

    async def rate(self, ticket: str, score: int) -> None:
        self.helpdesk.rate(ticket, score)

    async def tickets(self, key: str) -> int:
        return sum(one.key == key for one in self.helpdesk.tickets.values())

    async def text(self, ticket: str) -> str:
        found = self.helpdesk.tickets[ticket]
        case = msgspec.json.encode(found.case).decode()
        return "\n".join([tag(found.key), case, *found.notes.values()])


class TestMemory(HelpdeskSuite):
    @pytest.fixture
    async def bench(self) -> MemoryBench:
        return MemoryBench()


class RequestTrackerBench:
    def __init__(self, server: Server, client: httpx.AsyncClient, **settings: object) -> None:
        self.server = server
        named = RequestTracker(
            server.url,
            server.tokens["forestall"],
            "payments",
            satisfaction="Satisfaction",
            customer="Customer",
            timeout="60s",
        )
        self.helpdesk = RequestTrackerHelpdesk(
            "rt", msgspec.structs.replace(named, **settings), client=client, now=wall_clock
        )

    async def now(self) -> str:
        """The newest transaction, which RT finds faster than all before it."""
        with self.server.person("ann") as client:
            newest = {"query": "id > 0", "orderby": "id", "order": "DESC", "per_page": "1"}
            return str(client.get("transactions", params=newest).json()["items"][0]["id"])

    def change(self, ticket: str, person: str = "ann", **values: object) -> None:
        with self.server.person(person) as client:
            client.put(f"ticket/{ticket}", json=values).raise_for_status()

    async def take(self, ticket: str) -> None:
        self.change(ticket, Owner="ann")

    async def solve(self, ticket: str) -> None:
        self.change(ticket, Status="resolved")

    async def reopen(self, ticket: str) -> None:
        self.change(ticket, Status="open")

    async def rate(self, ticket: str, score: int) -> None:
        self.change(ticket, CustomFields={"Satisfaction": str(score)})

    async def tickets(self, key: str) -> int:
        with self.server.person("ann") as client:
            query = f"Subject LIKE '{tag(key)}'"
            return int(client.get("tickets", params={"query": query}).json()["count"])

    async def text(self, ticket: str) -> str:
        with self.server.person("ann") as client:
            subject = client.get(f"ticket/{ticket}").json()["Subject"]
            found = client.get(f"ticket/{ticket}/attachments", params={"fields": "Content"}).json()[
                "items"
            ]
        return "\n".join([subject, *(one["Content"] for one in found)])


class TestRequestTracker(HelpdeskSuite):
    @pytest.fixture
    async def bench(self, rt: Server) -> AsyncIterator[RequestTrackerBench]:
        async with httpx.AsyncClient(trust_env=False) as client:
            yield RequestTrackerBench(rt, client)

    async def test_two_connectors_at_once_still_make_one_ticket(
        self, rt: Server, bench: RequestTrackerBench
    ) -> None:
        """As two processes would: nothing in memory keeps them apart."""
        key = fresh_key()
        async with httpx.AsyncClient(trust_env=False) as client:
            others = [RequestTrackerBench(rt, client) for _ in range(3)]
            made = await asyncio.gather(*(one.helpdesk.create(CASE, key) for one in others))
        assert {one.outcome for one in made} == {"delivered"}
        found = await bench.helpdesk.find(key)
        assert found in {one.ticket for one in made}
        assert await bench.tickets(key) == 1

    async def test_tickets_that_customers_open_say_whose_they_are(
        self, rt: Server, bench: RequestTrackerBench
    ) -> None:
        begin = await bench.now()
        with rt.person("ann") as client:
            made = client.post(
                "ticket",
                json={
                    "Queue": "payments",
                    "Subject": "Help!",
                    "CustomFields": {"Customer": "user-17"},
                },
            ).json()["id"]
            elsewhere = client.post("ticket", json={"Queue": "other", "Subject": "case 1"}).json()
        (opened,) = await told(bench.helpdesk, begin, made)
        assert (opened.kind, opened.tag, opened.customer) == ("opened", None, "user-17")
        assert await told(bench.helpdesk, begin, elsewhere["id"]) == []

    async def test_a_ticket_moved_to_another_queue_is_still_followed(
        self, bench: RequestTrackerBench
    ) -> None:
        begin = await bench.now()
        ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        bench.change(ticket, Queue="other")
        await bench.solve(ticket)
        assert [one.kind for one in await told(bench.helpdesk, begin, ticket)] == [
            "opened",
            "solved",
        ]

    async def test_a_ticket_given_back_is_not_taken(self, bench: RequestTrackerBench) -> None:
        begin = await bench.now()
        ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        await bench.take(ticket)
        bench.change(ticket, Owner="Nobody")
        assert [one.kind for one in await told(bench.helpdesk, begin, ticket)] == ["opened"]

    async def test_many_changes_are_read_page_by_page(
        self, bench: RequestTrackerBench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
        assert ticket is not None
        begin = await bench.now()
        await bench.solve(ticket)
        await bench.reopen(ticket)
        await bench.solve(ticket)
        monkeypatch.setattr(request_tracker, "AT_ONCE", 2)
        monkeypatch.setattr(request_tracker, "_OVERLAP", 0)
        kinds = [one.kind for one in await told(bench.helpdesk, begin, ticket)]
        assert kinds == ["solved", "reopened", "solved"]

    async def test_a_status_that_rt_does_not_have_is_not_taken_for_solved(self, rt: Server) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            bench = RequestTrackerBench(rt, client, solved=("mended",))
            ticket = (await bench.helpdesk.create(CASE, fresh_key())).ticket
            assert ticket is not None
            closed = await bench.helpdesk.close(ticket, "Done", fresh_key())
        assert (closed.outcome, closed.again) == ("failed", False)
        assert "still 'new'" in closed.detail

    @pytest.mark.parametrize(
        ("settings", "said"),
        [({"token": "1-2-wrong"}, "401"), ({"queue": "nowhere"}, "nowhere")],
    )
    async def test_wrong_settings_are_refused_and_said(
        self, rt: Server, settings: dict[str, str], said: str
    ) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            delivery = await RequestTrackerBench(rt, client, **settings).helpdesk.create(
                CASE, fresh_key()
            )
        assert (delivery.outcome, delivery.reason, delivery.again) == ("failed", "refused", False)
        assert said in delivery.detail
        assert "1-2-wrong" not in delivery.detail
