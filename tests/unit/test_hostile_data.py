"""Data that JSON allows and nobody sends: it never stops deciding."""

import pytest
from msgspec import Raw

from forestall.contracts.event import decode_data
from scenario import decide, on, told

HOSTILE = {
    "a number beyond doubles": b'{"k": 1e999}',
    "an integer beyond 64 bits": b'{"k": 123456789012345678901234567890}',
    "an integer beyond reason": b'{"k": ' + b"1" * 5000 + b"}",
    "an array": b"[1]",
    "a text": b'"k"',
    "null": b"null",
    "a huge key": b'{"k": [' + b"1," * 200_000 + b"1]}",
    "deep nesting": b'{"k": ' + b"[" * 200 + b"]" * 200 + b"}",
    "a lone NUL": b'{"k": "\\u0000"}',
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_data_is_survived(data: bytes) -> None:
    policies = [
        on("{sequence: [{event: a, times: 2}], by: event.data.k}", "keyed"),
        on(
            '{event: "*"}',
            "many",
            features={
                "s": {"sum": "event.data.k", "of": "a", "over": "1h"},
                "d": {"distinct": "event.data.k", "of": "a", "over": "1h"},
                "l": {"last": "event.data.k", "of": "a"},
                "p": {"p50": "event.data.k", "of": "a", "over": "1h"},
            },
        ),
    ]
    lines = [
        b'{"id": "%d", "source": "s", "type": "a", "subject": "u", "time": '
        b'"2024-05-01T12:00:00Z", "data": %s}' % (number, data)
        for number in range(3)
    ]
    assert "0 many intervene" in told(decide(policies, lines))


def test_what_cannot_be_read_is_empty() -> None:
    assert decode_data(Raw(b"\xff")) == {}
    assert decode_data(Raw(b"null")) == {}
    assert decode_data(Raw(b'{"a": 1.0}')) == {"a": 1.0}
