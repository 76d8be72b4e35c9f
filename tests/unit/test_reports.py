"""Reports: their identity, and the outbox that loses none of them."""

import asyncio
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.catalogue import load_catalogue
from forestall.contracts.decision import Decision
from forestall.contracts.event import CloudEvent
from forestall.ingest.admit import Rules, admit
from forestall.ingest.letter import Admitted, Letter, Sender
from forestall.intervene.reports import AT_ONCE, Reporter, report_event
from forestall.intervene.store import Store
from forestall.intervene.telling import tellable
from forestall.privacy.keys import Keys

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
AT = 1_700_000_000_000_000
DECISION = Decision(
    id="d1",
    policy="p",
    version="v",
    mode="live",
    subject="s1",
    key=None,
    at="2023-11-14T22:13:20.000000Z",
    outcome="intervene",
    reason=None,
    matched=("e1",),
    features={},
    explanation="Because.",
    traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
)


class Gateway:
    """An ASGI app that gives each request the next of its answers, then takes everything."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[dict[str, str], list[CloudEvent]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        events = msgspec.json.decode(body, type=list[CloudEvent])
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append((headers, events))
        accepted = {"verdicts": [{"id": event.id, "verdict": "accepted"} for event in events]}
        status, answer = self.answers.pop(0) if self.answers else (202, accepted)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": msgspec.json.encode(answer)})


def outbox(folder: Path, count: int) -> Store:
    store = Store(folder / "app.db")
    for step in range(1, count + 1):
        store.report(report_event(DECISION, "s1", "expired", AT, step, "undelivered"))
    return store


def reporter(store: Store, gateway: Gateway) -> Reporter:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(gateway))
    return Reporter(store, client, "http://gateway/", "the-key")


def test_a_report_is_an_event_of_the_subject_at_the_time_of_its_cause() -> None:
    event = report_event(DECISION, "s1", "expired", AT, 2, "undelivered")
    assert msgspec.json.decode(msgspec.json.encode(event)) == {
        "id": event.id,
        "source": "/forestall/intervene",
        "type": "forestall.intervention.expired",
        "subject": "s1",
        "time": "2023-11-14T22:13:20.000000Z",
        "datacontenttype": "application/json",
        "traceparent": DECISION.traceparent,
        "data": {
            "intervention": "d1",
            "policy": "p",
            "version": "v",
            "step": 2,
            "reason": "undelivered",
        },
    }


def test_its_id_is_that_of_the_intervention_the_word_and_the_step() -> None:
    same = (
        report_event(DECISION, "s1", "shown", AT, 1),
        report_event(DECISION, "s1", "shown", AT + 5, 1),
    )
    other = (
        report_event(DECISION, "s1", "shown", AT, 2),
        report_event(DECISION, "s1", "started", AT),
    )
    assert same[0].id == same[1].id
    assert len({event.id for event in (*same, *other)}) == 3


def test_what_has_no_step_or_reason_leaves_it_out() -> None:
    data = report_event(DECISION, "s1", "started", AT).data
    assert isinstance(data, msgspec.Raw)
    assert set(msgspec.json.decode(data)) == {"intervention", "policy", "version"}


def test_they_are_sent_in_order_in_batches_with_our_key(tmp_path: Path) -> None:
    store, gateway = outbox(tmp_path, AT_ONCE + 1), Gateway()
    sender = reporter(store, gateway)

    async def main() -> None:
        assert await sender.send()
        assert await sender.send()
        assert await sender.send()

    asyncio.run(main())
    assert [len(events) for _, events in gateway.requests] == [AT_ONCE, 1]
    headers = gateway.requests[0][0]
    assert headers["authorization"] == "Bearer the-key"
    assert headers["content-type"] == "application/cloudevents-batch+json"
    steps = [
        msgspec.json.decode(event.data)["step"]
        for _, events in gateway.requests
        for event in events
        if isinstance(event.data, msgspec.Raw)
    ]
    assert steps == list(range(1, AT_ONCE + 2))
    assert store.reports() == []


@pytest.mark.parametrize(
    "answer",
    [
        (503, {}),
        (429, {}),
        (401, {}),
        (202, {"verdicts": []}),
        (202, {"no": "verdicts"}),
        (202, "nonsense"),
    ],
)
def test_what_the_gateway_did_not_take_waits(tmp_path: Path, answer: Any) -> None:
    store, gateway = outbox(tmp_path, 1), Gateway(answer)
    sender = reporter(store, gateway)

    async def main() -> None:
        assert not await sender.send()
        assert len(store.reports()) == 1
        assert await sender.send()

    asyncio.run(main())
    assert store.reports() == []
    assert gateway.requests[0][1] == gateway.requests[1][1]


def test_what_is_too_long_for_one_request_goes_in_several(tmp_path: Path) -> None:
    store, gateway = outbox(tmp_path, 10), Gateway((413, {}), (413, {}))
    sender = reporter(store, gateway)

    async def main() -> None:
        while store.reports():
            assert await sender.send()

    asyncio.run(main())
    assert [len(events) for _, events in gateway.requests] == [10, 5, 2, 4, 4]
    sent = [event.id for _, events in gateway.requests[2:] for event in events]
    assert sent == [report_event(DECISION, "s1", "expired", AT, n + 1).id for n in range(10)]


def test_one_report_that_is_too_long_is_no_reason_to_ask_again_at_once(tmp_path: Path) -> None:
    store, gateway = outbox(tmp_path, 1), Gateway((413, {}))
    assert not asyncio.run(reporter(store, gateway).send())
    assert len(gateway.requests) == 1


def test_fields_that_no_event_can_carry_are_told_as_null() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    given = {"brand": "V", "nul": "a\x00b", "big": 2**63, "deep": deep, "key": {"\x00": 1}}
    long = {"first": "x" * 20_000, "second": "y" * 15_000, "third": "z"}
    assert tellable(given) == {"brand": "V", "nul": None, "big": None, "deep": None, "key": None}
    assert tellable(long) == {"first": None, "second": "y" * 15_000, "third": "z"}
    assert tellable({"a": [1, {"b": 2**63 - 1}], "c": -(2**63)}) == {
        "a": [1, {"b": 2**63 - 1}],
        "c": -(2**63),
    }


@given(st.dictionaries(st.sampled_from(["brand", "receipt", "answer"]), JSON))
def test_the_gateway_takes_every_report_of_fields(fields: dict[str, Any]) -> None:
    event = report_event(DECISION, "s1", "filled", AT, 1, fields=fields)
    letter = Letter(msgspec.json.encode(event), Sender("forestall", "server", internal=True), AT)
    found = admit(letter, Rules(load_catalogue(), Keys(b"m" * 32).token, strict=False))
    assert isinstance(found, Admitted), found


def test_a_gateway_that_is_away_is_no_error(tmp_path: Path) -> None:
    store = outbox(tmp_path, 1)

    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            assert not await Reporter(store, client, "http://127.0.0.1:9", "k").send()

    asyncio.run(main())
    assert len(store.reports()) == 1


@pytest.mark.parametrize("verdict", ["accepted", "duplicate", "late", "quarantined"])
def test_any_verdict_ends_the_waiting(tmp_path: Path, verdict: str) -> None:
    store = outbox(tmp_path, 1)
    gateway = Gateway((202, {"verdicts": [{"verdict": verdict, "code": "x"}]}))
    assert asyncio.run(reporter(store, gateway).send())
    assert store.reports() == []


def test_it_runs_until_stopped_and_sends_the_rest_then(tmp_path: Path) -> None:
    store, gateway = outbox(tmp_path, 3), Gateway((503, {}))
    sender = reporter(store, gateway)

    async def main() -> None:
        stopping = asyncio.Event()
        running = asyncio.create_task(sender.run(stopping))
        while store.reports():
            await asyncio.sleep(0.005)
        stopping.set()
        store.report(report_event(DECISION, "s1", "started", AT))
        await running

    asyncio.run(main())
    assert store.reports() == []
    assert len(gateway.requests) == 3


def test_a_full_disk_does_not_end_reporting(tmp_path: Path) -> None:
    outbox(tmp_path, 0).close()

    class Full(Store):
        full = True

        def reported(self, numbers: Iterable[int]) -> None:
            if self.full:
                self.full = False
                raise sqlite3.OperationalError("database or disk is full")
            super().reported(numbers)

    store, gateway = Full(tmp_path / "app.db"), Gateway()
    store.report(report_event(DECISION, "s1", "started", AT))
    sender = reporter(store, gateway)

    async def main() -> None:
        stopping = asyncio.Event()
        running = asyncio.create_task(sender.run(stopping))
        while store.reports() and not running.done():
            await asyncio.sleep(0.005)
        stopping.set()
        await running

    asyncio.run(main())
    assert store.reports() == []
    first, second = (events[0].id for _, events in gateway.requests)
    assert first == second, "the gateway knows it by its id"


def test_a_report_waiting_already_is_queued_once(tmp_path: Path) -> None:
    store = outbox(tmp_path, 2)
    store.report(report_event(DECISION, "s1", "expired", AT, 1, "undelivered"))
    assert len(store.reports()) == 2
