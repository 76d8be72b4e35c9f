"""Deciding a history on several cores: each process decides for its share of the subjects.

A subject's decisions are a function of its own records and of control records, so shares need
nothing of each other. Every process reads the whole history, keeps the records of its share, and
tells what it decided chunk by chunk; put in order, it is byte for byte what one process decides.
The process that asks takes a share itself.
"""

import gc
import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from forestall.context import core
from forestall.contracts.control import Control, SettingsApplied
from forestall.contracts.errors import ForestallError
from forestall.decide.backtest import backtest, in_log_order
from forestall.decide.engine import Engine, Order
from forestall.decide.evidence import Evidence, Tally, follow
from forestall.decide.history import Chunk, History, Share, log_end
from forestall.measure.outcomes import Followed

WORTH: Final = 250_000
"""Events that are worth a process of their own; fewer are decided before it has started."""

_BYTES: Final = 400
_BYTES_PACKED: Final = 50
_AHEAD: Final = 64
_DEALT: Final = 256


class WorkerLost(ForestallError):
    """A process that decided for a share of the subjects ended early; give it more memory, or run
    with ``--jobs 1``."""

    code = "backtest-worker-lost"


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be decided and added up: ``gap`` and ``horizon`` in microseconds.

    ``lines`` says whether the decisions themselves are wanted.
    """

    path: Path
    controls: tuple[Control, ...]
    gap: int
    outcome: str | None
    horizon: int
    lines: bool


class Line(NamedTuple):
    """A decision as JSON, ended by a newline, and what puts it in order within its chunk."""

    order: tuple[Order, str, str]
    text: bytes


class Part(NamedTuple):
    """What was decided on one chunk, and the fraction of the history that is done."""

    done: float
    lines: Sequence[Line]


class Found(msgspec.Struct, frozen=True):
    """What a share, or all shares together, came to."""

    tally: Tally
    followed: Followed | None
    counters: dict[str, int]
    skipped: int
    tick: int | None

    def __add__(self, other: "Found") -> "Found":
        """Of two shares of one history; uses up ``followed`` of both."""
        if self.followed is not None and other.followed is not None:
            self.followed.absorb(other.followed)
        counters = {name: count + other.counters[name] for name, count in self.counters.items()}
        return Found(self.tally + other.tally, self.followed, counters, self.skipped, self.tick)


class _Failed(NamedTuple):
    row: int
    kind: type[ForestallError]
    message: str


def worthwhile(path: Path) -> int:
    """How many processes a history is worth by its size: one a core, and fewer for a short one."""
    file = path / "gateway.db" if path.is_dir() else path
    size = file.stat().st_size if file.is_file() else 0
    return _fitting(size // (_BYTES_PACKED if file.suffix == ".parquet" else _BYTES))


def _fitting(events: int) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, events // WORTH))


def decide(work: Work, jobs: int, take: Callable[[Part], None]) -> Found:
    """Decide on ``jobs`` processes, this one if it is one; ``take`` is given part after part.

    Raises what reading raises, and ``WorkerLost``. No process outlives the call.
    """
    core.large_pages()
    if jobs == 1:
        steps = decide_share(work, History(work.path))
        while True:
            try:
                take(next(steps))
            except StopIteration as end:
                found: Found = end.value
                return found
    workers: list[_Worker] = []
    try:
        until = log_end(work.path)
        own, *others = (Share(part, jobs, end=until) for part in range(jobs))
        for share in others:
            workers.append(_Worker(work, share, workers))
        return _gathered(_answers(work, own), workers, take)
    finally:
        for worker in workers:
            worker.stop()


def dealt(share: Share, first: Chunk) -> Share:
    """The share, if the parts are about as much work each as the ``first`` events tell.

    A few subjects send much of what there is, so the busiest are dealt out, each to the part that
    has least by then.
    """
    busiest = Counter(record.subject for record in first.records).most_common(_DEALT)
    loads, parts = [0] * share.parts, dict[str, int]()
    for subject, events in busiest:
        part = loads.index(min(loads))
        loads[part] += events
        parts[subject] = part
    return msgspec.structs.replace(share, dealt=parts)


def decide_share(work: Work, history: History) -> Generator[Part, None, Found]:
    """Decide over the share that ``history`` reads, chunk by chunk."""
    evidence = Evidence(work.gap)
    followed = None if work.outcome is None else Followed(work.outcome, work.horizon)
    grace = _grace(work.controls)
    engine = Engine()
    for step in backtest(work.controls, history, engine):
        evidence.add(step)
        if followed is not None:
            follow(followed, step, grace)
        lines = [
            Line(in_log_order(placed), msgspec.json.encode(placed[1]) + b"\n")
            for placed in (step.decided if work.lines else ())
        ]
        yield Part(history.done, lines)
    return Found(evidence.tally(), followed, engine.counters, history.skipped, history.tick)


def merged(parts: Sequence[Part]) -> Part:
    """The parts that shares decided of one chunk, as one."""
    lines = [line for part in parts for line in part.lines]
    lines.sort(key=lambda line: line.order)
    return Part(min(part.done for part in parts), lines)


def _grace(controls: Sequence[Control]) -> int:
    """The newest setting of it; it only says when a timer's decision counts as noticed."""
    known = [control for control in controls if isinstance(control, SettingsApplied)]
    return max(known, key=lambda control: control.received).settings.grace if known else 0


