"""Looking for drift while serving: ``forestall monitor`` at intervals, in a process of its own.

What it finds is a gauge and a line of the log for each alarm; nothing is changed.
"""

import asyncio
import sys
from contextlib import suppress
from typing import Any, Final, Literal

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from forestall.contracts.instants import SECOND, parse_duration
from forestall.kernel.clock import within
from forestall.kernel.settings import Settings
from forestall.kernel.telemetry import METRICS

FIRST: Final = 3_600.0
"""Seconds from the start to the first look, at most."""

LONGEST: Final = 3_600.0
"""Seconds that a look may take."""

PARTS: Final = ("calibration", "population", "outcomes", "streams")

ALARMS = Gauge(
    "forestall_monitor_alarms", "Alarms of the last look for drift", ["part"], registry=METRICS
)
OWNED = Gauge(
    "forestall_monitor_stream_alarms",
    "Alarms of the last look about streams, by the owner of the contract",
    ["owner"],
    registry=METRICS,
)
LOOKS = Counter(
    "forestall_monitor_looks", "Looks for drift, by how they ended", ["result"], registry=METRICS
)

_log = structlog.get_logger("monitor")
Result = Literal["quiet", "alarms", "failed"]


class _Told(msgspec.Struct):
    """What ``forestall monitor --json`` prints, as far as it matters here."""

    calibration: list[dict[str, Any]]
    population: list[dict[str, Any]]
    outcomes: list[dict[str, Any]]
    streams: list[dict[str, Any]]


async def keep_looking(settings: Settings, stop: asyncio.Event) -> None:
    """Look at every interval of the settings until ``stop``; never, if that is nothing."""
    every = parse_duration(settings.monitor.every) / SECOND
    if not every:
        await stop.wait()
    wait = min(every, FIRST)
    while not await within(stop, wait):
        await look(settings)
        wait = every


async def look(settings: Settings, seconds: float = LONGEST) -> Result:
    """Look once, for ``seconds`` at most; tell what is found."""
    try:
        async with asyncio.timeout(seconds):
            code, output, errors = await _monitored(settings)
    except TimeoutError:
        return _failed(f"it took more than {seconds:.0f} s")
    if code not in (0, 1):
        return _failed(errors.decode(errors="replace").strip()[-500:] or f"exit code {code}")
    try:
        told = msgspec.json.decode(output, type=_Told)
    except msgspec.DecodeError as error:
        return _failed(errors.decode(errors="replace").strip()[-500:] or str(error))
    result: Result = "quiet"
    OWNED.clear()
    for part in PARTS:
        alarms = [one for one in getattr(told, part) if one.get("alarm")]
        ALARMS.labels(part).set(len(alarms))
        for one in alarms:
            result = "alarms"
            _log.warning("drift", part=part, finding={**one, "alarm": True})
            if "owner" in one:
                OWNED.labels(one["owner"]).inc()
    LOOKS.labels(result).inc()
    return result


def _failed(why: str) -> Result:
    LOOKS.labels("failed").inc()
    _log.warning("could not look for drift", why=why)
    return "failed"


async def _monitored(settings: Settings) -> tuple[int, bytes, bytes]:
    """Exit code, output and errors of the command; its process does not outlive this."""
    config = [] if settings.file is None else ["--config", str(settings.file)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "forestall",
        "monitor",
        str(settings.data),
        "--json",
        *config,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return process.returncode or 0, output, errors
