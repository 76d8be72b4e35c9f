"""Effects as durable workflows: this is the only user of DBOS.

Each attempt at an effect is a short workflow of one step, whose id is the effect's key and the
attempt's number. DBOS runs it once, also when it is started again, and takes it up when a process
died over it; what the attempt does, and how it notices that, is ``deliver``'s. DBOS is imported
and started when there is a first effect: that takes a second, and many deployments have none.
"""

import asyncio
import concurrent.futures
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import structlog

from forestall.intervene.deliver import Deliveries
from forestall.kernel.database.files import open_database

AT_ONCE = 16
"""Attempts under way at the same time."""

AT_ONCE_EACH = 8
"""The same for one channel or queue, so that one that hangs leaves room for the others."""

_LAST_WORDS = 10.0
_OPEN = ("PENDING", "ENQUEUED")

_log = structlog.get_logger(__name__)

_Start = Callable[[str, int], str]
"""Starts the workflow of one attempt, or finds the one that was; its status."""


class Effects:
    """Runs the attempts that wait in ``deliveries``. All methods belong to the event loop.

    ``database`` is where DBOS remembers its workflows: a file, or PostgreSQL if it is a URL;
    ``identity`` is this deployment's name: what a process left behind is taken up by the next of
    the same identity, so there must never be two at once.
    """

    def __init__(self, deliveries: Deliveries, *, database: Path | str, identity: str) -> None:
        self._deliveries = deliveries
        self._database, self._identity = database, identity
        self._begun: dict[tuple[str, int], str] = {}
        self._under_way: set[asyncio.Task[str]] = set()
        self._closing = False
        self._launching: asyncio.Task[_Start] | None = None

    def _launch(self, loop: asyncio.AbstractEventLoop) -> _Start:
        """Start DBOS, which takes up again what a crash cut off."""
        from dbos import DBOS, SetWorkflowID

        DBOS(
            config={
                "name": "forestall",
                "system_database_url": self._system_database(),
                "application_version": "effects-1",
                "executor_id": f"app-{self._identity}",
                "log_level": "CRITICAL",
                "enable_otlp": False,
                "max_executor_threads": AT_ONCE,
            }
        )

        @DBOS.step(name="attempt")
        def attempt(key: str, number: int) -> str:
            running = asyncio.run_coroutine_threadsafe(self._attempt(key, number), loop)
            try:
                return running.result()
            except concurrent.futures.CancelledError:
                return "cut off"

        @DBOS.workflow(name="effect")
        def effect(key: str, number: int) -> str:
            return attempt(key, number)

        def start(key: str, number: int) -> str:
            with SetWorkflowID(f"{key}-{number}"):
                handle = DBOS.start_workflow(effect, key, number)
            found = handle.get_status()
            if found.error is not None:
                _log.error("an attempt broke off", key=key, error=type(found.error).__name__)
            return found.status

        DBOS.launch()
        return start

    def _system_database(self) -> str:
        """Its URL. A file is set to WAL first, which DBOS does not do."""
        if isinstance(self._database, str):
            return self._database
        open_database(self._database).close()
        return f"sqlite:///{self._database.absolute()}"

    async def _attempt(self, key: str, number: int) -> str:
        if self._closing:
            return "cut off"
        task = asyncio.ensure_future(self._deliveries.attempt(key, number))
        self._under_way.add(task)
        try:
            return await task
        finally:
            self._under_way.discard(task)
            self._begun.pop((key, number), None)

    async def start_waiting(self) -> bool:
        """Start what may be tried now, as far as there is room; whether anything was started."""
        waiting = self._not_begun()
        if not waiting or self._closing:
            return False
        if self._launching is None:
            launch = asyncio.to_thread(self._launch, asyncio.get_running_loop())
            self._launching = asyncio.create_task(launch)
        if not self._launching.done():
            return False
        start = self._launching.result()
        started = False
        for key, number, channel in waiting:
            under_way = list(self._begun.values())
            if len(under_way) >= AT_ONCE or under_way.count(channel) >= AT_ONCE_EACH:
                continue
            self._begun[key, number] = channel
            started = True
            try:
                status = await asyncio.to_thread(start, key, number)
            except BaseException:
                self._begun.pop((key, number), None)
                raise
            if status not in _OPEN:
                self._deliveries.cut_off(key, number)
            if self._deliveries.is_over(key, number):
                self._begun.pop((key, number), None)
        return started

    def _not_begun(self) -> list[tuple[str, int, str]]:
        under_way = Counter(self._begun.values())
        full = [channel for channel, count in under_way.items() if count >= AT_ONCE_EACH]
        return [
            (effect.key, effect.attempt, effect.channel)
            for effect in self._deliveries.waiting(2 * AT_ONCE, full)
            if (effect.key, effect.attempt) not in self._begun
        ]

    async def close(self) -> None:
        """Let attempts under way end, for some seconds, and stop DBOS."""
        self._closing = True
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=_LAST_WORDS)
            for task in late:
                task.cancel()
        if self._launching is not None:
            await asyncio.wait([self._launching])
            await asyncio.to_thread(_destroy)


def _destroy() -> None:
    from dbos import DBOS

    DBOS.destroy(destroy_registry=True)
