"""Contracts whose check is decoding: which they are, and what they let pass."""

from typing import Any

import msgspec
import pytest

from forestall.ingest.fitting import reader_of

encode = msgspec.json.Encoder().encode


def one(field: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A schema with one field."""
    return {"type": "object", "x-owner": "a", "properties": {"f": field}, **more}


def passes(schema: dict[str, Any], text: bytes) -> bytes | None:
    """What is kept of ``text``, none where it is not sure to fit."""
    read = reader_of(schema)
    assert read is not None
    try:
        return encode(read(text))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ({"type": "string"}, b'"x"', b"5"),
        ({"type": "string", "minLength": 2}, b'"xx"', b'"x"'),
        ({"type": "string", "maxLength": 2}, '"\U0001f642\U0001f642"'.encode(), b'"xxx"'),
        ({"type": "integer"}, b"9223372036854775807", b"9223372036854775808"),
        ({"type": "integer"}, b"-9223372036854775808", b"-9223372036854775809"),
        ({"type": "integer", "minimum": 1}, b"1", b"0"),
        ({"type": "integer", "exclusiveMaximum": 3}, b"2", b"3"),
        ({"type": "number"}, b"0.5", b"9223372036854775808"),
        ({"type": "number"}, b"1e18", b"1e19"),
        ({"type": "number", "maximum": 0.5}, b"0.5", b"0.75"),
        ({"type": "number", "exclusiveMinimum": 0}, b"0.5", b"0.0"),
        ({"type": "boolean"}, b"true", b"1"),
        ({"type": "null"}, b"null", b"0"),
        ({"type": ["string", "null"]}, b"null", b"5"),
        ({"enum": ["a", "b"]}, b'"b"', b'"c"'),
        ({"enum": ["a"], "type": "string"}, b'"a"', b"null"),
        ({"type": "array"}, b'[1,"x",null,1.5]', b"[[1]]"),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 1}, b'["x"]', b'["x","y"]'),
        ({"type": "array", "items": {"type": "string"}}, b'["x"]', b"[5]"),
        ({"type": "object", "properties": {"g": {"type": "null"}}}, b'{"g":null}', b'{"h":null}'),
        ({"type": "object", "required": ["g"], "properties": {"g": {"type": "null"}}},
         b'{"g":null}', b"{}"),
    ],
)  # fmt: skip
def test_what_fits_is_kept_as_it_is(field: dict[str, Any], good: bytes, bad: bytes) -> None:
    schema = one(field)
    whole = b'{"f":' + good + b"}"
    kept = passes(schema, whole)
    assert kept is not None
    assert msgspec.json.decode(kept) == msgspec.json.decode(whole)
    assert passes(schema, b'{"f":' + bad + b"}") is None


def test_a_number_becomes_a_double() -> None:
    assert passes(one({"type": "number"}), b'{"f":5}') == b'{"f":5.0}'


def test_fields_may_be_missing_and_none_may_be_added() -> None:
    schema = one({"type": "string"})
    assert passes(schema, b"{}") == b"{}"
    assert passes(schema, b'{"g":"x"}') is None
    assert passes(schema, b"null") is None
    assert passes({**schema, "required": ["f"]}, b"{}") is None


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": ["object", "null"]},
        {"type": "object", "additionalProperties": True},
        {"type": "object", "minProperties": 1},
        {"type": "object", "allOf": [{}]},
        {"type": "object", "required": ["f"]},
        one({}),
        one(True),  # type: ignore[arg-type]
        one({"type": "string", "pattern": "x"}),
        one({"type": "string", "format": "date"}),
        one({"type": "string", "x-privacy": "drop"}),
        one({"type": "string", "x-privacy": "tokenise"}),
        one({"type": ["integer", "number"]}),
        one({"type": "integer", "minimum": 0.5}),
        one({"type": "integer", "maximum": 2**60}),
        one({"type": "integer", "minimum": 0, "exclusiveMinimum": 0}),
        one({"type": "integer", "multipleOf": 2}),
        one({"type": "object", "additionalProperties": {"type": "string"}}),
        one({"type": "array", "prefixItems": [{"type": "string"}]}),
        one({"enum": ["a", 1]}),
        one({"enum": ["a"], "type": "integer"}),
        one({"$ref": "#/$defs/x"}),
        one({"const": "x"}),
    ],
)
def test_other_contracts_are_left_to_their_validator(schema: dict[str, Any]) -> None:
    assert reader_of(schema) is None


def test_a_contract_too_deep_is_not_followed() -> None:
    field: dict[str, Any] = {"type": "null"}
    for _ in range(40):
        field = one(field)
    assert reader_of(field) is None
