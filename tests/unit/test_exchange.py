"""Bodies within limits, and problems after RFC 9457."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.ingest.exchange import DRAINED, Gone, Refuse, Request, Response, problem, respond


def request(*parts: bytes, hangs: bool = False, **headers: str) -> tuple[Request, list[int]]:
    """A request whose body comes in ``parts``; the list says how many were asked for."""
    asked: list[int] = []
    messages: Iterator[dict[str, Any]] = iter(
        {"type": "http.request", "body": part, "more_body": n < len(parts) - 1}
        for n, part in enumerate(parts)
    )

    async def receive() -> dict[str, Any]:
        asked.append(1)
        if hangs:
            await asyncio.Event().wait()
        return next(messages, {"type": "http.disconnect"})

    scope = {
        "method": "POST",
        "path": "/",
        "query_string": b"a=1&b=%20",
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
    }
    return Request(scope, receive, patience=0.05), asked


def body(given: tuple[Request, list[int]], limit: int = 100) -> bytes:
    return asyncio.run(given[0].body(limit))


def refused(given: tuple[Request, list[int]], limit: int = 100) -> tuple[int, str]:
    with pytest.raises(Refuse) as caught:
        body(given, limit)
    return caught.value.status, caught.value.code


@given(st.lists(st.binary(max_size=20), min_size=1), st.booleans())
def test_a_body_is_put_together_and_unpacked(parts: list[bytes], packed: bool) -> None:
    plain = b"".join(parts)
    if packed:
        whole = gzip.compress(plain)
        given = request(whole[:5], whole[5:], content_encoding="gzip")
    else:
        given = request(*parts)
    limit = max(len(plain), len(gzip.compress(plain)))
    assert body(given, limit) == plain


def test_limits_hold_packed_unpacked_and_announced() -> None:
    assert body(request(b"x" * 100)) == b"x" * 100
    assert refused(request(b"x" * 101)) == (413, "body-too-large")
    assert refused(request(b"x" * 60, b"x" * 60)) == (413, "body-too-large")
    bomb = gzip.compress(b"x" * 5_000)
    assert len(bomb) < 100
    assert refused(request(bomb, content_encoding="gzip")) == (413, "body-too-large")


def test_what_is_announced_too_large_is_drained_only_within_reason() -> None:
    some = request(b"x" * 90, b"x" * 90, content_length="180")
    assert refused(some) == (413, "body-too-large")
    assert len(some[1]) == 2
    endless = request(b"x", content_length=str(DRAINED + 1))
    assert refused(endless) == (413, "body-too-large")
    assert endless[1] == []
    asking = request(b"x", content_length="180", expect="100-continue")
    assert refused(asking) == (413, "body-too-large")
    assert asking[1] == []


def test_bodies_that_never_come() -> None:
    assert refused(request(b"x", hangs=True)) == (408, "body-timeout")
    with pytest.raises(Gone):
        body(request())


@pytest.mark.parametrize(
    ("encoding", "raw", "told"),
    [
        ("br", b"", (415, "unknown-encoding")),
        ("gzip", b"plain", (400, "invalid-gzip")),
        ("gzip", gzip.compress(b"x", mtime=0)[:-9], (400, "invalid-gzip")),
        ("x-gzip", b"", (400, "invalid-gzip")),
    ],
)
def test_packing_that_cannot_be_undone(encoding: str, raw: bytes, told: tuple[int, str]) -> None:
    assert refused(request(raw, content_encoding=encoding)) == told


def test_a_problem_says_what_and_repeats_it_for_segments_libraries() -> None:
    answer = problem(Refuse(429, "overloaded", "wait", {"retry-after": "1"}))
    assert answer.content_type == "application/problem+json"
    assert answer.headers == {"retry-after": "1"}
    told = json.loads(answer.body)
    assert told.pop("type").endswith("overloaded")
    assert told == {
        "title": "Too Many Requests",
        "status": 429,
        "detail": "wait",
        "code": "overloaded",
        "message": "wait",
    }


def test_a_response_names_its_length() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(respond(send, Response(200, b"abc"), {"X-A": "1"}))
    assert (b"content-length", b"3") in sent[0]["headers"]
    assert (b"x-a", b"1") in sent[0]["headers"]
    assert sent[1]["body"] == b"abc"


def test_headers_and_query_are_read() -> None:
    given, _ = request(content_type="Application/JSON; charset=utf-8")
    assert given.media_type == "application/json"
    assert given.query == {"a": "1", "b": " "}
