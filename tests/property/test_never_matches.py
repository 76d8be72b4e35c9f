"""What the checker says can never match, never matches: over all that contracts accept."""

import json
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from forestall.contracts.catalogue import Catalogue, Contract, builtin_contracts, read_contract
from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel import Timestamp, compile_expression, syntax
from forestall.policy.language.clauses import EVENT_VARIABLES
from forestall.policy.language.meaning import World, holding
from forestall.policy.language.parse import parse_located
from forestall.policy.language.sites import examine

FIELDS: dict[str, tuple[Any, list[Any]]] = {
    "n": ({"type": "integer", "minimum": 0, "maximum": 5}, [0, 1, 3, 4, 5, 2.0]),
    "c": ({"type": ["integer", "null"]}, [None, -1, 0, 3, 6, 5.0, 2**60]),
    "x": ({"type": "number", "exclusiveMinimum": -1, "maximum": 2.5}, [-0.5, 0, 1, 2, 2.5]),
    "s": ({"enum": ["a", "b", "ab"]}, ["a", "b", "ab"]),
    "e": ({"enum": [1, "a", None, 2.5]}, [1, 1.0, "a", None, 2.5]),
    "t": ({"type": "string", "minLength": 1, "maxLength": 3}, ["a", "ab", "zz", "b", "abc"]),
    "k": ({"const": 7}, [7, 7.0]),
    "b": ({"type": "boolean"}, [True, False]),
    "m": ({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 3}]}, ["", "a", 3, 5.0]),
    "q": ({"type": "integer", "oneOf": [{"maximum": 1}, {"minimum": 5}]}, [-1, 0, 1, 5, 7]),
    "i": (
        {"type": "integer", "if": {"minimum": 5}, "then": {"maximum": 6}, "else": {"const": 3}},
        [3, 5, 6, 3.0],
    ),
    "r": ({"$ref": "#/$defs/small"}, [0, 1, 1.0]),
    "u": ({}, [None, True, 0, 2.5, "a", [], {}, {"i": "a"}]),
    "o": (
        {
            "type": "object",
            "properties": {"i": {"type": "string"}, "j": {"type": "integer"}},
            "required": ["i"],
        },
        [{"i": "a"}, {"i": "zz", "j": 3}, {"i": "", "j": 0, "other": 1}],
    ),
    "l": (
        {"type": "array", "items": {"type": "object", "properties": {"p": {"type": "number"}}}},
        [[], [{"p": 1}], [{"p": 2.5}, {}], [{}]],
    ),
    "w": ({"type": "array", "items": {"enum": ["a", "b"]}}, [[], ["a"], ["b", "a"]]),
    "h": ({"type": "string", "x-privacy": "tokenise"}, ["a", "b"]),
    "d": ({"type": "string", "x-privacy": "drop"}, ["a"]),
    "g": ({"type": "object", "additionalProperties": {"type": "integer"}}, [{}, {"i": 3}]),
    "v": ({"allOf": [{"minimum": 1}, {"type": "number"}, {"maximum": 3}]}, [1, 2.5, 3]),
}  # fmt: skip
"""Fields, and values that their schemas accept."""

PATHS = [f"event.data.{name}" for name in FIELDS] + [
    "event.data.o.i", "event.data.o.j", "event.data['n']", "event.data.l[0].p", "event.data.w[0]",
    "event.data.g.i", "event.data.zz", "event.type", "event.origin", "event.data", "subject.plan",
    "event.data.u.i", "event.time",
]  # fmt: skip
CONSTANTS = [
    "0", "1", "2", "2.5", "3", "3.0", "4", "4.5", "5", "6", "7", "-1", "'a'", "'ab'", "'b'", "'zz'", "''", "true",
    "false", "null", "9007199254740992", "9007199254740992.0", "'a.b'", "'server'", "'browser'", "[]", "2u",
]  # fmt: skip
ORDER = ["==", "!=", "<", "<=", ">", ">=", "==", "=="]

path, literal, symbol = (st.sampled_from(pool) for pool in (PATHS, CONSTANTS, ORDER))
atoms = st.one_of(
    st.builds("{} {} {}".format, path, symbol, literal),
    st.builds("{} {} {}".format, path, symbol, literal),
    st.builds("{} {} {}".format, literal, symbol, path),
    st.builds("{} {} {}".format, path, symbol, path),
    st.builds("{} {} [{}, {}]".format, path, st.just("in"), literal, literal),
    st.builds("{} in {}".format, literal, path),
    st.builds("has({})".format, st.sampled_from([one for one in PATHS if one[-1].isalpha()])),
    st.builds("size({}) {} {}".format, path, symbol, literal),
    st.builds("{} + {} {} {}".format, path, literal, symbol, literal),
    st.builds("-{} {} {}".format, path, symbol, literal),
    st.builds(
        "{}.{}({})".format, path, st.sampled_from(["startsWith", "endsWith", "contains"]), literal
    ),
    st.builds("{}.matches('a.?')".format, path),
    st.builds(
        "{}.{}(e, {} {} {})".format,
        path,
        st.sampled_from(["all", "exists", "exists_one"]),
        st.sampled_from(["e", "e.p", "event.data.n"]),
        symbol,
        literal,
    ),
    st.builds("{}.filter(e, e {} {}) == []".format, path, symbol, literal),
    st.builds("type({}) == {}".format, path, st.sampled_from(["int", "double", "string"])),
    path,
    literal,
)
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map(" && ".join).map("({})".format),
        st.lists(inner, min_size=2, max_size=3).map(" || ".join).map("({})".format),
        inner.map("!({})".format),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("({} == {})".format, inner, inner),
    ),
    max_leaves=6,
)


