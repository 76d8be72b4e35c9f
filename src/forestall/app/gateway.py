"""The gateway process: the front door, and the way to the app process behind it."""

import asyncio
import gc
import sys
from collections.abc import Callable

from forestall.app.figures import WorkerFigures
from forestall.app.handover import passing
from forestall.app.relay import relay_to
from forestall.app.wake import APP_BELL, WORKER_BELL, Tap
from forestall.ingest.past import acts_in
from forestall.ingest.serve import build_gateway, listen, serve_gateway
from forestall.kernel.settings import Settings
from forestall.kernel.telemetry import METRICS

YOUNG_OBJECTS = 20_000
"""New objects after which the cyclic collector looks at them; requests leave few cycles behind."""


SWITCH_SECONDS = 0.0005
"""How long the event loop keeps Python's lock from the thread that came back from the disk."""


async def run_gateway(settings: Settings, stop: asyncio.Event) -> None:
    """Accept events until ``stop``. Raises what ``listen`` and ``build_gateway`` raise."""
    bound = listen(settings.server.host, settings.server.port)
    METRICS.register(WorkerFigures(settings))
    to_worker, to_app = Tap(settings.data / WORKER_BELL), Tap(settings.data / APP_BELL)
    built = build_gateway(
        settings,
        acts_of=acts_in(settings.data / "worker.db"),
        fallback=relay_to(app_address(settings), stop),
        committed=to_worker,
    )
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 50)
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        await serve_gateway(built, bound, stop, protocol=passing(to_app))
    finally:
        to_worker.close()
        to_app.close()


def app_address(settings: Settings) -> Callable[[], str | None]:
    """Where the app process says it listens."""
    path = settings.data / "app.address"

    def address() -> str | None:
        try:
            return path.read_text()
        except FileNotFoundError:
            return None

    return address
