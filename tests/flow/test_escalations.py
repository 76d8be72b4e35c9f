"""From an escalation to a solved ticket and back, with a real helpdesk, an outage and the loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import jsonschema_rs
import msgspec
import uvicorn

from flow.intervening import DECLINED_TWICE, START, World, event
from flow.reaching import OpenDoor
from flow.staying import ESCALATED, Desks
from flow.test_intervene_run import Loopback
from forestall.channels.base import Channels
from forestall.channels.helpdesk.memory import MemoryHelpdesk
from forestall.channels.helpdesk.port import tag
from forestall.channels.helpdesk.request_tracker import RequestTrackerHelpdesk
from forestall.contracts.case import case_schema
from forestall.contracts.instants import HOUR, MINUTE, SECOND
from forestall.intervene.queues import HelpdeskDesk
from forestall.intervene.run import open_interventions
from forestall.intervene.tickets import Casework
from forestall.kernel.clock import wall_clock
from forestall.kernel.settings import Queue, RequestTracker
from forestall.log.streams import SIGNALS, read_signals
from ports.desks import rt
from scripts.request_tracker import Server

__all__ = ["rt"]

SCHEMA = jsonschema_rs.Draft202012Validator(msgspec.json.decode(case_schema()))


class Switch:
    """Stands before a helpdesk on loopback: while it is off, nobody answers."""

    def __init__(self, target: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._host, self._to = target.removeprefix("http://").split(":")

    @contextlib.asynccontextmanager
    async def on(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        async with server:
            yield

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        away, back = await asyncio.open_connection(self._host, int(self._to))
        await asyncio.gather(_copy(reader, back), _copy(away, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()
    writer.close()


def test_a_helpdesk_that_is_down_for_an_hour_gets_every_case_once(
    tmp_path: Path, rt: Server
) -> None:
    switch = Switch(rt.url)
    with _helpdesk(f"http://127.0.0.1:{switch.port}", rt) as helpdesk:
        desks = Desks(
            tmp_path,
            queues={"payments": Queue(helpdesk="rt", ack="10m", next="payments-lead")},
            helpdesks={"rt": helpdesk},
        )
        effect = desks.world.store.effects.waiting(START * 2, 1)[0]
        key = effect.key
        began = desks.around.now()
        while desks.around.now() < began + HOUR:
            (waiting,) = desks.world.store.effects.waiting(START * 2, 1)
            desks.around.seconds = max(desks.around.seconds, (waiting.not_before - START) / SECOND)
            said = asyncio.run(desks.deliveries.attempt(key, waiting.attempt))
            assert said == "again"
        assert waiting.attempt < 20
        assert desks.rows() == {}

        async def back_again() -> str:
            async with switch.on():
                waiting = desks.world.store.effects.waiting(START * 2, 1)[0]
                return await desks.deliveries.attempt(key, waiting.attempt)

        assert asyncio.run(back_again()) == "delivered"
        with rt.person("ann") as ann:
            query = {"query": f"Subject LIKE '{tag(key)}'", "fields": "Subject"}
            (ticket,) = ann.get("tickets", params=query).json()["items"]
        assert desks.row("payments").ticket == ticket["id"]


def test_what_people_do_in_the_helpdesk_reaches_the_log_and_the_customer(
    tmp_path: Path, rt: Server
) -> None:
    with _helpdesk(rt.url, rt) as helpdesk:
        desks = Desks(
            tmp_path,
            queues={
                "payments": Queue(helpdesk="rt", ack="10m", next="lead"),
                "lead": Queue(helpdesk="rt"),
            },
            helpdesks={"rt": helpdesk},
        )
        with desks.world.store.transaction():
            desks.escalations.move("rt", f"@{wall_clock() - MINUTE}")
        ticket = desks.hand_over()
        SCHEMA.validate(msgspec.json.decode(desks.row("payments").body))
        assert desks.pass_on(ESCALATED + 600) == 1
        lead = desks.row("lead").ticket
        assert lead not in (None, ticket)
        with rt.person("ann") as ann:
            ann.put(f"ticket/{lead}", json={"Owner": "ann"}).raise_for_status()
            ann.put(f"ticket/{lead}", json={"Status": "resolved"}).raise_for_status()
            rated = {"CustomFields": {"Satisfaction": "good"}}
            ann.put(f"ticket/{lead}", json=rated).raise_for_status()
            notes = ann.get(f"ticket/{ticket}/attachments", params={"fields": "Content"}).json()
        assert any(f"lead has it now as {lead}" in one["Content"] for one in notes["items"])
        desks.poll("rt")
        ours = [
            (word, data.get("by") or data.get("score"))
            for word, data in desks.events()
            if data.get("intervention") == desks.intervention
            and word.startswith(("ticket", "intervention.taken"))
        ]
        assert ours == [
            ("ticket.opened", None),
            ("ticket.opened", None),
            ("intervention.taken", "ann"),
            ("ticket.closed", None),
            ("ticket.rated", 5.0),
        ]
        (message,) = desks.published
        assert message.body == "We have solved this for you."
        assert {"taken", "ticket_solved", "ticket_rated"} <= set(desks.course())


@contextlib.contextmanager
def _helpdesk(url: str, rt: Server) -> Iterator[RequestTrackerHelpdesk]:
    """The connector; each call runs in an event loop of its own, so connections are not kept."""
    settings = RequestTracker(
        url, rt.tokens["forestall"], "payments", satisfaction="Satisfaction", timeout="60s"
    )
    limits = httpx.Limits(max_keepalive_connections=0)
    client = httpx.AsyncClient(trust_env=False, limits=limits)
    yield RequestTrackerHelpdesk("rt", settings, client=client, now=wall_clock)
    asyncio.run(client.aclose())


def test_the_whole_loop_hears_of_tickets_by_itself(tmp_path: Path) -> None:
    world = World(tmp_path, DECLINED_TWICE)
    world.store.close()

    def clock() -> int:
        return START + 10**6 * SECOND

    helpdesk = MemoryHelpdesk("desk", clock)

    async def main() -> None:
        config = uvicorn.Config(Loopback(world), port=0, log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        await _until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with open_interventions(
            world.folder,
            signals=world.signals,
            decisions=world.decisions,
            runbooks=world.runbooks,
            channels=Channels([]),
            queues={"payments": HelpdeskDesk(helpdesk)},
            door=OpenDoor(),
            gateway=f"http://127.0.0.1:{port}",
            key="k",
            clock=clock,
            ids=lambda: "an-id",
            event_clock=True,
            casework=Casework(
                queues={"payments": Queue(helpdesk="desk")},
                polls={"desk": 20_000},
                links={"Shop": "https://shop.example/{customer}?i={intervention}"},
                personal={"payment.declined": frozenset({"order_id"})},
            ),
        ) as app:
            running = asyncio.create_task(app.run())
            world.accept(
                event("forestall.identify", -5, traits={"plan": "gold"}),
                event("payment.declined", 0, order_id="o1"),
                event("payment.declined", 10, order_id="o2"),
            )
            world.decide()
            await _until(lambda: bool(app.inbox.after("s1", None, app.now())))
            world.tick(15 * 60)
            await _until(lambda: bool(helpdesk.tickets))
            (ticket,) = helpdesk.tickets
            helpdesk.take(ticket, "ann")
            helpdesk.solve(ticket, "ann")
            await _until(lambda: "forestall.ticket.closed" in _types(world))

            def told() -> bool:
                said = [one.body for one in app.inbox.after("s1", None, app.now())]
                return said[-1:] == ["We have solved this for you."]

            await _until(told)
            app.stop()
            await running
        server.should_exit = True
        await serving

    asyncio.run(main())
    case = helpdesk.tickets["1"].case
    SCHEMA.validate(msgspec.json.decode(msgspec.json.encode(case)))
    assert case.links == {"Shop": f"https://shop.example/s1?i={case.intervention}"}
    assert case.traits == {"plan": "gold"}
    assert [one.type for one in case.timeline if one.matched] == ["payment.declined"] * 2
    assert [one.title for one in case.seen] == ["Your card was declined"]
    assert case.reply == "Order o2 on your gold plan is safe."
    assert [(one.runbook, one.version) for one in case.runbooks] == [("card-declined", 1)]
    assert [one.policy for one in case.hypotheses] == ["card-declined"]
    assert case.consent is not None
    assert "forestall.intervention.taken" in _types(world)


def _types(world: World) -> list[str]:
    return [one.type for batch in world.signals.read(SIGNALS) for one in read_signals(batch)]


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.005)
