"""Declarations from YAML: one document each, of kind Lookup, Agent or Action, with every mistake told."""

import re
from typing import Any, Literal, NamedTuple, cast

import msgspec

from forestall.contracts.errors import Problem
from forestall.contracts.instants import SECOND, parse_duration
from forestall.contracts.shape import UnusableSchema, escape
from forestall.policy.actions.model import (
    Action,
    Agent,
    Check,
    Declaration,
    Flag,
    Function,
    Http,
    Lookup,
    Rate,
    Repeats,
    Risk,
    Tool,
    Way,
)
from forestall.policy.actions.schema import Arguments
from forestall.policy.language.document import Items, Mapping, Node, Place, Scalar, Source, Unusable
from forestall.policy.language.parse import API_VERSION
from forestall.policy.language.reader import Fields, describe, one_of, plain

Kind = Literal["Lookup", "Agent", "Action"]
LONGEST_TIMEOUT = 300 * SECOND

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_POINTER = re.compile(r"(/([^~]|~[01])*)?")
_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_RATE = re.compile(r"([1-9][0-9]{0,8})/(\S+)")
_WAYS = ("http", "mcp", "python")
_READ = ("input", "output", "timeout", *_WAYS)
_SPEC: dict[str, tuple[str, ...]] = {
    "Lookup": _READ,
    "Agent": ("input", "output", "timeout", "python"),
    "Action": (
        "risk", "people", "input", "output", "timeout", "rate", "deduplication", "precondition",
        "dry_run", "execute", "verify", "undo", "find",
    ),
}  # fmt: skip
_REQUIRED: dict[str, tuple[str, ...]] = {
    "Lookup": ("input", "output"),
    "Agent": ("input", "output", "python"),
    "Action": ("risk", "input", "dry_run", "execute", "verify"),
}


class Located(NamedTuple):
    """A declaration with the places of everything in it."""

    declaration: Declaration
    document: Fields
    spec: Fields

    def problem(
        self, path: tuple[str, ...], code: str, message: str, hint: str | None = None
    ) -> None:
        """Note a mistake at the value below ``spec`` that ``path`` leads to, or nearest above."""
        node: Node = self.spec.node
        for part in path:
            entry = node.entries.get(part) if isinstance(node, Mapping) else None
            if entry is None:
                break
            node = entry.value
        self.spec.source.fail(node.place, code, message, hint)

    def name_problem(self, code: str, message: str, hint: str | None = None) -> None:
        """Note a mistake at the declaration's name."""
        metadata = self.document.fields("metadata")
        entry = None if metadata is None else metadata.node.entries.get("name")
        place = self.document.node.place if entry is None else entry.value.place
        self.spec.source.fail(place, code, message, hint)


def read_declarations(text: str, file: str) -> tuple[list[Located], Source]:
    """The declarations of one file, and their source with the mistakes found so far.

    Where there are mistakes the declarations are not to be trusted.
    """
    source = Source(text, file)
    found = []
    for root in source.documents:
        if isinstance(root, Scalar) and root.value is None:
            continue
        if isinstance(root, Mapping):
            found.append(_declaration(Fields(source, root, "")))
        elif not (isinstance(root, Scalar) and isinstance(root.value, Unusable)):
            message = f"a declaration must be a mapping, not {describe(root)}"
            source.fail(root.place, "wrong-type", message)
    if not found and not source.problems:
        source.fail(Place(1, 1), "no-declaration", "the file declares nothing")
    return found, source


def problems_of(source: Source) -> list[Problem]:
    """The mistakes of a file, each once."""
    return sorted(set(source.problems))


def _declaration(document: Fields) -> Located:
    document.allow(("apiVersion", "kind", "metadata", "spec"), {})
    _require(document, "the declaration", "apiVersion", "kind", "metadata", "spec")
    version = document.text("apiVersion", API_VERSION)
    if version != API_VERSION:
        document.fail("apiVersion", "bad-value", f"`apiVersion` must be `{API_VERSION}`")
    kind: Kind = document.choice("kind", Kind, "Lookup")
    nothing = Fields(document.source, Mapping({}, document.node.place), "")
    metadata = document.fields("metadata")
    name = "" if metadata is None else _name(metadata)
    title = name if metadata is None else metadata.text("title", name)
    spec = document.fields("spec")
    if spec is not None and "kind" in document:
        spec.allow(_SPEC[kind], {})
        _require(spec, f"the {kind.lower()} `{name}`", *_REQUIRED[kind])
    spec = spec or nothing
    read = _READERS[kind](name, title, spec)
    if metadata is not None:
        owner, day = metadata.text("owner", ""), metadata.day("review_by")
        read = msgspec.structs.replace(read, owner=owner, review_by=day)
    return Located(read, document, spec)


