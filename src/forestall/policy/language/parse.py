"""Policy files to policies: the grammar of the language, every mistake at its place.

``parse`` is for those who want policies; ``parse_located`` also gives the document, with which
``check`` points at places in the file.
"""

import re
from typing import Literal

import msgspec

from forestall.contracts.decision import Outcome, Reason
from forestall.contracts.errors import InvalidFile, Problem
from forestall.contracts.event import Origin
from forestall.policy.language.clauses import (
    CONDITION_VARIABLES,
    event_type,
    features,
    when,
)
from forestall.policy.language.document import Items, Mapping, Node, Place, Scalar, Source, Unusable
from forestall.policy.language.model import (
    WILDCARD,
    Match,
    Model,
    Policy,
    PolicyTest,
    Step,
    TestEvent,
    TestExpectation,
    When,
)
from forestall.policy.language.reader import Fields, describe
from forestall.policy.language.steps import playbook

API_VERSION = "forestall/v1"

_NAME = re.compile(r"[a-z0-9-]{1,63}")
_SPEC = (
    "features", "when", "if", "purpose", "risk", "priority", "cooldown", "valid_for",
    "budget_class", "in_conversation", "quiet_hours", "model", "holdout", "edge", "running",
    "playbook",
)  # fmt: skip
_UNREAD = When(kind="event", steps=(Step(match=Match(types=(WILDCARD,))),))


class Located(msgspec.Struct, frozen=True):
    """A policy with the document it was read from; ``source`` turns offsets into places."""

    policy: Policy
    document: Mapping
    source: Source

    def node(self, *path: str | int) -> Node | None:
        """What stands at a path such as ``"spec", "when", "sequence", 0``, or none."""
        node: Node | None = self.document
        for part in path:
            if isinstance(node, Mapping) and isinstance(part, str):
                entry = node.entries.get(part)
                node = None if entry is None else entry.value
            elif isinstance(node, Items) and isinstance(part, int) and part < len(node.items):
                node = node.items[part]
            else:
                return None
        return node

    def place(self, *path: str | int) -> Place:
        """Where the value at a path stands, or else the document."""
        node = self.node(*path)
        return self.document.place if node is None else node.place

    @property
    def sound(self) -> bool:
        """Whether no mistake of the file stands in this policy, so that all its values were read."""
        first = self.document.place.line
        others = (root.place.line for root in self.source.documents)
        end = min((line for line in others if line > first), default=None)
        return not any(
            first <= one.line and (end is None or one.line < end) for one in self.source.problems
        )

    def key_place(self, *path: str | int) -> Place:
        """Where the key at the end of a path stands, or else the document."""
        parent, key = self.node(*path[:-1]), path[-1]
        entry = parent.entries.get(str(key)) if isinstance(parent, Mapping) else None
        return self.document.place if entry is None else entry.place


def parse(text: str, file: str) -> list[Policy]:
    """The policies of one file. Raises ``InvalidFile`` with every mistake of the file.

    ``file`` is the name that problems carry.
    """
    located, problems = parse_located(text, file)
    if problems:
        raise InvalidFile(problems)
    return [one.policy for one in located]


def parse_located(text: str, file: str) -> tuple[list[Located], list[Problem]]:
    """The policies of one file with their documents, and every mistake of the file.

    Where there are mistakes the policies are not to be trusted: a value that could not be read
    is its default.
    """
    source = Source(text, file)
    located: list[Located] = []
    names: dict[str, int] = {}
    for root in source.documents:
        if isinstance(root, Scalar) and root.value is None:
            continue
        if not isinstance(root, Mapping):
            if not (isinstance(root, Scalar) and isinstance(root.value, Unusable)):
                message = f"a policy must be a mapping, not {describe(root)}"
                source.fail(root.place, "wrong-type", message)
            continue
        policy = _policy(Fields(source, root, ""), names)
        located.append(Located(policy, root, source))
    if not located and not source.problems:
        source.fail(Place(1, 1), "no-policy", "the file holds no policy")
    return located, source.problems


