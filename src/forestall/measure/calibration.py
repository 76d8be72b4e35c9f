"""How good probabilities are: do they part the cases, and do they mean what they say?

* AUC: the chance that a case with the outcome has the higher probability (Hanley and McNeil, 1982);
  one half is a coin.
* Brier score: the mean squared distance of the probability from what happened (Brier, 1950).
* Expected calibration error: the mean distance, over ten groups of about equal size, between the
  mean probability and how often the outcome came (Naeini, Cooper and Hauskrecht, 2015). Chance
  alone makes it larger than 0.

Intervals are 95 % percentile intervals of the Poisson bootstrap over subjects
(``measure.statistics``), for the decisions of one subject hang together. All are compared within
the same resamples.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from forestall.measure.statistics import LEVEL, RESAMPLES, Estimate

GROUPS: Final = 10

Numbers = NDArray[np.float64]


class Score(msgspec.Struct, frozen=True):
    """How one way of telling did; ``gain`` is by how much its Brier score beats that of another,
    the constant unless said otherwise."""

    auc: Estimate
    brier: Estimate
    calibration_error: Estimate
    gain: Estimate


class Group(msgspec.Struct, frozen=True):
    """Of ``decisions`` with a probability from ``low`` to ``high``: its mean, ``said``, and the
    share that the outcome followed, ``happened``."""

    low: float
    high: float
    decisions: int
    said: float
    happened: float


class Sample(msgspec.Struct, frozen=True):
    """How many decisions of how many subjects, how many with the outcome, and from when until when
    (log time, microseconds)."""

    decisions: int
    subjects: int
    outcomes: int
    since: int
    until: int


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """How a model did on decisions that came after everything that it learned from.

    It ``passed`` where nothing speaks against using it; ``why`` says what does. ``noise`` is the
    calibration error that a perfectly calibrated model would show on so many decisions, on average.
    ``left_out`` counts decisions that were no examples, by reason; ``learned_until`` is a log time.
    """

    passed: bool
    why: tuple[str, ...]
    among: str
    trained: Sample
    calibrated: Sample
    tested: Sample
    left_out: dict[str, int]
    model: Score
    constant: Score
    logistic: Score
    noise: float
    groups: tuple[Group, ...]
    calibration: str
    learned_until: int
    seed: int
    resamples: int


def scores(
    said: Mapping[str, Sequence[float]],
    happened: Sequence[bool],
    subjects: Sequence[str],
    against: Sequence[float],
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Score]:
    """The score of each way of telling, by name, on the same decisions.

    ``said`` holds a probability for each decision, and so does ``against``, which gains are measured
    against. At least one decision is needed.
    """
    truth = np.asarray(happened, dtype=float)
    ways = [_Way(np.asarray(one, dtype=float), truth) for one in said.values()]
    reference = (np.asarray(against, dtype=float) - truth) ** 2
    members = np.unique(np.asarray(subjects), return_inverse=True)[1]
    chance = np.random.default_rng(seed)
    rows = []
    for _ in range(resamples):
        weights = chance.poisson(1.0, int(members.max()) + 1).astype(float)[members]
        if weights.sum() > 0:
            rows.append([one.measure(weights, reference) for one in ways])
    table = np.asarray(rows).reshape(-1, len(ways), 4)
    ones = np.ones(len(truth))
    return {
        name: Score(*map(_estimate, way.measure(ones, reference), table[:, index].T))
        for index, (name, way) in enumerate(zip(said, ways, strict=True))
    }


class _Way:
    """One way of telling, made ready to be measured under many weightings."""

    def __init__(self, said: Numbers, truth: Numbers) -> None:
        self._said, self._truth = said, truth
        self._missed = (said - truth) ** 2
        self._ranks = np.unique(said, return_inverse=True)[1]
        self._groups = grouped(said)

    def measure(self, weights: Numbers, reference: Numbers) -> tuple[float, float, float, float]:
        """AUC, Brier score, calibration error and gain."""
        whole = weights.sum()
        brier = float(weights @ self._missed / whole)
        gain = float(weights @ reference / whole) - brier
        return self._auc(weights), brier, self._error(weights, whole), gain

    def _auc(self, weights: Numbers) -> float:
        yes = np.bincount(self._ranks, weights=weights * self._truth)
        no = np.bincount(self._ranks, weights=weights * (1 - self._truth))
        pairs = yes.sum() * no.sum()
        return float(yes @ (np.cumsum(no) - no / 2) / pairs) if pairs else float("nan")

    def _error(self, weights: Numbers, whole: float) -> float:
        apart = np.bincount(self._groups, weights=weights * (self._said - self._truth))
        return float(np.abs(apart).sum() / whole)


def grouped(said: Numbers) -> NDArray[np.int64]:
    """The number of each decision's group: ten of about equal size, equal probabilities together."""
    edges = np.unique(np.quantile(said, np.arange(1, GROUPS) / GROUPS))
    return np.searchsorted(edges, said, side="left")


def groups(said: Sequence[float], happened: Sequence[bool]) -> tuple[Group, ...]:
    """What a reliability plot shows: the groups of the calibration error, ascending."""
    told, truth = np.asarray(said, dtype=float), np.asarray(happened, dtype=float)
    numbers = grouped(told)
    return tuple(
        Group(
            float(told[inside].min()),
            float(told[inside].max()),
            int(inside.sum()),
            float(told[inside].mean()),
            float(truth[inside].mean()),
        )
        for inside in (numbers == number for number in np.unique(numbers))
    )


def noise(said: Sequence[float], seed: int, rounds: int = 200) -> float:
    """The mean calibration error if every probability were right."""
    told = np.asarray(said, dtype=float)
    chance = np.random.default_rng(seed)
    ones, found = np.ones(len(told)), []
    for _ in range(rounds):
        truth = (chance.random(len(told)) < told).astype(float)
        found.append(_Way(told, truth)._error(ones, len(told)))
    return float(np.mean(found))


def objections(score: Score) -> tuple[str, ...]:
    """What speaks against using a model with this score; nothing if it may be used.

    Both limits are the lower ends of two-sided 95 % intervals: data without signal passes each in
    about 1 of 40 cases, and both less often.
    """
    found = []
    if score.auc.low is None or score.auc.low <= 0.5:
        found.append(
            f"no signal: it cannot tell those who had the outcome from those who had not"
            f" (AUC {_told(score.auc)}; a coin has 0.5)"
        )
    if score.gain.low is None or score.gain.low <= 0:
        found.append(
            "no gain: saying the same of everybody is as good"
            f" (Brier score better by {_told(score.gain)})"
        )
    return tuple(found)


def _told(one: Estimate) -> str:
    if one.value is None:
        return "unknown"
    if one.low is None or one.high is None:
        return f"{one.value:.4f}"
    return f"{one.value:.4f}, {one.low:.4f} to {one.high:.4f}"


def _estimate(value: float, resampled: Numbers) -> Estimate:
    known = resampled[~np.isnan(resampled)]
    if np.isnan(value) or not len(known):
        return Estimate(None)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    if low == high:
        return Estimate(round(value, 6))
    return Estimate(round(value, 6), round(float(low), 6), round(float(high), 6))
