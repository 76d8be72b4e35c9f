"""The front door over real HTTP: every mode, every kind of trouble, nothing lost."""

import gzip
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from forestall.contracts.event import decode_data
from forestall.contracts.instants import SECOND, format_time, parse_time
from forestall.kernel.clock import wall_clock
from forestall.privacy import tokens
from serving import BROWSER, SECRET, SERVER, Counters, event, ingest, running, settings, verdicts


def test_structured_batch_plain_and_binary_mode_all_come_in(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        one = {"content-type": "application/cloudevents+json"}
        many = {"content-type": "application/cloudevents-batch+json; charset=utf-8"}
        answers = [
            server.post("/v1/events", event("1", data={"n": 1}), headers=one),
            server.post("/v1/events", [event("2"), event("3")], headers=many),
            server.post("/v1/events", event("4")),
            server.post("/v1/events", [event("5")]),
            server.post(
                "/v1/events",
                {"n": 6},
                headers={
                    "content-type": "application/json",
                    "ce-specversion": "1.0",
                    "ce-id": "6",
                    "ce-source": "caf%C3%A9",
                    "ce-type": "page.viewed",
                    "ce-subject": "u1",
                },
            ),
            server.post("/v1/events", []),
        ]
        assert [answer.status_code for answer in answers] == [202] * 6
        assert verdicts(answers[1]) == ["accepted", "accepted"]
        records = server.records()
    assert [record.id for record in records] == ["1", "2", "3", "4", "5", "6"]
    assert decode_data(records[0].data) == {"n": 1}
    assert (decode_data(records[5].data), records[5].source) == ({"n": 6}, "café")
    assert decode_data(records[1].data) == {}
    assert len({record.subject for record in records}) == 1
    assert "u1" not in records[0].subject
    assert [r.received for r in records] == sorted(r.received for r in records)


def test_a_bad_event_never_spoils_its_batch(tmp_path: Path) -> None:
    deep = json.loads("[" * 40 + "]" * 40)
    batch: list[Any] = [
        event("good"),
        7,
        event("old", time="1970-01-01T00:00:00Z"),
        event("far", time="2090-01-01T00:00:00Z"),
        event("month", time="2024-13-01T00:00:00Z"),
        event("nul", data={"a": ["x\x00y"]}),
        event("nul\x00id"),
        event("deep", data={"a": deep}),
        event("list", data=[1]),
        event("big", data={"n": 2**63}),
        event("large", data={"text": "x" * 32_000}),
        event("version", specversion="0.3"),
        event("binary", data_base64="AAAA"),
        event("xml", datacontenttype="application/xml", data="<a/>"),
        event("nobody", subject=None),
        event("type", type_="no spaces please"),
        event("x" * 300),
        event("forged", type_="forestall.alias"),
        event("unknown", type_="forestall.nonsense"),
        event("late", time="2024-01-01T00:00:00Z"),
        event("good"),
        event("last"),
    ]
    with running(settings(tmp_path)) as server:
        counters = Counters()
        answer = server.post("/v1/events", batch)
        assert verdicts(answer) == [
            "accepted",
            "invalid-envelope",
            "time-out-of-range",
            "time-out-of-range",
            "invalid-time",
            "nul-byte",
            "nul-byte",
            "too-deep",
            "data-not-object",
            "integer-too-large",
            "event-too-large",
            "invalid-envelope",
            "data-not-json",
            "data-not-json",
            "no-subject",
            "invalid-envelope",
            "invalid-id",
            "reserved-type",
            "unknown-contract",
            "late",
            "duplicate",
            "accepted",
        ]
        told = answer.json()["verdicts"]
        assert told[5] == {
            "id": "nul",
            "verdict": "quarantined",
            "code": "nul-byte",
            "path": "/data/a/0",
            "message": "a NUL byte; leave it out",
        }
        assert told[1]["id"] is None
        assert told[10]["id"] == "large"
        assert {k: v for k, v in answer.json().items() if k != "verdicts"} == {
            "accepted": 3,
            "duplicate": 1,
            "late": 1,
            "quarantined": 18,
        }
        assert counters.since() == {
            "received": 22,
            "accepted": 3,
            "duplicate": 1,
            "quarantined": 18,
            "shed": 0,
            "late": 1,
        }
        assert [record.id for record in server.records()] == ["good", "late", "last"]


def test_one_event_nested_beyond_the_parser_leaves_the_others_alone(tmp_path: Path) -> None:
    deep = b'{"id":"deep, {\\"","data":' + b'{"a":' * 4000 + b"1" + b"}" * 4000 + b"}"
    good = json.dumps(event("good")).encode()
    message = b'{"type":"track","event":"A","userId":"u","messageId":"m"}'
    with running(settings(tmp_path)) as server:
        assert verdicts(server.post("/v1/events", b"[" + deep + b", " + good + b"]")) == [
            "too-deep",
            "accepted",
        ]
        body = b'{"sentAt":null, "batch": [' + message + b"," + deep + b"]}"
        assert verdicts(server.post("/v1/batch", body)) == ["accepted", "too-deep"]
        assert verdicts(server.post("/v1/events", deep)) == ["too-deep"]
        assert server.post("/v1/events", b"[" * 9000).json()["code"] == "invalid-json"


@pytest.mark.parametrize(
    ("body", "headers", "key", "status", "code"),
    [
        (b"{", {}, SERVER, 400, "invalid-json"),
        (b"", {}, SERVER, 400, "invalid-json"),
        (b"[1", {"content-type": "application/cloudevents-batch+json"}, SERVER, 400, "invalid-json"),
        (b"{}", {"content-type": "application/cloudevents-batch+json"}, SERVER, 400,
         "invalid-envelope"),
        (b"a=1", {"content-type": "application/x-www-form-urlencoded"}, SERVER, 415,
         "unknown-media-type"),
        (b"{}", {"content-encoding": "br"}, SERVER, 415, "unknown-encoding"),
        (b"{}", {"content-encoding": "gzip"}, SERVER, 400, "invalid-gzip"),
        (gzip.compress(b"{}", mtime=0)[:-4], {"content-encoding": "gzip"}, SERVER, 400, "invalid-gzip"),
        (b" " * 10_000_000, {}, SERVER, 413, "body-too-large"),
        (gzip.compress(b" " * 10_000_000, mtime=0), {"content-encoding": "gzip"}, SERVER, 413,
         "body-too-large"),
        (b"[" + b"1," * 3000 + b"1]", {}, SERVER, 413, "too-many-events"),
        (b"{}", {}, "wrong", 401, "unknown-key"),
        (b"{}", {}, None, 401, "unknown-key"),
        (b"{}", {"authorization": "Basic !!"}, None, 401, "unknown-key"),
        (b"{}", {"authorization": "Bearer no such key"}, None, 401, "unknown-key"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_taken_gets_a_problem(
    tmp_path: Path, body: bytes, headers: dict[str, str], key: str | None, status: int, code: str
) -> None:
    with running(settings(tmp_path)) as server:
        answer = server.post("/v1/events", body, key, headers=headers)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (problem["code"], problem["status"]) == (code, status)
        assert problem["type"].endswith(code)
        assert problem["detail"]
        assert server.records() == []
        assert verdicts(server.post("/v1/events", event())) == ["accepted"]


def test_a_body_sent_in_chunks_is_counted_as_it_comes(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:

        def chunks() -> Any:
            for _ in range(60):
                yield b" " * 10_000

        answer = server.client.post("/v1/events", content=chunks(), headers={"x-write-key": SERVER})
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_keys_are_taken_from_basic_bearer_header_and_query(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        body = json.dumps(event()).encode()
        for shown in (
            {"auth": (SERVER, "")},
            {"headers": {"authorization": f"Bearer {SERVER}"}},
            {"headers": {"x-write-key": SERVER}},
            {"params": {"writeKey": SERVER}},
        ):
            assert server.client.post("/v1/events", content=body, **shown).status_code == 202


def test_other_paths_and_methods(tmp_path: Path) -> None:
    async def fallback(scope: Any, _receive: Any, send: Any) -> None:
        body = scope["path"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    with running(settings(tmp_path)) as server:
        assert server.client.get("/nothing").json()["code"] == "not-found"
        wrong = server.client.get("/v1/events")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        assert server.client.get("/healthz").json() == {"status": "ok"}
        assert server.client.get("/readyz").json()["status"] == "ready"
        assert "forestall_ingest_events_total" in server.client.get("/metrics").text
    with running(settings(tmp_path), fallback=fallback) as server:
        assert server.client.get("/console/x").text == "/console/x"


def test_pages_from_elsewhere_may_send(tmp_path: Path) -> None:
    origin = {"origin": "https://shop.example"}
    with running(settings(tmp_path)) as server:
        preflight = server.client.options("/v1/t", headers=origin)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        answer = server.post("/v1/events", event(), headers=origin)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-expose-headers"] == "date, retry-after"
        assert answer.headers["date"].endswith("GMT")
    closed = settings(tmp_path, ingest=ingest(cors_origins=("https://mine.example",)))
    with running(closed) as server:
        assert (
            "access-control-allow-origin"
            not in server.post("/v1/events", event("2"), headers=origin).headers
        )
        mine = {"origin": "https://mine.example"}
        answer = server.post("/v1/events", event("3"), headers=mine)
        assert answer.headers["access-control-allow-origin"] == mine["origin"]


def test_duplicates_are_told_apart_across_requests_restarts_and_a_week(tmp_path: Path) -> None:
    now = parse_time("2026-03-01T12:00:00Z")
    clock = [now]
    with running(settings(tmp_path), clock=lambda: clock[0]) as server:
        assert verdicts(server.post("/v1/events", [event(), event(), event(source="b")])) == [
            "accepted",
            "duplicate",
            "accepted",
        ]
    with running(settings(tmp_path), clock=lambda: clock[0]) as server:
        assert verdicts(server.post("/v1/events", event())) == ["duplicate"]
        assert verdicts(server.post("/v1/events", event(subject="u2"))) == ["accepted"]
        clock[0] = now + 7 * 86_400 * SECOND
        assert verdicts(server.post("/v1/events", event())) == ["duplicate"]
        clock[0] += SECOND
        assert verdicts(server.post("/v1/events", event())) == ["accepted"]


def test_received_never_goes_back_even_when_the_clock_does(tmp_path: Path) -> None:
    clock = [parse_time("2026-03-01T12:00:00Z")]
    with running(settings(tmp_path), clock=lambda: clock[0]) as server:
        server.post("/v1/events", event("1"))
        clock[0] -= 3600 * SECOND
        server.post("/v1/events", event("2"))
        first, second = server.records()
    assert second.received >= first.received
    with running(settings(tmp_path), clock=lambda: clock[0]) as server:
        server.post("/v1/events", event("3"))
        assert server.records()[2].received >= second.received


def test_with_the_events_clock_received_follows_their_times(tmp_path: Path) -> None:
    history = settings(tmp_path, ingest=ingest(clock="event"))
    times = ["2024-01-04T00:00:00Z", "2024-01-04T00:00:09Z", "2024-01-04T00:00:05Z", None]
    with running(history) as server:
        batch = [event(str(n), **({"time": t} if t else {})) for n, t in enumerate(times)]
        assert verdicts(server.post("/v1/events", batch)) == ["accepted"] * 4
        records = server.records()
    assert [format_time(record.received)[17:19] for record in records] == ["00", "09", "09", "09"]
    assert [format_time(record.time)[17:19] for record in records] == ["00", "09", "05", "09"]


def test_traceparent_comes_from_the_event_or_the_request(tmp_path: Path) -> None:
    outer = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    inner = "00-1bf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with running(settings(tmp_path)) as server:
        batch = [event("1"), event("2", traceparent=inner), event("3", traceparent="bad")]
        server.post("/v1/events", batch, headers={"traceparent": outer})
        traces = [record.traceparent for record in server.records()]
    assert traces == [outer, inner, None]


def token(**who: Any) -> dict[str, str]:
    signed = tokens.SubjectToken(expires=wall_clock() + 600 * SECOND, **who)
    return {"forestall-subject-token": tokens.sign(signed, SECRET)}


def test_control_events_from_a_browser_need_the_subjects_own_token(tmp_path: Path) -> None:
    optout = event("o", "forestall.optout")
    visitor = event("v", "forestall.optout", subject=None, anonymousid="visitor-1")
    shown = event("s", "forestall.intervention.dismissed", data={"policy": "p"})
    forged = {"forestall-subject-token": tokens.sign(
        tokens.SubjectToken(subject_id="u1", expires=wall_clock() + 600 * SECOND), "f" * 32
    )}  # fmt: skip
    with running(settings(tmp_path)) as server:
        for headers, code in (
            ({}, "subject-token-required"),
            (forged, "subject-token-invalid"),
            (token(subject_id="u2"), "subject-token-mismatch"),
            (token(anonymous_id="u1"), "subject-token-mismatch"),
        ):
            answer = server.post("/v1/events", [optout, shown], BROWSER, headers=headers)
            assert verdicts(answer) == [code, code]
        assert server.records() == []
        mine = token(subject_id="u1")
        assert verdicts(server.post("/v1/events", [optout, shown], BROWSER, headers=mine)) == [
            "accepted",
            "accepted",
        ]
        theirs = token(anonymous_id="visitor-1")
        assert verdicts(server.post("/v1/events", visitor, BROWSER, headers=theirs)) == ["accepted"]
        ticket = event("t", "forestall.ticket.opened", data={"ticket": "1"})
        answer = server.post("/v1/events", ticket, BROWSER, headers=mine)
        assert verdicts(answer) == ["origin-not-allowed"]
        assert verdicts(server.post("/v1/events", [ticket, event("p")])) == ["accepted"] * 2
        origins = [record.origin for record in server.records()]
    assert origins == ["browser"] * 3 + ["server"] * 2


def test_a_vote_on_an_article_comes_from_a_browser(tmp_path: Path) -> None:
    data = {"runbook": "card-declined", "version": 3, "helpful": False}
    vote = event("v", "forestall.knowledge.voted", data=data)
    odd = event("w", "forestall.knowledge.voted", data={**data, "helpful": "no"})
    with running(settings(tmp_path)) as server:
        assert verdicts(server.post("/v1/events", vote, BROWSER)) == ["subject-token-required"]
        answer = server.post("/v1/events", [vote, odd], BROWSER, headers=token(subject_id="u1"))
        assert verdicts(answer) == ["accepted", "invalid-data"]
        (record,) = server.records()
    assert decode_data(record.data) == data


def test_a_visitor_gets_a_token_bound_to_its_anonymous_id(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        fresh = server.post("/v1/anonymous-tokens", {}, BROWSER)
        assert fresh.status_code == 201
        given = tokens.verify(fresh.json()["token"], SECRET, wall_clock())
        assert given.anonymous_id == fresh.json()["anonymousId"]
        mine = "0123456789abcdef"
        again = server.post("/v1/anonymous-tokens", {"anonymousId": mine}, BROWSER).json()
        assert tokens.verify(again["token"], SECRET, wall_clock()).anonymous_id == mine
        headers = {"forestall-subject-token": again["token"]}
        visitor = event("v", "forestall.optout", subject=None, anonymousid=mine)
        assert verdicts(server.post("/v1/events", visitor, BROWSER, headers=headers)) == [
            "accepted"
        ]
        for body, status, code in (
            ({"anonymousId": "short"}, 422, "weak-anonymous-id"),
            ({"anonymousId": 7}, 400, "invalid-json"),
        ):
            answer = server.post("/v1/anonymous-tokens", body, BROWSER)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert server.post("/v1/anonymous-tokens", {}, None).status_code == 401
        server.post(
            "/v1/events", event("i", "forestall.identify", anonymousid=mine, data={"traits": {}})
        )
        answer = server.post("/v1/anonymous-tokens", {"anonymousId": mine}, BROWSER)
        assert (answer.status_code, answer.json()["code"]) == (403, "signed-in")


def test_our_own_processes_name_subjects_by_pseudonym(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        server.post("/v1/events", event())
        pseudonym = server.records()[0].subject
        key = (server.settings.data / "internal.key").read_text()
        shown = event(
            "r", "forestall.intervention.shown", subject=pseudonym,
            data={"intervention": "i", "policy": "p", "version": "v"},
        )  # fmt: skip
        assert verdicts(server.post("/v1/events", shown, key)) == ["accepted"]
        lost = event("x", subject=None, anonymousid="a")
        assert verdicts(server.post("/v1/events", lost, key)) == ["no-subject"]
        assert [record.subject for record in server.records()] == [pseudonym] * 2
        assert (server.settings.data / "internal.key").stat().st_mode & 0o777 == 0o600


def test_a_client_that_goes_away_is_forgotten(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        host, port = server.base.removeprefix("http://").split(":")
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Write-Key: {SERVER}\r\n"
        with socket.create_connection((host, int(port))) as leaving:
            leaving.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        assert verdicts(server.post("/v1/events", event())) == ["accepted"]
