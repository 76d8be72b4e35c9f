"""What a client can be told, and what it tells."""

from collections.abc import Callable
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from forestall.contracts.errors import ForestallError

OnError = Literal["log", "raise"] | Callable[["Trouble"], None]
"""What to do about trouble: log it, raise the mistakes of a call in that call, or call a function."""

TroubleCode = Literal[
    "cannot-send",
    "queue-full",
    "closed",
    "waiting",
    "quarantined",
    "refused",
    "given-up",
    "unsent",
]


class InvalidOptions(ForestallError):
    """A client was given a host, a key or an option that cannot work."""

    code = "client-options"
    exit_code = 2


class NotTaken(ForestallError):
    """A client did not take an event, and was told to raise: see its ``trouble``."""

    code = "client-not-taken"

    def __init__(self, trouble: "Trouble") -> None:
        self.trouble = trouble
        super().__init__(f"{trouble.code}: {trouble.message}")


class Trouble(msgspec.Struct, frozen=True):
    """What went wrong with which ``events`` (their ids). It never holds data, a customer or a key.

    ``reason`` is the code that the gateway gave, such as ``invalid-data``.
    """

    code: TroubleCode
    message: str
    events: tuple[str, ...] = ()
    reason: str | None = None


class Counts(msgspec.Struct, frozen=True):
    """What became of events since the client was made (in a forked process: since the fork).

    taken = accepted + duplicate + quarantined + refused + given_up + unsent + waiting, always.
    ``rejected`` counts the calls whose event was never taken. ``retries`` counts requests.
    """

    taken: int = 0
    accepted: int = 0
    duplicate: int = 0
    quarantined: int = 0
    refused: int = 0
    given_up: int = 0
    unsent: int = 0
    waiting: int = 0
    rejected: int = 0
    retries: int = 0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a client queues, sends and tries again. Times are in seconds.

    ``full`` says what becomes of an event when the queue is full: it is dropped, or the call blocks
    up to ``block_for`` and then drops it. A batch goes out when ``batch_events`` or ``batch_bytes``
    are there, or ``linger`` after its first event. ``timeout`` is for a whole request. After a
    failure the client waits a random part of ``backoff``, doubled each time up to ``backoff_max``,
    or as long as ``Retry-After`` says; an event older than ``give_up`` is dropped then. ``exit_for``
    is how long the end of the process, ``close`` and ``flush`` wait at most unless told otherwise.
    """

    queue_events: int = 10_000
    queue_bytes: int = 32_000_000
    full: Literal["drop", "block"] = "drop"
    block_for: float = 1.0
    batch_events: int = 500
    batch_bytes: int = 400_000
    event_bytes: int = 32_000
    linger: float = 0.5
    timeout: float = 10.0
    backoff: float = 0.5
    backoff_max: float = 60.0
    give_up: float = 86_400.0
    exit_for: float = 5.0
    gzip: bool = False
    source: str = "/python"


def check(host: str, key: str, options: Options) -> str:
    """The address at which ``host`` takes events. Raises ``InvalidOptions``."""
    try:
        parts = urlsplit(host)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment or parts.username is not None:
        raise InvalidOptions("the host has to be an address such as https://events.example.com")
    if not key or not key.isascii() or not key.isprintable() or key != key.strip():
        raise InvalidOptions("the write key is empty or has characters that no header can carry")
    least_one = (options.queue_events, options.queue_bytes, options.batch_events)
    if min(*least_one, options.batch_bytes, options.event_bytes) < 1:
        raise InvalidOptions("queue and batch sizes have to be at least 1")
    times = (options.linger, options.block_for, options.backoff, options.backoff_max)
    if not all(0 <= one < float("inf") for one in (*times, options.exit_for, options.give_up)):
        raise InvalidOptions("times have to be 0 seconds or more")
    if not 0 < options.timeout < float("inf"):
        raise InvalidOptions("the timeout has to be more than 0 seconds")
    return host.rstrip("/") + "/v1/events"
