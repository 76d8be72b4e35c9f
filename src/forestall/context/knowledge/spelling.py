"""Words that nobody wrote, made known ones: one slip of the finger, or two words in one; pure.

Norvig, "How to Write a Spelling Corrector": all that is one edit away, the commonest first.
"""

from collections.abc import Callable, Iterator

Known = Callable[[str], int]
"""In how many passages a word stands, as it is indexed; 0 for an unknown one."""

SHORTEST = 6
"""Letters that a word or the one meant has at least: short words have too many neighbours."""

SHORTEST_PART = 4
"""Letters that each part of a compound has at least."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def nearest(word: str, known: Known) -> str | None:
    """The known word that is one letter away (left out, too many, changed or swapped).

    Its first letter is the same. Of several the commonest, then the first by the alphabet. None if
    there is none, if ``word`` is short or if it is not of the letters a to z alone.
    """
    if len(word) < SHORTEST - 1 or not (word.isascii() and word.isalpha()):
        return None
    edits = {one for one in _edits(word) if one[0] == word[0]}
    counted = ((-known(one), one) for one in edits if max(len(one), len(word)) >= SHORTEST)
    best = min((counts for counts in counted if counts[0]), default=None)
    return None if best is None else best[1]


def parted(word: str, stem: Callable[[str], list[str]], known: Known) -> tuple[str, str] | None:
    """The two known words that ``word`` runs together, as German does: of several, the rarest.

    ``stem`` cuts and stems a text. None if there are none.
    """
    found: list[tuple[int, str, str]] = []
    for cut in range(SHORTEST_PART, len(word) - SHORTEST_PART + 1):
        parts = stem(f"{word[:cut]} {word[cut:]}")
        if len(parts) == 2:
            counts = known(parts[0]), known(parts[1])
            if all(counts):
                found.append((sum(counts), parts[0], parts[1]))
    return min(found)[1:] if found else None


def _edits(word: str) -> Iterator[str]:
    for place in range(len(word) + 1):
        head, tail = word[:place], word[place:]
        if tail:
            yield head + tail[1:]
            for letter in _LETTERS:
                yield head + letter + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in _LETTERS:
            yield head + letter + tail
