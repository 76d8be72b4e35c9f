"""Estimates with bootstrap intervals over customers. Pure; chance comes from a seed.

A customer's events hang together, so customers are resampled, not events. Each resample gives every
customer a weight drawn from Poisson(1), the "Poisson bootstrap" (Chamandy, Muralidharan, Najmi and
Naidu, "Estimating Uncertainty for Massive Data Streams", 2012). Customers with the same tallies are
one group, whose weight is drawn at once from Poisson(its size): a resample costs as much as there
are different tallies, however many customers there are.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from hashlib import shake_128
from itertools import accumulate
from math import ceil, exp, lgamma, log, sqrt
from operator import mul
from struct import unpack
from typing import Final

import msgspec

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
    customers: Iterable[Mapping[int, int]],
    share: float,
    seed: int,
    resamples: int = RESAMPLES,
) -> Estimate:
    """The value that ``share`` of all values do not exceed (nearest rank).

    Each customer is a tally: how often each value. A resample's quantile is at most x exactly when
    the ratio of its values up to x reaches ``share``, so the interval is found by bisection.
    """
    alike = Counter(tuple(tally.items()) for tally in customers)
    total: Counter[int] = Counter()
    for tally, size in alike.items():
        for value, times in tally:
            total[value] += times * size
    values = sorted(total)
    if not values:
        return Estimate(None)

    @cache
    def reached(limit: int) -> float:
        pairs: Counter[tuple[int, int]] = Counter()
        for tally, size in alike.items():
            below = sum(times for value, times in tally if value <= limit)
            pairs[below, sum(times for _, times in tally)] += size
        found = _resampled(pairs, seed, resamples)
        return sum(one >= share for one in found) / (len(found) or 1)

    def edge(part: float) -> int:
        return values[min(bisect_left(values, part, key=reached), len(values) - 1)]

    low, high = edge((1 - LEVEL) / 2), edge((1 + LEVEL) / 2)
    middle = float(_nearest_rank(total, share))
    return Estimate(middle) if low == high else Estimate(middle, low, high)


def draws(seed: int, resample: int, count: int) -> tuple[int, ...]:
    """``count`` numbers that look drawn evenly from 0 to 2^64 - 1, the same ones every time.

    They are the output of SHAKE-128 (FIPS 202) for the two numbers.
    """
    digest = shake_128(f"{seed}:{resample}".encode()).digest(8 * count)
    return unpack(f"<{count}Q", digest)


def _resampled(customers: Mapping[tuple[int, int], int], seed: int, resamples: int) -> list[float]:
    """The ratio in each resample, ascending; resamples with nothing to divide by are left out."""
    groups = sorted((pair, size) for pair, size in customers.items() if pair[1])
    parts = [part for (part, _), _ in groups]
    wholes = [whole for (_, whole), _ in groups]
    chances = [_poisson(size) for _, size in groups]
    found = []
    for resample in range(resamples):
        numbers = draws(seed, resample, len(groups))
        weights = [
            least + bisect_left(sums, number)
            for (least, sums), number in zip(chances, numbers, strict=True)
        ]
        whole = sum(map(mul, weights, wholes))
        if whole:
            found.append(sum(map(mul, weights, parts)) / whole)
    return sorted(found)


@lru_cache(maxsize=4096)
def _poisson(mean: int) -> tuple[int, list[int]]:
    """The least count worth telling, and from it the chance of each count or a smaller one, as a
    part of 2^64."""
    spread = ceil(10 * sqrt(mean)) + 10
    least = max(0, mean - spread)
    chances = (
        exp(count * log(mean) - mean - lgamma(count + 1)) for count in range(least, mean + spread)
    )
    return least, [int(chance * 2**64) for chance in accumulate(chances)]


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
