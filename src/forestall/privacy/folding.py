"""One plain spelling of a text for looking for personal data in it; pure.

People and programs write the same address with full-width digits, zero-width characters, long dashes
or letters of another alphabet that look the same. The plain spelling has one byte (Latin-1) for each
character that matters, and knows where in the text each byte came from.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import re2  # type: ignore[import-untyped]
from msgspec.structs import replace

_LOOK_ALIKES = str.maketrans(
    "аеорсухіѕјһԁԛԝАВЕКМНОРСТХІЅЈοαερυιΑΒΕΖΗΙΚΜΝΟΡΤΥΧ\u3002",
    "aeopcyxisjhdqwABEKMHOPCTXISJoaepuiABEZHIKMNOPTYX.",
)
_UNSEEN = {"Mn", "Me", "Cf"}
_FEW = 20
_MONEY, _LETTER, _OTHER = "$", "\xfe", "\xb7"


class Folded(msgspec.Struct, frozen=True):
    """``plain`` is the text in its plain spelling.

    Where it has not one byte for each character, ``places`` and ``indices`` say which index of the
    text the byte at a place has; bytes behind it count on from there.
    """

    plain: bytes
    places: Sequence[int] = (0,)
    indices: Sequence[int] = (0,)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where ``plain[start:end]``, which is not empty, stands in the text."""
        return self._index(start), self._index(end - 1) + 1

    def _index(self, place: int) -> int:
        known = bisect_right(self.places, place) - 1
        return self.indices[known] + place - self.places[known]


def fold(text: str) -> Folded:
    """The plain spelling of ``text``."""
    if text.isascii():
        return Folded(text.encode())
    table = {char: _folded(char) for char in set(text) if char > "\x7f"}
    uneven = "".join(sorted(char for char, plain in table.items() if len(plain) != 1))
    marks = _uneven(text, uneven, table) if uneven else Folded(b"")
    return replace(marks, plain=_replaced(text, table).encode("latin-1"))


def _replaced(text: str, table: Mapping[str, str]) -> str:
    changed = {char: plain for char, plain in table.items() if char != plain}
    if len(changed) > _FEW:
        return text.translate({ord(char): plain for char, plain in changed.items()})
    for char, plain in changed.items():  # much faster, and no plain spelling is changed again
        text = text.replace(char, plain)
    return text


def _uneven(text: str, uneven: str, table: Mapping[str, str]) -> Folded:
    """Where the places of ``text`` and of its plain spelling part."""
    places, indices, grown = [0], [0], 0
    for match in re.finditer(f"[{re.escape(uneven)}]", text):
        index, size = match.start(), len(table[match[0]])
        for nth in range(size):
            places.append(index + grown + nth)
            indices.append(index)
        grown += size - 1
        places.append(index + 1 + grown)
        indices.append(index + 1)
    return Folded(b"", places, indices)


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
