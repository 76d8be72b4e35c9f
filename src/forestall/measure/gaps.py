"""Gaps: whether one group fares worse than the rest by more than a margin. Pure.

A share is compared by the score test of Farrington and Manning ("Test statistics and sample size
formulae for comparative binomial trials with null hypothesis of non-zero risk difference",
Statistics in Medicine 9, 1990), corrected for skewness as by Gart and Nam ("Approximate interval
estimation of the difference in binomial parameters", Biometrics 46, 1990): small shares of small
groups would else be told too often. An effect is compared by the normal approximation with the
counts of Agresti and Caffo ("Simple and effective confidence intervals for proportions and
differences of proportions", The American Statistician 54, 2000), corrected as Hall does for
studentised sums ("On the removal of skewness by transformation", Journal of the Royal Statistical
Society B 54, 1992), on the safe side. Many gaps at once are judged after Holm ("A simple sequentially
rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979), which holds whatever
the comparisons have to do with each other.
"""

from collections.abc import Sequence
from math import acos, copysign, cos, erfc, pi, sqrt
from typing import Final, NamedTuple

Z95: Final = 1.959963984540054
"""Standard deviations of a 95 % interval."""


class Share(NamedTuple):
    """``part`` of ``whole``."""

    part: int = 0
    whole: int = 0

    @property
    def value(self) -> float:
        """The share; 0 of none."""
        return self.part / self.whole if self.whole else 0.0

    def __add__(self, other: object) -> "Share":
        if not isinstance(other, Share):
            return NotImplemented
        return Share(self.part + other.part, self.whole + other.whole)

    def __sub__(self, other: "Share") -> "Share":
        return Share(self.part - other.part, self.whole - other.whole)


class Arms(NamedTuple):
    """How many asked for help: of those ``offered`` an intervention, and of those kept ``aside``."""

    offered: Share = Share()
    aside: Share = Share()

    @property
    def whole(self) -> int:
        """Customers in the smaller arm."""
        return min(self.offered.whole, self.aside.whole)

    @property
    def value(self) -> float:
        """By how much fewer asked when they were offered one."""
        return self.aside.value - self.offered.value

    def __sub__(self, other: "Arms") -> "Arms":
        return Arms(self.offered - other.offered, self.aside - other.aside)


def share_interval(share: Share) -> tuple[float, float]:
    """The 95 % interval of a share after Wilson (1927); all of 0 to 1 for none."""
    part, whole = share
    if not whole:
        return 0.0, 1.0
    square = Z95 * Z95
    middle = (part + square / 2) / (whole + square)
    half = Z95 / (whole + square) * sqrt(part * (whole - part) / whole + square / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def effect_interval(arms: Arms) -> tuple[float, float]:
    """The 95 % interval of an effect (Agresti and Caffo)."""
    middle = _shrunk(arms.aside) - _shrunk(arms.offered)
    half = Z95 * sqrt(_variance(arms.aside) + _variance(arms.offered))
    return max(-1.0, middle - half), min(1.0, middle + half)


def share_worse(group: Share, rest: Share, margin: float) -> float:
    """The chance of such counts, or worse ones, if the group's share were above that of the rest by
    ``margin`` (0 to below 1) only. Both groups are non-empty."""
    first, second = _constrained(group, rest, margin)
    of_group, of_rest = first * (1 - first) / group.whole, second * (1 - second) / rest.whole
    variance = of_group + of_rest
    if variance <= 0:
        return 1.0
    z = (group.value - rest.value - margin) / sqrt(variance)
    third = of_group * (1 - 2 * first) / group.whole - of_rest * (1 - 2 * second) / rest.whole
    return _upper(z - third / variance**1.5 * (z * z - 1) / 6)


def effect_worse(group: Arms, rest: Arms, margin: float) -> float:
    """The same for an effect that is smaller in the group than in the rest by ``margin`` only."""
    shares = ((1, rest.aside), (-1, rest.offered), (-1, group.aside), (1, group.offered))
    variance = sum(_variance(one) for _, one in shares)
    third = sum(
        sign * _variance(one) * (1 - 2 * _shrunk(one)) / (one.whole + 2) for sign, one in shares
    )
    z = (sum(sign * _shrunk(one) for sign, one in shares) - margin) / sqrt(variance)
    return _upper(z + third / variance**1.5 * (2 * z * z + 1) / 6)


def holm(chances: Sequence[float]) -> list[float]:
    """``chances`` adjusted: the least level of all together at which each would be told."""
    order = sorted(range(len(chances)), key=chances.__getitem__)
    adjusted = [0.0] * len(chances)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(chances) - rank) * chances[place]))
        adjusted[place] = highest
    return adjusted


def _constrained(group: Share, rest: Share, margin: float) -> tuple[float, float]:
    """The most likely shares that differ by ``margin``: the root of a cubic (Farrington and
    Manning, appendix)."""
    all_, bad = group.whole + rest.whole, group.part + rest.part
    a = 3 * all_
    b = (group.whole + 2 * rest.whole) * margin - all_ - bad
    c = (rest.whole * margin - all_ - 2 * rest.part) * margin + bad
    d = rest.part * margin * (1 - margin)
    v = b**3 / a**3 - b * c / (6 * all_**2) + d / (2 * all_)
    u = copysign(sqrt(max(0.0, b**2 / a**2 - c / a)), v)
    angle = (pi + acos(max(-1.0, min(1.0, v / u**3 if u else 0.0)))) / 3
    second = min(1 - margin, max(0.0, 2 * u * cos(angle) - b / a))
    return second + margin, second


def _shrunk(share: Share) -> float:
    return (share.part + 1) / (share.whole + 2)


def _variance(share: Share) -> float:
    value = _shrunk(share)
    return value * (1 - value) / (share.whole + 2)


def _upper(z: float) -> float:
    """The normal distribution's part above ``z``."""
    return 0.5 * erfc(z / sqrt(2))
