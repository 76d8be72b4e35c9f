"""What a log can do. One abstract suite in ``tests/ports`` proves every adapter of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from forestall.contracts.errors import ForestallError


class LogFull(ForestallError):
    """The disk holding the log has no room; nothing of the commit was kept. Free space and retry."""

    code = "log-full"


class OutOfOrder(ForestallError):
    """``received`` or the tick would go back; nothing of the commit was kept. A bug of the caller."""

    code = "log-out-of-order"


class LogBusy(ForestallError):
    """Another process is writing this log, which has one writer at a time; nothing was kept."""

    code = "log-busy"


class LogMissing(ForestallError):
    """There is no log at that path yet; the process that writes it creates it when it starts."""

    code = "log-missing"
    exit_code = 2


class LogUnreadable(ForestallError):
    """The file is damaged, is not a log, or was written by a newer Forestall."""

    code = "log-unreadable"
    exit_code = 2


class Batch(msgspec.Struct, frozen=True):
    """What one commit appended to one stream. ``position`` counts from 1 without gaps.

    ``received`` is the greatest log time in it, ``payload`` the JSON of the list of its items.
    """

    position: int
    received: int
    count: int
    payload: bytes


class Append(msgspec.Struct, frozen=True):
    """A batch to be appended. ``subjects`` index it: one ``(subject, identity)`` pair an item,
    where identity is what duplicates share (source and id of a signal, the id of a decision)."""

    stream: str
    received: int
    count: int
    payload: bytes
    subjects: Sequence[tuple[str, str]] = ()


class Log(Protocol):
    """One file of streams, cursors, a tick and named snapshots. It has one writer at a time."""

    def commit(
        self,
        appends: Sequence[Append] = (),
        *,
        cursors: Mapping[str, int] | None = None,
        snapshots: Mapping[str, bytes] | None = None,
        tick: int | None = None,
    ) -> Sequence[int]:
        """Append, move cursors and the tick, all durably or not at all; the new positions.

        Within a stream ``received`` never goes back, nor does the tick: ``OutOfOrder``.
        Raises ``LogFull`` when there is no room; the log stays usable and as it was.
        """

    def read(self, stream: str, *, after: int = 0, limit: int = 100) -> Sequence[Batch]:
        """Up to ``limit`` batches with a position greater than ``after``, in order."""

    def follow(self, stream: str, *, after: int = 0) -> Iterator[Batch]:
        """Every batch after ``after`` that is there now, page by page."""

    def last(self, stream: str) -> int:
        """The position of the newest batch, 0 if there is none."""

    def received(self, stream: str) -> int:
        """The log time of the newest batch, 0 if there is none."""

    def cursor(self, name: str) -> int:
        """Where ``name`` stands, 0 at first."""

    def tick(self) -> int:
        """The log time up to which nothing more can come with an earlier ``received``."""

    def snapshot(self, name: str) -> bytes | None:
        """The newest snapshot of that name."""

    def of_subject(self, stream: str, subject: str) -> Sequence[int]:
        """Positions of the batches that hold an item of ``subject``, ascending."""

    def newest(self, stream: str, subject: str, identity: str) -> int | None:
        """``received`` of the newest batch with an item of that subject and identity."""

    def version(self) -> int:
        """A number that changes with every commit, also another process's; cheap to poll."""

    def close(self) -> None:
        """Release the file."""
