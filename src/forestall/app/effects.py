"""The app process: carries out interventions, holds the event streams, shows the console."""

import asyncio
import resource
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import httpx
import msgspec
import structlog

from forestall.app.agents import Know, join_agents
from forestall.app.applying import Applying
from forestall.app.canary import keep_canaries
from forestall.app.casework import casework, desks
from forestall.app.edge import PREFIX as EDGE
from forestall.app.edge import Edge, Offered
from forestall.app.flags import provide, switched_on
from forestall.app.gauges import Standing
from forestall.app.handover import Adopting
from forestall.app.judging import Judging
from forestall.app.knowing import keep_reading, open_stock
from forestall.app.lifecycle import open_desk
from forestall.app.monitoring import keep_looking
from forestall.app.staff import Staff
from forestall.app.wake import APP_BELL, Bell
from forestall.channels.base import Channels
from forestall.channels.feed import PATH as STREAM
from forestall.channels.inapp import Hub
from forestall.channels.outbound import outbound
from forestall.channels.parking import HEALTH_FILE, SqliteHealth
from forestall.channels.webhook import WebhookChannel
from forestall.console import flags_api, lifecycle_api
from forestall.console.api import Api
from forestall.console.lifecycle_api import Desk
from forestall.console.overview import Overview
from forestall.console.page import build as build_console
from forestall.console.watch import Watch
from forestall.context.knowledge.stock import Stock
from forestall.contracts.flags import CONSOLE
from forestall.decide.passes import Memory
from forestall.ingest.exchange import App, Receive, Refuse, Response, Scope, Send, problem, respond
from forestall.ingest.serve import Server, listen
from forestall.ingest.writers import internal_key
from forestall.intervene.actions.load import load_workshop
from forestall.intervene.run import Interventions, open_interventions
from forestall.kernel.clock import Clock, chance, monotonic, random_id, wall_clock, within
from forestall.kernel.database.files import open_database
from forestall.kernel.settings import Settings
from forestall.kernel.telemetry import exposition
from forestall.log.port import LogMissing
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import CONTROL, DECIDED
from forestall.privacy.door import Door
from forestall.privacy.keys import load_keys
from forestall.privacy.masking import finder
from forestall.privacy.tokens import SubjectToken, TokenInvalid
from forestall.privacy.vault import Vault

LOOPBACK = "127.0.0.1"
"""Where the app process listens, whatever ``[server] host`` says: only the gateway connects."""

GRACE_SECONDS = 3
"""Seconds that open answers get when the server stops."""

METRICS_PATH = "/metrics/app"
WATCH_EVERY = 0.5
"""Seconds between two looks at the declarations of actions."""

MOST_STREAMS, ENOUGH_STREAMS, OWN_FILES = 50_000, 10_000, 500
"""Event streams that are open at most, those below which a warning is due, and files besides."""

_log = structlog.get_logger("app")


async def run_app(settings: Settings, stop: asyncio.Event) -> None:
    """Carry out what is decided until ``stop``."""
    if not await _laid(settings, stop):
        return
    async with AsyncExitStack() as stack:
        control = _reading(settings.data / "worker.db", stack)
        flags = provide(control, settings.flags.provider)
        stock = open_stock(settings)
        interventions, staff, know = await _interventions(settings, stock, stack)
        desk = open_desk(settings, control, interventions.store, wall_clock)
        if desk.registry is not None:
            stack.callback(desk.registry.close)
        hub = _hub(settings, interventions, stack)
        if hub is not None:
            interventions.tell(hub)

        def use(stock: Stock) -> None:
            interventions.use(stock.runbooks)
            know(stock)

        poll = _polling(settings, stack, stop)
        _beside(staff.office.approving.run(stop), stack, stop)
        _beside(flags.run(stop), stack, stop)
        _beside(keep_looking(settings, stop), stack, stop)
        _beside(keep_reading(stock, use, interventions.now, stop), stack, stop)
        judging = Judging(random_id)
        stack.push_async_callback(judging.close)
        standing = Standing(
            settings, desk.registry, lambda: control.last(CONTROL), judging, wall_clock
        )
        _beside(standing.run(stop), stack, stop)
        if desk.registry is not None:
            _beside(keep_canaries(settings, desk.registry, wall_clock, stop), stack, stop)
        api = _api(settings, staff, desk, judging)
        edge = _edge(settings, stock, interventions.now, stack)
        app = _routes(hub, edge, build_console(poll, monotonic), api)
        await _serve(settings, app, hub, interventions, stop)


