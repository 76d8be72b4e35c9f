"""The customer's mood, from their words and from what happened to them; pure."""

from collections.abc import Iterable
from typing import Literal

import msgspec

Level = Literal["calm", "annoyed", "upset", "very-upset"]
Vulnerable = Literal["bereavement", "hardship", "security", "legal", "medical"]


class Signs(msgspec.Struct, frozen=True, kw_only=True):
    """What tells a mood without words: how often the customer tried the same again, how often
    something failed, how many seconds they have waited."""

    repetitions: int = 0
    failures: int = 0
    waiting: int = 0


class Mood(msgspec.Struct, frozen=True, kw_only=True):
    """How upset the customer seems, what makes them vulnerable, and by which signs, for our people."""

    level: Level
    vulnerable: tuple[Vulnerable, ...] = ()
    why: tuple[str, ...] = ()

    @property
    def to_person(self) -> bool:
        """Whether a person should take over at once."""
        return self.level == "very-upset" or bool(self.vulnerable)


def mood(words: Iterable[str], signs: Signs = Signs()) -> Mood:  # noqa: B008
    """The mood of a customer who wrote ``words``, oldest first."""
    raise NotImplementedError
