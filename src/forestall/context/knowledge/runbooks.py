"""Runbooks: one Markdown file each, with front matter, a ``## Customer`` and a ``## Agent`` part.

The front matter names ``id``, ``title``, ``version``, ``owner``, ``review_by`` and the ``fields``
that the customer's text may read. A short text may stand there as ``message`` in place of the
``## Customer`` part.
"""

import datetime
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from forestall.context.knowledge.template import Template, TemplateError, parse_template
from forestall.contracts.errors import InvalidFile, Problem

_KEYS = ("id", "title", "version", "owner", "review_by", "fields", "message")
_REQUIRED = ("id", "title", "version", "owner", "review_by")
_ID = re.compile(r"[a-z0-9-]{1,63}")
_FENCE = re.compile(r"---[ \t]*\n(.*?\n)?---[ \t]*(?:\n|\Z)", re.DOTALL)
_HEADING = re.compile(r"^##[ \t]+(.+?)[ \t]*$", re.MULTILINE)


class Runbook(msgspec.Struct, frozen=True, kw_only=True):
    """``customer`` is what the customer reads, ``agent`` what people read (none: nothing)."""

    id: str
    title: str
    version: int
    owner: str
    review_by: datetime.date
    customer: Template
    agent: str | None
    path: str


Runbooks = Mapping[str, Runbook]


def load_runbooks(folder: Path) -> Runbooks:
    """Every ``*.md`` below ``folder`` by id. Raises ``InvalidFile`` with the problems of all."""
    problems: list[Problem] = []
    found: dict[str, Runbook] = {}
    if not folder.is_dir():
        raise InvalidFile([Problem(str(folder), 1, 1, "runbook-folder", "there is no such folder")])
    for path in sorted(folder.rglob("*.md")):
        try:
            runbook = read_runbook(path.read_text(encoding="utf-8"), str(path))
        except UnicodeDecodeError:
            problems.append(Problem(str(path), 1, 1, "runbook-encoding", "this is not UTF-8 text"))
            continue
        except InvalidFile as error:
            problems.extend(error.problems)
            continue
        if runbook.id in found:
            first = found[runbook.id].path
            message = f"the id {runbook.id!r} is already that of {first}"
            problems.append(Problem(str(path), 1, 1, "runbook-duplicate", message))
        found.setdefault(runbook.id, runbook)
    if problems:
        raise InvalidFile(problems)
    return found


def read_runbook(text: str, path: str) -> Runbook:
    """The runbook in ``text``. Raises ``InvalidFile`` with all its problems."""
    return _Reader(text.replace("\r\n", "\n"), path).read()


