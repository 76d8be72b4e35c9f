"""Declarations from YAML: one document each, of kind Lookup, Agent or Action, with every mistake told."""

import re
from typing import Any, Literal, NamedTuple, cast

import msgspec

from forestall.contracts.errors import Problem
from forestall.contracts.instants import SECOND, parse_duration
from forestall.policy.actions.agents import AGENT, read_agent
from forestall.policy.actions.model import (
    Action,
    Check,
    Declaration,
    Flag,
    Function,
    Lookup,
    Rate,
    Repeats,
    Risk,
    Way,
)
from forestall.policy.actions.parts import (
    WAYS,
    expressions,
    input_schema,
    pointers,
    timeout_of,
    way_of,
)
from forestall.policy.language.document import Items, Mapping, Node, Place, Scalar, Source, Unusable
from forestall.policy.language.parse import API_VERSION
from forestall.policy.language.reader import Fields, describe

Kind = Literal["Lookup", "Agent", "Action"]

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RATE = re.compile(r"([1-9][0-9]{0,8})/(\S+)")
_READ = ("input", "output", "timeout", *WAYS)
_SPEC: dict[str, tuple[str, ...]] = {
    "Lookup": _READ,
    "Agent": AGENT,
    "Action": (
        "risk", "people", "input", "output", "timeout", "rate", "deduplication", "precondition",
        "dry_run", "execute", "verify", "undo", "find",
    ),
}  # fmt: skip
_REQUIRED: dict[str, tuple[str, ...]] = {
    "Lookup": ("input", "output"),
    "Agent": ("input",),
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
        """Note a mistake at the value below ``spec`` that ``path`` (keys, and places in lists from
        0) leads to, or nearest above."""
        node: Node = self.spec.node
        for part in path:
            if isinstance(node, Mapping) and part in node.entries:
                node = node.entries[part].value
            elif isinstance(node, Items) and part.isdigit() and int(part) < len(node.items):
                node = node.items[int(part)]
            else:
                break
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
        input=input_schema(spec),
        output=pointers(spec),
        way=way_of(spec, ("arguments",), required=True) or _NOTHING,
        timeout=timeout_of(spec, 5 * SECOND),
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
        input=input_schema(spec),
        output=pointers(spec),
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
        timeout=timeout_of(spec, 10 * SECOND),
    )  # fmt: skip


_READERS: dict[str, Any] = {"Lookup": _lookup, "Agent": read_agent, "Action": _action}
_NOTHING = Function(call="")
_NEVER = Check(lookup=None, condition="false")


def _below(spec: Fields, key: str, variables: tuple[str, ...]) -> Way | None:
    """The way that the mapping under ``key`` describes."""
    fields = spec.fields(key)
    if fields is None:
        return None
    fields.allow(WAYS, {})
    return way_of(fields, variables, required=True)


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
    fields.allow(("argument", *WAYS), {})
    if "argument" in fields:
        if any(way in fields for way in WAYS):
            fields.fail("argument", "bad-value", "`argument` goes with `execute`, not with this")
        return Flag(argument=fields.text("argument", ""))
    return way_of(fields, ("arguments", "key"), required=True) or "describe"


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
        arguments=expressions(fields, given) or {},
        condition=fields.expression("if", seen) or "false",
        every=max(fields.duration("every", SECOND), 10_000),
        within=fields.duration("within", None),
    )


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
