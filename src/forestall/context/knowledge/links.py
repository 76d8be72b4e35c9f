"""The links and pictures of a Markdown text, and where each stands."""

import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote, urlsplit

import msgspec
from markdown_it.token import Token

from forestall.context.knowledge.plain import markdown

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)


class Link(msgspec.Struct, frozen=True):
    """Where a link leads: ``scheme`` (lower case; empty within the folder), ``path`` and ``anchor``.
    ``offset`` is where its block starts, or itself where it is written there as it is meant."""

    offset: int
    url: str
    scheme: str
    path: str
    anchor: str


def links_of(text: str) -> Iterator[Link]:
    """Every link and picture of ``text``, in order."""
    text, starts = text.replace("\r", "\n"), [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    for block in markdown().parse(text):
        if block.type != "inline" or block.map is None:
            continue
        start, end = starts[block.map[0]], min(starts[block.map[1]], len(text))
        for url in _urls(block.children or ()):
            at = text.find(url, start, end)
            yield _link(url, max(start, at))
            start = max(start, at)


def _urls(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        url = token.attrGet("href" if token.type == "link_open" else "src")
        if token.type in ("link_open", "image") and url is not None:
            yield str(url)
        yield from _urls(token.children or ())


def _link(url: str, offset: int) -> Link:
    scheme = _SCHEME.match("".join(unquote(url).split()))
    if scheme is not None:
        return Link(offset, url, scheme[1].lower(), "", "")
    try:
        parts = urlsplit(url)
    except ValueError:
        return Link(offset, url, "broken", "", "")
    if parts.netloc:
        return Link(offset, url, "https", "", "")
    return Link(offset, url, "", unquote(parts.path), unquote(parts.fragment))