def _reading(path: Path, stack: AsyncExitStack) -> SqliteLog:
    log = SqliteLog(path, read_only=True)
    stack.callback(log.close)
    return log


async def _interventions(
    settings: Settings, stock: Stock, stack: AsyncExitStack
) -> tuple[Interventions, Staff, Know]:
    """What carries out, the people who have a say in it, and who is told what is known. Each asks the
    other for something."""
    data = settings.data
    signals, decisions = (_reading(data / name, stack) for name in ("gateway.db", "worker.db"))
    door = stack.enter_context(Door(data / "gateway.db"))
    client = await stack.enter_async_context(outbound(settings.outbound))
    webhooks = _webhooks(settings, client, stack, lambda: interventions.now())
    workshop = await stack.enter_async_context(
        load_workshop(settings, client=client, clock=wall_clock, watch=WATCH_EVERY)
    )
    know = await stack.enter_async_context(join_agents(settings, workshop, client))
    staff = Staff(
        settings,
        log_time=lambda: interventions.now(),
        workshop=workshop,
        demands=workshop.demands,
    )
    interventions = await stack.enter_async_context(
        open_interventions(
            data,
            signals=signals,
            decisions=decisions,
            runbooks=stock.runbooks,
            channels=Channels(webhooks.values()),
            queues=desks(settings, webhooks, client),
            door=door,
            gateway=settings.server.url,
            key=internal_key(data, random_id),
            clock=wall_clock,
            ids=random_id,
            event_clock=settings.ingest.clock == "event",
            tables=settings.database,
            workshop=staff.workshop,
            approvals=staff.approvals,
            paused=staff.paused,
            casework=casework(settings, stack),
            finder=finder(settings.privacy.find),
        )
    )
    return interventions, staff, know


def _polling(
    settings: Settings, stack: AsyncExitStack, stop: asyncio.Event
) -> Callable[[], Overview]:
    """What looks at how things stand for the console, one look at a time; it is kept up to date."""
    watch = _watch(settings)
    stack.callback(watch.close)
    turn = threading.Lock()

    def poll() -> Overview:
        with turn:
            return watch.poll()

    watching = asyncio.create_task(keep_watching(poll, stop))
    stack.push_async_callback(_ended, watching, stop)
    return poll


def _api(settings: Settings, staff: Staff, desk: Desk, judging: Judging) -> Api:
    """The operators' API, with all that extends it."""
    applying = Applying(desk, judging, str(settings.file))
    desk = msgspec.structs.replace(desk, backtest=applying.backtest)
    extensions = (
        lifecycle_api.extension(desk),
        applying.extension(),
        flags_api.extension(desk),
    )
    return Api(staff.office, *extensions)


def _webhooks(
    settings: Settings, client: httpx.AsyncClient, stack: AsyncExitStack, log_time: Clock
) -> dict[str, WebhookChannel]:
    health = SqliteHealth(settings.data / HEALTH_FILE)
    stack.callback(health.close)
    return {
        name: WebhookChannel(
            name,
            webhook,
            client=client,
            health=health,
            now=wall_clock,
            log_time=log_time,
            chance=chance,
            new_id=random_id,
        )
        for name, webhook in settings.webhooks.items()
    }


def _hub(settings: Settings, interventions: Interventions, stack: AsyncExitStack) -> Hub | None:
    """The hub, where the deployment has a secret to check subject tokens with."""
    if settings.tokens.secret is None:
        return None
    return Hub(
        messages=interventions.inbox,
        identify=identifier(settings, stack),
        secret=settings.tokens.secret,
        now=wall_clock,
        log_time=interventions.now,
        origins=settings.ingest.cors_origins,
        sent=lambda message, now: interventions.shown(message.id, now),
        streams=most_streams(),
    )


def _edge(settings: Settings, stock: Stock, log_time: Clock, stack: AsyncExitStack) -> Edge:
    """What gives pages their bundles and passes."""
    worker = _reading(settings.data / "worker.db", stack)
    edge = Edge(
        folder=settings.data,
        offered=Offered(worker, lambda: stock.runbooks, log_time),
        memory=Memory(_reading(settings.data / "gateway.db", stack), worker),
        identify=identifier(settings, stack),
        secret=settings.tokens.secret,
        now=wall_clock,
        ids=random_id,
        origins=settings.ingest.cors_origins,
    )
    stack.callback(edge.close)
    return edge


