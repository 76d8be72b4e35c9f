"""Group commit: whatever waits is appended in one transaction with one fsync, then answered.

There is one committer, and it alone stamps ``received``. A batch is laid out in the event loop's
thread, since each statement in another would wait for Python's lock; only the commit itself, which
waits for the disk, is made in a thread of its own. Meanwhile the next batch gathers.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
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

LARGEST_COMMIT = 2_000
"""Events after which a transaction takes no further request."""

TICK_SECONDS = 0.5
"""How long the log may stand still before its tick is moved."""


class Overloaded(ForestallError):
    """More events wait to be written than ``[ingest] queue_events`` or ``queue_bytes`` allow."""

    code = "overloaded"


class Closed(ForestallError):
    """The server is shutting down and takes nothing more."""

    code = "shutting-down"


Outcome = list[Answer] | LogFull | None
"""What became of a submission: answers once it is durable, why nothing was kept, or none where the
committer broke down, so that nobody knows."""


class Submission(msgspec.Struct, frozen=True, eq=False):
    """The letters of one request. ``released`` are quarantine entries that they came from;
    ``tell`` is called once with what became of them."""

    letters: Sequence[Admitted | Refusal]
    size: int
    tell: Callable[[Outcome], None]
    released: Sequence[str] = ()


class Committer:
    """Takes submissions and answers them once they are durable. Run ``run`` as a task.

    ``committed`` is called after each commit, on the thread that made it.
    """

    def __init__(
        self,
        log: SqliteLog,
        desk: Desk,
        clock: Clock,
        *,
        max_events: int,
        max_bytes: int,
        committed: Callable[[], object] = lambda: None,
    ) -> None:
        self._log = log
        self._desk = desk
        self._clock = clock
        self._max_events, self._max_bytes = max_events, max_bytes
        self._committed = committed
        self._waiting: deque[Submission] = deque()
        self._events = self._bytes = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._thread = ThreadPoolExecutor(1, "commit")
        self._turn = asyncio.Lock()
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
        answers: asyncio.Future[list[Answer]] = asyncio.get_running_loop().create_future()

        def tell(outcome: Outcome) -> None:
            if answers.done():
                return
            if outcome is None:
                answers.cancel()
            elif isinstance(outcome, LogFull):
                answers.set_exception(outcome)
            else:
                answers.set_result(outcome)

        self.put(letters, size, tell, released=released)
        return await answers

    def put(
        self,
        letters: Sequence[Admitted | Refusal],
        size: int,
        tell: Callable[[Outcome], None],
        *,
        released: Sequence[str] = (),
    ) -> None:
        """``submit`` without waiting: ``tell`` is called with what became of the letters.

        Raises ``Closed`` after ``close``.
        """
        if self._closing:
            raise Closed("the server is shutting down; send it again")
        self._waiting.append(Submission(letters, size, tell, released))
        self._events += len(letters)
        self._bytes += size
        self._wake.set()

    async def ask(self, question: Callable[[], T]) -> T:
        """The answer of a function that uses the gateway's file, between two commits.

        Raises ``Closed`` after ``close``.
        """

        def answer() -> T:
            self._desk.vault.begin()
            return question()

        async with self._turn:
            if self._closing:
                raise Closed("the server is shutting down; send it again")
            return await self._aside(answer)

    async def _aside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

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
                self._waiting.popleft().tell(None)
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
                async with self._turn:
                    await self._aside(self._tick)

    async def _write(self) -> None:
        taken, events = [], 0
        while self._waiting and events < LARGEST_COMMIT:
            taken.append(self._waiting.popleft())
            events += len(taken[-1].letters)
        try:
            async with self._turn:
                answers = await self._commit(taken)
        except LogFull as error:
            if self.healthy:
                _log.error("nothing can be written", reason=str(error))
            self.healthy = False
            for submission in taken:
                submission.tell(error)
        except BaseException:
            for submission in taken:
                submission.tell(None)
            raise
        else:
            self.healthy = True
            COMMITS.inc()
            for submission, answer in zip(taken, answers, strict=True):
                submission.tell(answer)
        finally:
            self._events -= events
            self._bytes -= sum(submission.size for submission in taken)

    async def _commit(self, taken: Sequence[Submission]) -> list[list[Answer]]:
        """The answers to each, once they are durable; or nothing was kept, and it raises."""
        sorter = Sorter(self._desk, self._clock(), self._last)
        try:
            answers = self._lay_out(taken, sorter)
            await self._aside(self._finish)
        except BaseException:
            self._desk.vault.forgo()
            raise
        if sorter.records:
            self._last = sorter.records[-1].received
        JOINS.inc(sorter.joins)
        return answers

    def _lay_out(self, taken: Sequence[Submission], sorter: Sorter) -> list[list[Answer]]:
        """Write everything of a transaction but its commit."""
        connection = self._log.begin()
        try:
            vault = self._desk.vault
            with self._log.translated(), vault.gathering():
                vault.begin()
                every = iter(sorter.take([letter for one in taken for letter in one.letters]))
                answers = []
                for submission in taken:
                    answer = list(islice(every, len(submission.letters)))
                    answers.append(answer)
                    if submission.released:
                        pairs = zip(submission.released, answer, strict=False)
                        quarantine.release(connection, [n for n, a in pairs if a.code is None])
            if sorter.records:
                append = signals(sorter.records, sorter.pairs)
                self._log.commit([append], tick=append.received)
        except BaseException:
            self._log.abandon()
            raise
        return answers

    def _finish(self) -> None:
        self._log.finish()
        self._committed()

    def _tick(self) -> None:
        tick = max(self._last, self._clock())
        self._log.commit(tick=tick)
        self._last = tick
        self._committed()
        self.healthy = True