# -- processes -------------------------------------------------------------------------------------


Answer = Part | Found | _Failed


def may_be_copied() -> bool:
    """Whether a copy of this process can go on by itself: no other thread holds a lock in it."""
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir()) == 1
    except OSError:
        return False


class _Worker:
    """A process that decides for a share, seen from outside; ``earlier`` ones were started before.

    A copy of this process is ready at once; a new one has to import everything first.
    """

    def __init__(self, work: Work, share: Share, earlier: Sequence["_Worker"]) -> None:
        self.connection, theirs = multiprocessing.Pipe(duplex=False)
        if may_be_copied():
            copied = [self.connection, *(worker.connection for worker in earlier)]
            process: Callable[..., BaseProcess] = multiprocessing.get_context("fork").Process
        else:
            copied, process = [], multiprocessing.get_context("spawn").Process
        self.process = process(target=_serve, args=(theirs, copied, work, share), daemon=True)
        self.process.start()
        theirs.close()
        self.answers: deque[Answer] = deque()
        self.ended = False

    def receive(self) -> None:
        """Take the next answer, which is there."""
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            raise WorkerLost(
                f"a process of the backtest ended early (exit code {self.process.exitcode}); "
                "free some memory, or run with --jobs 1"
            ) from None
        self.ended = not isinstance(answer, Part)
        self.answers.append(answer)

    def stop(self) -> None:
        """End the process, if it has not ended."""
        self.process.terminate()
        self.process.join()
        self.connection.close()


def _gathered(
    own: Iterator[Answer], workers: Sequence[_Worker], take: Callable[[Part], None]
) -> Found:
    for answers in _in_step(own, workers):
        failures = [answer for answer in answers if isinstance(answer, _Failed)]
        if failures:
            first = min(failures, key=lambda failure: failure.row)
            raise first.kind.__new__(first.kind, first.message)
        parts = [answer for answer in answers if isinstance(answer, Part)]
        if parts:
            take(merged(parts))
        else:
            found = [answer for answer in answers if isinstance(answer, Found)]
            return sum(found[1:], start=found[0])
    raise AssertionError("the last answer is never a part")


def _in_step(own: Iterator[Answer], workers: Sequence[_Worker]) -> Iterator[list[Answer]]:
    """The first answer of each, the second of each, and so on; nobody gets far ahead."""
    mine: deque[Answer] = deque()
    ended = False
    while True:
        free = {
            worker.connection: worker
            for worker in workers
            if not worker.ended and len(worker.answers) < _AHEAD
        }
        busy = not ended and len(mine) < _AHEAD
        if not (busy or free):
            raise WorkerLost("the processes of the backtest disagree; run with --jobs 1")
        for connection in wait(list(free), 0 if busy else None):
            free[connection].receive()  # type: ignore[index]
        if busy:
            mine.append(next(own))
            ended = not isinstance(mine[-1], Part)
        while mine and all(worker.answers for worker in workers):
            yield [mine.popleft(), *(worker.answers.popleft() for worker in workers)]


def _answers(work: Work, share: Share) -> Iterator[Answer]:
    """The parts of a share, then what was found or what went wrong.

    Each process looks at the first events itself, so that none has to wait for another.
    """
    history = History(work.path, share=Share(end=share.end))
    try:
        first = next(history.chunks(), Chunk.of(()))
        history = History(work.path, share=dealt(share, first))
        del first
        found = yield from decide_share(work, history)
    except ForestallError as error:
        yield _Failed(history.row, type(error), str(error))
    else:
        yield found


def _serve(
    connection: "Connection[object, object]",
    copied: "Sequence[Connection[object, object]]",
    work: Work,
    share: Share,
) -> None:
    """Decide for a share in a process of its own and send the answers.

    Of the process that asks come copies of the ends that it reads; while one is open, nobody would
    notice that this process is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for end in copied:
        end.close()
    gc.disable()
    core.large_pages()
    try:
        for answer in _answers(work, share):
            connection.send(answer)
    except BrokenPipeError:
        return