def _policy(document: Fields, names: dict[str, int]) -> Policy:
    document.allow(("apiVersion", "kind", "metadata", "spec", "tests"), {})
    document.require("apiVersion", "kind", "metadata", "spec")
    _exactly(document, "apiVersion", API_VERSION)
    _exactly(document, "kind", "Policy")
    nothing = Fields(document.source, Mapping({}, document.node.place), "")
    metadata = document.fields("metadata")
    name = "" if metadata is None else _name(metadata, names)
    metadata = metadata or nothing
    spec = document.fields("spec")
    if spec is not None:
        spec.allow(_SPEC, {})
        spec.require("when")
    spec = spec or nothing
    return Policy(
        name=name,
        title=metadata.text("title", name),
        owner=metadata.text("owner", ""),
        labels=metadata.strings("labels"),
        review_by=metadata.day("review_by"),
        features=features(spec),
        when=when(spec) or _UNREAD,
        condition=spec.expression("if", CONDITION_VARIABLES),
        purpose=spec.text("purpose", "support"),
        risk=spec.choice("risk", Literal["low", "medium", "high"], "low"),
        priority=spec.whole("priority", 50, 0, 100),
        cooldown=spec.duration("cooldown", _default("cooldown")),
        valid_for=spec.duration("valid_for", _default("valid_for")),
        budget_class=spec.choice("budget_class", Literal["guidance", "transactional"], "guidance"),
        in_conversation=spec.choice("in_conversation", Literal["hold", "allow"], "hold"),
        quiet_hours=spec.choice("quiet_hours", Literal["respect", "ignore"], "respect"),
        model=_model(spec),
        holdout=spec.fraction("holdout", 0.0),
        edge=spec.flag("edge", default=False),
        running=spec.choice("running", Literal["finish", "cancel"], "finish"),
        playbook=playbook(spec),
        tests=tuple(_test(test) for test in document.each("tests")),
    )


def _default(field: str) -> int:
    found = next(one for one in msgspec.structs.fields(Policy) if one.name == field)
    return int(found.default)


def _exactly(document: Fields, key: str, expected: str) -> None:
    found = document.text(key, None)
    if found is not None and found != expected:
        document.fail(key, "bad-value", f"`{key}` must be `{expected}`, not `{found[:80]}`")


def _name(metadata: Fields, names: dict[str, int]) -> str:
    metadata.allow(("name", "title", "owner", "labels", "review_by"), {})
    metadata.require("name")
    name = metadata.text("name", "")
    if not name:
        return name
    place = metadata.node.entries["name"].value.place
    if not _NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:63]
        metadata.fail(
            "name",
            "bad-name",
            f"`{name[:80]}` is not a policy name: 1 to 63 of a-z, 0-9 and -",
            f"did you mean `{near}`?" if near else None,
        )
    elif name in names:
        metadata.fail(
            "name",
            "duplicate-name",
            f"another policy is called `{name}` already",
            f"the first is on line {names[name]}",
        )
    names.setdefault(name, place.line)
    return name


def _model(spec: Fields) -> Model | None:
    fields = spec.fields("model")
    if fields is None:
        return None
    fields.allow(("name", "threshold"), {})
    fields.require("name", "threshold")
    return Model(name=fields.text("name", ""), threshold=fields.fraction("threshold", 0.0))


def _test(fields: Fields) -> PolicyTest:
    fields.allow(("name", "events", "until", "expect"), {})
    fields.require("name", "events", "expect")
    return PolicyTest(
        name=fields.text("name", ""),
        events=tuple(_test_event(event) for event in fields.each("events")),
        until=fields.duration("until", None),
        expect=tuple(_expectation(expected) for expected in fields.each("expect")),
        line=fields.node.place.line,
    )


def _test_event(fields: Fields) -> TestEvent:
    fields.allow(("at", "type", "data", "id", "source", "origin", "received"), {})
    fields.require("at", "type")
    entry = fields.node.entries.get("type")
    return TestEvent(
        at=fields.duration("at", 0),
        type="" if entry is None else event_type(fields, "type", entry.value, wildcard=False),
        data={} if fields.is_null("data") else fields.json("data"),
        id=fields.text("id", None),
        source=fields.text("source", "test"),
        origin=fields.choice("origin", Origin, "server"),
        received=fields.duration("received", None),
    )


def _expectation(fields: Fields) -> TestExpectation:
    fields.allow(("at", "outcome", "reason", "key"), {})
    fields.require("at", "outcome")
    return TestExpectation(
        at=fields.duration("at", 0),
        outcome=fields.choice("outcome", Outcome, "intervene"),
        reason=None if fields.is_null("reason") else fields.choice("reason", Reason, None),
        key=None if fields.is_null("key") else fields.text("key", None),
    )
