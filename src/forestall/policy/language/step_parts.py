"""The parts that steps of a playbook share: waits, limits, names of fields, arguments, undoing."""

import re

from forestall.policy.language.compile import STEP_VARIABLES
from forestall.policy.language.document import Items, Scalar, Unusable
from forestall.policy.language.model import Call
from forestall.policy.language.reader import Default, Fields, describe

MAX_TEXT = 8_192
MAX_LABEL = 200
MAX_NAME = 63
MAX_ARGUMENTS = MAX_FIELDS = 64
CHOICES = range(2, 9)

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CHOICE = re.compile(r"[a-z0-9_-]+")


def wait(fields: Fields, otherwise: str) -> int:
    """The ``for`` of a step that waits: without it the wait may have no end."""
    if "for" not in fields:
        if not fields.misspelt("for") and "timeout" not in fields:
            message = f"`{fields.path}` waits without an end: it lacks `for`, and {otherwise}"
            hint = "say how long to wait, such as `for: 10m`"
            fields.source.fail(fields.node.place, "endless-wait", message, hint)
        return 0
    return fields.duration("for", 0)


def limit(fields: Fields, key: str, default: Default) -> int | Default:
    """How long something may take: a duration above 0."""
    duration = fields.duration(key, default)
    if duration == 0:
        fields.fail(key, "bad-duration", f"`{fields.at(key)}` is no time at all")
        return default
    return duration


def words(fields: Fields, key: str) -> str | None:
    """What a person reads."""
    text = fields.text(key, None)
    if text is not None and len(text) > MAX_TEXT:
        message = f"`{fields.at(key)}` has more than {MAX_TEXT:,} characters"
        fields.fail(key, "too-large", message, "customers read a few lines; shorten it")
        return None
    return text


def field_name(fields: Fields, key: str) -> str:
    """The name of a field that a step fills."""
    name = fields.text(key, "")
    if name and not _is_field(name):
        fields.fail(key, "bad-value", *_no_field(fields.at(key), name))
    return name


def _is_field(name: str) -> bool:
    return len(name) <= MAX_NAME and _FIELD.fullmatch(name) is not None


def _no_field(path: str, name: str) -> tuple[str, str]:
    message = f"`{path}`: `{name[:80]}` is not the name of a field"
    return message, "use letters, digits and _, such as `card_brand`"


def names(fields: Fields) -> tuple[str, ...]:
    """The names under ``fields``; duplicates are told."""
    names: list[str] = []
    nodes = fields.items("fields")
    for index, node in enumerate(nodes):
        path = f"{fields.at('fields')}[{index}]"
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            if not (isinstance(node, Scalar) and isinstance(node.value, Unusable)):
                message = f"`{path}` must be the name of a field, not {describe(node)}"
                fields.source.fail(node.place, "wrong-type", message)
        elif not _is_field(node.value):
            fields.source.fail(node.place, "bad-value", *_no_field(path, node.value))
        elif node.value in names:
            message = f"`{path}`: `{node.value}` stands here twice"
            fields.source.fail(node.place, "bad-value", message)
        else:
            names.append(node.value)
    entry = fields.node.entries.get("fields")
    if entry is not None and isinstance(entry.value, Items) and not nodes:
        fields.fail("fields", "bad-value", f"`{fields.at('fields')}` names no field")
    if len(nodes) > MAX_FIELDS:
        message = f"`{fields.at('fields')}` names {len(nodes)} fields; at most {MAX_FIELDS} are"
        fields.fail("fields", "too-large", message + " allowed", "take the step apart")
    return tuple(names[:MAX_FIELDS])


def choices(fields: Fields) -> dict[str, str]:
    """The answers to a question: what each button says, by value."""
    given = fields.fields("choices")
    if given is None:
        return {}
    count = len(given.node.entries)
    if count not in CHOICES:
        message = f"`{given.path}` must have {CHOICES[0]} to {CHOICES[-1]} answers, not {count}"
        fields.fail("choices", "bad-value", message)
    for value, entry in given.node.entries.items():
        if len(value) > MAX_NAME or not _CHOICE.fullmatch(value):
            message = f"`{value[:80]}` is not the value of an answer: a-z, 0-9, - and _"
            near = re.sub(r"[^a-z0-9_-]+", "-", value.lower()).strip("-")[:MAX_NAME]
            hint = f"did you mean `{near}`?" if near else None
            fields.source.fail(entry.place, "bad-value", message, hint)
    labels = {value: given.text(value, "") for value in given.node.entries}
    for value, label in labels.items():
        if len(label) > MAX_LABEL:
            message = f"`{given.at(value)}` has more than {MAX_LABEL} characters"
            given.fail(value, "too-large", message, "it has to fit a button")
    return labels


def arguments(fields: Fields) -> dict[str, str]:
    """The expressions under ``with``, by argument, sorted: their order means nothing."""
    given = fields.fields("with")
    if given is None:
        return {}
    names = list(given.node.entries)
    if len(names) > MAX_ARGUMENTS:
        message = f"`{given.path}` has {len(names)} arguments; at most {MAX_ARGUMENTS} are allowed"
        fields.fail("with", "too-large", message)
    read = {name: given.expression(name, STEP_VARIABLES) for name in names[:MAX_ARGUMENTS]}
    return {name: source for name, source in sorted(read.items()) if source is not None}


def is_false(fields: Fields, key: str) -> bool:
    """Whether the value is ``false``."""
    entry = fields.node.entries.get(key)
    return entry is not None and isinstance(entry.value, Scalar) and entry.value.value is False


def undo(fields: Fields) -> Call | None:
    """What takes the step back."""
    given = fields.fields("undo")
    if given is None:
        return None
    given.allow(("action", "with"), {})
    given.require("action")
    return Call(action=given.text("action", ""), arguments=arguments(given))
