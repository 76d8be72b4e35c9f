"""One open page's feed: a bounded queue of what to tell it, and how that looks on the wire.

The wire is server-sent events (HTML Living Standard, 9.2).
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Iterable

import msgspec

from forestall.contracts.instants import format_time
from forestall.contracts.intervention import Message, Noticed, Show

OPENING = b"retry: 2000\n\n"
PATH = "/v1/stream"
"""Where a page connects to its stream."""

HEARTBEAT = b":\n\n"


class Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``data`` of a ``message`` event. ``expires_in`` is milliseconds from when it was sent; a
    question has ``choices``, labels by value, and the ``step`` that an answer names. The others are
    those of the message."""

    id: str
    intervention: str
    policy: str
    title: str
    body: str
    why: str = ""
    noticed: Noticed | None = None
    created: str
    expires: str
    expires_in: int
    step: int | None = None
    choices: dict[str, str] | None = None
    version: str | None = None
    show: Show | None = None
    steps: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    locale: str | None = None
    traceparent: str | None = None


class Withdrawal(msgspec.Struct, frozen=True, omit_defaults=True):
    """``data`` of a ``withdraw`` event: remove the messages of these, or of all, interventions."""

    everything: bool = False
    interventions: tuple[str, ...] = ()

    def covers(self, message: Message) -> bool:
        """Whether the message is to be removed."""
        return self.everything or message.intervention in self.interventions


class Current(msgspec.Struct, frozen=True):
    """``data`` of a ``current`` event: all messages that still hold; others are to be removed."""

    ids: tuple[str, ...]


def message_event(message: Message, now: int) -> bytes:
    """The ``message`` event, whose id a client repeats to resume; ``now`` in log time."""
    shown = Shown(
        id=message.id,
        intervention=message.intervention,
        policy=message.policy,
        title=message.title,
        body=message.body,
        why=message.why,
        noticed=message.noticed,
        created=format_time(message.created),
        expires=format_time(message.expires),
        expires_in=(message.expires - now) // 1_000,
        step=message.step,
        choices=message.choices,
        version=message.version,
        show=message.show,
        steps=message.steps,
        known=message.known,
        locale=message.locale,
        traceparent=message.traceparent,
    )
    return f"id: {message.id}\n".encode() + _event("message", shown)


def withdraw_event(withdrawal: Withdrawal) -> bytes:
    """The ``withdraw`` event."""
    return _event("withdraw", withdrawal)


def current_event(messages: Iterable[Message]) -> bytes:
    """The ``current`` event, with which every connection begins."""
    return _event("current", Current(tuple(message.id for message in messages)))


def _event(name: str, data: msgspec.Struct) -> bytes:
    return f"event: {name}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"


class Feed:
    """What one connection still has to be told. Used on one event loop only.

    A reader that falls ``limit`` entries behind is dropped: it resumes with what it saw last.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._queue: deque[Message | Withdrawal] = deque()
        self._woken = asyncio.Event()
        self._known: set[str] = set()
        self._nudged = False
        self.closed = False

    def begin(self, holding: Iterable[Message], missed: Iterable[Message]) -> None:
        """Start with what was missed; nothing of what is ``holding`` already is taken again."""
        self._known.update(message.id for message in holding)
        self._queue.extend(missed)

    def offer(self, entry: Message | Withdrawal) -> bool:
        """Queue the entry; False if that was one too many and the feed is closed now."""
        if self.closed:
            return True
        if isinstance(entry, Withdrawal):
            self._forget(entry)
        elif entry.id in self._known:
            return True
        else:
            self._known.add(entry.id)
        if len(self._queue) >= self._limit:
            self.close()
            return False
        self._queue.append(entry)
        self._woken.set()
        return True

    def _forget(self, gone: Withdrawal) -> None:
        """What is withdrawn before it was told is not told at all."""
        self._queue = deque(
            kept for kept in self._queue if isinstance(kept, Withdrawal) or not gone.covers(kept)
        )

    def close(self) -> None:
        """End it; what is queued is left for the next connection."""
        self.closed = True
        self._queue.clear()
        self._woken.set()

    def wake(self) -> None:
        """Let ``next`` return once although there is nothing."""
        self._nudged = True
        self._woken.set()

    async def next(self) -> Message | Withdrawal | None:
        """The next entry; None once woken without one, or closed."""
        if not (self._queue or self.closed or self._nudged):
            self._woken.clear()
            await self._woken.wait()
        if self._queue:
            return self._queue.popleft()
        self._nudged = False
        return None


class Rounds:
    """Wakes feeds from time to time, for their heartbeat, without a timer for each of them.

    However many came at the same moment, at most ``AT_ONCE`` are woken every ``TURN`` seconds, so
    that they never hold up who has something to say. Used on one event loop only.
    """

    AT_ONCE, TURN = 20, 0.01

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Feed]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def after(self, seconds: float, feed: Feed) -> None:
        """Wake ``feed`` once, so many seconds from now or a little later."""
        at = asyncio.get_running_loop().time() + seconds
        due = (at, next(self._numbers), feed)
        heapq.heappush(self._due, due)
        if self._due[0] is due:
            self._set(at)

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._turn)

    def _turn(self) -> None:
        loop, woken = asyncio.get_running_loop(), 0
        self._timer = None
        while self._due and woken < self.AT_ONCE and self._due[0][0] <= loop.time():
            _, _, feed = heapq.heappop(self._due)
            woken += not feed.closed
            feed.wake()
        if self._due:
            self._set(max(self._due[0][0], loop.time() + self.TURN))
