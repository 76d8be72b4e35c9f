"""The event catalogue: which events exist, who may send them, and what of them is kept."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.catalogue import (
    Catalogue,
    Contract,
    builtin_contracts,
    load_catalogue,
    read_contract,
    read_contracts,
)
from forestall.contracts.errors import InvalidFile, UnreadableInput
from forestall.contracts.instants import DAY
from forestall.contracts.intervention import REPORTS
from forestall.contracts.shape import Shape, UnusableSchema, minimise, shape_of

PAYMENT: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "x-owner": "payments",
    "x-retention": "90d",
    "x-origins": ["server", "browser"],
    "type": "object",
    "required": ["order_id"],
    "properties": {
        "order_id": {"type": "string", "maxLength": 20},
        "amount": {"type": "number", "minimum": 0},
        "attempt": {"type": "integer"},
        "email": {"type": "string", "x-privacy": "tokenise"},
        "card": {"type": "string", "x-privacy": "drop"},
        "lines": {
            "type": "array",
            "items": {"$ref": "#/$defs/line"},
        },
        "rates": {"type": "object", "additionalProperties": {"type": "number"}},
    },
    "$defs": {
        "line": {
            "type": "object",
            "properties": {
                "sku": {"type": "string"},
                "price": {"type": ["number", "null"]},
                "note": {"x-privacy": "drop"},
            },
        }
    },
}


def contract(schema: dict[str, Any], name: str = "payment.declined.v1.json") -> Contract:
    found, problems = read_contract(json.dumps(schema).encode(), name)
    assert problems == []
    assert found is not None
    return found


def owned(**schema: Any) -> dict[str, Any]:
    return {"x-owner": "me", **schema}


def fields(**properties: Any) -> dict[str, Any]:
    return owned(type="object", properties=properties)


def token(value: object) -> str:
    return f"tok({json.dumps(value)})"


def write(folder: Path, files: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(schema if isinstance(schema, str) else json.dumps(schema, indent=2))
    return folder


# -- one contract --------------------------------------------------------------------------------


def test_a_contract_says_who_and_how_long() -> None:
    found = contract(PAYMENT)
    assert (found.type, found.major, found.owner) == ("payment.declined", 1, "payments")
    assert found.retention == 90 * DAY
    assert found.origins == {"server", "browser"}
    assert not found.is_builtin


def test_the_careful_defaults() -> None:
    found = contract(owned(), "a.b.v12.json")
    assert (found.type, found.major) == ("a.b", 12)
    assert found.retention == 30 * DAY
    assert found.origins == {"server"}
    assert found.minimise({"anything": 1}, token) == {}


def test_fields_with_their_types() -> None:
    assert contract(PAYMENT).fields == {
        "order_id": "string",
        "amount": "number",
        "attempt": "integer",
        "email": "string",
        "card": "string",
        "lines": "array",
        "lines[]": "object",
        "lines[].sku": "string",
        "lines[].price": "null|number",
        "lines[].note": "any",
        "rates": "object",
        "rates.*": "number",
    }


def test_number_fields_are_a_tree() -> None:
    assert contract(PAYMENT).numbers == {
        "amount": True,
        "lines": {"*": {"price": True}},
        "rates": {"*": True},
    }


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        ({"order_id": "o"}, []),
        ({"order_id": "o", "unknown": {"x": 1}}, []),
        ({}, [("/order_id", '"order_id" is a required property')]),
        ({"order_id": 5}, [("/order_id", 'the value is not of type "string"')]),
        (
            {"order_id": "o" * 21, "amount": -1},
            [
                ("/order_id", "the value is longer than 20 characters"),
                ("/amount", "the value is less than the minimum of 0"),
            ],
        ),
        (
            {"order_id": "o", "lines": [{}, {"price": "secret"}]},
            [("/lines/1/price", 'the value is not of types "null", "number"')],
        ),
        ([], [("", 'the value is not of type "object"')]),
    ],
)
def test_data_is_judged_without_repeating_it(data: Any, problems: list[tuple[str, str]]) -> None:
    assert sorted(contract(PAYMENT).validate(data)) == sorted(problems)


def test_only_what_is_declared_and_kept_stays() -> None:
    data = {
        "order_id": "o1",
        "amount": 5,
        "attempt": 2,
        "email": "ann@example.org",
        "card": "4242",
        "browser": "x",
        "lines": [{"sku": "a", "price": 3, "note": "n", "extra": 1}, {"price": None}],
        "rates": {"CHF": 1, "EUR": 1.5},
    }
    kept = contract(PAYMENT).minimise(data, token)
    assert kept == {
        "order_id": "o1",
        "amount": 5.0,
        "attempt": 2,
        "email": 'tok("ann@example.org")',
        "lines": [{"sku": "a", "price": 3.0}, {"price": None}],
        "rates": {"CHF": 1.0, "EUR": 1.5},
    }
    assert [type(kept[name]) for name in ("amount", "attempt")] == [float, int]
    assert data["card"] == "4242", "what came in is left alone"


@pytest.mark.parametrize(
    ("schema", "data", "kept"),
    [
        (fields(a={}), {"a": {"b": 1}}, {"a": {}}),
        (fields(a={}), {"a": [1, {"b": 1}]}, {"a": [1, {}]}),
        (fields(a=True, b=False), {"a": 1, "b": 1}, {"a": 1}),
        (fields(a={"items": {"x-privacy": "drop"}}), {"a": [1]}, {"a": []}),
        (fields(a={"items": {"x-privacy": "tokenise"}}), {"a": [1, None]}, {"a": ["tok(1)", None]}),
        (fields(a={"x-privacy": "tokenise"}), {"a": {"b": 1}}, {"a": 'tok({"b": 1})'}),
        (fields(a={"prefixItems": [{"type": "number"}]}), {"a": [1]}, {"a": [1.0]}),
        (fields(a={"type": "number"}), {"a": True}, {"a": True}),
        (fields(a={"type": "number"}), {"a": 10**400}, {"a": 10**400}),
        (owned(additionalProperties=True), {"a": 1, "b": {"c": 1}}, {"a": 1, "b": {}}),
        (owned(additionalProperties=False, properties={"a": {}}), {"a": 1, "b": 1}, {"a": 1}),
        (owned(allOf=[{"properties": {"a": {}}}, {"properties": {"b": {}}}]), {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2}),
        (owned(anyOf=[{"properties": {"a": {"x-privacy": "drop"}}}, {"properties": {"a": {}}}]), {"a": 1}, {}),
        (owned(properties={"k": {}}, **{"if": {"required": ["k"]}, "then": {"properties": {"a": {}}}}), {"a": 1}, {"a": 1}),
        (owned(**{"$ref": "#/$defs/x"}, **{"$defs": {"x": {"properties": {"a": {"const": 1.5}}}}}), {"a": 1.5, "b": 1}, {"a": 1.5}),
    ],
)  # fmt: skip
def test_what_counts_as_declared(
    schema: dict[str, Any], data: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert contract(schema).minimise(data, token) == kept


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=1), inner),
    max_leaves=8,
)
PRIVACY = st.sampled_from(["keep", "tokenise", "drop"])
SHAPES: st.SearchStrategy[Shape] = st.recursive(
    st.builds(Shape, types=st.just(frozenset(["number"])), privacy=PRIVACY),
    lambda inner: st.builds(
        Shape,
        privacy=PRIVACY,
        properties=st.dictionaries(st.text("ab", max_size=1), inner, max_size=2),
        rest=st.none() | inner,
        items=st.none() | inner,
    ),
    max_leaves=5,
)


@given(JSON, SHAPES)
def test_minimising_adds_nothing_and_twice_is_once(value: Any, shape: Shape) -> None:
    seen: list[object] = []

    def remember(given: object) -> str:
        seen.append(given)
        return "t"

    once = minimise(value, shape, remember)
    if not seen:
        assert minimise(once, shape, remember) == once
        assert _names(once) <= _names(value)


def _names(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(_names(inner) for inner in value.values()))
    return set().union(*(_names(inner) for inner in value)) if isinstance(value, list) else set()


def test_a_schema_that_needs_the_network_or_itself_is_refused() -> None:
    for reference, why in (
        ("https://example.org/x.json", "only references within the file"),
        ("#/$defs/none", "there is nothing at"),
        ("#", "may not refer to itself"),
        ("#/x", "there is no schema at"),
        ("#/y/0", "there is no schema at"),
        ("#/y/1", "there is nothing at"),
    ):
        with pytest.raises(UnusableSchema, match=why):
            shape_of({"properties": {"a": {"$ref": reference}}, "x": {"type": 5}, "y": ["text"]})


# -- mistakes ------------------------------------------------------------------------------------

HEAD = '{\n  "x-owner": "me",\n'


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("payment.json", '{"x-owner": "me"}', ["1:1 bad-file-name: the file's name is not TYPE.vN.json"]),
        ("Payment.v1.json", '{"x-owner": "me"}', ["1:1 bad-file-name: the file's name is not TYPE.vN.json"]),
        ("a.v0.json", '{"x-owner": "me"}', ["1:1 bad-file-name: the file's name is not TYPE.vN.json"]),
        ("a.v1.json", '{\n  "x-owner": }', ["2:14 json: not valid JSON: Expecting value"]),
        ("a.v1.json", "{\"x-owner\": NaN}", ["1:1 json: not valid JSON: NaN is not a JSON number"]),
        ("a.v1.json", "[" * 100_000, ["1:1 json: nested more than 64 levels deep"]),
        ("a.v1.json", '{"a":' * 65 + "1" + "}" * 65, ["1:1 json: nested more than 64 levels deep"]),
        ("a.v1.json", "[]", ["1:1 wrong-type: a contract must be a JSON object"]),
        ("a.v1.json", HEAD + '  "x-owner": "you"\n}', ['3:3 duplicate-key: the key "x-owner" is written twice']),
        ("a.v1.json", '{\n  "type": "object"\n}', ["1:1 missing-key: x-owner is missing: who answers for this event?"]),
        ("a.v1.json", '{"x-owner": 5}', ["1:2 wrong-type: x-owner must be text that is not empty"]),
        ("a.v1.json", HEAD + '  "x-orgins": []\n}', ["3:3 unknown-key: unknown keyword x-orgins"]),
        ("a.v1.json", HEAD + '  "x-retention": "a month"\n}', ["3:3 bad-duration: x-retention must be a duration such as 30d"]),
        ("a.v1.json", HEAD + '  "x-retention": 30\n}', ["3:3 bad-duration: x-retention must be a duration such as 30d"]),
        ("a.v1.json", HEAD + '  "x-origins": "server"\n}', ["3:3 wrong-type: x-origins must be a list of browser and server"]),
        ("a.v1.json", HEAD + '  "x-origins": ["server", "phone"]\n}', ["3:27 bad-value: 'phone' is not an origin: browser, server"]),
        ("a.v1.json", HEAD + '  "$schema": "http://json-schema.org/draft-07/schema#"\n}', ["3:3 bad-schema: contracts are written in JSON Schema 2020-12"]),
        ("a.v1.json", HEAD + '  "type": "array"\n}', ['3:3 bad-schema: data is an object: write "type": "object"']),
        ("a.v1.json", HEAD + '  "properties": {\n    "b": {"type": "strng"}\n  }\n}', ['4:11 bad-schema: not JSON Schema 2020-12: "strng" is not valid under any of the schemas listed in the \'anyOf\' keyword']),
        ("a.v1.json", HEAD + '  "properties": {\n    "b": {"x-privacy": "hide"}\n  }\n}', ["4:11 bad-schema: x-privacy must be keep, tokenise or drop, not 'hide'"]),
        ("a.v1.json", HEAD + '  "properties": {\n    "b": {"$ref": "#/$defs/c"}\n  }\n}', ["4:11 bad-schema: there is nothing at #/$defs/c"]),
        ("a.v1.json", HEAD + '  "required": ["b"]\n}', ["3:16 undeclared-field: b is required, but not declared, so it is dropped"]),
    ],
)  # fmt: skip
def test_mistakes_in_a_contract(name: str, text: str, expected: list[str]) -> None:
    _, problems = read_contract(text.encode(), name)
    assert [f"{p.line}:{p.column} {p.code}: {p.message}" for p in problems] == expected


def test_hints() -> None:
    _, problems = read_contract(b'{"x-owner": "me", "x-orgins": []}', "a.v1.json")
    assert [problem.hint for problem in problems] == ["did you mean x-origins?"]
    _, problems = read_contract(b"\xff{}", "a.v1.json")
    assert [problem.message for problem in problems] == ["the file is not UTF-8 text"]
    _, problems = read_contract(b"\xff{}", "photo.png")
    assert [problem.code for problem in problems] == ["json", "bad-file-name"]


def test_a_pattern_that_could_take_for_ever_is_refused() -> None:
    schema = fields(a={"type": "string", "pattern": "(?=a)(a+)+$"})
    found, problems = read_contract(json.dumps(schema).encode(), "a.v1.json")
    assert found is None
    assert [problem.code for problem in problems] == ["bad-schema"]


# -- the catalogue -------------------------------------------------------------------------------


def test_a_folder_with_majors_and_subfolders(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "payment.declined.v1.json": PAYMENT,
            "new/payment.declined.v2.json": fields(attempt={"type": "number"}),
            "page.viewed.v1.json": owned(),
        },
    )
    catalogue = load_catalogue(tmp_path)
    own = sorted({one.type for one in catalogue if not one.is_builtin})
    assert own == ["page.viewed", "payment.declined"]
    assert list(catalogue.majors("payment.declined")) == [1, 2]
    assert catalogue.majors("nothing") == {}
    newest = catalogue.contract("payment.declined")
    assert newest is not None
    assert newest.major == 2
    assert catalogue.contract("payment.declined", 3) is None
    assert catalogue.contract("nothing") is None
    assert catalogue.numbers["payment.declined"] == {
        "amount": True,
        "attempt": True,
        "lines": {"*": {"price": True}},
        "rates": {"*": True},
    }


@pytest.mark.parametrize(
    ("dataschema", "major"),
    [
        (None, 2),
        ("", 2),
        ("https://example.org/schemas", 2),
        ("https://example.org/payment.declined.v1", 1),
        ("https://example.org/payment.declined/v1", 1),
        ("payment.declined.v1.json", 1),
        ("https://example.org/v1/", 1),
        ("https://example.org/v2", 2),
        ("https://example.org/v9", None),
    ],
)
def test_the_major_an_event_means(
    tmp_path: Path, dataschema: str | None, major: int | None
) -> None:
    write(tmp_path, {"payment.declined.v1.json": owned(), "payment.declined.v2.json": owned()})
    found = load_catalogue(tmp_path).contract_of("payment.declined", dataschema)
    assert (found.major if found else None) == major


def test_the_mistakes_of_all_files_are_told_together(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a.v1.json": "{",
            "b.v1.json": {},
            "c.v1.json": owned(),
            "d/c.v1.json": owned(),
            "forestall.optout.v1.json": owned(),
        },
    )
    with pytest.raises(InvalidFile) as caught:
        load_catalogue(tmp_path)
    found = [(Path(p.file).name, p.code) for p in caught.value.problems]
    assert found == [
        ("a.v1.json", "json"),
        ("b.v1.json", "missing-key"),
        ("c.v1.json", "duplicate-contract"),
        ("forestall.optout.v1.json", "reserved-type"),
    ]
    with pytest.raises(UnreadableInput, match="no such file or folder"):
        read_contracts(tmp_path / "nowhere")


def test_warnings_are_kept(tmp_path: Path) -> None:
    catalogue = load_catalogue(write(tmp_path, {"a.v1.json": owned(required=["b"])}))
    assert [warning.code for warning in catalogue.warnings] == ["undeclared-field"]


# -- the built-in contracts ----------------------------------------------------------------------

CLIENT = {
    "client.click.dead": {"target": "button", "clicks": 1, "ms": 5000},
    "client.click.error": {"target": "button", "clicks": 1, "ms": 12.5},
    "client.click.rage": {"target": 'button#pay "Pay now"', "clicks": 5, "ms": 900},
    "client.error": {"kind": "rejection", "message": "TypeError: x is not a function", "line": 3},
    "client.form.abandoned": {"form": "signup", "fields": 2, "seconds": 12, "last": "zip"},
    "client.form.stuck": {"form": "signup", "field": "", "tries": 3},
    "client.help": {"topic": "checkout", "words": "It hangs.", "policy": "p", "step": 2},
    "client.lost": {"events": 4},
    "client.off": {"reason": "cpu"},
    "client.request": {"method": "GET", "path": "/a", "status": 0, "ms": 90, "outcome": "failed"},
    "client.search": {"length": 6},
    "client.vital": {"name": "CLS", "value": 0.02, "rating": "good"},
    "client.wait": {"what": "main", "ms": 6000},
    "client.wandering": {"pages": 3, "seconds": 40, "loops": 3},
}
CONTROL = [
    "forestall.alias",
    "forestall.consent.granted",
    "forestall.consent.withdrawn",
    "forestall.edge.decided",
    "forestall.identify",
    "forestall.knowledge.voted",
    "forestall.optin",
    "forestall.optout",
    "forestall.ticket.closed",
    "forestall.ticket.opened",
    "forestall.ticket.rated",
    "forestall.ticket.reopened",
]


REPORT = {"intervention": "i1", "policy": "p", "version": "v"}
STEP = {**REPORT, "step": 2}
VOTE = {"runbook": "card-declined", "version": 3}
EDGE = {
    "policy": "p",
    "version": "ab" * 32,
    "at": 1,
    "outcome": "intervene",
    "matched": [["/a", "1"]],
}


def test_every_event_of_ours_has_a_contract() -> None:
    assert list(load_catalogue().types) == sorted([*CLIENT, *CONTROL, *REPORTS])
    assert all(one.is_builtin for one in builtin_contracts())


@pytest.mark.parametrize(
    ("event_type", "good", "bad"),
    [
        ("forestall.consent.granted", {"purpose": "support"}, {}),
        ("forestall.consent.withdrawn", {"purpose": "support"}, {"purpose": 5}),
        ("forestall.ticket.opened", {"ticket": "t1"}, {"ticket": None}),
        ("forestall.ticket.closed", {"ticket": 17}, {}),
        ("forestall.ticket.reopened", {"ticket": 17, "intervention": "i1"}, {"ticket": True}),
        ("forestall.ticket.rated", {"ticket": "t1", "score": 4.5}, {"ticket": "t1", "score": 6}),
        ("forestall.identify", {"traits": {"plan": "pro", "age": 5}}, {"traits": []}),
        ("forestall.intervention.dismissed", {"policy": "p", "never": True}, {"policy": "p", "never": 1}),
        ("forestall.intervention.helped", {"policy": "p"}, {}),
        ("forestall.intervention.seen", STEP, {"policy": "p"}),
        ("forestall.intervention.acted", {**STEP, "what": "step", "value": "2"}, {**STEP, "what": "typed"}),
        ("forestall.intervention.acted", {**STEP, "what": "why"}, {**STEP, "what": "why", "value": "x" * 201}),
        ("forestall.intervention.answered", {**STEP, "choice": "yes"}, {**STEP, "choice": "Yes!"}),
        ("forestall.intervention.filled", {**STEP, "fields": {"brand": "visa", "n": 1}}, STEP),
        ("forestall.intervention.approved", {**STEP, "by": "ann"}, {**STEP, "by": 5}),
        ("forestall.intervention.declined", {**STEP, "by": "ann", "reason": "too dear"}, REPORT),
        ("forestall.intervention.remediated", {**STEP, "fields": {"receipt": "r1"}}, {**STEP, "fields": 5}),
        ("forestall.intervention.undone", STEP, REPORT),
        ("forestall.intervention.commanded", {**REPORT, "command": "stop", "undo": True, "by": "ann"}, {**REPORT, "command": "halt"}),
        ("forestall.intervention.taken", {**REPORT, "by": "ann"}, {"by": "ann"}),
        ("forestall.knowledge.voted", {**VOTE, "helpful": False, "intervention": "i1"}, VOTE),
        ("forestall.knowledge.voted", {**VOTE, "helpful": True}, {**VOTE, "helpful": "yes"}),
        ("forestall.edge.decided", EDGE, {**EDGE, "outcome": "suppress"}),
        ("forestall.edge.decided", {**EDGE, "key": "7", "reason": None}, {**EDGE, "matched": []}),
        ("forestall.optout", {}, None),
        ("forestall.optin", {}, None),
    ],
)  # fmt: skip
def test_control_events(event_type: str, good: dict[str, Any], bad: dict[str, Any] | None) -> None:
    found = load_catalogue().contract(event_type)
    assert found is not None
    assert found.validate(good) == []
    assert found.minimise(good, token) == good
    if bad is not None:
        assert found.validate(bad) != []


@pytest.mark.parametrize(("event_type", "good"), CLIENT.items())
def test_signals(event_type: str, good: dict[str, Any]) -> None:
    found = load_catalogue().contract(event_type)
    assert found is not None
    assert found.validate(good) == []
    assert found.minimise({**good, "typed": "secret"}, token) == good
    for name in found.schema["required"]:
        assert found.validate({key: value for key, value in good.items() if key != name}) != []


def test_a_call_for_help_has_its_bounds_and_the_customers_words_are_kept() -> None:
    found = load_catalogue().contract("client.help")
    assert found is not None
    assert found.validate({"topic": "t", "words": "x" * 2_000}) == []
    for bad in ({"topic": ""}, {"topic": "t" * 201}, {"topic": "t", "words": "x" * 2_001}):
        assert found.validate(bad) != []
    assert found.minimise({"topic": "t", "words": "Hi", "email": "a@b.example"}, token) == {
        "topic": "t",
        "words": "Hi",
    }


def test_who_may_send_what() -> None:
    browser = {one.type for one in builtin_contracts() if "browser" in one.origins}
    assert browser == {
        *CLIENT,
        "forestall.consent.granted",
        "forestall.consent.withdrawn",
        "forestall.edge.decided",
        "forestall.identify",
        "forestall.intervention.acted",
        "forestall.intervention.answered",
        "forestall.intervention.dismissed",
        "forestall.intervention.helped",
        "forestall.intervention.seen",
        "forestall.intervention.shown",
        "forestall.knowledge.voted",
        "forestall.optin",
        "forestall.optout",
    }
    assert all("server" in one.origins for one in builtin_contracts())


def identify(catalogue: Catalogue) -> Callable[[dict[str, Any]], Any]:
    found = catalogue.contract("forestall.identify")
    assert found is not None
    return lambda traits: found.minimise({"traits": traits}, token)["traits"]


def test_traits_without_and_with_a_catalogue(tmp_path: Path) -> None:
    traits = {"plan": "pro", "timezone": "Europe/Zurich", "email": "a@b", "seats": 5}
    assert identify(load_catalogue())(traits) == {
        "plan": "pro",
        "timezone": "Europe/Zurich",
        "seats": 5,
    }
    write(tmp_path / "1", {"a.b.v1.json": owned()})
    assert identify(load_catalogue(tmp_path / "1"))(traits) == {
        "plan": "pro",
        "timezone": "Europe/Zurich",
    }
    own = fields(traits={"type": "object", "properties": {"seats": {"type": "integer"}}})
    write(tmp_path / "2", {"forestall.identify.v1.json": own})
    assert identify(load_catalogue(tmp_path / "2"))(traits) == {"seats": 5}


def test_what_an_alias_carries_is_all_declared() -> None:
    found = load_catalogue().contract("forestall.alias")
    assert found is not None
    data = {
        "from": "p1",
        "optout": {"time": "2024-01-01T00:00:00Z", "out": True},
        "consent": {"support": {"granted": False, "time": "2024-01-01T00:00:00Z"}},
        "dismissals": {"policy": {"count": 2, "never": False}},
        "acts": {"policy": ["2024-01-01T00:00:00Z"]},
        "guidance_acts": ["2024-01-01T00:00:00Z"],
    }
    assert found.validate(data) == []
    assert found.minimise(data, token) == data
