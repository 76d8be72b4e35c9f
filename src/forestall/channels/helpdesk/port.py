"""What a helpdesk is to us: tickets by key, and changes by cursor.

A key is 32 hex digits, one per case (``effect_key``). A ticket carries the key's tag in its subject,
so that it can be found again and recognised whoever answers it.
"""

import hashlib
import re
from typing import Literal, Protocol

import msgspec

from forestall.channels.base import Deduplication, Delivery
from forestall.contracts.errors import ForestallError
from forestall.contracts.intervention import Case

ChangeKind = Literal["opened", "taken", "solved", "reopened", "rated"]
"""What happens to a ticket. ``taken``: a person has made it theirs. ``rated``: the customer, or
somebody for them, said how satisfied they are."""

BEGINNING = "@0"
"""The cursor before everything; ``@MICROSECONDS`` begins at a wall time."""

_TAG = re.compile(r"\[case ([0-9a-f]{16})\]")


class InvalidHelpdesk(ForestallError):
    """A ``[helpdesks.NAME]`` has an address, a time limit or another value that cannot work."""

    code = "invalid-helpdesk"
    exit_code = 2


class HelpdeskUnavailable(ForestallError):
    """A helpdesk cannot be asked now. ``retry_after`` (microseconds) is how long it asked us to
    stay away."""

    code = "helpdesk-unavailable"

    def __init__(self, message: str, *, refused: bool = False, retry_after: int | None = None):
        super().__init__(message)
        self.refused, self.retry_after = refused, retry_after


class TicketChange(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a ticket, at wall time ``at`` (microseconds).

    ``id`` is the same whenever this change is read, and unique over all helpdesks. ``tag`` is that
    of the case, where the ticket is one of ours; otherwise ``customer`` is the customer's own id
    where the helpdesk knows it. ``by`` is who did it, ``score`` (1 to 5) how satisfied they are.
    """

    id: str
    kind: ChangeKind
    ticket: str
    at: int
    tag: str | None = None
    customer: str | None = None
    by: str | None = None
    score: float | None = None


class Changes(msgspec.Struct, frozen=True):
    """What happened since a cursor, oldest first, and the cursor to ask with next time. A change
    may come twice; its id tells. ``more`` says that there is more to read at once."""

    changes: tuple[TicketChange, ...]
    cursor: str
    more: bool = False


class Helpdesk(Protocol):
    """Keeps tickets. What a network does comes back as a ``Delivery``; only asking raises."""

    @property
    def name(self) -> str:
        """What ``[helpdesks]`` calls it."""

    @property
    def deduplication(self) -> Deduplication:
        """What it does with a repeated key by itself."""

    async def create(self, case: Case, key: str) -> Delivery:
        """Open a ticket for ``case``, once per ``key``; ``Delivery.ticket`` is its id, also where
        it was there already."""

    async def find(self, key: str) -> str | None:
        """The id of the ticket with that key. Raises ``HelpdeskUnavailable``."""

    async def comment(self, ticket: str, text: str, key: str) -> Delivery:
        """Add a note that people see, once per ``key``."""

    async def close(self, ticket: str, text: str, key: str) -> Delivery:
        """Solve the ticket, with a last note, once per ``key``; one that is solved stays so."""

    async def changes(self, since: str) -> Changes:
        """What happened to tickets since that cursor. Raises ``HelpdeskUnavailable``."""


def tag(key: str) -> str:
    """The 16 hex digits by which people and replies name the case of ``key``."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def tagged(key: str) -> str:
    """How a ticket's subject says whose case it is."""
    return f"[case {tag(key)}]"


def tag_in(subject: str) -> str | None:
    """The tag in a ticket's subject, if there is one."""
    found = _TAG.search(subject)
    return found[1] if found else None


def score_of(text: str) -> float | None:
    """A satisfaction between 1 and 5 from what people write: ``4``, ``4/5``, ``good``, ``bad``."""
    words = {"good": 5.0, "satisfied": 5.0, "bad": 1.0, "unsatisfied": 1.0}
    plain = text.strip().lower().removesuffix("/5")
    if plain in words:
        return words[plain]
    if re.fullmatch(r"[0-9](\.[0-9]{1,3})?", plain, re.ASCII) and 1 <= float(plain) <= 5:
        return float(plain)
    return None
