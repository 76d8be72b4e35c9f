"""Effects: what two arms differ in, with intervals that hold for counts of repeated customers.

A unit of analysis (a customer, or an account with several) adds to the sums of an arm, and a rate is
one sum over another, so its error is that of a ratio: the delta method, in the form of influence
values, one a unit (Deng, Knoblich and Lu, "Applying the Delta Method in Metric Analytics", KDD
2018). With one customer a unit and customers below the line it is Welch's. A unit with customers in
both arms is one influence value, so what they share is accounted for.

Covariates from before are control variates (CUPED: Deng, Xu, Kohavi and Walker, "Improving the
Sensitivity of Online Controlled Experiments by Utilizing Pre-Experiment Data", WSDM 2013). The
arms' means of a covariate differ by chance alone, so subtracting a multiple of that difference biases
nothing.

Counts are skewed, and with a small holdout one side is more often missed than the other. So the bounds
are moved by what the first term of the Edgeworth expansion of Student's statistic says: estimate plus
standard error times (z + skewness (2 z^2 + 1) / 6), for z = -1.96 and 1.96 (Hall, "On the Removal of
Skewness by Transformation", Journal of the Royal Statistical Society B 54, 1992; Johnson, "Modified t
Tests and Confidence Intervals for Asymmetrical Populations", JASA 73, 1978). A relative change r is in
its interval if a difference of nothing is in that of "offered minus (1 + r) times aside": Fieller's
way (Journal of the Royal Statistical Society B 16, 1954), so it and the difference never disagree.
"""

from collections.abc import Callable, Sequence
from math import ceil, sqrt
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

LEVEL: Final = 0.95

NORMAL: Final = 1.959963984540054
"""The normal quantile that goes with ``LEVEL``."""

OFFERED: Final = 0
ASIDE: Final = 1


class Interval(msgspec.Struct, frozen=True):
    """A figure and its 95 % interval; ``low`` and ``high`` are null where none can be told."""

    value: float
    low: float | None = None
    high: float | None = None


class Contrast(msgspec.Struct, frozen=True):
    """Two arms' rates and what they differ in.

    ``offered`` and ``aside`` are the rates as counted. ``difference`` is offered minus aside, and
    ``relative`` its ratio to the rate of those kept aside (null where that cannot be told from
    nothing), both after the adjustment, which removed ``variance_removed`` of the variance;
    ``unadjusted`` is the difference before it.

    ``skewness`` is that of the difference: 0 for a normal one. ``spread`` is the standard deviation
    of one unit's influence, in multiples of the rate, by which sample sizes are planned.
    """

    offered: Interval
    aside: Interval
    difference: Interval
    relative: Interval | None
    unadjusted: Interval
    variance_removed: float
    skewness: float
    spread: float | None


def contrast(
    above: Floats, below: Floats, people: Floats, covariates: Sequence[Floats] = ()
) -> Contrast:
    """Compare the rates ``above`` over ``below`` of the arms.

    All are of shape (2, units), offered help first; ``people`` are customers, by which
    ``covariates`` are averaged. Each arm needs at least two units and something below the line.
    """
    rates, influence = _rates(above, below, people)
    plain = influence[OFFERED] - influence[ASIDE]
    gap = rates[OFFERED] - rates[ASIDE]
    means, parts = _covariates(covariates, people)
    shift = means[:, OFFERED] - means[:, ASIDE]
    moved = parts[:, OFFERED] - parts[:, ASIDE]
    theta, heavier = _theta(parts, influence, people)
    error = (plain - theta @ moved) * heavier
    adjusted = gap - theta @ shift
    variance, before = _dot(error, error), _dot(plain, plain)
    quantile = _quantile(error)
    offered, aside = _adjusted(rates, people, float(theta @ shift))
    arms = _arm_errors(influence, people, theta @ moved) * heavier
    return Contrast(
        offered=_around(rates[OFFERED], influence[OFFERED], quantile),
        aside=_around(rates[ASIDE], influence[ASIDE], quantile),
        difference=_around(adjusted, error, quantile),
        relative=_relative(offered, aside, arms, quantile),
        unadjusted=_around(gap, plain, quantile),
        variance_removed=1 - variance / before if before else 0.0,
        skewness=_skewness(error),
        spread=spread_of(above, below),
    )


