"""What is wrong with knowledge although it can be read: expired, unknown, empty, leading nowhere."""

import datetime
import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import msgspec

from forestall.context.knowledge.front import Front, place_in
from forestall.context.knowledge.links import Link, links_of
from forestall.context.knowledge.plain import plain
from forestall.context.knowledge.runbooks import (
    Runbook,
    bytes_of,
    expired,
    markdown_files,
    passages_of,
    read_document,
    read_folder,
    text_of,
)
from forestall.context.knowledge.sections import Section, slug_of
from forestall.contracts.errors import InvalidFile, Problem

SOON = 30
"""Days before its day of review on which a document begins to be told of."""

LONGEST = {
    "message": 1_200,
    "section": 6_000,
    "step": 300,
    "title": 120,
    "known": 300,
    "why": 300,
}
"""Characters of what a policy shows, of one section of an article, of a step, of a title, of one
thing that people know, and of why a customer sees it."""

MOST_LISTED = 12
"""Steps of a checklist, and things that people know."""

_NAME = re.compile(r"\w+(?:[.-]\w+)+")
"""What may be the name of an event type or a policy, and is no word."""

SAFE = ("http", "https", "mailto", "tel")
"""Where a link may lead outside the folder."""


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment has besides. ``signals`` are event types and policies, ``actions`` what is
    declared as such; none where that is not known. ``shown`` are the policies that show a runbook,
    by its id, and ``products`` those that agents search."""

    day: datetime.date
    signals: frozenset[str] | None = None
    actions: frozenset[str] | None = None
    shown: Mapping[str, tuple[str, ...]] = {}
    products: frozenset[str] = frozenset()


class Document(msgspec.Struct, frozen=True):
    """One file: what was read, with its places, and the text it was read from."""

    runbook: Runbook
    front: Front
    text: str

    def problem(
        self,
        place: tuple[int, int],
        code: str,
        message: str,
        hint: str | None = None,
        *,
        warning: bool = False,
    ) -> Problem:
        """A mistake in it."""
        severity = "warning" if warning else "error"
        return Problem(self.runbook.path, *place, f"knowledge-{code}", message, hint, severity)

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of a character of the text."""
        return place_in(self.text, offset)


def lint(folder: Path, around: Around) -> tuple[int, list[Problem]]:
    """How many documents there are below ``folder``, and every problem with them, sorted."""
    readable, problems = read_folder(folder)
    documents = []
    for path in markdown_files(folder):
        try:
            text = text_of(bytes_of(path), str(path))
            documents.append(Document(*read_document(text, str(path)), text))
        except InvalidFile:
            continue
    known = _Known(folder, documents, around)
    for one in documents:
        for check in CHECKS:
            problems.extend(check(one, known))
    return len(readable), sorted(problems)


class _Known:
    """What the checks of one document ask of all others."""

    def __init__(self, folder: Path, documents: Sequence[Document], around: Around) -> None:
        self.folder, self.around = folder.resolve(), around
        self.by_path = {Path(one.runbook.path).resolve(): one for one in documents}
        self.titles: dict[tuple[str | None, str], list[Document]] = defaultdict(list)
        self.products: Counter[str] = Counter(around.products)
        for one in documents:
            self.titles[_title(one)].append(one)
            self.products.update(set(one.runbook.products))


def _title(one: Document) -> tuple[str | None, str]:
    return one.runbook.language, " ".join(one.runbook.title.casefold().split())


def _reviewed(one: Document, known: _Known) -> Iterator[Problem]:
    book, day = one.runbook, known.around.day
    left = (book.review_by - day).days
    if expired(book, day):
        ago = "yesterday" if left == -1 else f"{-left} days ago"
        shown = ", ".join(known.around.shown.get(book.id, ()))
        used = f"; a step that shows it fails: {shown}" if shown else ""
        message = f"its review was due {ago}: it is not used any more{used}"
        hint = f"{book.owner}: read it again, and set a later review_by"
        yield one.problem(one.front.at("review_by"), "expired", message, hint)
    elif left <= SOON:
        when = "today" if left == 0 else f"in {left} day{'' if left == 1 else 's'}"
        message = f"its review is due {when}; it is not used after that day"
        yield one.problem(one.front.at("review_by"), "expires", message, warning=True)


