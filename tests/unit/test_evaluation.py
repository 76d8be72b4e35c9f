"""Offline evaluation: the published figures, known truths, and when it refuses."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import bandit
from forestall.measure.evaluation import (
    MIN_EFFECTIVE,
    Evaluated,
    Floats,
    InvalidRounds,
    Refused,
    Rounds,
    crossfit,
    evaluate,
    logistic,
)
from forestall.measure.statistics import Estimate

RUNS = 300


@cache
def published() -> Rounds:
    return bandit.rounds()


def test_it_gives_the_published_figures_of_the_open_bandit_data() -> None:
    found = evaluate(published(), seed=1)
    assert isinstance(found, Evaluated)
    assert found.direct is not None
    assert found.doubly_robust is not None
    figures = [found.ips.value, found.direct.value, found.doubly_robust.value]
    assert [round(one or 0, 6) for one in figures] == [0.004553, 0.003545, 0.004727]
    assert found.rounds == found.units == 10_000
    assert found.logged.value == pytest.approx(0.0038)


def test_the_data_are_fetched_by_hash_and_from_no_address_of_ours() -> None:
    pins = (Path(__file__).parents[2] / "constraints" / "data.txt").read_text()
    wanted = [line for line in pins.splitlines() if line and not line.startswith("#")]
    assert all(
        re.fullmatch(r"[a-z0-9-]+==[\w.]+ --hash=sha256:[0-9a-f]{64}", one) for one in wanted
    )
    assert any(one.startswith("obp==") for one in wanted)
    assert "://" not in pins


def test_its_intervals_on_the_open_bandit_data_are_near_the_published_ones() -> None:
    found = evaluate(published(), seed=1, resamples=3_000)
    assert isinstance(found, Evaluated)
    assert found.ips.low == pytest.approx(0.001531, rel=0.1)
    assert found.ips.high == pytest.approx(0.009254, rel=0.1)
    assert found.snips.value == pytest.approx(0.004776, abs=1e-6)
    assert found.effective == pytest.approx(1639.5, abs=0.1)


def test_the_same_seed_gives_the_same_intervals() -> None:
    small = coin(3_000, 0.3, seed=5)
    assert evaluate(small, seed=7, resamples=200) == evaluate(small, seed=7, resamples=200)
    assert evaluate(small, seed=7, resamples=200) != evaluate(small, seed=8, resamples=200)


def coin(count: int, share: float, seed: int, target: float = 1.0, **more: Any) -> Rounds:
    """Rounds where action 1 is taken with probability ``share``; the reward's chance is 0.5 plus
    0.2 for action 1, by a context that shifts it by up to 0.1 either way."""
    chance = np.random.default_rng(seed)
    context = chance.uniform(-1, 1, count)
    taken = (chance.random(count) < share).astype(np.int64)
    reward = (chance.random(count) < 0.5 + 0.2 * taken + 0.1 * context).astype(float)
    fold = chance.integers(0, 2, count)
    return Rounds(
        taken=taken,
        reward=reward,
        behaviour=np.tile([1 - share, share], (count, 1)),
        target=np.tile([1 - target, target], (count, 1)),
        predicted=crossfit(
            lambda rows, actions: np.column_stack([context[rows], actions]),
            taken,
            reward,
            2,
            fold,
        ),
        **more,
    )


@pytest.mark.parametrize("name", ["ips", "snips", "doubly_robust"])
def test_intervals_cover_a_known_truth(name: str) -> None:
    assert 0.91 <= np.mean([covers(getattr(one, name), 0.7) for one in simulated()]) <= 0.985


def test_the_direct_method_claims_no_interval() -> None:
    assert all(one.direct == Estimate(one.direct.value) for one in simulated() if one.direct)


@cache
def simulated() -> list[Evaluated]:
    found = [evaluate(coin(500, 0.5, seed), seed, 200) for seed in range(RUNS)]
    assert all(isinstance(one, Evaluated) for one in found)
    return [one for one in found if isinstance(one, Evaluated)]


def covers(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


def test_a_reward_model_and_self_normalising_make_intervals_narrower() -> None:
    def width(name: str) -> float:
        found = [getattr(one, name) for one in simulated()]
        return float(np.mean([one.high - one.low for one in found]))

    assert width("doubly_robust") < width("ips") * 0.75
    assert width("snips") < width("ips") * 0.75


def test_evaluating_the_logged_policy_gives_what_was_logged() -> None:
    rounds = coin(2_000, 0.4, seed=3, target=0.4)
    found = evaluate(rounds, seed=1)
    assert isinstance(found, Evaluated)
    assert found.ips == found.snips == found.logged
    assert found.difference.value == pytest.approx(0, abs=0.005)
    assert found.effective == pytest.approx(2_000)


def test_doubly_robust_stands_when_the_model_is_wrong() -> None:
    rounds = replace(coin(20_000, 0.5, seed=4), predicted=np.full((20_000, 2), 0.1))
    found = evaluate(rounds, seed=1, resamples=200)
    assert isinstance(found, Evaluated)
    assert found.direct is not None
    assert found.doubly_robust is not None
    assert found.direct.value == pytest.approx(0.1)
    assert found.doubly_robust.value == pytest.approx(0.7, abs=0.02)


def test_the_difference_from_the_log_covers_a_known_truth() -> None:
    """Always rather than every other time adds half of 0.2."""
    assert 0.91 <= np.mean([covers(one.difference, 0.1) for one in simulated()]) <= 0.985


def test_without_a_model_only_weights_speak() -> None:
    found = evaluate(replace(coin(2_000, 0.5, seed=4), predicted=None), seed=1)
    assert isinstance(found, Evaluated)
    assert found.direct is None
    assert found.doubly_robust is None
    assert found.snips.value is not None
    assert found.logged.value is not None
    assert found.difference.value == pytest.approx(found.snips.value - found.logged.value)


def test_rounds_of_one_customer_count_as_one() -> None:
    alone = coin(2_000, 0.5, seed=6)
    together = Rounds(
        taken=np.repeat(alone.taken, 4),
        reward=np.repeat(alone.reward, 4),
        behaviour=np.repeat(alone.behaviour, 4, axis=0),
        target=np.repeat(alone.target, 4, axis=0),
        unit=np.repeat(np.arange(2_000), 4),
    )
    one, four = evaluate(alone, 1), evaluate(together, 1)
    assert isinstance(one, Evaluated)
    assert isinstance(four, Evaluated)
    assert four.units == one.units == 2_000
    assert four.ips.value == pytest.approx(one.ips.value)
    assert four.ips.low == pytest.approx(one.ips.low, abs=0.008)


def refusal(rounds: Rounds) -> Refused:
    found = evaluate(rounds, seed=1)
    assert isinstance(found, Refused), found
    return found


def test_it_refuses_where_the_logged_policy_had_no_choice() -> None:
    rounds = coin(1_000, 0.0, seed=1)
    found = refusal(rounds)
    assert found.code == "no-overlap"
    assert "100.0%" in found.message
    assert "holdout" in found.advice


def test_it_refuses_where_only_a_part_was_never_tried() -> None:
    rounds = coin(1_000, 0.5, seed=1, target=0.5)
    behaviour, target = rounds.behaviour.copy(), rounds.target.copy()
    behaviour[rounds.taken == 0] = [1.0, 0.0]
    found = refusal(replace(rounds, behaviour=behaviour, target=target))
    assert found.code == "no-overlap"


def test_it_refuses_tiny_propensities_even_where_none_was_drawn() -> None:
    """One in 10,000 is never seen in 1,000 rounds, so the weights alone would look fine."""
    rounds = coin(1_000, 0.0001, seed=2, target=0.5)
    assert not rounds.taken.any()
    found = refusal(rounds)
    assert found.code == "little-overlap"
    assert found.needed is not None
    assert found.needed > 100_000


def test_what_it_says_is_needed_is_enough() -> None:
    found = refusal(coin(1_000, 0.05, seed=1))
    assert found.code == "little-overlap"
    assert found.needed == 2_000
    assert isinstance(evaluate(coin(found.needed * 11 // 10, 0.05, seed=2), 1), Evaluated)


def test_it_refuses_propensities_that_are_not_what_was_done() -> None:
    rounds = coin(5_000, 0.6, seed=1)
    found = refusal(replace(rounds, behaviour=np.tile([0.5, 0.5], (5_000, 1))))
    assert found.code == "wrong-propensities"
    assert "standard errors" in found.message


def test_true_propensities_are_believed() -> None:
    found = [evaluate(coin(1_000, 0.3, seed), 1, 10) for seed in range(200)]
    assert all(isinstance(one, Evaluated) for one in found)


def test_it_refuses_when_hardly_anything_followed() -> None:
    rounds = coin(1_000, 0.5, seed=1)
    reward = np.zeros(1_000)
    reward[:9] = 1
    found = refusal(replace(rounds, reward=reward))
    assert found.code == "few-outcomes"


def test_no_single_round_carries_more_than_a_tenth_of_the_weight() -> None:
    chance = np.random.default_rng(2)
    for share in (0.02, 0.1, 0.4):
        found = evaluate(coin(6_000, share, int(chance.integers(1_000))), 1, 10)
        assert isinstance(found, Evaluated)
        assert found.largest_weight <= found.rounds / MIN_EFFECTIVE


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reward": np.zeros(3)}, "reward has the shape"),
        ({"reward": np.full(4, np.nan)}, "not a number"),
        ({"behaviour": np.full((4, 2), 0.6)}, "behaviour: each row"),
        ({"target": np.full((4, 2), -0.5)}, "target: each row"),
        ({"target": np.full((4, 3), 1 / 3)}, "as many rows"),
        ({"taken": np.array([0, 1, 2, 0])}, "outside 0 to 1"),
        ({"behaviour": np.tile([0.0, 1.0], (4, 1))}, "logged probability is 0"),
        ({"predicted": np.zeros((4, 3))}, "predicted has the shape"),
        ({"unit": np.arange(5)}, "unit has the shape"),
        ({"taken": np.zeros(0, dtype=np.int64)}, "no rounds"),
    ],
)
def test_rounds_that_do_not_fit_together_are_an_error(change: dict[str, Any], said: str) -> None:
    rounds = Rounds(
        taken=np.zeros(4, dtype=np.int64),
        reward=np.zeros(4),
        behaviour=np.full((4, 2), 0.5),
        target=np.full((4, 2), 0.5),
    )
    with pytest.raises(InvalidRounds, match=said):
        evaluate(replace(rounds, **change), seed=1)


def test_a_fold_is_predicted_by_models_that_did_not_see_it() -> None:
    taken = np.zeros(40, dtype=np.int64)
    reward: Floats = np.repeat(np.array([1.0, 0.0]), 20)
    fold = np.repeat([0, 1], 20)
    found = crossfit(lambda rows, _: np.zeros((len(rows), 1)), taken, reward, 1, fold)
    assert found[:20].max() < 0.01
    assert found[20:].min() > 0.99


def test_each_stratum_has_its_own_model() -> None:
    taken = np.zeros(400, dtype=np.int64)
    stratum = np.arange(400) % 2
    reward = np.zeros(400)
    reward[1::4] = 1
    found = crossfit(
        lambda rows, _: np.zeros((len(rows), 1)), taken, reward, 1, np.arange(400) // 200, stratum
    )
    assert found[::2].max() < 0.01
    assert found[1::2] == pytest.approx(np.full((200, 1), 0.5), abs=0.01)


def test_logistic_regression_finds_the_optimum() -> None:
    chance = np.random.default_rng(1)
    matrix = chance.normal(size=(500, 3))
    outcome = (chance.random(500) < 1 / (1 + np.exp(-matrix @ [1.0, -2.0, 0.0]))).astype(float)
    found = logistic(matrix, outcome)

    def gradient(at: Floats) -> Floats:
        chances = 1 / (1 + np.exp(-(at[0] + matrix @ at[1:])))
        return np.append((chances - outcome).sum(), matrix.T @ (chances - outcome) + at[1:])

    assert np.abs(gradient(found)).max() < 1e-5
    assert found[1:] == pytest.approx([1.0, -2.0, 0.0], abs=0.4)


def test_logistic_regression_counts_rows_as_often_as_told() -> None:
    matrix = np.array([[0.0], [1.0], [1.0]])
    outcome = np.array([0.0, 1.0, 0.0])
    times = np.array([3.0, 4.0, 1.0])
    repeated = np.repeat(np.arange(3), [3, 4, 1])
    assert logistic(matrix, outcome, times) == pytest.approx(
        logistic(matrix[repeated], outcome[repeated]), abs=1e-6
    )
