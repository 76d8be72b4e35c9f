"""The only door to the machine's clock and randomness; everything else takes them as parameters."""

import os
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

Clock = Callable[[], int]
"""Gives the current time in microseconds since 1970, UTC."""

Tokens = Callable[[], str]
"""Gives a fresh random identifier."""


def wall_clock() -> int:
    """Now, in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000


def monotonic() -> float:
    """Seconds on a clock that never goes back; for measuring how long something took."""
    return time.perf_counter()


def random_id() -> str:
    """128 random bits as 32 lower-case hex digits."""
    return os.urandom(16).hex()


def chance() -> float:
    """A random number, at least 0 and less than 1; for jitter."""
    return secrets.randbits(53) / 2**53


async def within(event: "asyncio.Event", seconds: float) -> bool:
    """Wait for ``event``, at most so long; whether it came."""
    import asyncio

    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
