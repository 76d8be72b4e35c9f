"""Gaps: the tests hold their level, by simulation; the formulas are those of the papers."""

from itertools import product
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.measure.gaps import (
    Arms,
    Share,
    _constrained,
    effect_interval,
    effect_worse,
    holm,
    share_interval,
    share_worse,
)

RUNS = 20_000


def likelihood(share: Share, chance: float) -> float:
    found = 0.0
    if share.part:
        found += share.part * log(chance)
    if share.whole - share.part:
        found += (share.whole - share.part) * log(1 - chance)
    return found


@given(
    st.tuples(st.integers(0, 60), st.integers(1, 60)),
    st.tuples(st.integers(0, 60), st.integers(1, 60)),
    st.sampled_from([0.0, 0.01, 0.05, 0.3]),
)
def test_the_constrained_shares_are_the_most_likely(
    one: tuple[int, int], other: tuple[int, int], margin: float
) -> None:
    group, rest = (Share(min(part, whole), whole) for part, whole in (one, other))
    first, second = _constrained(group, rest, margin)
    assert first - second == pytest.approx(margin)

    def at(base: float) -> float:
        low = min(max(base, 1e-9), 1 - margin - 1e-9)
        return likelihood(group, low + margin) + likelihood(rest, low)

    best = max(at(base) for base in np.linspace(0, 1 - margin, 400))
    assert at(second) >= best - 1e-6


def rates(margin: float, sizes: tuple[int, int], base: float, above: float) -> list[float]:
    """How often a gap of ``above`` is told at 5 % and at 0.25 %."""
    chance = np.random.default_rng(6)
    group = chance.binomial(sizes[0], base + above, RUNS)
    rest = chance.binomial(sizes[1], base, RUNS)
    known: dict[tuple[int, int], float] = {}
    for part, other in zip(group.tolist(), rest.tolist(), strict=True):
        if (part, other) not in known:
            pair = Share(part, sizes[0]), Share(other, sizes[1])
            known[part, other] = share_worse(*pair, margin)
    told = [known[pair] for pair in zip(group.tolist(), rest.tolist(), strict=True)]
    return [sum(one <= level for one in told) / RUNS for level in (0.05, 0.0025)]


@pytest.mark.parametrize(
    ("margin", "sizes", "base"),
    [
        (margin, *case)
        for margin, case in product(
            (0.0, 0.05),
            [
                ((100, 900), 0.02),
                ((100, 900), 0.5),
                ((100, 900), 0.9),
                ((1000, 20_000), 0.01),
                ((100, 100), 0.3),
            ],
        )
    ],
)
def test_a_share_that_is_worse_by_the_margin_only_is_told_at_the_level(
    margin: float, sizes: tuple[int, int], base: float
) -> None:
    """Also far in the tail, where many comparisons put the level of each."""
    common, rare = rates(margin, sizes, base, margin)
    assert common <= 0.05 + 3.5 * (0.05 * 0.95 / RUNS) ** 0.5
    assert rare <= 0.0025 + 3.5 * (0.0025 / RUNS) ** 0.5
    within = rates(margin, sizes, base, 0.0)
    assert within[0] <= common + 0.01


def test_a_share_that_is_much_worse_is_told() -> None:
    common, rare = rates(0.05, (400, 2000), 0.2, 0.15)
    assert common > 0.98
    assert rare > 0.85


@pytest.mark.parametrize(
    ("margin", "sizes", "offered", "aside"),
    [
        (margin, *case)
        for margin, case in product(
            (0.0, 0.05),
            [
                ((900, 100, 9000, 1000), 0.1, 0.1),
                ((500, 100, 5000, 1000), 0.05, 0.2),
                ((100, 100, 900, 900), 0.3, 0.5),
                ((900, 100, 900, 100), 0.8, 0.9),
            ],
        )
    ],
)
def test_an_effect_that_is_smaller_by_the_margin_only_is_told_at_the_level(
    margin: float, sizes: tuple[int, int, int, int], offered: float, aside: float
) -> None:
    chance = np.random.default_rng(6)
    shares = (offered + margin, aside, offered, aside)
    drawn = [chance.binomial(n, p, RUNS).tolist() for n, p in zip(sizes, shares, strict=True)]
    told = []
    for parts in zip(*drawn, strict=True):
        a, b, c, d = (Share(part, n) for part, n in zip(parts, sizes, strict=True))
        told.append(effect_worse(Arms(a, b), Arms(c, d), margin))
    # Two-sided ends of small arms keep it from being exact; it stays on the safe side in the tail.
    assert sum(one <= 0.05 for one in told) / RUNS <= 0.06
    assert sum(one <= 0.0025 for one in told) / RUNS <= 0.0025 + 3.5 * (0.0025 / RUNS) ** 0.5


def test_an_effect_that_is_much_smaller_is_told() -> None:
    group = Arms(Share(150, 500), Share(150, 500))
    rest = Arms(Share(200, 2000), Share(600, 2000))
    assert group.value == 0
    assert rest.value == pytest.approx(0.2)
    assert effect_worse(group, rest, 0.05) < 0.001
    assert effect_worse(rest, group, 0.05) > 0.999


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_step_down_bonferroni(chances: list[float]) -> None:
    adjusted = holm(chances)
    assert len(adjusted) == len(chances)
    assert all(chance <= more <= 1 for chance, more in zip(chances, adjusted, strict=True))
    for level in (0.01, 0.05, 0.5):
        told, left = set(), sorted(range(len(chances)), key=chances.__getitem__)
        while left and chances[left[0]] * len(left) <= level:
            told.add(left.pop(0))
        assert {place for place, one in enumerate(adjusted) if one <= level} == told


def test_holm_of_the_textbook() -> None:
    """Holm's procedure on four chances: 0.005 is told at 2 %, 0.01 at 3 %, the others at 6 %."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_intervals() -> None:
    low, high = share_interval(Share(10, 100))
    assert (low, high) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert share_interval(Share(0, 0)) == (0.0, 1.0)
    assert share_interval(Share(0, 10))[0] == 0.0
    assert share_interval(Share(10, 10))[1] == 1.0
    low, high = effect_interval(Arms(Share(5, 100), Share(20, 100)))
    assert low < 0.15 < high
    assert high - low == pytest.approx(0.184, abs=0.01)


@pytest.mark.parametrize("part", [0, 5])
def test_groups_that_are_all_alike_tell_nothing(part: int) -> None:
    assert share_worse(Share(part, 5), Share(2 * part, 10), 0.0) >= 0.5


def test_counts_add_up_and_are_taken_away() -> None:
    assert Share(1, 2) + Share(3, 4) == Share(4, 6)
    assert Share(4, 6) - Share(3, 4) == Share(1, 2)
    assert Arms(Share(4, 6), Share(2, 3)) - Arms(Share(1, 2), Share(1, 1)) == Arms(
        Share(3, 4), Share(1, 2)
    )
    assert Arms(Share(4, 6), Share(2, 3)).whole == 3
    assert Share().value == 0
