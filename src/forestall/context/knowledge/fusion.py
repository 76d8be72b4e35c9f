"""Reciprocal rank fusion: several rankings of the same things made one; pure.

Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
Learning Methods", SIGIR 2009: a thing scores the sum of ``1 / (k + rank)`` over the rankings that
have it, ranks counted from 1. Scores of different kinds need not compare, only their order counts.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

K = 60
"""The paper's constant: the greater, the less a first place counts against a second."""

T = TypeVar("T", bound=Hashable)


def fuse(rankings: Iterable[Sequence[T]], k: int = K) -> list[tuple[T, float]]:
    """All things of ``rankings`` (each best first, without repetition) with their scores, best first.

    Of things that score the same, that comes first which has the better best rank; then that
    which stands in the earlier ranking.
    """
    scores: dict[T, float] = {}
    best: dict[T, int] = {}
    for ranking in rankings:
        for rank, thing in enumerate(ranking, start=1):
            scores[thing] = scores.get(thing, 0.0) + 1 / (k + rank)
            best[thing] = min(rank, best.get(thing, rank))
    return sorted(scores.items(), key=lambda scored: (-scored[1], best[scored[0]]))
