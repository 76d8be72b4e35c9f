"""Whatever a server does, in whatever order: nothing is lost, nothing doubled, order is kept."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.client import Client, Options, Trouble
from forestall.client.answers import Reply
from forestall.client.events import Item
from forestall.client.outbox import Outbox, body_of
from hostile import PAGES, QUICK, hostile

NOON = 1_772_366_400_000_000
PROBLEM = "application/problem+json"
PUT, SEND = "put", "send"

ways = st.sampled_from(["ok", "lost", "413", "429", "503", "html", "partly", "wrong"])
moves = st.lists(st.tuples(st.sampled_from([PUT, PUT, SEND]), ways, st.booleans()), max_size=80)


class Gateway:
    """A gateway as a function: what it took, each id once."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def answer(self, way: str, ids: list[str]) -> Reply:
        if way in ("ok", "lost", "partly"):
            some = ids[: len(ids) // 2] if way == "partly" else ids
            verdicts = [{"id": one, "verdict": self.take(one)} for one in some]
            if way == "ok":
                return Reply(202, json.dumps({"verdicts": verdicts}).encode())
            return Reply(0, failure="ReadError") if way == "lost" else self.problem(429)
        if way == "413":
            return self.answer("ok", ids) if len(ids) == 1 else self.problem(413)
        if way == "wrong":
            return Reply(202, b'{"verdicts": []}')
        return Reply(200, b"<html>", "text/html") if way == "html" else self.problem(int(way))

    def take(self, id_: str) -> str:
        if id_ in self.taken:
            return "duplicate"
        self.taken.append(id_)
        return "accepted"

    @staticmethod
    def problem(status: int) -> Reply:
        return Reply(status, b'{"code": "c"}', PROBLEM, "1")


@given(moves, st.integers(1, 7), st.integers(1, 20), st.floats(0, 1))
@settings(max_examples=300, deadline=None)
def test_the_queue_against_any_server(
    steps: list[tuple[str, str, bool]], batch: int, room: int, chance: float
) -> None:
    options = Options(queue_events=room, batch_events=batch, batch_bytes=60)
    outbox, gateway, now, put = Outbox(options, lambda: chance), Gateway(), 0.0, []
    troubles: list[Trouble] = []

    def send(way: str) -> None:
        items = outbox.batch()
        assert len(body_of(items)) <= 60 or len(items) == 1
        reply = gateway.answer(way, [item.id for item in items])
        troubles.extend(outbox.settle(items, reply, now, NOON))

    for number, (move, way, long) in enumerate(steps):
        now += 0.1
        if move == PUT:
            item = Item(f"e{number}", b"x" * (40 if long else 5))
            if outbox.put(item, now):
                put.append(item.id)
        elif outbox.wait(now) is not None:
            send(way)
        assert len(outbox) <= room
    while (wait := outbox.wait(now)) is not None:
        now += wait
        send("ok")
    assert gateway.taken == put
    counts = outbox.counts()
    assert counts.taken == len(put) == counts.accepted + counts.duplicate
    assert {one.code for one in troubles} <= {"waiting"}


script = st.lists(st.sampled_from([*QUICK, *PAGES]), max_size=8)
calls = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=25)


@given(script, calls, st.integers(1, 6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_client_against_a_hostile_server(
    behaviours: list[str], said: list[tuple[int, bool]], batch: int, packed: bool
) -> None:
    options = Options(
        batch_events=batch, linger=0.001, backoff=0.0, timeout=5.0, exit_for=60.0, gzip=packed
    )
    told: list[Any] = []
    with hostile(behaviours) as server:
        server.quarantine = lambda event: bool(event["data"].get("bad"))
        with Client(server.base, "k", options, on_error=told.append) as client:
            for number, (who, bad) in enumerate(said):
                client.track(f"u{who}", "Read", {"bad": bad}, event_id=f"e{number}")
            assert client.flush()
            counts = client.counts
        good = [f"e{number}" for number, (_, bad) in enumerate(said) if not bad]
        assert server.ids == good
    refused = [f"e{number}" for number, (_, bad) in enumerate(said) if bad]
    assert [one.events[0] for one in told if one.code == "quarantined"] == refused
    assert counts.accepted + counts.duplicate == len(good)
    assert counts.quarantined == len(refused)
    assert counts.taken == len(said)