def _rates(above: Floats, below: Floats, people: Floats) -> tuple[Floats, Floats]:
    """Both rates, and the influence of each unit on them: (2,) and (2, units).

    It is by how much the rate would move without the unit, so the squares add up to the jackknife's
    variance.
    """
    total = below.sum(axis=1)
    rates = above.sum(axis=1) / total
    units = np.count_nonzero(people, axis=1)
    without = (total[:, None] - below) / np.sqrt((units - 1) / units)[:, None]
    return rates, (above - rates[:, None] * below) / without


def _covariates(covariates: Sequence[Floats], people: Floats) -> tuple[Floats, Floats]:
    """Means (covariates, 2) and influences (covariates, 2, units) of those that vary."""
    found = [_rates(one, people, people) for one in covariates]
    kept = [(means, parts) for means, parts in found if parts.any()]
    if not kept:
        return np.zeros((0, 2)), np.zeros((0, *people.shape))
    return np.array([means for means, _ in kept]), np.array([parts for _, parts in kept])


def _theta(parts: Floats, influence: Floats, people: Floats) -> tuple[Floats, Floats]:
    """By how much of each covariate's difference to adjust: least squares over all units alike.

    Weighing units by their arm would be a little sharper, but leave a small holdout to find it. What
    is left over is small where a unit pulled the fit towards itself, so it is multiplied by the
    second result, one number a unit (MacKinnon and White, "Some Heteroskedasticity-Consistent
    Covariance Matrix Estimators", Journal of Econometrics 29, 1985: HC3).
    """
    if not len(parts):
        return np.zeros(0), np.ones(people.shape[1])
    size = people.sum(axis=1)[:, None]
    each = (parts * size).reshape(len(parts), -1)
    scale = np.sqrt((each * each).sum(axis=1))
    unit = each / scale[:, None]
    inverse = np.linalg.pinv(unit @ unit.T, rcond=1e-9)
    theta = inverse @ (unit @ (influence * size).ravel()) / scale
    leverage = (unit * (inverse @ unit)).sum(axis=0).reshape(people.shape).sum(axis=0)
    return theta, 1 / (1 - np.minimum(leverage, 0.5))


def _quantile(error: Floats) -> float:
    """Student's quantile with degrees of freedom by how surely the variance is known.

    They are twice its square over its own variance, as Welch and Satterthwaite have it, but with the
    kurtosis that there is instead of a normal one (O'Neill, "Some Useful Moment Results in Sampling
    Problems", The American Statistician 68, 2014): fewer where a few units make most of it.
    """
    squares = error * error
    variance = float(squares.sum())
    unsure = _dot(squares, squares) - variance**2 / len(error)
    if unsure <= 0:
        return NORMAL
    return float(special.stdtrit(max(1.0, 2 * variance**2 / unsure), (1 + LEVEL) / 2))


def _adjusted(rates: Floats, people: Floats, shift: float) -> tuple[float, float]:
    """The arms' rates where both had the covariates of all together."""
    share = people.sum(axis=1) / people.sum()
    return float(rates[OFFERED] - share[ASIDE] * shift), float(
        rates[ASIDE] + share[OFFERED] * shift
    )


def _arm_errors(influence: Floats, people: Floats, moved: Floats) -> Floats:
    share = people.sum(axis=1) / people.sum()
    return np.array(
        [
            influence[OFFERED] - share[ASIDE] * moved,
            influence[ASIDE] + share[OFFERED] * moved,
        ]
    )


def _around(value: Any, error: Floats, quantile: float) -> Interval:
    middle, size = float(value), sqrt(_dot(error, error))
    moved = _moved(_skewness(error), quantile)
    return Interval(middle, middle + size * (moved - quantile), middle + size * (moved + quantile))


