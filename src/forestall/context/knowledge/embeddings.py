"""Meaning as vectors: static embeddings, which come with a package and need no network.

WordLlama's vectors are those of a language model's pieces of words, of English. The vector of a
text is the mean of its pieces', each weighted by how rarely it stands in the library and by how
often, less than proportionally, in the text: a plain mean drowns in common words (Arora, Liang
and Ma, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", ICLR 2017).
"""

import importlib.util
import logging
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from forestall.contracts.errors import ForestallError

Vectors = npt.NDArray[np.float32]
Counts = npt.NDArray[np.intp]
Pieces = tuple[Counts, Counts]
"""The different pieces of a text as rows of the table, and how often each stands in it."""

BATCH = 64
"""Texts that are cut at once, while other threads of Python run."""

LANGUAGES = frozenset({"en"})
"""Languages whose words the vectors know."""


class EmbeddingsMissing(ForestallError):
    """Searching by meaning is switched on, but its package is not there or not whole.

    Install ``forestall[embeddings]``, or set ``embeddings = false`` in ``[knowledge]``.
    """

    code = "embeddings-missing"
    exit_code = 2


class Embeddings:
    """A vector for each piece of a word; safe to share between threads.

    ``table`` has a row for each piece, ``tokenizer`` (of the package tokenizers) cuts texts.
    """

    def __init__(self, table: Vectors, tokenizer: Any) -> None:
        self.table = table
        self._tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()

    def pieces(self, texts: Sequence[str]) -> Iterator[Pieces]:
        """The pieces of each text, in their order."""
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            for found in self._tokenizer.encode_batch(batch, add_special_tokens=False):
                rows = np.minimum(np.asarray(found.ids, dtype=np.intp), len(self.table) - 1)
                yield np.unique(rows, return_counts=True)


class Meanings:
    """What each of ``texts`` means, and how near a query is to it. Never changes."""

    def __init__(self, embeddings: Embeddings, texts: Sequence[str]) -> None:
        self._embeddings = embeddings
        pieces = list(embeddings.pieces(texts))
        counts = np.zeros(len(embeddings.table))
        for rows, _ in pieces:
            counts[rows] += 1
        self._rarity = 1 + np.log((len(texts) + 1) / (counts + 1))
        self._vectors = np.zeros((len(texts), embeddings.table.shape[1]), dtype=np.float32)
        for place, (rows, times) in enumerate(pieces):
            self._vectors[place] = self._vector(rows, times)

    def near(self, query: str) -> Vectors:
        """The cosine between ``query`` and each text, in their order; 0 where either says nothing."""
        (pieces,) = self._embeddings.pieces([query])
        return _times(self._vectors, self._vector(*pieces))

    def _vector(self, rows: Counts, times: Counts) -> Vectors:
        weights = (self._rarity[rows] * (1 + np.log(times))).astype(np.float32)
        vector = _times(self._embeddings.table[rows].T, weights)
        length = float(np.linalg.norm(vector))
        return vector / length if length else vector


def _times(matrix: Vectors, vector: Vectors) -> Vectors:
    """Their product, in this thread: BLAS would start others, which wait where cores are busy."""
    product: Vectors = np.einsum("ij,j->i", matrix, vector)
    return product


@cache
def load_embeddings() -> Embeddings:
    """The vectors that come with WordLlama; nothing is fetched. Raises ``EmbeddingsMissing``."""
    spec = importlib.util.find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddingsMissing(
            "searching by meaning needs the extra: pip install 'forestall[embeddings]'"
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    from wordllama import WordLlama

    root.handlers[:] = handlers  # its import starts logging for the whole process
    root.setLevel(level)
    try:
        model = WordLlama.load(cache_dir=folder, disable_download=True)
    except FileNotFoundError as error:
        raise EmbeddingsMissing(f"wordllama came without its vectors: {error}") from None
    return Embeddings(model.embedding, model.tokenizer)
