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
    around: dict[frozenset[str], list[str]] = {}
    leaders: dict[str, list[frozenset[str]]] = {}
    for stems in by_size:
        leader = _nearest(stems, leaders, weights)
        if leader is None:
            around[stems] = []
            for one in stems:
                leaders.setdefault(one, []).append(stems)
            leader = stems
        around[leader] += alike[stems]
    return [_group(leader, queries, askers, stem) for leader, queries in around.items()]


def _customers(queries: list[str], askers: Mapping[str, Set[str]]) -> int:
    return len(frozenset[str]().union(*(askers[query] for query in queries)))


def _nearest(
    stems: frozenset[str],
    leaders: Mapping[str, list[frozenset[str]]],
    weights: Mapping[str, float],
) -> frozenset[str] | None:
    """The leader most like ``stems``; of equal ones that with the first words."""
    sharing = {leader for one in stems for leader in leaders.get(one, ())}
    found = [(-_likeness(stems, leader, weights), sorted(leader), leader) for leader in sharing]
    best = min(found, default=None)
    return best[2] if best is not None and -best[0] >= LIKE else None


def _likeness(one: frozenset[str], other: frozenset[str], weights: Mapping[str, float]) -> float:
    shared = fsum(weights[stem] for stem in one & other)
    return (
        2 * shared / (fsum(map(weights.__getitem__, one)) + fsum(map(weights.__getitem__, other)))
    )


def _group(
    leader: frozenset[str], queries: list[str], askers: Mapping[str, Set[str]], stem: Stem
) -> Group:
    ordered = sorted(queries, key=lambda query: (-len(askers[query]), query))
    named = next(query for query in ordered if leader.issuperset(informative(query, stem)))
    return Group(" ".join(informative(named, stem).values()), tuple(ordered))