def _skewness(error: Floats) -> float:
    squares = error * error
    variance = float(squares.sum())
    return _dot(squares, error) / variance**1.5 if variance else 0.0


def _dot(first: Floats, second: Floats) -> float:
    """Their product; on long columns faster than BLAS, whose threads wait for each other."""
    return float((first * second).sum())


def _moved(skewness: float, quantile: float) -> float:
    """By how many standard errors both bounds are moved."""
    return skewness * (2 * quantile**2 + 1) / 6


def _relative(offered: float, aside: float, errors: Floats, quantile: float) -> Interval | None:
    """The interval of ``offered`` over ``aside``, minus 1; none where ``aside`` may be nothing."""
    first, second = errors[OFFERED], errors[ASIDE]
    alone, mixed, other = first * first, first * second, second * second
    squares = [float(one) for one in (alone.sum(), mixed.sum(), other.sum())]
    cubes = [
        _dot(alone, first),
        -3 * _dot(alone, second),
        3 * _dot(first, other),
        -_dot(other, second),
    ]
    if aside <= 0 or quantile**2 * squares[2] >= aside**2:
        return None

    def standing(ratio: float) -> float:
        """By how many standard errors offered is above ``ratio`` times aside, as corrected."""
        variance = squares[0] - 2 * ratio * squares[1] + ratio**2 * squares[2]
        if variance <= 0:
            return 0.0
        third = sum(one * ratio**power for power, one in enumerate(cubes))
        skewness = third / variance**1.5
        return (offered - ratio * aside) / sqrt(variance) + _moved(skewness, quantile)

    middle = offered / aside
    step = quantile * sqrt(squares[0] / aside**2 + squares[2] * middle**2 / aside**2) or 1e-9
    low = _crossing(standing, quantile, middle, -step)
    high = _crossing(standing, -quantile, middle, step)
    return None if low is None or high is None else Interval(middle - 1, low - 1, high - 1)


def _crossing(
    standing: Callable[[float], float], level: float, start: float, step: float
) -> float | None:
    """Where ``standing`` passes ``level``, looked for from ``start`` by ``step``.

    By false position, in the Illinois way.
    """
    near, far = start, start + step
    before, after = standing(near) - level, standing(far) - level
    while before * after > 0:
        if abs(far - start) > 1e3 * abs(step):
            return None
        near, before, far = far, after, far + (far - start)
        after = standing(far) - level
    for _ in range(100):
        middle = far - after * (far - near) / (after - before)
        value = standing(middle) - level
        if value * after < 0:
            near, before = far, after
        else:
            before /= 2
        far, after = middle, value
        if abs(value) < 1e-9:
            break
    return far


def spread_of(above: Floats, below: Floats) -> float | None:
    """Standard deviation over mean of a unit's part, both arms together; none without any."""
    whole, under = above.sum(axis=0), below.sum(axis=0)
    units = len(whole)
    if not whole.sum() or units < 2:
        return None
    rate = whole.sum() / under.sum()
    part = (whole - rate * under) / (under.sum() / units)
    spread: float = np.sqrt((part**2).sum() / (units - 1)) / rate
    return float(spread)


def planned(spread: float, share: float, width: float, removed: float = 0.0) -> int:
    """How many units kept aside an interval of plus or minus ``width`` of the rate needs.

    ``share`` of all are kept aside; ``removed`` of the variance goes by adjustment.
    """
    units = (NORMAL / width * spread) ** 2 * (1 - removed) / (1 - share)
    return max(2, ceil(units))


def sample_ratio(offered: int, aside: int, share: float) -> float:
    """The chance (p) of a split at least as uneven, if each falls aside by ``share``.

    Pearson's chi-square test with one degree of freedom.
    """
    expected = (offered + aside) * share
    if expected in (0, offered + aside):
        return 1.0
    statistic = (aside - expected) ** 2 / (expected * (1 - share))
    return float(special.chdtrc(1, statistic))
