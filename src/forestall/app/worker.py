"""The worker process: decides, and puts changed policies, settings and switches in force."""

import gc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

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

SHORTEST, LONGEST = 0.001, 0.02
"""Seconds between two looks at the log while there is nothing to do."""

_log = structlog.get_logger("worker")


class Files:
    """The deployment's files, looked at again whenever one of them changes.

    ``settings`` are the newest that could be read, also where other files have mistakes.
    """

    def __init__(self, config: Path, settings: Settings) -> None:
        self._config = config
        self.settings = settings
        self._seen: object = None
        self._fresh: object = None
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
        return wanted


def run_worker(config: Path, settings: Settings, stopped: Callable[[float], bool]) -> None:
    """Decide until ``stopped(seconds)``, which waits at most that long, says true."""
    files = Files(config, settings)
    own = SqliteLog(settings.data / "worker.db")
    signals = _await_log(settings.data / "gateway.db", stopped)
    if signals is None:
        own.close()
        return
    stage = Stage(signals, own)
    gc.collect()
    gc.freeze()
    gc.disable()
    _log.info("deciding", position=stage.position)
    look, pause = 0.0, SHORTEST
    while not stopped(pause if pause > SHORTEST else 0.0):
        try:
            if monotonic() >= look:
                look = monotonic() + WATCH_EVERY
                _obey(stage, files)
            pause = SHORTEST if stage.step() else min(pause * 1.5, LONGEST)
        except LogFull as error:
            _log.error("deciding waits until there is room", why=str(error))
            if stopped(FULL_PAUSE):
                break
            stage, files = Stage(signals, own), Files(config, settings)
    with suppress(LogFull):
        stage.rest()
    signals.close()
    own.close()


def _obey(stage: Stage, files: Files) -> None:
    before = files.problem
    wanted = files.changed()
    if wanted is not None:
        records = wanted.differences(stage.governing)
        if records:
            stage.apply(records)
            _log.info("in force", policies=len(wanted.bundle.policies), records=len(records))
    elif files.problem is not None and (records := switched(files.settings, stage.governing)):
        stage.apply(records)
        _log.info("switches in force, although other files have mistakes")
    if before is not None and files.problem is None:
        _log.info("the deployment's files are sound again")
    if files.problem != before or wanted is not None:
        stage.note("problem", msgspec.json.encode(files.problem))


def _await_log(path: Path, stopped: Callable[[float], bool]) -> SqliteLog | None:
    while not stopped(0.02):
        with suppress(LogMissing):
            return SqliteLog(path, read_only=True)
    return None
