"""What both clients share: options, the outbox, telling of trouble, and the end of the process."""

import atexit
import logging
import os
import ssl
import weakref
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable

from forestall.client.events import R, Verbs
from forestall.client.options import Counts, NotTaken, OnError, Options, Trouble, check
from forestall.client.outbox import Outbox
from forestall.kernel.clock import Clock, Tokens, chance, monotonic, random_id, wall_clock

LOGGER = logging.getLogger("forestall.client")

_alive: "weakref.WeakSet[Base[object]]" = weakref.WeakSet()


class Base(Verbs[R]):
    """A client before it is known how it waits. See ``Client`` and ``AsyncClient``.

    ``host`` is the address of the gateway, ``key`` a write key of origin server. ``tls`` replaces
    the certificates that are trusted. Raises ``InvalidOptions``.
    """

    def __init__(
        self,
        host: str,
        key: str,
        options: Options = Options(),  # noqa: B008
        *,
        on_error: OnError = "log",
        tls: ssl.SSLContext | None = None,
        clock: Clock = wall_clock,
        ids: Tokens = random_id,
        chance: Callable[[], float] = chance,
    ) -> None:
        # Imported here: a backend that never makes a client does not pay for HTTP.
        from forestall.client.http import Door

        url = check(host, key, options)
        self._door = Door(url, key, options.timeout, gzip=options.gzip)
        self._options, self._on_error, self._tls = options, on_error, tls
        self._clock, self._ids, self._chance = clock, ids, chance
        self._source, self._event_bytes = options.source, options.event_bytes
        self._closed = False
        self._told: Counter[str] = Counter()
        self._fresh()
        _alive.add(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._door.url!r}, waiting={len(self._outbox)})"

    @property
    def counts(self) -> Counts:
        """What became of the events until now."""
        return self._outbox.counts()

    def _fresh(self) -> None:
        """Begin with nothing: when made, and in a forked process, since what waits is its
        parent's, which sends it."""
        self._outbox = Outbox(self._options, self._chance)

    @abstractmethod
    def _at_exit(self, seconds: float) -> None:
        """The process ends: send what waits, in so many seconds at most."""

    def _tell(self, trouble: Trouble) -> None:
        """Log it, or call who wants to know. Never raises."""
        if not callable(self._on_error):
            self._log(trouble)
            return
        try:
            self._on_error(trouble)
        except Exception as error:  # noqa: BLE001 the function is the user's, and may do anything
            LOGGER.warning("on_error itself failed: %s", type(error).__name__)

    def _log(self, trouble: Trouble) -> None:
        """Log the first, second, fourth, eighth, ... of its kind, so that no log is flooded."""
        self._told[trouble.code] += 1
        times = self._told[trouble.code]
        if times & (times - 1) == 0:
            reason = f" [{trouble.reason}]" if trouble.reason else ""
            often = f"; {times} times by now" if times > 1 else ""
            which = f"; events: {', '.join(trouble.events[:3])}" if trouble.events else ""
            LOGGER.warning("%s: %s%s%s%s", trouble.code, trouble.message, reason, often, which)

    def _not_taken(self, trouble: Trouble) -> None:
        """Tell of a call whose event was not taken. Raises ``NotTaken`` if asked to."""
        if self._on_error == "raise":
            raise NotTaken(trouble)
        self._tell(trouble)


FULL = "the queue is full; the event was dropped"
CLOSED = "the client is closed; the event was dropped"


def _exit() -> None:
    clients = list(_alive)
    began = monotonic()
    for client in clients:
        client._at_exit(max(0.0, client._options.exit_for - (monotonic() - began)))


def _forked() -> None:
    for client in list(_alive):
        client._fresh()


atexit.register(_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