def _signals(one: Document, known: _Known) -> Iterator[Problem]:
    what = "neither an event type nor a policy of this deployment"
    yield from _unknown(one, "signals", "signal", what, known.around.signals)


def _actions(one: Document, known: _Known) -> Iterator[Problem]:
    yield from _unknown(one, "actions", "action", "not a declared action", known.around.actions)


def _unknown(
    one: Document, key: str, code: str, what: str, there: frozenset[str] | None
) -> Iterator[Problem]:
    for number, name in enumerate(one.front.texts(key)):
        if there is not None and name not in there:
            place = one.front.at(f"{key}.{number}")
            yield one.problem(place, code, f"{name!r} is {what}", _near(name, there))


def _near(name: str, known: Collection[str]) -> str | None:
    found = difflib.get_close_matches(name[:80], sorted(known)[:2_000], n=1, cutoff=0.75)
    return f"did you mean {found[0]!r}?" if found else None


def _products(one: Document, known: _Known) -> Iterator[Problem]:
    """A product that nothing else has, and that is almost another one, is mistyped."""
    for number, name in enumerate(one.front.texts("products")):
        others = {other for other, times in known.products.items() if times > 1 and other != name}
        hint = _near(name, others) if known.products[name] == 1 else None
        if hint is not None:
            place = one.front.at(f"products.{number}")
            message = f"nothing else is about the product {name!r}"
            yield one.problem(place, "product", message, hint, warning=True)


def _titles(one: Document, known: _Known) -> Iterator[Problem]:
    first = known.titles[_title(one)][0]
    if first is not one:
        message = f"{first.runbook.path} has the same title"
        hint = "say in each what sets it apart, or make them one"
        yield one.problem(one.front.at("title"), "title", message, hint, warning=True)


def _sections(one: Document, _: _Known) -> Iterator[Problem]:
    book = one.runbook
    for section, after in zip_longest(book.sections, book.sections[1:]):
        deeper = after is not None and after.level > section.level
        if section.level and not plain(section.text) and not deeper:
            message = f"nothing stands under {section.heading!r}"
            yield one.problem(one.place(section.head), "empty", message, warning=True)
        if section.heading.lower() == "agent" and section.level != 2 and not section.internal:
            message = "customers are told this part; only ## Agent is for our people"
            yield one.problem(one.place(section.head), "agent", message, warning=True)
    if not passages_of(book):
        message = "there is nothing in it for customers: it is never found"
        yield one.problem((1, 1), "empty", message)


def _lengths(one: Document, _: _Known) -> Iterator[Problem]:
    book = one.runbook
    longest = "section" if book.kind == "article" else "message"
    told: list[tuple[tuple[int, int], str, str]] = [(one.front.at("title"), "title", book.title)]
    for number, step in enumerate(book.steps):
        told.append((one.front.at(f"steps.{number}"), "step", step))
    for number, text in enumerate(one.front.texts("known")):
        told.append((one.front.at(f"known.{number}"), "known", text))
    for key, words in (("message", book.message), ("why", one.front.values.get("why"))):
        if words is not None:
            told.append((one.front.at(key), key, words))
    told += [
        (one.place(section.head), longest, plain(section.text))
        for section in book.sections
        if not section.internal
    ]
    for place, what, text in told:
        if len(text) > LONGEST[what]:
            message = f"this {what} has {len(text):,} characters; {LONGEST[what]:,} are plenty"
            yield one.problem(place, "long", message, warning=True)
    for key, listed in (("steps", book.checklist), ("known", book.known)):
        if len(listed) > MOST_LISTED:
            message = f"a page lists {len(listed)} of these; {MOST_LISTED} are plenty"
            yield one.problem(one.front.at(key), "long", message, warning=True)


