"""Keys of the index by subject: what they are, and that both cores make the same of them."""

import os
import subprocess
import sys
from array import array
from collections.abc import Iterator
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from itertools import islice, pairwise
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.log import keys as plain

KEYS = st.lists(st.binary(min_size=16, max_size=16), max_size=60)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def cores() -> list[ModuleType]:
    if find_spec("forestall.log.typed") is None:
        return [plain]
    return [plain, import_module("forestall.log.typed")]


def only_typed() -> Any:
    return pytest.importorskip("forestall.log.typed")


def words() -> "array[int]":
    return array("Q", bytes(8 * plain.WORDS))


@pytest.mark.parametrize("core", cores())
def test_a_key_is_half_a_hash_of_the_subject_and_half_of_the_identity(core: ModuleType) -> None:
    halves = [
        blake2b(text.encode(), digest_size=8, person=person).digest()
        for text, person in (("p-1", b"subject"), ("/s\x00ü", b"identity"))
    ]
    assert core.keys_of([("p-1", "/s\x00ü")]) == b"".join(halves)
    assert core.keys_of([]) == b""
    assert plain.subject_hash("p-1") == halves[0]


@pytest.mark.parametrize("size", [0, 1, 63, 64, 127, 128, 129, 255, 256, 257, 700])
def test_texts_of_every_length_have_the_same_key_in_both_cores(size: int) -> None:
    pairs = [("x" * size, "é" * size), ("a\x00" * size, "b" * size)]
    assert only_typed().keys_of(pairs) == plain.keys_of(pairs)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=20))
def test_any_texts_have_the_same_keys_in_both_cores(pairs: list[tuple[str, str]]) -> None:
    assert only_typed().keys_of(pairs) == plain.keys_of(pairs)


@pytest.mark.parametrize("core", cores())
def test_what_is_no_text_has_no_key(core: ModuleType) -> None:
    for pairs in ([("\ud800", "x")], [("x", "\ud800")]):
        with pytest.raises(UnicodeEncodeError):
            core.keys_of(pairs)
    with pytest.raises(ValueError, match=r"expected 2|a pair"):
        core.keys_of([("alone",)])


@pytest.mark.parametrize("core", cores())
def test_a_filter_lets_pass_what_it_knows_and_hardly_anything_else(core: ModuleType) -> None:
    known, other = (_hashes(name, 50_000) for name in ("known", "other"))
    filter_ = words()
    core.note(filter_, known)
    assert core.passing(filter_, known) == list(range(50_000))
    assert len(core.passing(filter_, other)) < 50
    assert core.passing(words(), known) == []


@settings(max_examples=30)
@given(KEYS, KEYS)
def test_both_cores_note_the_same_bits(known: list[bytes], asked: list[bytes]) -> None:
    typed, ours, theirs = only_typed(), words(), words()
    plain.note(ours, b"".join(known))
    typed.note(theirs, b"".join(known))
    assert ours == theirs
    both = b"".join(known[:5] + asked)
    assert plain.passing(ours, both) == typed.passing(ours, both)


@pytest.mark.parametrize("core", cores())
def test_the_newest_batch_of_a_key_counts(core: ModuleType) -> None:
    gathered = core.Gathered()
    assert (gathered.count, gathered.first, gathered.last) == (0, 0, 0)
    one, two, three = (bytes([n]) * 16 for n in range(3))
    gathered.add(4, one + two)
    gathered.add(7, one + one)
    assert gathered.newest(three + two + one) == [0, 4, 7]
    assert (gathered.count, gathered.first, gathered.last) == (4, 4, 7)


@pytest.mark.parametrize("core", cores())
def test_entries_come_by_bucket_in_the_order_of_batches(core: ModuleType) -> None:
    gathered = core.Gathered()
    here, there = b"\x01\x02" + bytes(14), b"\x01\x03" + bytes(14)
    gathered.add(1, here + there)
    gathered.add(2, here)
    tails = [position.to_bytes(5, "little") for position in (1, 2)]
    assert gathered.entries(plain.bucket_of(here)) == here + tails[0] + here + tails[1]
    assert gathered.entries(plain.bucket_of(there)) == there + tails[0]
    assert gathered.entries(0) == b""
    gathered.add(3, there)
    assert len(gathered.entries(plain.bucket_of(there))) == 2 * plain.ENTRY


@given(st.lists(KEYS, max_size=12), KEYS)
def test_both_cores_gather_the_same(batches: list[list[bytes]], asked: list[bytes]) -> None:
    ours, theirs = plain.Gathered(), only_typed().Gathered()
    for position, keys in enumerate(batches, 2**33):
        again = keys + keys[:3] + [key for former in batches[:1] for key in former]
        ours.add(position, b"".join(again))
        theirs.add(position, b"".join(again))
        question = b"".join(again + asked)
        assert ours.newest(question) == theirs.newest(question)
    assert (ours.count, ours.first, ours.last) == (theirs.count, theirs.first, theirs.last)
    for bucket in range(plain.BUCKETS):
        assert ours.entries(bucket) == theirs.entries(bucket)


def test_the_table_grows_and_forgets_nothing() -> None:
    ours, theirs = plain.Gathered(), only_typed().Gathered()
    keys = _hashes("many", 30_000)
    parts = pairwise(range(0, len(keys) + 1, 16 * 500))
    for position, (start, end) in enumerate(parts, 1):
        ours.add(position, keys[start:end])
        theirs.add(position, keys[start:end])
    assert theirs.newest(keys) == ours.newest(keys)
    assert theirs.newest(_hashes("others", 1_000)) == [0] * 1_000


@pytest.mark.parametrize("bucket", [-1, plain.BUCKETS])
def test_there_is_no_other_bucket(bucket: int) -> None:
    with pytest.raises(IndexError):
        only_typed().Gathered().entries(bucket)


def test_python_alone_is_used_where_it_is_asked_for() -> None:
    only_typed()
    shown = [
        subprocess.run(
            [sys.executable, "-c", "from forestall.log.core import CORE; print(CORE)"],
            env={**os.environ, "FORESTALL_PURE": pure},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for pure in ("1", "")
    ]
    assert shown == ["python", "typed"]


def _hashes(name: str, count: int) -> bytes:
    def numbers() -> Iterator[bytes]:
        number = 0
        while True:
            yield blake2b(f"{name}{number}".encode(), digest_size=16).digest()
            number += 1

    return b"".join(islice(numbers(), count))
