"""Measures of probabilities: against their definitions, and against scikit-learn's own."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from forestall.measure.calibration import (
    GROUPS,
    Score,
    grouped,
    groups,
    noise,
    objections,
    scores,
)
from forestall.measure.statistics import Estimate

CHANCE = np.random.default_rng(7)
SAID = CHANCE.random(400).round(2)
HAPPENED = (CHANCE.random(400) < SAID).tolist()
SUBJECTS = [f"s{number % 90}" for number in range(400)]
HALF = [0.5] * 400


def _scores(
    said: dict[str, list[float]], against: list[float] = HALF, seed: int = 0
) -> dict[str, Score]:
    return scores(said, HAPPENED, SUBJECTS, against, seed, resamples=200)


def test_auc_and_brier_score_are_those_of_scikit_learn() -> None:
    score = _scores({"a": SAID.tolist()})["a"]
    assert score.auc.value == pytest.approx(roc_auc_score(HAPPENED, SAID), abs=1e-6)
    assert score.brier.value == pytest.approx(brier_score_loss(HAPPENED, SAID), abs=1e-6)


def test_intervals_hold_the_value_and_more() -> None:
    score = _scores({"a": SAID.tolist()})["a"]
    for one in (score.auc, score.brier, score.gain):
        assert one.value is not None
        assert one.low is not None
        assert one.high is not None
        assert one.low < one.value < one.high


def test_saying_the_same_of_everybody_is_a_coin() -> None:
    score = _scores({"a": HALF})["a"]
    assert score.auc == Estimate(0.5)
    assert score.brier == Estimate(0.25)
    assert score.gain == Estimate(0.0)


def test_the_gain_is_the_difference_of_brier_scores_on_the_same_resamples() -> None:
    said = SAID.tolist()
    both = _scores({"a": said, "b": HALF})
    a, b, gain = both["a"].brier.value, both["b"].brier.value, both["a"].gain.value
    assert a is not None
    assert b is not None
    assert gain == pytest.approx(b - a, abs=2e-6)
    assert _scores({"a": said}, against=said)["a"].gain == Estimate(0.0)


def test_the_same_seed_gives_the_same_intervals() -> None:
    said = {"a": SAID.tolist()}
    assert _scores(said) == _scores(said)
    assert _scores(said) != _scores(said, seed=1)


def test_subjects_who_repeat_themselves_widen_the_interval() -> None:
    said, happened = SAID.tolist()[:100] * 4, HAPPENED[:100] * 4
    apart = [str(number) for number in range(400)]
    together = [str(number % 100) for number in range(400)]
    wide, narrow = (
        scores({"a": said}, happened, who, HALF, 0, resamples=300)["a"].auc
        for who in (together, apart)
    )
    assert wide.value == narrow.value
    assert wide.high is not None
    assert wide.low is not None
    assert narrow.high is not None
    assert narrow.low is not None
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_one_kind_of_case_alone_has_no_auc() -> None:
    score = scores({"a": [0.2, 0.4]}, [True, True], ["x", "y"], [0.5, 0.5], 0, resamples=20)["a"]
    assert score.auc == Estimate(None)
    assert score.brier.value == pytest.approx((0.64 + 0.36) / 2)


def test_the_calibration_error_is_the_mean_distance_over_groups() -> None:
    said = [0.1] * 50 + [0.9] * 50
    happened = [True] * 10 + [False] * 40 + [True] * 40 + [False] * 10
    score = scores({"a": said}, happened, [str(one) for one in range(100)], said, 0)["a"]
    assert score.calibration_error.value == pytest.approx(0.1)


def test_groups_are_of_about_equal_size_and_keep_equal_probabilities_together() -> None:
    numbers = grouped(np.arange(1_000) / 1_000)
    assert np.bincount(numbers).tolist() == [100] * GROUPS
    assert len(set(grouped(np.array([0.3] * 7 + [0.6] * 93)).tolist())) <= 2


def test_the_reliability_plot_has_every_decision_once() -> None:
    found = groups(SAID.tolist(), HAPPENED)
    assert sum(one.decisions for one in found) == 400
    assert sum(one.decisions * one.happened for one in found) == pytest.approx(sum(HAPPENED))
    assert all(one.low <= one.said <= one.high for one in found)
    assert all(one.high < other.low for one, other in pairwise(found))


def test_chance_alone_makes_a_calibration_error_which_more_decisions_shrink() -> None:
    few, many = noise([0.3, 0.6] * 50, 0), noise([0.3, 0.6] * 5_000, 0)
    assert 0.01 < few < 0.1
    assert many < few / 5
    assert noise([0.3, 0.6] * 50, 0) == few


GOOD, BAD = Estimate(0.7, 0.6, 0.8), Estimate(0.52, 0.45, 0.6)
GAIN, NONE = Estimate(0.01, 0.001, 0.02), Estimate(0.01, -0.001, 0.02)


@pytest.mark.parametrize(
    ("auc", "gain", "said"),
    [
        (GOOD, GAIN, []),
        (BAD, GAIN, ["no signal"]),
        (GOOD, NONE, ["no gain"]),
        (BAD, NONE, ["no signal", "no gain"]),
        (Estimate(0.5), Estimate(0.0), ["no signal", "no gain"]),
        (Estimate(None), Estimate(None), ["no signal", "no gain"]),
        (Estimate(0.7, 0.5, 0.8), GAIN, ["no signal"]),
    ],
)
def test_what_may_be_by_chance_speaks_against_a_model(
    auc: Estimate, gain: Estimate, said: list[str]
) -> None:
    found = objections(Score(auc, GOOD, GOOD, gain))
    assert [one.split(":")[0] for one in found] == said
