"""What a log can do. One abstract suite in ``tests/ports`` proves every adapter of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol
from zlib import crc32

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
    """The file is damaged, is not a log, or was written by a newer or older Forestall."""

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


BUCKETS = 1024
"""Into how many buckets the keys of pieces fall."""


def bucket(key: str) -> int:
    """The bucket of a piece's key, from 0; it never changes."""
    return crc32(key.encode()) % BUCKETS


class Piece(msgspec.Struct, frozen=True):
    """A part of a state that is too large to be written at once, as of a round.

    ``key`` names the part within the state; empty ``content`` says that it is gone.
    """

    key: str
    round: int
    content: bytes


class Log(Protocol):
    """One file of streams, cursors, a tick, named snapshots and pieces. One writer at a time."""

    def commit(
        self,
        appends: Sequence[Append] = (),
        *,
        cursors: Mapping[str, int] | None = None,
        snapshots: Mapping[str, bytes] | None = None,
        tick: int | None = None,
        pieces: Sequence[Piece] = (),
        durable: bool = True,
    ) -> Sequence[int]:
        """Append, move cursors and the tick, all durably or not at all; the new positions.

        What is not ``durable`` waits for no disk: a loss of power, but no crash, may undo it until
        the next durable commit. Nothing is ever kept of which something earlier is not.

        Within a stream ``received`` never goes back, nor does the tick: ``OutOfOrder``.
        Raises ``LogFull`` when there is no room; the log stays usable and as it was.

        Of pieces with the same key and round the last counts. Rounds come one after the other: who
        commits pieces of a round says that every earlier one is finished, and what it superseded
        may go. Pieces of few buckets in one commit are cheap (see ``bucket``).
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

    def pieces(self, until: int) -> Iterator[tuple[str, bytes]]:
        """Each key once, with its newest content up to round ``until``, but the gone.

        ``until`` is not before the last that was finished when newer pieces were committed.
        """

    def drop_after(self, finished: int) -> None:
        """Forget the pieces of rounds after ``finished``, which a crash left unfinished."""

    def of_subject(self, stream: str, subject: str) -> Sequence[int]:
        """Positions of the batches that hold an item of ``subject``, ascending."""

    def newest_of(
        self, stream: str, pairs: Sequence[tuple[str, str]], *, since: int = 0
    ) -> Sequence[int | None]:
        """For each ``(subject, identity)`` the ``received`` of the newest batch with such an item.

        None stands for never, and may stand for before ``since``.
        """

    def version(self) -> int:
        """A number that changes with every commit, also another process's; cheap to poll."""

    def close(self) -> None:
        """Release the file."""
