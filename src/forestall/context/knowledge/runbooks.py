"""Runbooks and articles: one Markdown file each, with front matter and sections.

A runbook has a ``## Customer`` part, which policies may show, and may have an ``## Agent`` part for
our people; all else in it is for whoever keeps it. A short text may stand in the front matter as
``message`` in place of the ``## Customer`` part, and ``show`` says how a page shows it. An article (``kind: article``) is a page of help,
meant for customers but for its ``## Agent`` part; no policy shows it, it is searched and cited.
"""

import datetime
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from forestall.context.knowledge.front import Front, Imported, place_in
from forestall.context.knowledge.passages import Passage
from forestall.context.knowledge.plain import markdown, plain
from forestall.context.knowledge.sections import Section, sections
from forestall.context.knowledge.template import Template, TemplateError, parse_template
from forestall.contracts.errors import ForestallError, InvalidFile, Problem, UnreadableInput
from forestall.contracts.folders import files_below
from forestall.contracts.intervention import Show

MAX_BYTES = 1_000_000
"""A file that is larger is not read."""

REMEMBERED = 20_000
"""Files whose content is read once only, while it stays."""

STEPS, CUSTOMER = "steps", "customer"
"""The sections that the front matter's ``steps`` and ``message`` are cited as."""

_GAP = "…"


class RunbookExpired(ForestallError):
    """A runbook's day of review has passed: nothing in it is used until somebody has looked at it
    and set a later ``review_by``."""

    code = "runbook-expired"


class Runbook(msgspec.Struct, frozen=True, kw_only=True):
    """``customer`` is what the customer reads (none for an article), ``agent`` what people read
    (none: nothing). ``language`` is that of the deployment where it names none. ``signals`` are
    event types and policies that it is about, ``steps`` what the customer does, in order, and
    ``actions`` those that help. ``why`` answers a customer who asks why they see it.
    ``show`` is how it asks to be shown; ``checklist`` are the steps as
    they are filled in for a checklist, ``known`` what people know already, of a hand-over; see
    ``words_of``. ``sections`` are all of it; see ``passages_of``."""

    id: str
    title: str
    version: int
    owner: str
    review_by: datetime.date
    customer: Template | None
    agent: str | None
    path: str
    kind: Literal["runbook", "article"] = "runbook"
    language: str | None = None
    products: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    message: str | None = None
    imported: Imported | None = None
    show: Show | None = None
    checklist: tuple[Template, ...] = ()
    known: tuple[Template, ...] = ()
    why: Template | None = None

    def templates(self) -> tuple[Template, ...]:
        """Everything in it that is filled with a customer's values."""
        own = (one for one in (self.customer, self.why) if one is not None)
        return (*own, *self.checklist, *self.known)


class Words(msgspec.Struct, frozen=True):
    """What a runbook says to a customer, in its ``language`` (two letters) where it names one, and
    how: only what the form of ``show`` can show."""

    title: str
    body: Template
    show: Show | None = None
    steps: tuple[Template, ...] = ()
    known: tuple[Template, ...] = ()
    why: Template | None = None
    language: str | None = None


Runbooks = Mapping[str, Runbook]


def expired(runbook: Runbook, day: datetime.date) -> bool:
    """Whether it may not be used on ``day``: its day of review lies before."""
    return runbook.review_by < day


def current(runbooks: Runbooks, day: datetime.date) -> Runbooks:
    """Those that may be used on ``day``."""
    return {name: one for name, one in runbooks.items() if not expired(one, day)}


def words_of(runbooks: Runbooks, name: str, day: datetime.date) -> Words:
    """The words of the runbook ``name`` for a customer on ``day``. A checklist without steps and a
    hint at no element are shown as any other guidance. Raises ``LookupError`` where there is no
    such runbook, or it is an article, and ``RunbookExpired``."""
    runbook = runbooks[name]
    if runbook.customer is None:
        raise LookupError(f"{name} is an article, which has no words for a policy")
    if expired(runbook, day):
        raise RunbookExpired(f"{name} was to be reviewed by {runbook.review_by}")
    show = _form(runbook)
    known = runbook.known if show is not None and show.as_ == "handover" else ()
    return Words(
        runbook.title,
        runbook.customer,
        show,
        runbook.checklist,
        known,
        runbook.why,
        runbook.language,
    )