def contract(required: list[str], origins: list[str]) -> Contract:
    schema = {
        "x-owner": "me",
        "x-origins": origins,
        "type": "object",
        "properties": {name: schema for name, (schema, _) in FIELDS.items()},
        "required": required,
        "$defs": {"small": {"type": "integer", "enum": [0, 1]}},
    }
    made, problems = read_contract(json.dumps(schema).encode(), "a.b.v1.json")
    assert made is not None, problems
    return made


@st.composite
def accepted(draw: st.DrawFn, required: list[str]) -> dict[str, Any]:
    """Data that such a contract accepts."""
    left_out = draw(st.sets(st.sampled_from(list(FIELDS)), max_size=3)) - set(required)
    return {
        name: draw(st.sampled_from(values))
        for name, (_, values) in FIELDS.items()
        if name not in left_out
    }


WILD = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 2.5, 3, -1, 4.5, float("nan"), float("inf"),
                     2**53, 2**53 + 1, float(2**53), -(2**63), 10**20, "a", "ab", "", "zz"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from([*FIELDS, "i", "j", "p"]), inner, max_size=3),
    ),
    max_leaves=4,
)  # fmt: skip
wild_data = st.one_of(WILD, st.dictionaries(st.sampled_from(list(FIELDS)), WILD, max_size=20))


def world(catalogue: Catalogue | None) -> World:
    text = "apiVersion: forestall/v1\nkind: Policy\nmetadata: {name: x}\nspec: {when: {event: a.b}}"
    return World(examine(parse_located(text, "f")[0][0]), catalogue)


def is_true(condition: str, data: Any, origin: str) -> bool:
    now = Timestamp(10**18)
    event = {
        "id": "1", "type": "a.b", "source": "s", "time": now, "origin": origin, "data": data,
    }  # fmt: skip
    run = compile_expression(condition, EVENT_VARIABLES).evaluate
    try:
        return run(event, {"plan": "a"}, now) is True
    except ExpressionError:
        return False


def judged_impossible(condition: str, catalogue: Catalogue | None) -> bool:
    node = syntax.parse(condition)
    return all(holding(node, variant) is None for variant in world(catalogue).variants(("a.b",)))


def _never(condition: str, data: st.DataObject) -> None:
    required = data.draw(st.lists(st.sampled_from([*FIELDS]), unique=True))
    origins = data.draw(st.sampled_from([["server"], ["browser"], ["browser", "server"]]))
    made = contract(required, origins)
    if not judged_impossible(condition, Catalogue([*builtin_contracts(), made])):
        return
    for _ in range(6):
        raw = data.draw(accepted(required))
        assert made.validate(raw) == []
        kept = made.minimise(raw, lambda value: f"t{value}")
        note(f"{condition} over {kept}")
        assert not is_true(condition, kept, data.draw(st.sampled_from(origins)))


def _never_without(condition: str, data: st.DataObject) -> None:
    if not judged_impossible(condition, None):
        return
    for _ in range(6):
        found = data.draw(wild_data)
        note(f"{condition} over {found}")
        assert not is_true(condition, found, data.draw(st.sampled_from(["server", "browser"])))


@settings(max_examples=150, deadline=None)
@given(conditions, st.data())
def test_what_a_contract_rules_out_never_matches(condition: str, data: st.DataObject) -> None:
    _never(condition, data)


@settings(max_examples=150, deadline=None)
@given(conditions, st.data())
def test_what_no_catalogue_is_needed_to_rule_out_never_matches(
    condition: str, data: st.DataObject
) -> None:
    _never_without(condition, data)


@pytest.mark.soak
@settings(max_examples=30_000, deadline=None)
@given(conditions, st.data())
def test_many_that_are_ruled_out_never_match(condition: str, data: st.DataObject) -> None:
    _never(condition, data)
    _never_without(condition, data)


def test_the_values_above_are_accepted() -> None:
    made = contract(list(FIELDS), ["server"])
    for name, (_, values) in FIELDS.items():
        for value in values:
            rest = {other: pool[0] for other, (_, pool) in FIELDS.items()}
            assert made.validate({**rest, name: value}) == [], (name, value)


def test_enough_is_ruled_out_for_this_to_mean_something() -> None:
    ruled_out = [
        f"event.data.{name} == {json.dumps(value)}"
        for name, value in [("n", 6), ("x", 3), ("s", "zz"), ("k", 5), ("b", 1), ("m", 2),
                            ("r", 2), ("v", 4), ("d", "a"), ("zz", 1)]
    ]  # fmt: skip
    catalogue = Catalogue([*builtin_contracts(), contract([], ["server"])])
    assert [one for one in ruled_out if not judged_impossible(one, catalogue)] == []
