"""An app process that dies, and the world around it that does not: for the tests of crashes.

The world is in the test's process: the log, the worker, the gateway that takes reports and the other
side that actions reach, the latter two behind a real HTTP server. The app process lives in a child,
which dies at the first point where none died before, until there is no such point any more.
"""

import asyncio
import contextlib
import importlib
import json
import os
import ssl
import subprocess
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec

from certificates import trust_nobody
from flow.intake import Intake, verdicts
from flow.intervening import START, applied
from flow.reaching import OpenDoor
from forestall.channels.base import Channels, Deduplication, Delivery
from forestall.contracts.event import Record
from forestall.contracts.inference import Plan, PlannedAction
from forestall.contracts.instants import DAY
from forestall.contracts.intervention import Case, Message
from forestall.decide.stage import Stage as Worker
from forestall.intervene import run, splice
from forestall.intervene.deliver import Deliveries
from forestall.intervene.jobs import Job, Outcome
from forestall.intervene.run import Interventions, open_interventions
from forestall.intervene.store import Store
from forestall.kernel.clock import monotonic
from forestall.kernel.database.tables import Database
from forestall.log import streams
from forestall.log.sqlite import SqliteLog

FASTER = 30
"""How much faster the child's wall clock goes, so that its pauses are short."""

_PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_NURSERY = "from flow.killing import nursery; nursery()"
HOW: dict[str, Deduplication] = {"dedupes": "dedupes", "lookup": "lookup", "neither": "neither"}


PLANNED = Plan(
    message="We are on it.",
    actions=(
        PlannedAction("dedupes-first", {"n": 1}),
        PlannedAction("lookup-second"),
        PlannedAction("neither-third"),
    ),
)
"""What every agent plans."""


class Outside:
    """What lies outside the app process. ``happened`` is what the other side carried out, in order,
    as ``(what, name, key)``; ``asked`` what it was asked."""

    def __init__(self, folder: Path, policy: str) -> None:
        self.signals = SqliteLog(folder / "gateway.db")
        self.decisions = SqliteLog(folder / "worker.db")
        self.worker = Worker(self.signals, self.decisions)
        self.worker.apply([applied(policy)])
        self.happened: list[tuple[str, str, str]] = []
        self.asked: Counter[tuple[str, str]] = Counter()
        self.told: list[str] = []
        self._intake = Intake()
        self._turn = threading.Lock()

    def accept(self, *records: Record) -> None:
        """The gateway takes a batch, and the worker decides it."""
        self.signals.commit([streams.signals(records)])
        self.settle()

    def settle(self) -> None:
        """The worker decides everything that is there."""
        while self.worker.step():
            pass

    def report(self, body: bytes) -> Any:
        """The gateway takes reports, each once."""
        count, records = self._intake.take(body, self.signals.received("signals"))
        for one in records:
            step = msgspec.json.decode(one.data).get("step", "")
            self.told.append(f"{one.type.rpartition('.')[2]} {step}".strip())
        if records:
            self.accept(*records)
        return verdicts(count)

    def do(self, what: str, name: str, key: str) -> Any:
        """The other side carries something out; one that deduplicates does so once a key."""
        self.asked[what, key] += 1
        done = ("enrich" if what == "enrich" else what, name, key)
        if not (name.startswith("dedupes") and done in self.happened):
            self.happened.append(done)
        return {"fails": name.endswith("fails"), "fields": {"receipt": key[:6]}}

    def answer(self, path: str, body: bytes) -> Any:
        """Answer one request."""
        with self._turn:
            if path == "/v1/events":
                return self.report(body)
            asked = json.loads(body)
            if path == "/find":
                return {"known": (asked["what"], asked["name"], asked["key"]) in self.happened}
            return self.do(asked["what"], asked["name"], asked["key"])

    @contextlib.contextmanager
    def serve(self) -> Iterator[int]:
        """Answer over HTTP; the port."""
        outside = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                answer = json.dumps(outside.answer(self.path, body)).encode()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.send_response(202)
                    self.send_header("content-length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def handle(self) -> None:
                with contextlib.suppress(ConnectionResetError):
                    super().handle()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            self.signals.close()
            self.decisions.close()


class Deaths:
    """Where the process shall die: at the first point that is not in ``file`` yet, which is where
    it writes it down. Points have names that come again when the process comes by again. Without
    ``commits`` it dies inside steps only, when something has just happened outside."""

    def __init__(self, file: Path, *, commits: bool) -> None:
        self._file, self.commits = file, commits
        self._known = set(file.read_text().splitlines()) if file.exists() else set()

    def point(self, name: str) -> None:
        """Die here, unless one died here before."""
        inside = name.startswith("after /do") and "guide" not in name and "enrich" not in name
        if name not in self._known and (self.commits or inside):
            with self._file.open("a") as file:
                file.write(f"{name}\n")
            os._exit(9)


class Other:
    """The other side as the app process reaches it: a workshop, a channel and a desk. Dies right
    before a request and right after its answer."""

    name = "hook"
    deduplication: Deduplication = "dedupes"

    def __init__(self, port: int, deaths: Deaths) -> None:
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=_PLAIN)
        self._deaths = deaths

    async def _ask(self, path: str, what: str, name: str, key: str) -> Any:
        self._deaths.point(f"before {path} {what} {name}")
        response = await self._client.post(path, json={"what": what, "name": name, "key": key})
        self._deaths.point(f"after {path} {what} {name}")
        return response.json()

    async def perform(self, job: Job, key: str, *, dry: bool = False) -> Outcome:
        assert not dry
        answer = await self._ask("/do", job.kind, job.name, key)
        if job.kind == "plan":
            return Outcome(outcome="done", plan=PLANNED)
        if answer["fails"] and job.kind == "action":
            return Outcome(outcome="failed", reason="precondition")
        return Outcome(outcome="done", fields=answer["fields"])

    def deduplicates(self, job: Job) -> Deduplication:
        return HOW[job.name.partition("-")[0]]

    async def find(self, job: Job, key: str) -> Outcome | None:
        answer = await self._ask("/find", job.kind, job.name, key)
        return Outcome(outcome="done") if answer["known"] else None

    async def send(self, _message: Message, key: str) -> Delivery:
        await self._ask("/do", "guide", "dedupes-guide", key)
        return Delivery(outcome="delivered", reason="delivered")

    async def hand_over(self, _case: Case, key: str) -> Delivery:
        await self._ask("/do", "case", "dedupes-case", key)
        return Delivery(outcome="delivered", reason="delivered")


