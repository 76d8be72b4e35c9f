"""From an admitted event to a record: whose it is, whether it is new, and when we took it.

A ``Sorter`` lives for one transaction. What it writes beside the log (identities, the door,
quarantine) is kept with the batch or not at all.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from forestall.contracts.event import Record
from forestall.contracts.instants import DAY
from forestall.ingest import past, quarantine
from forestall.ingest.letter import Admitted, Answer, Refusal
from forestall.kernel.clock import Tokens
from forestall.log.port import Log
from forestall.log.streams import SIGNALS
from forestall.privacy import door, identity
from forestall.privacy.keys import Keys
from forestall.privacy.vault import Vault

REMEMBERED = 7 * DAY
"""How long a second event with the same subject, source and id counts as the same."""

GATEWAY = "forestall:gateway"
"""The ``source`` of events that the gateway itself writes."""


class Desk(msgspec.Struct, frozen=True):
    """What sorting needs besides the letters. ``lateness`` is in microseconds."""

    log: Log
    connection: sqlite3.Connection
    vault: Vault
    keys: Keys
    ids: Tokens
    acts_of: past.ActsOf
    lateness: int
    clock: Literal["wall", "event"]


class Sorter:
    """Sorts the letters of one transaction; ``records`` is what to append, ``joins`` how many of
    them it wrote itself."""

    def __init__(self, desk: Desk, now: int, last: int) -> None:
        """``now`` is the time by the clock, ``last`` the greatest ``received`` so far."""
        self._desk = desk
        self._now = max(now, last)
        self._last = last
        self._taken: dict[tuple[str, str], int] = {}
        self._asked: dict[tuple[str, str], int | None] = {}
        self.records: list[Record] = []
        self.joins = 0

    def ask(self, letters: Iterable[Admitted | Refusal]) -> None:
        """Ask the log at once about all that will probably be asked; what is still open when its
        turn comes is asked then."""
        vault = self._desk.vault
        pairs = []
        for event in letters:
            if isinstance(event, Admitted) and not event.control:
                owner = event.pseudonym or identity.owner(vault, event.user, event.anonymous)
                if owner is not None:
                    pairs.append((owner, f"{event.source}\x00{event.id}"))
        since = max(0, self._last - REMEMBERED)
        found = self._desk.log.newest_of(SIGNALS, pairs, since=since)
        self._asked = dict(zip(pairs, found, strict=True))

    def take(self, letters: Iterable[Admitted | Refusal]) -> list[Answer]:
        """What to answer to each letter, in order."""
        return [
            self._refuse(letter) if isinstance(letter, Refusal) else self._accept(letter)
            for letter in letters
        ]

    def _refuse(self, refusal: Refusal) -> Answer:
        desk = self._desk
        quarantine.put(desk.connection, desk.keys, desk.ids, refusal)
        return Answer(refusal.id, "quarantined", refusal.code, refusal.path, refusal.message)

    def _accept(self, event: Admitted) -> Answer:
        placed = self._find(event)
        received = self._now if self._desk.clock == "wall" else self._received(event)
        key = f"{event.source}\x00{event.id}"
        if placed.subject is not None and self._seen(placed, placed.subject, key, received):
            return Answer(event.id, "duplicate")
        subject = placed.subject
        if subject is None or placed.move != "keep":
            subject = self._settle(event, placed, received)
        time = received if event.time is None else event.time
        self._append(
            key,
            Record(
                event.id,
                event.source,
                event.type,
                subject,
                time,
                received,
                event.origin,
                event.data,
                event.traceparent,
            ),
        )
        if event.control:
            door.note(self._desk.connection, subject, event.type, min(time, received), event.said)
            if event.personal:
                self._desk.vault.keep(subject, event.personal)
        late = not event.control and received - time > self._desk.lateness
        return Answer(event.id, "late" if late else "accepted")

    def _find(self, event: Admitted) -> identity.Placed:
        if event.pseudonym is not None:
            return identity.Placed("keep", event.pseudonym)
        vault, user, visitor = self._desk.vault, event.user, event.anonymous
        if event.control and event.signs_in:
            return identity.find(vault, user, visitor, signs_in=True)
        known = identity.owner(vault, user, visitor)
        return identity.Placed("keep" if known else "new", known)

    def _received(self, event: Admitted) -> int:
        """Its moment by the events' own clock."""
        if event.time is not None:
            return max(self._last, event.time)
        return self._last or self._now

    def _seen(self, placed: identity.Placed, subject: str, key: str, received: int) -> bool:
        """Whether it came before, under this pseudonym or one joined into it."""
        if self._within(subject, key, received):
            return True
        formers = self._desk.vault.formers(subject)
        if not formers and placed.former is None:
            return False
        owners = (placed.former, *formers) if placed.former else formers
        return any(self._within(owner, key, received) for owner in owners)

    def _within(self, owner: str, key: str, received: int) -> bool:
        pair = (owner, key)
        kept = self._taken.get(pair)
        if kept is None:
            if pair not in self._asked:
                self._asked[pair] = self._desk.log.newest_of(SIGNALS, [pair])[0]
            kept = self._asked[pair]
        return kept is not None and received - kept <= REMEMBERED

    def _settle(self, event: Admitted, placed: identity.Placed, received: int) -> str:
        desk = self._desk
        data = None
        if placed.former:
            data = past.carried(
                placed.former,
                door.read(desk.connection, placed.former),
                self._signals_of(placed.former),
                desk.acts_of(placed.former),
            )
        subject = identity.settle(
            desk.vault, placed, event.user, event.anonymous, signs_in=event.signs_in
        )
        if data is not None and placed.former:
            door.join(desk.connection, placed.former, subject)
            self.joins += 1
            self._append(
                f"{GATEWAY}\x00{event.id}.alias",
                Record(
                    f"{event.id}.alias",
                    GATEWAY,
                    "forestall.alias",
                    subject,
                    received if event.time is None else event.time,
                    received,
                    "server",
                    msgspec.Raw(msgspec.json.encode(data)),
                    event.traceparent,
                ),
            )
        return subject

    def _signals_of(self, subject: str) -> Sequence[Record]:
        waiting = [record for record in self.records if record.subject == subject]
        return past.signals_of(self._desk.log, subject) + waiting

    def _append(self, key: str, record: Record) -> None:
        self._last = record.received
        self._taken[record.subject, key] = record.received
        self.records.append(record)
