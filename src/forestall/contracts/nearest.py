"""Which of the words there are was perhaps meant by one that there is not."""

import difflib
from collections.abc import Iterable
from itertools import islice


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like ``word``, or none when nothing is near."""
    near = difflib.get_close_matches(word[:80], list(islice(known, 300)), n=1, cutoff=0.6)
    return near[0] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint that names the nearest known word, or none."""
    near = nearest(word, known)
    return f"did you mean `{near}`?" if near else None