class Bench:
    """``Other`` as a workshop, whose ``deduplication`` is a question and not a word."""

    def __init__(self, other: Other) -> None:
        self.deduplication = other.deduplicates
        self.perform, self.find = other.perform, other.find


def _standing(store: Store) -> str:
    """How far everything is, in words that come again after a crash."""
    newest = store.newest(9)
    found = [store.state(one.id) for one in newest]
    steps = [f"{one.step}{one.phase}{one.ending}" for one in found if one is not None]
    effects = [
        f"{one.step}{one.kind}{one.status}{one.began >= one.attempt}"
        for summary in newest
        for one in store.effects.of(summary.id)
        if one.kind != "guide"
    ]
    return " ".join([*steps, *effects])


def _watch_commits(store: Store, deaths: Deaths) -> None:
    """Die before and after each commit, and where one begins."""
    real = Database.transaction

    @contextlib.contextmanager
    def transaction(self: Database, *, durable: bool = True) -> Iterator[None]:
        if self is not store.database or not durable:
            with real(self, durable=durable):
                yield
            return
        with real(self, durable=durable):
            yield
            standing = _standing(store)
            deaths.point(f"before the commit of {standing}")
        deaths.point(f"after the commit of {standing}")

    Database.transaction = transaction  # type: ignore[method-assign]


async def _live(folder: Path, tables: str, port: int, deaths: Deaths) -> None:
    other = Other(port, deaths)
    splice.ACTING = DAY  # the clock runs fast here, and dying takes a while
    began = monotonic()
    signals = SqliteLog(folder / "gateway.db", read_only=True)
    decisions = SqliteLog(folder / "worker.db", read_only=True)
    awake = (folder / "app-clock").read_text() if (folder / "app-clock").exists() else "0"

    def clock() -> int:
        now = START + int(awake) + int((monotonic() - began) * FASTER * 1e6)
        (folder / "app-clock").write_text(str(now - START))
        return now

    async with open_interventions(
        folder,
        signals=signals,
        decisions=decisions,
        runbooks={},
        channels=Channels([other]),
        queues={"payments": other},
        door=OpenDoor(),
        gateway=f"http://127.0.0.1:{port}",
        key="k",
        clock=clock,
        ids=lambda: "one",
        event_clock=True,
        tables=tables or None,
        workshop=Bench(other),
    ) as app:
        if deaths.commits:
            _watch_commits(app.store, deaths)
        running = asyncio.create_task(app.run())
        while not (_over(app) and app.settled) and not running.done():
            await asyncio.sleep(0.005)
        app.stop()
        await running


class Straight:
    """Starts attempts itself, without workflows: what an attempt makes durable does not depend on
    who starts it, and a life costs a tenth."""

    def __init__(self, deliveries: Deliveries, **_: object) -> None:
        self._deliveries = deliveries
        self._under_way: dict[tuple[str, int], asyncio.Task[str]] = {}

    async def start_waiting(self) -> bool:
        """Start what may be tried now."""
        for effect in self._deliveries.waiting(16):
            place = effect.key, effect.attempt
            if place not in self._under_way:
                self._under_way[place] = asyncio.create_task(self._deliveries.attempt(*place))
        return False

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._under_way.values())


def _over(app: Interventions) -> bool:
    newest = app.store.newest(9)
    return bool(newest) and all(one.outcome != "running" for one in newest)


def nursery() -> None:
    """Bear one app process after the other, until one lives to the end. Forking saves each the
    seconds that imports take."""
    folder, tables, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    workflows = sys.argv[4] == "workflows"
    trust_nobody()
    for module in ("psycopg", "httpcore", "anyio._backends._asyncio", "anyio.streams.tls"):
        importlib.import_module(module)
    if workflows:
        importlib.import_module("dbos")
    else:
        vars(run)["Effects"] = Straight
    lives = 0
    while True:
        lives += 1
        child = os.fork()
        if child == 0:
            deaths = Deaths(folder / "deaths", commits=not workflows)
            try:
                asyncio.run(_live(folder, tables, port, deaths))
            finally:
                failed = sys.exc_info()[0] is not None
                if failed:
                    traceback.print_exc()
                os._exit(int(failed))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != 9:
            (folder / "lives").write_text(str(lives))
            sys.exit(code)


def live_and_die(folder: Path, tables: str, port: int, how: str = "straight") -> list[str]:
    """Let app processes live and die until one lives to the end; where they died. With ``workflows``
    they start effects as they do in earnest, and die inside steps only."""
    subprocess.run(
        [sys.executable, "-c", _NURSERY, str(folder), tables, str(port), how],
        cwd=Path(__file__).parents[1],
        check=True,
        timeout=200,
    )
    return (folder / "deaths").read_text().splitlines()
