"""The client for ordinary code: a call queues, a thread of its own sends."""

import threading
from contextlib import suppress
from types import TracebackType

from forestall.client.answers import Reply
from forestall.client.base import CLOSED, FULL, Base
from forestall.client.events import Item
from forestall.client.options import Counts, Trouble
from forestall.client.outbox import body_of
from forestall.kernel.clock import monotonic


class Client(Base[None]):
    """Sends events to a gateway from any number of threads; make one and keep it.

    A verb takes microseconds and never raises, unless ``on_error="raise"``. The thread starts with
    the first event. At the end of the process, what waits is sent, within ``exit_for``.
    """

    _ended: bool
    _idle: bool

    def flush(self, timeout: float | None = None) -> bool:
        """Send all that was taken so far; whether each event has its verdict within ``timeout``
        seconds (otherwise ``exit_for``). False at once in ``on_error``, which the sender calls."""
        deadline = monotonic() + (self._options.exit_for if timeout is None else timeout)
        with self._changed:
            wanted = self._outbox.flush()
            if self._thread is threading.current_thread():
                return self._outbox.ended >= wanted
            self._start()
            self._changed.notify_all()
            return self._changed.wait_for(
                lambda: self._outbox.ended >= wanted, max(0.0, deadline - monotonic())
            )

    def close(self, timeout: float | None = None) -> bool:
        """``flush``, then end; whether all was sent. What was not is told as ``unsent``."""
        deadline = monotonic() + (self._options.exit_for if timeout is None else timeout)
        with self._changed:
            self._closed = True
            if self._ended:
                return not self._outbox.counts().unsent
        sent = self.flush(timeout)
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            thread = self._thread
            troubles = self._outbox.abandon()
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - monotonic()))
        for trouble in troubles:
            self._tell(trouble)
        return sent

    @property
    def counts(self) -> Counts:
        """What became of the events until now."""
        with self._changed:
            return self._outbox.counts()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _fresh(self) -> None:
        super()._fresh()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ended = self._idle = False

    def _at_exit(self, seconds: float) -> None:
        if not self._closed:
            self.close(seconds)

    def _take(self, made: Item | Trouble) -> None:
        trouble = made if isinstance(made, Trouble) else self._put(made)
        if trouble is not None:
            with self._changed:
                self._outbox.reject()
            self._not_taken(trouble)

    def _put(self, item: Item) -> Trouble | None:
        with self._changed:
            taken = not self._closed and self._outbox.put(item, monotonic())
            if not taken and not self._closed and self._options.full == "block":
                self._changed.notify_all()
                taken = self._changed.wait_for(
                    lambda: self._closed or self._outbox.put(item, monotonic()),
                    self._options.block_for,
                )
            if self._closed:
                return Trouble("closed", CLOSED, (item.id,))
            if not taken:
                return Trouble("queue-full", FULL, (item.id,))
            self._start()
            if self._idle or not self._outbox.wait(monotonic()):
                self._changed.notify_all()
        return None

    def _start(self) -> None:
        """Start the sender unless it runs; where no thread can be had now, the next call tries."""
        running = self._thread is not None and self._thread.is_alive()
        if not running and not self._ended and self._outbox:
            thread = threading.Thread(target=self._send, name="forestall-client", daemon=True)
            with suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def _send(self) -> None:
        from forestall.client.http import Line

        line = Line(self._door, self._tls)
        try:
            while batch := self._next():
                reply = line.post(body_of(batch))
                for trouble in self._settle(batch, reply):
                    self._tell(trouble)
        finally:
            line.close()

    def _next(self) -> list[Item]:
        """The next batch, when it is due; empty when the client has ended."""
        with self._changed:
            while not self._ended:
                wait = self._outbox.wait(monotonic())
                if wait == 0:
                    return self._outbox.batch()
                self._idle = wait is None
                self._changed.wait(wait)
                self._idle = False
            return []

    def _settle(self, batch: list[Item], reply: Reply) -> list[Trouble]:
        with self._changed:
            if self._ended:
                return []
            troubles = self._outbox.settle(batch, reply, monotonic(), self._clock())
            self._changed.notify_all()
            return troubles
