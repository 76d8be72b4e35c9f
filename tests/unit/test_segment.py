"""Names of calls and events, as documented in docs/reference/segment.md."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.event import decode_data
from forestall.contracts.instants import parse_time
from forestall.contracts.naming import event_type
from forestall.ingest.letter import Letter, Refused, Sender
from forestall.ingest.sources.segment import read

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "segment.md"


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("Payment Failed", "payment.failed"),
        ("payment_failed", "payment.failed"),
        ("paymentFailed", "payment.failed"),
        ("PAYMENT FAILED", "payment.failed"),
        ("payment.failed", "payment.failed"),
        ("  Payment -- Failed! ", "payment.failed"),
        ("Step 2 Viewed", "step.2.viewed"),
        ("Zahlung zurückgewiesen", "zahlung.zurückgewiesen"),
        ("", ""),
        ("!?", ""),
    ],
)
def test_names_become_types(name: str, type_: str) -> None:
    assert event_type(name) == type_


@given(st.text())
def test_a_type_is_dotted_lower_case_words_and_stays_itself(name: str) -> None:
    type_ = event_type(name)
    assert re.fullmatch(r"([^\W_]+(\.[^\W_]+)*)?", type_)
    assert event_type(type_) == type_


def test_the_documented_examples_hold() -> None:
    rows = re.findall(r"^\| `([^`|]+)` \| `([a-z0-9.]+)` \|$", DOCS.read_text(), re.MULTILINE)
    assert len(rows) >= 3
    for name, type_ in rows:
        assert event_type(name) == type_


def message(text: str, **more: str) -> Letter:
    arrived = parse_time("2026-03-01T12:00:00Z")
    return Letter(text.encode(), Sender("web", "browser"), arrived, "segment", **more)  # type: ignore[arg-type]


def test_a_page_keeps_its_path_and_nothing_that_hides_in_the_address() -> None:
    for url in ("https://u:p@x.y/a%20b;c?mail=a@b.c#frag", "/a%20b;c?mail=a@b.c"):
        event = read(message(f'{{"messageId":"1","properties":{{"url":"{url}"}}}}', kind="page"))
        assert decode_data(event.data) == {"path": "/a%20b;c"}  # type: ignore[arg-type]
    broken = '{"messageId":"1","properties":{"url":"http://[::1"}}'
    assert decode_data(read(message(broken, kind="page")).data) == {}  # type: ignore[arg-type]


def test_a_track_call_cannot_pass_for_a_control_event_by_accident() -> None:
    event = read(message('{"messageId":"1","type":"track","event":"Forestall OptOut"}'))
    assert event.type == "forestall.opt.out"
    meant = read(message('{"messageId":"1","type":"track","event":"forestall.optout"}'))
    assert meant.type == "forestall.optout"


def test_a_timestamp_that_cannot_be_read_is_left_for_the_checks() -> None:
    text = '{"messageId":"1","type":"track","event":"A","timestamp":"soon","sentAt":"now"}'
    assert read(message(text)).time == "soon"
    far = '{"messageId":"1","type":"track","event":"A","timestamp":"0001-01-01T00:00:00Z"}'
    assert read(message(far, sent="9999-01-01T00:00:00Z")).time == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize("text", ["7", "[]", "{", '{"type": []}', "", '"\\ud800"'])
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        read(message(text))
