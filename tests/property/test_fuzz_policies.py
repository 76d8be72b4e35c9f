"""The kept corpus of the fuzzer, replayed and mutated: nothing but documented errors comes out."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS, judge

CORPUS = sorted((Path(__file__).parents[1] / "fuzz" / "corpus").iterdir())
SEEDS = [file.read_bytes() for file in CORPUS]
PIECES = st.sampled_from(
    [b"&&", b"||", b"null", b"event.data.n", b"{", b"}", b"[", b"]", b": ", b"\n", b"'", b'"', b"\xff",
     b".map(x, ", b".matches('a{9}')", b" in ", b"not: ", b"9" * 30, b"\x00", b"\xc2\x88", b"forestall."]
)  # fmt: skip


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """A seed with pieces cut out, put in, or taken from another."""
    raw, other = draw(st.sampled_from(SEEDS)), draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        at, start = draw(st.integers(1, len(raw))), draw(st.integers(1, len(other)))
        piece = draw(st.one_of(PIECES, st.binary(max_size=3), st.just(other[start : start + 40])))
        raw = raw[:at] + piece + raw[at + draw(st.integers(0, 20)) :]
    return raw


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.name)
def test_the_corpus(file: Path) -> None:
    judge(file.read_bytes())


@settings(max_examples=60, deadline=None)
@given(mutants())
def test_mutants_of_the_corpus(raw: bytes) -> None:
    judge(raw)


@pytest.mark.soak
@settings(max_examples=50_000, deadline=None)
@given(mutants())
def test_many_mutants_of_the_corpus(raw: bytes) -> None:
    judge(raw)


def test_every_target_has_a_seed() -> None:
    assert {chr(seed[0]) for seed in SEEDS} >= set(TARGETS)
