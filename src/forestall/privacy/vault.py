"""The vault: which person a pseudonym stands for, readable only with the key file.

Three tables beside the signals. ``identities`` maps the HMAC of an id to a pseudonym; ``people``
holds each person's own key, wrapped by the master key; ``personal`` holds their ids and traits,
sealed under that key with AES-256-GCM. Deleting a person's key forgets the person.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any, get_args

import msgspec

from forestall.kernel.clock import Tokens
from forestall.privacy.keys import Box, Keys, Kind

_SCHEMA = """
CREATE TABLE IF NOT EXISTS identities (
    handle BLOB PRIMARY KEY, pseudonym TEXT NOT NULL, kind TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS identities_of ON identities (pseudonym);
CREATE TABLE IF NOT EXISTS people (pseudonym TEXT PRIMARY KEY, wrapped BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS personal (
    pseudonym TEXT NOT NULL, name BLOB NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY (pseudonym, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS joined (
    former TEXT PRIMARY KEY, current TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS joined_into ON joined (current);
CREATE TABLE IF NOT EXISTS seals (one INTEGER PRIMARY KEY CHECK (one = 1), sealed BLOB NOT NULL);
"""
_IDENTITY = (
    "INSERT INTO identities VALUES (?, ?, ?)"
    " ON CONFLICT DO UPDATE SET pseudonym = excluded.pseudonym"
)
_PERSON = "INSERT INTO people VALUES (?, ?)"
_PERSONAL = "INSERT OR REPLACE INTO personal VALUES (?, ?, ?)"
_WRITES = (_IDENTITY, _PERSON, _PERSONAL)
_CHECK = b"forestall/vault"
_NOBODY = ""

REMEMBERED = 100_000
"""Ids of each kind whose pseudonym is remembered, at least."""


class Identity(msgspec.Struct, frozen=True):
    """An id in the customer's own words: a user's, or that of a visitor not signed in."""

    kind: Kind
    id: str


class Person(msgspec.Struct, frozen=True):
    """What the vault knows of one pseudonym; ``traits`` are the personal ones only."""

    ids: tuple[Identity, ...]
    traits: dict[str, object]


class Recent(dict[Any, Any]):
    """A mapping that forgets what was not asked for lately; holds up to ``2 * size`` entries.

    Ask with ``recent[key]``: what was put under ``key``, or none.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._old: dict[Any, Any] = {}

    def __missing__(self, key: Any) -> Any:
        found = self._old.get(key)
        if found is not None:
            self.put(key, found)
        return found

    def put(self, key: Any, value: Any) -> None:
        """Remember ``value``."""
        if len(self) >= self._size:
            self._old = dict(self)
            super().clear()
        self[key] = value

    def drop(self, key: Any) -> None:
        """Forget one."""
        self.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        super().clear()
        self._old = {}


def joined_into(connection: sqlite3.Connection, former: str) -> str | None:
    """The pseudonym that ``former`` became part of, if it did; needs no key."""
    sql = "SELECT 1 FROM sqlite_schema WHERE name = 'joined'"
    if connection.execute(sql).fetchone() is None:
        return None
    sql = "SELECT current FROM joined WHERE former = ?"
    row = connection.execute(sql, (former,)).fetchone()
    return row and str(row[0])


class Vault:
    """The vault in an open database. The caller owns the connection and its transactions.

    It remembers recent answers. So whoever keeps it beyond one transaction calls ``begin`` in each
    and ``forgo`` where one was rolled back.
    """

    def __init__(self, connection: sqlite3.Connection, keys: Keys, ids: Tokens) -> None:
        self._db = connection
        self._keys = keys
        self._ids = ids
        self._pseudonyms: dict[Kind, Recent] = {kind: Recent(REMEMBERED) for kind in get_args(Kind)}
        self._formers = Recent(REMEMBERED)
        self._gone: set[str] = set()
        self._version: int | None = None
        self._together = ""
        self._gathering = False
        self._rows: dict[str, list[tuple[Any, ...]]] = {sql: [] for sql in _WRITES}

    def begin(self) -> None:
        """Believe what is remembered only where no other connection wrote since. Call it inside a
        transaction that writes.

        Pseudonyms that a transaction makes begin with the same 32 bits, so that the pages their
        rows go to are few; 96 bits of each are its own.
        """
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self.forgo()
            self._version = version
        self._together = self._ids()[:8]

    def forgo(self) -> None:
        """Forget all that is remembered, since what it came from may not have been kept."""
        for known in self._pseudonyms.values():
            known.clear()
        self._formers.clear()
        self._gone.clear()

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """While it lasts, rows are gathered and then written in the order of their keys, which is
        cheaper for many new people. Only this object sees them before; after an error none is
        written, so undo the transaction."""
        self._gathering = True
        try:
            yield
            self._write_gathered()
        finally:
            self._gathering = False
            for rows in self._rows.values():
                rows.clear()

    def _write_gathered(self) -> None:
        for sql, rows in self._rows.items():
            if rows:
                rows.sort(key=itemgetter(0))
                self._db.executemany(sql, rows)
                rows.clear()

    def _write(self, sql: str, row: tuple[Any, ...]) -> None:
        if self._gathering:
            self._rows[sql].append(row)
        else:
            self._db.execute(sql, row)

    def lay(self) -> None:
        """Make the tables where they are missing; deleted rows are overwritten from here on.

        Raises ``VaultLocked`` where they were made with another master key.
        """
        self._db.execute("PRAGMA secure_delete = ON")
        for statement in _SCHEMA.split(";\n"):
            self._db.execute(statement)
        row = self._db.execute("SELECT sealed FROM seals").fetchone()
        if row is not None:
            self._keys.box.open(row[0], _CHECK)
        else:
            sealed = self._keys.box.seal(_CHECK, _CHECK, self._ids)
            self._db.execute("INSERT INTO seals VALUES (1, ?)", (sealed,))

    def resolve(self, kind: Kind, value: str) -> str | None:
        """The pseudonym of an id, or none if it was never seen."""
        known: str | None = self._pseudonyms[kind][value]
        if known is None or known in self._gone:
            handle = self._keys.handle(kind, value)
            sql = "SELECT pseudonym FROM identities WHERE handle = ?"
            row = self._db.execute(sql, (handle,)).fetchone()
            known = str(row[0]) if row else _NOBODY
            self._pseudonyms[kind].put(value, known)
        return known or None

    def assign(self, kind: Kind, value: str, pseudonym: str | None = None) -> str:
        """Let the id stand for ``pseudonym`` from now on, or for a fresh random one."""
        fresh = pseudonym is None
        pseudonym = pseudonym or self._together + self._ids()[len(self._together) :]
        handle = self._keys.handle(kind, value)
        self._write(_IDENTITY, (handle, pseudonym, kind))
        self._pseudonyms[kind].put(value, pseudonym)
        self._put(pseudonym, (kind, value, None), fresh=fresh)
        return pseudonym

    def owned(self, pseudonym: str) -> bool:
        """Whether a user's id stands for it already."""
        self._write_gathered()
        sql = "SELECT 1 FROM identities WHERE pseudonym = ? AND kind = 'user'"
        return self._db.execute(sql, (pseudonym,)).fetchone() is not None

    def join(self, former: str, current: str) -> None:
        """Let ``former`` become part of ``current``, which keeps its own traits where both have.

        A visitor's pseudonym joins a user's, never the other way, so nothing joins ``former``.
        """
        before, now = self.reveal(former), self.reveal(current)
        if before is not None:
            taken = now.traits if now is not None else {}
            self.keep(current, {k: v for k, v in before.traits.items() if k not in taken})
        self._forget(former)
        self._db.execute("INSERT OR REPLACE INTO joined VALUES (?, ?)", (former, current))
        self._formers.drop(current)

    def formers(self, pseudonym: str) -> Sequence[str]:
        """The pseudonyms joined into this one."""
        known: tuple[str, ...] | None = self._formers[pseudonym]
        if known is None:
            rows = self._db.execute("SELECT former FROM joined WHERE current = ?", (pseudonym,))
            known = tuple(row[0] for row in rows)
            self._formers.put(pseudonym, known)
        return known

    def keep(self, pseudonym: str, traits: dict[str, object]) -> None:
        """Keep personal traits, key by key, over those kept before."""
        for name, value in traits.items():
            self._put(pseudonym, ("trait", name, value))

    def reveal(self, pseudonym: str) -> Person | None:
        """Who a pseudonym is; none where it was forgotten or never seen."""
        box = self._box(pseudonym)
        if box is None:
            return None
        ids: list[Identity] = []
        traits: dict[str, object] = {}
        sql = "SELECT name, sealed FROM personal WHERE pseudonym = ? ORDER BY name"
        for hidden, sealed in self._db.execute(sql, (pseudonym,)):
            plain = box.open(sealed, pseudonym.encode() + hidden)
            sort, name, value = msgspec.json.decode(plain)
            if sort == "trait":
                traits[name] = value
            else:
                ids.append(Identity(sort, name))
        return Person(tuple(ids), traits)

    def forget(self, pseudonym: str) -> bool:
        """Delete mapping, key and personal fields, also of those joined into it.

        Whether there were any. It cannot be undone; the log keeps the bare pseudonym.
        """
        known = [self._forget(each) for each in (pseudonym, *self.formers(pseudonym))]
        self._db.execute("DELETE FROM joined WHERE current = ?", (pseudonym,))
        self._formers.drop(pseudonym)
        return any(known)

    def _forget(self, pseudonym: str) -> bool:
        self._write_gathered()
        known = self._box(pseudonym) is not None
        self._gone.add(pseudonym)
        if len(self._gone) > REMEMBERED:
            self.forgo()
        for table in ("identities", "personal", "people"):
            self._db.execute(f"DELETE FROM {table} WHERE pseudonym = ?", (pseudonym,))  # noqa: S608
        return known

    def _put(self, pseudonym: str, entry: tuple[str, str, object], *, fresh: bool = False) -> None:
        """Seal one entry; what it is about is stored as an HMAC only."""
        box = None if fresh else self._box(pseudonym)
        if box is None:
            key = bytes.fromhex(self._ids() + self._ids())
            wrapped = self._keys.box.seal(key, pseudonym.encode(), self._ids)
            self._write(_PERSON, (pseudonym, wrapped))
            box = Box(key)
        hidden = self._keys.field(entry[0], entry[1])
        sealed = box.seal(msgspec.json.encode(entry), pseudonym.encode() + hidden, self._ids)
        self._write(_PERSONAL, (pseudonym, hidden, sealed))

    def _box(self, pseudonym: str) -> Box | None:
        self._write_gathered()
        sql = "SELECT wrapped FROM people WHERE pseudonym = ?"
        row = self._db.execute(sql, (pseudonym,)).fetchone()
        return row and Box(self._keys.box.open(row[0], pseudonym.encode()))
