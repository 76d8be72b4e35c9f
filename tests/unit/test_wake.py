"""Taps between processes: heard at once, lost without harm, and able to bring a file."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from forestall.app.wake import Bell, Tap
from forestall.kernel.clock import monotonic


@pytest.fixture
def tap(tmp_path: Path) -> Iterator[Tap]:
    tap = Tap(tmp_path / "a.bell")
    yield tap
    tap.close()


def test_a_tap_ends_the_wait(tmp_path: Path, tap: Tap) -> None:
    bell = Bell(tmp_path / "a.bell")
    started = monotonic()
    threading.Timer(0.05, tap).start()
    bell.wait(30)
    assert monotonic() - started < 20
    bell.close()


def test_taps_before_the_wait_count_once(tmp_path: Path, tap: Tap) -> None:
    bell = Bell(tmp_path / "a.bell")
    tap()
    tap()
    bell.wait(30)
    started = monotonic()
    bell.wait(0.02)
    assert monotonic() - started >= 0.02
    bell.close()


def test_nobody_needs_to_listen_and_more_taps_than_fit_do_not_hold_up(
    tmp_path: Path, tap: Tap
) -> None:
    tap()
    bell = Bell(tmp_path / "a.bell")
    for _ in range(5_000):
        tap()
    assert bell.answer() == []
    bell.close()
    assert list(tmp_path.iterdir()) == []
    tap()


def test_who_comes_back_hears_again_also_after_a_crash(tmp_path: Path, tap: Tap) -> None:
    left_behind = Bell(tmp_path / "a.bell")
    bell = Bell(tmp_path / "a.bell")
    tap()
    bell.wait(30)
    bell.close()
    left_behind.socket.close()


def test_a_folder_may_have_a_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("long-" * 40)
    folder.mkdir()
    bell, tap = Bell(folder / "a.bell"), Tap(folder / "a.bell")
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    tap()
    bell.wait(30)
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
    tap.close()
    bell.close()
    assert list(folder.iterdir()) == []


def test_a_tap_brings_an_open_file(tmp_path: Path, tap: Tap) -> None:
    bell = Bell(tmp_path / "a.bell")
    reading, writing = os.pipe()
    tap()
    tap.bring(b"take this", writing)
    os.close(writing)
    ((data, given),) = bell.answer()
    assert data == b"take this"
    os.write(given, b"through the other")
    os.close(given)
    assert os.read(reading, 100) == b"through the other"
    os.close(reading)
    bell.close()


def test_bringing_says_when_nobody_is_there_or_the_queue_is_full(tmp_path: Path, tap: Tap) -> None:
    reading, writing = os.pipe()
    with pytest.raises(FileNotFoundError):
        tap.bring(b"take this", writing)
    bell = Bell(tmp_path / "a.bell")

    def bring_many() -> None:
        for _ in range(5_000):
            tap.bring(b"take this", writing)

    with pytest.raises(BlockingIOError):
        bring_many()
    for _, given in bell.answer():
        os.close(given)
    tap.bring(b"take this", writing)
    bell.close()
    os.close(reading)
    os.close(writing)
