import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier

from forestall.channels.base import Channels, Delivery, UnknownChannel
from forestall.channels.endpoint import InvalidWebhook, endpoint, retry_after
from forestall.channels.outbound import outbound
from forestall.channels.parking import (
    Health,
    HealthStore,
    MemoryHealth,
    Patience,
    SqliteHealth,
    after_failure,
)
from forestall.channels.webhook import WebhookChannel, parked, unpark
from forestall.contracts.instants import DAY, HOUR, MINUTE, SECOND
from forestall.contracts.intervention import Case, Message, Show
from forestall.kernel.clock import wall_clock
from forestall.kernel.settings import Outbound, Webhook
from forestall.kernel.telemetry import METRICS, parse_traceparent

pytestmark = pytest.mark.anyio

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

MESSAGE = Message(
    id="m-1",
    intervention="d-1",
    subject="p-1",
    policy="card-declined",
    title="Card declined?",
    body="Try another card, or pay by invoice – it's quick.",
    why="Your card was declined twice.",
    created=1_000 * SECOND,
    expires=1_120 * SECOND,
    traceparent=f"00-{TRACE}-00f067aa0ba902b7-01",
)

CASE = Case(
    id="k",
    intervention="d-1",
    queue="payments",
    customer="p-1",
    policy="card-declined",
    title="Card declined twice",
    why="2 x payment.declined in 10m",
    at="2024-05-01T12:00:00.000000Z",
    events=("e-1", "e-2"),
    features={"declines": 2},
    taken=(),
    advice=None,
    trace=TRACE,
)

Answer = bytes | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Requests = list[tuple[dict[str, str], bytes]]


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    head = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


