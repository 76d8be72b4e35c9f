"""Finds personal data in a text by patterns and checksums; pure, in linear time."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

import msgspec

from forestall.privacy.accounts import cards, ibans
from forestall.privacy.contact import emails, hosts, phones
from forestall.privacy.credentials import credentials
from forestall.privacy.folding import fold
from forestall.privacy.streets import addresses

Kind = Literal[
    "token", "email", "iban", "card", "phone", "address", "ip", "id", "person", "place", "text"
]
"""``text`` is no personal data: it only looks like a placeholder."""


class Found(msgspec.Struct, frozen=True):
    """Something personal: ``text[start:end]``."""

    kind: Kind
    start: int
    end: int


FINDERS: Final[tuple[tuple[Kind, Callable[[bytes], Iterator[tuple[int, int]]]], ...]] = (
    ("token", credentials),
    ("email", emails),
    ("iban", ibans),
    ("card", cards),
    ("phone", phones),
    ("address", addresses),
    ("ip", hosts),
)
"""What is looked for, in the plain spelling of a text. Where two overlap, both are one, of the kind
that stands first."""

_RANK: Final[dict[Kind, int]] = {
    kind: rank
    for rank, kind in enumerate([*(kind for kind, _ in FINDERS), "id", "person", "place", "text"])
}


def find(text: str) -> list[Found]:
    """What is personal in ``text``, in order; no two overlap."""
    folded = fold(text)
    return merged(
        Found(kind, *folded.span(start, end))
        for kind, finder in FINDERS
        for start, end in finder(folded.plain)
    )


def merged(found: Iterable[Found]) -> list[Found]:
    """``found`` in order, those that overlap as one."""
    whole: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end, _RANK[one.kind])):
        last = whole[-1] if whole else None
        if last is None or one.start >= last.end:
            whole.append(one)
        else:
            kind = min(last.kind, one.kind, key=_RANK.__getitem__)
            whole[-1] = Found(kind, last.start, max(last.end, one.end))
    return whole
