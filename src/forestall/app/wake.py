"""A tap on the shoulder between processes: "I committed", so that nobody sleeps over news.

Each process that waits for another has a Unix datagram socket in the data folder. A tap that is
lost, because nobody listens yet or the queue is full, costs no more than the waiting process's own
pause between two looks. The same socket takes descriptors along (see ``handover``).
"""

import os
import select
import socket
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WORKER_BELL, APP_BELL = "worker.bell", "app.bell"
"""The files in the data folder."""

LARGEST = 65_536
"""Bytes of one datagram."""


@contextmanager
def _named(path: Path) -> Iterator[str]:
    """A short name of ``path``, as the address of a Unix socket has at most 107 bytes."""
    if len(os.fsencode(path)) < 100 or not Path("/proc/self/fd").is_dir():
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class Bell:
    """Where a process hears taps: the file ``path``, which it makes and removes.

    Where the system allows no such socket it stays silent, and pauses are simply slept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        path.unlink(missing_ok=True)
        with suppress(OSError), _named(path) as name:
            self.socket.bind(name)

    def wait(self, seconds: float) -> None:
        """Sleep until somebody taps, at most so long."""
        if select.select([self.socket], [], [], seconds)[0]:
            self.answer()

    def answer(self) -> list[tuple[bytes, int]]:
        """Take all taps there are; the data and the descriptor of those that brought one."""
        brought: list[tuple[bytes, int]] = []
        while True:
            try:
                data, found, _, _ = socket.recv_fds(self.socket, LARGEST, 1)
            except BlockingIOError:
                return brought
            brought += [(data, descriptor) for descriptor in found]

    def close(self) -> None:
        """Hear no more."""
        self._path.unlink(missing_ok=True)
        self.socket.close()


class Tap:
    """Taps whoever has the bell at ``path``; callable from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def __call__(self) -> None:
        """Tap; nothing happens if nobody listens."""
        with suppress(OSError):
            self._send(lambda name: self._socket.sendto(b"", name))

    def bring(self, data: bytes, descriptor: int) -> None:
        """Hand over an open file with some bytes. Raises ``BlockingIOError`` while the other's
        queue is full, and another ``OSError`` where nobody listens or ``data`` is too large."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))
        self._send(lambda name: self._socket.sendmsg([data], [rights], 0, name))

    def _send(self, send: Callable[[str], object]) -> None:
        with _named(self._path) as name:
            send(name)

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()
