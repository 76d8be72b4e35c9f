import asyncio
from collections.abc import Callable
from typing import Any, Literal

import httpx
import pytest

from forestall.channels.feed import Feed, Rounds, Withdrawal
from forestall.channels.inapp import Hub
from forestall.contracts.instants import DAY, HOUR, MINUTE, SECOND
from forestall.contracts.intervention import Message, Show
from forestall.kernel.clock import wall_clock
from forestall.kernel.telemetry import METRICS
from forestall.privacy.tokens import SubjectToken, WeakSecret, sign, sign_anonymous
from streaming import (
    LOG_TIME,
    SECRET,
    Reader,
    Shelf,
    get,
    house,
    message,
    reading,
    streams,
    token,
    until,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("http", ["h11", "httptools"])
async def test_a_page_gets_what_is_there_and_what_comes(http: Literal["h11", "httptools"]) -> None:
    async with house(http) as home:
        home.say(message(1))
        async with reading(home) as reader:
            assert reader.response.headers["content-type"] == "text/event-stream"
            assert reader.response.headers["cache-control"] == "no-store"
            assert await reader.event() == ("current", None, {"ids": ["m-1"]})
            assert (await reader.event())[:2] == ("message", "m-1")
            home.log_time += MINUTE
            home.say(message(2))
            assert await reader.event() == (
                "message",
                "m-2",
                {
                    "id": "m-2",
                    "intervention": "d-2",
                    "policy": "card-declined",
                    "title": "Card declined?",
                    "body": "Hint 2\nwith a second line – and more",
                    "why": "Your card was declined twice.",
                    "created": "1970-01-12T13:46:40.000000Z",
                    "expires": "1970-01-12T14:46:40.000000Z",
                    "expires_in": 59 * 60_000,
                },
            )


async def test_how_a_message_is_shown_is_told_with_it() -> None:
    async with house() as home:
        plain = {name: getattr(message(1), name) for name in message(1).__struct_fields__}
        more = {
            "show": Show("hint", "[data-help=search]"),
            "version": "v1",
            "steps": ("One", "Two"),
            "known": ("Your order",),
        }
        home.say(Message(**(plain | more)))
        async with reading(home) as reader:
            await reader.event()
            _, _, told = await reader.event()
            assert {name: told[name] for name in more} == {
                "show": {"as": "hint", "at": "[data-help=search]"},
                "version": "v1",
                "steps": ["One", "Two"],
                "known": ["Your order"],
            }


async def test_a_page_resumes_after_the_last_it_saw() -> None:
    async with house() as home:
        for number in range(1, 6):
            home.say(message(number))
        async with reading(home, last="m-3") as reader:
            assert (await reader.event())[2] == {"ids": ["m-1", "m-2", "m-3", "m-4", "m-5"]}
            assert [(await reader.event())[1] for _ in range(2)] == ["m-4", "m-5"]
            home.say(message(6))
            assert (await reader.event())[1] == "m-6"
        async with reading(home, last="never-heard-of") as reader:
            await reader.event()
            assert (await reader.event())[1] == "m-1"


async def test_the_query_may_resume_too() -> None:
    async with house() as home:
        home.say(message(1))
        home.say(message(2))
        async with (
            httpx.AsyncClient(trust_env=False) as client,
            client.stream(
                "GET", home.url, params={"token": token(), "last_event_id": "m-1"}
            ) as response,
        ):
            reader = Reader(response)
            await reader.event()
            assert (await reader.event())[1] == "m-2"


async def test_nobody_sees_anothers_messages() -> None:
    async with house() as home:
        home.say(message(1, "p-berta"))
        async with reading(home) as anna, reading(home, "berta") as berta:
            assert (await anna.event())[2] == {"ids": []}
            assert (await berta.event())[2] == {"ids": ["m-1"]}
            home.say(message(2, "p-berta"))
            home.hub.withdraw("p-berta")
            home.say(message(3))
            assert (await anna.event())[1] == "m-3"
        async with reading(home, "anna", last="m-1") as anna:
            assert (await anna.event())[2] == {"ids": ["m-3"]}


async def test_all_pages_of_a_subject_are_told() -> None:
    async with house() as home, reading(home) as one, reading(home) as other:
        await one.event()
        await other.event()
        home.say(message(1))
        assert (await one.event())[1] == (await other.event())[1] == "m-1"


async def test_what_has_expired_is_never_sent() -> None:
    async with house() as home:
        home.say(message(1, expires=LOG_TIME))
        async with reading(home) as reader:
            assert (await reader.event())[2] == {"ids": []}
            home.say(message(2, expires=LOG_TIME))
            home.say(message(3))
            assert (await reader.event())[1] == "m-3"


async def test_a_message_is_told_once_though_published_after_it_was_read() -> None:
    async with house() as home:
        home.say(message(1))
        async with reading(home) as reader:
            assert [(await reader.event())[0] for _ in range(2)] == ["current", "message"]
            home.hub.publish("p-anna", message(1))
            home.say(message(2))
            home.hub.publish("p-anna", message(2))
            home.say(message(3))
            assert [(await reader.event())[1] for _ in range(2)] == ["m-2", "m-3"]


async def test_who_asks_hears_what_was_handed_out() -> None:
    handed: list[tuple[str, int]] = []
    async with (
        house(sent=lambda told, at: handed.append((told.id, at))) as home,
        reading(home) as reader,
    ):
        await reader.event()
        home.say(message(1, expires=LOG_TIME))
        home.say(message(2))
        await reader.event()
        await until(lambda: handed == [("m-2", LOG_TIME)])


async def test_withdrawing_tells_the_page_and_what_waits_is_not_sent() -> None:
    async with house() as home, reading(home) as reader:
        await reader.event()
        home.say(message(1))
        home.say(message(2))
        home.shelf.withdrawn.add("d-1")
        home.hub.withdraw("p-anna", ["d-1"])
        assert (await reader.event())[1] == "m-2"
        assert await reader.event() == ("withdraw", None, {"interventions": ["d-1"]})
        home.say(message(3))
        home.hub.withdraw("p-anna")
        assert await reader.event() == ("withdraw", None, {"everything": True})


async def test_a_page_that_comes_back_hears_what_still_holds() -> None:
    async with house() as home:
        home.say(message(1))
        home.say(message(2))
        home.shelf.withdrawn.add("d-1")
        async with reading(home, last="m-2") as reader:
            assert (await reader.event())[2] == {"ids": ["m-2"]}


async def test_an_idle_stream_has_a_pulse() -> None:
    async with house(heartbeat=0.02) as home, reading(home) as reader:
        await reader.event()
        waiting = asyncio.create_task(reader.event())
        await until(lambda: reader.heartbeats >= 3)
        home.say(message(1))
        assert (await waiting)[1] == "m-1"


async def test_a_visitor_is_told_as_soon_as_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forestall.channels.inapp.UNKNOWN_YET", 0.01)
    async with house() as home, httpx.AsyncClient(trust_env=False) as client:
        bearer = sign_anonymous("a-1", SECRET, wall_clock(), HOUR)
        home.say(message(1, "p-a-1"))
        async with client.stream("GET", home.url, params={"token": bearer}) as response:
            reader = Reader(response)
            first = asyncio.create_task(reader.event())
            await until(lambda: reader.heartbeats >= 2)
            home.people["a-1"] = "p-a-1"
            assert (await first)[2] == {"ids": ["m-1"]}


async def test_a_stream_ends_with_its_token() -> None:
    async with house() as home, httpx.AsyncClient(trust_env=False) as client:
        nearly_over = token(lives=-4 * SECOND)
        async with client.stream("GET", home.url, params={"token": nearly_over}) as response:
            assert await Reader(response).ends() == ["current"]


async def test_a_slow_reader_is_dropped_and_resumes() -> None:
    async with house(backlog=4) as home:
        async with reading(home) as reader:
            await reader.event()
            for number in range(1, 7):
                home.say(message(number))
            assert await reader.ends() == []
        async with reading(home) as reader:
            await reader.event()
            assert [(await reader.event())[1] for _ in range(6)] == [f"m-{n}" for n in range(1, 7)]


async def test_a_reader_that_stalls_holds_up_nobody() -> None:
    big = "x" * 500_000
    async with house(backlog=4) as home, reading(home, "berta") as berta:
        await berta.event()
        reader, writer = await asyncio.open_connection("127.0.0.1", home.port, limit=1_000)
        request = f"GET /v1/stream?token={token()} HTTP/1.1\r\nhost: x\r\n\r\n"
        writer.write(request.encode())
        await reader.readuntil(b"event: current")
        dropped = METRICS.get_sample_value("forestall_inapp_dropped_readers_total") or 0
        for number in range(60):
            told = message(number)
            home.hub.publish("p-anna", Message(**(_fields(told) | {"body": big})))
            await asyncio.sleep(0)
        assert METRICS.get_sample_value("forestall_inapp_dropped_readers_total") == dropped + 1
        home.say(message(99, "p-berta"))
        assert (await berta.event())[1] == "m-99"
        writer.close()


def _fields(told: Message) -> dict[str, Any]:
    return {name: getattr(told, name) for name in told.__struct_fields__}


async def test_leaving_frees_the_stream() -> None:
    async with house() as home:
        async with reading(home) as reader:
            await reader.event()
            assert streams() == 1
        await until(lambda: streams() == 0)
        home.say(message(1))


async def test_a_subject_that_became_anothers_has_its_pages_come_back() -> None:
    async with house() as home, reading(home) as one, reading(home, "berta") as other:
        await one.event()
        await other.event()
        home.hub.reconnect("p-anna")
        home.hub.reconnect("p-nobody")
        assert await one.ends() == []
        home.say(message(1, "p-berta"))
        assert (await other.event())[1] == "m-1"


async def test_closing_ends_every_stream() -> None:
    async with house() as home, reading(home) as one, reading(home, "berta") as other:
        await one.event()
        await other.event()
        home.hub.close()
        assert await one.ends() == []
        assert await other.ends() == []


@pytest.mark.parametrize(
    ("bearer", "code"),
    [
        (None, "token-missing"),
        ("", "token-missing"),
        ("nonsense", "token-invalid"),
        (lambda: token(lives=-MINUTE), "token-expired"),
        (lambda: token(lives=2 * DAY), "token-invalid"),
        (lambda: sign(SubjectToken(subject_id="anna", expires=1), "y" * 40), "token-invalid"),
    ],
)
async def test_without_a_good_token_there_is_no_stream(
    bearer: str | Callable[[], str] | None, code: str
) -> None:
    text = bearer() if callable(bearer) else bearer
    async with house() as home:
        refused = [
            await get(
                home, headers={} if text is None else {"authorization": f"Bearer {text}".strip()}
            ),
            await get(home, params={} if text is None else {"token": text}),
        ]
    for response in refused:
        assert response.status_code == 401
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["www-authenticate"] == "Bearer"
        assert (response.json()["code"], response.json()["status"]) == (code, 401)


async def test_other_paths_and_methods_are_told() -> None:
    async with house() as home:
        missing = await get(home, url=home.url + "/x")
        assert (missing.status_code, missing.json()["code"]) == (404, "not-found")
        posted = await get(home, method="POST")
        assert (posted.status_code, posted.headers["allow"]) == (405, "GET")


async def test_pages_of_allowed_origins_may_read() -> None:
    origin = {"origin": "https://shop.example"}
    async with house() as home:
        asked = await get(
            home, "OPTIONS", headers=origin | {"access-control-request-method": "GET"}
        )
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == "https://shop.example"
        assert "authorization" in asked.headers["access-control-allow-headers"]
        async with (
            httpx.AsyncClient(trust_env=False) as client,
            client.stream("GET", home.url, params={"token": token()}, headers=origin) as answer,
        ):
            assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        refused = await get(home, headers=origin)
        assert refused.headers["access-control-allow-origin"] == "https://shop.example"


async def test_pages_of_other_origins_may_not() -> None:
    origin = {"origin": "https://evil.example"}
    async with house() as home:
        refused = await get(home, headers=origin, params={"token": token()})
        assert (refused.status_code, refused.json()["code"]) == (403, "origin-not-allowed")
        assert "access-control-allow-origin" not in refused.headers
        asked = await get(home, "OPTIONS", headers=origin)
        assert "access-control-allow-origin" not in asked.headers


async def test_streams_have_a_limit() -> None:
    async with house(streams=2, streams_per_subject=1) as home, reading(home) as anna:
        await anna.event()
        second = await get(home, params={"token": token()})
        assert (second.status_code, second.json()["code"]) == (429, "too-many-streams")
        async with reading(home, "berta") as berta:
            await berta.event()
            third = await get(home, params={"token": token("berta")})
            assert (third.status_code, third.headers["retry-after"]) == (503, "5")


async def test_as_a_channel_it_publishes_and_says_what_it_is() -> None:
    async with house() as home, reading(home) as reader:
        await reader.event()
        delivery = await home.hub.send(message(1), "key")
        assert (delivery.outcome, home.hub.name, home.hub.deduplication) == (
            "delivered",
            "inapp",
            "dedupes",
        )
        assert (await reader.event())[1] == "m-1"


async def test_a_weak_secret_is_refused_at_the_start() -> None:
    with pytest.raises(WeakSecret):
        Hub(
            messages=Shelf(),
            identify=lambda _: None,
            secret="short",
            now=wall_clock,
            log_time=wall_clock,
        )


async def test_hundreds_of_idle_streams_are_cheap() -> None:
    async with house() as home:
        connections = []
        request = f"GET /v1/stream?token={token()} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
        home.hub._streams_per_subject = 1_000
        for _ in range(300):
            reader, writer = await asyncio.open_connection("127.0.0.1", home.port)
            writer.write(request)
            connections.append((reader, writer))
        for reader, _ in connections:
            await reader.readuntil(b"event: current")
        home.say(message(1))
        for reader, _ in connections:
            await reader.readuntil(b"id: m-1")
        for _, writer in connections:
            writer.close()
        await until(lambda: streams() == 0)


async def test_a_feed_keeps_order_drops_repetitions_and_has_a_bound() -> None:
    feed = Feed(limit=3)
    feed.begin([message(1), message(2)], [message(2)])
    assert all(feed.offer(message(number)) for number in (1, 2, 3, 3))
    assert [await feed.next() for _ in range(2)] == [message(2), message(3)]
    feed.wake()
    assert await feed.next() is None
    gone = Withdrawal(interventions=("d-4",))
    assert all(feed.offer(entry) for entry in (message(4), message(5), gone))
    assert [await feed.next() for _ in range(2)] == [message(5), gone]
    assert all(feed.offer(message(number)) for number in (6, 7, 8))
    assert not feed.offer(message(9))
    assert feed.closed
    assert await feed.next() is None


async def test_rounds_wake_each_feed_once_and_only_a_few_at_a_time() -> None:
    rounds = Rounds()
    feeds = [Feed(limit=3) for _ in range(5 * Rounds.AT_ONCE)]
    for feed in feeds:
        rounds.after(0.0, feed)
    woken: list[int] = []

    async def listen(number: int) -> None:
        assert await feeds[number].next() is None
        woken.append(number)

    listening = [asyncio.create_task(listen(number)) for number in range(len(feeds))]
    await until(lambda: bool(woken))
    assert len(woken) <= 2 * Rounds.AT_ONCE
    await asyncio.gather(*listening)
    assert woken == list(range(len(feeds)))


async def test_rounds_keep_the_order_of_time_and_pass_over_feeds_that_ended() -> None:
    rounds, feeds = Rounds(), [Feed(limit=3) for _ in range(3)]
    for feed, seconds in zip(feeds, (0.2, 0.0, 0.1), strict=True):
        rounds.after(seconds, feed)
    feeds[1].close()
    assert await feeds[2].next() is None
    assert feeds[0].offer(message(1))
    assert await feeds[0].next() == message(1)
    assert await feeds[0].next() is None
    rounds.after(0.0, feeds[2])
    assert await feeds[2].next() is None


async def test_a_second_and_later_time_for_a_feed_holds_up_nobody() -> None:
    rounds, twice, other = Rounds(), Feed(limit=3), Feed(limit=3)
    rounds.after(0.05, twice)
    rounds.after(60, twice)
    rounds.after(0.1, other)
    async with asyncio.timeout(5):
        assert await twice.next() is None
        assert await other.next() is None


async def test_a_nudge_while_nobody_waits_is_not_forgotten() -> None:
    feed = Feed(limit=3)
    assert feed.offer(message(1))
    feed.wake()
    assert await feed.next() == message(1)
    assert await feed.next() is None
