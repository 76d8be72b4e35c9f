"""Synonyms: words and phrases that mean the same to customers, from a file of lines with commas.

::

    card, credit card, debit card
    log in, login, sign in      # a comment ends the line

Each line is a group. All languages share one file: each stems the words in its own way.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from forestall.context.knowledge.words import Analyser
from forestall.contracts.errors import InvalidFile, Problem

MOST_GROUPS = 5_000
"""Lines that one file may have."""

LONGEST_PHRASE = 5
"""Words that one synonym may have."""

Words = tuple[str, ...]


class Synonyms:
    """Groups of words and phrases (as people write them) that mean the same."""

    def __init__(self, groups: Iterable[Sequence[str]] = ()) -> None:
        self.groups = tuple(tuple(group) for group in groups)

    def __add__(self, more: "Synonyms") -> "Synonyms":
        """The groups of both."""
        return Synonyms(self.groups + more.groups)

    def stemmed(self, analyser: Analyser) -> "Stemmed":
        """The groups as the words that ``analyser`` indexes."""
        return Stemmed([[analyser.words(one) for one in group] for group in self.groups])


class Stemmed:
    """Groups of phrases, each a sequence of words as they are indexed."""

    def __init__(self, groups: Iterable[Iterable[Sequence[str]]]) -> None:
        self._same: dict[Words, dict[Words, None]] = {}
        for group in groups:
            phrases = dict.fromkeys(tuple(phrase) for phrase in group if phrase)
            for phrase in phrases:
                self._same.setdefault(phrase, {phrase: None}).update(phrases)
        self._longest = max(map(len, self._same), default=0)
        self.words = frozenset(word for phrase in self._same for word in phrase)

    def matched(self, words: Sequence[str]) -> Iterator[tuple[Words, ...]]:
        """``words`` in order, each or each known phrase with all that means the same, itself first.

        The longest phrase counts; no word is in two.
        """
        place = 0
        while place < len(words):
            for length in range(min(self._longest, len(words) - place), 0, -1):
                same = self._same.get(tuple(words[place : place + length]))
                if same is not None:
                    yield tuple(same)
                    place += length
                    break
            else:
                yield ((words[place],),)
                place += 1


NO_SYNONYMS = Synonyms()
"""No word has another."""


@cache
def usual() -> Synonyms:
    """What customers of most shops and services call the same, in English and German."""
    text = files(__package__).joinpath("synonyms.txt").read_text(encoding="utf-8")
    return read_synonyms(text, "synonyms.txt")


def load_synonyms(path: Path) -> Synonyms:
    """The groups in ``path``. Raises ``InvalidFile`` with all its mistakes and their places."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidFile([Problem(str(path), 1, 1, "synonyms-file", reason)]) from None
    except UnicodeDecodeError:
        problem = Problem(str(path), 1, 1, "synonyms-encoding", "this is not UTF-8 text")
        raise InvalidFile([problem]) from None
    return read_synonyms(text, str(path))


def read_synonyms(text: str, path: str) -> Synonyms:
    """The groups in ``text``. Raises ``InvalidFile`` with all its mistakes and their places."""
    groups: list[list[str]] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        words = line.partition("#")[0]
        if not words.strip():
            continue
        group = list(_phrases(words, path, number, problems))
        if len(group) == 1:
            message = "a word alone has no synonym; write at least two, with a comma between them"
            column = len(words) - len(words.lstrip()) + 1
            problems.append(Problem(path, number, column, "synonyms-alone", message))
        if len(groups) == MOST_GROUPS:
            message = f"there are more than {MOST_GROUPS} groups"
            problems.append(Problem(path, number, 1, "synonyms-many", message))
            break
        groups.append(group)
    if problems:
        raise InvalidFile(problems)
    return Synonyms(groups)


def _phrases(line: str, path: str, number: int, problems: list[Problem]) -> Iterator[str]:
    """The phrases of one line; what is wrong with one is added to ``problems``."""
    start = 0
    seen: set[str] = set()
    for part in line.split(","):
        phrase = " ".join(part.split())
        column = start + len(part) - len(part.lstrip()) + 1
        start += len(part) + 1
        wrong = _wrong(phrase, seen)
        if wrong:
            problems.append(Problem(path, number, column, *wrong))
        seen.add(phrase.lower())
        yield phrase


def _wrong(phrase: str, seen: set[str]) -> tuple[str, str] | None:
    """The code of what is wrong with a phrase, and words for it."""
    if not any(character.isalnum() for character in phrase):
        return "synonyms-empty", "there is no word here; take the comma away"
    if phrase.lower() in seen:
        return "synonyms-twice", f"{phrase!r} stands twice in this line"
    if len(phrase.split()) > LONGEST_PHRASE:
        return "synonyms-long", f"a synonym has at most {LONGEST_PHRASE} words"
    return None
