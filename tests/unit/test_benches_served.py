"""The benchmarks of a running server: their clients count right, their stopwatches change nothing."""

import asyncio
import gc
import itertools
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from benchmarks import bench_ingest, bench_messages, bench_restart, workload
from benchmarks.bench_messages import Idle, Watching
from benchmarks.bench_worker import QUICK as WORKER_QUICK
from benchmarks.bench_worker import run as run_worker_bench
from benchmarks.engines import engine_of
from benchmarks.figures import Figure
from benchmarks.sending import BATCH, MARK, Connection, Load, Tally, request, requests
from benchmarks.served import KEY, Served
from benchmarks.timed_worker import Stopwatch
from forestall.contracts.event import CloudEvent

NOW = 1_790_000_000_000_000
read = msgspec.json.Decoder(list[CloudEvent]).decode


def body(data: bytes) -> bytes:
    return data.partition(b"\r\n\r\n")[2]


# -- requests ------------------------------------------------------------------------------------


def test_requests_hold_the_workloads_events_under_new_ids_each_pass() -> None:
    made = requests(3, NOW)
    load = Load(0, made)
    assert len(load) == 3
    first, again = read(body(load.data(1))), read(body(load.data(4)))
    expected = list(workload.records(3 * BATCH))[BATCH : 2 * BATCH]
    assert [event.subject for event in first] == [record.subject for record in expected]
    assert [event.type for event in again] == [record.type for record in expected]
    assert [event.id for event in first] == [f"000000-{record.id}" for record in expected]
    assert [event.id for event in again] == [f"000001-{record.id}" for record in expected]
    assert {event.time for event in first} == {"2026-09-21T14:13:20.000000Z"}
    assert all(event.received is None and event.origin is None for event in first)


def test_strangers_are_each_another_customer_in_every_pass() -> None:
    load = Load(0, requests(3, NOW, strangers=True))
    events = [event for number in range(6) for event in read(body(load.data(number)))]
    assert len({event.subject for event in events}) == 6 * BATCH
    assert not any(MARK.decode() in (event.subject or "") for event in events)


def test_a_request_says_its_length_and_its_key() -> None:
    head, _, rest = request(b"[1]").partition(b"\r\n\r\n")
    assert rest == b"[1]"
    assert b"content-length: 3" in head
    assert f"x-write-key: {KEY}".encode() in head


# -- the client, against a server that answers as it is told ---------------------------------------


Answer = Callable[[int], bytes]


def said(status: int, text: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(text), text)


