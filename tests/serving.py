"""A real gateway on loopback, in a thread, for tests that speak HTTP to it."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from forestall.contracts.event import Record
from forestall.ingest.exchange import App
from forestall.ingest.serve import Built, build_gateway, gateway_file, listen, serve_gateway
from forestall.kernel.clock import Clock, random_id, wall_clock
from forestall.kernel.settings import Ingest, Settings, Tokens, WriteKey
from forestall.kernel.telemetry import METRICS
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import SIGNALS, read_signals

SECRET = "a secret of thirty-two bytes or more"
BROWSER, SERVER = "browser-key", "server-key"


def settings(folder: Path, **changed: Any) -> Settings:
    """Settings of a small deployment in ``folder``."""
    plain = Settings(
        data=folder / "data",
        keys=(WriteKey("web", BROWSER, "browser"), WriteKey("shop", SERVER, "server")),
        tokens=Tokens(SECRET),
    )
    return msgspec.structs.replace(plain, **changed)


def ingest(**changed: Any) -> Ingest:
    """Settings of the front door."""
    return msgspec.structs.replace(Ingest(), **changed)


class Running:
    """A gateway that serves; ``post`` sends with the server key unless told otherwise."""

    def __init__(self, base: str, built: Built, settings: Settings) -> None:
        self.base, self.built, self.settings = base, built, settings
        self.client = httpx.Client(base_url=base, timeout=20)

    def post(self, path: str, body: Any = None, key: str | None = SERVER, **more: Any) -> Any:
        """The response to ``body``, sent as JSON or, if bytes, as it is."""
        headers = {**({"x-write-key": key} if key else {}), **more.pop("headers", {})}
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return self.client.post(path, content=content, headers=headers, **more)

    def records(self) -> list[Record]:
        """Everything in the log, in order."""
        return logged(self.settings)


@contextmanager
def running(
    settings: Settings,
    *,
    clock: Clock = wall_clock,
    fallback: App | None = None,
    log: Callable[[Path], SqliteLog] = SqliteLog,
) -> Iterator[Running]:
    """A gateway with ``settings``, stopped cleanly at the end."""
    settings.data.mkdir(parents=True, exist_ok=True)
    built = build_gateway(
        settings, clock=clock, ids=random_id, fallback=fallback, log=log(gateway_file(settings))
    )
    bound = listen("127.0.0.1", 0)
    loop, stop, started = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            loop.run_until_complete(serve_gateway(built, bound, stop, started=started.set))
        except BaseException as error:  # noqa: BLE001
            failed.append(error)
            started.set()

    thread = threading.Thread(target=serve)
    thread.start()
    assert started.wait(20)
    server = Running(f"http://127.0.0.1:{bound.getsockname()[1]}", built, settings)
    try:
        yield server
    finally:
        server.client.close()
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()
        bound.close()
    assert not thread.is_alive()
    if failed:
        raise failed[0]


def logged(settings: Settings) -> list[Record]:
    """Everything in a deployment's log, in order."""
    log = SqliteLog(gateway_file(settings), read_only=True)
    try:
        return [record for batch in log.follow(SIGNALS) for record in read_signals(batch)]
    finally:
        log.close()


def event(id_: str = "1", type_: str = "page.viewed", **more: Any) -> dict[str, Any]:
    """A CloudEvent of user ``u1`` unless told otherwise."""
    plain = {"specversion": "1.0", "id": id_, "source": "test", "type": type_, "subject": "u1"}
    return {**plain, **more}


def verdicts(response: Any) -> list[str]:
    """What became of each event: its verdict, or the code that sent it to quarantine."""
    return [one.get("code") or one["verdict"] for one in response.json()["verdicts"]]


class Counters:
    """The front door's counters since this object was made."""

    NAMES: Sequence[str] = ("accepted", "duplicate", "quarantined", "shed")

    def __init__(self) -> None:
        self._before = self._now()

    def since(self) -> dict[str, int]:
        """Received, what became of it, and late ones."""
        return {name: round(value - self._before[name]) for name, value in self._now().items()}

    def _now(self) -> dict[str, float]:
        found = {
            name: METRICS.get_sample_value("forestall_ingest_events_total", {"verdict": name})
            for name in self.NAMES
        }
        found["received"] = METRICS.get_sample_value("forestall_ingest_received_total")
        found["late"] = METRICS.get_sample_value("forestall_ingest_late_total")
        return {name: value or 0.0 for name, value in found.items()}


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that another thread brings about."""
    done = threading.Event()
    for _ in range(2000):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("it never came about")


class SlowLog(SqliteLog):
    """A log whose commits wait for a gate, as on a disk that hangs."""

    def __init__(self, path: Path) -> None:
        self.gate = threading.Event()
        self.gate.set()
        super().__init__(path)

    def finish(self) -> None:
        self.gate.wait(20)
        super().finish()


def gate(server: Running) -> threading.Event:
    """What the commits of a ``SlowLog`` wait for."""
    log = server.built.log
    assert isinstance(log, SlowLog)
    return log.gate
