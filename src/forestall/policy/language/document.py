"""YAML text as trees of values that know their place in the file.

YAML 1.2 core schema, so ``no``, ``on`` and ``12:30`` are text. Anchors, aliases, merge keys and
tags are refused: a policy reads the same from top to bottom, and its size is what one sees.
"""

import math
import re
from typing import Any, NamedTuple

import msgspec
import yaml

from forestall.contracts.errors import Problem

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 64

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAGS = ("!", "tag:yaml.org,2002:str")
_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"(true|True|TRUE)|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_ESCAPES = {
    "'": re.compile(r"''|."),
    '"': re.compile(r"\\(?:x..|u.{4}|U.{8}|.)|."),
}


class Place(NamedTuple):
    """Where something stands in a file; both count from 1."""

    line: int
    column: int


class Unusable(msgspec.Struct, frozen=True):
    """The value of a scalar that was refused; its problem is already told."""


class Scalar(msgspec.Struct, frozen=True):
    """One value. ``style`` is the quote or block indicator, empty for plain; ``last_line`` its end."""

    value: str | int | float | bool | Unusable | None
    place: Place
    style: str = ""
    last_line: int = 0


class Entry(msgspec.Struct, frozen=True):
    """A key of a mapping and what it holds."""

    place: Place
    value: "Node"


class Mapping(msgspec.Struct, frozen=True):
    """Keys in the order in which they were written."""

    entries: dict[str, Entry]
    place: Place


class Items(msgspec.Struct, frozen=True):
    """A YAML sequence."""

    items: list["Node"]
    place: Place


Node = Scalar | Mapping | Items


