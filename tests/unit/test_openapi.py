import json
from pathlib import Path
from typing import Any

import pytest

from forestall.policy.actions.openapi import (
    Document,
    Operation,
    Parameter,
    Security,
    UnusableDocument,
    host_of,
    read_document,
    sound_url,
)


def document(paths: dict[str, Any], **more: Any) -> Document:
    return Document("api.yaml", {"openapi": "3.1.0", "paths": paths, **more})


def operation(raw: dict[str, Any], item: dict[str, Any] | None = None, **more: Any) -> Operation:
    return document(
        {"/a/{id}": {**(item or {}), "post": {"operationId": "x", **raw}}}, **more
    ).operation("x")


def parameter(name: str, where: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": where, "schema": {"type": "string"}, **more}


def body(schema: dict[str, Any], media: str = "application/json", **more: Any) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {media: {"schema": schema}}, **more}}


def test_parameters_of_the_path_and_of_the_operation_come_together() -> None:
    found = operation(
        {"parameters": [parameter("q", "query", explode=False), parameter("X-Y", "header")]},
        {"parameters": [parameter("id", "path", required=True), parameter("q", "query")]},
    )
    assert found.method == "POST"
    assert found.path == "/a/{id}"
    assert set(found.parameters) == {
        Parameter("id", "path", True),
        Parameter("q", "query", False, False),
        Parameter("X-Y", "header"),
    }
    assert found.required == {"id"}
    assert not found.unknown("q")
    assert found.unknown("other")


def test_references_inside_the_document_are_followed() -> None:
    components = {
        "parameters": {
            "id": parameter("id", "path", required=True),
            "alias": {"$ref": "#/components/parameters/id"},
        },
        "requestBodies": {"b": body({"$ref": "#/components/schemas/B~1x"})["requestBody"]},
        "schemas": {"B/x": {"type": "object", "required": ["n"], "properties": {"n": {}, "m": {}}}},
    }
    found = operation(
        {
            "parameters": [{"$ref": "#/components/parameters/alias"}],
            "requestBody": {"$ref": "#/components/requestBodies/b"},
        },
        components=components,
    )
    assert found.required == {"id", "n"}
    assert found.body == frozenset(["n", "m"])


@pytest.mark.parametrize(
    "reference", ["other.yaml#/x", "https://example.org/x", "#/components/parameters/loop", 5]
)
def test_references_that_lead_out_or_nowhere_are_refused(reference: Any) -> None:
    loop = {"parameters": {"loop": {"$ref": "#/components/parameters/loop"}}}
    with pytest.raises(UnusableDocument, match="reference"):
        operation({"parameters": [{"$ref": reference}]}, components=loop)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ({"parameters": [parameter("c", "cookie", required=True)]}, "`c` in cookie"),
        ({"parameters": [parameter("o", "query", schema={"type": "object"})]}, "of type object"),
        ({"parameters": [parameter("l", "path", schema={"type": "array"})]}, "of type array"),
        (body({"type": "object"}, "text/plain"), "not JSON"),
        (body({"type": "array"}), "not an object"),
        ({"security": [{"k": []}]}, "only headers"),
    ],
)
def test_what_cannot_be_called_is_told(raw: dict[str, Any], why: str) -> None:
    schemes = {"securitySchemes": {"k": {"type": "apiKey", "in": "query", "name": "key"}}}
    with pytest.raises(UnusableDocument, match=why):
        operation(raw, components=schemes)


def test_optional_parameters_that_are_not_supported_are_left_out() -> None:
    assert operation({"parameters": [parameter("c", "cookie")]}).parameters == ()


@pytest.mark.parametrize(
    ("schema", "known"),
    [
        ({"type": "object", "properties": {"a": {}}}, {"a"}),
        ({"properties": {"a": {}}}, {"a"}),
        ({"type": "object"}, None),
        ({"allOf": [{}], "properties": {"a": {}}}, None),
        ({"properties": {"a": {}}, "additionalProperties": True}, None),
    ],
)
def test_properties_of_a_body_are_known_or_open(schema: dict[str, Any], known: Any) -> None:
    found = operation(body(schema, "application/problem+json; charset=utf-8"))
    assert found.takes_body
    assert found.body == known
    assert found.unknown("b") is (known is not None)


@pytest.mark.parametrize(
    ("scheme", "security"),
    [
        ({"type": "http", "scheme": "bearer"}, Security()),
        ({"type": "oauth2"}, Security()),
        ({"type": "http", "scheme": "Basic"}, Security(prefix="Basic ", basic=True)),
        ({"type": "apiKey", "in": "header", "name": "X-Key"}, Security("X-Key", "")),
    ],
)
def test_a_credential_travels_as_the_document_says(scheme: Any, security: Security) -> None:
    components = {"securitySchemes": {"s": scheme}}
    assert operation({}, components=components, security=[{"s": []}]).security == security
    assert operation({"security": []}, components=components, security=[{"s": []}]).security is None


@pytest.mark.parametrize(
    ("servers", "address"),
    [
        ([{"url": "https://api.example/v1"}, {"url": "https://other/"}], "https://api.example/v1"),
        (
            [{"url": "https://{r}.example", "variables": {"r": {"default": "eu"}}}],
            "https://eu.example",
        ),
        ([{"url": "/v1"}], None),
        ([{"url": "https://{r}/"}, {}], None),
        ([], None),
        (None, None),
        ("x", None),
    ],
)
def test_the_first_server_counts_if_it_is_an_address(servers: Any, address: str | None) -> None:
    assert document({}, servers=servers).server == address


def test_documents_are_read_from_yaml_and_json(tmp_path: Path) -> None:
    raw = {"openapi": "3.0.3", "paths": {"/x": {"get": {"operationId": "getX"}}}}
    for name in ("a.openapi.json", "a.openapi.yaml"):
        (tmp_path / name).write_text(json.dumps(raw))
        assert read_document(tmp_path / name).names == {"getX"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not valid"),
        ("[]", "no OpenAPI 3"),
        ("swagger: '2.0'", "no OpenAPI 3"),
        ("openapi: 2.0", "no OpenAPI 3"),
        ("!!python/object/apply:os.system ['true']", "not valid"),
    ],
)
def test_what_is_no_document_is_told(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UnusableDocument, match=why):
        read_document(tmp_path / "a.yaml")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnusableDocument, match="No such file"):
        read_document(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UnusableDocument, match="UnicodeDecodeError"):
        read_document(tmp_path / "bad.yaml")


def test_odd_documents_have_no_operations() -> None:
    odd: list[Any] = [
        None,
        [],
        {"/x": []},
        {"/x": {"get": "y"}},
        {"/x": {"get": {"operationId": 5}}},
    ]
    for paths in odd:
        assert document(paths).names == frozenset()


@pytest.mark.parametrize(
    ("url", "sound"),
    [
        ("https://x", True), ("http://127.0.0.1:80/v1", True), ("https://[::1]:80/", True),
        ("x", False), ("ftp://x", False), ("https://", False), ("https://u@x/", False),
        ("https://x/?q", False), ("https://x/#f", False), ("https://x:99999/", False),
        ("https://x:0/", False),
    ],
)  # fmt: skip
def test_an_address_is_sound(url: str, sound: bool) -> None:
    assert sound_url(url) is sound


def test_host_and_port_of_an_address() -> None:
    assert host_of("https://X.example/") == ("x.example", 443)
    assert host_of("http://[::1]/") == ("::1", 80)
    assert host_of("http://a:81") == ("a", 81)
