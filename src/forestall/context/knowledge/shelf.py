"""A shelf: the passages of one language in an index in memory, searched by words (BM25)."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec
from tantivy import Document, Index, Occur, Query, Schema, SchemaBuilder

from forestall.context.knowledge.passages import Passage
from forestall.context.knowledge.spelling import nearest, parted
from forestall.context.knowledge.synonyms import Synonyms, Words
from forestall.context.knowledge.words import Analyser, clean

BOOSTS = {"title": 2.0, "section": 0.5, "signals": 1.0, "text": 1.0}
"""How much more a word counts in each field."""

TIE = 0.3
"""What a word counts in its other fields, beside the one where it counts most."""

SYNONYM = 0.8
"""What a synonym counts, beside the word that the customer used."""

UNKNOWN = 0.75
"""How much a word that no passage has tells, beside one that a single passage has."""

LONGEST_QUERY = 2_000
"""Characters of a query that are searched for; the rest is left out."""

MOST_WORDS = 24
"""Different words of a query that are searched for: those that are rarest in the library."""

MOST_SLIPS = 4
"""Unknown words of a query whose spelling is mended."""

ALL_PRODUCTS = "*"
"""Stands for the products of a passage that is about all of them."""

HEAP = 100_000_000
"""Bytes that the index may take before it is cut in pieces."""


class Wanted(msgspec.Struct, frozen=True):
    """One word of a query: what else counts as it, and how much it tells.

    Each of ``variants`` is one word or several that stand together, as they are indexed.
    ``weight`` is 1 and the word's inverse document frequency, so that in a library of a few
    passages no word tells nothing. ``query`` finds any of them.
    """

    variants: tuple[Words, ...]
    weight: float
    query: Query


class Found(msgspec.Struct, frozen=True):
    """A passage by its place on the shelf, with its BM25 score."""

    place: int
    score: float


class Shelf:
    """``passages`` of one language, each known by its place in them. Never changes."""

    def __init__(self, passages: Sequence[Passage], analyser: Analyser, synonyms: Synonyms) -> None:
        self.passages = tuple(passages)
        self._analyser, self._synonyms = analyser, synonyms.stemmed(analyser)
        self._schema = _schema()
        index = Index(self._schema)
        index.register_tokenizer("words", analyser.every)
        writer = index.writer(HEAP, num_threads=1)
        for place, passage in enumerate(self.passages):
            writer.add_document(Document.from_dict(_fields(place, passage, analyser), self._schema))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        self._searcher = index.searcher()

    def wanted(self, query: str) -> list[Wanted]:
        """What ``query`` asks for: its telling words with their other forms, the rarest first."""
        words, telling = self._mended(query[:LONGEST_QUERY])
        found = {
            variants: self._wanted(variants)
            for variants in self._synonyms.matched(words)
            if len(variants) > 1 or variants[0][0] in telling
        }
        return sorted(found.values(), key=lambda one: -one.weight)[:MOST_WORDS]

    def find(self, wanted: Iterable[Wanted], products: Collection[str], most: int) -> list[Found]:
        """The passages that speak best of what is wanted, about ``products`` (none: about any)."""
        parts = [(Occur.Should, one.query) for one in wanted]
        if not parts:
            return []
        return self._search(Query.boolean_query(parts), products, most)

    def covered(self, wanted: Iterable[Wanted], places: Sequence[int]) -> float:
        """The greatest sum of the weights of what one of the passages at ``places`` speaks of."""
        parts = [(Occur.Should, Query.const_score_query(one.query, one.weight)) for one in wanted]
        if not parts or not places:
            return 0.0
        among = Query.term_set_query(self._schema, "place", list(places))
        only = (Occur.Must, Query.const_score_query(among, 0.0))
        hits = self._searcher.search(Query.boolean_query([only, *parts]), 1, count=False).hits
        return float(hits[0][0]) if hits else 0.0

    def _search(self, query: Query, products: Collection[str], most: int) -> list[Found]:
        if products:
            about = Query.term_set_query(
                self._schema,
                "products",
                [*(clean(one).casefold() for one in products), ALL_PRODUCTS],
            )
            only = (Occur.Must, Query.const_score_query(about, 0.0))
            query = Query.boolean_query([(Occur.Must, query), only])
        hits = self._searcher.search(query, most, count=False).hits
        places = self._searcher.fast_field_values("place", [address for _, address in hits])
        found = [
            Found(int(place or 0), score) for (score, _), place in zip(hits, places, strict=True)
        ]
        return sorted(found, key=lambda one: (-one.score, one.place))

    def _mended(self, query: str) -> tuple[list[str], set[str]]:
        """The words of ``query`` in order, unknown ones put right, and which of them tell."""
        telling = set(self._analyser.telling(query))
        words: list[str] = []
        slips = 0
        written = self._analyser.unstemmed(query)
        for word, whole in zip(self._analyser.words(query), written, strict=True):
            if word in telling and not self._known(word) and slips < MOST_SLIPS:
                slips += 1
                meant = self._meant(word, whole)
                words += meant
                telling.update(meant)
            else:
                words.append(word)
        return words, telling

    def _meant(self, word: str, whole: str) -> Sequence[str]:
        """What is probably meant by an unknown word, which was ``whole`` before it was stemmed;
        the word itself where nothing is known."""
        near = nearest(word, self._known)
        if near is not None:
            return [near]
        return parted(whole, self._analyser.words, self._known) or [word]

    def _wanted(self, variants: tuple[Words, ...]) -> Wanted:
        count, every = max(map(self._count, variants)), self._searcher.num_docs
        weight = 1 + math.log(1 + (every - count + 0.5) / (count + 0.5))
        forms = [
            Query.boost_query(self._query(field, variant), boost * (SYNONYM if number else 1))
            for number, variant in enumerate(variants)
            for field, boost in BOOSTS.items()
            if all(self._searcher.doc_freq(field, word) for word in variant)
        ]
        query = Query.disjunction_max_query(forms, TIE) if forms else Query.empty_query()
        return Wanted(variants, weight if count else weight * UNKNOWN, query)

    def _query(self, field: str, words: Words) -> Query:
        if len(words) == 1:
            return Query.term_query(self._schema, field, words[0])
        return Query.phrase_query(self._schema, field, list(words))

    def _count(self, words: Words) -> int:
        """In how many passages all of ``words`` may stand: in no more than the rarest does."""
        return min(self._searcher.doc_freq("every", word) for word in words)

    def _known(self, word: str) -> int:
        """In how many passages ``word`` stands; 1 if it is known as a synonym only."""
        return self._searcher.doc_freq("every", word) or int(word in self._synonyms.words)


def _schema() -> Schema:
    builder = SchemaBuilder()
    for field in [*BOOSTS, "every"]:
        builder.add_text_field(field, tokenizer_name="words")
    builder.add_text_field("products", tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("place", indexed=True, fast=True)
    return builder.build()


def _fields(place: int, passage: Passage, analyser: Analyser) -> dict[str, object]:
    texts = {field: analyser.prepared(text) for field, text in _texts(passage)}
    return {
        **texts,
        "every": "\n".join(texts.values()),
        "products": [clean(product).casefold() for product in passage.products] or [ALL_PRODUCTS],
        "place": place,
    }


def _texts(passage: Passage) -> Iterator[tuple[str, str]]:
    yield "title", passage.title
    yield "section", passage.section
    yield "signals", " ".join(passage.signals)
    yield "text", passage.text