class Source:
    """One YAML file: ``documents`` as far as it could be read, ``problems`` where it could not."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.documents: list[Node] = []
        self.patterns = 0
        text = text.removeprefix("\ufeff")
        self._lines = text.splitlines()
        if len(text) > MAX_CHARACTERS:
            self.fail(
                Place(1, 1),
                "too-large",
                f"the file has {len(text):,} characters, more than {MAX_CHARACTERS:,}",
                "split it into several files",
            )
        elif not self._forbidden(text):
            self._read(text)

    def fail(self, place: Place, code: str, message: str, hint: str | None = None) -> None:
        """Note a mistake at ``place``."""
        self.problems.append(Problem(self.file, place.line, place.column, code, message, hint))

    def inside(self, scalar: Scalar, offset: int) -> Place:
        """The place in the file of the character ``offset`` (from 0) of a text value.

        Exact but for folded text with blank or further indented lines.
        """
        line, column = scalar.place
        pattern = _ESCAPES.get(scalar.style, re.compile("."))
        if scalar.style in ("|", ">"):
            line, column = line + 1, 1
            indent = self._indent(line, scalar.last_line)
        elif scalar.style:
            column += 1
        left = offset
        while True:
            raw = self._line(line)
            if scalar.style in ("|", ">"):
                start, raw = indent, raw[indent:]
            else:
                start = column - 1
                start += len(raw[start:]) - len(raw[start:].lstrip()) if start == 0 else 0
                raw = raw[start:].rstrip()
            at = start
            for character in pattern.finditer(raw):
                if left == 0:
                    break
                left -= 1
                at += len(character[0])
            if left == 0 or line >= scalar.last_line:
                return Place(line, at + 1)
            left -= 1
            line, column = line + 1, 1

    def _line(self, number: int) -> str:
        return self._lines[number - 1] if number <= len(self._lines) else ""

    def _indent(self, first: int, last: int) -> int:
        lines = [line for line in self._lines[first - 1 : last] if line.strip()]
        return min((len(line) - len(line.lstrip(" ")) for line in lines), default=0)

    def _forbidden(self, text: str) -> bool:
        found = _FORBIDDEN.search(text)
        if found is None:
            return False
        before = text[: found.start()]
        self.fail(
            Place(before.count("\n") + 1, len(before) - before.rfind("\n")),
            "yaml",
            f"the character U+{ord(found[0]):04X} may not stand in a YAML file",
            'write it as an escape in double quotes, such as "\\u0000"',
        )
        return True

    def _read(self, text: str) -> None:
        try:
            for event in yaml.parse(text, _LOADER):
                if isinstance(event, yaml.DocumentStartEvent):
                    builder = _Builder(self)
                elif isinstance(event, yaml.DocumentEndEvent):
                    self.documents.append(builder.root)
                elif not isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent):
                    builder.take(event)
        except _TooDeep:
            return
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            context = f" {error.context}" if error.context else ""
            place = _place(mark) if mark else Place(1, 1)
            message = f"not valid YAML: {error.problem}{context}"
            self.fail(place, "yaml", message, _cure(text, place, error))


class _TooDeep(Exception):
    pass


class _Builder:
    """One document's tree, built from events with a stack of its own: depth is bounded here."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._open: list[Mapping | Items] = []
        self._keys: list[tuple[str | None, Place] | None] = []
        self.root: Node = Scalar(None, Place(1, 1))

    def take(self, event: Any) -> None:
        place = _place(event.start_mark)
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._open.pop()
            self._keys.pop()
            return
        self._refuse(event, place)
        if isinstance(event, yaml.ScalarEvent):
            if self._is_key_next():
                self._key(event, place)
            else:
                self._put(self._scalar(event, place))
            return
        if isinstance(event, yaml.AliasEvent):
            node: Node = Scalar(Unusable(), place)
        elif isinstance(event, yaml.MappingStartEvent):
            node = Mapping({}, place)
        else:
            node = Items([], place)
        if self._is_key_next():
            self._source.fail(place, "yaml", "a key must be plain text")
            self._keys[-1] = (None, place)
            if isinstance(node, Scalar):
                return
        else:
            self._put(node)
        if not isinstance(node, Scalar):
            self._push(node, place)

    def _push(self, node: Mapping | Items, place: Place) -> None:
        if len(self._open) >= MAX_DEPTH:
            self._source.fail(place, "too-deep", f"nested more than {MAX_DEPTH} levels deep")
            raise _TooDeep
        self._open.append(node)
        self._keys.append(None)

    def _refuse(self, event: Any, place: Place) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._source.fail(
                place, "yaml", f"aliases such as *{event.anchor} are not supported", "write it out"
            )
            return
        if event.anchor:
            self._source.fail(
                place, "yaml", f"anchors such as &{event.anchor} are not supported", "write it out"
            )
        if event.tag and event.tag not in _TEXT_TAGS:
            self._source.fail(place, "yaml", f"the tag {event.tag} is not supported", "remove it")

    def _is_key_next(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1], Mapping) and self._keys[-1] is None

    def _key(self, event: Any, place: Place) -> None:
        merge = event.value == "<<" and event.implicit[0]
        if merge:
            self._source.fail(place, "yaml", "merge keys (<<) are not supported", "write it out")
        self._keys[-1] = (None if merge else event.value, place)

    def _put(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if isinstance(parent, Items):
            parent.items.append(node)
            return
        key = self._keys[-1]
        self._keys[-1] = None
        if key is None:
            return
        name, place = key
        if name is None:
            return
        if earlier := parent.entries.get(name):
            self._source.fail(
                place,
                "duplicate-key",
                f"the key `{name}` is written twice",
                f"the first is on line {earlier.place.line}",
            )
        else:
            parent.entries[name] = Entry(place, node)

    def _scalar(self, event: Any, place: Place) -> Scalar:
        style = event.style or ""
        end = event.end_mark
        last_line = end.line + 1 if end.column else end.line
        value: str | int | float | bool | Unusable | None = event.value
        if event.tag and event.tag not in _TEXT_TAGS:
            value = Unusable()
        elif event.implicit[0] and not style:
            value = plain_value(event.value)
            if isinstance(value, Unusable):
                self._source.fail(
                    place,
                    "wrong-type",
                    f"{event.value[:40]} is not a number that JSON and 64 bits can hold",
                    "put it in quotes if it is meant as text",
                )
        return Scalar(value, place, style, max(last_line, place.line))


def plain_value(text: str) -> str | int | float | bool | Unusable | None:
    """What an unquoted scalar means in the YAML 1.2 core schema; numbers must fit JSON and 64 bits."""
    if _NULL.fullmatch(text):
        return None
    if found := _BOOL.fullmatch(text):
        return bool(found[1])
    if _INT.fullmatch(text):
        if len(text) > 24:
            return Unusable()
        base = 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10
        number = int(text, base)
        return number if -(2**63) <= number < 2**63 else Unusable()
    if _FLOAT.fullmatch(text):
        real = float(text)
        return real if math.isfinite(real) else Unusable()
    return Unusable() if _SPECIAL.fullmatch(text) else text


def _cure(text: str, place: Place, error: yaml.MarkedYAMLError) -> str | None:
    """What to do about a mistake in the YAML itself, where that can be guessed."""
    problem, context = error.problem or "", error.context or ""
    begins = _place(error.context_mark) if error.context_mark else place
    line = text.split("\n")[place.line - 1 : place.line]
    if "tab character" in problem or (line and line[0][place.column - 1 :].startswith("\t")):
        return "indent with spaces, not with tabs"
    if "mapping values" in problem or "start any token" in problem:
        return "put text with a colon or an odd first character in quotes, or mind the indentation"
    if "quoted scalar" in context and "end of stream" in problem:
        return f"close the quote that is opened on line {begins.line}, column {begins.column}"
    if "parsing a flow" in context:
        return f"close the bracket that is opened on line {begins.line}, column {begins.column}"
    if "parsing a block" in context:
        return f"indent it like what begins on line {begins.line}, column {begins.column}"
    return None


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)
