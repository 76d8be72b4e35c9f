"""The worker process: decides, and puts changed policies, settings and switches in force."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from time import sleep
from typing import Any

import msgspec
import structlog

from forestall.app.collecting import Collecting
from forestall.app.register import Register
from forestall.app.wake import APP_BELL, WORKER_BELL, Bell, Tap
from forestall.context import core
from forestall.contracts.errors import ForestallError
from forestall.decide.stage import Stage
from forestall.kernel.clock import monotonic
from forestall.kernel.settings import Settings, load_settings
from forestall.log.port import LogFull, LogMissing
from forestall.log.sqlite import SqliteLog
from forestall.policy.deployment import Wanted, fingerprint, read_deployment, switched

WATCH_EVERY = 0.5
"""Seconds between two looks at the deployment's files."""

FULL_PAUSE = 1.0
"""Seconds between two tries while the disk is full."""

SHORTEST, LONGEST = 0.001, 0.05
"""Seconds between two looks at the log while there is nothing to do and nobody taps."""

GATHERED = range(16, 1_000)
GATHER = 0.004
"""After a step with so many events, seconds in which more may gather: a step costs some 0.4 ms
whatever is in it, so many small ones would take the processor from the gateway."""

_log = structlog.get_logger("worker")


class Files:
    """The deployment's files, looked at again whenever one of them changes.

    ``settings`` are the newest that could be read, also where other files have mistakes; ``numbers``
    are the number fields of the newest catalogue.
    """

    def __init__(self, config: Path, settings: Settings) -> None:
        self._config = config
        self.settings = settings
        self._seen: object = None
        self._fresh: object = None
        self.numbers: dict[str, dict[str, Any]] | None = None
        self.problem: str | None = None

    def changed(self) -> Wanted | None:
        """What the files want, if they changed and are sound; ``problem`` says why they are not.

        A change counts once it was seen twice alike: who writes several files takes a moment.
        """
        seen = fingerprint(self._config, self.settings)
        unsettled = self._seen is not None and seen != self._fresh
        self._fresh = seen
        if seen == self._seen or unsettled:
            return None
        self._seen = seen
        try:
            self.settings = load_settings(self._config, secrets=False)
            wanted = read_deployment(self._config)
        except ForestallError as error:
            self.problem = str(error)
            _log.error(
                "the deployment's files have mistakes; what was in force stays in force",
                problems=self.problem.splitlines(),
            )
            return None
        self.problem = None
        self.numbers = wanted.bundle.numbers
        return wanted


def run_worker(config: Path, settings: Settings, stopped: Callable[[], bool]) -> None:
    """Decide until ``stopped()``, which is asked at least twenty times a second."""
    with ExitStack() as stack:
        own = SqliteLog(settings.data / "worker.db")
        stack.callback(own.close)
        stack.enter_context(own.checkpoints_beside())
        bell, to_app = Bell(settings.data / WORKER_BELL), Tap(settings.data / APP_BELL)
        stack.callback(bell.close)
        stack.callback(to_app.close)
        signals = _await_log(settings.data / "gateway.db", stopped, bell)
        if signals is not None:
            stack.callback(signals.close)
            _decide(
                lambda: (
                    Stage(signals, own),
                    Files(config, settings),
                    Register(settings.data),
                ),
                stopped,
                bell.wait,
                to_app,
            )


def _decide(
    start: Callable[[], tuple[Stage, Files, Register]],
    stopped: Callable[[], bool],
    wait: Callable[[float], None],
    committed: Callable[[], None],
) -> None:
    """Decide until ``stopped()``. A stage whose log was full knows more than it has written: it writes
    nothing any more, and another takes its place, from the log."""
    core.large_pages()
    stage, files, register = start()
    collecting = Collecting(monotonic)
    _log.info("deciding", position=stage.position)
    look, pause = 0.0, SHORTEST
    while not stopped():
        try:
            if monotonic() >= look:
                look = monotonic() + WATCH_EVERY
                _obey(stage, files, register)
            before = stage.engine.counters["records"]
            if stage.step():
                committed()
                collecting.worked()
                pause = SHORTEST
                if stage.engine.counters["records"] - before in GATHERED and not _ahead(stage):
                    sleep(GATHER)
            elif not (_ahead(stage) or collecting.rested()):
                wait(pause)
                pause = min(pause * 1.5, LONGEST)
        except LogFull as error:
            _log.error("deciding waits until there is room", why=str(error))
            again = monotonic() + FULL_PAUSE
            while monotonic() < again and not stopped():
                wait(LONGEST)
            register.close()
            if stopped():
                return
            stage, files, register = start()
    register.close()
    with suppress(LogFull):
        stage.rest()


def _ahead(stage: Stage) -> bool:
    """While nothing waits, do something for which an event would else wait; whether there was any."""
    return stage.engine.prepare() or core.large_page_ahead()


def _obey(stage: Stage, files: Files, register: Register) -> None:
    before = files.problem, register.problem
    wanted = files.changed()
    if wanted is not None:
        records = wanted.differences(stage.governing)
        if records:
            stage.apply(records)
            _log.info("in force", policies=len(wanted.bundle.policies), records=len(records))
    elif files.problem is not None and (records := switched(files.settings, stage.governing)):
        stage.apply(records)
        _log.info("switches in force, although other files have mistakes")
    if before[0] is not None and files.problem is None:
        _log.info("the deployment's files are sound again")
    if files.settings.lifecycle.managed and files.numbers is not None:
        _obey_registry(stage, register, files.numbers)
    if (files.problem, register.problem) != before or wanted is not None:
        stage.note("problem", msgspec.json.encode(files.problem or register.problem))


def _obey_registry(stage: Stage, register: Register, numbers: dict[str, dict[str, Any]]) -> None:
    """Apply what was decided, and keep what a rollback or a switch would need. What is missing of
    that is read from the log some other time, so that no rollback waits for it."""
    decided = register.changes(stage.governing, numbers)
    there = stage.engine.features
    if decided:
        stage.keep(register.soon & there)
        stage.apply(decided)
        _log.info("in force by the registry", records=len(decided))
    elif not (register.hurried or register.soon <= there):
        stage.keep(register.soon)


def _await_log(path: Path, stopped: Callable[[], bool], bell: Bell) -> SqliteLog | None:
    while not stopped():
        with suppress(LogMissing):
            return SqliteLog(path, read_only=True)
        bell.wait(LONGEST)
    return None
