"""Jobs of finding something out about changes, each in a process of its own, one at a time."""

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

import msgspec
import structlog

from forestall.app.weighing import MEMORY, SECONDS, Answer, Task, Weighed, Wrong
from forestall.contracts.errors import ForestallError
from forestall.contracts.refusals import NotThere
from forestall.kernel.database.tables import TROUBLE, first_line

WAITING: Final = 8
"""Jobs that wait or run at most; more are refused."""

REMEMBERED: Final = 32
"""Finished jobs that can still be asked about."""

NICENESS: Final = 10
"""Of a job's process, from its first instruction on: customers wait for everything else."""

_LONGEST = 64_000_000
_log = structlog.get_logger("app")


class Busy(ForestallError):
    """Too many plans and backtests wait already; try again in a while."""

    code = "too-many-jobs"


class WeighingFailed(ForestallError):
    """A plan or a backtest could not be finished; the message says what to do."""

    code = "weighing-failed"


class Job(msgspec.Struct):
    """Something to find out for ``by``; ``done`` is a fraction. Files are let go in the end."""

    id: str
    task: Task
    by: str
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    done: float = 0.0
    weighed: Weighed | None = None
    wrong: Wrong | None = None


Finished = Callable[[Weighed], None]


class Judging:
    """Runs jobs until ``close``; belongs to the event loop. ``ids`` gives fresh ones."""

    def __init__(self, ids: Callable[[], str], seconds: float = SECONDS + 60) -> None:
        self._ids = ids
        self._seconds = seconds
        self._jobs: dict[str, Job] = {}
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, task: Task, by: str, finished: Finished | None = None) -> Job:
        """Begin a job; ``finished`` hears what was found. Raises ``Busy``."""
        if len(self._tasks) >= WAITING:
            raise Busy(f"{WAITING} plans and backtests wait already; try again in a while")
        job = Job(self._ids(), task, by)
        self._jobs[job.id] = job
        self._forget()
        running = asyncio.get_running_loop().create_task(self._run(job, finished))
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)
        return job

    def job(self, id_: str) -> Job:
        """A job by its id. Raises ``NotThere``."""
        found = self._jobs.get(id_)
        if found is None:
            raise NotThere(f"there is no job {id_}; the server may have started anew: ask again")
        return found

    async def close(self) -> None:
        """End every job."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self) -> None:
        ended = [one for one in self._jobs.values() if one.state in ("done", "failed")]
        for one in ended[: max(0, len(ended) - REMEMBERED)]:
            del self._jobs[one.id]

    async def _run(self, job: Job, finished: Finished | None) -> None:
        async with self._turn:
            job.state = "running"
            try:
                async with asyncio.timeout(self._seconds):
                    weighed = await _weighed(job)
                if finished is not None:
                    finished(weighed)
            except TimeoutError:
                job.wrong = Wrong("weighing-failed", f"it took more than {self._seconds:.0f} s")
            except WeighingFailed as error:
                job.wrong = job.wrong or Wrong(error.code, str(error))
            except ForestallError as error:
                job.wrong = Wrong(error.code, str(error))
            except TROUBLE as error:
                job.wrong = Wrong("not-ready", f"the finding is not kept: {first_line(error)}")
            else:
                job.weighed, job.done = weighed, 1.0
            job.task = msgspec.structs.replace(job.task, files=b"")
            job.state = "failed" if job.wrong else "done"
            if job.wrong is not None:
                _log.info("nothing was found out", job=job.id, why=job.wrong.message)


async def _weighed(job: Job) -> Weighed:
    """What a process of its own finds; it does not outlive this. Raises ``WeighingFailed``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "forestall.app.weighing",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LONGEST,
    )
    with suppress(ProcessLookupError):
        own = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, process.pid, max(own, NICENESS))
    assert process.stdin is not None  # noqa: S101
    assert process.stdout is not None  # noqa: S101
    try:
        with suppress(ConnectionError):
            process.stdin.write(msgspec.json.encode(job.task))
            await process.stdin.drain()
            process.stdin.close()
        async for line in process.stdout:
            answer = msgspec.json.decode(line, type=Answer)
            if answer.done is not None:
                job.done = answer.done
            if answer.weighed is not None:
                return answer.weighed
            if answer.wrong is not None:
                job.wrong = answer.wrong
                raise WeighingFailed(answer.wrong.message)
        code = await process.wait()
        raise WeighingFailed(
            f"its process ended early (exit code {code}); it may use {MEMORY // 10**9} GB of memory"
            f" and {SECONDS // 60} minutes of the processor"
        )
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
