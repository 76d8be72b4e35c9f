"""Running one process of the three, from its settings to its last breath."""

import asyncio
import fcntl
import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import structlog
import uvloop

from forestall.app.supervisor import orphaned, supervise
from forestall.contracts.errors import ForestallError
from forestall.kernel.clock import monotonic
from forestall.kernel.settings import load_settings
from forestall.kernel.telemetry import set_up_logging, set_up_tracing

Role = Literal["gateway", "worker", "app"]
ORPHAN_EVERY = 0.5
LOCK_PATIENCE = 5.0

_log = structlog.get_logger("serve")


class DataFolderInUse(ForestallError):
    """Another process of the same role works in the data folder; stop it first."""

    code = "data-folder-in-use"
    exit_code = 2


class DataFolderUnwritable(ForestallError):
    """The data folder cannot be made, or not be written to; give it to the user who serves."""

    code = "data-folder-unwritable"
    exit_code = 2


def serve(config: Path, role: Role | None) -> int:
    """Run a role, or all of them supervised, until SIGTERM or SIGINT; the exit code.

    Raises ``ForestallError`` where the deployment cannot be used, or its port is taken.
    """
    gc.disable()  # until all is imported: there is nothing to free
    os.umask(0o077)
    set_up_logging("console" if sys.stderr.isatty() else "json")
    settings = load_settings(config)
    stop = threading.Event()
    if role is None:
        from forestall.context.knowledge.synonyms import load_synonyms
        from forestall.ingest.serve import listen
        from forestall.policy.deployment import read_deployment

        _imported()
        read_deployment(config)
        if settings.knowledge.synonyms is not None:
            load_synonyms(Path(settings.knowledge.synonyms))
        _on_signals(stop.set)
        with _alone(settings.data / "serve.lock"):
            with _alone(settings.data / "serve-gateway.lock"):
                listen(settings.server.host, settings.server.port).close()
            _log.info("serving", at=settings.server.url, config=str(config))
            return supervise(config, stop)
    set_up_tracing(os.environ, role)
    allow_open_files()
    with _alone(settings.data / f"serve-{role}.lock"):
        match role:
            case "worker":
                from forestall.app.worker import run_worker

                _imported()
                _on_signals(stop.set)
                gone = orphaned()
                run_worker(config, settings, lambda: stop.is_set() or gone())
            case "gateway":
                from forestall.app.gateway import run_gateway

                _imported()
                uvloop.run(_until_told(lambda event: run_gateway(settings, event)))
            case "app":
                from forestall.app.effects import run_app

                _imported()
                uvloop.run(_until_told(lambda event: run_app(settings, event)))
    return 0


def _imported() -> None:
    """What was imported stays to the end: no search for garbage needs to go over it."""
    gc.freeze()
    gc.enable()


def allow_open_files() -> int:
    """Let this process open as many files and sockets as the system lets it; how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return soft


async def _until_told(run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watching = asyncio.create_task(_watch_parent(stop))
    try:
        await run(stop)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _watch_parent(stop: asyncio.Event) -> None:
    gone = orphaned()
    while not gone():
        await asyncio.sleep(ORPHAN_EVERY)
    stop.set()


def _on_signals(stop: Callable[[], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock at ``path``, in a data folder that is made where there is none; waits a moment
    for a former holder that is just finishing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise DataFolderUnwritable(f"{path.parent}: cannot be written: {error.strerror}") from None
    try:
        deadline = monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() > deadline:
                    raise DataFolderInUse(
                        f"{path.parent}: another server works in this data folder; stop it first"
                    ) from None
                threading.Event().wait(0.05)
        yield
    finally:
        os.close(handle)