class _Reader:
    """Reads one file and collects what is wrong with it, each with its place."""

    def __init__(self, text: str, path: str) -> None:
        self.text, self.path = text, path
        self.problems: list[Problem] = []
        self.places: dict[str, tuple[int, int]] = {}

    def read(self) -> Runbook:
        front = self.front_matter()
        declared = self.fields(front)
        parts = self.parts()
        customer = self.customer(front, parts, declared)
        self.known_values(front)
        if self.problems or customer is None:
            raise InvalidFile(self.problems)
        agent = parts.get("agent")
        return Runbook(
            id=front["id"],
            title=front["title"],
            version=front["version"],
            owner=front["owner"],
            review_by=front["review_by"],
            customer=customer,
            agent=None if agent is None else agent[0].strip() or None,
            path=self.path,
        )

    def trouble(
        self, place: tuple[int, int], code: str, message: str, hint: str | None = None
    ) -> None:
        self.problems.append(Problem(self.path, *place, f"runbook-{code}", message, hint))

    def at(self, key: str) -> tuple[int, int]:
        return self.places.get(key, (1, 1))

    def place(self, offset: int) -> tuple[int, int]:
        before = self.text[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1

    def front_matter(self) -> dict[str, Any]:
        fence = _FENCE.match(self.text)
        if fence is None:
            self.trouble(
                (1, 1),
                "front-matter",
                "a runbook starts with front matter between two lines of ---",
                "---\\nid: card-declined\\ntitle: ...\\n---",
            )
            raise InvalidFile(self.problems)
        try:
            node = yaml.compose(fence[1] or "", Loader=yaml.SafeLoader)
            values = yaml.safe_load(fence[1] or "")
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = (mark.line + 2, mark.column + 1) if mark else (1, 1)
            self.trouble(place, "yaml", str(getattr(error, "problem", None) or error))
            raise InvalidFile(self.problems) from None
        if not isinstance(values, dict) or not isinstance(node, yaml.MappingNode):
            self.trouble((2, 1), "front-matter", "the front matter is not a mapping of keys")
            raise InvalidFile(self.problems)
        for key, value in node.value:
            place = (key.start_mark.line + 2, key.start_mark.column + 1)
            if key.value not in _KEYS:
                self.trouble(place, "key", f"unknown key {key.value!r}; known: {', '.join(_KEYS)}")
            elif key.value in self.places:
                self.trouble(place, "key", f"{key.value!r} stands here twice")
            self.places[key.value] = (value.start_mark.line + 2, value.start_mark.column + 1)
        return values

    def known_values(self, front: dict[str, Any]) -> None:
        for key in _REQUIRED:
            if front.get(key) is None:
                self.trouble(self.at(key), "missing", f"{key!r} is missing")
        if front.get("id") is not None and not (
            isinstance(front["id"], str) and _ID.fullmatch(front["id"])
        ):
            self.trouble(
                self.at("id"), "id", f"{front['id']!r} is not of the form [a-z0-9-]{{1,63}}"
            )
        for key in ("title", "owner"):
            if front.get(key) is not None and not isinstance(front[key], str):
                self.trouble(self.at(key), "type", f"{key!r} is not text")
        version = front.get("version")
        if version is not None and (type(version) is not int or version < 1):
            self.trouble(self.at("version"), "type", "'version' is not a number from 1 on")
        review = front.get("review_by")
        if review is not None and type(review) is not datetime.date:
            self.trouble(self.at("review_by"), "type", "'review_by' is not a day like 2027-01-31")

    def fields(self, front: dict[str, Any]) -> frozenset[str]:
        fields = front.get("fields") or []
        if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
            self.trouble(self.at("fields"), "type", "'fields' is not a list of field names")
            return frozenset()
        for field in fields:
            try:
                parse_template(f"{{{{ {field} }}}}")
            except TemplateError as error:
                self.trouble(self.at("fields"), "field", str(error))
        return frozenset(fields)

    def parts(self) -> dict[str, tuple[str, int]]:
        """Text and offset of each part under a ``##`` heading, by the heading in lower case."""
        headings = list(_HEADING.finditer(self.text))
        ends = [heading.start() for heading in headings[1:]] + [len(self.text)]
        parts: dict[str, tuple[str, int]] = {}
        for heading, end in zip(headings, ends, strict=False):
            name = heading[1].lower()
            if name in ("customer", "agent"):
                if name in parts:
                    self.trouble(self.place(heading.start()), "part", f"a second ## {heading[1]}")
                parts[name] = (self.text[heading.end() : end], heading.end())
        return parts

    def customer(
        self, front: dict[str, Any], parts: dict[str, tuple[str, int]], declared: frozenset[str]
    ) -> Template | None:
        message = front.get("message")
        if (message is None) == ("customer" not in parts):
            self.trouble(
                (1, 1) if message is None else self.at("message"),
                "customer",
                "the customer's words stand either under ## Customer or as 'message', once",
            )
            return None
        if message is not None and not isinstance(message, str):
            self.trouble(self.at("message"), "type", "'message' is not text")
            return None
        text, start = parts["customer"] if message is None else (message, None)
        lead = len(text) - len(text.lstrip())

        def place(offset: int) -> tuple[int, int]:
            return self.at("message") if start is None else self.place(start + lead + offset)

        if not text.strip():
            self.trouble(place(0), "customer", "there are no words for the customer")
            return None
        try:
            template = parse_template(text.strip())
        except TemplateError as error:
            self.trouble(place(error.offset), "template", str(error))
            return None
        for placeholder in template.reads():
            if placeholder.path not in declared:
                self.trouble(
                    place(placeholder.offset),
                    "undeclared",
                    f"the text reads {placeholder.path}, which 'fields' does not declare",
                    f"fields: [{', '.join(sorted({*declared, placeholder.path}))}]",
                )
        return template