def _require(fields: Fields, what: str, *keys: str) -> None:
    for key in keys:
        if key not in fields and not fields.misspelt(key):
            hint = _WHY.get(key)
            fields.source.fail(fields.node.place, "missing-key", f"{what} lacks `{key}`", hint)


_WHY = {
    "risk": "say how bad it is if this goes wrong: `low`, `medium` or `high`",
    "dry_run": "say how it is tried without effect: `describe`, an argument, or an operation",
    "verify": "say by which lookup one sees that it worked",
}


def _name(metadata: Fields) -> str:
    metadata.allow(("name", "title", "owner", "review_by"), {})
    _require(metadata, "`metadata`", "name")
    name = metadata.text("name", "")
    if name and not _NAME.fullmatch(name):
        metadata.fail("name", "bad-name", f"`{name[:80]}` is not a name: 1 to 63 of a-z, 0-9 and -")
    return name


def _lookup(name: str, title: str, spec: Fields) -> Lookup:
    return Lookup(
        name=name,
        title=title,
        input=_schema(spec),
        output=_output(spec),
        way=_way(spec, ("arguments",), required=True) or _NOTHING,
        timeout=_timeout(spec, 5 * SECOND),
    )


def _agent(name: str, title: str, spec: Fields) -> Agent:
    way = _way(spec, ("arguments",))
    return Agent(
        name=name,
        title=title,
        input=_schema(spec),
        output=_output(spec),
        way=way if isinstance(way, Function) else _NOTHING,
        timeout=_timeout(spec, 20 * SECOND),
    )


def _action(name: str, title: str, spec: Fields) -> Action:
    repeats: Repeats = spec.choice("deduplication", Repeats, "neither")
    find = _check(spec, "find", ("arguments", "key"), ("arguments", "fields", "key"), lookup=True)
    if (repeats == "lookup") != ("find" in spec):
        message = "`find` says how a key is looked up; it goes with `deduplication: lookup`"
        key = "find" if "find" in spec else "deduplication"
        spec.fail(key, "bad-value", message)
    return Action(
        name=name,
        title=title,
        risk=cast("Risk", spec.choice("risk", Risk, "high")),
        people=spec.whole("people", 1, 1, 2),
        input=_schema(spec),
        output=_output(spec),
        execute=_below(spec, "execute", ("arguments", "key")) or _NOTHING,
        dry_run=_dry_run(spec),
        verify=_check(
            spec, "verify", ("arguments", "result", "key"), ("arguments", "result", "fields", "key"),
            lookup=True, every=True,
        ) or _NEVER,
        precondition=_check(spec, "precondition", ("arguments",), ("arguments", "fields")),
        undo=_below(spec, "undo", ("arguments", "result", "key")),
        find=find,
        rate=_rate(spec),
        deduplication=repeats,
        timeout=_timeout(spec, 10 * SECOND),
    )  # fmt: skip


_READERS: dict[str, Any] = {"Lookup": _lookup, "Agent": _agent, "Action": _action}
_NOTHING = Function(call="")
_NEVER = Check(lookup=None, condition="false")


def _below(spec: Fields, key: str, variables: tuple[str, ...]) -> Way | None:
    """The way that the mapping under ``key`` describes."""
    fields = spec.fields(key)
    if fields is None:
        return None
    fields.allow(_WAYS, {})
    return _way(fields, variables, required=True)


def _dry_run(spec: Fields) -> Literal["describe"] | Flag | Way:
    node = spec.node.entries.get("dry_run")
    if node is None:
        return "describe"
    if isinstance(node.value, Scalar):
        word = spec.text("dry_run", "describe")
        if word != "describe":
            hint = "write `describe`, `{argument: NAME}`, or `{http: ...}`"
            spec.fail("dry_run", "bad-value", f"`{word[:40]}` is no way to try it", hint)
        return "describe"
    fields = spec.fields("dry_run")
    if fields is None:
        return "describe"
    fields.allow(("argument", *_WAYS), {})
    if "argument" in fields:
        if any(way in fields for way in _WAYS):
            fields.fail("argument", "bad-value", "`argument` goes with `execute`, not with this")
        return Flag(argument=fields.text("argument", ""))
    return _way(fields, ("arguments", "key"), required=True) or "describe"


