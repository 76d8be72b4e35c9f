"""Tests for what is watched: what they find, and how often they cry wolf."""

from math import inf, log, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.measure.surprise import (
    Wager,
    cells,
    homogeneous,
    rates_differ,
    spent,
    stability,
    surprising,
    unlike,
)

RUNS = 1_000
ALPHA = 0.05
CHANCE = 0.068
"""What 5 % comes to at most in 1,000 runs, but for one time in 200."""


def wager(cases: int, seed: int, *, shift: float = 0.0, slope: float = 1.0) -> Wager:
    """A model that says something between 0.02 and 0.98, and is off by so much in log-odds."""
    chance = np.random.default_rng(seed)
    odds = chance.uniform(-4, 4, cases)
    happened = chance.random(cases) < 1 / (1 + np.exp(-(slope * odds + shift)))
    found = Wager()
    for said, yes in zip(1 / (1 + np.exp(-odds)), happened, strict=True):
        found.take(float(said), bool(yes))
    return found


def test_a_true_model_is_hardly_ever_doubted_whenever_one_looks() -> None:
    """The peak counts, so this is a look after each of 200 cases."""
    doubted = sum(wager(200, seed).peak >= -log(ALPHA) for seed in range(RUNS))
    assert doubted / RUNS <= CHANCE


@pytest.mark.parametrize(
    ("shift", "slope"), [(1.0, 1.0), (-1.0, 1.0), (0.5, 1.0), (0.0, 0.4), (0.0, 2.5)]
)
def test_a_model_that_is_off_is_found_out(shift: float, slope: float) -> None:
    found = [wager(1_500, seed, shift=shift, slope=slope).peak >= -log(0.01) for seed in range(20)]
    assert sum(found) >= 19


def test_what_is_off_by_next_to_nothing_gathers_no_evidence() -> None:
    assert wager(20_000, seed=1, shift=0.05).peak < -log(0.01)


def test_evidence_before_the_least_number_of_cases_does_not_count() -> None:
    found = Wager()
    for _ in range(50):
        found.take(0.01, True, least=51)
    assert found.peak == 0.0
    assert found.evidence > 50
    found.take(0.01, True, least=51)
    assert found.peak > 50


@pytest.mark.parametrize(("said", "happened"), [(0.0, True), (1.0, False), (0.0, False)])
def test_certainty_is_weighed_like_near_certainty(said: float, happened: bool) -> None:
    found = Wager()
    found.take(said, happened)
    assert abs(found.evidence) < inf
    assert (found.evidence > 0) == (happened != bool(said))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=20))
def test_a_wager_takes_any_probability(cases: list[tuple[float, bool]]) -> None:
    found = Wager()
    for said, happened in cases:
        found.take(said, happened)
    assert found.count == len(cases)
    assert abs(found.evidence) < inf


def test_the_expected_e_value_of_the_next_case_is_one() -> None:
    """The martingale itself: p times the value after yes and 1 - p times that after no."""
    for said in (0.01, 0.2, 0.5, 0.97):
        values = []
        for happened in (True, False):
            one = Wager()
            one.take(said, happened)
            values.append(np.exp(one.evidence))
        assert said * values[0] + (1 - said) * values[1] == pytest.approx(1)


def test_parts_of_alpha_add_up_to_no_more_than_alpha() -> None:
    assert sum(spent(number, 0.05) for number in range(1, 100_000)) == pytest.approx(0.05, abs=1e-5)
    assert spent(1, 0.05) == 0.025


def test_nothing_is_picked_by_chance_more_often_than_stated() -> None:
    chance = np.random.default_rng(1)
    picked = sum(any(surprising(list(chance.random(30)), ALPHA)) for _ in range(RUNS))
    assert picked / RUNS <= CHANCE


def test_nothing_is_picked_by_chance_either_where_all_tests_say_the_same() -> None:
    chance = np.random.default_rng(2)
    picked = sum(any(surprising([float(chance.random())] * 30, ALPHA)) for _ in range(RUNS))
    assert picked / RUNS <= CHANCE


