"""A page of HTML as Markdown: what is read on it, and nothing that runs, hides or surrounds it.

Links keep their words, and their address where it is one of the web; pictures become what they show.
"""

import re
import warnings
from codecs import BOM_UTF16_BE as BOM_BE
from codecs import BOM_UTF16_LE as BOM_LE
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

import msgspec
from bs4 import BeautifulSoup, Tag
from bs4.exceptions import ParserRejectedMarkup
from markdownify import MarkdownConverter

from forestall.contracts.errors import ForestallError
from forestall.contracts.languages import LANGUAGES

LARGEST = 1_000_000
"""Bytes or characters of a page at most."""

MOST, DEEPEST = 10_000, 120
"""Elements of a page at most, and within each other."""

SAFE = ("http", "https", "mailto", "tel")
"""Where a link may lead; others lose their address."""

_ACTIVE = ("script", "style", "iframe", "object", "embed", "applet", "svg", "math", "template")
_AROUND = ("nav", "footer", "aside", "form", "button", "input", "select", "textarea", "dialog")
_SILENT = ("noscript", "canvas", "video", "audio", "map", "link", "meta", "title", "base")
_ROLES = ("navigation", "banner", "contentinfo", "search", "complementary")
_WHOLE = ("html", "head", "body")
_HIDING = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_BLANK = re.compile(r"[\x00-\x20\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_LANGUAGE = re.compile(r"[a-z]{2}(?![a-z])")


class Page(msgspec.Struct, frozen=True):
    """What was on it. ``title`` is empty where there is none, ``markdown`` where there is no text;
    ``told`` says what was left out, such as ``2 scripts``."""

    title: str
    markdown: str
    language: str | None = None
    told: tuple[str, ...] = ()


class Unusable(ForestallError):
    """A page or article that is not imported; the message says why."""

    code = "unusable-page"


def read_page(html: str | bytes, *, whole: bool = True) -> Page:
    """The page in ``html``; a fragment of one where it is not ``whole``. Raises ``Unusable``."""
    if len(html) > LARGEST:
        raise Unusable(f"larger than {LARGEST:,} bytes")
    if isinstance(html, bytes) and b"\0" in html and not html.startswith((BOM_LE, BOM_BE)):
        raise Unusable("it is not text")
    soup = _parsed(html)
    _bounded(soup)
    language = soup.html and soup.html.get("lang")
    found = _LANGUAGE.match(str(language or "").lower())
    spoken = found[0] if found and found[0] in LANGUAGES else None
    named = _words(soup.title) if soup.title is not None else ""
    told = _cleaned(soup)
    content = _content(soup) if whole else (soup.body or soup)
    first = content.find("h1")
    heading = _words(first) if isinstance(first, Tag) else ""
    title = heading if not named or (heading and heading.lower() in named.lower()) else named
    if isinstance(first, Tag) and heading == title and whole:
        first.decompose()
    told += _relinked(content)
    markdown = _Converter(heading_style="ATX", bullets="-").convert_soup(content)
    return Page(title, _tidy(markdown), spoken, tuple(told))


def _parsed(html: str | bytes) -> BeautifulSoup:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return BeautifulSoup(html, "lxml")
        except (ParserRejectedMarkup, ValueError, AssertionError) as error:
            raise Unusable(f"it cannot be read as HTML: {error}") from None


def _bounded(soup: BeautifulSoup) -> None:
    """Refuse what would take for ever, or recurse too deeply."""
    depth = {id(soup): 0}
    for number, tag in enumerate(soup.find_all(True)):
        depth[id(tag)] = own = depth[id(tag.parent)] + 1
        if own > DEEPEST:
            raise Unusable(f"elements are nested more than {DEEPEST} deep")
        if number >= MOST:
            raise Unusable(f"more than {MOST:,} elements")


def _cleaned(soup: BeautifulSoup) -> list[str]:
    """Take out what runs, hides or surrounds; what of it is to be told."""
    scripts = hidden = 0
    for tag in soup.find_all(True):
        if tag.decomposed:
            continue
        if tag.name in _ACTIVE:
            usual = tag.name == "style" or (soup.body is not None and tag.find_parent("head"))
            scripts += not usual
            tag.decompose()
        elif _hidden(tag):
            hidden += bool(_words(tag))
            tag.decompose()
        elif tag.name in (*_AROUND, *_SILENT) or _surrounds(tag):
            tag.decompose()
    return [*_counted(scripts, "script or frame"), *_counted(hidden, "hidden text")]


def _hidden(tag: Tag) -> bool:
    return tag.name not in _WHOLE and (
        tag.has_attr("hidden")
        or tag.get("aria-hidden") == "true"
        or _HIDING.search(str(tag.get("style") or "")) is not None
    )


def _surrounds(tag: Tag) -> bool:
    top = tag.parent is not None and tag.parent.name in _WHOLE
    return str(tag.get("role")) in _ROLES or (tag.name == "header" and top and tag.h1 is None)


def _content(soup: BeautifulSoup) -> Tag:
    """The part of a page that is about something: its main part, its one article, its body."""
    articles = soup.find_all("article")
    found = soup.main or (articles[0] if len(articles) == 1 else None) or soup.body or soup
    return found if isinstance(found, Tag) else soup


def _relinked(content: Tag) -> list[str]:
    """Give each link where it may lead, or only its words; what of it is to be told."""
    unsafe = 0
    for link in content.find_all("a"):
        url = _BLANK.sub("", str(link.get("href") or ""))
        scheme = _SCHEME.match(_BLANK.sub("", unquote(url)))
        safe = scheme is not None and scheme[1].lower() in SAFE
        unsafe += scheme is not None and not safe
        link.attrs = {}
        if safe or (scheme is None and url.startswith("/")):
            link.attrs = {"href": re.sub(r"[()<>\\]", lambda mark: quote(mark[0]), url)}
    return list(_counted(unsafe, "unsafe link"))


def _counted(number: int, thing: str) -> Iterator[str]:
    if number:
        yield f"{number} × {thing}"


def _words(tag: Tag) -> str:
    return " ".join(_CONTROL.sub(" ", tag.get_text(" ")).split())


def _tidy(markdown: str) -> str:
    lines = (line.rstrip() for line in _CONTROL.sub("", markdown).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Converter(MarkdownConverter):
    """Markdown that reads as the page did: what looks like a mark, or a tag, and is none is escaped."""

    def convert_img(self, el: Tag, _text: str, parent_tags: Any) -> str:
        """What a picture shows."""
        return self.escape(" ".join(str(el.get("alt") or "").split()), parent_tags)

    def escape(self, text: str, parent_tags: Any) -> str:
        """``text`` so that it is read as it stands."""
        found = str(super().escape(text, parent_tags))  # type: ignore[misc]
        found = re.sub(r"([<`|\[\]])", r"\\\1", found)
        return re.sub(r"^(\s*)([#>+=~-]|\d{1,9}[.)](?=\s))", _escaped, found)


def _escaped(found: re.Match[str]) -> str:
    mark = found[2]
    return f"{found[1]}{mark[:-1]}\\{mark[-1]}"
