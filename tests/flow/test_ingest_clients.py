"""Clients that others wrote, against a real server: they only change a host name."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from rudderstack.analytics.client import Client as RudderStack  # type: ignore[import-untyped]
from rudderstack.analytics.request import (  # type: ignore[import-untyped]
    APIError as RudderStackError,
)
from segment.analytics.client import Client as Segment  # type: ignore[import-untyped]
from segment.analytics.request import APIError  # type: ignore[import-untyped]

from forestall.contracts.event import decode_data
from forestall.contracts.instants import SECOND, format_time, parse_time
from forestall.kernel.clock import wall_clock
from serving import BROWSER, SERVER, event, running, settings, verdicts

HAPPENED = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("library", [Segment, RudderStack])
def test_every_call_of_the_libraries_becomes_an_event(
    tmp_path: Path, library: Any, zipped: bool
) -> None:
    troubles: list[Any] = []
    with running(settings(tmp_path)) as server:
        client = library(
            SERVER,
            host=server.base,
            gzip=zipped,
            on_error=lambda error, _items: troubles.append(error),
            upload_interval=0.05,
            max_retries=1,
        )
        client.track("u1", "Payment Failed", {"amount": 12.5}, message_id="m1")
        client.identify("u1", {"plan": "pro", "email": "a@b.c"}, anonymous_id="a1")
        client.page("u1", "Docs", "Start", {"url": "https://x.y/a/b?token=s#z", "referrer": "r"})
        client.screen(anonymous_id="a1", name="Home")
        client.group("u1", "g7", {"seats": 3})
        client.alias("a2", "u1")
        client.track("u1", "Payment Failed", {"amount": 12.5}, message_id="m1")
        client.flush()
        client.join()
        records = server.records()
    assert troubles == []
    assert [(record.type, decode_data(record.data)) for record in records] == [
        ("payment.failed", {"amount": 12.5}),
        ("forestall.identify", {"traits": {"plan": "pro"}}),
        ("page.viewed", {"name": "Start", "category": "Docs", "path": "/a/b"}),
        ("screen.viewed", {"name": "Home"}),
        ("group.joined", {"group": "g7", "traits": {"seats": 3}}),
        ("forestall.identify", {"traits": {}}),
    ]
    assert {record.source for record in records} == {"segment:shop"}
    assert len({record.subject for record in records}) == 1
    assert records[0].id == "m1"


def test_the_libraries_hear_of_trouble(tmp_path: Path) -> None:
    with running(settings(tmp_path)) as server:
        for library, error in ((Segment, APIError), (RudderStack, RudderStackError)):
            client = library("wrong", host=server.base, sync_mode=True)
            with pytest.raises(error) as caught:
                client.track("u1", "Payment Failed")
            assert caught.value.status == 401
            assert caught.value.code == "unknown-key"
        assert server.records() == []


def test_a_wrong_clock_is_corrected_as_segment_documents(tmp_path: Path) -> None:
    now = parse_time("2026-03-01T12:00:00Z")
    with running(settings(tmp_path), clock=lambda: now) as server:
        message = {"messageId": "1", "userId": "u", "type": "track", "event": "A"}
        ahead = {"timestamp": "2031-01-01T00:00:00Z"}
        body = {"sentAt": "2031-01-01T00:00:10Z", "batch": [{**message, **ahead}]}
        assert verdicts(server.post("/v1/batch", body)) == ["accepted"]
        plain = {**message, "messageId": "2", "timestamp": "2026-03-01T11:59:00Z"}
        assert verdicts(server.post("/v1/track", plain)) == ["accepted"]
        sent = {**plain, "messageId": "3", "sentAt": "2026-03-01T11:59:30Z"}
        assert verdicts(server.post("/v1/track", sent)) == ["accepted"]
        times = [record.time for record in server.records()]
    assert [(now - time) // SECOND for time in times] == [10, 60, 30]


def test_what_analytics_js_sends_from_a_page(tmp_path: Path) -> None:
    """Short paths, text/plain, the write key in the body or as a beacon's query."""
    message = {"messageId": "1", "anonymousId": "a", "event": "Cart Viewed", "type": "track"}
    plain = {"content-type": "text/plain", "origin": "https://shop.example"}
    with running(settings(tmp_path)) as server:
        body = {**message, "writeKey": BROWSER}
        answer = server.post("/v1/t", body, None, headers=plain)
        assert (answer.status_code, answer.json()["success"]) == (200, True)
        assert answer.headers["access-control-allow-origin"] == "*"
        batch = {"batch": [{**message, "messageId": "2"}], "writeKey": BROWSER, "sentAt": None}
        assert verdicts(server.post("/v1/b", batch, None, headers=plain)) == ["accepted"]
        beacon = {"batch": [{**message, "messageId": "3"}]}
        path = f"/beacon/v1/batch?writeKey={BROWSER}"
        assert verdicts(server.post(path, beacon, None, headers=plain)) == ["accepted"]
        assert server.post("/v1/t", message, None).status_code == 401
        assert server.post("/v1/t", {**message, "writeKey": "no"}, None).status_code == 401
        assert [record.origin for record in server.records()] == ["browser"] * 3
        signs_in = {"messageId": "4", "userId": "u", "anonymousId": "a", "writeKey": BROWSER}
        answer = server.post("/v1/i", signs_in, None)
        assert verdicts(answer) == ["subject-token-required"]


