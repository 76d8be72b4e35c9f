"""Pieces in SQLite: a row per bucket and commit, and one row again where they became many.

A bucket is a small log of its own. Its first row holds all there was when it was last merged, the
later ones what came since. Whoever writes into a bucket merges it first, once the later rows have
grown as large as the first: so a piece is rewritten about twice, and a file holds at most about
twice what counts. A merge is part of the commit, hence there or not at all.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from forestall.log.port import Piece, bucket

SCHEMA = """
CREATE TABLE pieces (
    id INTEGER PRIMARY KEY, bucket INTEGER NOT NULL, round INTEGER NOT NULL, content BLOB NOT NULL
);
CREATE INDEX pieces_by_bucket ON pieces (bucket, round);
"""

MERGED = 1 << 20
"""Bytes after which a commit merges no further bucket."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, bytes]).decode


def write(connection: sqlite3.Connection, pieces: Sequence[Piece]) -> None:
    """Keep ``pieces``, and merge what they make superfluous. Inside a transaction."""
    rows: dict[tuple[int, int], dict[str, bytes]] = defaultdict(dict)
    for piece in pieces:
        rows[piece.round, bucket(piece.key)][piece.key] = piece.content
    room = MERGED
    for number, place in rows:
        if room > 0:
            room -= _merge(connection, place, number)
    connection.executemany(
        "INSERT INTO pieces (bucket, round, content) VALUES (?, ?, ?)",
        ((place, number, _encode(content)) for (number, place), content in rows.items()),
    )


def read(connection: sqlite3.Connection, number: int, place: int) -> dict[str, bytes]:
    """The pieces of one bucket as of round ``number``."""
    found: dict[str, bytes] = {}
    for (content,) in connection.execute(
        "SELECT content FROM pieces WHERE bucket = ? AND round <= ? ORDER BY round, id",
        (place, number),
    ):
        found.update(_decode(content))
    return {key: content for key, content in found.items() if content}


def drop_after(connection: sqlite3.Connection, number: int) -> None:
    """Delete the pieces of rounds after ``number``."""
    connection.execute("DELETE FROM pieces WHERE round > ?", (number,))


def _merge(connection: sqlite3.Connection, place: int, before: int) -> int:
    """Make one row of a bucket's finished rounds, if it is time; the bytes read."""
    sizes = connection.execute(
        "SELECT length(content), round FROM pieces WHERE bucket = ? AND round < ?"
        " ORDER BY round, id",
        (place, before),
    ).fetchall()
    grown = sum(size for size, _ in sizes[1:])
    if not grown or grown < sizes[0][0]:
        return 0
    newest = sizes[-1][1]
    content = read(connection, newest, place)
    connection.execute("DELETE FROM pieces WHERE bucket = ? AND round < ?", (place, before))
    connection.execute(
        "INSERT INTO pieces (bucket, round, content) VALUES (?, ?, ?)",
        (place, newest, _encode(content)),
    )
    return int(sizes[0][0] + grown)
