"""Leaks: what is not this customer's to read: secrets, others' personal data, ids, placeholders."""

import base64
import codecs
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from math import log2

from forestall.intervene.actions.credentials import MASK
from forestall.intervene.agents.links import mail_host
from forestall.privacy.finding import Found

SHORTEST = 6
"""Characters of a secret from which on it is looked for."""

_PART, _LONG = 8, 14
_PLACEHOLDER = re.compile(r"\[[a-z]+-\d+\]")
_ALONE_BEFORE = re.compile(r"(?:^|[\s(\"'„“‚‘»«])$")
_ALONE_AFTER = re.compile(r"(?:$|[\s)\"'“”‘’»«]|[.,;:!?](?:$|[\s)\"'“”«»]))")
_MADE_UP = re.compile(r"\[\s*[^\W\d_]{2,12}[\s_\u2010-\u2015-]?\d{1,3}\s*\]")
"""What looks like a placeholder to a reader."""
_DIGITS = re.compile(r"\d+")
_DIGIT_NAMES = {
    name: str(digit)
    for names in (
        "zero one two three four five six seven eight nine",
        "null eins zwei drei vier fünf sechs sieben acht neun",
    )
    for digit, name in enumerate(names.split())
}
_TOKEN = re.compile(r"[A-Za-z0-9+/=_\-.~]{12,}")
_ID = re.compile(
    r"\b(?=\w*\d)(?=\w*[A-Za-z])[A-Za-z]{2,}_\w{6,}\b|\b[0-9a-f]{16,}\b|\b[0-9A-F]{16,}\b"
)


def leaked(
    text: str,
    *,
    placeholders: frozenset[str] = frozenset(),
    own: Iterable[str] = (),
    known: Sequence[str] = (),
    secrets: tuple[str, ...] = (),
    finds: Callable[[str], Sequence[Found]] | None = None,
    listed: Sequence[str] = (),
) -> list[str]:
    """What leaks, in words: ``secret``, ``placeholder``, ``token``, ``personal data (email)``.

    ``own`` are this customer's own texts, ``known`` what may be read by all customers. ``***`` stands
    for a secret that was hidden from the author.
    """
    found = ["secret"] if MASK in text or betrays(text, secrets) else []
    if any(
        one[0] not in placeholders
        for pattern in (_PLACEHOLDER, _MADE_UP)
        for one in pattern.finditer(text)
    ):
        found.append("placeholder")
    elif not all(_alone(text, one) for one in _PLACEHOLDER.finditer(text)):
        found.append("placeholder that is part of something else")
    mine = {one.casefold() for one in own}
    bare = _PLACEHOLDER.sub(" ", text)

    def harmless(piece: str) -> bool:
        piece = piece.casefold().strip(".,;:!?()[]\"' ")
        return piece in mine or any(_stands(piece, source) for source in known)

    if any(_random(one[0]) and not harmless(one[0]) for one in _TOKEN.finditer(bare)) or any(
        not harmless(one[0]) for one in _ID.finditer(bare)
    ):
        found.append("token")
    for one in finds(bare) if finds else ():
        piece = bare[one.start : one.end]
        if not harmless(piece) and not (one.kind == "email" and mail_host(piece, listed)):
            found.append(f"personal data ({one.kind})")
    return list(dict.fromkeys(found))


def betrays(text: str, secrets: tuple[str, ...]) -> bool:
    """Whether ``text`` has one of ``secrets`` in it, whole, in part, spaced out, backwards or in
    another spelling (base64, hex, URL, rot13)."""
    if not secrets:
        return False
    squeezed = _squeezed(text)
    parts = _parts(squeezed).union(*map(_parts, _picked(text)))
    return any(
        not parts.isdisjoint(_parts_of(secret)) or any(one in squeezed for one in _spelled(secret))
        for secret in secrets
    )


def _picked(text: str) -> Iterator[str]:
    """What can be picked out of ``text``, squeezed: first and last signs of lines and words, pieces
    with digits in them, letters and digits by their names or numbers."""
    words = text.split()
    yield _squeezed("".join(line.strip()[:1] for line in text.splitlines()))
    for signs in ([word[0] for word in words], [word.rstrip(".,;:!?")[-1:] for word in words]):
        yield _squeezed("".join(signs))
    yield _squeezed("".join(word for word in words if _DIGITS.search(word)))
    named = [_DIGIT_NAMES.get(_squeezed(word), word) for word in words]
    yield _squeezed("".join(word for word in named if len(_squeezed(word)) == 1))
    numbers = _DIGITS.findall(text)
    for base in (10, 8):
        with suppress(ValueError):
            yield _squeezed("".join(chr(int(one, base)) for one in numbers if len(one) <= 3))


@lru_cache(maxsize=1024)
def _spelled(secret: str) -> frozenset[str]:
    """The spellings of a secret, squeezed; none of one that is too short to be looked for."""
    if len(_squeezed(secret)) < SHORTEST:
        return frozenset()
    raw = secret.encode()
    spelled = {secret, secret[::-1], raw.hex(), codecs.encode(secret, "rot13")}
    spelled.add(base64.b32encode(raw).decode().rstrip("="))
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + raw).decode().rstrip("=")
        spelled.add(encoded[(4 if lead else 0) : -1])
    return frozenset(_squeezed(one) for one in spelled)


@lru_cache(maxsize=1024)
def _parts_of(secret: str) -> frozenset[str]:
    return frozenset().union(*map(_parts, _spelled(secret)))


def _parts(squeezed: str) -> frozenset[str]:
    """The pieces by which a text is recognised: short ones with a digit in them, longer ones
    without, so that a secret made of words is not found in every text."""
    short = (squeezed[at : at + _PART] for at in range(len(squeezed) - _PART + 1))
    long = (squeezed[at : at + _LONG] for at in range(len(squeezed) - _LONG + 1))
    return frozenset(one for one in short if not one.isalpha()).union(long)


def _squeezed(text: str) -> str:
    return "".join(one for one in text.casefold() if one.isalnum())


def _stands(piece: str, source: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(piece)}(?!\w)", source.casefold()) is not None


def _alone(text: str, found: re.Match[str]) -> bool:
    """Whether a placeholder stands for itself and is not part of an address or a word."""
    return (
        _ALONE_BEFORE.search(text[: found.start()][-1:]) is not None
        and _ALONE_AFTER.match(text[found.end() : found.end() + 2]) is not None
    )


def _random(token: str) -> bool:
    """Whether a token looks drawn by chance or encoded: no word, no date, no number."""
    token = token.strip(".-_~=/")
    if len(token) < 12 or (token.isalpha() and len(token) < 24):
        return False
    pieces = [piece for piece in re.split(r"[-_/.~]", token) if piece]
    mixed = [one for one in pieces if re.search(r"\d", one) and re.search(r"[A-Za-z]", one)]
    longest = max(map(len, pieces), default=0)
    if token.isalpha():
        turns = sum(a.islower() and b.isupper() for a, b in pairwise(token))
        return longest >= 24 and (turns >= 4 or _entropy(token) > 4.0)
    if not mixed:
        return False
    return _entropy(token) >= 3.0 and (longest >= 12 or len(mixed) >= 3)


def _entropy(token: str) -> float:
    """Bits a character."""
    counts = Counter(token).values()
    return -sum(one / len(token) * log2(one / len(token)) for one in counts)
