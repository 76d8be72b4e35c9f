"""The in-memory twin of a helpdesk: tickets in a dictionary, people as methods."""

import msgspec

from forestall.channels.base import Deduplication, Delivery
from forestall.channels.helpdesk.port import ChangeKind, Changes, TicketChange, tag
from forestall.contracts.intervention import Case
from forestall.kernel.clock import Clock

_DELIVERED = Delivery(outcome="delivered", reason="delivered", attempts=1)


class Ticket(msgspec.Struct):
    """One ticket: its case, the notes on it by key, who has it, and whether it is solved."""

    case: Case
    key: str
    notes: dict[str, str]
    owner: str | None = None
    solved: bool = False


class MemoryHelpdesk:
    """A ``Helpdesk`` that lives as long as the object; ``now`` gives the time of changes."""

    deduplication: Deduplication = "dedupes"

    def __init__(self, name: str, now: Clock) -> None:
        self.name, self._now = name, now
        self.tickets: dict[str, Ticket] = {}
        self._changes: list[TicketChange] = []

    async def create(self, case: Case, key: str) -> Delivery:
        """See ``Helpdesk.create``."""
        ticket = await self.find(key)
        if ticket is None:
            ticket = str(len(self.tickets) + 1)
            self.tickets[ticket] = Ticket(case, key, {})
            self._changed(ticket, "opened")
        return msgspec.structs.replace(_DELIVERED, ticket=ticket)

    async def find(self, key: str) -> str | None:
        """See ``Helpdesk.find``."""
        return next((name for name, one in self.tickets.items() if one.key == key), None)

    async def comment(self, ticket: str, text: str, key: str) -> Delivery:
        """See ``Helpdesk.comment``."""
        self.tickets[ticket].notes.setdefault(key, text)
        return msgspec.structs.replace(_DELIVERED, ticket=ticket)

    async def close(self, ticket: str, text: str, key: str) -> Delivery:
        """See ``Helpdesk.close``."""
        if not self.tickets[ticket].solved:
            self.solve(ticket, None)
        return await self.comment(ticket, text, key)

    async def changes(self, since: str) -> Changes:
        """See ``Helpdesk.changes``."""
        if since.startswith("@"):
            new = [change for change in self._changes if change.at >= int(since[1:])]
        else:
            new = self._changes[int(since) :]
        return Changes(tuple(new), str(len(self._changes)))

    def take(self, ticket: str, by: str) -> None:
        """Somebody makes a ticket theirs."""
        self.tickets[ticket].owner = by
        self._changed(ticket, "taken", by)

    def solve(self, ticket: str, by: str | None) -> None:
        """Somebody solves it."""
        self.tickets[ticket].solved = True
        self._changed(ticket, "solved", by)

    def reopen(self, ticket: str, by: str) -> None:
        """It is not solved after all."""
        self.tickets[ticket].solved = False
        self._changed(ticket, "reopened", by)

    def rate(self, ticket: str, score: float) -> None:
        """Somebody says how satisfied the customer is."""
        self._changed(ticket, "rated", None, score)

    def _changed(
        self, ticket: str, kind: ChangeKind, by: str | None = None, score: float | None = None
    ) -> None:
        self._changes.append(
            TicketChange(
                id=f"{self.name}:{len(self._changes) + 1}",
                kind=kind,
                ticket=ticket,
                at=self._now(),
                tag=tag(self.tickets[ticket].key),
                by=by,
                score=score,
            )
        )
