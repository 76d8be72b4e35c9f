"""The fast lane over real sockets: the same answers, in order, however the bytes come."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from forestall.ingest.gateway import Gateway, Opening
from forestall.ingest.lane import MOST_HEADS, Heads, Lane
from forestall.ingest.letter import Sender
from serving import (
    SERVER,
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
)

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n"


def request(
    batch: Any, *headers: str, key: str = SERVER, version: str = "1.1", path: str = "/v1/events"
) -> bytes:
    """A POST of a batch, as bytes."""
    body = batch if isinstance(batch, bytes) else json.dumps(batch).encode()
    lines = [
        f"POST {path} HTTP/{version}",
        "host: here",
        f"x-write-key: {key}",
        "content-type: application/cloudevents-batch+json; charset=utf-8",
        f"content-length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Line:
    """A connection that sends bytes and reads whole answers."""

    def __init__(self, server: Running) -> None:
        port = int(server.base.rpartition(":")[2])
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], Any]:
        """Status, headers and body of the next answer."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        body = self._file.read(int(headers["content-length"]))
        return status, headers, json.loads(body)

    def ended(self) -> bool:
        """Whether the server hung up."""
        return self._file.read(1) == b""


@contextmanager
def line(server: Running) -> Iterator[Line]:
    made = Line(server)
    try:
        yield made
    finally:
        made.socket.close()
        made._file.close()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each request offered to the gateway at once, whether it was taken."""
    found: list[bool] = []
    look, offer = Gateway.opening, Gateway.at_once

    def opening(*arguments: Any) -> Opening | None:
        seen = look(*arguments)
        found.extend([] if seen else [False])
        return seen

    def at_once(*arguments: Any) -> bool:
        found.append(offer(*arguments))
        return found[-1]

    monkeypatch.setattr(Gateway, "opening", opening)
    monkeypatch.setattr(Gateway, "at_once", at_once)
    return found


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The requests whose headers were read, by their URLs."""
    found: list[bytes] = []
    read = Lane.on_headers_complete

    def on_headers_complete(lane: Lane) -> None:
        found.append(lane.url)
        read(lane)

    monkeypatch.setattr(Lane, "on_headers_complete", on_headers_complete)
    return found


def test_a_batch_is_answered_as_on_the_long_way(tmp_path: Path, taken: list[bool]) -> None:
    with running(settings(tmp_path)) as server, line(server) as sent:
        counters = Counters()
        sent.send(request([event("1"), event("2", time="2024-01-01T00:00:00Z")]))
        status, headers, told = sent.answer()
        sent.send(request([event("1", path="long")], "origin: https://shop.example"))
        other_status, other_headers, _ = sent.answer()
        assert taken == [True, False]
        assert (status, other_status) == (202, 202)
        cross = {"access-control-allow-origin", "access-control-expose-headers", "vary"}
        assert headers.keys() == other_headers.keys() - cross
        assert told == {
            "accepted": 2,
            "duplicate": 0,
            "late": 1,
            "quarantined": 0,
            "verdicts": [{"id": "1", "verdict": "accepted"}, {"id": "2", "verdict": "late"}],
        }
        assert counters.since() == {
            "received": 3, "accepted": 2, "duplicate": 1, "quarantined": 0, "shed": 0, "late": 1,
        }  # fmt: skip
        assert [record.id for record in server.records()] == ["1", "2"]


def test_a_list_of_json_may_take_it_too(tmp_path: Path, taken: list[bool]) -> None:
    with running(settings(tmp_path)) as server:
        assert server.post(
            "/v1/events", [event()], headers={"content-type": "application/json"}
        ).is_success
    assert taken == [True]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (request([event()], key="wrong"), 401, "unknown-key"),
        (request(b"[{]"), 400, "invalid-json"),
        (request([event()], "content-encoding: gzip"), 400, "invalid-gzip"),
        (request([event()], "content-encoding: br"), 415, "unknown-encoding"),
        (request(b"[" + b" " * 70_000 + b"]"), 413, "body-too-large"),
        (request([event()] * 2_501), 413, "too-many-events"),
    ],
)
def test_what_is_refused_is_refused_as_before(
    tmp_path: Path, sent: bytes, status: int, code: str
) -> None:
    limit = 10_000_000 if code == "too-many-events" else 60_000
    with running(settings(tmp_path, ingest=ingest(max_batch_bytes=limit))) as server:
        with line(server) as one:
            one.send(sent)
            answered, headers, told = one.answer()
        assert (answered, told["code"]) == (status, code)
        assert headers["content-type"] == "application/problem+json"


def test_what_only_the_checks_can_judge_goes_the_long_way(
    tmp_path: Path, taken: list[bool]
) -> None:
    batch = [
        event("good"),
        event("old", time="1970-01-01T00:00:00Z"),
        event("o", "forestall.optout"),
    ]
    with running(settings(tmp_path)) as server, line(server) as sent:
        counters = Counters()
        sent.send(request(batch))
        told = sent.answer()[2]
        sent.send(request([]))
        assert sent.answer()[2]["verdicts"] == []
        assert [one["verdict"] for one in told["verdicts"]] == [
            "accepted",
            "quarantined",
            "accepted",
        ]
        count = counters.since()
        assert (count["received"], count["accepted"], count["quarantined"]) == (3, 2, 1)
    assert taken == [False, False]


