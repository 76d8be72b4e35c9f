"""Queries that ask for the same: grouped by the informative words that they share. Pure.

A word is informative the fewer queries have it (its weight is ``log(1 + N / n)``, after Spärck Jones,
"A statistical interpretation of term specificity", Journal of Documentation 28, 1972). Two queries are
alike when the words they share weigh at least half of all their words (Dice's coefficient, weighted).
Groups form around the queries that most customers wrote; nothing depends on who wrote first.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Set
from functools import lru_cache
from math import fsum, log
from typing import Any, Final

import msgspec

LIKE: Final = 0.5
"""The least likeness of two queries in one group."""

Stem = Callable[[str], str | None]
"""A word in lower case reduced to its stem; none for one that says nothing, such as ``the``."""

_WORD = re.compile(r"[^\W_]+")
_MASKED = re.compile(r"\[[a-z]+-[0-9]+\]")
_LANGUAGES = ("english", "german")
_EMPTY = frozenset(
    re.findall(
        r"\w+",
        """about am can cannot could did do does from get got had has have help hello hi how i im me
        my need our please should want was we what when where which who why would you your
        bitte hallo hilfe wann warum was welche wer wie wieso wo""",
    )
)
"""Words that a question has whatever it is about, besides those of the stemmers' own lists."""


class Group(msgspec.Struct, frozen=True):
    """Queries that ask for the same: the one that most wrote first. ``name`` are its informative
    words."""

    name: str
    queries: tuple[str, ...]


def stemmer() -> Stem:
    """Stems of English and of German, and none for their most frequent words."""
    import tantivy

    builder: Any = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    for language in _LANGUAGES:
        builder = builder.filter(tantivy.Filter.stopword(language))
    for language in _LANGUAGES:
        builder = builder.filter(tantivy.Filter.stemmer(language))
    analyzer = builder.build()

    @lru_cache(maxsize=65_536)
    def stem(word: str) -> str | None:
        if word in _EMPTY:
            return None
        found = analyzer.analyze(word)
        return found[0] if found else None

    return stem


def informative(query: str, stem: Stem) -> dict[str, str]:
    """The words of ``query`` that say what it is about, in their order, by their stems. What stands
    masked in it is none."""
    found: dict[str, str] = {}
    for word in _WORD.findall(_MASKED.sub(" ", query.lower())):
        stemmed = stem(word)
        if stemmed:
            found.setdefault(stemmed, word)
    return found


def groups(askers: Mapping[str, Set[str]], stem: Stem) -> list[Group]:
    """Groups of queries, each query in one; ``askers`` are the customers who wrote it.

    Queries that say nothing by themselves (``???``) are in none.
    """
    alike: dict[frozenset[str], list[str]] = {}
    for query in askers:
        stems = frozenset(informative(query, stem))
        if stems:
            alike.setdefault(stems, []).append(query)
    spread = Counter(one for stems in alike for one in stems)
    weights = {one: log(1 + len(alike) / count) for one, count in spread.items()}
    by_size = sorted(alike, key=lambda stems: (-_customers(alike[stems], askers), sorted(stems)))
    leaders = _Leaders(weights)
    around: dict[frozenset[str], list[str]] = {}
    for stems in by_size:
        leader = leaders.nearest(stems)
        if leader is None:
            leaders.add(stems)
            leader = stems
        around.setdefault(leader, []).extend(alike[stems])
    return [_group(leader, queries, askers, stem) for leader, queries in around.items()]


def _customers(queries: list[str], askers: Mapping[str, Set[str]]) -> int:
    return len(frozenset[str]().union(*(askers[query] for query in queries)))


class _Leaders:
    """The queries that groups formed around, found by their rarest words.

    Two that are alike share a third of the weight of each: so one of the words of each that are left
    when the most frequent ones, of less than a third of its weight, are taken away.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = weights
        self._by_stem: dict[str, list[frozenset[str]]] = {}
        self._whole: dict[frozenset[str], float] = {}

    def add(self, stems: frozenset[str]) -> None:
        self._whole[stems] = self._weight(stems)
        for one in self._telling(stems):
            self._by_stem.setdefault(one, []).append(stems)

    def nearest(self, stems: frozenset[str]) -> frozenset[str] | None:
        """The leader most like ``stems``; of equal ones that with the first words."""
        whole = self._weight(stems)
        near = {leader for one in self._telling(stems) for leader in self._by_stem.get(one, ())}
        best, likest = None, LIKE
        for leader in near:
            likeness = 2 * self._weight(stems & leader) / (whole + self._whole[leader])
            if likeness > likest or (
                likeness == likest and (best is None or sorted(leader) < sorted(best))
            ):
                best, likest = leader, likeness
        return best

    def _weight(self, stems: frozenset[str]) -> float:
        return fsum(map(self._weights.__getitem__, stems))

    def _telling(self, stems: frozenset[str]) -> list[str]:
        ordered = sorted(stems, key=lambda one: (self._weights[one], one))
        spare = self._weight(stems) / 3.001
        while len(ordered) > 1 and self._weights[ordered[0]] <= spare:
            spare -= self._weights[ordered.pop(0)]
        return ordered


def _group(
    leader: frozenset[str], queries: list[str], askers: Mapping[str, Set[str]], stem: Stem
) -> Group:
    ordered = sorted(queries, key=lambda query: (-len(askers[query]), query))
    named = next(query for query in ordered if leader.issuperset(informative(query, stem)))
    return Group(" ".join(informative(named, stem).values()), tuple(ordered))
