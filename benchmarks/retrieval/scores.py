"""How good rankings are, and how sure that is; pure.

Recall@k is the share of questions whose answer is among the first k; the mean reciprocal rank
(MRR) is the mean of 1 / rank, 0 where the answer is not found.
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

RESAMPLES = 10_000
SEED = 20_260
LEVEL = 95
"""Per cent of the resamples that an interval holds."""


class Score(msgspec.Struct, frozen=True):
    """A mean over questions with its interval of ``LEVEL`` per cent, by the bootstrap."""

    mean: float
    low: float
    high: float


class Quality(msgspec.Struct, frozen=True):
    """How well the answers were found."""

    recall_1: Score
    recall_5: Score
    mrr: Score


def quality(ranks: Sequence[int | None]) -> Quality:
    """Of the rank of each question's answer, counted from 1; none where it was not found."""
    return Quality(*(_score(gains) for gains in _gains(ranks)))


def difference(ranks: Sequence[int | None], others: Sequence[int | None]) -> Quality:
    """How much better ``ranks`` are than ``others`` for the same questions, question by question.

    Raises ``ValueError`` where there are not as many of both.
    """
    if len(ranks) != len(others):
        raise ValueError(f"{len(ranks)} ranks cannot be compared with {len(others)}")
    pairs = zip(_gains(ranks), _gains(others), strict=True)
    return Quality(*(_score(one - other) for one, other in pairs))


def _gains(ranks: Sequence[int | None]) -> list[Numbers]:
    gains: list[Callable[[int], float]] = [
        lambda rank: float(rank == 1),
        lambda rank: float(rank <= 5),
        lambda rank: 1 / rank,
    ]
    return [
        np.array([0.0 if rank is None else gain(rank) for rank in ranks], dtype=np.float64)
        for gain in gains
    ]


def _score(values: Numbers) -> Score:
    chance = np.random.default_rng(SEED)
    drawn = chance.integers(0, len(values), size=(RESAMPLES, len(values)), dtype=np.int32)
    low, high = np.percentile(values[drawn].mean(axis=1), [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return Score(*(round(float(one), 4) for one in (values.mean(), low, high)))
