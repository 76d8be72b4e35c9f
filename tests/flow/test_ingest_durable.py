"""Durable before answered, exact under overload, and whole again after a full disk."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from forestall.contracts.instants import parse_time
from forestall.log import checkpoints
from forestall.log.port import Append
from forestall.log.sqlite import SqliteLog
from serving import (
    BROWSER,
    Counters,
    Running,
    SlowLog,
    event,
    gate,
    ingest,
    logged,
    running,
    settings,
    until,
    verdicts,
)
from syncs import watched_syncs


@pytest.fixture
def _no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only commits wait for the disk, so that what does can be counted."""
    monkeypatch.setattr(checkpoints, "EVERY", 3_600)


@pytest.mark.usefixtures("_no_copies")
def test_an_fsync_lies_before_every_answer(tmp_path: Path) -> None:
    history = settings(tmp_path, ingest=ingest(clock="event"))
    with (
        watched_syncs() as syncs,
        running(history) as server,
        ThreadPoolExecutor(20) as clients,
    ):
        for n in range(3):
            drain(syncs.entered)
            syncs.gate.clear()
            done = clients.submit(server.post, "/v1/events", event(f"first-{n}"))
            assert syncs.entered.acquire(timeout=10), "nothing was made durable"
            assert not wait([done], 0.1).done, "answered before it was durable"
            syncs.gate.set()
            assert verdicts(done.result()) == ["accepted"]
        assert all(name.endswith("gateway.db-wal") for name in syncs.names[-3:])


@pytest.mark.usefixtures("_no_copies")
def test_requests_that_wait_share_one_fsync(tmp_path: Path) -> None:
    history = settings(tmp_path, ingest=ingest(clock="event"))
    with (
        watched_syncs() as syncs,
        running(history) as server,
        ThreadPoolExecutor(20) as clients,
    ):
        drain(syncs.entered)
        syncs.gate.clear()
        answers = [clients.submit(server.post, "/v1/events", event("first"))]
        assert syncs.entered.acquire(timeout=10)
        before = len(syncs.names)
        answers += [clients.submit(server.post, "/v1/events", event(str(n))) for n in range(19)]
        until(lambda: server.built.committer.queued == 20)
        syncs.gate.set()
        assert [verdicts(answer.result()) for answer in answers] == [["accepted"]] * 20
        assert len(syncs.names) - before == 1
    assert len(logged(history)) == 20


def drain(semaphore: threading.Semaphore) -> None:
    while semaphore.acquire(blocking=False):
        pass


def test_overload_sheds_exactly_and_never_consent(tmp_path: Path) -> None:
    small = settings(tmp_path, ingest=ingest(queue_events=50))
    with running(small, log=SlowLog) as server, ThreadPoolExecutor(30) as clients:
        counters = Counters()
        gate(server).clear()
        sent: list[Future[Any]] = []
        for n in range(20):
            batch = [event(f"{n}-{i}") for i in range(10)]
            batch[3] = event(f"{n}-0")
            batch[4] = event(f"{n}-4", time="1970-01-01T00:00:00Z")
            batch[5] = event(f"{n}-5", time="2020-01-01T00:00:00Z")
            sent.append(clients.submit(server.post, "/v1/events", batch))
        until(lambda: counters.since()["shed"] == 150)
        optout = [event("out", "forestall.optout"), event("in", "forestall.optin")]
        mixed = [event("out2", "forestall.optout"), event("no")]
        forged = server.post("/v1/events", optout, key=BROWSER)
        assert (forged.status_code, forged.json()["code"]) == (429, "overloaded")
        essential = clients.submit(server.post, "/v1/events", optout)
        half = clients.submit(server.post, "/v1/events", mixed)
        assert server.post("/v1/events", b"[7, {}]").status_code == 429
        until(lambda: server.built.committer.queued == 53)
        gate(server).set()
        shed = half.result()
        assert (shed.status_code, shed.json()["code"]) == (429, "overloaded")
        assert int(shed.headers["retry-after"]) >= 1
        statuses = [answer.result().status_code for answer in sent]
        assert sorted(statuses) == [202] * 5 + [429] * 15
        assert verdicts(essential.result()) == ["accepted", "accepted"]
        assert counters.since() == {
            "received": 208,
            "accepted": 5 * 8 + 3,
            "duplicate": 5,
            "quarantined": 5,
            "shed": 155,
            "late": 5,
        }
        again = server.post("/v1/events", mixed)
        assert verdicts(again) == ["duplicate", "accepted"]
        assert server.post("/v1/events", event("after")).status_code == 202
        assert server.built.committer.queued == 0
        metrics = server.client.get("/metrics").text
        assert "forestall_ingest_queued_events 0.0" in metrics
    assert len(logged(small)) == 45


