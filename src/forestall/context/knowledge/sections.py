"""The sections of a Markdown text: what stands below each heading, by a name that stays."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise

import msgspec

from forestall.context.knowledge.plain import plain

INTRO = "intro"
"""What stands before the first heading, or below the page's own title."""

_HEADING = re.compile(r" {0,3}(#{1,3})(?![^ \t])")
_NO_MARKS = re.compile(r"\w[\w ,.?!'’:;()/-]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "o", "æ": "ae"})
_LONGEST = 63


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """``text`` is the Markdown between a heading of ``level`` 1 to 3 (0: none) and the next one.

    ``slug`` names it within its document. ``start`` is where ``text`` starts, ``head`` where its
    heading does, both in characters. What is ``internal`` is for our people only.
    """

    slug: str
    heading: str
    level: int
    text: str
    head: int
    start: int
    internal: bool = False


def sections(text: str) -> list[Section]:
    """The sections of ``text``, in order; text before the first heading is a section, if there is
    any, and so is what stands under the page's own title. None is internal yet.

    A heading starts with ``#``, ``##`` or ``###``; one in a block of code is none, except
    ``## Agent``: a block that was not closed must not make it the customer's.
    """
    heads = list(_heads(text))
    bounds = [*heads, (len(text), len(text), 0, "")]
    found: list[Section] = []
    used: set[str] = set()
    first = text[: bounds[0][0]]
    if first.strip():
        found.append(Section(slug=INTRO, heading="", level=0, text=first, head=0, start=0))
        used.add(INTRO)
    for (head, start, level, words), (end, *_) in pairwise(bounds):
        slug = _unused(slug_of(words), used)
        if level == 1 and not found:
            slug = _unused(INTRO, used)
        found.append(
            Section(
                slug=slug, heading=words, level=level, text=text[start:end], head=head, start=start
            )
        )
        used.add(slug)
    return found


def slug_of(words: str) -> str:
    """Words as a name of the form ``[a-z0-9-]{1,63}``; ``section`` if nothing of them is left."""
    latin = unicodedata.normalize(
        "NFKD", unicodedata.normalize("NFC", words).lower().translate(_LETTERS)
    )
    name = re.sub(r"[^a-z0-9]+", "-", latin.encode("ascii", "ignore").decode())
    return name.strip("-")[:_LONGEST].strip("-") or "section"


def _unused(slug: str, used: set[str]) -> str:
    """``slug``, or with the smallest number from 2 on that makes it another one than those used."""
    number, found = 2, slug
    while found in used:
        found = f"{slug[: _LONGEST - len(str(number)) - 1]}-{number}"
        number += 1
    return found


def _heads(text: str) -> Iterator[tuple[int, int, int, str]]:
    """Where each heading starts and ends, its level and its words."""
    fence, offset = "", 0
    for line in text.split("\n"):
        mark, heading = _FENCE.fullmatch(line), _HEADING.match(line)
        end = offset + len(line) + 1
        if heading is not None:
            level, words = len(heading[1]), _unclosed(line[heading.end() :].strip())
            if not fence or (level == 2 and words.lower() == "agent"):
                fence = ""
                yield offset, min(end, len(text)), level, _bare(words)
        elif mark is not None and not fence and not ("`" in mark[1] and "`" in mark[2]):
            fence = mark[1]
        elif mark is not None and fence and mark[1].startswith(fence) and not mark[2].strip():
            fence = ""
        offset = end


def _bare(words: str) -> str:
    """The words of a heading without marks."""
    return words if _NO_MARKS.fullmatch(words) else " ".join(plain(words).split())


def _unclosed(words: str) -> str:
    """The words of a heading without the ``#`` that may close it."""
    bare = words.rstrip("#")
    return bare.rstrip() if not bare or bare[-1] in " \t" else words