def identifier(settings: Settings, stack: AsyncExitStack) -> Callable[[SubjectToken], str | None]:
    """Gives the pseudonym of whom a token speaks, as the gateway knows them by now."""
    connection = open_database(settings.data / "gateway.db", read_only=True)
    stack.callback(connection.close)
    vault = Vault(connection, load_keys(settings.data, random_id), random_id)

    def identify(token: SubjectToken) -> str | None:
        vault.begin()
        if token.subject_id is not None:
            return vault.resolve("user", token.subject_id)
        pseudonym = vault.resolve("anonymous", token.anonymous_id or "")
        if pseudonym is not None and vault.owned(pseudonym):
            raise TokenInvalid(
                "somebody signed in with this anonymous id; connect with a token for the user"
            )
        return pseudonym

    return identify


def most_streams() -> int:
    """As many as may be open at once, with room for our own files and the console's."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = max(100, min(MOST_STREAMS, files - OWN_FILES))
    if most < ENOUGH_STREAMS:
        _log.warning(
            "few event streams can be open at a time; allow more open files (ulimit -n, or"
            " LimitNOFILE= of a systemd unit)",
            streams=most,
            open_files=files,
        )
    return most


def _watch(settings: Settings) -> Watch:
    def opened(name: str) -> SqliteLog:
        return SqliteLog(settings.data / name, read_only=True)

    return Watch(
        lambda: opened("gateway.db"),
        lambda: opened("worker.db"),
        cursor=DECIDED,
        monotonic=monotonic,
    )


def _routes(hub: Hub | None, edge: App, console: App, api: Api) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path")
        if path == METRICS_PATH:
            body, content_type = exposition()
            await respond(send, Response(200, body, content_type), {})
        elif api.serves(str(path)):
            await api(scope, receive, send)
        elif str(path).startswith(EDGE):
            await edge(scope, receive, send)
        elif path != STREAM:
            if switched_on(CONSOLE, otherwise=True):
                await console(scope, receive, send)
            else:
                off = Refuse(503, "switched-off", "the flag `console` is off in this deployment")
                await respond(send, problem(off), {})
        elif hub is not None:
            await hub(scope, receive, send)
        else:
            refuse = Refuse(501, "no-token-secret", "set [tokens] secret to open event streams")
            await respond(send, problem(refuse), {})

    return app


async def _serve(
    settings: Settings, app: App, hub: Hub | None, interventions: Interventions, stop: asyncio.Event
) -> None:
    bound = listen(LOOPBACK, settings.server.app_port, "app_port")
    host, port = bound.getsockname()[:2]
    address = settings.data / "app.address"
    server = Server(app, GRACE_SECONDS)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    working = asyncio.create_task(interventions.run())
    bell = Bell(settings.data / APP_BELL)
    adopting = Adopting(bell, server, interventions.tapped)
    stopping = asyncio.create_task(stop.wait())
    try:
        address.write_text(f"http://{host}:{port}")
        _log.info("carrying out", address=f"{host}:{port}")
        await asyncio.wait({serving, working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        address.unlink(missing_ok=True)
        await adopting.close()
        bell.close()
        if hub is not None:
            hub.close()
        interventions.stop()
        server.should_exit = True
        stop.set()
        await asyncio.gather(serving, working)
        await stopping


async def _laid(settings: Settings, stop: asyncio.Event) -> bool:
    """Wait until the other two have laid their files; false if stopped before."""
    while not await within(stop, 0.02):
        with suppress(LogMissing, sqlite3.OperationalError):
            SqliteLog(settings.data / "worker.db", read_only=True).close()
            with Door(settings.data / "gateway.db") as door:
                door.state("")
            return True
    return False


async def keep_watching(poll: Callable[[], object], stop: asyncio.Event) -> None:
    """Look every second, so that whoever opens the console sees the minute before."""
    while not await within(stop, 1.0):
        await asyncio.to_thread(poll)


def _beside(work: Coroutine[None, None, None], stack: AsyncExitStack, stop: asyncio.Event) -> None:
    """Do ``work`` beside everything else; where it ends, everything does."""
    task = asyncio.create_task(work)
    task.add_done_callback(lambda _: stop.set())
    stack.push_async_callback(_ended, task, stop)


async def _ended(task: asyncio.Task[None], stop: asyncio.Event) -> None:
    stop.set()
    await task
