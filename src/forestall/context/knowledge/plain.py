"""Markdown as plain words: what is searched, quoted and shown where no marks belong."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_CONTROL = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+"
)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_SPACES = re.compile(r" *\n *| {2,}")
_LINES = re.compile(r"\n{3,}")


@cache
def markdown() -> "MarkdownIt":
    """Parses what we know; tags of HTML stand within paragraphs, so that headings after them count."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table").disable("html_block")
    parser.validateLink = lambda _: True  # type: ignore[method-assign, assignment]
    return parser


def plain(text: str) -> str:
    """``text`` without its marks: of a link its words, of a picture what it shows, no tags of
    HTML. Paragraphs are an empty line apart; points of a list and rows of a table have a line
    each. Control characters and marks that turn text around are gone."""
    said = "".join(gap + words for gap, words in _pieces(markdown().parse(text)))
    said = _SPACES.sub(lambda found: "\n" if "\n" in found[0] else " ", _CONTROL.sub(" ", said))
    return _LINES.sub("\n\n", said).strip()


def _pieces(tokens: "Sequence[Token]") -> Iterator[tuple[str, str]]:
    """The words of each block, with the lines between it and the one before."""
    gap, point, cells = "", "", list[str]()
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type in ("bullet_list_open", "ordered_list_open") and token.level:
            gap = "\n"
        elif token.type == "list_item_open":
            point = f"{token.info}. " if token.info else "- "
        elif token.type in ("list_item_close", "tr_close"):
            if cells:
                yield gap, ", ".join(filter(None, cells))
            gap, cells = "\n", []
        elif token.type in ("bullet_list_close", "ordered_list_close", "table_close"):
            gap = "\n\n"
        elif (
            token.type == "inline" and before is not None and before.type in ("td_open", "th_open")
        ):
            cells.append(_words(token.children or ()))
        elif token.type in ("inline", "fence", "code_block"):
            words = _words(token.children or ()) if token.type == "inline" else token.content
            yield gap, point + words.strip()
            gap, point = "\n\n", ""


def _words(tokens: "Sequence[Token]") -> str:
    said = []
    for token in tokens:
        if token.type in ("text", "code_inline"):
            said.append(token.content)
        elif token.type == "image":
            said.append(_words(token.children or ()))
        elif token.type in ("softbreak", "hardbreak"):
            said.append(" " if token.type == "softbreak" else "\n")
        elif token.type == "html_inline" and _BREAK.fullmatch(token.content):
            said.append("\n")
    return "".join(said)
