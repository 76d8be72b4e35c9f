"""What a benchmark returns, and what several runs of it amount to."""

from collections.abc import Sequence
from statistics import median

import msgspec


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One number of one run: of what, in which unit, and what it is meant to be.

    ``id`` names the goal it belongs to (``F3``). A bound may be of this run, such as a time in
    fsyncs; ``target`` puts it in words where the bound alone does not tell.
    """

    what: str
    value: float
    unit: str
    id: str = ""
    at_least: float | None = None
    at_most: float | None = None
    target: str = ""


class Result(msgspec.Struct, frozen=True):
    """A figure over several runs. ``met`` is none where there is no target."""

    bench: str
    id: str
    what: str
    median: float
    low: float
    high: float
    unit: str
    target: str
    at_least: float | None
    at_most: float | None
    met: bool | None
    runs: list[float]


def summarise(bench: str, runs: Sequence[Sequence[Figure]]) -> list[Result]:
    """The median, the least and the greatest of each figure over ``runs``, in their order.

    A target is met if the median is within the median of the runs' bounds. A figure that some runs
    lack has fewer values.
    """
    found: dict[str, list[Figure]] = {}
    for figures in runs:
        for figure in figures:
            found.setdefault(figure.what, []).append(figure)
    return [_result(bench, figures) for figures in found.values()]


def _result(bench: str, figures: list[Figure]) -> Result:
    first = figures[0]
    values = [figure.value for figure in figures]
    middle = median(values)
    least = _bound([figure.at_least for figure in figures])
    most = _bound([figure.at_most for figure in figures])
    bounded = least is not None or most is not None
    return Result(
        bench,
        first.id,
        first.what,
        middle,
        min(values),
        max(values),
        first.unit,
        first.target or _in_words(least, most),
        least,
        most,
        (least is None or middle >= least) and (most is None or middle <= most)
        if bounded
        else None,
        values,
    )


def _bound(bounds: list[float | None]) -> float | None:
    known = [bound for bound in bounds if bound is not None]
    return median(known) if known else None


def _in_words(least: float | None, most: float | None) -> str:
    words = []
    if least is not None:
        words.append(f"at least {number(least)}")
    if most is not None:
        words.append(f"at most {number(most)}")
    return " and ".join(words)


def number(value: float) -> str:
    """A number for people: three digits that mean something, thousands apart."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.1 else f"{value:.3g}"
