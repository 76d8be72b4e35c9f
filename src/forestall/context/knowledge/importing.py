"""Importing articles into a folder of knowledge, again and again: what changed gets a new version.

Each file keeps in its front matter where it comes from and a hash of its title and text as they were
written. So an import leaves alone what has not changed, and what somebody has edited since.
"""

import datetime
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from forestall.context.knowledge.front import Imported
from forestall.context.knowledge.runbooks import (
    MAX_BYTES,
    Runbook,
    bytes_of,
    markdown_files,
    read_document,
    text_of,
)
from forestall.context.knowledge.sections import slug_of
from forestall.contracts.errors import InvalidFile, UnreadableInput

LONGEST_TITLE = 200
"""Characters of a title that are kept."""

What = Literal["new", "updated", "unchanged", "kept", "left out", "gone", "unreadable"]


class Article(msgspec.Struct, frozen=True, kw_only=True):
    """An article as it is elsewhere. ``source`` names it there for ever; ``name`` is what its id is
    made of, ``other`` what tells it from one of the same name."""

    source: str
    name: str
    other: str
    title: str
    markdown: str
    language: str | None = None
    products: tuple[str, ...] = ()
    told: tuple[str, ...] = ()


class LeftOut(msgspec.Struct, frozen=True):
    """What is not imported and why; ``wrong`` where that is a mistake and not meant so."""

    source: str
    why: str
    wrong: bool = False


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """What the front matter of imported articles says. ``taken`` are ids of others."""

    owner: str
    review_by: datetime.date
    products: tuple[str, ...] = ()
    taken: frozenset[str] = frozenset()


class Told(msgspec.Struct, frozen=True):
    """What became of one article: its file, and what there is to know about it. Where it is
    ``wrong`` somebody has to do something."""

    what: What
    source: str
    file: str | None = None
    about: tuple[str, ...] = ()
    wrong: bool = False


class _Held(msgspec.Struct, frozen=True):
    """An imported file as it is, and whether it was edited since."""

    path: Path
    book: Runbook
    edited: bool


def content_hash(title: str, text: str) -> str:
    """32 hex digits that change with the title or the text of an article."""
    return hashlib.sha256(f"{title}\n{text.strip()}\n".encode()).hexdigest()[:32]


def import_articles(
    articles: Sequence[Article],
    left_out: Iterable[LeftOut],
    out: Path,
    defaults: Defaults,
    *,
    origin: str,
    force: bool = False,
    dry: bool = False,
) -> list[Told]:
    """Write ``articles`` below ``out``, and tell what became of each, by source.

    ``origin`` is how the sources of this kind of import start (``zendesk:``): what was imported
    before and is not there any more is told as gone, and stays. With ``force`` edited files are
    written over; ``dry`` writes nothing. Raises ``UnreadableInput`` where nothing can be written.
    """
    held, used = _held(out)
    taken = set(defaults.taken) | used
    told: list[Told] = []
    left = {one.source: one for one in left_out}
    for article in sorted(articles, key=lambda one: one.source):
        left.pop(article.source, None)
        before = held.pop(article.source, None)
        if before is None:
            told.append(_new(article, out, defaults, taken, dry=dry))
        else:
            told.append(_again(article, before, defaults, force=force, dry=dry))
    for source, one in left.items():
        before = held.pop(source, None)
        told.append(_left(one, before))
    told += [
        Told(
            "gone", source, str(before.path), ("not in the export any more; the file stays",), True
        )
        for source, before in held.items()
        if source.startswith(origin)
    ]
    return sorted(told, key=lambda one: (one.source, one.what))


def _held(out: Path) -> tuple[dict[str, _Held], set[str]]:
    """The imported files below ``out`` by source, and every name that is used there."""
    held: dict[str, _Held] = {}
    used: set[str] = set()
    for path in markdown_files(out):
        used.add(path.stem)
        try:
            text = text_of(bytes_of(path), str(path))
            book, front = read_document(text, str(path))
        except InvalidFile:
            continue
        used.add(book.id)
        if book.imported is not None:
            edited = content_hash(book.title, text[front.end :]) != book.imported.hash
            held.setdefault(book.imported.source, _Held(path, book, edited))
    return held, used