@asynccontextmanager
async def receiver(*answers: Answer) -> AsyncIterator[tuple[str, Requests]]:
    """An HTTP server on loopback that gives these answers in turn, the last one for ever."""
    requests: Requests = []
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await _head(reader):
                headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                headers = {name.lower(): value for name, value in headers.items()}
                body = await reader.readexactly(int(headers["content-length"]))
                requests.append((headers, body))
                given = left.pop(0) if len(left) > 1 else left[0]
                if isinstance(given, bytes):
                    writer.write(given)
                    await writer.drain()
                else:
                    await given(reader, writer)
                    return
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", requests


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return ""


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the head, then a byte now and then, so that no single read waits long."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while not reader.at_eof():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Bench:
    """A channel with a clock to turn and pauses that are noted, not slept."""

    def __init__(
        self,
        url: str,
        health: HealthStore | None = None,
        allow: tuple[str, ...] = ("127.0.0.1",),
        **webhook: Any,
    ) -> None:
        self.pauses: list[float] = []
        self.log_time = 1_000 * SECOND
        self.wall = wall_clock()
        self.health = health or MemoryHealth()
        self.client = outbound(Outbound(allow=allow))
        defaults: dict[str, Any] = {"secret": SECRET, "timeout": "5s", "attempts": 3}
        self.channel = WebhookChannel(
            "crm",
            Webhook(url, **defaults | webhook),
            client=self.client,
            health=self.health,
            now=lambda: self.wall,
            log_time=lambda: self.log_time,
            chance=lambda: 0.5,
            new_id=lambda: "ab" * 16,
            patience=Patience(failures=3, over=HOUR),
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.log_time += int(seconds * SECOND)

    async def send(self, key: str = "key-1") -> Delivery:
        return await self.channel.send(MESSAGE, key)

    async def __aenter__(self) -> "Bench":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()


async def test_an_address_that_is_not_public_is_not_tried_again() -> None:
    async with receiver(answer(200)) as (url, requests), Bench(url, allow=("crm",)) as bench:
        delivery = await bench.send()
    assert (delivery.outcome, delivery.reason) == ("failed", "blocked-address")
    assert "127.0.0.1" in delivery.detail
    assert (delivery.attempts, bench.pauses, requests) == (1, [], [])


async def test_a_message_arrives_signed_by_the_specification() -> None:
    async with receiver(answer(200)) as (url, requests), Bench(url) as bench:
        delivery = await bench.send()
    assert delivery == Delivery(outcome="delivered", reason="delivered", attempts=1, status=200)
    ((headers, body),) = requests
    payload = Verifier(SECRET).verify(body, headers)
    assert payload["type"] == "forestall.message"
    assert payload["timestamp"] == "1970-01-01T00:16:40.000000Z"
    assert payload["data"]["body"] == MESSAGE.body
    assert payload["data"]["expires"] == "1970-01-01T00:18:40.000000Z"
    assert headers["webhook-id"] == "key-1"
    assert headers["content-type"] == "application/json"
    assert headers["traceparent"] == f"00-{TRACE}-{'ab' * 8}-01"


async def test_a_message_says_how_it_is_shown() -> None:
    shown = msgspec.structs.replace(
        MESSAGE, show=Show("handover"), version="v1", steps=("One",), known=("Your order",)
    )
    async with receiver(answer(200)) as (url, requests), Bench(url) as bench:
        await bench.channel.send(shown, "key-1")
        await bench.channel.send(MESSAGE, "key-2")
    told, plain = (Verifier(SECRET).verify(body, headers)["data"] for headers, body in requests)
    assert told["show"] == {"as": "handover"}
    assert (told["version"], told["steps"], told["known"]) == ("v1", ["One"], ["Your order"])
    assert not {"show", "version", "steps", "known", "choices"} & plain.keys()


async def test_a_case_is_handed_over_in_the_same_way() -> None:
    async with receiver(answer(202)) as (url, requests), Bench(url) as bench:
        delivery = await bench.channel.hand_over(CASE, "case-1")
    assert delivery.outcome == "delivered"
    ((headers, body),) = requests
    payload = Verifier(SECRET).verify(body, headers)
    assert payload["type"] == "forestall.case"
    assert payload["data"]["events"] == ["e-1", "e-2"]
    trace = parse_traceparent(headers["traceparent"])
    assert trace is not None
    assert trace.trace_id == TRACE


async def test_another_secret_does_not_verify() -> None:
    async with receiver(answer(200)) as (url, requests), Bench(url) as bench:
        await bench.send()
    headers, body = requests[0]
    with pytest.raises(Exception, match="No matching signature"):
        Verifier(OTHER).verify(body, headers)


async def test_while_a_secret_changes_both_sign() -> None:
    async with (
        receiver(answer(200)) as (url, requests),
        Bench(url, secret=f"{OTHER} {SECRET}") as bench,
    ):
        await bench.send()
    headers, body = requests[0]
    assert Verifier(OTHER).verify(body, headers) == Verifier(SECRET).verify(body, headers)


async def test_a_failing_endpoint_is_tried_again_under_the_same_id() -> None:
    async with (
        receiver(answer(500), hang_up, answer(204)) as (url, requests),
        Bench(url) as bench,
    ):
        delivery = await bench.send()
    assert (delivery.outcome, delivery.attempts) == ("delivered", 3)
    assert {headers["webhook-id"] for headers, _ in requests} == {"key-1"}
    assert len({body for _, body in requests}) == 1
    assert bench.pauses == [0.75, 1.5]


async def test_attempts_have_an_end() -> None:
    async with receiver(answer(503)) as (url, requests), Bench(url) as bench:
        delivery = await bench.send()
    assert len(requests) == 3
    assert (delivery.outcome, delivery.reason, delivery.status) == ("failed", "refused", 503)
    assert delivery.again
    assert "503" in delivery.detail


async def test_retry_after_is_honoured() -> None:
    async with (
        receiver(answer(429, "retry-after: 7"), answer(200)) as (url, _),
        Bench(url) as bench,
    ):
        assert (await bench.send()).outcome == "delivered"
    assert bench.pauses == [7.0]


async def test_a_long_retry_after_is_handed_back() -> None:
    async with (
        receiver(answer(503, "retry-after: 900")) as (url, requests),
        Bench(url) as bench,
    ):
        delivery = await bench.send()
    assert (len(requests), bench.pauses) == (1, [])
    assert (delivery.outcome, delivery.again) == ("failed", True)
    assert delivery.retry_after == 900 * SECOND


async def test_a_redirect_is_not_followed() -> None:
    async with receiver(answer(200)) as (elsewhere, lured):
        moved = answer(307, f"location: {elsewhere}")
        async with receiver(moved) as (url, _), Bench(url) as bench:
            delivery = await bench.send()
    assert (delivery.outcome, delivery.status, lured) == ("failed", 307, [])


async def test_nobody_listening_is_a_value_and_certain() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with Bench(f"http://127.0.0.1:{unused.getsockname()[1]}/") as bench:
            delivery = await bench.send()
    assert (delivery.outcome, delivery.reason, delivery.attempts) == ("failed", "unreachable", 3)


async def test_a_broken_connection_leaves_it_uncertain() -> None:
    async with receiver(hang_up) as (url, _), Bench(url) as bench:
        delivery = await bench.send()
    assert (delivery.outcome, delivery.reason) == ("uncertain", "unreachable")


async def test_one_uncertain_attempt_makes_the_delivery_uncertain() -> None:
    async with receiver(hang_up, answer(500)) as (url, _), Bench(url) as bench:
        delivery = await bench.send()
    assert (delivery.outcome, delivery.reason) == ("uncertain", "refused")


@pytest.mark.parametrize("slow", [say_nothing, drip])
async def test_a_slow_endpoint_is_left(slow: Answer) -> None:
    async with receiver(slow) as (url, _), Bench(url, timeout="150ms", attempts=1) as bench:
        delivery = await bench.send()
    assert (delivery.outcome, delivery.reason) == ("uncertain", "timeout")


async def test_a_huge_answer_is_not_read() -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()

    async with receiver(endless) as (url, _), Bench(url) as bench:
        assert (await bench.send()).outcome == "delivered"


async def test_an_expired_message_is_never_sent() -> None:
    async with receiver(answer(200)) as (url, requests), Bench(url) as bench:
        bench.log_time = MESSAGE.expires
        delivery = await bench.send()
    assert (delivery.outcome, delivery.reason, delivery.again) == ("failed", "expired", False)
    assert requests == []


async def test_a_message_that_expires_between_attempts_is_given_up() -> None:
    async with receiver(answer(500)) as (url, requests), Bench(url) as bench:
        bench.log_time = MESSAGE.expires - SECOND // 2
        delivery = await bench.send()
    assert (delivery.reason, delivery.attempts, len(requests)) == ("expired", 1, 1)


async def test_gone_parks_at_once_and_a_parked_endpoint_is_left_alone() -> None:
    async with receiver(answer(410)) as (url, requests), Bench(url) as bench:
        gone = await bench.send()
        again = await bench.send("key-2")
        assert (gone.reason, gone.attempts) == ("gone", 1)
        assert (again.outcome, again.reason, again.again) == ("failed", "parked", True)
        assert len(requests) == 1
        assert parked(bench.health)["crm"].parked == bench.wall


async def test_failing_for_long_parks_and_unparking_starts_afresh() -> None:
    async with receiver(answer(500)) as (url, _), Bench(url, attempts=1) as bench:
        for _ in range(3):
            assert (await bench.send()).reason == "refused"
        assert parked(bench.health) == {}
        bench.wall += HOUR
        await bench.send()
        assert (await bench.send()).reason == "parked"
        assert METRICS.get_sample_value("forestall_webhook_parked", {"endpoint": "crm"}) == 1
        assert unpark("crm", bench.health)
        assert not unpark("crm", bench.health)
        assert (await bench.send()).reason == "refused"
        assert METRICS.get_sample_value("forestall_webhook_parked", {"endpoint": "crm"}) == 0


async def test_a_success_forgets_the_failures() -> None:
    async with (
        receiver(answer(500), answer(200)) as (url, _),
        Bench(url, attempts=1) as bench,
    ):
        await bench.send()
        assert bench.health.load("crm").failures == 1
        await bench.send()
        assert bench.health.load("crm") == Health()


async def test_a_huge_message_is_refused_before_it_leaves() -> None:
    async with receiver(answer(200)) as (url, requests), Bench(url) as bench:
        case = msgspec.structs.replace(CASE, why="x" * 300_000)
        delivery = await bench.channel.hand_over(case, "key")
    assert (delivery.reason, delivery.again, requests) == ("too-large", False, [])


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ü", "x" * 257])
async def test_a_key_that_cannot_be_a_header_is_a_bug(key: str) -> None:
    async with Bench("http://127.0.0.1:9/") as bench:
        with pytest.raises(ValueError, match="webhook-id"):
            await bench.send(key)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("url", "ftp://example.org/"),
        ("url", "example.org/hook"),
        ("url", "http://[::bad/"),
        ("secret", ""),
        ("secret", "plain"),
        ("secret", "whsec_short"),
        ("secret", "whsec_" + "!" * 33),
        ("timeout", "soon"),
        ("timeout", "0s"),
        ("timeout", "2m"),
        ("attempts", 0),
        ("attempts", 99),
    ],
)
def test_settings_that_cannot_work_are_told(setting: str, value: object) -> None:
    good: dict[str, Any] = {"url": "https://example.org/", "secret": SECRET}
    with pytest.raises(InvalidWebhook, match=rf"\[webhooks\.crm\] {setting}") as caught:
        endpoint("crm", Webhook(**good | {setting: value}))
    if setting == "secret" and value:
        assert str(value) not in str(caught.value)


