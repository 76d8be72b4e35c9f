"""Finds payment cards and bank accounts by their checksums, however they are spaced; pure."""

from collections.abc import Iterator

from forestall.privacy.checksums import IBAN_LENGTHS, is_card, is_iban
from forestall.privacy.folding import pattern

_DIGITS = pattern(r"[0-9](?:[ \t\n./_\xb7-]{0,3}[0-9]){12,}")
_GROUP = pattern(r"[0-9]+")
_HEAD = pattern(r"\b[A-Za-z]{2}[ -]?[0-9]{2}")
_BETWEEN = frozenset(b" \t\n.-/\xb7")
_MOST_BETWEEN = 3
_SHAPES = {(4, 6, 5), (4, 6, 4), (4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 4, 4, 1), (6, 13), (8, 8)}


def cards(plain: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each number that a payment card could have, of its network's length and with
    a right check digit; in groups as cards print it, or nothing but it in a row of digits."""
    for run in _DIGITS.finditer(plain):
        groups = [match.span() for match in _GROUP.finditer(plain, *run.span())]
        if is_card(_joined(plain, groups)):
            yield run.span()
            continue
        for first in range(len(groups)):
            yield from _card_from(plain, groups[first : first + 5])


def _joined(plain: bytes, groups: list[tuple[int, int]]) -> str:
    if sum(end - start for start, end in groups) > 19:
        return ""
    return "".join(plain[start:end].decode() for start, end in groups)


def _card_from(plain: bytes, groups: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The card that the first of ``groups`` begins, if any."""
    for many in range(1, len(groups) + 1):
        lengths = tuple(end - start for start, end in groups[:many])
        whole = many == 1 and plain[groups[0][0] - 1 : groups[0][0]] != b"."
        if (whole or lengths in _SHAPES) and is_card(_joined(plain, groups[:many])):
            yield groups[0][0], groups[many - 1][1]
            return


def ibans(plain: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each international bank account number with a right checksum."""
    for head in _HEAD.finditer(plain):
        start = head.start()
        length = IBAN_LENGTHS.get(plain[start : start + 2].decode().upper())
        if length is not None:
            end = _end(plain, start, length)
            if end is not None:
                yield start, end


def _end(plain: bytes, start: int, length: int) -> int | None:
    """Where the IBAN of ``length`` characters from ``start`` ends, or none stands there."""
    account, between, place = bytearray(), 0, start
    while place < len(plain) and len(account) < length and between <= _MOST_BETWEEN:
        byte = plain[place]
        place += 1
        if byte in _BETWEEN:
            between += 1
        elif byte < 128 and chr(byte).isalnum():
            account.append(byte)
            between = 0
        else:
            return None
    glued = place < len(plain) and plain[place] < 128 and chr(plain[place]).isalnum()
    return place if not glued and is_iban(account.decode().upper()) else None