def _form(runbook: Runbook) -> Show | None:
    """The form of ``show``, where the runbook has what that needs."""
    show = runbook.show
    if show is None:
        return None
    if show.as_ == "hint":
        return show if show.at else None
    if show.as_ == "checklist" and not runbook.checklist:
        return None
    return Show(show.as_)


def passages_of(runbook: Runbook, language: str = "en") -> list[Passage]:
    """What customers may be told of it, in plain words, a passage for each section that has any.

    What is internal is in none. A placeholder gives its default, or an ellipsis. ``language`` is
    that of a document that names none.
    """
    own = [
        (one.slug, one.heading, _open(runbook, one.text))
        for one in runbook.sections
        if not one.internal
    ]
    if runbook.message is not None:
        own.append((CUSTOMER, "", _open(runbook, runbook.message)))
    plain_steps = map(_blank, runbook.checklist) if runbook.checklist else runbook.steps
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(plain_steps, start=1))
    own.append((_steps_slug(runbook), "", steps))
    title = plain(runbook.title)
    return [
        Passage(
            cite=f"{runbook.id}@{runbook.version}#{slug}",
            runbook=runbook.id,
            version=runbook.version,
            section=slug,
            title=f"{title}: {heading}" if heading and slug != CUSTOMER else title,
            text=words,
            products=runbook.products,
            language=runbook.language or language,
            kind=runbook.kind,
            signals=runbook.signals,
            actions=runbook.actions,
        )
        for slug, heading, text in own
        if (words := plain(text))
    ]


def _steps_slug(runbook: Runbook) -> str:
    return "front-steps" if any(one.slug == STEPS for one in runbook.sections) else STEPS


def _open(runbook: Runbook, text: str) -> str:
    """``text`` without its placeholders; an article has none."""
    if runbook.kind == "article":
        return text
    return _blank(parse_template(text))


def _blank(template: Template) -> str:
    """It without anybody's values."""
    parts = template.parts
    return "".join(one if isinstance(one, str) else one.default or _GAP for one in parts)


def load_runbooks(folder: Path) -> Runbooks:
    """Every ``*.md`` below ``folder`` by id. Raises ``InvalidFile`` with the problems of all."""
    found, problems = read_folder(folder)
    if problems:
        raise InvalidFile(problems)
    return found


def read_folder(folder: Path) -> tuple[dict[str, Runbook], list[Problem]]:
    """Every ``*.md`` below ``folder`` that can be read, by id, and the problems with the others."""
    if not folder.is_dir():
        return {}, [Problem(str(folder), 1, 1, "runbook-folder", "there is no such folder")]
    found: dict[str, Runbook] = {}
    problems: list[Problem] = []
    try:
        files = markdown_files(folder)
    except UnreadableInput as error:
        return {}, [Problem(str(folder), 1, 1, "runbook-folder", str(error))]
    for path in files:
        try:
            runbook = read_file(path)
        except InvalidFile as error:
            problems.extend(error.problems)
            continue
        if runbook.id in found:
            first = found[runbook.id].path
            message = f"the id {runbook.id!r} is already that of {first}"
            problems.append(Problem(str(path), 1, 1, "runbook-duplicate", message))
        found.setdefault(runbook.id, runbook)
    return found, problems


def markdown_files(folder: Path) -> list[Path]:
    """Every ``*.md`` below ``folder``, sorted; what vanishes meanwhile is not among them. Raises
    ``UnreadableInput`` where a folder may not be looked into."""
    return files_below(folder, (".md",), hidden=True)


def read_file(path: Path) -> Runbook:
    """The runbook in a file. Raises ``InvalidFile``, also where there is no such file."""
    return _read_bytes(bytes_of(path), str(path))


