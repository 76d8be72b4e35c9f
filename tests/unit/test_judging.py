"""Jobs of the server: one at a time, in a process of their own, within limits, and not for ever."""

import asyncio
import os
import signal
import sqlite3
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from forestall.app.gauges import DRIFTED, OVERDUE, Standing
from forestall.app.judging import NICENESS, REMEMBERED, WAITING, Busy, Job, Judging
from forestall.app.weighing import Task, Weighed
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.instants import parse_time
from forestall.contracts.refusals import NotThere
from forestall.kernel.settings import load_settings
from forestall.log.sqlite import SqliteLog

POLICY = """apiVersion: forestall/v1
kind: Policy
metadata: {name: p, owner: us, review_by: 2027-01-31}
spec:
  when: {event: a.b}
  playbook: [{guide: {text: Hello, channel: inapp}}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text(POLICY)
    path = tmp_path / "forestall.toml"
    path.write_text('[policies]\nfolder = "policies"\n')
    return path


def fresh() -> Any:
    numbers = count(1)
    return lambda: f"job-{next(numbers)}"


def plan(config: Path, files: bytes = b"[]") -> Task:
    return Task(what="plan", config=str(config), files=files)


async def ended(job: Job) -> Job:
    async with asyncio.timeout(60):
        while job.state not in ("done", "failed"):
            await asyncio.sleep(0.01)
    return job


def test_a_job_is_done_in_a_process_of_its_own(config: Path) -> None:
    heard: list[Weighed] = []

    async def run() -> Job:
        jobs = Judging(fresh())
        job = jobs.start(plan(config), "ann", heard.append)
        assert (job.id, job.by, job.state) == ("job-1", "ann", "waiting")
        assert jobs.job("job-1") is job
        return await ended(job)

    job = asyncio.run(run())
    assert (job.state, job.done, job.wrong) == ("done", 1.0, None)
    assert job.weighed is not None
    assert heard == [job.weighed]
    assert job.weighed.plan is not None
    assert job.weighed.plan.lines == ()


def test_what_is_wrong_is_told_with_its_code(config: Path) -> None:
    async def run() -> tuple[Job, Job]:
        jobs = Judging(fresh())
        sent = jobs.start(plan(config, b'{"no": "list"}'), "ann")
        unknown = jobs.start(
            Task(what="backtest", config=str(config), name="p", version="1"), "ann"
        )
        return await ended(sent), await ended(unknown)

    sent, unknown = asyncio.run(run())
    assert (sent.state, unknown.state) == ("failed", "failed")
    assert sent.wrong is not None
    assert unknown.wrong is not None
    assert sent.wrong.code == "unreadable-input"
    assert (unknown.wrong.code, unknown.wrong.message) == (
        "not-there",
        "there is no version '1' of the policy `p`",
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UnreadableInput("not today"), "not today"),
        (sqlite3.OperationalError("disk I/O error"), "the finding is not kept: disk I/O error"),
    ],
)
def test_what_cannot_be_kept_is_told(config: Path, error: Exception, said: str) -> None:
    def refuse(_: Weighed) -> None:
        raise error

    async def run() -> Job:
        return await ended(Judging(fresh()).start(plan(config, b"[ ]"), "ann", refuse))

    job = asyncio.run(run())
    assert job.wrong is not None
    assert (job.state, job.wrong.message) == ("failed", said)
    assert job.task.files == b"", "they may be large, and are needed no more"


def test_a_job_waits_for_everything_else(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = config.parent / "priority"
    words = f"cat >/dev/null; cut -d' ' -f19 /proc/self/stat > {mark}"
    monkeypatch.setattr("forestall.app.judging.sys.executable", str(script(config, words)))

    async def run() -> None:
        await ended(Judging(fresh()).start(plan(config), "ann"))

    asyncio.run(run())
    assert int(mark.read_text()) == max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0))


def test_too_many_are_refused_and_old_ones_forgotten(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asyncio.Event()

    async def quick(_: Job) -> Weighed:
        await gate.wait()
        return Weighed(0)

    monkeypatch.setattr("forestall.app.judging._weighed", quick)

    async def run() -> None:
        jobs = Judging(fresh())
        first = [jobs.start(plan(config), "ann") for _ in range(WAITING)]
        with pytest.raises(Busy, match="wait already"):
            jobs.start(plan(config), "ann")
        gate.set()
        for job in first:
            await ended(job)
        for _ in range(REMEMBERED + WAITING):
            await asyncio.sleep(0)
            await ended(jobs.start(plan(config), "ann"))
            await asyncio.sleep(0)
        with pytest.raises(NotThere, match="ask again"):
            jobs.job(first[0].id)

    asyncio.run(run())


def test_one_that_takes_too_long_ends(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "forestall.app.judging.sys.executable", str(script(config, "exec sleep 600"))
    )

    async def run() -> Job:
        return await ended(Judging(fresh(), seconds=0.2).start(plan(config), "ann"))

    job = asyncio.run(run())
    assert job.wrong is not None
    assert (job.state, job.wrong.code) == ("failed", "weighing-failed")


def test_a_process_that_dies_is_told(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forestall.app.judging.sys.executable", str(script(config, "kill -9 $$")))

    async def run() -> Job:
        return await ended(Judging(fresh()).start(plan(config), "ann"))

    job = asyncio.run(run())
    assert job.wrong is not None
    assert f"exit code {-signal.SIGKILL}" in job.wrong.message


def test_closing_ends_what_runs(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = config.parent / "begun"
    monkeypatch.setattr(
        "forestall.app.judging.sys.executable",
        str(script(config, f"echo $$ > {mark}; exec sleep 600")),
    )

    async def run() -> int:
        jobs = Judging(fresh())
        jobs.start(plan(config), "ann")
        async with asyncio.timeout(30):
            while not (mark.exists() and mark.read_text().strip()):
                await asyncio.sleep(0.01)
        await jobs.close()
        return int(mark.read_text())

    number = asyncio.run(run())
    assert not Path(f"/proc/{number}").exists()


def script(config: Path, body: str) -> Path:
    path = config.parent / "python"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_the_gauges_say_how_the_deployment_stands(config: Path) -> None:
    settings = load_settings(config)
    settings.data.mkdir()
    SqliteLog(settings.data / "worker.db").close()
    days = iter(["2027-01-31T12:00:00Z", "2027-02-01T12:00:00Z"])
    day = [parse_time(next(days))]

    async def run() -> None:
        jobs = Judging(fresh())
        standing = Standing(settings, None, lambda: 0, jobs, lambda: day[0])
        await standing.look()
        await ended(jobs.job("job-1"))
        assert (value(DRIFTED), value(OVERDUE)) == (1, 0)
        await standing.look()
        with pytest.raises(NotThere):
            jobs.job("job-2")
        day[0] = parse_time(next(days))
        await standing.look()
        await ended(jobs.job("job-2"))
        assert (value(DRIFTED), value(OVERDUE)) == (1, 1)

    asyncio.run(run())


def test_the_standing_is_looked_at_until_the_end(config: Path) -> None:
    settings = load_settings(config)

    async def run() -> None:
        jobs, stop = Judging(fresh()), asyncio.Event()
        standing = Standing(settings, None, lambda: 0, jobs, lambda: 0)
        looking = asyncio.create_task(standing.run(stop, every=0.01))
        job = None
        async with asyncio.timeout(60):
            while job is None:
                await asyncio.sleep(0.01)
                with suppress(NotThere):
                    job = jobs.job("job-1")
        assert (await ended(job)).wrong is not None, "there is no data folder"
        stop.set()
        await looking

    asyncio.run(run())


def value(gauge: Any) -> float:
    (metric,) = gauge.collect()
    return float(metric.samples[0].value)