def test_retry_after_is_seconds_or_a_date() -> None:
    now = 1_700_000_000 * SECOND
    date = format_datetime(datetime.fromtimestamp(1_700_000_060, UTC), usegmt=True)
    assert retry_after("120", now) == 120 * SECOND
    assert retry_after(date, now) == MINUTE
    assert retry_after(date, now + HOUR) == 0
    assert retry_after("9" * 400, now) == DAY
    assert retry_after(None, now) is None
    assert retry_after("whenever", now) is None


@given(st.text(max_size=40))
def test_no_retry_after_breaks_us(text: str) -> None:
    found = retry_after(text, 0)
    assert found is None or 0 <= found <= DAY


@given(st.lists(st.integers(0, 3 * HOUR), min_size=1, max_size=30).map(sorted))
def test_an_endpoint_is_parked_exactly_when_patience_ends(moments: list[int]) -> None:
    health, patience = Health(), Patience(failures=5, over=HOUR)
    for count, now in enumerate(moments, start=1):
        before = health.parked
        health = after_failure(health, now, "answered 500", patience)
        spent = count >= 5 and now - moments[0] >= HOUR
        assert (health.parked is not None) == (spent or before is not None)
        assert health.failures == count


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> HealthStore:
    return MemoryHealth() if request.param == "memory" else SqliteHealth(tmp_path / "h.db")


def test_health_is_kept_by_name(store: HealthStore) -> None:
    assert (store.load("crm"), store.all()) == (Health(), {})
    ill = Health(2, 5, None, "answered 500")
    store.save("crm", ill)
    store.save("push", Health(9, 1, 7, "gone"))
    assert (store.load("crm"), list(store.all())) == (ill, ["crm", "push"])
    store.save("crm", Health())
    assert (store.load("crm"), list(store.all())) == (Health(), ["push"])
    assert list(parked(store)) == ["push"]


def test_health_survives_a_restart(tmp_path: Path) -> None:
    first = SqliteHealth(tmp_path / "h.db")
    first.save("crm", Health(1, 2, 3, "why"))
    first.close()
    second = SqliteHealth(tmp_path / "h.db")
    assert second.load("crm") == Health(1, 2, 3, "why")
    second.close()


async def test_the_registry_knows_its_channels() -> None:
    async with Bench("http://127.0.0.1:9/") as bench:
        channels = Channels([bench.channel])
        assert channels["crm"] is bench.channel
        assert channels["crm"].deduplication == "dedupes"
        assert channels.names() == {"crm"}
        with pytest.raises(UnknownChannel, match="known: crm"):
            channels["sms"]
