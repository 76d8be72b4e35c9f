"""What all kinds of declarations share, read: schemas, fields, expressions, and ways of doing."""

import re
from typing import Any, cast

from forestall.contracts.instants import SECOND
from forestall.contracts.shape import UnusableSchema, escape
from forestall.policy.actions.model import Function, Http, Tool, Way
from forestall.policy.actions.schema import Arguments
from forestall.policy.language.document import Items, Mapping, Node, Place, Scalar
from forestall.policy.language.reader import Fields, describe, one_of, plain

LONGEST_TIMEOUT = 300 * SECOND
WAYS = ("http", "mcp", "python")
FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_POINTER = re.compile(r"(/([^~]|~[01])*)?")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_ANY = {"type": "object", "additionalProperties": True}


def object_schema(spec: Fields, key: str) -> dict[str, Any] | None:
    """The JSON Schema of an object under ``key``; none where there is none that can be used."""
    fields = spec.fields(key)
    if fields is None:
        return None
    schema: dict[str, Any] = plain(fields.node)
    if schema.get("type") != "object":
        fields.source.fail(
            fields.node.place, "bad-schema", f"`{key}` describes an object: write `type: object`"
        )
        return None
    try:
        Arguments(schema)
    except UnusableSchema as error:
        fields.source.fail(place_of(fields.node, error.pointer), "bad-schema", str(error))
        return None
    return schema


def input_schema(spec: Fields) -> dict[str, Any]:
    """The schema of ``input``; without a usable one, that of anything."""
    return object_schema(spec, "input") or _ANY


def place_of(node: Node, pointer: str) -> Place:
    """The place that a JSON Pointer leads to, or the nearest above it."""
    for part in pointer.split("/")[1:]:
        if isinstance(node, Mapping):
            keys = {escape(key): entry.value for key, entry in node.entries.items()}
            if part not in keys:
                break
            node = keys[part]
        elif isinstance(node, Items) and part.isdigit() and int(part) < len(node.items):
            node = node.items[int(part)]
    return node.place


def pointers(spec: Fields) -> dict[str, str]:
    """The JSON Pointer of each field of ``output``."""
    fields = spec.fields("output")
    if fields is None:
        return {}
    found = {}
    for name, entry in fields.node.entries.items():
        if not FIELD.fullmatch(name):
            message = f"`{name[:80]}` is no name of a field: letters, digits and _"
            fields.source.fail(entry.place, "bad-name", message)
        value = entry.value.value if isinstance(entry.value, Scalar) else None
        if not isinstance(value, str) or not _POINTER.fullmatch(value):
            message = f"`{fields.at(name)}` must be a JSON Pointer such as `/card/brand`"
            fields.source.fail(entry.value.place, "bad-value", message)
            continue
        found[name] = value
    return found


def expressions(fields: Fields, variables: tuple[str, ...]) -> dict[str, str] | None:
    """The CEL expressions under ``with``, none where that is not given."""
    given = fields.fields("with")
    if given is None:
        return None
    return {name: given.expression(name, variables) or "" for name in given.node.entries}


def timeout_of(spec: Fields, default: int) -> int:
    """The ``timeout`` of one call, in microseconds."""
    timeout = spec.duration("timeout", default)
    if 0 < timeout <= LONGEST_TIMEOUT:
        return timeout
    spec.fail("timeout", "bad-duration", "`timeout` must lie between 1ms and 5m")
    return default


def way_of(fields: Fields, variables: tuple[str, ...], *, required: bool = False) -> Way | None:
    """The one of ``http``, ``mcp`` and ``python`` that is given."""
    given = [way for way in WAYS if way in fields]
    if len(given) > 1:
        fields.fail(given[1], "bad-value", f"`{given[0]}` and `{given[1]}` exclude each other")
    if not given:
        if required and not fields.misspelt(*WAYS):
            message = f"`{fields.path}` needs one of {one_of(WAYS)}"
            fields.source.fail(fields.node.place, "missing-key", message)
        return None
    inner = fields.fields(given[0])
    if inner is None:
        return None
    return cast("Way", _WAY_READERS[given[0]](inner, variables))


def _http(fields: Fields, variables: tuple[str, ...]) -> Http:
    statuses = ("done", "refused", "retry")
    fields.allow(("api", "operation", "with", "credential", "key_header", *statuses), {})
    fields.require("api", "operation")
    header = fields.text("key_header", "Idempotency-Key")
    if not _HEADER.fullmatch(header):
        fields.fail("key_header", "bad-value", "not the name of a header")
    done, refused, retry = (_statuses(fields, key) for key in statuses)
    return Http(
        api=fields.text("api", ""),
        operation=fields.text("operation", ""),
        arguments=expressions(fields, variables),
        credential=fields.text("credential", None),
        key_header=header,
        done=done,
        refused=refused,
        retry=retry,
    )


def _tool(fields: Fields, variables: tuple[str, ...]) -> Tool:
    fields.allow(("server", "tool", "with", "key_argument"), {})
    fields.require("server", "tool")
    return Tool(
        server=fields.text("server", ""),
        tool=fields.text("tool", ""),
        arguments=expressions(fields, variables),
        key_argument=fields.text("key_argument", None),
    )


def _function(fields: Fields, variables: tuple[str, ...]) -> Function:
    fields.allow(("call", "with", "credential"), {})
    fields.require("call")
    call = fields.text("call", "")
    if call and not _FUNCTION.fullmatch(call):
        fields.fail("call", "bad-value", f"`{call[:80]}` is not of the form `package.module:name`")
    return Function(
        call=call,
        arguments=expressions(fields, variables),
        credential=fields.text("credential", None),
    )


def _statuses(fields: Fields, key: str) -> frozenset[int]:
    found = set()
    for node in fields.items(key):
        value = node.value if isinstance(node, Scalar) else None
        if isinstance(value, bool) or not isinstance(value, int) or not 200 <= value <= 599:
            message = f"`{fields.at(key)}` lists HTTP statuses, and {describe(node)} is none"
            fields.source.fail(node.place, "bad-value", message)
        else:
            found.add(value)
    return frozenset(found)


_WAY_READERS: dict[str, Any] = {"http": _http, "mcp": _tool, "python": _function}