def bytes_of(path: Path) -> bytes:
    """What a file has. Raises ``InvalidFile`` where there is none, or far too much."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"this cannot be read: {error.strerror}"
        raise InvalidFile([Problem(str(path), 1, 1, "runbook-file", message)]) from None
    if len(raw) > MAX_BYTES:
        message = f"this is larger than {MAX_BYTES:,} bytes; split it"
        raise InvalidFile([Problem(str(path), 1, 1, "runbook-file", message)])
    return raw


@lru_cache(maxsize=REMEMBERED)
def _read_bytes(raw: bytes, path: str) -> Runbook:
    """Remembered, as folders are read again whenever one file of them changes."""
    return read_runbook(text_of(raw, path), path)


def text_of(raw: bytes, path: str) -> str:
    """``raw`` as text, each line with one end. Raises ``InvalidFile``."""
    try:
        return even(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        problem = Problem(path, 1, 1, "runbook-encoding", "this is not UTF-8 text")
        raise InvalidFile([problem]) from None


def even(text: str) -> str:
    """``text`` with ``\\n`` at the end of each line, whichever end it had."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_runbook(text: str, path: str) -> Runbook:
    """The runbook in ``text``. Raises ``InvalidFile`` with all its problems."""
    return read_document(text, path)[0]


def read_document(text: str, path: str) -> tuple[Runbook, Front]:
    """The runbook in ``text``, and its front matter with places. Raises ``InvalidFile``."""
    text = even(text)
    front = Front(text, path)
    return _Reader(text, front).read(), front


