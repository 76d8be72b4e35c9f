"""Deciding in several processes: what goes wrong in one reaches the caller, and none is left."""

import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from forestall.contracts.control import Control
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.instants import DAY, MINUTE
from forestall.decide import parallel
from forestall.decide.backtest import opening
from forestall.decide.history import Chunk, History, Share
from forestall.decide.parallel import (
    Found,
    Line,
    Part,
    Work,
    WorkerLost,
    dealt,
    decide,
    may_be_copied,
    merged,
    worthwhile,
)
from forestall.policy.bundle import Bundle
from scenario import OPEN, event, on

POLICIES = (
    on("{sequence: [{event: a}, {not: b, for: 5s}]}", "silence"),
    on("{event: b}", "many", cooldown="10s"),
)

_COPIES = """
import sys
from pathlib import Path
import msgspec
from forestall.contracts.control import Control
from forestall.decide.parallel import Work, decide, may_be_copied
path = Path(sys.argv[1])
controls = msgspec.json.decode(path.with_name("controls").read_bytes(), type=tuple[Control, ...])
work = Work(path=path, controls=controls, gap=1, outcome="c", horizon=1, lines=True)
print(may_be_copied(), flush=True)
decide(work, 3, lambda part: sys.stdout.buffer.writelines(line.text for line in part.lines))
"""
"""What decides the history that it is given in copies of itself."""


def work(path: Path, **changed: object) -> Work:
    controls: list[Control] = opening(Bundle(policies=POLICIES), OPEN)
    one = Work(
        path=path, controls=tuple(controls), gap=MINUTE, outcome="c", horizon=DAY, lines=True
    )
    return msgspec.structs.replace(one, **changed)


def lines(count: int) -> list[bytes]:
    return [event(t, "abc"[t % 3], subject=f"u{t % 17}", event_id=f"e{t}") for t in range(count)]


def run(one: Work, jobs: int) -> tuple[list[bytes], list[float], Found]:
    written: list[bytes] = []
    done: list[float] = []

    def take(part: Part) -> None:
        written.extend(line.text for line in part.lines)
        done.append(part.done)

    return written, done, decide(one, jobs, take)


def test_two_processes_tell_what_one_tells(tmp_path: Path) -> None:
    path = tmp_path / "h.ndjson"
    path.write_bytes(b"\n".join(lines(17_000)))
    written, done, one = run(work(path), 1)
    again, done_again, two = run(work(path), 2)
    assert len(written) > 1_000
    assert again == written
    assert len(done) == len(done_again) == 4
    assert done_again == sorted(done_again)
    assert done[-1] == done_again[-1] == 1.0
    assert two.tally.facts() == one.tally.facts()
    assert (two.counters, two.skipped, two.tick) == (one.counters, one.skipped, one.tick)
    assert one.followed is not None
    assert two.followed is not None
    assert two.followed.result(0, 1, resamples=5) == one.followed.result(0, 1, resamples=5)
    assert multiprocessing.active_children() == []


def test_a_share_without_events_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "h.ndjson"
    path.write_bytes(event(0, "b"))
    written, _, found = run(work(path, outcome=None), 3)
    assert len(written) == 1
    assert found.followed is None
    assert found.tally.facts().customers == 1
    path.write_bytes(b"")
    assert run(work(path), 2)[2].tick is None


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_first_broken_line_is_named_whoever_reads_it(tmp_path: Path, jobs: int) -> None:
    path = tmp_path / "h.ndjson"
    good = lines(9_000)
    path.write_bytes(b"\n".join([*good, b"{", *good, b"[]"]))
    with pytest.raises(UnreadableInput, match=r"h\.ndjson:9001: not a CloudEvent") as caught:
        run(work(path), jobs)
    assert caught.value.exit_code == 2
    assert multiprocessing.active_children() == []


def test_a_process_that_is_killed_is_told(tmp_path: Path) -> None:
    path = tmp_path / "h.ndjson"
    path.write_bytes(b"\n".join(lines(17_000)))

    def take(_: Part) -> None:
        for child in multiprocessing.active_children():
            assert child.pid is not None
            os.kill(child.pid, 9)

    with pytest.raises(WorkerLost, match=r"exit code -9.*--jobs 1"):
        decide(work(path), 2, take)
    assert multiprocessing.active_children() == []


def test_an_interrupted_run_leaves_no_process(tmp_path: Path) -> None:
    path = tmp_path / "h.ndjson"
    path.write_bytes(b"\n".join(lines(17_000)))

    def take(_: Part) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decide(work(path), 2, take)
    assert multiprocessing.active_children() == []


def test_parts_are_put_in_order() -> None:
    def line(order: int, at: str, subject: str, text: bytes) -> Line:
        return Line((order, at, subject), text)

    one = Part(0.5, [line(0, "b", "u", b"2"), line(3, "a", "u", b"4"), line(3, "a", "u", b"5")])
    two = Part(0.4, [line(0, "a", "w", b"1"), line(0, "b", "w", b"3")])
    both = merged([one, two])
    assert both.done == 0.4
    assert b"".join(line.text for line in both.lines) == b"12345"


def test_shares_are_about_as_much_work_each(tmp_path: Path) -> None:
    """Of 40 subjects, the busiest send 1/2, 1/3, 1/4 ... as much as the busiest of all."""
    path = tmp_path / "h.ndjson"
    ranks = [rank for rank in range(1, 41) for _ in range(1000 // rank)]
    path.write_bytes(b"\n".join(event(t, "a", subject=f"u{rank}") for t, rank in enumerate(ranks)))
    first = next(History(path).chunks())
    for parts in (2, 3):
        shares = [dealt(Share(part, parts), first) for part in range(parts)]
        assert len({tuple(share.dealt.items()) for share in shares}) == 1
        counts = [sum(len(records) for records in History(path, share=one)) for one in shares]
        assert sum(counts) == len(ranks)
        assert max(counts) - min(counts) <= 25
    assert dealt(Share(1, 2), Chunk.of(())) == Share(1, 2)


def test_a_short_history_is_worth_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(parallel, "WORTH", 10)
    path = tmp_path / "h.ndjson"
    assert worthwhile(path) == 1
    for size, jobs in ((0, 1), (7_999, 1), (8_000, 2), (400_000, 4)):
        path.write_bytes(b" " * size)
        assert worthwhile(path) == jobs
    (tmp_path / "gateway.db").write_bytes(b" " * 12_000)
    assert worthwhile(tmp_path) == 3


def test_a_parquet_file_is_smaller_than_its_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(parallel, "WORTH", 10)
    path = tmp_path / "h.parquet"
    path.write_bytes(b" " * 1_500)
    assert worthwhile(path) == 3


def test_a_process_with_threads_is_not_copied() -> None:
    """A copy has no threads but the one that made it, and no lock that another held opens again."""
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        assert not may_be_copied()
    finally:
        ended.set()
        thread.join()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system tells no threads")
def test_copies_decide_as_one_process(tmp_path: Path) -> None:
    """Asked for by a process of its own, since the one that tests may have threads."""
    path = tmp_path / "h.ndjson"
    path.write_bytes(b"\n".join(lines(17_000)))
    (tmp_path / "controls").write_bytes(msgspec.json.encode(work(path).controls))
    given = subprocess.run(
        [sys.executable, "-c", _COPIES, str(path)], capture_output=True, check=True, timeout=100
    )
    written, _, _ = run(work(path), 1)
    assert given.stdout.splitlines(keepends=True) == [b"True\n", *written]
    assert given.stderr == b""
