"""A glance says what the checks say, or nothing."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forestall.contracts.catalogue import (
    Catalogue,
    builtin_contracts,
    load_catalogue,
    read_contract,
)
from forestall.contracts.event import decode_data
from forestall.contracts.instants import DAY, format_time, parse_time
from forestall.ingest import glance
from forestall.ingest.admit import Rules, admit
from forestall.ingest.letter import Admitted, Letter, Sender
from forestall.privacy.keys import Keys

NOW = parse_time("2026-03-01T12:00:00Z")
SENDERS = (Sender("web", "browser"), Sender("shop", "server"), Sender("own", "server", True))
TOKEN = Keys(b"m" * 32).token
HEAD = {"x-owner": "a", "x-retention": "30d", "x-origins": ["server", "browser"]}
PARTS: dict[str, dict[str, Any]] = {
    "plain": {
        "type": "object",
        "required": ["session"],
        "properties": {
            "session": {"type": "string", "maxLength": 8},
            "amount": {"type": "number", "maximum": 1e6},
            "count": {"type": "integer"},
            "maybe": {"type": ["number", "null"]},
            "either": {"type": ["string", "integer"]},
            "kind": {"enum": ["a", "b", 3]},
            "any": {},
            "named": {"properties": {"in": {"type": "number"}}},
            "gone": {"type": "string", "x-privacy": "drop"},
            "cart": {
                "type": "object",
                "properties": {"value": {"type": "number"}, "email": {"x-privacy": "drop"}},
            },
            "lines": {
                "type": "array",
                "items": {"type": "object", "properties": {"price": {"type": "number"}}},
            },
            "tags": {"type": "array"},
            "branch": {"anyOf": [{}, {"type": "string"}]},
        },
    },
    "fitting": {
        "type": "object",
        "required": ["session"],
        "properties": {
            "session": {"type": "string", "minLength": 1, "maxLength": 8, "title": "a visit"},
            "amount": {"type": "number", "minimum": 0, "exclusiveMaximum": 1e6},
            "count": {"type": "integer", "maximum": 7},
            "maybe": {"type": ["number", "null"]},
            "either": {"type": ["string", "integer"]},
            "kind": {"enum": ["a", "b"]},
            "cart": {
                "type": ["object", "null"],
                "properties": {"value": {"type": "number"}, "in": {"type": "boolean"}},
            },
            "lines": {
                "type": "array",
                "maxItems": 2,
                "items": {"type": "object", "properties": {"price": {"type": "number"}}},
            },
            "tags": {"type": "array"},
        },
    },
    "tokens": {
        "type": "object",
        "properties": {"mail": {"x-privacy": "tokenise"}, "amount": {"type": "number"}},
    },
    "free": {"type": "object", "additionalProperties": {"type": "number"}},
    "untyped": {"properties": {"amount": {"type": "number"}}},
    "browsers": {"type": "object", "x-origins": ["browser"]},
}


def catalogue() -> Catalogue:
    contracts = builtin_contracts()
    for name, schema in PARTS.items():
        contract, problems = read_contract(
            json.dumps({**HEAD, **schema}).encode(), f"{name}.v1.json"
        )
        assert contract is not None, problems
        contracts.append(contract)
    return Catalogue(contracts)


STRICT = Rules(catalogue(), TOKEN, strict=True, max_event_bytes=900)
LOOSE = Rules(load_catalogue(), TOKEN, strict=False, max_event_bytes=900)

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.sampled_from([2**63 - 1, 2**63, -(2**63), 5, 5.0, 1e300])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4)
    | st.sampled_from(["a", "b", "\x00", "9" * 20, "\U0001f642", "\x7f"])
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["in", "value", "email", "price", "x\x00", "z"]), inner)
    ),
    max_leaves=8,
)
fields = sorted({name for part in PARTS.values() for name in part.get("properties", {})})
data = st.dictionaries(st.sampled_from([*fields, "other"]), values, max_size=6)
good = st.fixed_dictionaries(
    {"session": st.just("s")},
    optional={"amount": st.integers(0, 9) | st.floats(0, 9), "count": st.integers(0, 9),
              "lines": st.lists(st.fixed_dictionaries({"price": st.integers(0, 9)})),
              "cart": st.fixed_dictionaries({"value": st.integers(0, 9), "email": st.just("e")}),
              "mail": st.just("a@b.c"), "other": st.just(1)},
)  # fmt: skip
names = st.sampled_from(["", "a", "b c", "x" * 256, "x" * 257, "\n", "\u00a0", "\x00"])
times = (
    st.integers(NOW - 10 * DAY, NOW + 2 * DAY).map(format_time)
    | st.sampled_from(["1999-12-31T23:59:59Z", "2026-02-30T00:00:00.0Z", "2026-03-01T12:00:60.1Z"])
    | st.text("0123456789-:.TZ+", max_size=30)
)
events = st.fixed_dictionaries(
    {
        "id": st.just("1") | names,
        "source": st.just("s") | names,
        "type": st.sampled_from([*PARTS, "a.b", ".a", "forestall.optout", "forestall.alias"]),
    },
    optional={
        "specversion": st.sampled_from(["1.0", "1.0", "2.0"]),
        "subject": st.just("u") | names | st.none(),
        "anonymousid": names | st.none(),
        "time": times | st.none(),
        "datacontenttype": st.sampled_from(["application/json", "text/plain", None]),
        "dataschema": st.sampled_from(["x.v1", "x.v2", None]),
        "traceparent": st.sampled_from(["00-" + "a" * 32 + "-" + "b" * 16 + "-01", "bad", ""]),
        "received": st.sampled_from(["x", None, 5]),
        "data_base64": st.just("e30="),
        "data": data | good | st.sampled_from([None, {}, [], "text", [[[[[[1]]]]]]]),
    },
)


def same(one: Admitted, other: Admitted) -> bool:
    """Equal, with the keys of ``data`` in any order."""
    bare = msgspec.Raw(b"")
    return msgspec.structs.replace(one, data=bare) == msgspec.structs.replace(
        other, data=bare
    ) and repr(_said(one)) == repr(_in_order(_said(other), _said(one)))


def _said(one: Admitted) -> Any:
    return decode_data(msgspec.Raw(msgspec.json.encode(one.data)))


def _in_order(value: Any, like: Any) -> Any:
    if isinstance(value, dict) and isinstance(like, dict) and value.keys() == like.keys():
        return {key: _in_order(value[key], like[key]) for key in like}
    if isinstance(value, list) and isinstance(like, list) and len(value) == len(like):
        return [_in_order(one, other) for one, other in zip(value, like, strict=True)]
    return value


@settings(max_examples=400, deadline=None)
@given(
    st.lists(events, min_size=1, max_size=3),
    st.sampled_from(SENDERS),
    st.sampled_from([STRICT, LOOSE]),
    st.sampled_from([None, "00-" + "c" * 32 + "-" + "d" * 16 + "-01", "bad"]),
)
@example([{"id": "1", "source": "s", "type": "free", "subject": "u", "data": {"x": 2**63}}],
         SENDERS[1], STRICT, None)  # fmt: skip
def test_a_glance_agrees_with_the_checks(
    sent: list[dict[str, Any]], sender: Sender, rules: Rules, trace: str | None
) -> None:
    raws = [json.dumps(event).encode() for event in sent]
    sights = glance.read(b"[" + b",".join(raws) + b"]", rules)
    if sights is None:
        return
    plain = glance.printable(b"".join(raws))
    looking = glance.Glance(rules)
    seen = looking.admit(sights, sender, NOW, trace, printable=plain)
    assert seen == looking.admit(sights, sender, NOW, trace)
    for raw, found in zip(raws, seen, strict=True):
        if found is not None:
            exact = admit(Letter(raw, sender, NOW, traceparent=trace), rules)
            assert isinstance(exact, Admitted), exact
            assert same(found, exact)


fits = st.fixed_dictionaries(
    {"session": st.text(min_size=1, max_size=3)},
    optional={
        "amount": leaves,
        "count": leaves,
        "maybe": leaves,
        "either": leaves,
        "kind": st.sampled_from(["a", "b", "c"]),
        "cart": st.none() | st.dictionaries(st.sampled_from(["value", "in"]), leaves),
        "lines": st.lists(st.dictionaries(st.just("price"), leaves), max_size=3),
        "tags": st.lists(leaves, max_size=3),
    },
)


@settings(max_examples=400, deadline=None)
@given(fits)
@example({"session": "s", "amount": -0.0, "maybe": 2**63, "either": 5.0, "count": -0.0})
@example({"session": "s", "maybe": 2**63 - 1, "tags": [2**64, 10**30]})
@example({"session": "s", "maybe": 2**63 - 600, "count": 7.0, "lines": [{"price": 5}]})
def test_what_surely_fits_is_kept_as_the_checks_keep_it(data: dict[str, Any]) -> None:
    event = {"id": "1", "source": "s", "type": "fitting", "subject": "u", "data": data}
    raw = json.dumps(event).encode()
    sights = glance.read(b"[" + raw + b"]", STRICT)
    if sights is None:
        return
    (found,) = glance.Glance(STRICT).admit(sights, SENDERS[1], NOW, None)
    if found is not None:
        exact = admit(Letter(raw, SENDERS[1], NOW), STRICT)
        assert isinstance(exact, Admitted), exact
        assert same(found, exact)


@pytest.mark.parametrize("kind", [*PARTS, "a.b"])
def test_what_is_plain_passes_at_a_glance(kind: str) -> None:
    sender = SENDERS[0]
    value = {
        "session": "s",
        "amount": 5,
        "cart": {"value": 1, "email": "x"},
        "lines": [{"price": 2}],
    }
    event = {"id": "1", "source": "s", "type": kind, "subject": "u", "time": format_time(NOW),
             "data": {"amount": 1} if kind == "free" else value}  # fmt: skip
    raw = json.dumps(event).encode()
    rules = LOOSE if kind == "a.b" else STRICT
    sights = glance.read(b"[" + raw + b"]", rules)
    assert sights is not None
    (found,) = glance.Glance(rules).admit(sights, sender, NOW, None)
    assert found is not None
    exact = admit(Letter(raw, sender, NOW), rules)
    assert isinstance(exact, Admitted)
    assert same(found, exact)


@pytest.mark.parametrize(
    "doubtful",
    [
        {"type": "forestall.optout"},
        {"type": "unknown.type"},
        {"type": "plain", "data": {}},
        {"type": "plain", "data": {"session": "s", "branch": {"deep": 1}}},
        {"type": "plain", "subject": ""},
        {"type": "plain", "data": {"session": "s", "other": 2**63}},
        {"type": "plain", "data": {"session": "s", "other": [{"n": -(2**63) - 1}]}},
        {"type": "free", "data": {"x": 10**30}},
        {"type": "plain", "time": "yesterday"},
    ],
)
def test_what_is_doubtful_is_left_to_the_checks(doubtful: dict[str, Any]) -> None:
    event = {"id": "1", "source": "s", "subject": "u", "data": {"session": "s"}, **doubtful}
    sights = glance.read(b"[" + json.dumps(event).encode() + b"]", STRICT)
    assert sights is not None
    assert glance.Glance(STRICT).admit(sights, SENDERS[1], NOW, None) == [None]


@pytest.mark.parametrize(
    "body",
    [
        b"[{]",
        b'[{"id":7}]',
        b'[{"id":"1","source":"s","type":"a.b","data":"\\u0000"}]',
        b'[{"id":"1","source":"s","type":"a.b","data":{"n":"' + b"x" * 900 + b'"}}]',
        b"[" * 5000,
    ],
)
def test_what_spoils_a_batch_is_left_to_the_checks(body: bytes) -> None:
    assert glance.read(body, STRICT) is None


def test_many_digits_in_a_text_are_no_long_number() -> None:
    event = b'{"id":"' + b"1" * 40 + b'","source":"s","type":"a.b","subject":"u"}'
    assert glance.read(b"[" + event + b"]", LOOSE) is not None


@pytest.mark.parametrize("name", ["a\x7f", "\u0085", "a\nb", "\u200b"])
def test_a_name_that_cannot_be_printed_is_seen_however_it_is_written(name: str) -> None:
    event = {"id": name, "source": "s", "type": "a.b", "subject": "u"}
    for escaped in (True, False):
        body = json.dumps([event], ensure_ascii=escaped).encode()
        assert not glance.printable(body)
        sights = glance.read(body, LOOSE)
        assert sights is not None
        assert glance.Glance(LOOSE).admit(sights, SENDERS[0], NOW, None) == [None]
    assert glance.printable(json.dumps([{**event, "id": "~ !"}]).encode())


def test_types_are_remembered_within_bounds() -> None:
    looks = glance.Glance(LOOSE)
    for number in range(glance.MOST_PLANS + 10):
        event = json.dumps({"id": "1", "source": "s", "type": f"t.{number}", "subject": "u"})
        sights = glance.read(f"[{event}]".encode(), LOOSE)
        assert sights is not None
        assert looks.admit(sights, SENDERS[0], NOW, None) != [None]
    assert sum(len(plans) for plans in looks._plans.values()) <= glance.MOST_PLANS


SLOWLY = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def slowly(text: str) -> int | None:
    """``parse_time`` without its short cuts."""
    from datetime import UTC, datetime, timedelta

    match = SLOWLY.fullmatch(text)
    if match is None or match[2] > "59":
        return None
    zone = "+00:00" if match[4] in "Zz" else match[4]
    try:
        minute = datetime.fromisoformat(f"{match[1]}:00{zone}") - datetime(1970, 1, 1, tzinfo=UTC)
    except ValueError:
        return None
    micros = int((match[3] or "0")[:6].ljust(6, "0"))
    return minute // timedelta(microseconds=1) + int(match[2]) * 1_000_000 + micros


@given(
    times
    | st.from_regex(SLOWLY, fullmatch=True)
    | st.from_regex(r"2026-0[1-3]-[0-3]\d[Tt ]\d\d:\d\d:[0-6]\d\.\w{0,8}[Zz]?", fullmatch=True)
)
def test_times_are_read_as_before(text: str) -> None:
    try:
        found: int | None = parse_time(text)
    except (ValueError, OverflowError):
        found = None
    assert found == slowly(text)


@given(st.lists(events, max_size=3), st.booleans())
def test_no_control_event_is_overlooked(sent: list[dict[str, Any]], escaped: bool) -> None:
    body = json.dumps(sent)
    if escaped:
        body = body.replace("forestall", "forest\\u0061ll")
    if any(event["type"].startswith("forestall.") for event in sent):
        assert glance.may_be_control(body.encode())
