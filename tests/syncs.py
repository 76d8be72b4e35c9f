"""Counts what SQLite really asks the disk to make durable, through a VFS of our own.

The VFS is SQLite's default one with ``xSync`` watched (<https://sqlite.org/c3ref/vfs.html>).
"""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_OPEN = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.POINTER(ctypes.c_int),
)


class _Methods(ctypes.Structure):
    """``sqlite3_io_methods``, of which only ``xSync`` matters here."""

    _fields_ = [
        ("version", ctypes.c_int),
        ("before", ctypes.c_void_p * 4),
        ("sync", ctypes.c_void_p),
        ("after", ctypes.c_void_p * 13),
    ]


class _Vfs(ctypes.Structure):
    """``sqlite3_vfs``, of which only ``xOpen`` matters here."""

    _fields_ = [
        ("version", ctypes.c_int),
        ("file_size", ctypes.c_int),
        ("longest", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("open", ctypes.c_void_p),
        ("rest", ctypes.c_void_p * 15),
    ]


class Syncs:
    """Names of the files made durable, in order. While ``gate`` is clear, syncing hangs."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)


def _library() -> ctypes.CDLL:
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    loaded = {line.split()[-1] for line in lines if "sqlite3" in line}
    for name in (*sorted(loaded, reverse=True), None):
        library = ctypes.CDLL(name)
        if hasattr(library, "sqlite3_vfs_find"):
            return library
    pytest.skip("this Python hides SQLite's C interface")


@contextmanager
def watched_syncs() -> Iterator[Syncs]:
    """Watch every database opened inside; all of them must be closed inside, too."""
    library = _library()
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    library.sqlite3_vfs_register.argtypes = [ctypes.POINTER(_Vfs), ctypes.c_int]
    library.sqlite3_vfs_unregister.argtypes = [ctypes.POINTER(_Vfs)]
    plain = library.sqlite3_vfs_find(None)
    real_open = _OPEN(plain.contents.open)
    syncs, kept = Syncs(), []
    names: dict[int, tuple[str, Any]] = {}

    def sync(file: int, flags: int) -> int:
        name, real = names[file]
        syncs.names.append(name)
        syncs.entered.release()
        syncs.gate.wait(20)
        return int(real(file, flags))

    watching = _SYNC(sync)

    def open_(
        vfs: int, name: int | None, file: int, flags: int, out: "ctypes._Pointer[ctypes.c_int]"
    ) -> int:
        code = int(real_open(vfs, name, file, flags, out))
        place = ctypes.cast(file, ctypes.POINTER(ctypes.c_void_p))
        if code == 0 and place[0]:
            methods = _Methods.from_buffer_copy(ctypes.string_at(place[0], ctypes.sizeof(_Methods)))
            path = ctypes.string_at(name).decode() if name else ""
            names[file] = (path, _SYNC(methods.sync))
            methods.sync = ctypes.cast(watching, ctypes.c_void_p).value
            kept.append(methods)
            place[0] = ctypes.addressof(methods)
        return code

    opening = _OPEN(open_)
    own = _Vfs.from_buffer_copy(plain.contents)
    own.name, own.next = b"watched", None
    own.open = ctypes.cast(opening, ctypes.c_void_p).value
    library.sqlite3_vfs_register(ctypes.byref(own), 1)
    try:
        yield syncs
    finally:
        syncs.gate.set()
        library.sqlite3_vfs_unregister(ctypes.byref(own))
        library.sqlite3_vfs_register(plain, 1)