def _form(one: Document, _: _Known) -> Iterator[Problem]:
    """What a form of ``show`` needs and has not, or has and cannot show."""
    book, show = one.runbook, one.runbook.show
    form = None if show is None else show.as_
    if form == "checklist" and not book.steps:
        message = "a checklist has nothing to tick off: it is shown as a toast"
        yield one.problem(one.front.at("show.as"), "show", message, "steps: [...]", warning=True)
    if show is not None and form == "hint" and show.at is None:
        message = "a hint needs to know at which element: it is shown as a toast"
        hint = 'show: {as: hint, at: "[data-help=search]"}'
        yield one.problem(one.front.at("show.as"), "show", message, hint, warning=True)
    if show is not None and form != "hint" and show.at is not None:
        message = f"a {form} stands at no element; only a hint does"
        yield one.problem(one.front.at("show.at"), "show", message, warning=True)
    if book.known and form != "handover":
        message = "nobody sees what people know already; only a hand-over tells it"
        hint = "show: {as: handover}"
        yield one.problem(one.front.at("known"), "show", message, hint, warning=True)


def _why(one: Document, known: _Known) -> Iterator[Problem]:
    """Customers read ``why``: what we call things is nothing to them."""
    text = one.front.values.get("why")
    for name in _NAME.findall(text) if isinstance(text, str) else ():
        if name in (known.around.signals or ()):
            message = f"customers read this, and {name!r} says nothing to them"
            hint = "why: Your bank declined a payment here a moment ago."
            yield one.problem(one.front.at("why"), "why", message, hint, warning=True)


def _fields(one: Document, _: _Known) -> Iterator[Problem]:
    """Fields that no text reads, and placeholders where nothing fills them."""
    if one.runbook.customer is None:
        for section in one.runbook.sections:
            at = section.text.find("{{")
            if at >= 0 and "}}" in section.text[at:]:
                message = "an article is not filled in: customers read the braces"
                yield one.problem(one.place(section.start + at), "braces", message, warning=True)
        return
    read = {place.path for text in one.runbook.templates() for place in text.reads()}
    for number, name in enumerate(one.front.texts("fields")):
        if name not in read:
            place = one.front.at(f"fields.{number}")
            yield one.problem(place, "field", f"no text reads {name}", warning=True)


def _links(one: Document, known: _Known) -> Iterator[Problem]:
    for link in links_of(one.text[one.front.end :]):
        message = _astray(one, link, known)
        if message is not None:
            line, column = one.place(one.front.end + link.offset)
            yield one.problem((line, column), "link", message)


def _astray(one: Document, link: Link, known: _Known) -> str | None:
    """What is wrong with where a link leads; none where nothing is, or it cannot be known."""
    if link.scheme:
        return None if link.scheme in SAFE else f"a link may not lead to {link.scheme}:"
    if link.path.startswith("/") or not (link.path or link.anchor):
        return None
    here = Path(one.runbook.path).resolve()
    target = (here.parent / link.path).resolve() if link.path else here
    if not target.is_relative_to(known.folder):
        return f"{link.path} leads out of the folder"
    if not target.exists():
        return f"there is no {link.path} here"
    other = known.by_path.get(target)
    if link.anchor and other is not None and not _has(other.runbook.sections, link.anchor):
        there = ", ".join(section.slug for section in other.runbook.sections)
        return f"there is no section #{link.anchor} in {target.name} (there are: {there or 'none'})"
    return None


def _has(sections: Sequence[Section], anchor: str) -> bool:
    return any(section.slug in (anchor, slug_of(anchor)) for section in sections)


Check = Callable[[Document, _Known], Iterator[Problem]]

CHECKS: tuple[Check, ...] = (
    _reviewed,
    _signals,
    _actions,
    _products,
    _titles,
    _sections,
    _lengths,
    _form,
    _why,
    _fields,
    _links,
)
"""What is looked at in each document, in order."""
