"""Is it chance? Tests for what is watched day after day, each with a false alarm rate that holds.

``Wager`` watches probabilities against outcomes at every moment; the others compare a stretch of
time with earlier ones, once a look. ``surprising`` picks from the p-values of one look. Pure.
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import exp, log, log1p, sqrt
from typing import Any, Final

from scipy import special, stats

SHIFTS: Final = (-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0)
"""By how much the log-odds of what happens may be off, against which a wager bets. Evidence gathers
only where they are off by more than about half the smallest."""

SLOPES: Final = (0.5, 2.0)
"""By which factor: probabilities that are too bold, or too timid."""

_FACTORS: Final = tuple((shift, exp(shift)) for shift in SHIFTS)
_INSIDE: Final = 1e-6
_SMALLEST: Final = 5


class Wager:
    """Evidence that probabilities are not what happens, valid at every moment (an e-process).

    For each way of being wrong it multiplies the likelihood ratios; the mean of these products is a
    martingale where the probabilities are right, so that it ever exceeds ``1 / alpha`` with a
    chance of ``alpha`` at most, however often and whenever one looks (Ville, 1939; Ramdas, Grünwald,
    Vovk and Shafer, "Game-Theoretic Statistics and Safe Anytime-Valid Inference", 2023).
    Cases have to come in an order that does not depend on their own outcomes.
    """

    __slots__ = ("_logs", "count", "happened", "peak", "said")

    def __init__(self) -> None:
        self._logs = [0.0] * (len(SHIFTS) + len(SLOPES))
        self.count = 0
        self.said = self.happened = self.peak = 0.0

    def take(self, probability: float, happened: bool, least: int = 1) -> None:
        """Take the next case. ``peak`` counts from the case ``least`` on."""
        inside = min(max(probability, _INSIDE), 1 - _INSIDE)
        odds = inside / (1 - inside)
        base, gain, logs = log1p(odds), log(odds), self._logs
        for at, (shift, factor) in enumerate(_FACTORS):
            logs[at] += base - log1p(odds * factor) + (shift if happened else 0.0)
        for at, slope in enumerate(SLOPES, len(_FACTORS)):
            logs[at] += base - log1p(odds**slope) + ((slope - 1) * gain if happened else 0.0)
        self.count += 1
        self.said += probability
        self.happened += happened
        if self.count >= least:
            self.peak = max(self.peak, self.evidence)

    @property
    def evidence(self) -> float:
        """The natural logarithm of the e-value now."""
        top = max(self._logs)
        return top + log(sum(exp(one - top) for one in self._logs) / len(self._logs))


def spent(number: int, alpha: float) -> float:
    """The part of ``alpha`` for the hypothesis that comes as the ``number``th, from 1.

    All parts together are ``alpha``, however many come.
    """
    return alpha / (number * (number + 1))


def surprising(chances: Sequence[float], alpha: float) -> list[bool]:
    """Which of the p-values of one look are too small for chance (Benjamini and Yekutieli, 2001).

    Of what it picks, at most the share ``alpha`` is chance, in expectation and however the tests
    depend on each other; where nothing changed at all, it picks anything with a chance of ``alpha``
    at most.
    """
    count = len(chances)
    harmonic = sum(1 / rank for rank in range(1, count + 1))
    limit = 0.0
    for rank, chance in enumerate(sorted(chances), 1):
        if chance <= rank * alpha / (count * harmonic):
            limit = chance
    return [chance <= limit for chance in chances] if limit else [one == 0 for one in chances]


def homogeneous(first: Sequence[int], second: Sequence[int]) -> float:
    """The p-value of two samples, counted by cell, coming from one population (Pearson's test).

    Cells that are too thin for it are joined.
    """
    one, other = _joined(first, second)
    if len(one) < 2:
        return 1.0
    both = sum(one), sum(other)
    statistic = 0.0
    for pair in zip(one, other, strict=True):
        for cell, whole in zip(pair, both, strict=True):
            expected = sum(pair) * whole / sum(both)
            statistic += (cell - expected) ** 2 / expected
    return float(special.chdtrc(len(one) - 1, statistic))


def stability(first: Sequence[int], second: Sequence[int]) -> float:
    """The population stability index of two samples, counted by cell: below 0.1 little, from 0.25
    on a lot (Siddiqi, "Credit Risk Scorecards", 2006). Half a case is added to each cell."""
    cells = len(first)
    one = [(n + 0.5) / (sum(first) + cells / 2) for n in first]
    other = [(n + 0.5) / (sum(second) + cells / 2) for n in second]
    return sum((b - a) * log(b / a) for a, b in zip(one, other, strict=True))


def rates_differ(first: tuple[int, int], second: tuple[int, int]) -> float:
    """The p-value of two rates, each ``(cases, of)``, being one (Fisher's exact test)."""
    table = [[cases, of - cases] for cases, of in (first, second)]
    return float(stats.fisher_exact(table).pvalue)


def unlike(earlier: Sequence[float], now: float, noise: float) -> float:
    """The p-value of ``now`` being one more of the values ``earlier``: a t test for a single new
    observation. ``noise`` is a variance that there is at the least."""
    count = len(earlier)
    mean = sum(earlier) / count
    variance = sum((one - mean) ** 2 for one in earlier) / (count - 1)
    spread = sqrt(max(variance, noise) * (1 + 1 / count))
    if not spread:
        return 1.0 if now == mean else 0.0
    return float(2 * special.stdtr(count - 1, -abs(now - mean) / spread))


def cells(first: Sequence[Any], second: Sequence[Any], most: int) -> tuple[list[int], list[int]]:
    """Two samples of one feature counted by the same cells.

    Numbers have a cell each where they are few, else at most ``most`` of about equal size in both
    together; all else has one for each of the most frequent values, one for the others, and one
    for null.
    """
    edges = _edges(sorted(one for one in (*first, *second) if _number(one)), most)
    tally: dict[str, int] = {}
    for one in (*first, *second):
        if not _number(one) and one is not None:
            tally[_word(one)] = tally.get(_word(one), 0) + 1
    words = [word for _, word in sorted((-n, word) for word, n in tally.items())[: most - 1]]
    place = {word: at for at, word in enumerate(words, len(edges) + 1)}
    size = len(edges) + len(words) + 3

    def count(sample: Sequence[Any]) -> list[int]:
        found = [0] * size
        for one in sample:
            if _number(one):
                found[bisect_left(edges, one)] += 1
            elif one is None:
                found[size - 1] += 1
            else:
                found[place.get(_word(one), size - 2)] += 1
        return found

    both = count(first), count(second)
    used = [at for at in range(size) if both[0][at] or both[1][at]]
    return [both[0][at] for at in used], [both[1][at] for at in used]


def _edges(ascending: Sequence[float], most: int) -> list[float]:
    different = sorted(set(ascending))
    if len(different) <= most:
        return different[:-1]
    return sorted({ascending[len(ascending) * at // most] for at in range(1, most)})


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _word(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _joined(first: Sequence[int], second: Sequence[int]) -> tuple[list[int], list[int]]:
    """The cells, with those next to each other joined until either sample expects enough in each."""
    smaller = min(sum(first), sum(second)) / ((sum(first) + sum(second)) or 1)
    found: list[tuple[int, int]] = []
    held = (0, 0)
    for one, other in zip(first, second, strict=True):
        held = (held[0] + one, held[1] + other)
        if sum(held) * smaller >= _SMALLEST:
            found.append(held)
            held = (0, 0)
    if any(held) and found:
        last = found.pop()
        found.append((last[0] + held[0], last[1] + held[1]))
    return [one for one, _ in found], [other for _, other in found]