def test_what_is_plain_is_picked_and_the_rest_is_not() -> None:
    assert surprising([1e-9, 0.4, 1e-8, 0.9], ALPHA) == [True, False, True, False]
    assert surprising([0.0, 0.5], ALPHA) == [True, False]
    assert surprising([], ALPHA) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_smaller_p_values_are_picked_first(chances: list[float]) -> None:
    picked = surprising(chances, ALPHA)
    yes = [one for one, is_picked in zip(chances, picked, strict=True) if is_picked]
    no = [one for one, is_picked in zip(chances, picked, strict=True) if not is_picked]
    assert not yes or not no or max(yes) < min(no)
    assert all(one <= ALPHA for one in yes)


def test_samples_of_one_population_differ_no_more_often_than_stated() -> None:
    chance = np.random.default_rng(3)
    values = [chance.normal(size=(2, 250)) for _ in range(RUNS)]
    differ = sum(homogeneous(*cells(list(a), list(b), 10)) < ALPHA for a, b in values)
    assert 0.03 <= differ / RUNS <= CHANCE


def test_samples_of_different_populations_differ() -> None:
    chance = np.random.default_rng(3)
    counts = cells(list(chance.normal(size=500)), list(chance.normal(0.5, 1, size=500)), 10)
    assert homogeneous(*counts) < 1e-6
    assert stability(*counts) > 0.1


def test_the_stability_index_of_equal_samples_is_nothing() -> None:
    assert stability([10, 20, 30], [100, 200, 300]) == pytest.approx(0, abs=0.01)
    assert stability([50, 0], [0, 50]) > 1


def test_pearsons_test_is_the_one_of_the_textbook() -> None:
    """10 and 20 against 30 and 15: chi-square 8.036 with one degree of freedom."""
    assert homogeneous([10, 20], [30, 15]) == pytest.approx(0.00459, abs=1e-5)


def test_thin_cells_are_joined() -> None:
    assert homogeneous([100, 1, 1, 1], [100, 0, 0, 0]) > 0.1
    assert homogeneous([3], [4]) == 1.0
    assert homogeneous([1, 1], [1, 1]) == 1.0


def test_rates_differ_by_fishers_test() -> None:
    assert rates_differ((10, 100), (10, 100)) == pytest.approx(1)
    assert rates_differ((10, 100), (40, 100)) < 1e-5
    assert rates_differ((0, 5), (1, 5)) > 0.5


def test_one_more_count_like_the_others_is_a_surprise_no_more_often_than_stated() -> None:
    chance = np.random.default_rng(4)
    days = chance.poisson(50, size=(RUNS, 15))
    surprised = sum(unlike(list(day[1:]), day[0], 50) < ALPHA for day in days.astype(float))
    assert surprised / RUNS <= CHANCE


def test_one_more_count_is_judged_by_how_much_counts_vary() -> None:
    """With a spread of its own beyond Poisson's, as weekends have."""
    assert unlike([100, 200] * 7, 20, 150) > 0.01
    assert unlike([145, 155] * 7, 20, 150) < 1e-6
    assert unlike([5.0] * 7, 5, 0) == 1.0
    assert unlike([5.0] * 7, 6, 0) == 0.0


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ([1, 2, 2], [2, 3], ([1, 2, 0], [0, 1, 1])),
        (["a", "b"], ["a", "c"], ([1, 1, 0], [1, 0, 1])),
        ([None, 1], [1, 1], ([1, 1], [2, 0])),
        ([True, False], [True], ([1, 1], [1, 0])),
        ([nan, 1], [1], ([1, 1], [1, 0])),
        ([[1], {"a": 1}], [[1]], ([1, 1], [1, 0])),
        ([], [], ([], [])),
    ],
)
def test_any_value_finds_its_cell(
    first: list[object], second: list[object], found: tuple[list[int], list[int]]
) -> None:
    assert cells(first, second, 10) == found


def test_many_values_share_cells() -> None:
    numbers = cells(list(range(1_000)), list(range(1_000)), 10)
    assert numbers == ([101] + [100] * 8 + [99], [101] + [100] * 8 + [99])
    words = [f"w{number}" for number in range(100)]
    one, other = cells(words, words, 10)
    assert (len(one), sum(one), sum(other)) == (10, 100, 100)


def test_a_value_that_nearly_all_have_has_a_cell_of_its_own() -> None:
    assert cells([0] * 5 + [1] * 95, [1] * 100, 10) == ([5, 95], [0, 100])