@pytest.mark.parametrize("cut", [1, 30, -1, -40])
def test_a_request_in_two_pieces_is_one(tmp_path: Path, taken: list[bool], cut: int) -> None:
    whole = request([event("1"), event("2")])
    with running(settings(tmp_path)) as server, line(server) as sent:
        for number in range(3):
            data = whole.replace(b'"id": "1"', f'"id": "{number + 3}"'.encode())
            sent.send(data[:cut])
            sent.send(data[cut:])
            assert sent.answer()[0] == 202
        assert {record.id for record in server.records()} == {"2", "3", "4", "5"}
    assert taken == [True] * 3


def test_the_rest_of_a_body_may_come_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forestall.ingest.lane.SOON", 0.0)
    whole = request([event("1")])
    with running(settings(tmp_path)) as server, line(server) as sent:
        sent.send(whole[:-20])
        with line(server) as other:
            other.send(HEALTH)
            assert other.answer()[0] == 200
        sent.send(whole[-20:])
        assert sent.answer()[0] == 202
        sent.send(request([event("2")]))
        assert sent.answer()[0] == 202
        assert [record.id for record in server.records()] == ["1", "2"]


def test_a_body_larger_than_its_limit_is_not_held(tmp_path: Path) -> None:
    small = settings(tmp_path, ingest=ingest(max_batch_bytes=1_000))
    with running(small) as server, line(server) as sent:
        sent.send(request(b"[" + b" " * 3_000_000 + b"]"))
        assert sent.answer()[0] == 413