async def against(answer: Answer, use: Callable[[int], Awaitable[None]]) -> list[bytes]:
    """Call ``use`` with the port of a server; the bodies that it got."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.partition(b"content-length: ")[2].split()[0])
                got.append(await reader.readexactly(length))
                writer.write(answer(len(got)))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        await use(server.sockets[0].getsockname()[1])
    return got


def test_a_closed_load_sends_each_request_once_and_counts_every_answer() -> None:
    made = [request(b"[%b%d]" % (MARK, number)) for number in range(10)]
    tallies: list[Tally] = []

    async def use(port: int) -> None:
        load = Load(port, made)
        tallies.append(await load.closed(3, count=10))
        tallies.append(await load.closed(2, count=7))
        await load.close()

    got = asyncio.run(against(lambda number: said(202 if number % 5 else 429), use))
    assert sorted(got) == sorted(body(Load(0, made).data(number)) for number in range(17))
    assert [sum(tally.statuses.values()) for tally in tallies] == [10, 7]
    assert [tally.statuses[429] for tally in tallies] == [2, 1]
    for tally in tallies:
        assert len(tally.acknowledged) == len(tally.latencies) == tally.statuses[202]
        assert min(tally.latencies) > 0


def test_an_open_load_sends_what_is_due_and_takes_up_no_old_connection() -> None:
    sent: list[int] = []

    async def use(port: int) -> None:
        load = Load(port, [request(b"[%b]" % MARK)])
        for _ in range(2):
            tally = await load.open(500, 4, 0.1)
            sent.append(tally.statuses.get(202, 0))
            assert sent[-1] + tally.unsent == 50
            for connection in load._connections:
                connection.close()
        await load.close()

    got = asyncio.run(against(lambda _: said(202), use))
    assert sorted(got) == [b"[%06d]" % number for number in range(sum(sent))]


def test_an_answer_may_come_in_pieces() -> None:
    statuses: list[int] = []
    connection = Connection(lambda _connection, status: statuses.append(status))
    whole = said(202, b'{"accepted":20}')
    for at in range(len(whole)):
        assert statuses == []
        connection.data_received(whole[at : at + 1])
    assert statuses == [202]
    connection.data_received(said(429))
    assert statuses == [202, 429]


# -- event to message ------------------------------------------------------------------------------


def test_a_load_of_messages_keeps_connections_and_counts_refusals() -> None:
    loads: list[bench_messages.Load] = []

    async def use(port: int) -> None:
        load = bench_messages.Load(port)
        loads.append(load)
        await load.send_all(
            [bench_messages._event(f"e{n}", "page.viewed", "s") for n in range(900)]
        )
        load.post(b"[]")
        while not load._free:
            await asyncio.sleep(0.001)
        for connection in load._free:
            connection._transport.close()

    got = asyncio.run(against(lambda number: said(503 if number == 3 else 202), use))
    assert [len(read(one)) for one in got] == [500, 400, 0]
    assert loads[0].refused == 1


def test_a_stream_that_is_watched_notes_its_message_once() -> None:
    async def watch() -> None:
        watching, refused = Watching(), Idle()
        watching.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
        await watching.opened
        watching.data_received(b": still here\n\n")
        assert watching.received == 0
        watching.data_received(b"event: message\ndata: {}\n\n")
        assert watching.received > 0
        with pytest.raises(AssertionError, match="told twice"):
            watching.data_received(b"event: message\ndata: {}\n\n")
        refused.data_received(b"HTTP/1.1 401 Unauthorized\r\n\r\n")
        with pytest.raises(RuntimeError, match="401"):
            await refused.opened

    asyncio.run(watch())


def test_figures_of_messages_are_quantiles_with_bounds_in_fsyncs(tmp_path: Path) -> None:
    async def watched() -> list[Watching]:
        made = [Watching() for _ in range(100)]
        for number, one in enumerate(made):
            one.sent, one.received = 1.0, 1.0 + (number + 1) / 1000
        return made

    watching = asyncio.run(watched())
    figures = bench_messages._figures(
        10_000, watching, [0.003, 0.001, 0.002], {"gateway": 5.0}, Served(tmp_path, 0, {}), 10.0
    )
    by = {figure.what.removesuffix(", 10,000 idle streams"): figure for figure in figures}
    assert by["an fsync meanwhile, p50"].value == 2
    assert by["event to message, p50"].value == pytest.approx(51)
    assert by["event to message, p50"].at_most == pytest.approx(18)
    assert by["event to message, p99"].at_most == pytest.approx(70)
    assert by["gateway, busy"].value == 50
    watching[3].received = 0.0
    with pytest.raises(AssertionError, match="1 messages never came"):
        bench_messages._figures(0, watching, [0.001], {}, Served(tmp_path, 0, {}), 1.0)


# -- the timed worker ------------------------------------------------------------------------------


def test_the_stopwatch_times_each_event_and_changes_no_decision() -> None:
    timed, plain = engine_of(workload.bundle()), engine_of(workload.bundle())
    watch = Stopwatch()
    for records in itertools.islice(workload.batches(20_000, 500), 40):
        assert watch.process(timed, records) == plain.process(records)
    assert timed.counters == plain.counters
    gc.collect()
    result = watch.result((1, 2), collecting=False, collected=3)
    assert result.events == len(watch.wall) == 20_000
    assert 0 < result.p50 <= result.p99 <= result.p9999 <= result.most
    assert result.over_1ms == sum(took > 1_000_000 for took in watch.wall)
    assert (result.threads, result.collecting, result.collected) == ((1, 2), False, 3)


def test_the_worker_of_a_server_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.bench_worker.RATE", 400)
    assert WORKER_QUICK["seconds"] > 1
    figures = {figure.what: figure for figure in run_worker_bench(seconds=1.0, made=20)}
    assert 0 < figures["events timed there"].value <= 400
    assert figures["Python threads of the worker, with that of checkpoints"].value <= 2
    assert all(figure.value >= 0 for figure in figures.values())


# -- ingest and restarts ---------------------------------------------------------------------------


def test_figures_of_ingest_say_that_the_app_process_rests() -> None:
    figure = bench_ingest._without_app(Figure("accepted", 7.0, "events/s", "F8", at_least=5))
    assert figure == Figure("accepted (app process stopped)", 7.0, "events/s", "F8", at_least=5)


def test_others_than_202_count_as_not_accepted() -> None:
    tally = Tally()
    tally.statuses, tally.unsent = {202: 5, 429: 2, 500: 1}, 4
    assert bench_ingest._others(tally) == 7


def test_a_log_for_restarts_names_every_subject_and_goes_on_by_milliseconds() -> None:
    source = list(workload.records(100))
    batches = list(bench_restart._records(source, 60, 90))
    assert len({record.subject for record in batches}) == 60
    assert len({record.id for record in batches}) == 90
    assert {b.received - a.received for a, b in itertools.pairwise(batches)} == {1_000}


def test_the_longest_call_is_told_and_then_forgotten() -> None:
    gate = threading.Event()

    class Slow:
        def work(self, seconds: float) -> str:
            gate.wait(seconds)
            return "done"

    timed = bench_restart._Timed(Slow.work)
    Slow.work = timed  # type: ignore[method-assign, assignment]
    assert [Slow().work(0.02), Slow().work(0.0)] == ["done", "done"]
    assert timed.taken() >= 20
    assert timed.taken() == 0
