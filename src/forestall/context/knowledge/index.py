"""The library: all current passages, indexed in memory for searching by words and by meaning."""

import datetime
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from forestall.context.knowledge.embeddings import (
    LANGUAGES,
    Embeddings,
    Meanings,
    load_embeddings,
)
from forestall.context.knowledge.fusion import fuse
from forestall.context.knowledge.passages import Passage
from forestall.context.knowledge.runbooks import Runbooks, current, passages_of
from forestall.context.knowledge.shelf import LONGEST_QUERY, Shelf, Wanted
from forestall.context.knowledge.synonyms import NO_SYNONYMS, Synonyms, load_synonyms, usual
from forestall.context.knowledge.words import analyser, clean, spoken
from forestall.kernel.settings import Knowledge

GOOD = 0.35
"""The share of what a query asks for that a good answer speaks of."""

FULL = 6
"""Words that make a query long: of a longer one, no more than this many need an answer."""

SIMILAR = 0.45
"""The cosine from which a passage is a good answer by its meaning alone."""

DEEP = 50
"""Places of each ranking that are fused."""

MOST = 100
"""Passages that one search gives at most."""

LONGEST_TEXT = 4_000
"""Characters of a passage that make its vector."""


class Library:
    """Searches ``passages``, which must be current: what has expired is left out before.

    Building takes about a second for 10,000 passages (five with ``embeddings``): do it in a
    thread, then put the new library in the place of the old one. A library never changes and may
    be searched from many threads. ``embeddings`` search by meaning as well, in the languages that
    they know.
    """

    def __init__(
        self,
        passages: Iterable[Passage],
        *,
        synonyms: Synonyms = NO_SYNONYMS,
        embeddings: Embeddings | None = None,
    ) -> None:
        shelves: dict[str, list[Passage]] = {}
        for passage in sorted(passages, key=lambda one: one.cite):
            shelves.setdefault(spoken(passage.language), []).append(passage)
        self._sections = {
            language: _Section(
                Shelf(own, analyser(language), synonyms),
                embeddings if language in LANGUAGES else None,
            )
            for language, own in sorted(shelves.items())
        }
        self._signalled: dict[str, list[Passage]] = {}
        for language in sorted(shelves):
            for passage in shelves[language]:
                for signal in dict.fromkeys(passage.signals):
                    self._signalled.setdefault(signal, []).append(passage)

    def signalled(
        self, signal: str, *, products: tuple[str, ...] = (), language: str | None = None
    ) -> list[Passage]:
        """Every passage whose ``signals`` name ``signal``, by cite; filtered as by ``search``."""
        asked = {product.casefold() for product in products}
        found = [
            passage
            for passage in self._signalled.get(signal, ())
            if language is None or spoken(passage.language) == spoken(language)
            if not asked
            or not passage.products
            or asked & {product.casefold() for product in passage.products}
        ]
        return sorted(found, key=lambda one: one.cite)

    def search(
        self,
        query: str,
        *,
        products: tuple[str, ...] = (),
        language: str | None = None,
        limit: int = 5,
    ) -> list[Passage]:
        """The best ``limit`` passages for ``query``, best first; none where none is a good answer.

        ``products`` keeps passages about one of them or about all, ``language`` those in it (of a
        tag such as ``de-AT`` the first two letters count). An answer is good if it speaks of
        ``GOOD`` of what the query asks for, each word weighted by how rare it is, or if it is
        ``SIMILAR`` in meaning. Answers in several languages alternate.
        """
        limit = min(limit, MOST)
        if limit < 1:
            return []
        wanted = list(self._sections) if language is None else [spoken(language)]
        answers = [
            self._sections[name].search(clean(query[:LONGEST_QUERY]), products, limit)
            for name in wanted
            if name in self._sections
        ]
        good = sorted((one for one in answers if one.passages), key=lambda one: -one.share)
        if len(good) < 2:
            return [passage for one in good for passage in one.passages]
        of = {passage.cite: passage for one in good for passage in one.passages}
        merged = fuse([[passage.cite for passage in one.passages] for one in good])
        return [msgspec.structs.replace(of[cite], score=score) for cite, score in merged[:limit]]


class _Answer(msgspec.Struct, frozen=True):
    """Passages in one language, best first, and the share of the query that they cover."""

    passages: tuple[Passage, ...] = ()
    share: float = 0.0


class _Section:
    """The passages in one language: their shelf, and their meanings where those are known."""

    def __init__(self, shelf: Shelf, embeddings: Embeddings | None) -> None:
        self._shelf, self._meanings = shelf, None
        if embeddings is not None:
            texts = [
                clean(f"{passage.title}\n{passage.text}"[:LONGEST_TEXT])
                for passage in shelf.passages
            ]
            self._meanings = Meanings(embeddings, texts)
        self._about: dict[str, npt.NDArray[np.bool_]] = {}
        for place, passage in enumerate(shelf.passages):
            for product in passage.products or ("",):
                about = self._about.setdefault(
                    product.casefold(), np.zeros(len(shelf.passages), dtype=np.bool_)
                )
                about[place] = True

    def search(self, query: str, products: Collection[str], limit: int) -> _Answer:
        """The best passages, or none."""
        wanted = self._shelf.wanted(query)
        found = self._shelf.find(wanted, products, max(limit, DEEP))
        scored = [(one.place, one.score) for one in found]
        similar = False
        if self._meanings is not None:
            near = self._near(self._meanings, query, products)
            similar = bool(near) and near[0][1] >= SIMILAR
            scored = fuse([[place for place, _ in scored], [place for place, _ in near]])
        best = scored[:limit]
        share = _share(self._shelf.covered(wanted, [place for place, _ in best]), wanted)
        if share < GOOD and not similar:
            return _Answer()
        passages = [
            msgspec.structs.replace(self._shelf.passages[place], score=score)
            for place, score in best
        ]
        return _Answer(tuple(passages), share)

    def _near(
        self, meanings: Meanings, query: str, products: Collection[str]
    ) -> list[tuple[int, float]]:
        """The places that are nearest in meaning with their cosines, the nearest first."""
        near = meanings.near(query)
        if products:
            asked = (self._about.get(one.casefold()) for one in (*products, ""))
            about = np.zeros(len(near), dtype=np.bool_)
            for one in asked:
                about = about if one is None else about | one
            near = np.where(about, near, 0)
        nearest = np.partition(near, -DEEP)[-DEEP] if len(near) > DEEP else 0
        places = np.flatnonzero((near >= nearest) & (near > 0))
        ranked = sorted(zip((-near[places]).tolist(), places.tolist(), strict=True))[:DEEP]
        return [(place, -score) for score, place in ranked]


def library_of(runbooks: Runbooks, day: datetime.date, knowledge: Knowledge) -> Library:
    """The library of what may be used on ``day``, as ``[knowledge]`` sets it.

    Raises ``InvalidFile`` for mistakes in the file of synonyms and ``EmbeddingsMissing``.
    """
    synonyms = usual()
    if knowledge.synonyms is not None:
        synonyms += load_synonyms(Path(knowledge.synonyms))
    return Library(
        (
            passage
            for runbook in current(runbooks, day).values()
            for passage in passages_of(runbook, knowledge.language)
        ),
        synonyms=synonyms,
        embeddings=load_embeddings() if knowledge.embeddings else None,
    )


def _share(covered: float, wanted: Sequence[Wanted]) -> float:
    """The share of what is wanted that is covered; no more than ``FULL`` words need to be."""
    asked = sum(one.weight for one in wanted) * min(1.0, FULL / max(len(wanted), 1))
    return round(covered / asked, 4) if asked else 0.0