def test_after_an_overload_everything_acknowledged_is_there_and_all_is_taken(
    tmp_path: Path,
) -> None:
    small = settings(tmp_path, ingest=ingest(queue_events=60))
    with running(small, log=SlowLog) as server, ThreadPoolExecutor(16) as clients:
        counters = Counters()
        sent: dict[str, Future[Any]] = {}
        for wave in range(3):
            gate(server).clear()
            for n in range(12):
                name = f"{wave}-{n}"
                batch = [event(f"{name}-{i}", subject=f"u{i}") for i in range(10)]
                sent[name] = clients.submit(server.post, "/v1/events", batch)
            until(lambda wave=wave: counters.since()["shed"] >= 60 * (wave + 1))  # type: ignore[misc]
            assert server.built.committer.queued == 60
            gate(server).set()
            until(lambda: server.built.committer.queued == 0)
        answers = {name: answer.result() for name, answer in sent.items()}
        taken = {name for name, answer in answers.items() if answer.status_code == 202}
        shed = {name for name, answer in answers.items() if answer.status_code == 429}
        assert (len(taken), len(shed)) == (18, 18)
        assert all(answers[name].headers["retry-after"] == "1" for name in shed)
        for name in shed:
            batch = [event(f"{name}-{i}", subject=f"u{i}") for i in range(10)]
            assert verdicts(server.post("/v1/events", batch)) == ["accepted"] * 10
        count = counters.since()
        assert (count["received"], count["accepted"], count["shed"]) == (540, 360, 180)
    assert {record.id for record in logged(small)} == {
        f"{name}-{i}" for name in taken | shed for i in range(10)
    }


def test_bytes_that_wait_are_bounded_too(tmp_path: Path) -> None:
    small = settings(tmp_path, ingest=ingest(queue_bytes=1_000))
    with running(small) as server:
        large = server.post("/v1/events", event(data={"text": "x" * 2_000}))
        assert (large.status_code, large.json()["code"]) == (429, "overloaded")
        assert server.post("/v1/events", event()).status_code == 202


def test_a_full_disk_acknowledges_nothing_and_recovers(tmp_path: Path) -> None:
    history = settings(tmp_path, ingest=ingest(clock="event"))
    with running(history) as server:
        server.post("/v1/events", event("before", subject="old"))
        counters = Counters()
        room(server, 0)
        batch = [event(str(n), subject=f"new-{n}", data={"text": "x" * 9_000}) for n in range(30)]
        for _ in range(2):
            full = server.post("/v1/events", [*batch, 7])
            assert (full.status_code, full.json()["code"]) == (507, "log-full")
            assert int(full.headers["retry-after"]) >= 1
        assert server.client.get("/readyz").status_code == 503
        assert server.client.get("/readyz").json()["code"] == "not-ready"
        assert [record.id for record in server.records()] == ["before"]
        assert counters.since()["shed"] == counters.since()["received"] == 62
        room(server, 1_000_000)
        assert server.post("/v1/events", [*batch, 7]).json()["accepted"] == 30
        assert server.client.get("/readyz").status_code == 200
        subjects = [record.subject for record in server.records()]
        assert len(subjects) == len(set(subjects)) == 31


def room(server: Running, pages: int) -> None:
    with server.built.log.transaction() as connection:
        connection.execute(f"PRAGMA max_page_count = {pages or 1}")


def test_the_tick_moves_while_nothing_comes_and_never_ahead(tmp_path: Path) -> None:
    clock = [parse_time("2026-03-01T12:00:00Z")]
    with running(settings(tmp_path), clock=lambda: clock[0]) as server:
        log = server.built.log
        server.post("/v1/events", event("1"))
        first = log.tick()
        assert first <= server.records()[0].received
        clock[0] += 5_000_000
        until(lambda: log.tick() == clock[0])
        clock[0] -= 3_000_000
        server.post("/v1/events", event("2"))
        assert server.records()[1].received >= first + 5_000_000


def test_stopping_answers_what_waits_and_takes_no_more(tmp_path: Path) -> None:
    deployment = settings(tmp_path)
    with ThreadPoolExecutor(2) as clients, running(deployment, log=SlowLog) as server:
        gate(server).clear()
        waiting = clients.submit(server.post, "/v1/events", event("1"))
        until(lambda: server.built.committer.queued == 1)
        server.built.committer.close()
        late = server.post("/v1/events", event("2"))
        assert (late.status_code, late.json()["code"]) == (503, "shutting-down")
        gate(server).set()
        assert verdicts(waiting.result()) == ["accepted"]
    assert [record.id for record in logged(deployment)] == ["1"]


def test_a_committer_that_fails_takes_the_server_with_it(tmp_path: Path) -> None:
    class Broken(SqliteLog):
        def commit(self, appends: Sequence[Append] = (), **more: Any) -> Sequence[int]:
            if appends:
                raise RuntimeError("a bug")
            return super().commit(appends, **more)

    caught: list[BaseException] = []
    try:
        with running(settings(tmp_path), log=Broken) as server, ThreadPoolExecutor(1) as clients:
            clients.submit(server.post, "/v1/events", event())
            until(lambda: not server.built.committer.healthy)
    except RuntimeError as error:
        caught.append(error)
    assert [str(error) for error in caught] == ["a bug"]


def test_committing_needs_no_server(tmp_path: Path) -> None:
    """``Committer`` by itself: cancelled questions and an empty close."""
    from forestall.ingest.serve import build_gateway

    async def once() -> int:
        built = build_gateway(settings(tmp_path))
        running_ = asyncio.create_task(built.committer.run())
        answer = await built.committer.ask(lambda: 7)
        built.committer.close()
        await running_
        built.log.close()
        return answer

    assert asyncio.run(once()) == 7
