"""Starts the three processes, restarts one that dies, and stops them in order."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import structlog

from forestall.kernel.clock import monotonic

ROLES = ("gateway", "worker", "app")
"""In the order in which they start and stop."""

UNUSABLE = 2
"""The exit code of a process that cannot run with this deployment; restarting would not help."""

STEADY = 5.0
"""Seconds after which a process counts as running well."""

PATIENCE = 20.0
"""Seconds a process gets to finish before it is killed."""

_log = structlog.get_logger("supervisor")


class Child(msgspec.Struct):
    """A role's process, when it started, and how often it died young in a row."""

    role: str
    process: subprocess.Popen[bytes]
    started: float
    deaths: int = 0

    def restart_at(self) -> float:
        """When, on the monotonic clock, to start it again after it died."""
        return monotonic() + (min(0.1 * 2**self.deaths, 5.0) if self.deaths else 0.0)


def supervise(config: Path, stop: threading.Event, roles: Sequence[str] = ROLES) -> int:
    """Run ``roles`` until ``stop`` is set; the exit code."""
    children = {role: Child(role, _start(role, config), monotonic()) for role in roles}
    due: dict[str, float] = {}
    code = 0
    while not stop.wait(0.05):
        for role, child in children.items():
            if role in due:
                if monotonic() >= due[role]:
                    del due[role]
                    child.process, child.started = _start(role, config), monotonic()
            elif (status := child.process.poll()) is not None:
                if status == UNUSABLE:
                    code = UNUSABLE
                    stop.set()
                    break
                steady = monotonic() - child.started >= STEADY
                child.deaths = 0 if steady else child.deaths + 1
                due[role] = child.restart_at()
                _log.warning("process died; restarting it", role=role, status=status)
    for role in roles:
        _finish(children[role].process)
    return code


def _start(role: str, config: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "forestall", "serve", "--role", role, "--config", str(config)]
    environment = {**os.environ, "FORESTALL_SUPERVISOR": str(os.getpid())}
    return subprocess.Popen(command, env=environment, start_new_session=True)  # noqa: S603


def _finish(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def orphaned() -> Callable[[], bool]:
    """A question a child asks now and then: has the supervisor that started it gone?"""
    supervisor = os.environ.get("FORESTALL_SUPERVISOR")
    if supervisor is None:
        return lambda: False
    return lambda: os.getppid() != int(supervisor)
