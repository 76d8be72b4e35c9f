"""Events in batches of 20 over HTTP, durable before the answer, and decided: a real server.

First as fast as it takes them, with the lag of the worker; then 20,000 a second at fixed times, for
the answer's p99 in fsyncs, which are measured meanwhile, also where every event is a new customer's;
then ten times what it can do, and how soon it is itself again. At the end every acknowledged id must
be in the log. The app process is stopped meanwhile, and the figures say so: what it does about
decisions is measured elsewhere, and would take processor time from all the others.

``accept_ratio`` is the small version for ``make check``: the gateway in this process, without
sockets, against decoding, encoding and appending the same events and nothing else.
"""

import asyncio
import json
import os
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from benchmarks import workload
from benchmarks.figures import Figure
from benchmarks.measure import fsyncs_of, in_turns, middle_share, quantile
from benchmarks.sending import BATCH, MARK, Load, Tally, requests
from benchmarks.served import KEY, Served, served
from forestall.contracts.event import CloudEvent
from forestall.ingest.exchange import Message
from forestall.ingest.serve import build_gateway
from forestall.kernel.clock import wall_clock
from forestall.kernel.database.files import open_database
from forestall.kernel.settings import Settings, WriteKey
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import DECIDED, SIGNALS, read_signals

AIM = 60_000
STEADY = 20_000
CONNECTIONS = 64
CROWD = 1_500
TIMES = 10
PROBES = 50
"""Requests a second after the overload, to see when it is over."""

REQUESTS = 10_000
QUICK = {"seconds": 3.0, "made": 1_000}
TYPES = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}


def contracts(folder: Path) -> None:
    """Contracts of the workload's types, with the fields that its first events have."""
    folder.mkdir(parents=True)
    seen: dict[str, dict[str, Any]] = {}
    for record in workload.records(50_000):
        merged = seen.setdefault(record.type, {"type": "object", "properties": {}})
        _merge(merged, msgspec.json.decode(record.data))
    for name, schema in seen.items():
        head = {"x-owner": "bench", "x-retention": "30d", "x-origins": ["server", "browser"]}
        (folder / f"{name}.v1.json").write_text(json.dumps({**head, **schema}))


def _merge(schema: dict[str, Any], data: dict[str, Any]) -> None:
    for key, value in data.items():
        if isinstance(value, dict):
            inner = schema["properties"].setdefault(key, {"type": "object", "properties": {}})
            _merge(inner, value)
        elif isinstance(value, list):
            schema["properties"][key] = {"type": "array", "items": {"type": "string"}}
        else:
            inner = schema["properties"].setdefault(key, {"type": [], "x-privacy": "keep"})
            if TYPES[type(value)] not in inner["type"]:
                inner["type"].append(TYPES[type(value)])


