"""Checkpoints beside the commits, so that no commit waits for one.

In WAL mode what was committed lies in the WAL and is copied into the file by and by: a checkpoint
(https://www.sqlite.org/wal.html). SQLite makes it within the commit that finds a thousand pages,
which then takes ten times as long as others. Here a thread with a connection of its own copies what
there is, ten times a second, and holds nobody up.

The writer goes on appending meanwhile, so that copying never comes to its end. Where the WAL has
grown to ``LARGEST`` pages, the thread therefore keeps the writer out for the moment that it takes
to copy the little that came since; the next commit then begins the WAL anew. While a reader stays
in the WAL, that must wait, and it grows; readers of ours leave at once.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from forestall.kernel.database.files import open_database

EVERY = 0.1
"""Seconds between two copies."""

LARGEST = 4_000
"""Pages of 4 KB in the WAL from which on it is to be begun anew."""

PATIENCE = 5
"""Milliseconds that the writer may be kept out for the sake of readers."""

LARGEST_KEPT = 64_000_000
"""Bytes to which the WAL's file is cut back where a reader let it grow larger."""


@contextmanager
def beside(path: Path, writer: sqlite3.Connection) -> Iterator[None]:
    """Copy in a thread while it lasts; ``writer`` is the connection that writes the file ``path``."""
    over = threading.Event()
    with closing(open_database(path)) as own:
        (before,) = writer.execute("PRAGMA wal_autocheckpoint").fetchone()
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute(f"PRAGMA journal_size_limit = {LARGEST_KEPT}")
        own.execute(f"PRAGMA busy_timeout = {PATIENCE}")
        thread = threading.Thread(target=_copy_until, args=(over, own), name="checkpoints")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            writer.execute(f"PRAGMA wal_autocheckpoint = {before}")


def _copy_until(over: threading.Event, own: sqlite3.Connection) -> None:
    while not over.wait(EVERY):
        # Where the disk is full or fails, what is not copied stays in the WAL: commits say so.
        with suppress(sqlite3.OperationalError):
            if _copy(own, "PASSIVE") >= LARGEST:
                _copy(own, "PASSIVE")
                _copy(own, "RESTART")


def _copy(own: sqlite3.Connection, mode: str) -> int:
    """Copy; the pages that the WAL held when it began."""
    _, pages, _ = own.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    return int(pages)
