"""The client for asyncio: a call queues, a task of its own sends."""

import asyncio
from collections.abc import Awaitable, Generator
from contextlib import suppress
from types import TracebackType

from forestall.client.base import CLOSED, FULL, Base
from forestall.client.events import Item
from forestall.client.options import Trouble
from forestall.client.outbox import body_of
from forestall.kernel.clock import monotonic


class _Done:
    """Awaited, it is there at once: an event is queued in the call, awaited or not."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_DONE = _Done()


class AsyncClient(Base[Awaitable[None]]):
    """Sends events to a gateway from one event loop; make one and keep it.

    Await every verb: it queues and returns at once, or waits for room where ``full="block"``. It
    never raises, unless ``on_error="raise"``. Close it before the loop ends, best with ``async
    with``: after the loop nothing can be sent.
    """

    _task: asyncio.Task[None] | None

    async def flush(self, timeout: float | None = None) -> bool:
        """Send all that was taken so far; whether each event has its verdict within ``timeout``
        seconds (otherwise ``exit_for``)."""
        wanted = self._outbox.flush()
        self._start()
        self._wake.set()
        try:
            async with asyncio.timeout(self._options.exit_for if timeout is None else timeout):
                while self._outbox.ended < wanted:
                    await self._moved()
        except TimeoutError:
            return False
        return True

    async def close(self, timeout: float | None = None) -> bool:
        """``flush``, then end; whether all was sent. What was not is told as ``unsent``."""
        self._closed = True
        await self.flush(timeout)
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
        for trouble in self._outbox.abandon():
            self._tell(trouble)
        return not self._outbox.counts().unsent

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _fresh(self) -> None:
        super()._fresh()
        self._task = None
        self._wake, self._progress = asyncio.Event(), asyncio.Event()

    def _at_exit(self, seconds: float) -> None:  # noqa: ARG002 the loop is gone
        self._closed = True
        for trouble in self._outbox.abandon():
            self._tell(trouble)

    def _take(self, made: Item | Trouble) -> Awaitable[None]:
        if isinstance(made, Trouble):
            self._reject(made)
        elif self._closed:
            self._reject(Trouble("closed", CLOSED, (made.id,)))
        elif self._outbox.put(made, monotonic()):
            self._put()
        elif self._options.full == "block":
            return self._room(made)
        else:
            self._reject(Trouble("queue-full", FULL, (made.id,)))
        return _DONE

    def _put(self) -> None:
        """Start the sender, or wake it where there is something new to know."""
        self._start()
        if len(self._outbox) == 1 or self._outbox.wait(monotonic()) == 0:
            self._wake.set()

    def _reject(self, trouble: Trouble) -> None:
        self._outbox.reject()
        self._not_taken(trouble)

    async def _room(self, item: Item) -> None:
        """Put it as soon as there is room, or say that there was none in time."""
        self._start()
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.block_for):
                while not self._closed:
                    if self._outbox.put(item, monotonic()):
                        self._put()
                        return
                    await self._moved()
        self._reject(Trouble("queue-full", FULL, (item.id,)))

    async def _moved(self) -> None:
        """Wait until something has left the queue."""
        await self._progress.wait()

    def _start(self) -> None:
        """Start the sender unless it runs; where no loop runs, a later call does."""
        if self._outbox and (self._task is None or self._task.done()):
            with suppress(RuntimeError):
                loop = asyncio.get_running_loop()
                self._wake, self._progress = asyncio.Event(), asyncio.Event()
                self._task = loop.create_task(self._send(), name="forestall-client")

    async def _send(self) -> None:
        from forestall.client.http import AsyncLine

        line = AsyncLine(self._door, self._tls)
        try:
            while True:
                batch = await self._next()
                reply = await line.post(body_of(batch))
                troubles = self._outbox.settle(batch, reply, monotonic(), self._clock())
                self._progress.set()
                self._progress = asyncio.Event()
                for trouble in troubles:
                    self._tell(trouble)
        finally:
            await line.close()

    async def _next(self) -> list[Item]:
        """The next batch, when it is due."""
        while (wait := self._outbox.wait(monotonic())) != 0:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
        return self._outbox.batch()