def run(seconds: float = 10.0, made: int = REQUESTS) -> list[Figure]:
    """Measure a server with ``made`` different requests; see the module."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contracts(folder / "contracts")
        policies = {file.name: file.read_text() for file in workload.POLICIES.iterdir()}
        more = '[contracts]\nfolder = "contracts"\n'
        with served(folder, policies, more=more) as server:
            os.kill(server.pids["app"], signal.SIGTERM)
            load = Load(server.port, requests(made, wall_clock()))
            strangers = Load(server.port, requests(made, wall_clock(), strangers=True))
            figures = uvloop.run(_measured(server, load, strangers, seconds))
    return [_without_app(figure) for figure in figures]


def _without_app(figure: Figure) -> Figure:
    return msgspec.structs.replace(figure, what=f"{figure.what} (app process stopped)")


async def _measured(server: Served, load: Load, strangers: Load, seconds: float) -> list[Figure]:
    acknowledged: list[int] = []
    with _watching(server) as watch:
        figures = await _first_pass(load)
        acknowledged += load.tally.acknowledged
        await _settled(watch)
        more, rate = await _flat_out(server, load, watch, seconds)
        figures += more
        acknowledged += load.tally.acknowledged
        await _settled(watch)
        figures += await _steady(server, load, seconds, f"{STEADY:,} events/s")
        acknowledged += load.tally.acknowledged
        await _settled(watch)
        watch.most = 0
        what = f"{STEADY:,} events/s, each of a new customer"
        figures += await _steady(server, strangers, seconds / 2, what)
        figures.append(Figure(f"most that waited to be decided at {what}", watch.most, "events",
                              "F8"))  # fmt: skip
        met = strangers.tally.acknowledged
        await _settled(watch)
        more, overloaded = await _overloaded(server, load, watch, rate, seconds / 2)
        figures += more
        acknowledged += overloaded
        await _settled(watch)
    await load.close()
    await strangers.close()
    lost = _lost(server, load, acknowledged) + _lost(server, strangers, met)
    return [*figures, Figure("acknowledged and not in the log", lost, "events", "F8", at_most=0)]


async def _first_pass(load: Load) -> list[Figure]:
    """Every request once, so that the customers are known; for nearly half of them are new."""
    began = time.perf_counter()
    tally = await load.closed(CONNECTIONS, count=len(load))
    accepted = len(tally.acknowledged) * BATCH
    rate = accepted / (time.perf_counter() - began)
    return [Figure("accepted, flat out, of customers never seen", rate, "events/s", "F8")]


async def _flat_out(
    server: Served, load: Load, watch: "Watch", seconds: float
) -> tuple[list[Figure], float]:
    """As fast as it takes them; figures, and the events accepted a second."""
    used, decided, began = server.cpu_seconds(), watch.decided, time.perf_counter()
    watch.most = 0
    tally = await load.closed(CONNECTIONS, seconds=seconds)
    took = time.perf_counter() - began
    accepted = len(tally.acknowledged) * BATCH
    decided = watch.decided - decided
    lag = watch.most
    busy = {role: spent - used[role] for role, spent in server.cpu_seconds().items()}
    return [
        Figure("accepted, flat out", accepted / took, "events/s", "F8", at_least=AIM),
        Figure("decided meanwhile", decided / took, "events/s", "F8", at_least=AIM),
        Figure("most that waited to be decided", lag, "events", "F8"),
        Figure("gateway, per event", 1e6 * busy["gateway"] / accepted, "µs CPU", "F8"),
        Figure("worker, per event", 1e6 * busy["worker"] / max(decided, 1), "µs CPU", "F8"),
    ], accepted / took  # fmt: skip


async def _steady(server: Served, load: Load, seconds: float, what: str) -> list[Figure]:
    """20,000 events a second at fixed times; ``what`` says so."""
    with fsyncs_of(server.folder) as fsyncs:
        tally = await load.open(STEADY / BATCH, 4 * CONNECTIONS, seconds)
    fsync = 1000 * quantile(sorted(fsyncs), 0.5)
    took = sorted(1000 * one for one in tally.latencies)
    return [
        Figure(f"an fsync, p50, at {what}", fsync, "ms", "F8"),
        Figure(f"answer, p50, at {what}", quantile(took, 0.5), "ms", "F8"),
        Figure(f"answer, p99, at {what}", quantile(took, 0.99), "ms", "F8",
               at_most=10 + 5 * fsync, target="at most 10 ms + 5 fsyncs"),
        Figure(f"not accepted at {what}", _others(tally), "requests", "F8", at_most=0),
    ]  # fmt: skip


async def _overloaded(
    server: Served, load: Load, watch: "Watch", rate: float, seconds: float
) -> tuple[list[Figure], list[int]]:
    """Ten times as much as it can do, and the time until it answers and decides at once again."""
    used = server.cpu_seconds()["gateway"]
    began = time.perf_counter()
    tally = await load.open(TIMES * rate / BATCH, CROWD, seconds)
    took = time.perf_counter() - began
    used = server.cpu_seconds()["gateway"] - used
    ended = time.perf_counter()
    after = await load.open(PROBES, CONNECTIONS, 6.0)
    answers = list(zip(after.acknowledged, after.latencies, strict=True))
    late = [index for index, (_, latency) in enumerate(answers) if latency > 0.25]
    refused = after.statuses.get(429, 0) / PROBES
    recovered = max(refused, (late[-1] + 1) / PROBES if late else 0.0)
    lag = max(0.0, watch.clear_since - ended)
    sent = sum(tally.statuses.values())
    return [
        Figure("goodput under ten times that load", len(tally.acknowledged) * BATCH / took,
               "events/s", "F8"),
        Figure("shed with 429, of what could be sent", tally.statuses.get(429, 0) / max(sent, 1),
               "", "F8"),
        Figure("due and not sent, since no connection was free", tally.unsent, "requests", "F8"),
        Figure("answered otherwise", _others(tally) - tally.statuses.get(429, 0) - tally.unsent,
               "requests", "F8", at_most=0),
        Figure("gateway under overload, of a core", used / took, "", "F8"),
        Figure("answers at once again after", recovered, "s", "F8", at_most=5),
        Figure("has decided all after", lag, "s", "F8", at_most=5),
    ], tally.acknowledged + after.acknowledged  # fmt: skip


def _others(tally: Tally) -> int:
    return tally.unsent + sum(n for status, n in tally.statuses.items() if status != 202)


class Watch:
    """How far the worker is: events decided, the most that waited, and when none last did."""

    def __init__(self) -> None:
        self.decided = self.waiting = self.most = 0
        self.clear_since = 0.0


@contextmanager
def _watching(server: Served) -> Iterator[Watch]:
    """Look ten times a second, in a thread."""
    watch, over = Watch(), threading.Event()
    log = SqliteLog(server.data / "gateway.db", read_only=True)
    own = SqliteLog(server.data / "worker.db", read_only=True)
    ours = open_database(server.data / "gateway.db", read_only=True)

    def look() -> None:
        seen, counted, sizes = 0, 0, [0]
        while not over.wait(0.1):
            sql = "SELECT count FROM batches_signals WHERE position > ? ORDER BY position"
            try:
                sizes += [count for (count,) in ours.execute(sql, (len(sizes) - 1,))]
            except sqlite3.OperationalError:
                continue
            cursor = own.cursor(DECIDED)
            counted += sum(sizes[seen + 1 : cursor + 1])
            seen = cursor
            watch.decided, watch.waiting = counted, sum(sizes[cursor + 1 :])
            watch.most = max(watch.most, watch.waiting)
            if watch.waiting > 2 * PROBES * BATCH:
                watch.clear_since = 0.0
            elif not watch.clear_since:
                watch.clear_since = time.perf_counter()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()
        log.close()
        own.close()
        ours.close()


async def _settled(watch: Watch, patience: float = 60.0) -> None:
    await asyncio.sleep(0.5)
    deadline = time.perf_counter() + patience
    while watch.waiting and time.perf_counter() < deadline:
        await asyncio.sleep(0.05)


class _Id(msgspec.Struct):
    id: str


def _lost(server: Served, load: Load, acknowledged: list[int]) -> int:
    """Events acknowledged and not in the log; the workload holds none that is quarantined."""
    log = SqliteLog(server.data / "gateway.db", read_only=True)
    kept = {record.id for batch in log.follow(SIGNALS) for record in read_signals(batch)}
    log.close()
    read = msgspec.json.Decoder(list[_Id]).decode
    missing = 0
    for number in acknowledged:
        body = load.data(number).partition(b"\r\n\r\n")[2]
        missing += sum(event.id not in kept for event in read(body))
    return missing


def accept_ratio(slices: int = 16, each: int = 100) -> float:
    """The gateway's speed as a share of the speed of what it cannot do without, in CPU time.

    All events are sent once before, so that the customers are known.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contracts(folder / "contracts")
        bodies = [made.partition(b"\r\n\r\n")[2] for made in requests(slices * each, wall_clock())]
        first, second = (
            [[body.replace(MARK, mark) for body in bodies[start : start + each]]
             for start in range(0, len(bodies), each)]
            for mark in (b"000001", b"000002")
        )  # fmt: skip
        key = WriteKey("bench", KEY, "server")
        settings = Settings(data=folder / "data", contracts=folder / "contracts", keys=(key,))
        with _bare(folder / "bare.db") as bare, _Gateway(settings) as gateway:
            in_turns(first, gateway)
            limit, ours = in_turns(second, bare, gateway)
    return middle_share(limit, ours)


