"""Watches how the deployment stands, for ``/metrics``: what has drifted, whose review is overdue."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog
from prometheus_client import Gauge

from forestall.app.judging import Busy, Judging
from forestall.app.standing import today
from forestall.app.weighing import Task, Weighed
from forestall.kernel.clock import Clock
from forestall.kernel.database.tables import TROUBLE
from forestall.kernel.settings import Settings
from forestall.kernel.telemetry import METRICS
from forestall.policy.deployment import fingerprint
from forestall.policy.store import Registry

EVERY = 15.0
"""Seconds between two looks at whether anything changed; only then is it found out anew."""

DRIFTED = Gauge(
    "forestall_drift",
    "Things about which the folder of policies, the registry and what is in force differ",
    registry=METRICS,
)
OVERDUE = Gauge(
    "forestall_reviews_overdue",
    "Policies, declarations and runbooks whose day of review has passed",
    registry=METRICS,
)

_log = structlog.get_logger("app")


class Standing:
    """Has the gauges say how the deployment of ``settings`` stands. ``controls`` tells the newest
    batch of the control stream."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry | None,
        controls: Callable[[], int],
        judging: Judging,
        clock: Clock,
    ) -> None:
        self._settings, self._registry = settings, registry
        self._controls, self._judging, self._clock = controls, judging, clock
        self._seen: object = None

    async def run(self, stop: asyncio.Event, every: float = EVERY) -> None:
        """Look again and again until ``stop``, first after a while."""
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(every):
                    await stop.wait()
                    return
            with suppress(*TROUBLE):
                await self.look()

    async def look(self) -> None:
        """Find out anew, if anything changed since."""
        config = self._settings.file or Path()
        files = await asyncio.to_thread(fingerprint, config, self._settings)
        number = None if self._registry is None else self._registry.version()
        seen = (files, number, self._controls(), today(self._clock()))
        if seen == self._seen:
            return
        task = Task(what="standing", config=str(config), at=self._clock())
        with suppress(Busy):
            self._judging.start(task, "server", _tell)
            self._seen = seen


def _tell(found: Weighed) -> None:
    DRIFTED.set(found.drifted)
    OVERDUE.set(found.overdue)
    if found.drifted or found.overdue:
        _log.warning("not all is as it should be", drifted=found.drifted, overdue=found.overdue)