def _left(one: LeftOut, before: _Held | None) -> Told:
    if before is None:
        return Told(
            "unreadable" if one.wrong else "left out", one.source, None, (one.why,), one.wrong
        )
    about = (one.why, "imported before; delete the file if it is not to be used")
    return Told(
        "unreadable" if one.wrong else "left out", one.source, str(before.path), about, True
    )


def _new(article: Article, out: Path, defaults: Defaults, taken: set[str], *, dry: bool) -> Told:
    plain = slug_of(article.name)
    name = _unused(plain, article.other, taken)
    taken.add(name)
    told = article.told
    if name != plain:
        told = (*told, f"the id {plain} is taken")
    front = {
        "id": name,
        "kind": "article",
        "title": article.title,
        "version": 1,
        "owner": defaults.owner,
        "review_by": defaults.review_by,
        "language": article.language,
        "products": list(dict.fromkeys((*defaults.products, *article.products))),
    }
    path = out / f"{name}.md"
    return _written("new", article, front, path, told, dry=dry)


def _unused(name: str, other: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    end = slug_of(other)[-24:].strip("-")
    found = f"{name[: 62 - len(end)]}-{end}"
    number = 2
    while found in taken:
        found = f"{name[: 57 - len(end)]}-{end}-{number}"
        number += 1
    return found


def _again(article: Article, before: _Held, defaults: Defaults, *, force: bool, dry: bool) -> Told:
    """What becomes of an article that was imported before."""
    book, path = before.book, before.path
    known = book.imported.hash if book.imported is not None else ""
    if content_hash(article.title, article.markdown) == known and not (force and before.edited):
        return Told("unchanged", article.source, str(path))
    if before.edited and not force:
        about = ("changed there, and edited here: --force writes over what was edited",)
        return Told("kept", article.source, str(path), about, True)
    front = {
        "id": book.id,
        "kind": "article",
        "title": article.title,
        "version": book.version + 1,
        "owner": book.owner,
        "review_by": max(defaults.review_by, book.review_by),
        "language": book.language or article.language,
        **{key: list(getattr(book, key)) for key in ("products", "signals", "steps", "actions")},
    }
    return _written("updated", article, front, path, article.told, dry=dry)


def _written(
    what: What,
    article: Article,
    front: Mapping[str, Any],
    path: Path,
    told: tuple[str, ...],
    *,
    dry: bool,
) -> Told:
    mark = Imported(article.source, content_hash(article.title, article.markdown))
    text = _document({**front, "imported": msgspec.to_builtins(mark)}, article.markdown)
    try:
        book, _ = read_document(text, str(path))
    except InvalidFile as error:
        return Told("unreadable", article.source, None, (error.problems[0].message,), True)
    if len(text.encode()) > MAX_BYTES:
        why = f"larger than {MAX_BYTES:,} bytes as Markdown"
        return Told("unreadable", article.source, None, (why,), True)
    if any(section.internal for section in book.sections):
        told = (*told, "what stands under the heading Agent is kept from customers")
    if not dry:
        _write(path, text)
    return Told(what, article.source, str(path), told)


def _document(front: Mapping[str, Any], markdown: str) -> str:
    values = {key: value for key, value in front.items() if value not in (None, [])}
    head = yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=1_000)
    return f"---\n{head}---\n\n{markdown.strip()}\n"


def _write(path: Path, text: str) -> None:
    """Whole or not at all; a link in its place is replaced, not followed."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with fresh.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        raise UnreadableInput(f"{path}: cannot be written: {error.strerror}") from None


def tidy_title(title: str) -> str:
    """A title on one line, no longer than is kept, of what can be printed."""
    printable = "".join(one if one.isprintable() else " " for one in title)
    return " ".join(printable.split())[:LONGEST_TITLE].strip()
