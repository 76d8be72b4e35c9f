"""One plain spelling of a text for looking for personal data in it; pure.

People and programs write the same address with full-width digits, zero-width characters, long dashes
or letters of another alphabet that look the same. The plain spelling has one byte (Latin-1) for each
character that matters, and knows where in the text each byte came from.
"""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import re2  # type: ignore[import-untyped]

_LOOK_ALIKES = str.maketrans(
    "аеорсухіѕјһԁԛԝАВЕКМНОРСТХІЅЈοαερυιΑΒΕΖΗΙΚΜΝΟΡΤΥΧ\u3002",
    "aeopcyxisjhdqwABEKMHOPCTXISJoaepuiABEZHIKMNOPTYX.",
)
_UNSEEN = {"Mn", "Me", "Cf"}
_MONEY, _LETTER, _OTHER = "$", "\xfe", "\xb7"


class Folded(msgspec.Struct, frozen=True):
    """``plain`` is the text in its plain spelling; ``places`` the index in the text of each of its
    bytes, or nothing where these are the same."""

    plain: bytes
    places: Sequence[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where ``plain[start:end]``, which is not empty, stands in the text."""
        if self.places is None:
            return start, end
        return self.places[start], self.places[end - 1] + 1


def fold(text: str) -> Folded:
    """The plain spelling of ``text``."""
    if text.isascii():
        return Folded(text.encode())
    table = {char: _folded(char) for char in set(text) if char > "\x7f"}
    if all(len(plain) == 1 for plain in table.values()):
        return Folded(
            text.translate({ord(char): plain for char, plain in table.items()}).encode("latin-1")
        )
    pieces = [table.get(char, char) for char in text]
    places = [place for place, piece in enumerate(pieces) for _ in piece]
    return Folded("".join(pieces).encode("latin-1"), places)


@lru_cache(maxsize=4096)
def _folded(char: str) -> str:
    """What one character becomes: nothing where it is not seen."""
    return "".join(map(_plain, unicodedata.normalize("NFKC", char)))


def _plain(char: str) -> str:
    char = char.translate(_LOOK_ALIKES)
    if char <= "\x7f":
        return char
    kind = unicodedata.category(char)
    if kind in _UNSEEN:
        return ""
    if kind == "Nd":
        return str(unicodedata.decimal(char))
    if kind == "Zs":
        return " "
    if kind == "Pd" or char == "\u2212":
        return "-"
    if kind == "Sc":
        return _MONEY
    if kind.startswith("L"):
        base = unicodedata.normalize("NFKD", char)[0]
        return char if char <= "\xff" else base if base.isascii() else _LETTER
    return _OTHER


def pattern(text: str, *, any_case: bool = False) -> Any:
    """An RE2 program for plain spellings: linear time whatever it is given.

    ``\\b`` and ``\\w`` know ASCII only; ``any_case`` ignores case.
    """
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.case_sensitive = not any_case
    options.log_errors = False
    return re2.compile(text.encode("latin-1"), options)
