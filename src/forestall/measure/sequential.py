"""Confidence sequences: bounds on a mean that hold at every look at once. Pure.

Method: testing by betting. Whoever bets against "the mean is at most m" on every observation, never
more than he has, cannot expect to win where that is true, so that his capital reaches 1/alpha at
any time with chance alpha at most (Ville's inequality). Here the capital is the average over
``BETS``, a fixed set of fractions c of the largest safe bet:

    capital(m) = mean over c of  product over observations x of  1 + c (x - m) / (m - least)

and the lower bound is the greatest m whose capital has reached 1/alpha. Waudby-Smith and Ramdas,
"Estimating means of bounded random variables by betting", JRSS B 86 (2024), section 4; to average
over fixed bets is their diversified Kelly betting. For unequal arms with known shares the
observations are the weighted ones of Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro,
"Anytime-valid off-policy inference for contextual bandits" (2024).

The product does not depend on the order, so that a tally of values is all that has to be kept. No
normal approximation is made: the bounds hold for any counts, however small.
"""

from collections.abc import Mapping
from math import exp, inf, log, log1p
from typing import Final

import msgspec

Tally = Mapping[float, int]
"""How often each value was observed."""

BETS: Final = tuple(0.98 * 2 ** (-step / 2) for step in range(28))
"""Fractions of the largest safe bet: some fit large effects and few subjects, some the contrary."""

_HALVINGS: Final = 32


class Bounds(msgspec.Struct, frozen=True):
    """What a figure is not below and not above, each with its own chance of ever being wrong."""

    low: float
    high: float


class Arms(msgspec.Struct, frozen=True):
    """Subjects, and how many of each arm had the outcome.

    ``canary`` and ``rest`` count subjects with the outcome; ``subjects`` all of both arms.
    """

    subjects: int
    canary: int
    rest: int


def log_capital(tally: Tally, mean: float, least: float) -> float:
    """The logarithm of what betting against "the mean is at most ``mean``" has made of 1.

    No value lies below ``least``, which lies below ``mean``.
    """
    gains = [(count, (value - mean) / (mean - least)) for value, count in tally.items()]
    capitals = [sum(count * log1p(bet * gain) for count, gain in gains) for bet in BETS]
    best = max(capitals)
    return best + log(sum(exp(capital - best) for capital in capitals) / len(BETS))


def refutes(tally: Tally, mean: float, least: float, alpha: float) -> bool:
    """Whether betting against "the mean is at most ``mean``" has made 1/``alpha`` of 1."""
    excess = sum((value - mean) * count for value, count in tally.items())
    return excess > 0 and log_capital(tally, mean, least) >= -log(alpha)


def lower(tally: Tally, least: float, alpha: float) -> float:
    """The bound that the mean of the observations is not below, with chance ``alpha`` of ever
    being wrong; ``least``, below which no value can lie, where there is nothing to tell."""
    total = sum(tally.values())
    if not total:
        return least
    below, above = least, sum(value * count for value, count in tally.items()) / total
    for _ in range(_HALVINGS):
        middle = (below + above) / 2
        if not below < middle < above:
            break
        if refutes(tally, middle, least, alpha):
            below = middle
        else:
            above = middle
    return below


def upper(tally: Tally, most: float, alpha: float) -> float:
    """The same from above: no value can lie above ``most``."""
    return -lower({-value: count for value, count in tally.items()}, -most, alpha)


def weighted(arms: Arms, share: float) -> dict[float, int]:
    """Observations whose mean is the difference of the arms' proportions, canary minus rest.

    Each subject is in the canary with chance ``share``, whatever else is true of it. A subject with
    the outcome counts 1/share in the canary and -1/(1 - share) in the rest (Horvitz and Thompson,
    1952), one without it counts 0.
    """
    without = arms.subjects - arms.canary - arms.rest
    return {0.0: without, 1 / share: arms.canary, -1 / (1 - share): arms.rest}


def exceeds(arms: Arms, share: float, margin: float, alpha: float) -> bool:
    """Whether the canary's proportion is more than ``margin`` above the rest's.

    Where no subject of the canary has its chance raised by more than ``margin``, this is ever true
    with chance ``alpha`` at most. It may be asked at any time, also while outcomes are still to
    come: a subject counts from its first event, and as without the outcome until it comes.
    """
    return refutes(weighted(arms, share), margin, -1 / (1 - share), alpha)


def difference(early: Arms, settled: Arms, share: float, alphas: tuple[float, float]) -> Bounds:
    """Bounds on the difference of the arms' proportions, canary minus rest.

    ``early`` counts everybody, as of now, and gives lower bounds of 0 and more (see ``exceeds``).
    ``settled`` counts those who have been there long enough for the outcome, and gives the others:
    an outcome that is still to come would speak for the canary there. ``alphas`` are the chances
    that a lower bound, and that the upper bound, is ever wrong.
    """
    least, most = -1 / (1 - share), 1 / share
    low = lower(weighted(early, share), least, alphas[0])
    observed = weighted(settled, share)
    if low < 0:
        low = min(lower(observed, least, alphas[0]), 0.0)
    return Bounds(max(low, -1.0), min(upper(observed, most, alphas[1]), 1.0))


def gap(
    canary: tuple[Tally, Tally], rest: tuple[Tally, Tally], most: float, alphas: tuple[float, float]
) -> Bounds:
    """Bounds on the difference of two means of values between 0 and ``most``, canary minus rest,
    where nothing is known of how observations fall to the arms.

    Of each arm two tallies are given, as of now and settled: values may still grow in the first
    (bounds from below use it), and not in the second. Each bound is made of one bound an arm, at
    half its chance.
    """
    low = lower(canary[0], 0.0, alphas[0] / 2) - upper(rest[1], most, alphas[0] / 2)
    high = upper(canary[1], most, alphas[1] / 2) - lower(rest[0], 0.0, alphas[1] / 2)
    return Bounds(low, high)


def observations_wanted(variance: float, most: float, distance: float, alpha: float) -> float:
    """About how many observations it takes until a bound at ``alpha`` lies within ``distance`` of
    the mean, for values that deviate by ``most`` at most; infinite where ``distance`` is not above 0.

    It is what the best bet needs (Bernstein's form), and an allowance for averaging over bets.
    """
    if distance <= 0:
        return inf
    return (2 - log(alpha)) * (2 * variance / distance**2 + most / distance)
