"""Effects: the formulas, against what others compute and by hand."""

from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from forestall.measure.effect import (
    NORMAL,
    Contrast,
    Floats,
    contrast,
    planned,
    sample_ratio,
    spread_of,
)


def two_arms(offered: NDArray[Any], aside: NDArray[Any]) -> tuple[Floats, Floats]:
    """Counts and people of customers, each in one arm."""
    first, second = len(offered), len(aside)
    above, people = np.zeros((2, first + second)), np.zeros((2, first + second))
    above[0, :first], above[1, first:] = offered, aside
    people[0, :first], people[1, first:] = 1, 1
    return above, people


def drawn(seed: int = 1, offered: int = 400, aside: int = 300) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    return rng.normal(5, 2, offered), rng.normal(6, 3, aside)


def simple(offered: Floats, aside: Floats) -> Contrast:
    above, people = two_arms(offered, aside)
    return contrast(above, people, people)


def half(found: Contrast) -> float:
    assert found.difference.low is not None
    assert found.difference.high is not None
    return (found.difference.high - found.difference.low) / 2


def test_one_customer_a_unit_is_welch() -> None:
    offered, aside = drawn()
    found = simple(offered, aside)
    theirs = stats.ttest_ind(offered, aside, equal_var=False).confidence_interval(0.95)
    assert found.difference.value == pytest.approx(offered.mean() - aside.mean())
    assert half(found) == pytest.approx((theirs.high - theirs.low) / 2, rel=0.005)
    error = sqrt(offered.var(ddof=1) / 400 + aside.var(ddof=1) / 300)
    degrees = stats.t.ppf(0.975, [100, 10_000]) * error
    assert degrees[1] < half(found) < degrees[0]


def test_the_arms_are_as_counted() -> None:
    found = simple(np.array([1.0, 2, 3, 2]), np.array([4.0, 4, 1, 3]))
    assert (found.offered.value, found.aside.value) == (2.0, 3.0)
    assert found.difference == found.unadjusted
    assert found.variance_removed == 0.0


def test_a_ratio_has_the_error_of_the_delta_method() -> None:
    rng = np.random.default_rng(2)
    sessions = 1 + rng.poisson(3, 2_000).astype(float)
    tickets = rng.poisson(0.2 * sessions).astype(float)
    above, people = two_arms(tickets[:1_000], tickets[1_000:])
    below, _ = two_arms(sessions[:1_000], sessions[1_000:])
    found = contrast(above, below, people)
    by_hand = 0.0
    for part in (slice(0, 1_000), slice(1_000, 2_000)):
        y, d = tickets[part], sessions[part]
        rate = y.sum() / d.sum()
        both = np.cov(y, d)
        variance = both[0, 0] - 2 * rate * both[0, 1] + rate**2 * both[1, 1]
        by_hand += variance / (1_000 * d.mean() ** 2)
    assert half(found) / NORMAL == pytest.approx(sqrt(by_hand), rel=0.01)


def test_an_account_with_customers_in_both_arms_is_one_unit() -> None:
    rng = np.random.default_rng(3)
    shared = rng.gamma(0.5, 2, 500)
    above = rng.poisson(np.array([shared, shared])).astype(float)
    people = np.ones((2, 500))
    paired = contrast(above, people, people)
    gaps = above[0] - above[1]
    assert half(paired) == pytest.approx(NORMAL * gaps.std(ddof=1) / sqrt(500), rel=0.02)
    apart = simple(above[0], above[1])
    assert half(paired) < 0.8 * half(apart)


def test_customers_of_an_account_count_less_than_strangers() -> None:
    rng = np.random.default_rng(4)
    size = 5
    tickets = rng.poisson(np.repeat(rng.gamma(0.5, 2, 200), size)).astype(float)
    by_account = tickets.reshape(200, size).sum(axis=1)
    above, units = two_arms(by_account[:100], by_account[100:])
    clustered = contrast(above, size * units, size * units)
    alone = simple(tickets[:500], tickets[500:])
    assert clustered.difference.value == pytest.approx(alone.difference.value)
    assert half(clustered) > 1.3 * half(alone)


def with_past(strength: float, seed: int = 5) -> tuple[Contrast, Contrast]:
    rng = np.random.default_rng(seed)
    past = rng.normal(10, 2, 2_000)
    now = strength * past + rng.normal(0, 1, 2_000)
    above, people = two_arms(now[:1_000], now[1_000:] + 1)
    before, _ = two_arms(past[:1_000], past[1_000:])
    return contrast(above, people, people, [before]), contrast(above, people, people)


def test_what_is_known_from_before_removes_its_share_of_the_variance() -> None:
    adjusted, plain = with_past(0.5)
    assert adjusted.unadjusted.value == plain.difference.value
    assert adjusted.variance_removed == pytest.approx(0.5, abs=0.04)
    assert half(adjusted) == pytest.approx(
        half(plain) * sqrt(1 - adjusted.variance_removed), rel=0.01
    )
    assert adjusted.difference.value == pytest.approx(-1, abs=0.15)


