"""When a client sends and what an answer does to its queue, on a clock of the test's own."""

import json
import sys
from collections.abc import Sequence

import pytest

from forestall.client.answers import LONGEST_WAIT, Reply
from forestall.client.events import Item
from forestall.client.options import Options
from forestall.client.outbox import Outbox, body_of

PROBLEM = "application/problem+json"
NOON = 1_772_366_400_000_000
"""2026-03-01T12:00:00Z."""


def box(chance: float = 0.0, **changed: float) -> Outbox:
    return Outbox(Options(**changed), lambda: chance)  # type: ignore[arg-type]


def filled(outbox: Outbox, many: int, now: float = 0.0, size: int = 10) -> Outbox:
    for number in range(many):
        assert outbox.put(Item(f"e{number}", b"x" * size), now)
    return outbox


def accepted(items: Sequence[Item]) -> Reply:
    verdicts = [{"id": item.id, "verdict": "accepted"} for item in items]
    return Reply(202, json.dumps({"verdicts": verdicts}).encode())


def problem(status: int, retry_after: str | None = None) -> Reply:
    return Reply(status, b'{"code": "a-code", "detail": "why"}', PROBLEM, retry_after)


def fail(outbox: Outbox, reply: Reply, now: float) -> float | None:
    """Send what is next, and be answered so; how long to wait then."""
    outbox.settle(outbox.batch(), reply, now, NOON)
    return outbox.wait(now)


def test_a_batch_lingers_until_it_is_full_or_flushed() -> None:
    outbox = box(batch_events=3, linger=0.5)
    assert outbox.wait(0.0) is None
    filled(outbox, 2, now=10.0)
    assert outbox.wait(10.0) == 0.5
    assert outbox.wait(10.4) == pytest.approx(0.1)
    assert outbox.wait(11.0) == 0.0
    assert outbox.put(Item("e2", b"x"), 10.0)
    assert outbox.wait(10.0) == 0.0
    outbox = filled(box(batch_bytes=100), 10)
    assert outbox.wait(0.0) == 0.0
    outbox = filled(box(), 1)
    assert outbox.flush() == 1
    assert outbox.wait(0.0) == 0.0


def test_what_comes_after_a_flush_lingers() -> None:
    outbox = filled(box(), 1)
    outbox.flush()
    outbox.settle(outbox.batch(), accepted(outbox.batch()), 0.0, NOON)
    filled(outbox, 1)
    assert outbox.wait(0.0) == 0.5


def test_a_body_never_passes_its_limit_but_for_one_large_event() -> None:
    outbox = filled(box(batch_bytes=1000), 30, size=99)
    assert len(body_of(outbox.batch())) <= 1000
    assert len(outbox.batch()) == 9
    assert len(filled(box(batch_bytes=10), 3, size=99).batch()) == 1


def test_a_full_queue_lingers_no_longer() -> None:
    outbox = filled(box(queue_events=3), 3)
    assert outbox.wait(0.0) == 0.5
    assert not outbox.put(Item("more", b""), 0.0)
    assert outbox.wait(0.0) == 0.0


def test_the_wait_grows_by_full_jitter_up_to_its_ceiling() -> None:
    outbox = filled(box(1.0, backoff=0.5, backoff_max=4.0), 1)
    waits = [fail(outbox, Reply(0, failure="ConnectError"), 0.0) for _ in range(6)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    half = filled(box(0.5, linger=0.0), 1)
    assert fail(half, problem(503), 0.0) == 0.25
    many = filled(box(1.0), 1)
    for _ in range(2000):
        wait = fail(many, Reply(0, failure="ConnectError"), 0.0)
    assert wait == 60.0


def test_a_success_forgets_the_failures() -> None:
    outbox = filled(box(1.0, linger=0.0), 1)
    for _ in range(5):
        fail(outbox, problem(503), 0.0)
    outbox.settle(outbox.batch(), accepted(outbox.batch()), 0.0, NOON)
    filled(outbox, 1)
    assert outbox.wait(0.0) == 0.0
    assert fail(outbox, problem(503), 0.0) == 0.5


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("Sun, 01 Mar 2026 12:01:30 GMT", 90.0),
        ("Sun, 01 Mar 2026 12:01:30 -0000", 90.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("99999999999", LONGEST_WAIT),
        ("9" * 400, LONGEST_WAIT),
        ("Sun, 01 Mar 2099 12:01:30 GMT", LONGEST_WAIT),
    ],
)
@pytest.mark.parametrize("status", [429, 503, 502])
def test_retry_after_is_heeded_also_when_flushing(status: int, said: str, seconds: float) -> None:
    outbox = filled(box(0.0), 1)
    outbox.flush()
    reply = problem(status, said) if status != 502 else Reply(502, b"", "text/html", said)
    assert fail(outbox, reply, 100.0) == seconds


@pytest.mark.parametrize("said", ["", "soon", "-5", "1e400", "Sun, 99 Mar 2026", "٣"])
def test_a_retry_after_that_means_nothing_is_not_one(said: str) -> None:
    outbox = filled(box(1.0), 1)
    assert (fail(outbox, problem(429, said), 0.0) or 0.0) <= 3.5