def test_bad_messages_leave_the_good_ones_alone(tmp_path: Path) -> None:
    good = {"type": "track", "event": "A", "userId": 7, "messageId": "1"}
    batch: list[Any] = [
        good,
        {**good, "messageId": None},
        {**good, "type": "dance"},
        {**good, "event": ""},
        {**good, "event": 5},
        {**good, "userId": None},
        {**good, "type": "group"},
        {**good, "type": "alias"},
        {**good, "messageId": "t", "timestamp": "yesterday"},
        {**good, "type": "identify", "context": 7},
        "nonsense",
        {**good, "messageId": "2", "userId": 7.0, "context": 7},
    ]
    with running(settings(tmp_path)) as server:
        answer = server.post("/v1/batch", {"batch": batch})
        assert answer.status_code == 200
        assert verdicts(answer) == [
            "accepted",
            *["invalid-envelope"] * 4,
            "no-subject",
            "invalid-envelope",
            "invalid-envelope",
            "invalid-time",
            "invalid-envelope",
            "invalid-envelope",
            "accepted",
        ]
        one, two = server.records()
        assert one.subject == two.subject
        for body in (b"{}", b'{"batch": 7}', b"[]", b"{", b'{"batch": ["\xff"'):
            answer = server.post("/v1/batch", body)
            assert (answer.status_code, answer.json()["status"]) == (400, 400)


@pytest.mark.parametrize("bind", [to_structured_event, to_binary_event])
def test_the_cloudevents_sdk(tmp_path: Path, bind: Any) -> None:
    attributes = {
        "id": "1",
        "source": "/shop/café",
        "type": "payment.failed",
        "subject": "user 1%",
        "time": HAPPENED,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "datacontenttype": "application/json",
    }
    message = bind(CloudEvent(attributes=attributes, data={"amount": 5}))
    headers = {**message.headers, "authorization": f"Bearer {SERVER}"}
    with running(settings(tmp_path)) as server:
        answer = httpx.post(f"{server.base}/v1/events", content=message.body, headers=headers)
        assert answer.status_code == 202
        again = event("1", "payment.failed", subject="user 1%", source="/shop/café")
        assert verdicts(server.post("/v1/events", again)) == ["duplicate"]
        (record,) = server.records()
    assert (record.source, record.type) == ("/shop/café", "payment.failed")
    assert format_time(record.time) == "2026-03-01T12:00:05.000000Z"
    assert decode_data(record.data) == {"amount": 5}
    assert record.traceparent == attributes["traceparent"]


def test_segment_keeps_a_historys_times(tmp_path: Path) -> None:
    """A client that replays history sends timestamps and no ``sentAt``."""
    with running(settings(tmp_path)) as server:
        then = format_time(wall_clock() - 400 * 86_400 * SECOND)
        message = {"type": "track", "event": "A", "userId": "u", "messageId": "1"}
        body = {"batch": [{**message, "timestamp": then}]}
        assert verdicts(server.post("/v1/import", body)) == ["late"]
        (record,) = server.records()
    assert format_time(record.time) == then
    assert record.received - record.time > timedelta(days=399) / timedelta(microseconds=1)
