"""A customer says no, or no longer needs it: nothing more reaches them, also while others lag."""

import asyncio
import json
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from flow.intervening import DECLINED_TWICE, SILENT_AFTER, START, World, applied, event
from flow.reaching import DELIVERED, Around, Vendor
from forestall.contracts.instants import HOUR, SECOND
from forestall.contracts.intervention import Case
from forestall.intervene import playbook
from forestall.intervene.deliver import Deliveries
from forestall.intervene.governing import Governing
from forestall.intervene.store import Store
from forestall.kernel.clock import monotonic, wall_clock
from forestall.kernel.database.tables import Database
from running import SECRET, Server, cloud_event, running, until

HELPING = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: helping, title: Helping, owner: web}
spec:
  when: {event: page.failed}
  valid_for: 10m
  playbook:
    - guide: {text: "Sorry.", channel: inapp}
    - guide: {text: "Sorry.", channel: hook}
    - await: {event: page.viewed, for: 10m, then: helped}
"""
HOOK = """
[webhooks.hook]
url = "http://127.0.0.1:{port}/"
secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
attempts = 1
"""


@contextmanager
def busy_hook() -> Iterator[tuple[int, list[float]]]:
    """A webhook that is always busy: its port, and when it was asked."""
    asked: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(monotonic())
            self.send_response(503)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Page:
    """An open page: what its event stream says, as it comes."""

    def __init__(self, server: Server, customer: str) -> None:
        token = jwt.encode({"sub": customer, "exp": wall_clock() // SECOND + 600}, SECRET, "HS256")
        self.heard: list[tuple[str, float, Any]] = []
        self._url, self._token = f"http://127.0.0.1:{server.port}/v1/stream", token
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        kind = ""
        with httpx.stream("GET", self._url, params={"token": self._token}, timeout=60) as stream:
            for line in stream.iter_lines():
                name, _, value = line.partition(":")
                if name == "event":
                    kind = value.strip()
                elif name == "data":
                    self.heard.append((kind, monotonic(), json.loads(value)))
                    if kind == "withdraw":
                        return

    @property
    def listening(self) -> bool:
        """Whether its stream is open still."""
        return self._thread.is_alive()

    def told(self, kind: str) -> float | None:
        """When it was first told ``kind``."""
        return next((at for what, at, _ in self.heard if what == kind), None)


def effects(server: Server, customer: str) -> list[tuple[str, str | None]]:
    """Status and detail of the effects for a customer, who has a policy of their own."""
    connection = sqlite3.connect(server.data / "app.db")
    try:
        query = "SELECT status, detail FROM effects JOIN interventions ON id = intervention"
        return connection.execute(f"{query} WHERE policy = ?", (customer,)).fetchall()
    finally:
        connection.close()


CUSTOMERS = ("ann", "bob", "cat")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("no", ["forestall.optout", "forestall.consent.withdrawn"])
def test_a_no_stops_queued_and_shown_while_the_worker_stands_still(tmp_path: Path, no: str) -> None:
    """The quickest of three counts, as the machine may be busy."""
    policies = {
        f"{name}.yaml": HELPING.replace("helping", name).replace("page.failed", f"page.{name}")
        for name in CUSTOMERS
    }
    took = []
    with (
        busy_hook() as (port, asked),
        running(tmp_path, policies, HOOK.format(port=port)) as server,
    ):
        server.send([cloud_event(n, "page.viewed", name) for n, name in enumerate(CUSTOMERS)])
        pages = {name: Page(server, name) for name in CUSTOMERS}
        until(lambda: all(page.told("current") for page in pages.values()))
        server.send([cloud_event(9 + n, f"page.{name}", name) for n, name in enumerate(CUSTOMERS)])
        until(lambda: all(page.told("message") for page in pages.values()), 90)
        until(lambda: len(asked) >= len(CUSTOMERS), 90)
        worker = server.children()["worker"]
        os.kill(worker, signal.SIGSTOP)
        try:
            data = {"purpose": "support"} if no.endswith("withdrawn") else {}
            for n, name in enumerate(CUSTOMERS):
                said = monotonic()
                sent = server.send([cloud_event(99 + n, no, name, data=data)])
                assert sent.status_code == 202
                reason = "no_consent" if data else "opted_out"
                until(lambda: effects(server, name) == [("refused", reason)])  # noqa: B023
                until(lambda: pages[name].told("withdraw"))  # noqa: B023
                took.append(monotonic() - said)
            before = len(asked)
        finally:
            os.kill(worker, signal.SIGCONT)
        assert min(took) < 1.0, took
        until(lambda: outcome(server) == "cancelled", 60)
        assert len(asked) == before, "it was not tried again"


def outcome(server: Server) -> str:
    store = Store(server.data / "app.db", read_only=True)
    try:
        return store.newest(1)[0].outcome
    finally:
        store.close()


def test_after_an_hour_s_outage_no_guidance_is_stale_and_every_case_arrives(tmp_path: Path) -> None:
    guided = DECLINED_TWICE.replace("channel: inapp", "channel: hook")
    world = World(tmp_path, guided)
    customers = [f"s{n}" for n in range(12)]
    for n, customer in enumerate(customers):
        at = 0 if n < 6 else 700
        world.accept(
            event("payment.declined", at + n / 100, customer, order_id="o"),
            event("payment.declined", at + n / 100 + 0.001, customer, order_id="o"),
        )
    world.tick(720)
    world.settle()
    kinds = [one.kind for one in world.store.effects.waiting(START + HOUR, 99)]
    assert (kinds.count("guide"), kinds.count("escalation")) == (12, 6)
    world.restart()
    world.tick(720 + 3600)
    world.settle()
    vendor = Vendor(DELIVERED)
    around = Around(START, vendor)
    around.seconds = 720 + 3600
    deliveries = Deliveries(world.store, around.surroundings)

    async def work() -> list[str]:
        waiting = deliveries.waiting(99)
        return [await deliveries.attempt(one.key, one.attempt) for one in waiting]

    results = asyncio.run(work())
    handed = [case for _, case in vendor.got if isinstance(case, Case)]
    assert len(handed) == len(vendor.got) == 12, "every case and nothing else"
    assert {case.customer for case in handed} == set(customers)
    assert results.count("delivered") == 12
    assert deliveries.waiting(99) == []


CHANGED = DECLINED_TWICE.replace("for: 10m", "for: 11m")


@pytest.mark.parametrize("running", ["finish", "cancel"])
def test_a_new_version_says_what_becomes_of_what_runs(tmp_path: Path, running: str) -> None:
    world = World(tmp_path, DECLINED_TWICE, SILENT_AFTER)
    world.settle(
        event("payment.declined", 0, order_id="a"), event("payment.declined", 1, order_id="a")
    )
    world.settle(event("page.failed", 2, "s2", path="/a"))
    world.tick(50)
    world.settle()
    assert [one.outcome for one in world.store.newest()] == ["running", "running"]
    newer = CHANGED.replace("spec:\n", f"spec:\n  running: {running}\n")
    world.govern(applied(newer, SILENT_AFTER))
    world.restart()
    world.carry_out()
    ended = {one.policy: (one.outcome, one.reason) for one in world.store.newest()}
    assert ended["silent"] == ("running", None)
    expected = ("running", None) if running == "finish" else ("cancelled", "superseded")
    assert ended["card-declined"] == expected
    if running == "finish":
        world.tick(1 + 600 + 5)
        world.settle()
        (waiting,) = world.store.effects.waiting(START + HOUR, 9)
        assert waiting.kind == "escalation", "it waited ten minutes, as its own version says"


WAITING = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: waiting, title: Waiting for a day, owner: web}
spec:
  when: {event: page.failed}
  playbook:
    - await: {event: page.viewed, for: 1d, then: resolved}
    - escalate: {queue: web}
"""


def test_what_waits_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, WAITING)
    for n in range(100):
        world.accept(*(event("page.failed", n, f"s{n}-{each}") for each in range(100)))
    world.settle()
    world.stage.step()
    assert len(world.store.running()) == 10_000
    done: list[str] = []
    for name in ("due", "on_time", "on_event", "stop"):
        monkeypatch.setattr(playbook, name, lambda *_, name=name: done.append(name))
    monkeypatch.setattr(Governing, "ends", lambda *_: done.append("ends"))
    monkeypatch.setattr(Database, "hot", lambda *_: done.append("asked the database"))
    monkeypatch.setattr(Database, "run", lambda *_: done.append("asked the database"))
    for hour in range(1, 24):
        world.tick(hour * 3600)
        assert not world.stage.step()
    assert done == [], "no playbook is looked at, and the database is asked for nothing"
    monkeypatch.undo()
    world.tick(25 * 3600)
    world.settle()
    assert len(world.store.effects.waiting(START + 25 * HOUR, 20_000)) == 10_000