def test_the_adjustment_is_the_regression_of_what_follows_on_what_was_before() -> None:
    rng = np.random.default_rng(6)
    past = rng.normal(3, 1, (2, 800))
    now = past @ np.eye(800) * 0.7 + rng.normal(0, 1, (2, 800))
    above, people = two_arms(now[0], now[1])
    before, _ = two_arms(past[0], past[1])
    found = contrast(above, people, people, [before])
    centred = past - past.mean(axis=1, keepdims=True)
    slope = (centred * (now - now.mean(axis=1, keepdims=True))).sum() / (centred**2).sum()
    by_hand = now[0].mean() - now[1].mean() - slope * (past[0].mean() - past[1].mean())
    assert found.difference.value == pytest.approx(by_hand)


def test_a_past_that_says_nothing_or_is_the_same_twice_does_no_harm() -> None:
    offered, aside = drawn()
    above, people = two_arms(offered, aside)
    nothing = np.zeros_like(above)
    assert contrast(above, people, people, [nothing]) == contrast(above, people, people)
    rng = np.random.default_rng(7)
    before = rng.normal(0, 1, above.shape) * people
    once = contrast(above, people, people, [before])
    twice = contrast(above, people, people, [before, 3 * before])
    assert twice.difference.value == pytest.approx(once.difference.value)
    assert half(twice) == pytest.approx(half(once))


def test_skewed_counts_move_the_bounds_towards_what_is_missed() -> None:
    counts = np.zeros(400)
    counts[:30] = 1
    found = simple(np.zeros(400) + counts, counts)
    assert found.skewness == pytest.approx(0.0, abs=1e-9)
    alone = simple(np.tile([0.0, 1.0], 4_000), counts)
    assert alone.skewness < -0.1
    low, high = alone.difference.low, alone.difference.high
    assert low is not None
    assert high is not None
    assert high - alone.difference.value < alone.difference.value - low


@given(st.integers(0, 200), st.floats(0.3, 3.0), st.booleans())
def test_the_relative_change_and_the_difference_never_disagree(
    seed: int, factor: float, past: bool
) -> None:
    rng = np.random.default_rng(seed)
    frailty = rng.gamma(1, 1, 1_500)
    above, people = two_arms(
        rng.poisson(0.3 * factor * frailty[:1_000]), rng.poisson(0.3 * frailty[1_000:])
    )
    before, _ = two_arms(rng.poisson(frailty[:1_000]), rng.poisson(frailty[1_000:]))
    found = contrast(above, people, people, [before] if past else [])
    assert found.relative is not None
    for change, gap in (
        (found.relative.low, found.difference.low),
        (found.relative.high, found.difference.high),
    ):
        assert change is not None
        assert gap is not None
        assert (change > 0) == (gap > 0)
    assert found.relative.low is not None
    assert found.relative.high is not None
    assert found.relative.low <= found.relative.value <= found.relative.high


def test_a_relative_change_is_fiellers_where_nothing_is_skewed() -> None:
    rng = np.random.default_rng(8)
    offered, aside = rng.normal(8, 2, 4_000), rng.normal(10, 2, 4_000)
    found = simple(offered, aside).relative
    v0, v1 = offered.var(ddof=1) / 4_000, aside.var(ddof=1) / 4_000
    a, b, c = (
        aside.mean() ** 2 - NORMAL**2 * v1,
        offered.mean() * aside.mean(),
        offered.mean() ** 2 - NORMAL**2 * v0,
    )
    root = sqrt(b * b - a * c)
    assert found is not None
    assert found.low == pytest.approx((b - root) / a - 1, abs=2e-4)
    assert found.high == pytest.approx((b + root) / a - 1, abs=2e-4)


def test_there_is_no_relative_change_of_what_may_be_nothing() -> None:
    assert simple(np.tile([0.0, 1], 50), np.zeros(100)).relative is None
    rare = np.zeros(100)
    rare[0] = 1
    assert simple(np.tile([0.0, 1], 50), rare).relative is None


def test_no_variance_is_no_error() -> None:
    found = simple(np.ones(10), np.ones(10))
    assert (found.difference.low, found.difference.value, found.difference.high) == (0, 0, 0)
    assert found.skewness == 0.0


def test_a_plan_gives_the_width_that_it_was_made_for() -> None:
    rng = np.random.default_rng(9)
    share = 0.2
    need = planned(sqrt(1 / 0.3), share, 0.2)
    offered = rng.poisson(0.3, int(need * (1 - share) / share))
    found = simple(offered.astype(float), rng.poisson(0.3, need).astype(float))
    assert half(found) / 0.3 == pytest.approx(0.2, rel=0.1)
    assert planned(1.0, 0.2, 0.2, removed=0.5) == pytest.approx(planned(1.0, 0.2, 0.2) / 2, abs=1)


def test_the_spread_is_that_of_units() -> None:
    above, people = two_arms(np.array([0.0, 2.0]), np.array([0.0, 2.0]))
    assert spread_of(above, people) == pytest.approx(np.std([0, 2, 0, 2], ddof=1))
    assert spread_of(0 * above, people) is None


@pytest.mark.parametrize(
    ("offered", "aside", "share"), [(900, 100, 0.1), (880, 120, 0.1), (5, 9, 0.5)]
)
def test_the_split_is_pearsons_chi_square(offered: int, aside: int, share: float) -> None:
    both = offered + aside
    theirs = stats.chisquare([offered, aside], [both * (1 - share), both * share]).pvalue
    assert sample_ratio(offered, aside, share) == pytest.approx(theirs)


def test_a_split_of_nobody_is_fine() -> None:
    assert sample_ratio(0, 0, 0.1) == 1.0
    assert sample_ratio(5, 0, 0.0) == 1.0
