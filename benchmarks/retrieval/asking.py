"""Asks a library of a collection's answers the collection's questions."""

from collections.abc import Iterable

import msgspec

from benchmarks.retrieval.collections import Collection
from benchmarks.retrieval.scores import Quality, difference, quality
from forestall.context.knowledge.embeddings import LANGUAGES, Embeddings
from forestall.context.knowledge.index import Library
from forestall.context.knowledge.synonyms import usual

DEEP = 100
"""The rank to which an answer is looked for."""


class Finding(msgspec.Struct, frozen=True):
    """What was found of one collection, by words alone and fused with meaning.

    ``fused`` and ``gain`` (fused less words, question by question) are none where the embeddings
    do not know the language. ``unanswered`` is the share of its own questions that the library
    with everything on says it has no answer to, ``refused`` that of the ``foreign`` questions,
    of other collections, that it has none to in truth.
    """

    name: str
    language: str
    licence: str
    questions: int
    words: Quality
    fused: Quality | None
    gain: Quality | None
    unanswered: float
    foreign: int
    refused: float


def ask(collection: Collection, others: Iterable[Collection], embeddings: Embeddings) -> Finding:
    """The product's own search as it is, with its usual synonyms and its rule for good answers."""
    plain = Library(collection.passages(), synonyms=usual())
    words, fused, best = _ranks(plain, collection), None, plain
    if collection.language in LANGUAGES:
        best = Library(collection.passages(), synonyms=usual(), embeddings=embeddings)
        fused = _ranks(best, collection)
    own = [pair.question for pair in collection.pairs]
    foreign = [
        pair.question
        for other in others
        if other.name != collection.name and other.language == collection.language
        for pair in other.pairs
    ]
    return Finding(
        name=collection.name,
        language=collection.language,
        licence=collection.licence,
        questions=len(own),
        words=quality(words),
        fused=None if fused is None else quality(fused),
        gain=None if fused is None else difference(fused, words),
        unanswered=_without_answer(best, own),
        foreign=len(foreign),
        refused=_without_answer(best, foreign),
    )


def _ranks(library: Library, collection: Collection) -> list[int | None]:
    ranks: list[int | None] = []
    for number, pair in enumerate(collection.pairs):
        answers = [one.section for one in library.search(pair.question, limit=DEEP)]
        ranks.append(answers.index(str(number)) + 1 if str(number) in answers else None)
    return ranks


def _without_answer(library: Library, questions: list[str]) -> float:
    none = sum(not library.search(question) for question in questions)
    return round(none / len(questions), 4) if questions else 0.0
