"""Families of words that tell something when they stand near each other; pure.

"Mum" tells nothing and "gone" tells little, but both in one sentence tell of a death, in whatever
order and words between. ``tone_relations.toml`` holds the families and which of them make a relation.
One pass of RE2 finds the words, one walk over them the relations: linear in the text.
"""

import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from typing import Any, Literal

import msgspec
import re2  # type: ignore[import-untyped]

Vulnerable = Literal["bereavement", "hardship", "security", "legal", "medical"]

_MOST = 2_000
"""More words of families than so many in one text tell nothing more."""

_MEMORY = 64 << 20
"""The most bytes of a program's automaton: with less it starts anew for most texts, and is slow."""


class Relation(msgspec.Struct, frozen=True):
    """Families that make ``kind`` when one word of each stands within ``within`` bytes of a sentence.

    ``sure``: look-alikes of its kind do not excuse it. ``unless``: families that, in the same
    sentence, mean something else. ``negatable``: "nobody" or "what if" before its first word takes it
    back. ``apart``: one phrase is not two of the families."""

    kind: Vulnerable
    of: tuple[str, ...]
    """The rarest first: without it the others are not looked at."""
    whose: str = ""
    within: int = 60
    sure: bool = False
    unless: frozenset[str] = frozenset()
    negatable: bool = False
    apart: bool = False


class Near(msgspec.Struct, frozen=True):
    """A relation that was found: from byte ``start`` to byte ``end``."""

    relation: Relation
    start: int
    end: int


_Word = tuple[int, int, frozenset[str]]
"""From byte, to byte, and the families it belongs to."""


class _Families(msgspec.Struct, frozen=True):
    words: Any
    by_name: tuple[tuple[str, Any], ...]
    whose: dict[str, Any]
    relations: dict[str, tuple[Relation, ...]]
    """By the first family of each."""


@lru_cache(maxsize=1)
def _families() -> _Families:
    text = (files("forestall.context") / "tone_relations.toml").read_text("utf-8")
    told = tomllib.loads(text)
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    options.longest_match = True
    options.max_mem = _MEMORY
    families = {name: _either(lines) for name, lines in told["of"].items()}
    relations = msgspec.convert(told["relations"], tuple[Relation, ...])
    return _Families(
        words=re2.compile(rf"\b(?:{'|'.join(families.values())})\b".encode(), options),
        by_name=tuple(
            (name, re2.compile(rf"\b(?:{pattern})\b".encode(), options))
            for name, pattern in families.items()
        ),
        whose={
            name: re2.compile(rf"\b(?:{_either(lines)})\b".encode(), options)
            for name, lines in told["whose"].items()
        },
        relations={name: tuple(one for one in relations if one.of[0] == name) for name in families},
    )


def _either(lines: str) -> str:
    return "|".join(lines.split("\n")).strip("|")


@lru_cache(maxsize=4096)
def _of(word: bytes) -> frozenset[str]:
    """The families that ``word`` belongs to, or a part of it, if it is several."""
    return frozenset(name for name, one in _families().by_name if one.search(word) is not None)


def near(raw: bytes, ends: Sequence[int]) -> Iterator[Near]:
    """The relations in ``raw``, plain small letters whose sentences end at the bytes ``ends``: one of
    each kind and sentence."""
    families = _families()
    sentence: list[_Word] = []
    nth = -1
    for match in islice(families.words.finditer(raw), _MOST):
        start, end = match.span()
        begun = bisect_right(ends, start)
        if begun != nth:
            yield from _related(raw, sentence)
            sentence, nth = [], begun
        sentence.append((start, end, _of(raw[start:end])))
    yield from _related(raw, sentence)


def _related(raw: bytes, words: list[_Word]) -> Iterator[Near]:
    there = frozenset[str]().union(*(names for _, _, names in words))
    done: set[str] = set()
    for one in (one for name in sorted(there) for one in _families().relations[name]):
        if one.kind not in done and there.issuperset(one.of) and there.isdisjoint(one.unless):
            begun, end = _closest(words, one)
            if end - begun <= one.within and _is_whose(raw, begun, end, one):
                done.add(one.kind)
                yield Near(one, begun, end)


def _closest(words: list[_Word], one: Relation) -> tuple[int, int]:
    """Where the words stand closest together that hold all families of ``one``."""
    last: dict[str, int] = {}
    best = 0, 1 << 30
    for start, end, names in words:
        new = names.intersection(one.of)
        if new:
            last.update(dict.fromkeys(new, start))
            places = len(set(last.values())) if one.apart else len(last)
            if places == len(one.of):
                begun = min(last.values())
                if end - begun < best[1] - best[0]:
                    best = begun, end
    return best


def _is_whose(raw: bytes, begun: int, end: int, one: Relation) -> bool:
    around = raw[max(0, begun - one.within) : end + one.within]
    return not one.whose or _families().whose[one.whose].search(around) is not None
