"""Splitting a body: by the parser where it can, by hand where events are nested too deep."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.ingest.exchange import Refuse
from forestall.ingest.sources.cloudevents import from_headers
from forestall.ingest.splitting import _cut, calls, count, events, is_batch

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(values), st.sampled_from([None, 1]))
def test_cutting_by_hand_agrees_with_the_parser(batch: list[Any], indent: int | None) -> None:
    body = json.dumps(batch, indent=indent).encode()
    assert [json.loads(one) for one in _cut(b" \n" + body)] == batch
    media_type = "application/cloudevents-batch+json"
    assert [json.loads(one) for one in events(body, media_type, {})] == batch


@given(st.dictionaries(st.text(), values))
def test_members_of_an_object_are_cut_alike(members: dict[str, Any]) -> None:
    found = [json.loads(b"{" + one + b"}") for one in _cut(json.dumps(members).encode())]
    assert found == [{key: value} for key, value in members.items()]


def test_a_body_that_is_cut_off_is_refused() -> None:
    for body in (b"[" * 9000, b'[{"a":"]}', b"[[1,2]"):
        with pytest.raises(Refuse):
            _cut(body)


def test_what_stands_about_deep_calls_is_found() -> None:
    deep = b"[" * 3000 + b"]" * 3000
    body = (
        b'{"context":' + deep + b', "sentAt" : "now", "batch" :[' + deep + b', 7], "writeKey":"k"}'
    )
    messages, about = calls(body, batched=True)
    assert messages == [deep, b"7"]
    assert (about.sent_at, about.write_key) == ("now", "k")
    single = b'{"context":' + deep + b"}"
    assert calls(single, batched=False)[0] == [single]
    for wrong in (b'{"context":' + deep + b"}", b'{"sentAt":7,"batch":[' + deep + b"]}"):
        with pytest.raises(Refuse):
            calls(wrong, batched=True)


@pytest.mark.parametrize("deep", [b"", b"[" * 3000 + b"]" * 3000])
def test_a_request_that_is_not_utf_8_is_told_in_our_words(deep: bytes) -> None:
    body = b'{"sentAt":"\xe4","batch":[' + deep + b"]}"
    with pytest.raises(Refuse) as refused:
        calls(body, batched=True)
    assert (refused.value.status, refused.value.code) == (400, "invalid-json")
    assert refused.value.detail == (
        "the body is not JSON: byte 11 (0xE4) is not UTF-8; encode it as UTF-8"
    )


def test_binary_mode_is_structured_mode_by_other_means() -> None:
    headers = {"ce-id": "1", "ce-source": "a%20b", "content-type": "application/json", "host": "x"}
    whole = from_headers(headers, b'{"n": 1}')
    assert json.loads(whole or b"") == {
        "id": "1",
        "source": "a b",
        "datacontenttype": "application/json",
        "data": {"n": 1},
    }
    assert from_headers({"host": "x"}, b"{}") is None
    assert json.loads(from_headers({"ce-id": "1", "ce-data": "forged"}, b"") or b"") == {"id": "1"}


@pytest.mark.parametrize(
    ("body", "media_type", "headers", "batch"),
    [
        (b"[]", "application/json", {}, True),
        (b" []", "application/json", {}, False),
        (b"{}", "application/json", {}, False),
        (b"[]", "application/json", {"ce-id": "1"}, False),
        (b"{}", "application/cloudevents-batch+json", {}, True),
        (b"[]", "application/cloudevents+json", {}, False),
        (b"[]", "text/plain", {}, False),
    ],
)
def test_what_says_it_is_a_batch(
    body: bytes, media_type: str, headers: dict[str, str], batch: bool
) -> None:
    assert is_batch(body, media_type, headers) is batch


def test_a_batch_is_counted_however_deep_and_refused_where_it_is_none() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    assert count(b"[]") == 0
    assert count(b'[{"a":"]"}, 7]') == 2
    assert count(b"[1," + deep + b"]") == 2
    for wrong, code in (
        (b"{}", "invalid-envelope"),
        (b"[1", "invalid-json"),
        (b"", "invalid-json"),
    ):
        with pytest.raises(Refuse) as refused:
            count(wrong)
        assert refused.value.code == code
