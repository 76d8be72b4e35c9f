"""The index by subject of one stream in SQLite: what came lately, folded by and by into buckets.

A batch writes one row: the keys of its items, 16 bytes each. Once there are ``FOLD`` of them, the
next commits fold them, a slice each, into rows by bucket, so that what belongs to a subject lies
together; with the last slice the fold counts, hence a crash before it begins the fold again and
overwrites. The commits after it delete what was folded, a little each. For the question of duplicates, whose answer is nearly always no, the writer keeps the
keys not yet folded in memory, and for older ones a filter for each generation of about
``GENERATION`` keys: 4 MB each, of which the newest ``IN_MEMORY`` stay in memory and others are read
once a question. ``keys`` says what keys and filters are.
"""

import sqlite3
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from forestall.log.core import Gathered, note, passing
from forestall.log.keys import BUCKETS, ENTRY, HALF, KEY, WORDS, bucket_of

SCHEMA = """
CREATE TABLE recent_{0} (position INTEGER PRIMARY KEY, keys BLOB NOT NULL);
CREATE TABLE folded_{0} (place INTEGER PRIMARY KEY, entries BLOB NOT NULL);
CREATE TABLE filters_{0} (
    generation INTEGER NOT NULL, slice INTEGER NOT NULL, words BLOB NOT NULL,
    PRIMARY KEY (generation, slice)
);
CREATE TABLE generations_{0} (
    generation INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,
    received INTEGER NOT NULL, entries INTEGER NOT NULL
);
"""
"""The place of a row in ``folded`` is its bucket and, in the low 40 bits, the fold's first batch."""

FOLD = 1 << 16
"""Keys after which a fold begins."""

SLICES = 64
"""Commits over which a fold spreads, and as many over which what it folded is deleted."""

FILTER_ROWS = 16
"""Rows that a filter has in the file."""

GENERATION = 1 << 20
"""Keys of a generation, with which 1 in 2,000 absent keys passes its filter."""

IN_MEMORY = 32
"""Filters held in memory: 128 MB for 33 million keys."""

_POSITIONS = 40


class _Generation(msgspec.Struct):
    """Folds that share a filter: of the batches ``first`` to ``last``, received up to ``received``.

    ``entries`` counts what is folded or being folded."""

    number: int
    first: int = 0
    last: int = 0
    received: int = 0
    entries: int = 0


class _Fold(msgspec.Struct):
    """A fold under way: what is folded into which generation, and how many slices are done."""

    gathered: Any
    generation: _Generation
    words: Any
    done: int = 0


class _Left(msgspec.Struct):
    """What a fold left to delete: ``recent`` from a batch to a batch, so many at a time."""

    first: int
    last: int
    step: int


