"""From an admitted event to a record: whose it is, whether it is new, and when we took it.

A ``Sorter`` lives for one transaction. What it writes beside the log (identities, the door,
quarantine) is kept with the batch or not at all.
"""

import sqlite3
from collections.abc import Iterator, Sequence
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

_NEW = identity.Placed("new", None)

Pair = tuple[str, str]
"""A subject, and what makes an event of theirs the same: its source and id."""


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
    """Sorts the letters of one transaction; ``records`` is what to append, ``pairs`` the subject and
    key of each, ``joins`` how many of them it wrote itself."""

    def __init__(self, desk: Desk, now: int, last: int) -> None:
        """``now`` is the time by the clock, ``last`` the greatest ``received`` so far."""
        self._desk = desk
        self._now = max(now, last)
        self._last = last
        self._taken: dict[Pair, int] = {}
        self._asked: dict[Pair, int | None] = {}
        self._found: Iterator[tuple[Pair, int | None]] = iter(())
        self._moved = False
        self._fresh: set[str] = set()
        self.records: list[Record] = []
        self.pairs: list[Pair] = []
        self.joins = 0

    def take(self, letters: Sequence[Admitted | Refusal]) -> list[Answer]:
        """What to answer to each letter, in order."""
        now, lateness, taken = self._now, self._desk.lateness, self._taken
        answers = []
        for letter, known in zip(letters, self._plain(letters), strict=True):
            pair = known or self._newcomer(letter)
            if pair is None or self._moved or pair in taken or isinstance(letter, Refusal):
                answers.append(self._one(letter))
                continue
            time = now if letter.time is None else letter.time
            record = Record(
                letter.id,
                letter.source,
                letter.type,
                pair[0],
                time,
                now,
                letter.origin,
                letter.data,
                letter.traceparent,
            )
            self._last = taken[pair] = now
            self.pairs.append(pair)
            self.records.append(record)
            answers.append(Answer(letter.id, "late" if now - time > lateness else "accepted"))
        return answers

    def _plain(self, letters: Sequence[Admitted | Refusal]) -> Sequence[Pair | None]:
        """For each letter that only needs to be written, under whom and which key: it is a new
        event of somebody known, nobody joined them, and the clock is the wall's.

        The log is asked at once about all that will probably be asked; what is still open when its
        turn comes is asked then.
        """
        vault = self._desk.vault
        pairs: list[Pair] = []
        plain: list[Pair | None] = []
        for letter in letters:
            pair = None
            if isinstance(letter, Admitted) and not letter.control:
                owner = letter.pseudonym or identity.owner(vault, letter.user, letter.anonymous)
                if owner is not None:
                    pairs.append(pair := (owner, f"{letter.source}\x00{letter.id}"))
                    if vault.formers(owner):
                        pair = None
            plain.append(pair)
        since = max(0, self._last - REMEMBERED)
        found = self._desk.log.newest_of(SIGNALS, pairs, since=since)
        self._found = zip(pairs, found, strict=True)
        if self._desk.clock != "wall":
            return [None] * len(plain)
        if any(found):
            asked = self._answers()
            return [None if pair is None or asked[pair] else pair for pair in plain]
        return plain

    def _answers(self) -> dict[Pair, int | None]:
        """What the log said of the pairs that it was asked about; seldom looked at again."""
        self._asked.update(self._found)
        return self._asked

    def _newcomer(self, letter: Admitted | Refusal) -> Pair | None:
        """The same for an event of somebody whom this transaction meets first; they are entered."""
        if isinstance(letter, Refusal) or letter.control or self._desk.clock != "wall":
            return None
        if letter.pseudonym is not None or self._moved:
            return None
        vault = self._desk.vault
        owner = identity.owner(vault, letter.user, letter.anonymous)
        if owner is None:
            user, visitor = letter.user, letter.anonymous
            owner = identity.settle(vault, _NEW, user, visitor, signs_in=False)
            self._fresh.add(owner)
        elif owner not in self._fresh:
            return None
        return owner, f"{letter.source}\x00{letter.id}"

    def _one(self, letter: Admitted | Refusal) -> Answer:
        return self._refuse(letter) if isinstance(letter, Refusal) else self._accept(letter)

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
            self._moved = self._moved or event.signs_in
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
        if kept is None and owner not in self._fresh:
            asked = self._answers()
            if pair not in asked:
                asked[pair] = self._desk.log.newest_of(SIGNALS, [pair])[0]
            kept = asked[pair]
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
        if placed.subject is None:
            self._fresh.add(subject)
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
        pair = (record.subject, key)
        self._last = self._taken[pair] = record.received
        self.pairs.append(pair)
        self.records.append(record)