def test_requests_sent_ahead_are_answered_in_order(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server, line(server) as sent:
        batches = [request([event(f"{n}-{i}") for i in range(3)]) for n in range(4)]
        sent.send(batches[0] + batches[1] + HEALTH + batches[2])
        sent.send(request([event()], key="wrong") + batches[3])
        answers = [sent.answer() for _ in range(6)]
        assert [status for status, *_ in answers] == [202, 202, 200, 202, 401, 202]
        firsts = [told["verdicts"][0]["id"] for _, _, told in answers if "verdicts" in told]
        assert firsts == ["0-0", "1-0", "2-0", "3-0"]
        assert len(server.records()) == 12


@pytest.mark.parametrize(
    "sent", [request([event()], "connection: close"), request([event()], version="1.0")]
)
def test_who_wants_no_further_request_is_hung_up_on(tmp_path: Path, sent: bytes) -> None:
    with running(settings(tmp_path)) as server, line(server) as one:
        one.send(sent)
        status, headers, _ = one.answer()
        assert (status, headers["connection"]) == (202, "close")
        assert one.ended()


def test_another_path_with_a_key_in_its_query_goes_the_long_way(
    tmp_path: Path, taken: list[bool]
) -> None:
    with running(settings(tmp_path)) as server, line(server) as sent:
        sent.send(request([event()], key="", path=f"/v1/events?writeKey={SERVER}"))
        assert sent.answer()[0] == 202
    assert taken == []


def test_who_leaves_before_the_answer_has_still_sent_it(tmp_path: Path) -> None:
    small = settings(tmp_path)
    with running(small, log=SlowLog) as server:
        counters = Counters()
        gate(server).clear()
        with line(server) as gone, line(server) as half:
            gone.send(request([event("1")]))
            half.send(request([event("2")])[:-5])
            until(lambda: counters.since()["received"] == 1)
        gate(server).set()
        until(lambda: counters.since()["accepted"] == 1)
        assert server.post("/v1/events", [event("3")]).status_code == 202
    assert [record.id for record in logged(small)] == ["1", "3"]


def test_what_waits_at_the_end_is_answered(tmp_path: Path) -> None:
    small = settings(tmp_path)
    with ThreadPoolExecutor(1) as aside:
        with running(small, log=SlowLog) as server:
            counters = Counters()
            gate(server).clear()
            one = Line(server)
            one.send(request([event("1")]))
            until(lambda: counters.since()["received"] == 1)
            told = aside.submit(one.answer)
            gate(server).set()
        assert told.result()[0] == 202
        one.socket.close()
        one._file.close()
    assert [record.id for record in logged(small)] == ["1"]


def test_an_overload_is_shed_in_the_lane(tmp_path: Path, taken: list[bool]) -> None:
    small = settings(tmp_path, ingest=ingest(queue_events=2))
    with running(small, log=SlowLog) as server, line(server) as first, line(server) as other:
        counters = Counters()
        gate(server).clear()
        first.send(request([event("1"), event("2")]))
        until(lambda: server.built.committer.queued == 2)
        other.send(request([event("3"), event("4")]))
        status, headers, told = other.answer()
        assert (status, told["code"], headers["retry-after"]) == (429, "overloaded", "1")
        other.send(request(b"[7, {]"))
        assert other.answer()[0] == 400
        gate(server).set()
        assert first.answer()[0] == 202
        other.send(request([event("3"), event("4")]))
        assert other.answer()[0] == 202
        count = counters.since()
        assert (count["received"], count["accepted"], count["shed"]) == (6, 4, 2)
    assert taken == [True] * 4
    assert len(logged(small)) == 4


def test_a_full_disk_is_told_in_the_lane(tmp_path: Path) -> None:
    small = settings(tmp_path)
    with running(small) as server, line(server) as sent:
        sent.send(request([event("1")]))
        assert sent.answer()[0] == 202
        counters = Counters()
        pages = server.built.log._connection.execute("PRAGMA page_count").fetchone()[0]
        limit = f"PRAGMA max_page_count = {pages}"
        server.built.log._connection.execute(limit)
        many = [event(f"m{n}", data={"text": "x" * 9_000}) for n in range(40)]
        sent.send(request(many))
        status, _, told = sent.answer()
        assert (status, told["code"]) == (507, "log-full")
        assert counters.since()["shed"] == 40
        server.built.log._connection.execute("PRAGMA max_page_count = 1000000")
        sent.send(request(many))
        assert sent.answer()[0] == 202
    assert len(logged(small)) == 41


def test_headers_that_came_before_are_not_read_again(
    tmp_path: Path, taken: list[bool], parsed: list[bytes]
) -> None:
    with running(settings(tmp_path)) as server, line(server) as one, line(server) as other:
        for number, sent in enumerate([one, one, other, one]):
            sent.send(request([event(f"{number}-{n}") for n in range(number + 1)]))
            status, headers, told = sent.answer()
            assert (status, told["accepted"]) == (202, number + 1)
            assert headers["content-type"] == "application/json"
        assert taken == [True] * 4
        assert len(parsed) == 1
        one.send(request([event("again")], "x-more: 1"))
        assert one.answer()[2]["accepted"] == 1
        assert len(parsed) == 2
        assert len(server.records()) == 11


def test_what_comes_in_pieces_is_read_as_ever(tmp_path: Path, parsed: list[bytes]) -> None:
    with running(settings(tmp_path)) as server, line(server) as sent:
        sent.send(request([event("1")]))
        assert sent.answer()[0] == 202
        whole = request([event("2")])
        cut = whole.index(b"\r\n\r\n") + 20
        sent.send(whole[:cut])
        until(lambda: len(parsed) == 2)
        sent.send(whole[cut:])
        assert sent.answer()[2]["accepted"] == 1
        sent.send(request([event("3")]))
        assert sent.answer()[2]["accepted"] == 1
        assert len(parsed) == 2


def test_another_key_is_looked_at_although_all_else_is_known(
    tmp_path: Path, taken: list[bool]
) -> None:
    with running(settings(tmp_path)) as server, line(server) as sent:
        sent.send(request([event("1")]))
        assert sent.answer()[0] == 202
        sent.send(request([event("2")], key="nobody-s-key"))
        assert sent.answer()[0] == 401
        sent.send(request([event("3")]))
        assert sent.answer()[0] == 202
        assert taken == [True, False, True]


def test_a_known_beginning_does_not_make_a_bad_batch_good(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server, line(server) as sent:
        sent.send(request([event("1")]))
        assert sent.answer()[0] == 202
        sent.send(request(b"[{]"))
        assert sent.answer()[0] == 400
        sent.send(request([{**event("2"), "type": "un known"}]))
        assert sent.answer()[2]["quarantined"] == 1
        sent.send(request([event("3")]) + request([event("4")]))
        assert [sent.answer()[2]["verdicts"][0]["id"] for _ in range(2)] == ["3", "4"]


OPENING = Opening(Sender("backend", "server"), b"", None)


def test_only_one_whole_request_is_known_by_its_beginning() -> None:
    heads = Heads()
    heads.learn(request([event()]), OPENING)
    longer = request([event(), event("2")])
    found = heads.find(longer)
    assert found == (OPENING, longer.partition(b"\r\n\r\n")[2])
    for data in (
        longer[:-1],
        longer + b"P",
        longer + longer,
        longer.replace(b"content-length", b"content_length"),
        longer.replace(b"content-length: ", b"content-length: +"),
        longer.replace(b"content-length: ", b"content-length: 1, "),
        longer.replace(b"host: here", b"host: there"),
        longer.replace(b"host: here\r\n", b"host: here\r\ntransfer-encoding: chunked\r\n"),
        b"",
        b"\r\n\r\n",
    ):
        assert heads.find(data) is None


def test_so_many_beginnings_are_remembered() -> None:
    heads = Heads()
    for number in range(MOST_HEADS + 1):
        heads.learn(request([event()], f"x-number: {number}"), OPENING)
    assert heads.find(request([event()], "x-number: 0")) is None
    assert heads.find(request([event()], f"x-number: {MOST_HEADS}")) is not None
    heads.learn(request([event()], f"x-long: {'x' * 2_000}"), OPENING)
    assert heads.find(request([event()], f"x-long: {'x' * 2_000}")) is None
