"""What our knowledge says about a customer's words: all of them together, or else sentence by sentence.

Whoever is upset says more than what they ask. Where nothing fits the whole, a sentence of it may ask
something that we know. Pure but for the search.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from forestall.context.knowledge.passages import Passage, Search

MOST = 8
"""Sentences that are searched for by themselves: the last ones."""

FEWEST = 3
"""A sentence of fewer words says too little to be searched for by itself, unless it is a question."""

LONGEST = 1_000
"""Characters that are searched for together: the last ones."""

LONGEST_WORD = 32
"""Characters; a longer text without a space is no word."""

_END = re.compile(r"(?<=[.!?…。！？])\s+|[\n\r]+")
_WORD = re.compile(r"[\"'(¿¡]*[^\W\d_]+(?:['’-][^\W\d_]+)*[\"'),.;:!?…。！？]*")
_HEX = re.compile(r"[0-9a-fA-F]{8,}")
_CODE = re.compile(r"[A-Z]{1,3}|[a-z]{1,2}(?:-[A-Z]{2})?")
_ASKS = ("?", "？")


def said(texts: Iterable[str]) -> Iterator[str]:
    """Those of ``texts`` that may be words of somebody: no ids, numbers, codes or names of events."""
    for text in texts:
        plain = text.strip()
        if any(map(str.isspace, plain)) or _is_word(plain):
            yield plain


def seek(
    search: Search,
    words: Sequence[str],
    *,
    products: tuple[str, ...],
    language: str | None,
    limit: int,
) -> list[Passage]:
    """The best ``limit`` passages about ``words`` (oldest first), best first; none where none fits."""

    def find(query: str) -> list[Passage]:
        return list(search.search(query, products=products, language=language, limit=limit))

    whole = find(" ".join(words)[-LONGEST:])
    if whole:
        return whole
    found: dict[str, Passage] = {}
    for passage in (one for sentence in _sentences(words)[-MOST:] for one in find(sentence)):
        known = found.get(passage.cite)
        if known is None or known.score < passage.score:
            found[passage.cite] = passage
    return sorted(found.values(), key=lambda one: (-one.score, one.cite))[:limit]


def _sentences(words: Sequence[str]) -> list[str]:
    """What can be asked by itself, each once, in its order."""
    parts = (part.strip() for text in words for part in _END.split(text))
    telling = [part for part in parts if part.endswith(_ASKS) or len(part.split()) >= FEWEST]
    return list(dict.fromkeys(telling))


def _is_word(text: str) -> bool:
    return (
        len(text) <= LONGEST_WORD
        and _WORD.fullmatch(text) is not None
        and not _HEX.fullmatch(text)
        and not _CODE.fullmatch(text)
    )
