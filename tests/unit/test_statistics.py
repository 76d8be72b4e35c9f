"""Estimates: exact where they can be, and intervals that hold what they promise."""

from collections import Counter
from collections.abc import Sequence
from math import sqrt
from statistics import fmean, pvariance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.measure.statistics import Estimate, draws, quantile, ratio

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30)
TALLIES = st.lists(st.dictionaries(st.integers(0, 50), st.integers(1, 3), min_size=1), max_size=15)


def chances(seed: int, count: int) -> list[float]:
    return [number / 2**64 for number in draws(seed, 0, count)]


def test_chance_is_the_same_for_the_same_seed_and_looks_even() -> None:
    assert draws(7, 1, 100) == draws(7, 1, 100)
    assert len({draws(7, 1, 5), draws(7, 2, 5), draws(71, 1, 5), draws(7, 11, 5)}) == 4
    numbers = chances(7, 20_000)
    assert all(0 <= number <= 1 for number in numbers)
    assert fmean(numbers) == pytest.approx(0.5, abs=0.01)
    assert pvariance(numbers) == pytest.approx(1 / 12, abs=0.003)


@given(PAIRS, st.integers(0, 2**63 - 1))
def test_a_ratio_is_the_sum_over_the_sum_and_lies_in_its_interval(
    pairs: list[tuple[int, int]], seed: int
) -> None:
    found = ratio(Counter(pairs), seed, resamples=100)
    whole = sum(whole for _, whole in pairs)
    if not whole:
        assert found == Estimate(None)
        return
    assert found.value == pytest.approx(sum(part for part, _ in pairs) / whole)
    if found.low is not None and found.high is not None:
        assert found.low < found.high


@given(PAIRS)
def test_the_order_of_customers_changes_nothing(pairs: list[tuple[int, int]]) -> None:
    backwards = ratio(Counter(reversed(pairs)), 3, resamples=50)
    assert backwards == ratio(Counter(pairs), 3, resamples=50)


def test_nothing_to_divide_by_has_no_value() -> None:
    assert ratio({}, 1) == Estimate(None)
    assert ratio({(0, 0): 5}, 1) == Estimate(None)
    assert quantile([], 0.5, 1) == Estimate(None)


def test_customers_who_all_say_the_same_have_no_interval() -> None:
    assert ratio({(1, 1): 50}, 1) == Estimate(1.0)
    assert ratio({(0, 2): 50}, 1) == Estimate(0.0)
    assert quantile([{7: 1}] * 9, 0.5, 1) == Estimate(7.0)


@pytest.mark.parametrize(("hits", "of"), [(120, 400), (5, 50), (30_000, 1_000_000)])
def test_one_event_a_customer_gives_the_interval_of_the_textbook(hits: int, of: int) -> None:
    found = ratio({(1, 1): hits, (0, 1): of - hits}, 11, resamples=2_000)
    share = hits / of
    error = sqrt(share * (1 - share) / of)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert (found.high + found.low) / 2 == pytest.approx(share, abs=error)


def test_customers_are_resampled_and_not_events() -> None:
    """Ten events of one customer say hardly more than one."""
    many = ratio({(1, 1): 300, (0, 1): 700}, 5)
    clustered = ratio({(10, 10): 30, (0, 10): 70}, 5)
    assert many.low is not None
    assert many.high is not None
    assert clustered.low is not None
    assert clustered.high is not None
    widths = (clustered.high - clustered.low) / (many.high - many.low)
    assert widths == pytest.approx(sqrt(10), rel=0.15)


def test_ninety_five_in_a_hundred_intervals_hold_the_truth() -> None:
    """60 customers with one to three events each, whose true share is 0.4: 300 histories."""
    chance = iter(chances(2024, 300 * 60 * 3))
    covered = 0
    for history in range(300):
        pairs: Counter[tuple[int, int]] = Counter()
        for customer in range(60):
            whole = 1 + customer % 3
            pairs[sum(next(chance) < 0.4 for _ in range(whole)), whole] += 1
        found = ratio(pairs, history, resamples=200)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.4 <= found.high
    assert 0.90 <= covered / 300 <= 0.99


def nearest_rank(values: Sequence[int], share: float) -> int:
    ordered = sorted(values)
    return next(
        value for rank, value in enumerate(ordered, start=1) if rank >= share * len(ordered)
    )


@given(TALLIES, st.sampled_from([0.25, 0.5, 0.75]))
def test_a_quantile_is_the_nearest_rank_and_lies_in_its_interval(
    customers: list[dict[int, int]], share: float
) -> None:
    found = quantile(customers, share, 1, resamples=50)
    values = [value for tally in customers for value, n in tally.items() for _ in range(n)]
    if not values:
        assert found == Estimate(None)
        return
    assert found.value == nearest_rank(values, share)
    if found.low is not None and found.high is not None:
        assert {found.low, found.high} <= set(values)
        assert found.low < found.high


def test_the_interval_of_a_median_is_that_of_its_ranks() -> None:
    """Of 400 even values the ranks 200 ± 1.96 √100 hold the median."""
    found = quantile([{value: 1} for value in range(1, 401)], 0.5, 9, resamples=2_000)
    assert found.value == 200
    assert found.low == pytest.approx(180, abs=4)
    assert found.high == pytest.approx(220, abs=4)


def test_the_same_seed_gives_the_same_interval_and_another_hardly_another() -> None:
    pairs = {(1, 2): 40, (0, 1): 60, (2, 2): 10}
    assert ratio(pairs, 1) == ratio(pairs, 1)
    one, other = ratio(pairs, 1), ratio(pairs, 2)
    assert (one.low, one.high) != (other.low, other.high)
    assert one.low == pytest.approx(other.low, abs=0.03)
