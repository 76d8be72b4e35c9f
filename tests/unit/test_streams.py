from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    PolicyInForce,
    ServiceState,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.contracts.decision import Decided, Decision
from forestall.contracts.event import Record, decode_data
from forestall.log import streams
from forestall.log.memory import MemoryLog
from forestall.log.port import Append, Batch

_texts = st.text(max_size=12)
_times = st.integers(-(2**53), 2**53)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_data = st.dictionaries(_texts, _json, max_size=3)
_records = st.builds(
    Record,
    id=_texts,
    source=_texts,
    type=_texts,
    subject=_texts,
    time=_times,
    received=_times,
    origin=st.sampled_from(["browser", "server"]),
    data=_data.map(lambda data: msgspec.Raw(msgspec.json.encode(data))),
    traceparent=st.none() | _texts,
)


def record(id_: str, received: int, subject: str = "p-1") -> Record:
    return Record(id_, "https://shop.example", "cart.viewed", subject, received, received)


def decided(id_: str, noticed: int, **more: Any) -> Decided:
    facts: dict[str, Any] = {
        "policy": "card-declined",
        "version": "v" * 64,
        "mode": "live",
        "subject": "p-1",
        "key": None,
        "at": "2024-05-01T12:00:00.000000Z",
        "outcome": "suppress",
        "reason": "cooldown",
        "matched": ("e-1", "e-2"),
        "features": {"declines": 2, "last": None, "paths": ["a"]},
        "explanation": "Waiting.",
    }
    return Decided(3, 5, noticed, Decision(id=id_, **facts | more))


CONTROLS: list[Control] = [
    PoliciesApplied(
        10,
        (PolicyInForce("p", "v", msgspec.Raw(b'{"a":1}'), "canary", 0.05),),
        {"order.placed": {"amount": True, "lines": {"*": {"price": True}}}},
        "anna",
        "first",
    ),
    SettingsApplied(11, DecideSettings(quiet_hours=(1320, 480), timezone="Europe/Zurich"), "b", ""),
    SwitchesApplied(12, ("p",), False, "c", "too chatty"),
    ServiceState(13, "payments", {"state": "degraded", "since": 5}),
]


def kept(append: Append) -> Batch:
    """The batch that a log makes of it."""
    log = MemoryLog()
    log.commit([append])
    return log.read(append.stream)[0]


@given(st.lists(_records, min_size=1, max_size=5))
def test_signals_come_back_as_they_were(records: list[Record]) -> None:
    append = streams.signals(records)
    batch = Batch(1, append.received, append.count, append.payload)
    assert streams.read_signals(batch) == records
    assert [decode_data(one.data) for one in streams.read_signals(batch)] == [
        decode_data(one.data) for one in records
    ]
    assert append.count == len(append.subjects) == len(records)


def test_a_signals_batch_is_as_late_as_its_last_record_and_indexed() -> None:
    batch = streams.signals([record("1", 5), record("2", 7, "p-2"), record("2", 9, "p-2")])
    assert (batch.stream, batch.received, batch.count) == ("signals", 9, 3)
    assert batch.subjects[0][0] == "p-1"
    assert batch.subjects[1] == batch.subjects[2] != batch.subjects[0]


def test_the_same_id_from_another_source_is_another_event() -> None:
    here = record("1", 5)
    there = msgspec.structs.replace(here, source="https://other.example")
    (_, one), (_, other) = streams.signals([here, there]).subjects
    assert one != other


def test_decisions_come_back_with_their_place() -> None:
    made = [
        decided("d-1", 8),
        decided("d-2", 9, outcome="intervene", reason=None, key="k", traceparent="00-a-b-01"),
    ]
    append = streams.decisions(made)
    assert (append.stream, append.received, append.count) == ("decisions", 9, 2)
    assert append.subjects == [("p-1", "d-1"), ("p-1", "d-2")]
    assert streams.read_decisions(kept(append)) == made


def test_control_records_come_back_each_as_its_kind() -> None:
    append = streams.control(CONTROLS)
    assert (append.stream, append.received, append.count) == ("control", 13, 4)
    assert list(append.subjects) == []
    read = streams.read_control(kept(append))
    assert [type(one) for one in read] == [type(one) for one in CONTROLS]
    assert streams.encode(read) == streams.encode(CONTROLS)


def test_data_stays_text_until_somebody_needs_it() -> None:
    precise = msgspec.structs.replace(record("1", 5), data=msgspec.Raw(b'{"n":1.50}'))
    batch = kept(streams.signals([precise]))
    assert bytes(streams.read_signals(batch)[0].data) == b'{"n":1.50}'


@pytest.mark.parametrize(
    "read", [streams.read_signals, streams.read_decisions, streams.read_control]
)
def test_a_payload_of_another_kind_is_no_batch(read: Callable[[Batch], Sequence[object]]) -> None:
    with pytest.raises(msgspec.DecodeError):
        read(Batch(1, 1, 1, b'[{"kind":"unheard-of"}]'))