def test_after_a_retry_after_clients_do_not_come_all_at_once() -> None:
    outbox = filled(box(1.0, backoff=0.5), 1)
    assert fail(outbox, problem(429, "7"), 0.0) == 7.5


def test_too_large_a_batch_is_halved_and_grows_again() -> None:
    outbox = filled(box(batch_events=8), 16)
    sizes = []
    replies = [problem(413), problem(413)]
    while outbox:
        batch = outbox.batch()
        sizes.append(len(batch))
        outbox.settle(batch, replies.pop(0) if replies else accepted(batch), 0.0, NOON)
    assert sizes == [8, 4, 2, 4, 8, 2]
    assert outbox.counts().accepted == 16
    assert outbox.counts().retries == 2


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_one_event_that_cannot_be_taken_is_told_and_forgotten(status: int) -> None:
    outbox = filled(box(), 1)
    (told,) = outbox.settle(outbox.batch(), problem(status), 0.0, NOON)
    assert (told.code, told.reason, told.events) == ("refused", "a-code", ("e0",))
    assert not outbox
    assert outbox.counts().refused == 1


@pytest.mark.parametrize(
    "reply",
    [
        *(problem(status) for status in (401, 403, 404, 405, 408, 429, 500, 501, 503, 507)),
        *(Reply(status, b"<html>", "text/html") for status in (200, 302, 400, 404, 413, 502)),
        Reply(400, b"not json", PROBLEM),
        Reply(413, b"[" * 100_000, PROBLEM),
        Reply(202, b""),
        Reply(202, b"\xff"),
        Reply(202, b'{"verdicts": []}'),
        Reply(202, b'{"verdicts": [{"id": "other", "verdict": "accepted"}]}'),
        Reply(202, b'{"verdicts": [{"verdict": "accepted"}]}'),
        Reply(202, b'{"verdicts": [{"id": "e0", "verdict": "eaten"}]}'),
        Reply(0, failure="ReadTimeout"),
    ],
    ids=lambda reply: f"{reply.status}-{reply.body[:30]!r}",
)
def test_nothing_else_ends_an_event(reply: Reply) -> None:
    outbox = filled(box(), 1)
    (told,) = outbox.settle(outbox.batch(), reply, 0.0, NOON)
    assert told.code == "waiting"
    assert [item.id for item in outbox.batch()] == ["e0"]
    assert outbox.settle(outbox.batch(), reply, 0.0, NOON) == []


def test_each_verdict_counts() -> None:
    outbox = filled(box(), 5)
    body = {
        "verdicts": [
            {"id": "e0", "verdict": "accepted"},
            {"id": "e1", "verdict": "late"},
            {"id": "e2", "verdict": "duplicate"},
            {"id": "e3", "verdict": "quarantined", "code": "c", "path": "/p", "message": "m"},
            {"id": None, "verdict": "quarantined", "code": "event-too-large"},
        ]
    }
    told = outbox.settle(outbox.batch(), Reply(202, json.dumps(body).encode()), 0.0, NOON)
    counts = outbox.counts()
    assert (counts.accepted, counts.duplicate, counts.quarantined) == (2, 1, 2)
    assert [(one.events, one.reason, one.message) for one in told] == [
        (("e3",), "c", "/p: m"),
        (("e4",), "event-too-large", ""),
    ]


def test_what_is_too_old_is_given_up_and_the_rest_goes_on() -> None:
    outbox = box(give_up=100.0)
    filled(outbox, 2, now=0.0)
    assert outbox.put(Item("young", b"x"), 90.0)
    assert [one.code for one in outbox.settle(outbox.batch(), problem(503), 50.0, NOON)] == [
        "waiting"
    ]
    (told,) = outbox.settle(outbox.batch(), problem(503), 120.0, NOON)
    assert (told.code, told.events) == ("given-up", ("e0", "e1"))
    assert [item.id for item in outbox.batch()] == ["young"]
    assert outbox.counts().given_up == 2


def test_the_bytes_held_are_the_bytes_counted() -> None:
    outbox = box(queue_bytes=10_000)
    for _ in range(5):
        while outbox.put(Item("e", b"x" * 100), 0.0):
            pass
        assert len(outbox) == 100
        batch = outbox.batch()
        outbox.settle(batch, accepted(batch), 0.0, NOON)
        outbox.abandon()
    held = filled(box(queue_events=100_000, queue_bytes=10**9), 10_000, size=400)
    size = sum(sys.getsizeof(one) + sys.getsizeof(one.body) for one in held.batch())
    assert size / len(held.batch()) < 600


def test_the_reserve_for_opt_outs_has_an_end_too() -> None:
    outbox = filled(box(queue_events=50), 50)
    taken = 0
    while outbox.put(Item("out", b"x", essential=True), 0.0):
        taken += 1
    assert taken == 5


def test_an_item_does_not_show_what_it_says() -> None:
    assert "secret" not in repr(Item("e1", b"secret"))
