"""Group commit: whatever waits is appended in one transaction with one fsync, then answered.

There is one committer, and it alone stamps ``received``. While one batch is being written, the
next one gathers.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import msgspec
import structlog

from forestall.contracts.errors import ForestallError
from forestall.ingest import quarantine
from forestall.ingest.counting import COMMITS, JOINS
from forestall.ingest.letter import Admitted, Answer, Refusal
from forestall.ingest.placing import Desk, Sorter
from forestall.kernel.clock import Clock
from forestall.log.port import LogFull
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import SIGNALS, signals

T = TypeVar("T")
_log = structlog.get_logger("gateway")

LARGEST_COMMIT = 1_000
"""Events after which a transaction takes no further request."""

TICK_SECONDS = 0.5
"""How long the log may stand still before its tick is moved."""


class Overloaded(ForestallError):
    """More events wait to be written than ``[ingest] queue_events`` or ``queue_bytes`` allow."""

    code = "overloaded"


class Closed(ForestallError):
    """The server is shutting down and takes nothing more."""

    code = "shutting-down"


class Submission(msgspec.Struct, frozen=True, eq=False):
    """The letters of one request. ``released`` are quarantine entries that they came from."""

    letters: Sequence[Admitted | Refusal]
    size: int
    answers: "asyncio.Future[list[Answer]]"
    released: Sequence[str] = ()


class Committer:
    """Takes submissions and answers them once they are durable. Run ``run`` as a task."""

    def __init__(
        self, log: SqliteLog, desk: Desk, clock: Clock, *, max_events: int, max_bytes: int
    ) -> None:
        self._log = log
        self._desk = desk
        self._clock = clock
        self._max_events, self._max_bytes = max_events, max_bytes
        self._waiting: deque[Submission] = deque()
        self._events = self._bytes = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._thread = ThreadPoolExecutor(1, "commit")
        self._last = max(log.received(SIGNALS), log.tick())
        self.healthy = True

    @property
    def queued(self) -> int:
        """Events taken and not yet durable."""
        return self._events

    def has_room(self, events: int, size: int) -> bool:
        """Whether this much more may wait."""
        return self._events + events <= self._max_events and self._bytes + size <= self._max_bytes

    async def submit(
        self, letters: Sequence[Admitted | Refusal], size: int, *, released: Sequence[str] = ()
    ) -> list[Answer]:
        """Answers to ``letters`` in order, once they are durable.

        Raises ``LogFull`` when nothing was kept for want of room, ``Closed`` after ``close``. The
        caller has asked ``has_room``; what may not be shed is submitted without asking.
        """
        if self._closing:
            raise Closed("the server is shutting down; send it again")
        answers: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()
        self._waiting.append(Submission(letters, size, answers, released))
        self._events += len(letters)
        self._bytes += size
        self._wake.set()
        return await answers

    async def ask(self, question: Callable[[], T]) -> T:
        """The answer of a function that uses the gateway's file, between two commits.

        Raises ``Closed`` after ``close``.
        """
        if self._closing:
            raise Closed("the server is shutting down; send it again")
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)

    async def run(self) -> None:
        """Write until ``close``; whatever waits then is still written."""
        try:
            while self._waiting or not self._closing:
                if not self._waiting:
                    await self._idle()
                    continue
                await self._write()
        finally:
            self.healthy = False
            self._closing = True
            while self._waiting:
                self._waiting.popleft().answers.cancel()
            self._thread.shutdown()

    def close(self) -> None:
        """Take nothing more, write what waits, and let ``run`` return."""
        self._closing = True
        self._wake.set()

    async def _idle(self) -> None:
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK_SECONDS):
                await self._wake.wait()
        if not self._waiting and self._desk.clock == "wall":
            with suppress(LogFull):
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._thread, self._tick)

    async def _write(self) -> None:
        taken, events = [], 0
        while self._waiting and events < LARGEST_COMMIT:
            taken.append(self._waiting.popleft())
            events += len(taken[-1].letters)
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._thread, self._commit, taken)
        except LogFull as error:
            if self.healthy:
                _log.error("nothing can be written", reason=str(error))
            self.healthy = False
            for submission in taken:
                if not submission.answers.done():
                    submission.answers.set_exception(error)
        except BaseException:
            for submission in taken:
                submission.answers.cancel()
            raise
        else:
            self.healthy = True
            COMMITS.inc()
            for submission, answer in zip(taken, answers, strict=True):
                if not submission.answers.done():
                    submission.answers.set_result(answer)
        finally:
            self._events -= events
            self._bytes -= sum(submission.size for submission in taken)

    def _commit(self, taken: Sequence[Submission]) -> list[list[Answer]]:
        now = self._clock()
        with self._log.transaction() as connection:
            sorter = Sorter(self._desk, now, self._last)
            answers = []
            for submission in taken:
                answer = sorter.take(submission.letters)
                answers.append(answer)
                done = [
                    n for n, a in zip(submission.released, answer, strict=False) if a.code is None
                ]
                quarantine.release(connection, done)
            last = self._last
            if sorter.records:
                last = sorter.records[-1].received
                self._log.commit([signals(sorter.records)], tick=last)
        self._last = last
        JOINS.inc(sorter.joins)
        return answers

    def _tick(self) -> None:
        tick = max(self._last, self._clock())
        self._log.commit(tick=tick)
        self._last = tick
        self.healthy = True
