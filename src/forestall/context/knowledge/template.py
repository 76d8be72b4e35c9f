"""Templates: text with ``{{ event.data.order_id }}`` in it, and nothing cleverer.

A placeholder reads one field below ``event.data``, ``subject``, ``features`` or ``fields`` (what
earlier steps of the playbook filled), or ``event.type``, and may name what to say where the field
is missing: ``{{ subject.name | default("there") }}``. There are no loops, no conditions and no
calls. Rendering gives plain text; whoever puts it into HTML escapes it there.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from forestall.contracts.errors import ForestallError

LONGEST_VALUE = 200
"""Characters of one value that reach a customer; the rest is cut."""

_TAG = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_PLACEHOLDER = re.compile(
    rf"\s*({_NAME}(?:\.{_NAME})+)\s*(?:\|\s*default\(\s*(\"(?:[^\"\\]|\\.)*\")\s*\)\s*)?",
    re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")


class TemplateError(ForestallError):
    """A template is malformed; ``offset`` is where in its text, counted from 0."""

    code = "template"

    def __init__(self, message: str, offset: int) -> None:
        self.offset = offset
        super().__init__(message)


class MissingValue(ForestallError):
    """A template needs a field that this customer's event does not have, or that is no scalar.

    Give it a default: ``{{ event.data.name | default("...") }}``.
    """

    code = "missing-value"


class Placeholder(msgspec.Struct, frozen=True):
    """One field to fill in; ``default`` stands in where it is missing; ``offset`` is its place."""

    path: str
    default: str | None
    offset: int


class Template(msgspec.Struct, frozen=True):
    """Literal text and placeholders, in order."""

    parts: tuple[str | Placeholder, ...]

    def reads(self) -> tuple[Placeholder, ...]:
        """The placeholders, in order."""
        return tuple(part for part in self.parts if isinstance(part, Placeholder))

    def render(self, context: Mapping[str, Any]) -> str:
        """The text for ``context`` (``event``, ``subject``, ``features``, ``fields``).

        Raises ``MissingValue`` for a field without value and default.
        """
        return "".join(
            part if isinstance(part, str) else _fill(part, context) for part in self.parts
        )


def parse_template(text: str) -> Template:
    """Raises ``TemplateError`` at the first mistake."""
    parts: list[str | Placeholder] = []
    position = 0
    for tag in _TAG.finditer(text):
        _literal(text, position, tag.start(), parts)
        parts.append(_placeholder(tag[1], tag.start()))
        position = tag.end()
    _literal(text, position, len(text), parts)
    return Template(tuple(parts))


def _literal(text: str, start: int, end: int, parts: list[str | Placeholder]) -> None:
    stray = min(
        (at for at in (text.find(b, start, end) for b in ("{{", "}}")) if at >= 0), default=-1
    )
    if stray >= 0:
        raise TemplateError(f"{text[stray : stray + 2]!r} has no partner", stray)
    if start < end:
        parts.append(text[start:end])


def _placeholder(inside: str, offset: int) -> Placeholder:
    match = _PLACEHOLDER.fullmatch(inside)
    if match is None:
        raise TemplateError(
            f"{inside.strip()!r} is not a field; write {{{{ event.data.order_id }}}} or "
            '{{ subject.plan | default("your plan") }}',
            offset,
        )
    path, default = match.groups()
    root, *rest = path.split(".")
    fine = root in ("subject", "features", "fields") and len(rest) >= 1
    fine = fine or (root == "event" and (rest == ["type"] or (rest[0] == "data" and len(rest) > 1)))
    if not fine:
        raise TemplateError(
            "a template reads event.data.*, event.type, subject.*, features.* and fields.*, "
            f"not {path!r}",
            offset,
        )
    try:
        return Placeholder(path, None if default is None else msgspec.json.decode(default), offset)
    except msgspec.DecodeError:
        raise TemplateError(f"{default} is not a text in JSON form", offset) from None


def _fill(placeholder: Placeholder, context: Mapping[str, Any]) -> str:
    value: Any = context
    for name in placeholder.path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    text = _text(value)
    if text:
        return text
    if placeholder.default is not None:
        return placeholder.default
    raise MissingValue(
        f"{placeholder.path} has no value to show; "
        f'give it a default: {{{{ {placeholder.path} | default("...") }}}}'
    )


def _text(value: Any) -> str | None:
    """A scalar as a person writes it, on one line; none for what cannot be shown."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, str):
        return _CONTROL.sub(" ", value).strip()[:LONGEST_VALUE]
    return None
