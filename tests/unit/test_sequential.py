"""Confidence sequences: exact where it can be reckoned, monotone, and right at every look."""

from itertools import product
from math import exp, inf, log, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.measure.sequential import (
    BETS,
    Arms,
    difference,
    exceeds,
    gap,
    log_capital,
    lower,
    observations_wanted,
    upper,
    weighted,
)

TALLIES = st.dictionaries(
    st.floats(0, 1, allow_subnormal=False), st.integers(1, 500), min_size=1, max_size=6
)


def test_capital_is_the_average_over_bets_of_what_each_observation_gains() -> None:
    tally, mean = {0.0: 3, 1.0: 2}, 0.25
    wanted = sum((1 - c) ** 3 * (1 + c * 0.75 / 0.25) ** 2 for c in BETS) / len(BETS)
    assert exp(log_capital(tally, mean, 0.0)) == pytest.approx(wanted)
    assert log_capital({}, 0.5, 0.0) == pytest.approx(0.0)


@pytest.mark.parametrize("mean", [0.02, 0.3, 0.8])
def test_nobody_can_expect_to_win_where_the_mean_is_what_is_bet_against(mean: float) -> None:
    """Over all outcomes of six subjects the expected capital is exactly 1."""
    expected = 0.0
    for outcomes in product((0, 1), repeat=6):
        yes = sum(outcomes)
        chance = mean**yes * (1 - mean) ** (6 - yes)
        expected += chance * exp(log_capital({1.0: yes, 0.0: 6 - yes}, mean, 0.0))
    assert expected == pytest.approx(1.0)


@pytest.mark.parametrize(("share", "rate"), [(0.1, 0.03), (0.5, 0.4), (0.01, 0.9)])
def test_nor_where_both_arms_are_alike(share: float, rate: float) -> None:
    """The same for the weighted difference, over arm and outcome of three subjects."""
    chances = {
        (1, 0): share * rate,
        (0, 1): (1 - share) * rate,
        (0, 0): 1 - rate,
    }
    expected = 0.0
    for people in product(chances, repeat=3):
        arms = Arms(3, sum(one[0] for one in people), sum(one[1] for one in people))
        chance = prod(chances[one] for one in people)
        expected += chance * exp(log_capital(weighted(arms, share), 0.0, -1 / (1 - share)))
    assert expected == pytest.approx(1.0)


@given(TALLIES, st.floats(0.001, 0.2))
def test_bounds_hold_the_mean_of_what_was_seen_and_lie_in_the_range(
    tally: dict[float, int], alpha: float
) -> None:
    mean = sum(value * count for value, count in tally.items()) / sum(tally.values())
    low, high = lower(tally, 0.0, alpha), upper(tally, 1.0, alpha)
    assert 0.0 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1.0
    assert lower(tally, 0.0, alpha / 10) <= low + 1e-9


@given(TALLIES)
def test_the_bound_is_where_the_capital_reaches_its_target(tally: dict[float, int]) -> None:
    low = lower(tally, 0.0, 0.05)
    if low > 1e-6:
        assert log_capital(tally, low, 0.0) >= log(20) - 1e-9
        assert log_capital(tally, low + 1e-6, 0.0) < log(20) + 0.05


def test_nothing_seen_says_nothing() -> None:
    assert lower({}, 0.0, 0.05) == 0.0
    assert upper({}, 1.0, 0.05) == 1.0
    nobody = difference(Arms(0, 0, 0), Arms(0, 0, 0), 0.1, (0.01, 0.01))
    assert (nobody.low, nobody.high) == (-1.0, 1.0)


def test_bounds_close_in_as_more_is_seen() -> None:
    """Also at rates of a few in a hundred, where nothing is near a normal distribution."""
    widths = []
    for scale in (1, 10, 100):
        arms = Arms(1_000 * scale, 3 * scale, 27 * scale)
        found = difference(arms, arms, 0.1, (0.01, 0.01))
        assert found.low < 0.0 < found.high
        widths.append(found.high - found.low)
    assert widths[0] > 2.5 * widths[1] > 6 * widths[2]


def test_many_without_any_outcome_bound_it_from_above() -> None:
    quiet = Arms(50_000, 0, 0)
    assert difference(quiet, quiet, 0.1, (0.01, 0.01)).high < 0.002


def test_exceeding_is_what_the_lower_bound_says() -> None:
    for canary in range(20, 61, 4):
        arms = Arms(10_000, canary, 270)
        low = difference(arms, arms, 0.1, (0.01, 0.01)).low
        assert exceeds(arms, 0.1, 0.0, 0.01) == (low >= 0.0)
    bad = Arms(10_000, 90, 270)
    assert exceeds(bad, 0.1, 0.0, 0.01)
    assert exceeds(bad, 0.1, 0.02, 0.01)
    assert not exceeds(bad, 0.1, 0.05, 0.01)


def test_outcomes_that_are_still_to_come_speak_for_nobody() -> None:
    """All are early and nobody is settled: no upper bound, and none from below under 0."""
    early = Arms(10_000, 1, 9)
    found = difference(early, Arms(0, 0, 0), 0.1, (0.01, 0.01))
    assert found.low == -1.0
    assert found.high == 1.0


def test_two_means_are_compared_whatever_the_sizes_of_the_arms() -> None:
    slow, quick = {100.0: 500, 900.0: 500}, {100.0: 4_500, 300.0: 500}
    found = gap((slow, slow), (quick, quick), 10_000, (0.01, 0.01))
    assert 0 < found.low < 380 < found.high
    back = gap((quick, quick), (slow, slow), 10_000, (0.01, 0.01))
    assert back.low == pytest.approx(-found.high)
    assert back.high == pytest.approx(-found.low)


def test_how_many_are_wanted_is_about_right() -> None:
    """So many observations bring the bound to the distance, give or take a half."""
    rate, distance, alpha = 0.05, 0.02, 0.01
    wanted = int(observations_wanted(rate * (1 - rate), 1.0, distance, alpha))
    yes = round(wanted * rate)
    reached = upper({1.0: yes, 0.0: wanted - yes}, 1.0, alpha) - rate
    assert 0.5 * distance < reached < 1.5 * distance
    assert observations_wanted(0.1, 1.0, 0.0, alpha) == inf


RUNS, OBSERVATIONS = 2_000, 600


@pytest.mark.parametrize(("mean", "alpha"), [(0.02, 0.05), (0.4, 0.05)])
def test_a_lower_bound_is_ever_wrong_as_seldom_as_it_says(mean: float, alpha: float) -> None:
    """Looked at after every single observation."""
    yes = np.random.default_rng(20).binomial(1, mean, (RUNS, OBSERVATIONS)).cumsum(axis=1)
    seen = np.arange(1, OBSERVATIONS + 1)
    capital = np.zeros(yes.shape)
    for bet in BETS:
        gains = yes * np.log1p(bet * (1 - mean) / mean) + (seen - yes) * np.log1p(-bet)
        capital += np.exp(gains) / len(BETS)
    at = int(yes[0, 99])
    assert np.log(capital[0, 99]) == pytest.approx(
        log_capital({1.0: at, 0.0: 100 - at}, mean, 0.0), abs=1e-6
    )
    wrong = (capital.max(axis=1) >= 1 / alpha).mean()
    assert 0 < wrong <= alpha