@contextmanager
def _bare(path: Path) -> Iterator[Any]:
    """Decode, encode, append durably: the limit."""
    database = open_database(path)
    database.execute("CREATE TABLE batches (position INTEGER PRIMARY KEY, payload BLOB)")
    decode, encode = msgspec.json.Decoder(list[CloudEvent]).decode, msgspec.json.Encoder().encode

    def append(bodies: list[bytes]) -> None:
        events = [event for body in bodies for event in decode(body)]
        database.execute("INSERT INTO batches VALUES (NULL, ?)", (encode(events),))

    yield append
    database.close()


class _Gateway:
    """The gateway's ASGI app and its committer, called without a socket."""

    def __init__(self, settings: Settings) -> None:
        self._built = build_gateway(settings)
        self._loop = uvloop.new_event_loop()
        self._statuses: set[int] = set()

    def __enter__(self) -> "_Gateway":
        self._committing = self._loop.create_task(self._built.committer.run())
        return self

    def __exit__(self, *_: object) -> None:
        self._built.committer.close()
        self._loop.run_until_complete(self._committing)
        self._built.log.close()
        self._loop.close()
        assert self._statuses == {202}, self._statuses

    def __call__(self, bodies: list[bytes]) -> None:
        """Accept them, at once."""
        self._loop.run_until_complete(self._all(bodies))

    async def _all(self, bodies: list[bytes]) -> None:
        await asyncio.gather(*map(self._one, bodies))

    async def _one(self, body: bytes) -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/events",
            "query_string": b"",
            "headers": [
                (b"host", b"bench"),
                (b"x-write-key", KEY.encode()),
                (b"content-type", b"application/cloudevents-batch+json"),
                (b"content-length", str(len(body)).encode()),
            ],
        }

        async def receive() -> Message:
            return {"type": "http.request", "body": body}

        async def send(message: Message) -> None:
            self._statuses.add(message.get("status", 202))

        await self._built.app(scope, receive, send)