class _Reader:
    """Reads what stands below the front matter, and notes there what is wrong."""

    def __init__(self, text: str, front: Front) -> None:
        self.text, self.front = text, front
        self.article = front.values.get("kind") == "article"
        body = text[front.end :]
        self.sections = [
            msgspec.structs.replace(one, head=one.head + front.end, start=one.start + front.end)
            for one in sections(body)
        ]

    def read(self) -> Runbook:
        front, values = self.front, self.front.values
        declared = self.fields()
        parts = self.parts()
        customer = None if self.article else self.customer(parts, declared)
        show = front.show()
        listed = show is not None and show.as_ == "checklist"
        checklist = self.filled("steps", declared) if listed else ()
        known = self.filled("known", declared)
        why = self.why(declared)
        self.only_a_runbooks()
        if front.problems or (customer is None and not self.article):
            raise InvalidFile(front.problems)
        agent = parts.get("agent")
        imported = values.get("imported")
        return Runbook(
            id=values["id"],
            title=values["title"],
            version=values["version"],
            owner=values["owner"],
            review_by=values["review_by"],
            customer=customer,
            agent=None if agent is None else agent[0].strip() or None,
            path=front.path,
            kind="article" if self.article else "runbook",
            language=values.get("language"),
            products=front.texts("products"),
            signals=front.texts("signals"),
            steps=front.texts("steps"),
            actions=front.texts("actions"),
            sections=tuple(self.marked()),
            message=values.get("message"),
            imported=None if imported is None else msgspec.convert(imported, Imported),
            show=show,
            checklist=checklist,
            known=known,
            why=why,
        )

    def marked(self) -> Iterator[Section]:
        """The sections, each internal or not."""
        part = ""
        for one in self.sections:
            if one.level == 2:
                part = one.heading.lower()
            elif one.level < 2:
                part = ""
            internal = part == "agent" if self.article else part != CUSTOMER
            yield msgspec.structs.replace(one, internal=internal)

    def parts(self) -> dict[str, tuple[str, int]]:
        """Text and offset of the parts under ``## Customer`` and ``## Agent``, with all that stands
        below them, by the heading in lower case."""
        tops = [one for one in self.sections if one.level <= 2]
        ends = [*(one.head for one in tops), len(self.text)][1:]
        parts: dict[str, tuple[str, int]] = {}
        for one, end in zip(tops, ends, strict=True):
            name = one.heading.lower()
            if one.level == 2 and name in (CUSTOMER, "agent"):
                text, start = self.text[one.start : end], one.start
                if name in parts and self.article:
                    text, start = f"{parts[name][0].rstrip()}\n\n{text.lstrip()}", parts[name][1]
                elif name in parts:
                    place = self.place(one.head)
                    self.front.trouble(place, "part", f"a second ## {one.heading}")
                parts[name] = (text, start)
        return parts

    def place(self, offset: int) -> tuple[int, int]:
        return place_in(self.text, offset)

    def only_a_runbooks(self) -> None:
        for key in ("fields", "message", "why", "show", "known"):
            if self.article and self.front.values.get(key) is not None:
                message = f"an article has no {key!r}: it is not filled in, and no policy shows it"
                self.front.trouble(self.front.at(key), "article", message)

    def fields(self) -> frozenset[str]:
        fields = self.front.texts("fields")
        for number, field in enumerate(fields):
            try:
                parse_template(f"{{{{ {field} }}}}")
            except TemplateError as error:
                self.front.trouble(self.front.at(f"fields.{number}"), "field", str(error))
        return frozenset(fields)

    def customer(
        self, parts: dict[str, tuple[str, int]], declared: frozenset[str]
    ) -> Template | None:
        front, message = self.front, self.front.values.get("message")
        if (message is None) == (CUSTOMER not in parts):
            front.trouble(
                (1, 1) if message is None else front.at("message"),
                "customer",
                "the customer's words stand either under ## Customer or as 'message', once",
                "an article, which no policy shows, says kind: article"
                if message is None
                else None,
            )
            return None
        if message is not None and not isinstance(message, str):
            front.trouble(front.at("message"), "type", "'message' is not text")
            return None
        text, start = parts[CUSTOMER] if message is None else (message, None)
        lead = len(text) - len(text.lstrip())

        def place(offset: int) -> tuple[int, int]:
            return front.at("message") if start is None else self.place(start + lead + offset)

        if not text.strip():
            front.trouble(place(0), "customer", "there are no words for the customer")
            return None
        words = text if start is None else _flowing(text)
        return self.template(words.strip(), declared, place)

    def why(self, declared: frozenset[str]) -> Template | None:
        """Why a customer sees it, as a template; none where it does not say."""
        text = self.front.values.get("why")
        if not isinstance(text, str):
            return None
        return self.template(text.strip(), declared, _at(self.front.at("why")))

    def filled(self, key: str, declared: frozenset[str]) -> tuple[Template, ...]:
        """The texts of the list ``key`` as templates, as far as they are."""
        found = (
            self.template(text.strip(), declared, _at(self.front.at(f"{key}.{number}")))
            for number, text in enumerate(self.front.texts(key))
        )
        return tuple(one for one in found if one is not None)

    def template(
        self, text: str, declared: frozenset[str], place: Callable[[int], tuple[int, int]]
    ) -> Template | None:
        """``text`` as a template, which reads ``declared`` fields only; ``place`` says where a
        character of it stands."""
        try:
            template = parse_template(text)
        except TemplateError as error:
            self.front.trouble(place(error.offset), "template", str(error))
            return None
        for placeholder in template.reads():
            if placeholder.path not in declared:
                self.front.trouble(
                    place(placeholder.offset),
                    "undeclared",
                    f"the text reads {placeholder.path}, which 'fields' does not declare",
                    f"fields: [{', '.join(sorted({*declared, placeholder.path}))}]",
                )
        return template


def _at(place: tuple[int, int]) -> Callable[[int], tuple[int, int]]:
    """That place for every character, where no other is known."""
    return lambda _: place


def _flowing(text: str) -> str:
    """``text``, where a line's end within a paragraph is a space, as Markdown has it, but after two
    spaces. Nothing else moves, so that places in it stay."""
    lines = text.split("\n")
    soft = {
        number
        for token in markdown().parse(text)
        if token.type == "inline" and token.map
        for number in range(token.map[0], token.map[1] - 1)
        if not lines[number].endswith("  ") and not lines[number + 1].lstrip().startswith(">")
    }
    ended = (line + (" " if number in soft else "\n") for number, line in enumerate(lines))
    return "".join(ended)[:-1]
