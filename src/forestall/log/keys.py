"""Keys of the index by subject: how they are made, gathered in memory, and noted in filters.

A key is 8 bytes of BLAKE2b of the subject and 8 of the identity: nobody can find two identities
that collide, so nobody can make the events of others look like duplicates. Several keys are handed
on as one string of bytes. ``typed.pyx`` does the same in C; ``core`` takes it where it is compiled.

A filter is a Bloom filter in words: a key sets six bits, all in one word (Putze, Sanders and Singler,
"Cache-, hash- and space-efficient Bloom filters", 2009).
"""

from array import array
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from xxhash import xxh3_64_intdigest

HALF: Final = 8
KEY: Final = 2 * HALF
ENTRY: Final = KEY + 5
"""Bytes of an entry: a key, then the position of its batch, little-endian."""

BUCKETS: Final = 1024
WORDS: Final = 1 << 19
"""Words of 64 bits that a filter has."""

_SUBJECT = blake2b(digest_size=HALF, person=b"subject")
_IDENTITY = blake2b(digest_size=HALF, person=b"identity")


def _three_bits(number: int) -> int:
    """Three bits of 64, as a hash of ``number`` chooses."""
    hashed = xxh3_64_intdigest(number.to_bytes(2, "little"))
    return 1 << (hashed & 63) | 1 << (hashed >> 6 & 63) | 1 << (hashed >> 12 & 63)


MASKS: Final = [_three_bits(number) for number in range(1 << 10)]
MORE_MASKS: Final = [_three_bits(number) for number in range(1 << 10, 1 << 11)]


@lru_cache(1 << 16)
def subject_hash(subject: str) -> bytes:
    """The first half of a key."""
    digest = _SUBJECT.copy()
    digest.update(subject.encode())
    return digest.digest()


def keys_of(pairs: Sequence[tuple[str, str]]) -> bytes:
    """The keys of ``(subject, identity)`` pairs, one after the other."""
    halves: list[bytes] = []
    for subject, identity in pairs:
        digest = _IDENTITY.copy()
        digest.update(identity.encode())
        halves += (subject_hash(subject), digest.digest())
    return b"".join(halves)


def bucket_of(key: bytes) -> int:
    """In which of ``BUCKETS`` a key lies."""
    return key[0] << 2 | key[1] & 3


def note(words: "array[int]", keys: bytes) -> None:
    """Let the filter know ``keys``."""
    for at in range(0, len(keys), KEY):
        hashed = xxh3_64_intdigest(keys[at : at + KEY])
        words[hashed >> 45] |= MASKS[hashed & 0x3FF] | MORE_MASKS[hashed >> 10 & 0x3FF]


def passing(words: "array[int]", keys: bytes) -> list[int]:
    """Which of ``keys`` the filter may know, by number."""
    found = []
    for number in range(len(keys) // KEY):
        hashed = xxh3_64_intdigest(keys[number * KEY : number * KEY + KEY])
        mask = MASKS[hashed & 0x3FF] | MORE_MASKS[hashed >> 10 & 0x3FF]
        if words[hashed >> 45] & mask == mask:
            found.append(number)
    return found


class Gathered:
    """Keys with the positions of their batches, in the order of batches."""

    __slots__ = ("_entries", "_positions", "count", "first", "last")

    def __init__(self) -> None:
        self._positions: dict[bytes, int] = {}
        self._entries = [bytearray() for _ in range(BUCKETS)]
        self.first = self.last = self.count = 0

    def add(self, position: int, keys: bytes) -> None:
        """Gather the keys of the batch at ``position``, which is after all others."""
        self.first = self.first or position
        self.last = position
        self.count += len(keys) // KEY
        tail = position.to_bytes(ENTRY - KEY, "little")
        positions, entries = self._positions, self._entries
        for at in range(0, len(keys), KEY):
            key = keys[at : at + KEY]
            positions[key] = position
            entries[bucket_of(key)] += key + tail

    def newest(self, keys: bytes) -> list[int]:
        """The newest position of each of ``keys``, 0 if there is none."""
        positions = self._positions
        return [positions.get(keys[at : at + KEY], 0) for at in range(0, len(keys), KEY)]

    def entries(self, bucket: int) -> bytes:
        """The entries of a bucket, in the order of batches."""
        return bytes(self._entries[bucket])