class SubjectIndex:
    """The index of ``stream``, written inside the caller's transactions.

    It remembers what it wrote: after a rollback, or another connection's writing, make a new one.
    """

    def __init__(self, connection: sqlite3.Connection, stream: str) -> None:
        self._connection = connection
        self._stream = stream
        self._loaded = False
        self._generations: list[_Generation] = []
        self._filters: dict[int, array[int]] = {}
        self._words: array[int] = array("Q")
        self._recent = Gathered()
        self._fold: _Fold | None = None
        self._left: _Left | None = None

    def add(self, position: int, keys: bytes) -> None:
        """Index the batch at ``position`` by its keys, and fold a slice where a fold is due."""
        if not keys:
            return
        self._load()
        self._execute("INSERT INTO recent_{0} VALUES (?, ?)", (position, keys))
        self._gather(position, keys)
        if self._recent.count >= FOLD:
            while self._fold is not None:
                self._fold_slice(self._fold)
            self._begin_fold()
        if self._fold is not None:
            self._fold_slice(self._fold)
        elif self._left is not None:
            self._delete_some(self._left)

    def positions(self, subject: bytes) -> list[int]:
        """The batches with an item of the subject that hashes so, ascending."""
        # What is recent first: between the two looks it may become folded, never the reverse.
        recent = {
            position
            for position, keys in self._execute(
                "SELECT position, keys FROM recent_{0} WHERE instr(keys, ?)", (subject,)
            )
            if _places(subject, keys, KEY, 0)
        }
        every = self._folded(subject, 0, (1 << _POSITIONS) - 1)
        return sorted(recent.union(*(_batches(subject, entries) for (entries,) in every)))

    def newest(self, keys: bytes, since: int) -> list[int]:
        """The newest position of each key, 0 if there is none; older than ``since`` may be 0."""
        self._load()
        answers = self._recent.newest(keys)
        if self._fold is not None:
            folding = self._fold.gathered.newest(keys)
            answers = [new or old for new, old in zip(answers, folding, strict=True)]
        for generation in reversed(self._generations):
            if generation.received < since or not generation.last:
                continue
            for number in passing(self._filter(generation), keys):
                if not answers[number]:
                    key = keys[number * KEY : number * KEY + KEY]
                    answers[number] = self._newest_in(generation, key)
        return answers

    def _newest_in(self, generation: _Generation, key: bytes) -> int:
        # By the identity, since a busy subject has many entries in its bucket.
        positions = [
            _position(entries, at)
            for (entries,) in self._folded(key, generation.first, generation.last)
            for at in _places(key[HALF:], entries, ENTRY, HALF)
            if entries[at : at + HALF] == key[:HALF]
        ]
        return max(positions, default=0)

    def _folded(self, key: bytes, first: int, last: int) -> sqlite3.Cursor:
        bucket = bucket_of(key) << _POSITIONS
        return self._execute(
            "SELECT entries FROM folded_{0} WHERE place BETWEEN ? AND ?",
            (bucket + first, bucket + last),
        )

    # -- gathering and folding -------------------------------------------------------------------

    def _gather(self, position: int, keys: bytes) -> None:
        """Note ``keys`` in memory: as recent, and in the current filter."""
        self._recent.add(position, keys)
        note(self._words, keys)

    def _begin_fold(self) -> None:
        generation = self._generations[-1]
        generation.entries += self._recent.count
        self._fold = _Fold(self._recent, generation, self._words)
        self._recent = Gathered()
        if generation.entries >= GENERATION:
            self._begin_generation(generation.number + 1)

    def _begin_generation(self, number: int) -> None:
        self._generations.append(_Generation(number))
        self._words = self._filters[number] = array("Q", bytes(8 * WORDS))
        for old in sorted(self._filters)[:-IN_MEMORY]:
            del self._filters[old]

    def _fold_slice(self, fold: _Fold) -> None:
        """Write a part of the buckets and of the filter; with the last, the fold is done."""
        size = BUCKETS // SLICES
        first = fold.gathered.first
        part = range(fold.done * size, (fold.done + 1) * size)
        folded = "INSERT OR REPLACE INTO folded_{0} VALUES (?, ?)"
        self._connection.executemany(
            folded.format(self._stream),
            (
                (bucket << _POSITIONS | first, entries)
                for bucket in part
                if (entries := fold.gathered.entries(bucket))
            ),
        )
        self._write_words(fold, WORDS // SLICES)
        fold.done += 1
        if fold.done == SLICES:
            self._finish_fold(fold)

    def _write_words(self, fold: _Fold, size: int) -> None:
        """Write the next ``size`` words of the filter, or the whole row where there is none yet."""
        row = WORDS // min(FILTER_ROWS, SLICES)
        number, start = divmod(fold.done * size, row)
        key = fold.generation.number, number
        found = self._execute(
            "SELECT rowid FROM filters_{0} WHERE generation = ? AND slice = ?", key
        ).fetchone()
        if found is None:
            words = fold.words[number * row : (number + 1) * row]
            self._execute("INSERT INTO filters_{0} VALUES (?, ?, ?)", (*key, words.tobytes()))
            return
        words = fold.words[fold.done * size : (fold.done + 1) * size]
        table = f"filters_{self._stream}"
        with self._connection.blobopen(table, "words", found[0]) as blob:
            blob.seek(8 * start)
            blob.write(words.tobytes())

    def _finish_fold(self, fold: _Fold) -> None:
        generation, last = fold.generation, fold.gathered.last
        ((received,),) = self._execute(
            "SELECT received FROM batches_{0} WHERE position = ?", (last,)
        )
        generation.first = generation.first or fold.gathered.first
        generation.last, generation.received = last, received
        self._execute(
            "INSERT OR REPLACE INTO generations_{0} VALUES (?, ?, ?, ?, ?)",
            msgspec.structs.astuple(generation),
        )
        self._fold = None
        self._leave(fold.gathered.first, last)

    def _leave(self, first: int, last: int) -> None:
        self._left = _Left(first, last, (last - first) // SLICES + 1)

    def _delete_some(self, left: _Left) -> None:
        until = min(left.first + left.step, left.last + 1)
        self._execute("DELETE FROM recent_{0} WHERE position < ?", (until,))
        left.first = until
        if until > left.last:
            self._left = None

    # -- memory ----------------------------------------------------------------------------------

    def _load(self) -> None:
        """Read what memory holds: the generations, the current filter, and what is recent."""
        if self._loaded:
            return
        self._generations = [
            _Generation(*row)
            for row in self._execute("SELECT * FROM generations_{0} ORDER BY generation")
        ]
        newest = self._generations[-1] if self._generations else _Generation(0, entries=GENERATION)
        if newest.entries >= GENERATION:
            self._begin_generation(newest.number + 1)
        else:
            self._words = self._filter(newest)
        folded = max((generation.last for generation in self._generations), default=0)
        recent = "SELECT * FROM recent_{0} WHERE position > ? ORDER BY position"
        for position, keys in self._execute(recent, (folded,)):
            self._gather(position, keys)
        ((first,),) = self._execute("SELECT min(position) FROM recent_{0}")
        if first is not None and first <= folded:
            self._leave(first, folded)
        self._loaded = True

    def _filter(self, generation: _Generation) -> "array[int]":
        """The filter of a generation, from memory or from the file."""
        number = generation.number
        if (held := self._filters.get(number)) is not None:
            return held
        rows = self._execute("SELECT slice, words FROM filters_{0} WHERE generation = ?", (number,))
        slices = dict(rows.fetchall())
        count = min(FILTER_ROWS, SLICES)
        none = bytes(8 * WORDS // count)
        words = array("Q", b"".join(slices.get(number, none) for number in range(count)))
        if number > self._generations[-1].number - IN_MEMORY:
            self._filters[number] = words
        return words

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql.format(self._stream), values)


def _position(entries: bytes, at: int) -> int:
    return int.from_bytes(entries[at + KEY : at + ENTRY], "little")


def _batches(subject: bytes, entries: bytes) -> list[int]:
    """The batches of ``subject`` among ``entries``, which are in the order of batches."""
    found = []
    starts = range(0, len(entries), ENTRY)
    at = entries.find(subject)
    while at >= 0:
        if at % ENTRY == 0:
            position = _position(entries, at)
            found.append(position)
            # A busy subject has many items in a batch: on to the next one.
            later = bisect_right(starts, position, at // ENTRY + 1, key=partial(_position, entries))
            at = later * ENTRY - 1
        at = entries.find(subject, at + 1)
    return found


def _places(needle: bytes, within: bytes, size: int, offset: int) -> list[int]:
    """Where items of ``size`` bytes begin that hold ``needle`` at ``offset``."""
    found = []
    at = within.find(needle)
    while at >= 0:
        if at % size == offset:
            found.append(at - offset)
            at += size - 1
        at = within.find(needle, at + 1)
    return found
