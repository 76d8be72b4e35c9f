"""Breaking changes of contracts are refused with the reason; wider contracts are welcome."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from forestall.cli.contracts import app
from forestall.contracts.catalogue import Contract, read_contract
from forestall.contracts.compatibility import Breaking, breaking_changes
from forestall.contracts.errors import UnreadableInput


def contract(schema: dict[str, Any], name: str = "a.b.v1.json", folder: str = "new") -> Contract:
    found, problems = read_contract(
        json.dumps({"x-owner": "me", **schema}).encode(), f"{folder}/{name}"
    )
    assert found is not None, problems
    return found


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    found = breaking_changes([contract(old, folder="old")], [contract(new)], "new")
    assert {(one.file, one.type, one.major) for one in found} <= {("new/a.b.v1.json", "a.b", 1)}
    return [f"{one.pointer}: {one.message}" for one in found]


def field(**schema: Any) -> dict[str, Any]:
    return {"properties": {"x": schema}}


BREAKING: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("a field is gone", field(), {"properties": {}}, "/properties/x: the field x is gone"),
    ("a field is required", field(), {**field(), "required": ["x"]}, "/required: the field x is now required"),
    ("a new field is required", {}, {**field(), "required": ["x"]}, "/required: the field x is now required"),
    ("another type", field(type="string"), field(type="integer"), "/properties/x/type: the type string is no longer allowed"),
    ("fewer types", field(type=["string", "null"]), field(type="string"), "/properties/x/type: the type null is no longer allowed"),
    ("number to integer", field(type="number"), field(type="integer"), "/properties/x/type: the type number is no longer allowed"),
    ("a type at last", field(), field(type="string"), "/properties/x/type: any type was allowed, now only string"),
    ("fewer values", field(enum=["a", "b", 1]), field(enum=["a", 1.0]), "/properties/x/enum: the value \"b\" is no longer allowed"),
    ("values at last", field(), field(enum=["a"]), "/properties/x/enum: any value was allowed, now only those listed"),
    ("true is not 1", field(enum=[1]), field(enum=[True]), "/properties/x/enum: the value 1 is no longer allowed"),
    ("one value", field(const=1), field(const=2), "/properties/x/const: the value 1 is no longer allowed"),
    ("longer", field(minLength=1), field(minLength=2), "/properties/x/minLength: minLength changes from 1 to 2"),
    ("shorter", field(maxLength=9), field(maxLength=8), "/properties/x/maxLength: maxLength changes from 9 to 8"),
    ("a bound at last", field(), field(maximum=5), "/properties/x/maximum: maximum 5 is new, where anything was allowed"),
    ("higher", field(minimum=0), field(minimum=0.5), "/properties/x/minimum: minimum changes from 0 to 0.5"),
    ("another pattern", field(pattern="a"), field(pattern="a|b"), "/properties/x/pattern: pattern changes from \"a\" to \"a|b\""),
    ("a step", field(), field(multipleOf=5), "/properties/x/multipleOf: multipleOf 5 is new, where anything was allowed"),
    ("unique", field(), field(uniqueItems=True), "/properties/x/uniqueItems: uniqueItems true is new, where anything was allowed"),
    ("nothing else", {}, {"additionalProperties": False}, "/additionalProperties: fields that are not named were taken, and are now refused"),
    ("nothing else any more", {"additionalProperties": {}}, {"additionalProperties": False}, "/additionalProperties: fields that are not named were taken, and are now refused"),
    ("the rest is dropped", {"additionalProperties": True}, {}, "/additionalProperties: fields that are not named were kept, and are now dropped"),
    ("the rest is narrower", {"additionalProperties": {}}, {"additionalProperties": {"type": "string"}}, "/additionalProperties/type: any type was allowed, now only string"),
    ("items are narrower", field(items={"type": ["string", "null"]}), field(items={"type": "string"}), "/properties/x/items/type: the type null is no longer allowed"),
    ("items at last", field(), field(items={"type": "string"}), "/properties/x/items/type: any type was allowed, now only string"),
    ("items lose their fields", field(items={"properties": {"y": {}}}), field(), "/properties/x/items: the fields of the items are no longer declared, so they are dropped"),
    ("a field of an object is gone", field(properties={"y": {}}), field(properties={}), "/properties/x/properties/y: the field y is gone"),
    ("nothing fits", field(), {"properties": {"x": False}}, "/properties/x: nothing is allowed here any more"),
    ("less private", field(**{"x-privacy": "drop"}), field(), "/properties/x/x-privacy: x-privacy changes from drop to keep: the field is less protected than promised"),
    ("less private still", field(**{"x-privacy": "tokenise"}), field(**{"x-privacy": "keep"}), "/properties/x/x-privacy: x-privacy changes from tokenise to keep: the field is less protected than promised"),
    ("more private", field(), field(**{"x-privacy": "drop"}), "/properties/x/x-privacy: x-privacy changes from keep to drop: policies lose its value"),
    ("an origin is gone", {"x-origins": ["server", "browser"]}, {}, "/x-origins: the origin browser may no longer send it"),
    ("kept for less", {"x-retention": "90d"}, {"x-retention": "30d"}, "/x-retention: the retention is shortened from 90d to 30d"),
    ("a new condition", {}, {"allOf": [{"required": ["x"]}]}, "/allOf/0: a condition is new or narrower"),
    ("a narrower condition", {"allOf": [{"minProperties": 1}]}, {"allOf": [{"minProperties": 2}]}, "/allOf/0: a condition is new or narrower"),
    ("alternatives at last", field(), field(anyOf=[{"type": "string"}]), "/properties/x/anyOf: anyOf is new, where anything was allowed"),
    ("an alternative is gone", field(oneOf=[{"type": "string"}, {"type": "null"}]), field(oneOf=[{"type": "string"}]), "/properties/x/oneOf: alternative 1 is gone or narrower"),
    ("behind a reference", {**field(**{"$ref": "#/$defs/y"}), "$defs": {"y": {"maxLength": 5}}}, {**field(**{"$ref": "#/$defs/z"}), "$defs": {"z": {"maxLength": 4}}}, "/properties/x/maxLength: maxLength changes from 5 to 4"),
    ("a name with a slash", {"properties": {"a/b": {}}}, {}, "/properties/a~1b: the field a/b is gone"),
    ("unless", field(), field(**{"not": {"const": 5}}), "/properties/x/not: not {\"const\":5} is new, where anything was allowed"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "expected"), [case[1:] for case in BREAKING], ids=[case[0] for case in BREAKING]
)
def test_a_breaking_change_is_told(old: dict[str, Any], new: dict[str, Any], expected: str) -> None:
    assert changes(old, new) == [expected]


FINE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("a new field", {}, field(type="string")),
    ("no longer required", {**field(), "required": ["x"]}, field()),
    ("more types", field(type="string"), field(type=["string", "null"])),
    ("integer to number", field(type="integer"), field(type=["number", "string"])),
    ("any type", field(type="string"), field()),
    ("more values", field(enum=["a"]), field(enum=["a", "b"])),
    ("one value of several", field(const="a"), field(enum=["a", "b"])),
    ("any value", field(enum=["a"]), field(type="string")),
    ("lower", field(minimum=1), field(minimum=0)),
    ("no bound", field(maxLength=5), field()),
    ("no pattern", field(pattern="a"), field()),
    ("not unique", field(uniqueItems=True), field(uniqueItems=False)),
    ("the rest is allowed", {"additionalProperties": False}, {"additionalProperties": True}),
    ("the rest is dropped, not refused", {"additionalProperties": False}, {}),
    ("another origin", {}, {"x-origins": ["server", "browser"]}),
    ("kept for longer", {"x-retention": "30d"}, {"x-retention": "31d"}),
    ("words", {"title": "a"}, {"title": "b", "description": "c"}),
    ("another alternative", field(anyOf=[{"type": "string"}]), field(anyOf=[{"type": "null"}, {"type": "string"}])),
    ("no alternatives", field(anyOf=[{"type": "string"}]), field()),
    ("the same behind a reference", field(maxLength=5), {**field(**{"$ref": "#/$defs/y"}), "$defs": {"y": {"maxLength": 5}}}),
    ("another owner", {}, {"x-owner": "you"}),
    ("false to anything", {"properties": {"x": False}}, field()),
    ("true is anything", {"properties": {"x": True}}, field()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new"), [case[1:] for case in FINE], ids=[case[0] for case in FINE]
)
def test_a_wider_contract_is_welcome(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert changes(old, new) == []


def test_a_contract_that_is_gone_is_breaking_and_a_new_major_is_not() -> None:
    old = contract({}, folder="old")
    newer = contract({"required": ["x"]}, "a.b.v2.json")
    assert breaking_changes([old], [contract({}), newer], "new") == []
    gone = breaking_changes([old], [newer], "new")
    assert gone == [
        Breaking(
            "new",
            "",
            "a.b",
            1,
            "the contract is gone (old/a.b.v1.json); senders of it would be turned away",
        )
    ]
    assert str(gone[0]).startswith("new#: a.b.v1: the contract is gone")


SIMPLE = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "number", "integer", ["string", "null"]]),
        "enum": st.lists(st.sampled_from(["a", "bb", 1, 2.5, None]), min_size=1, unique_by=repr),
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 2),
        "minimum": st.integers(0, 3),
        "maximum": st.integers(0, 3),
    },
)
OBJECTS = st.fixed_dictionaries(
    {"properties": st.dictionaries(st.sampled_from("xy"), SIMPLE)},
    optional={
        "required": st.lists(st.sampled_from("xy"), unique=True),
        "additionalProperties": st.sampled_from([False, True, {"type": "string"}]),
        "anyOf": st.lists(
            st.sampled_from([{"required": ["x"]}, {"required": ["y"]}]), min_size=1, max_size=2
        ),
    },
)
VALUES = st.sampled_from(["", "a", "bb", "ccc", 0, 1, 2.5, 4, None, True])


@given(OBJECTS, OBJECTS, st.dictionaries(st.sampled_from("xyz"), VALUES))
def test_what_is_not_breaking_takes_all_that_was_taken(
    old: dict[str, Any], new: dict[str, Any], data: dict[str, Any]
) -> None:
    """But for fields that were not declared: those may be declared, with a type, later."""
    declared = {name: value for name, value in data.items() if name in old["properties"]}
    if not changes(old, new) and contract(old).validate(declared) == []:
        assert contract(new).validate(declared) == []


@given(OBJECTS)
def test_no_change_is_no_breaking_change(schema: dict[str, Any]) -> None:
    assert changes(schema, schema) == []


# -- the commands --------------------------------------------------------------------------------


def write(folder: Path, schema: dict[str, Any], name: str = "a.b.v1.json") -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps({"x-owner": "me", **schema}, indent=2))
    return str(folder)


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, words)
    return result.exit_code, result.stdout


def test_the_check_command(tmp_path: Path) -> None:
    old, new = write(tmp_path / "old", field()), write(tmp_path / "new", {})
    assert run("check", old, old) == (0, "no breaking change\n")
    code, output = run("check", old, new)
    place = f"{new}/a.b.v1.json"
    assert code == 1
    assert output == (f"{place}#/properties/x: a.b.v1: the field x is gone\n1 breaking change\n")
    code, output = run("check", f"{old}/a.b.v1.json", f"{new}/a.b.v1.json", "--json")
    assert code == 1
    assert json.loads(output) == [
        {
            "file": place,
            "pointer": "/properties/x",
            "type": "a.b",
            "major": 1,
            "message": "the field x is gone",
        }
    ]


def test_the_lint_command(tmp_path: Path) -> None:
    good = write(tmp_path / "good", {})
    assert run("lint", good) == (0, "contracts checked: 1\n")
    warned = write(tmp_path / "warned", {"required": ["x"]})
    code, output = run("lint", warned)
    assert (code, output.splitlines()[-1]) == (0, "contracts checked: 1, 1 warning")
    bad = write(tmp_path / "bad", {"type": "strng"})
    code, output = run("lint", bad)
    assert code == 1
    assert output.startswith(f"{bad}/a.b.v1.json:3:3: error: not JSON Schema 2020-12")
    assert output.endswith("1 error\n")
    code, output = run("lint", bad, "--json")
    assert (code, json.loads(output)[0]["code"]) == (1, "bad-schema")


def test_lint_of_a_folder_without_contracts_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["lint", str(tmp_path)])
    assert isinstance(result.exception, UnreadableInput)
    assert str(result.exception) == (
        f"{tmp_path}: there is no contract (*.json) in it; is it the right folder?"
    )


def test_the_list_command(tmp_path: Path) -> None:
    folder = write(tmp_path, {**field(type="string"), "x-origins": ["browser"]})
    code, output = run("list", folder)
    assert code == 0
    assert output.split() == (
        [
            "type",
            "major",
            "owner",
            "kept",
            "for",
            "origins",
            "fields",
            "a.b",
            "1",
            "me",
            "30d",
            "browser",
            "x",
        ]
    )
    code, output = run("list", folder, "--json")
    assert (code, json.loads(output)) == (
        0,
        [
            {
                "type": "a.b",
                "major": 1,
                "owner": "me",
                "retention": "30d",
                "origins": ["browser"],
                "fields": {"x": "string"},
                "file": f"{folder}/a.b.v1.json",
            }
        ],
    )