def _way(fields: Fields, variables: tuple[str, ...], *, required: bool = False) -> Way | None:
    """The one of ``http``, ``mcp`` and ``python`` that is given."""
    given = [way for way in _WAYS if way in fields]
    if len(given) > 1:
        fields.fail(given[1], "bad-value", f"`{given[0]}` and `{given[1]}` exclude each other")
    if not given:
        if required and not fields.misspelt(*_WAYS):
            message = f"`{fields.path}` needs one of {one_of(_WAYS)}"
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
        arguments=_expressions(fields, variables),
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
        arguments=_expressions(fields, variables),
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
        arguments=_expressions(fields, variables),
        credential=fields.text("credential", None),
    )


_WAY_READERS: dict[str, Any] = {"http": _http, "mcp": _tool, "python": _function}


def _expressions(fields: Fields, variables: tuple[str, ...]) -> dict[str, str] | None:
    """The CEL expressions under ``with``, none where that is not given."""
    given = fields.fields("with")
    if given is None:
        return None
    return {name: given.expression(name, variables) or "" for name in given.node.entries}


def _check(
    spec: Fields,
    key: str,
    given: tuple[str, ...],
    seen: tuple[str, ...],
    *,
    lookup: bool = False,
    every: bool = False,
) -> Check | None:
    """A condition, over a lookup (``lookup``: there has to be one) whose arguments see ``given``."""
    fields = spec.fields(key)
    if fields is None:
        return None
    fields.allow(("lookup", "with", "if", *(("every", "within") if every else ())), {})
    fields.require("if", *(("lookup",) if lookup else ()))
    if "with" in fields and "lookup" not in fields and not lookup:
        fields.fail(
            "with", "bad-value", "`with` are the arguments of a `lookup`, and there is none"
        )
    if "lookup" not in fields:
        seen = tuple(name for name in seen if name != "fields")
    return Check(
        lookup=fields.text("lookup", None),
        arguments=_expressions(fields, given) or {},
        condition=fields.expression("if", seen) or "false",
        every=max(fields.duration("every", SECOND), 10_000),
        within=fields.duration("within", None),
    )


_ANY = {"type": "object", "additionalProperties": True}


def _schema(spec: Fields) -> dict[str, Any]:
    fields = spec.fields("input")
    if fields is None:
        return _ANY
    schema: dict[str, Any] = plain(fields.node)
    if schema.get("type") != "object":
        fields.source.fail(
            fields.node.place, "bad-schema", "`input` describes an object: write `type: object`"
        )
        return _ANY
    try:
        Arguments(schema)
    except UnusableSchema as error:
        fields.source.fail(_at(fields.node, error.pointer), "bad-schema", str(error))
        return _ANY
    return schema


def _at(node: Node, pointer: str) -> Place:
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


def _output(spec: Fields) -> dict[str, str]:
    fields = spec.fields("output")
    if fields is None:
        return {}
    found = {}
    for name, entry in fields.node.entries.items():
        if not _FIELD.fullmatch(name):
            message = f"`{name[:80]}` is no name of a field: letters, digits and _"
            fields.source.fail(entry.place, "bad-name", message)
        value = entry.value.value if isinstance(entry.value, Scalar) else None
        if not isinstance(value, str) or not _POINTER.fullmatch(value):
            message = f"`{fields.at(name)}` must be a JSON Pointer such as `/card/brand`"
            fields.source.fail(entry.value.place, "bad-value", message)
            continue
        found[name] = value
    return found


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


def _rate(spec: Fields) -> Rate | None:
    text = spec.text("rate", None)
    if text is None:
        return None
    match = _RATE.fullmatch(text)
    try:
        if match is not None and (within := parse_duration(match[2])) > 0:
            return Rate(int(match[1]), within)
    except ValueError:
        pass
    spec.fail("rate", "bad-value", f"`{text[:40]}` is no rate", "write one like `10/1m`")
    return None


def _timeout(spec: Fields, default: int) -> int:
    timeout = spec.duration("timeout", default)
    if 0 < timeout <= LONGEST_TIMEOUT:
        return timeout
    spec.fail("timeout", "bad-duration", "`timeout` must lie between 1ms and 5m")
    return default
