"""An answerer's process: started on its own cores, told to run, its time and its work measured."""

import os
import select
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import msgspec

TICKS = os.sysconf("SC_CLK_TCK")
LIMIT = 900.0
"""Seconds that one run, or a start, may take."""

Answers = Counter[tuple[str, int]]
"""How often each question was answered with each event, by its number."""


class Failed(Exception):
    """An answerer ended, or did not answer in time."""


class Time(msgspec.Struct, frozen=True):
    """What one run took, in seconds: by the clock, without its planning, and of the processor."""

    wall: float
    inner: float
    cpu: float


class Answerer:
    """A process that speaks ``contest``'s lines; use it in a ``with`` block.

    ``cores`` are all that it, and what it starts, may use. Its errors go to ``<answers>.log``.
    ``started`` is how many seconds it took until it was ready. Raises ``Failed``.
    """

    def __init__(self, command: Sequence[str], answers: Path, cores: Collection[int]) -> None:
        self._command = command
        self._answers = answers
        self._log = answers.with_name(answers.name + ".log")
        began = time.perf_counter()
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    command,
                    bufsize=0,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
        finally:
            os.sched_setaffinity(0, allowed)
        try:
            hello = self._said()
        except BaseException:
            self._end()
            raise
        self.name, self.version = str(hello["name"]), str(hello["version"])
        self.started = time.perf_counter() - began

    def __enter__(self) -> "Answerer":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self) -> Time:
        """Answer once."""
        before = cpu_seconds(self._process.pid)
        with suppress(BrokenPipeError):  # its silence tells, with its last words
            _pipe(self._process.stdin).write(b"run\n")
        said = self._said()
        after = cpu_seconds(self._process.pid)
        return Time(float(said["seconds"]), float(said["inner"]), after - before)

    def answers(self) -> Answers:
        """The answers of the last run."""
        return read_answers(self._answers)

    def _said(self) -> dict[str, Any]:
        stdout = _pipe(self._process.stdout)
        ready, _, _ = select.select([stdout], [], [], LIMIT)
        line = stdout.readline() if ready else b""
        try:
            said: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            last = self._log.read_text(errors="replace")[-3000:]
            who = " ".join(map(str, self._command))
            raise Failed(f"{who}: it ended or gave no answer; its last words:\n{last}") from None
        return said

    def _end(self) -> None:
        _pipe(self._process.stdin).close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise Failed("the process was started without its pipes")
    return pipe


def cpu_seconds(session: int) -> float:
    """Processor seconds so far of all living processes of a session, as ``/proc`` tells."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session:
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def read_answers(path: Path) -> Answers:
    """The answers in a file, or in all files of a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    found: Answers = Counter()
    for file in files:
        for line in file.read_text().splitlines():
            question, _, number = line.partition(" ")
            found[question, int(number)] += 1
    return found


def differences(ours: Answers, theirs: Answers, shown: int = 10) -> list[str]:
    """What answers differ, in words, ``shown`` examples at most; nothing where all are equal."""
    words = []
    for who, missing in (("the peer", ours - theirs), ("ours", theirs - ours)):
        words += [f"{who} lacks: {question} at event {n}" for question, n in sorted(missing)]
    rest = len(words) - shown
    return words if rest <= 0 else [*words[:shown], f"and {rest:,} more"]
