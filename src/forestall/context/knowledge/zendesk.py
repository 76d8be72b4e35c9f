"""A Zendesk Help Center export as articles: the pages of its API (``articles.json``) as files.

A page is an object with ``articles``, and perhaps ``sections`` and ``categories``; these may be in
files of their own. See https://developer.zendesk.com/api-reference/help_center/help-center-api/articles/
for the fields.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from forestall.context.knowledge.html import Unusable, read_page
from forestall.context.knowledge.importing import Article, LeftOut, tidy_title
from forestall.context.knowledge.sections import slug_of
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.languages import LANGUAGES

ORIGIN = "zendesk:"
LARGEST = 200_000_000
"""Bytes of a file at most."""

By = Literal["none", "labels", "section", "category"]
"""What an article's products are taken from."""

_LANGUAGE = re.compile(r"([a-z]{2})(?:[-_].*)?", re.IGNORECASE | re.DOTALL)


class _Article(msgspec.Struct, frozen=True):
    id: int | str
    title: str | None = None
    body: str | None = None
    locale: str | None = None
    label_names: list[str] | None = None
    section_id: int | str | None = None
    user_segment_id: int | str | None = None
    user_segment_ids: list[int | str] | None = None
    updated_at: str | None = None
    draft: bool | None = None

    @property
    def source(self) -> str:
        return f"{ORIGIN}{self.id}:{(self.locale or '').lower()}"


class _Group(msgspec.Struct, frozen=True):
    """A section or category."""

    id: int | str
    name: str | None = None
    category_id: int | str | None = None


def read_zendesk(path: Path, by: By = "none") -> tuple[list[Article], list[LeftOut]]:
    """The articles in a file, or in every ``*.json`` below a folder, and what is left out.

    Drafts and articles that only some users may read are left out. Raises ``UnreadableInput`` where
    there is nothing to read.
    """
    found: dict[str, _Article] = {}
    sections: dict[str, _Group] = {}
    categories: dict[str, _Group] = {}
    left: list[LeftOut] = []
    for file in _files(path):
        for kind, name, value in _entries(file, left):
            try:
                if kind == "articles":
                    article = msgspec.convert(value, _Article)
                    _keep(found, article)
                else:
                    group = msgspec.convert(value, _Group)
                    (sections if kind == "sections" else categories)[str(group.id)] = group
            except msgspec.ValidationError as error:
                left.append(LeftOut(name, f"not as the API gives it: {error}", True))
    articles = []
    for article in found.values():
        try:
            articles.append(_read(article, list(_products(article, by, sections, categories))))
        except Unusable as error:
            left.append(LeftOut(article.source, str(error), True))
        except _Meant as why:
            left.append(LeftOut(article.source, str(why)))
    return articles, left


class _Meant(Exception):
    """Left out because that is meant so."""


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UnreadableInput(f"{path}: no such file or folder")
    files = sorted(file for file in path.rglob("*.json") if file.is_file())
    if not files:
        raise UnreadableInput(f"{path}: there is no *.json in it")
    return files


def _entries(file: Path, left: list[LeftOut]) -> Iterator[tuple[str, str, Any]]:
    """Each entry of a file: its kind, what to call it, and the entry itself."""
    try:
        if file.stat().st_size > LARGEST:
            left.append(LeftOut(file.name, f"larger than {LARGEST:,} bytes", True))
            return
        page = msgspec.json.decode(file.read_bytes())
    except OSError as error:
        left.append(LeftOut(file.name, f"cannot be read: {error.strerror}", True))
        return
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        left.append(LeftOut(file.name, f"not JSON: {error}", True))
        return
    if isinstance(page, dict) and "article" in page:
        page = [page["article"]]
    pages = {"articles": page} if isinstance(page, list) else page
    kinds = ("articles", "sections", "categories")
    if not isinstance(pages, dict) or not any(isinstance(pages.get(kind), list) for kind in kinds):
        left.append(LeftOut(file.name, "no page of articles, sections or categories", True))
        return
    for kind in kinds:
        entries = pages.get(kind)
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            yield kind, f"{file.name}: {kind}[{number}]", entry


def _keep(found: dict[str, _Article], article: _Article) -> None:
    """Of two pages that have an article, the one that was updated last counts."""
    other = found.get(article.source)
    if other is None or (article.updated_at or "") >= (other.updated_at or ""):
        found[article.source] = article


def _read(article: _Article, products: Iterable[str]) -> Article:
    if article.draft:
        raise _Meant("a draft")
    if article.user_segment_id is not None or article.user_segment_ids:
        raise _Meant("only some users may read it")
    title = tidy_title(article.title or "")
    if not title:
        raise Unusable("it has no title")
    page = read_page(article.body or "", whole=False)
    if not page.markdown:
        raise Unusable("it has no text")
    named = _LANGUAGE.fullmatch(article.locale or "")
    language = named[1].lower() if named else ""
    return Article(
        source=article.source,
        name=title,
        other=f"{article.id} {named[1] if named else ''}",
        title=title,
        markdown=page.markdown,
        language=language if language in LANGUAGES else None,
        products=tuple(products),
        told=page.told,
    )


def _products(
    article: _Article, by: By, sections: dict[str, _Group], categories: dict[str, _Group]
) -> Iterator[str]:
    if by == "labels":
        names = article.label_names or []
    else:
        section = sections.get(str(article.section_id))
        category = categories.get(str(section.category_id)) if section is not None else None
        group = {"section": section, "category": category, "none": None}[by]
        names = [group.name or ""] if group is not None else []
    yield from dict.fromkeys(slug_of(name) for name in names if name.strip())
