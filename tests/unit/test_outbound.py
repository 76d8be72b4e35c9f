import asyncio
import gzip
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from certificates import certificate
from forestall.channels.addresses import BlockedAddress, InvalidOutbound
from forestall.channels.outbound import (
    ENCODING,
    TOTAL,
    TooLarge,
    TooSlow,
    UnconnectedTooSlow,
    outbound,
)
from forestall.kernel.settings import Outbound

pytestmark = pytest.mark.anyio

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def answer(body: bytes = b"hello", *headers: str, status: int = 200) -> Speak:
    head = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close", *headers]

    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()

    return speak


class Place:
    """A server on loopback that notes the heads of requests."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heads: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def listening(speak: Speak, **options: Any) -> AsyncIterator[Place]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            place.heads.append(head)
            await speak(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
    place = Place(server.sockets[0].getsockname()[1])
    async with server:
        yield place


def settings(*allow: str, **more: Any) -> Outbound:
    return Outbound(allow=allow, **more)


def resolver(*answers: str) -> tuple[Callable[[str, int], Awaitable[list[str]]], list[str]]:
    """One that gives these addresses in turn, the last for ever, and notes who was asked for."""
    asked: list[str] = []
    left = list(answers)

    async def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        return [left.pop(0) if len(left) > 1 else left[0]]

    return resolve, asked


async def test_a_host_that_is_allowed_is_reached() -> None:
    async with (
        listening(answer()) as place,
        outbound(settings(f"127.0.0.1:{place.port}")) as client,
    ):
        found = await client.get(f"{place.url}/a?b=c")
    assert found.text == "hello"
    assert place.heads[0].startswith("GET /a?b=c HTTP/1.1")
    assert f"Host: 127.0.0.1:{place.port}" in place.heads[0]
    assert "accept-encoding: identity" in place.heads[0]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "LOCALHOST", "localhost.", "2130706433", "0x7f000001", "0x7f.1",
        "017700000001", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::]",
        "169.254.169.254", "[fd00:ec2::254]", "10.0.0.1", "100.64.0.1", "224.0.0.1",
        "127.0.0.1%2eexample", "[fe80::1%25lo]", "[fe80::1]", "①②⑦.⓪.⓪.①",
    ],
)  # fmt: skip
async def test_however_it_is_spelt_loopback_is_not_reached(host: str) -> None:
    async with listening(answer()) as place, outbound(settings()) as client:
        with pytest.raises((httpx.ConnectError, httpx.InvalidURL)):
            await client.get(f"http://{host}:{place.port}/", extensions={TOTAL: 5.0})
    assert place.heads == []


async def test_user_information_does_not_disguise_the_host() -> None:
    async with listening(answer()) as place, outbound(settings("shop.example")) as client:
        with pytest.raises(BlockedAddress):
            await client.get(f"http://shop.example@127.0.0.1:{place.port}/")
    assert place.heads == []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "file:///etc/passwd", "gopher://x/", "/path"])
async def test_only_http_leaves(url: str) -> None:
    async with outbound(settings("127.0.0.1")) as client:
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get(url)


async def test_the_address_that_was_checked_is_the_one_that_is_used() -> None:
    """A name that answers public first and private afterwards is asked once a connection."""
    async with listening(answer()) as place:
        resolve, asked = resolver("192.0.2.7", "127.0.0.1")
        async with outbound(settings(), resolve=resolve) as client:
            with pytest.raises(BlockedAddress):
                await client.get(f"http://rebind.example:{place.port}/")
            with pytest.raises(BlockedAddress):
                await client.get(f"http://rebind.example:{place.port}/")
    assert asked == ["rebind.example"] * 2
    assert place.heads == []


async def test_a_name_is_resolved_once_a_connection_and_stays_in_the_request() -> None:
    async with listening(answer()) as place:
        resolve, asked = resolver("127.0.0.1", "10.9.9.9")
        async with outbound(settings("crm.internal"), resolve=resolve) as client:
            found = await client.get(f"http://crm.internal:{place.port}/")
    assert found.status_code == 200
    assert asked == ["crm.internal"]
    assert f"Host: crm.internal:{place.port}" in place.heads[0]


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async def resolve(_: str, __: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with (
        listening(answer()) as place,
        outbound(settings("crm.internal"), resolve=resolve) as client,
    ):
        assert (await client.get(f"http://crm.internal:{place.port}/")).status_code == 200


async def test_a_name_without_an_address_cannot_be_connected_to() -> None:
    async def nothing(host: str, _: int) -> list[str]:
        raise OSError(f"no such name {host}")

    async def none(_: str, __: int) -> list[str]:
        return []

    for resolve in (nothing, none):
        async with outbound(settings(), resolve=resolve) as client:
            with pytest.raises(httpx.ConnectError, match=r"nowhere\.example"):
                await client.get("http://nowhere.example/")


async def test_redirects_are_not_followed_unless_asked_for() -> None:
    async with (
        listening(answer(b"", "location: http://127.0.0.1:1/", status=302)) as place,
        outbound(settings("127.0.0.1")) as client,
    ):
        assert (await client.get(place.url)).status_code == 302


async def test_a_redirect_to_loopback_is_refused() -> None:
    async with listening(answer(b"secret")) as inner:
        away = answer(b"", f"location: {inner.url}/admin", status=302)
        async with (
            listening(away) as outer,
            outbound(settings(f"127.0.0.1:{outer.port}"), redirects=3) as client,
        ):
            with pytest.raises(BlockedAddress):
                await client.get(outer.url)
    assert len(outer.heads) == 1
    assert inner.heads == []


async def test_a_redirect_to_an_allowed_host_is_followed_so_often() -> None:
    async with listening(answer(b"there")) as inner:
        away = answer(b"", f"location: {inner.url}/", status=307)
        async with (
            listening(away) as outer,
            outbound(settings("127.0.0.1"), redirects=1) as client,
        ):
            assert (await client.get(outer.url)).text == "there"
    async with (
        listening(answer(b"", "location: /again", status=302)) as place,
        outbound(settings("127.0.0.1"), redirects=2) as client,
    ):
        with pytest.raises(httpx.TooManyRedirects):
            await client.get(place.url)
    assert len(place.heads) == 3


async def test_a_long_answer_is_not_read_to_its_end() -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    async with (
        listening(endless) as place,
        outbound(settings("127.0.0.1", max_bytes=200_000)) as client,
    ):
        with pytest.raises(TooLarge, match="200,000 bytes"):
            await client.get(place.url)


async def test_an_answer_of_exactly_the_limit_is_read() -> None:
    async with listening(answer(b"x" * 1000)) as place:
        async with outbound(settings("127.0.0.1", max_bytes=1000)) as client:
            assert len((await client.get(place.url)).content) == 1000
        async with outbound(settings("127.0.0.1", max_bytes=999)) as client:
            with pytest.raises(TooLarge):
                await client.get(place.url)


async def test_a_compressed_answer_is_never_expanded() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 100_000
    async with (
        listening(answer(bomb, "content-encoding: gzip")) as place,
        outbound(settings("127.0.0.1")) as client,
    ):
        found = await client.get(place.url)
    assert found.content == bomb
    assert "content-encoding" not in found.headers
    assert found.extensions[ENCODING] == "gzip"


async def test_a_plain_answer_may_say_that_it_is_plain() -> None:
    async with (
        listening(answer(b"x", "content-encoding: identity")) as place,
        outbound(settings("127.0.0.1")) as client,
    ):
        assert ENCODING not in (await client.get(place.url)).extensions


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    await dripping(writer)


async def drip_the_head(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
    await dripping(writer)


async def dripping(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize("speak", [drip, drip_the_head, say_nothing])
async def test_a_slow_answer_is_given_up(speak: Speak) -> None:
    async with (
        listening(speak) as place,
        outbound(settings("127.0.0.1", timeout="1s")) as client,
    ):
        with pytest.raises(TooSlow):
            await client.get(place.url)


async def test_a_request_may_have_less_time_but_not_more() -> None:
    async with listening(say_nothing) as place:
        async with outbound(settings("127.0.0.1")) as client:
            with pytest.raises(TooSlow):
                await client.get(place.url, extensions={TOTAL: 1.0})
        async with outbound(settings("127.0.0.1", timeout="1s")) as client:
            with pytest.raises(TooSlow):
                await client.get(place.url, extensions={TOTAL: 60.0})


async def test_it_is_told_when_nothing_can_have_been_sent() -> None:
    async def never(_: str, __: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with outbound(settings("127.0.0.1", timeout="100ms"), resolve=never) as client:
        with pytest.raises(UnconnectedTooSlow):
            await client.get("http://slow.example/")
    assert issubclass(UnconnectedTooSlow, httpx.ConnectTimeout)


@pytest.mark.parametrize(
    ("bytes_", "kind"),
    [(b"", httpx.RemoteProtocolError), (b"not http\r\n\r\n", httpx.RemoteProtocolError),
     (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", httpx.RemoteProtocolError)],
)  # fmt: skip
async def test_broken_answers_are_errors_of_httpx(bytes_: bytes, kind: type[Exception]) -> None:
    async def broken(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes_)
        await writer.drain()

    async with listening(broken) as place, outbound(settings("127.0.0.1")) as client:
        with pytest.raises(kind):
            await client.get(place.url)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(answer(b"proxied")) as proxy, listening(answer(b"direct")) as place:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        async with outbound(settings("127.0.0.1")) as client:
            assert (await client.get(place.url)).text == "direct"
    assert proxy.heads == []


async def test_a_wrong_host_in_the_settings_is_told_at_once() -> None:
    with pytest.raises(InvalidOutbound, match="http://crm"):
        outbound(settings("http://crm"))


async def test_tls_keeps_the_name_although_an_address_is_connected_to(tmp_path: Path) -> None:
    serving, trusting = certificate(tmp_path, "crm.internal")
    seen: list[str | None] = []
    serving.sni_callback = lambda _, name, __: seen.append(name)
    resolve, _ = resolver("127.0.0.1")
    async with listening(answer(), ssl=serving) as place:
        allow = settings("crm.internal", "other.internal")
        async with outbound(allow, resolve=resolve, tls=trusting) as client:
            assert (await client.get(f"https://crm.internal:{place.port}/")).text == "hello"
            with pytest.raises(httpx.ConnectError, match="certificate"):
                await client.get(f"https://other.internal:{place.port}/")
    assert seen == ["crm.internal", "other.internal"]


def test_the_resolver_of_the_system_knows_loopback() -> None:
    from forestall.channels.outbound import system_resolver

    found = asyncio.run(system_resolver("127.0.0.1", 80))
    assert [ipaddress.ip_address(one) for one in found] == [ipaddress.ip_address("127.0.0.1")]


async def test_a_body_is_sent_whole_and_a_connection_is_used_again() -> None:
    bodies: list[bytes] = []
    connections = 0

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.split("content-length: ")[1].split("\r\n")[0])
                bodies.append(await reader.readexactly(length))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    resolve, asked = resolver("127.0.0.1")
    async with server, outbound(settings("crm.internal"), resolve=resolve) as client:
        for size in (1, 100_000):
            answered = await client.post(f"http://crm.internal:{port}/", content=b"x" * size)
            assert answered.status_code == 204
    assert [len(body) for body in bodies] == [1, 100_000]
    assert (connections, asked) == (1, ["crm.internal"])


async def test_many_requests_at_once_are_each_checked() -> None:
    async with (
        listening(answer()) as place,
        outbound(settings(f"127.0.0.1:{place.port}")) as client,
    ):
        hosts = ["127.0.0.1", "localhost"] * 10
        found = await asyncio.gather(
            *(client.get(f"http://{host}:{place.port}/") for host in hosts),
            return_exceptions=True,
        )
    kinds = [type(one) for one in found]
    assert kinds == [httpx.Response, BlockedAddress] * 10
    assert len(place.heads) == 10


async def test_a_request_that_is_given_up_leaves_room_for_others() -> None:
    async with (
        listening(say_nothing) as silent,
        listening(answer()) as place,
        outbound(settings("127.0.0.1")) as client,
    ):
        waiting = asyncio.create_task(client.get(silent.url))
        while not silent.heads:
            await asyncio.sleep(0.005)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await client.get(place.url)).status_code == 200


async def test_errors_name_the_host_and_never_the_address_with_its_query() -> None:
    async with outbound(settings()) as client:
        with pytest.raises(BlockedAddress) as caught:
            await client.get("http://127.0.0.1/path?token=secret-canary")
    assert "127.0.0.1" in str(caught.value)
    assert "canary" not in str(caught.value)
    async with (
        listening(say_nothing) as place,
        outbound(settings("127.0.0.1", timeout="1s")) as client,
    ):
        with pytest.raises(TooSlow) as slow:
            await client.get(f"{place.url}/path?token=secret-canary")
    assert "canary" not in str(slow.value)
