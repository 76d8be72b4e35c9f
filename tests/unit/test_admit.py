"""The checks at the door, one by one, and that nothing makes them stumble."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.catalogue import load_catalogue
from forestall.contracts.event import EMPTY_DATA, decode_data
from forestall.contracts.instants import DAY, format_time, parse_time
from forestall.contracts.intervention import OWN_REPORTS
from forestall.ingest.admit import CHECKS, Rules, admit
from forestall.ingest.letter import Admitted, Form, Letter, Refusal, Sender
from forestall.privacy.keys import Keys
from forestall.privacy.vault import Identity

NOW = parse_time("2026-03-01T12:00:00Z")
BROWSER, SERVER = Sender("web", "browser"), Sender("shop", "server")
INTERNAL = Sender("forestall", "server", internal=True)
RULES = Rules(load_catalogue(), Keys(b"m" * 32).token, strict=False)


def letter(sender: Sender = SERVER, form: Form = "cloudevents", **attributes: Any) -> Letter:
    plain = {"specversion": "1.0", "id": "1", "source": "s", "type": "a.b", "subject": "u"}
    return Letter(msgspec.json.encode({**plain, **attributes}), sender, NOW, form)


def admitted(letter_: Letter) -> Admitted:
    found = admit(letter_, RULES)
    assert isinstance(found, Admitted), found
    return found


def code(letter_: Letter, rules: Rules = RULES) -> tuple[str, str]:
    found = admit(letter_, rules)
    assert isinstance(found, Refusal), found
    return found.code, found.path


def test_the_checks_read_like_a_table_of_contents() -> None:
    assert [check.__name__ for check in CHECKS] == [
        "small_enough",
        "well_formed",
        "named",
        "known_type",
        "allowed_origin",
        "own_subject",
        "sane_time",
        "plain_data",
        "fits_contract",
        "minimised",
    ]
    assert all(check.__doc__ for check in CHECKS)


def test_what_passes_is_reduced_to_what_is_kept() -> None:
    found = admitted(letter(time="2026-03-01T11:00:00.5Z", anonymousid="a", data={"n": 1.0}))
    assert found == Admitted(
        id="1",
        source="s",
        type="a.b",
        user="u",
        anonymous="a",
        pseudonym=None,
        time=NOW - 3_600_000_000 + 500_000,
        origin="server",
        data=found.data,
        said={},
        personal={},
        traceparent=None,
        control=False,
    )
    assert decode_data(found.data) == {"n": 1.0}
    assert admitted(letter(INTERNAL)).pseudonym == "u"
    assert admitted(letter(INTERNAL)).user is None
    assert admitted(letter(data=None)).data == EMPTY_DATA
    assert admitted(letter()).time is None


@pytest.mark.parametrize(
    ("time", "verdict"),
    [
        ("1999-12-31T23:59:59.999999Z", "time-out-of-range"),
        ("2000-01-01T00:00:00Z", None),
        (format_time(NOW + DAY), None),
        (format_time(NOW + DAY + 1), "time-out-of-range"),
        ("2026-03-01T12:00:00", "invalid-time"),
        ("2026-02-30T12:00:00Z", "invalid-time"),
        ("2026-03-01T12:00:60Z", "invalid-time"),
        ("9999-12-31T23:59:59-23:59", "time-out-of-range"),
        ("0001-01-01T00:00:00+23:59", "time-out-of-range"),
        ("", "invalid-time"),
    ],
)
def test_times(time: str, verdict: str | None) -> None:
    found = admit(letter(time=time), RULES)
    assert (found.code if isinstance(found, Refusal) else None) == verdict


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"id": ""}, ("invalid-envelope", "/id")),
        ({"id": 7}, ("invalid-envelope", "/id")),
        ({"id": None}, ("invalid-envelope", "/id")),
        ({"source": "a\nb"}, ("invalid-id", "/source")),
        ({"source": "x" * 257}, ("invalid-id", "/source")),
        ({"subject": "\x7f"}, ("invalid-id", "/subject")),
        ({"subject": ""}, ("no-subject", "")),
        ({"anonymousid": "\x00"}, ("nul-byte", "/anonymousid")),
        ({"type": "x" * 256}, ("invalid-envelope", "/type")),
        ({"type": ".a"}, ("invalid-envelope", "/type")),
        ({"specversion": "2"}, ("invalid-envelope", "/specversion")),
        ({"data": "text"}, ("data-not-object", "/data")),
        ({"data": {"a": {"b~/c": [0, "\x00"]}}}, ("nul-byte", "/data/a/b~0~1c/1")),
        ({"data": {"a\x00": 1}}, ("nul-byte", "/data")),
        ({"data": {"n": -(2**63) - 1}}, ("integer-too-large", "/data/n")),
        ({"datacontenttype": "text/plain"}, ("data-not-json", "/datacontenttype")),
    ],
)
def test_envelopes(attributes: dict[str, Any], told: tuple[str, str]) -> None:
    assert code(letter(**attributes)) == told


def not_text(letter_: Letter, of: bytes, to: bytes) -> Letter:
    return msgspec.structs.replace(letter_, raw=letter_.raw.replace(of, to))


@pytest.mark.parametrize(
    ("form", "attributes", "of", "told"),
    [
        ("cloudevents", {"subject": "Zo~"}, b"~", ("", "byte 69 (0xEB) is not UTF-8")),
        ("cloudevents", {"data": {"n": "Zo~"}}, b"~", ("/data", "byte 8 (0xEB) is not UTF-8")),
        ("segment", {"messageId": "Zo~"}, b"~", ("", "byte 85 (0xEB) is not UTF-8")),
    ],
)
def test_what_is_not_utf_8_is_told_in_our_words(
    form: Form, attributes: dict[str, Any], of: bytes, told: tuple[str, str]
) -> None:
    path, message = told
    found = admit(not_text(letter(form=form, **attributes), of, b"\xeb"), RULES)
    assert isinstance(found, Refusal)
    assert (found.code, found.path) == ("invalid-json", path)
    assert found.message == f"not JSON as it should be: {message}; encode it as UTF-8"


def test_what_is_just_within_bounds_passes() -> None:
    nested: Any = 1
    for _ in range(31):
        nested = [nested]
    data = {"nested": nested, "max": 2**63 - 1, "min": -(2**63)}
    kind = "application/vnd.shop+json; charset=utf-8"
    assert decode_data(admitted(letter(data=data, datacontenttype=kind)).data) == data
    assert code(letter(data={"nested": [nested]}))[0] == "too-deep"
    exact = letter(id="1")
    roomy = msgspec.structs.replace(RULES, max_event_bytes=len(exact.raw))
    assert isinstance(admit(exact, roomy), Admitted)
    tight = msgspec.structs.replace(RULES, max_event_bytes=len(exact.raw) - 1)
    assert code(exact, tight) == ("event-too-large", "")


def test_control_events_from_a_browser() -> None:
    optout = letter(BROWSER, type="forestall.optout")
    assert code(optout)[0] == "subject-token-required"
    proven = msgspec.structs.replace(optout, proof=Identity("user", "u"))
    assert admitted(proven).control
    for other in (Identity("user", "v"), Identity("anonymous", "u")):
        stolen = msgspec.structs.replace(optout, proof=other)
        assert code(stolen) == ("subject-token-mismatch", "/subject")
    visitor = letter(BROWSER, type="forestall.optout", subject=None, anonymousid="a")
    assert admitted(msgspec.structs.replace(visitor, proof=Identity("anonymous", "a"))).said == {}
    both = letter(
        BROWSER, type="forestall.identify", anonymousid="a", data={"traits": {"plan": "x"}}
    )
    assert code(msgspec.structs.replace(both, proof=Identity("anonymous", "a")))[0] == (
        "subject-token-mismatch"
    )
    assert admitted(msgspec.structs.replace(both, proof=Identity("user", "u"))).signs_in
    assert code(letter(INTERNAL, type="forestall.alias")) == ("reserved-type", "/type")


def test_what_steps_did_is_told_by_our_own_processes_alone() -> None:
    data = {"intervention": "i", "policy": "p", "step": 1}
    for kind in sorted(OWN_REPORTS):
        more = {"fields": {}, "command": "stop"}
        assert code(letter(type=kind, data={**data, **more})) == ("reserved-type", "/type")
        assert code(letter(BROWSER, type=kind, data={**data, **more})) == ("reserved-type", "/type")
        assert admitted(letter(INTERNAL, type=kind, data={**data, **more})).control
    answer = letter(BROWSER, type="forestall.intervention.answered", data={**data, "choice": "yes"})
    assert code(answer)[0] == "subject-token-required"
    proven = msgspec.structs.replace(answer, proof=Identity("user", "u"))
    assert decode_data(admitted(proven).data)["choice"] == "yes"


@pytest.mark.parametrize("told", ["seen", "acted"])
def test_what_a_page_tells_of_guidance_needs_the_customers_own_token(told: str) -> None:
    data = {"intervention": "i", "policy": "p", "step": 1, "what": "why"}
    note = letter(BROWSER, type=f"forestall.intervention.{told}", data=data)
    assert code(note) == ("subject-token-required", "/subject")
    other = msgspec.structs.replace(note, proof=Identity("user", "somebody"))
    assert code(other) == ("subject-token-mismatch", "/subject")
    assert admitted(msgspec.structs.replace(note, proof=Identity("user", "u"))).control
    assert admitted(letter(type=f"forestall.intervention.{told}", data=data)).origin == "server"


def test_anybody_on_a_page_may_ask_for_help() -> None:
    asked = letter(BROWSER, type="client.help", data={"topic": "t", "words": "w", "email": "x@y.z"})
    assert not admitted(asked).control
    assert decode_data(admitted(asked).data) == {"topic": "t", "words": "w"}
    long = letter(BROWSER, type="client.help", data={"topic": "t", "words": "w" * 2_001})
    assert code(long) == ("invalid-data", "/data/words")


def test_traceparents() -> None:
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert admitted(letter(traceparent=good)).traceparent == good
    outer = msgspec.structs.replace(letter(), traceparent=good)
    assert admitted(outer).traceparent == good
    assert admitted(letter(traceparent="00-0-0-01")).traceparent is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
attributes = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("id", "source", "type", "specversion", "subject", "anonymousid", "time", "data", "datacontenttype", "dataschema", "traceparent", "data_base64", "messageId", "userId", "anonymousId", "event", "properties", "traits", "context", "timestamp", "sentAt"), json_values),
)  # fmt: skip
kinds = st.sampled_from([None, "track", "identify", "page", "screen", "group", "alias", "dance"])


@given(
    st.binary(max_size=50)
    | json_values.map(lambda value: json.dumps(value).encode())
    | attributes.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(["cloudevents", "segment"]),
    st.sampled_from([BROWSER, SERVER, INTERNAL]),
    kinds,
)
def test_nothing_makes_the_checks_stumble(
    raw: bytes, form: Form, sender: Sender, kind: str | None
) -> None:
    found = admit(Letter(raw, sender, NOW, form, kind=kind), RULES)
    if isinstance(found, Refusal):
        assert found.code
        assert found.path == "" or found.path.startswith("/")
        assert found.letter.raw == raw
        assert msgspec.json.decode(msgspec.json.encode(found.letter), type=Letter) == found.letter


plausible = st.fixed_dictionaries(
    {
        "id": st.text("ab1", min_size=1, max_size=3),
        "source": st.just("s"),
        "type": st.sampled_from(["a.b", "forestall.optout", "forestall.identify"]),
        "subject": st.text(min_size=1, max_size=5),
        "data": st.just({"traits": {"x": 1}}) | st.dictionaries(st.text(), json_values),
    }
)


@given(plausible)
def test_what_is_admitted_can_be_written_and_read(event: dict[str, Any]) -> None:
    raw = msgspec.json.encode(event)  # an infinity is null in JSON
    found = admit(Letter(raw, SERVER, NOW), RULES)
    if isinstance(found, Admitted):
        if found.type == "a.b":
            assert decode_data(found.data) == msgspec.json.decode(raw)["data"]
        assert (found.user, found.id) == (event["subject"], event["id"])
