"""Estimates with bootstrap intervals over customers. Pure; chance comes from a seed.

A customer's events hang together, so customers are resampled, not events. Each resample gives every
customer a weight drawn from Poisson(1), the "Poisson bootstrap" (Chamandy, Muralidharan, Najmi and
Naidu, "Estimating Uncertainty for Massive Data Streams", 2012). Customers with the same tallies are
one group, whose weight is drawn at once from Poisson(its size): a resample costs as much as there
are different tallies, however many customers there are.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import ceil, exp, lgamma, log, sqrt
from typing import Final

import msgspec
import xxhash

RESAMPLES: Final = 1_000
LEVEL: Final = 0.95


class Estimate(msgspec.Struct, frozen=True):
    """A figure and its 95 % interval (percentile bootstrap).

    ``value`` is null where there is nothing to divide by; ``low`` and ``high`` are null where
    resampling cannot tell them apart, as when every customer says the same.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


def ratio(
    customers: Mapping[tuple[int, int], int], seed: int, resamples: int = RESAMPLES
) -> Estimate:
    """The sum of the first numbers over the sum of the second.

    ``customers`` counts them by their pair of numbers.
    """
    value = _divide(
        sum(part * n for (part, _), n in customers.items()),
        sum(whole * n for (_, whole), n in customers.items()),
    )
    return Estimate(value, *_interval(_resampled(customers, seed, resamples)))


def quantile(
    customers: Sequence[Mapping[int, int]],
    share: float,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """The value that ``share`` of all values do not exceed (nearest rank).

    Each customer is a tally: how often each value. A resample's quantile is at most x exactly when
    the ratio of its values up to x reaches ``share``, so the interval is found by bisection.
    """
    total: Counter[int] = Counter()
    for tally in customers:
        total.update(tally)
    values = sorted(total)
    if not values:
        return Estimate(None)

    def reached(value: int) -> float:
        pairs = Counter(
            (sum(n for one, n in tally.items() if one <= value), sum(tally.values()))
            for tally in customers
        )
        found = _resampled(pairs, seed, resamples)
        return sum(one >= share for one in found) / (len(found) or 1)

    def edge(part: float) -> int:
        return values[min(bisect_left(values, part, key=reached), len(values) - 1)]

    low, high = edge((1 - LEVEL) / 2), edge((1 + LEVEL) / 2)
    middle = float(_nearest_rank(total, share))
    return Estimate(middle) if low == high else Estimate(middle, low, high)


def uniforms(seed: int) -> Iterator[float]:
    """Numbers that look drawn evenly from [0, 1): the same ones for the same seed."""
    number = 0
    while True:
        digest = xxhash.xxh3_64_intdigest(number.to_bytes(8, "big"), seed)
        yield (digest >> 11) / 2**53
        number += 1


def _resampled(customers: Mapping[tuple[int, int], int], seed: int, resamples: int) -> list[float]:
    """The ratio in each resample, ascending; resamples with nothing to divide by are left out."""
    groups = [(pair, *_poisson(size)) for pair, size in sorted(customers.items()) if pair[1]]
    chance = uniforms(seed)
    found = []
    for _ in range(resamples):
        parts = wholes = 0
        for (part, whole), least, chances in groups:
            weight = least + bisect_left(chances, next(chance))
            parts += weight * part
            wholes += weight * whole
        if wholes:
            found.append(parts / wholes)
    return sorted(found)


def _poisson(mean: int) -> tuple[int, list[float]]:
    """The least count worth telling, and from it the chance of each count or a smaller one."""
    spread = ceil(10 * sqrt(mean)) + 10
    least = max(0, mean - spread)
    counts = range(least, mean + spread)
    return least, list(
        accumulate(exp(count * log(mean) - mean - lgamma(count + 1)) for count in counts)
    )


def _interval(found: Sequence[float]) -> tuple[float | None, float | None]:
    if not found:
        return None, None
    low, high = (
        found[max(0, ceil(part * len(found)) - 1)] for part in ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    )
    return (None, None) if low == high else (low, high)


def _nearest_rank(tally: Mapping[int, int], share: float) -> int:
    values = sorted(tally)
    sums = list(accumulate(tally[value] for value in values))
    return values[bisect_left(sums, share * sums[-1])]


def _divide(part: int, whole: int) -> float | None:
    return part / whole if whole else None
