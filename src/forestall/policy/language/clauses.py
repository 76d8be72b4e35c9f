"""The clauses of a policy's ``spec``, read from fields into the model.

Event types and matches, the pattern (``when``) and features; ``steps`` has the playbook's steps.
"""

import re
from typing import get_args

from forestall.policy.language.document import Items, Node, Place, Scalar, Unusable
from forestall.policy.language.model import (
    WILDCARD,
    Feature,
    FeatureKind,
    Match,
    Step,
    When,
)
from forestall.policy.language.reader import Fields, describe, one_of

EVENT_VARIABLES = ("event", "subject", "now")
CONDITION_VARIABLES = (*EVENT_VARIABLES, "features", "service")
MAX_POSITIVE_STEPS = 32

EVENT_TYPE = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*")
_FEATURE_KINDS = get_args(FeatureKind)
_UNBOUNDED = ("since", "first", "last")
_NO_TYPES = (WILDCARD,)


def event_type(fields: Fields, key: str, node: Node, *, wildcard: bool) -> str:
    """One event type, or ``"*"`` where ``wildcard`` allows it."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        if not (isinstance(node, Scalar) and isinstance(node.value, Unusable)):
            expected = "an event type or a list of them" if wildcard else "an event type"
            message = f"`{fields.at(key)}` must be {expected}, not {describe(node)}"
            fields.source.fail(node.place, "wrong-type", message)
        return WILDCARD
    text = node.value
    if text == WILDCARD and not wildcard:
        fields.source.fail(
            node.place,
            "bad-event-type",
            f'`{fields.at(key)}`: "*" stands alone, not in a list or a test',
            'name the types, or write just "*"',
        )
    elif text != WILDCARD and not EVENT_TYPE.fullmatch(text):
        lower = re.sub(r"[^a-z0-9_.-]+", ".", text.strip().lower())
        hint = f"did you mean `{lower}`?" if EVENT_TYPE.fullmatch(lower) else None
        fields.source.fail(
            node.place,
            "bad-event-type",
            f"`{text[:80]}` is not an event type",
            hint or "event types are dotted lower-case words, such as `payment.declined`",
        )
    return text


def types(fields: Fields, key: str) -> tuple[str, ...]:
    """A type, a list of types, or ``"*"``; duplicates are left out."""
    entry = fields.node.entries.get(key)
    if entry is None:
        return _NO_TYPES
    node = entry.value
    if not isinstance(node, Items):
        return (event_type(fields, key, node, wildcard=True),)
    if not node.items:
        fields.fail(key, "bad-value", f"`{fields.at(key)}` names no event type")
    return tuple(
        dict.fromkeys(event_type(fields, key, item, wildcard=False) for item in node.items)
    )


def match(fields: Fields, key: str) -> Match:
    """The types under ``key`` and the ``where`` beside it."""
    return Match(types=types(fields, key), where=fields.expression("where", EVENT_VARIABLES))


def when(spec: Fields) -> When | None:
    """The pattern under ``when``."""
    fields = spec.fields("when")
    if fields is None:
        return None
    forms = {"event": _event, "sequence": _sequence, "all": _all}
    present = [form for form in forms if form in fields]
    if len(present) == 1:
        return forms[present[0]](fields)
    if present:
        place = fields.node.entries[present[1]].place
        message = f"`{fields.path}` has {one_of(present).replace(' or ', ' and ')}; write only one"
        spec.source.fail(place, "bad-pattern", message)
    else:
        fields.allow((*forms, "where", "within", "by"), {})
        if not fields.misspelt(*forms):
            message = f"`{fields.path}` lacks {one_of(forms)}"
            spec.source.fail(fields.node.place, "missing-key", message)
    return None


def _event(fields: Fields) -> When:
    repeat = "write a sequence: `sequence: [{event: TYPE, times: N}]`"
    fields.allow(
        ("event", "where"),
        {
            "times": ("`when: {event: ...}` takes no `times`", repeat),
            "by": ("`when: {event: ...}` takes no `by`", "write a sequence of one step"),
            "within": ("`when: {event: ...}` takes no `within`", None),
            "for": ("`when: {event: ...}` takes no `for`", None),
        },
    )
    return When(kind="event", steps=(Step(match=match(fields, "event")),))


def _sequence(fields: Fields) -> When:
    fields.allow(("sequence", "within", "by"), {"where": _WHERE_IN_STEP, "for": _FOR_IN_STEP})
    nodes = fields.each("sequence")
    steps = tuple(_step(step, last=index == len(nodes) - 1) for index, step in enumerate(nodes))
    sequence = fields.node.entries["sequence"].value
    if isinstance(sequence, Items) and len(nodes) == len(sequence.items):
        _order(fields, nodes, steps, sequence.place)
    return When(
        kind="sequence",
        steps=steps,
        within=fields.duration("within", None),
        by=fields.expression("by", EVENT_VARIABLES),
    )


_WHERE_IN_STEP = ("`where` belongs to a step, not beside the list", "move it into the step")
_FOR_IN_STEP = ("`for` belongs to the last step, not beside the list", "move it into the step")


def _step(fields: Fields, *, last: bool) -> Step:
    fields.allow(("event", "not", "where", "times", "for"), {})
    negative = "not" in fields and "event" not in fields
    if "not" in fields and "event" in fields:
        message = f"`{fields.path}` has both `event` and `not`; write two steps"
        _misplaced(fields, "not", message, None)
    elif not negative and "event" not in fields and not fields.misspelt("event", "not"):
        message = f"`{fields.path}` lacks `event` or `not`"
        fields.source.fail(fields.node.place, "missing-key", message)
    if negative and "times" in fields:
        _misplaced(fields, "times", "a negative step takes no `times`", None)
    quiet_for = fields.duration("for", None)
    if "for" in fields and not negative:
        hint = "add a last step `{not: TYPE, for: DURATION}`"
        _misplaced(fields, "for", "a positive step takes no `for`", hint)
    elif "for" in fields and not last:
        _misplaced(fields, "for", "only the last step takes `for`", None)
    elif negative and last and "for" not in fields:
        fields.source.fail(
            fields.node.place,
            "bad-pattern",
            f"`{fields.path}` is negative and last, so it needs `for`",
            "say how long to wait, such as `for: 30s`",
        )
    return Step(
        match=match(fields, "not" if negative else "event"),
        negative=negative,
        times=1 if negative else fields.whole("times", 1, 1, MAX_POSITIVE_STEPS),
        quiet_for=quiet_for,
    )


def _misplaced(fields: Fields, key: str, message: str, hint: str | None) -> None:
    fields.source.fail(fields.node.entries[key].place, "bad-pattern", message, hint)


def _order(fields: Fields, nodes: list[Fields], steps: tuple[Step, ...], place: Place) -> None:
    source, path = fields.source, fields.at("sequence")
    if not steps:
        source.fail(place, "bad-pattern", f"`{path}` has no steps")
        return
    if steps[0].negative:
        source.fail(
            nodes[0].node.place,
            "bad-pattern",
            f"`{path}` starts with a negative step; the first must be positive",
        )
    for index in range(1, len(steps)):
        if steps[index].negative and steps[index - 1].negative:
            source.fail(
                nodes[index].node.place,
                "bad-pattern",
                f"`{nodes[index].path}` is the second negative step side by side",
                "name both types in one step: `not: [a.b, c.d]`",
            )
    positive = sum(step.times for step in steps if not step.negative)
    if positive > MAX_POSITIVE_STEPS:
        source.fail(
            place,
            "bad-pattern",
            f"`{path}` has {positive} positive steps, repetitions counted; "
            f"at most {MAX_POSITIVE_STEPS} are allowed",
            "count with a feature instead",
        )


def _all(fields: Fields) -> When:
    fields.allow(("all", "within", "by"), {"where": _WHERE_IN_STEP})
    fields.require("within")
    nodes = fields.each("all")
    for step in nodes:
        step.allow(
            ("event", "where"),
            {
                key: (f"a step of `all` takes no `{key}`", "write a sequence")
                for key in ("not", "times", "for")
            },
        )
        step.require("event")
    listed = fields.node.entries["all"].value
    if isinstance(listed, Items) and not listed.items:
        fields.fail("all", "bad-pattern", f"`{fields.at('all')}` has no steps")
    return When(
        kind="all",
        steps=tuple(Step(match=match(step, "event")) for step in nodes),
        within=fields.duration("within", None),
        by=fields.expression("by", EVENT_VARIABLES),
    )


def features(spec: Fields) -> dict[str, Feature]:
    """The sliding windows under ``features``, sorted by name: decisions list them in this order."""
    fields = spec.fields("features")
    if fields is None:
        return {}
    declared = {}
    for name in sorted(fields.node.entries):
        feature = fields.fields(name)
        if feature is not None and (read := _feature(feature)) is not None:
            declared[name] = read
    return declared


def _feature(fields: Fields) -> Feature | None:
    kinds = [kind for kind in _FEATURE_KINDS if kind in fields]
    if len(kinds) != 1:
        fields.allow((*_FEATURE_KINDS, "of", "where", "over", "by"), {})
        place = fields.node.entries[kinds[1]].place if kinds else fields.node.place
        found = f"both `{kinds[0]}` and `{kinds[1]}`" if kinds else "no kind"
        message = f"`{fields.path}` has {found}; write one of {one_of(_FEATURE_KINDS)}"
        if not fields.misspelt(*_FEATURE_KINDS):
            fields.source.fail(place, "bad-feature", message)
        return None
    kind: FeatureKind = kinds[0]
    counts = kind in ("count", "since")
    known = (kind, "where", "over", "by") if counts else (kind, "of", "where", "over", "by")
    fields.allow(known, {"of": (f"`{kind}` takes no `of`", f"name the type as `{kind}: TYPE`")})
    fields.require(*(() if counts else ("of",)), *(() if kind in _UNBOUNDED else ("over",)))
    return Feature(
        kind=kind,
        match=match(fields, kind if counts else "of"),
        value=None if counts else fields.expression(kind, EVENT_VARIABLES),
        over=fields.duration("over", None),
        by=fields.expression("by", EVENT_VARIABLES),
    )
