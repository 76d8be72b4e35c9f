"""One version of an agent beside an earlier one, by the cases that both had. Pure.

Whether more became better than worse is told by McNemar's exact test ("Note on the sampling error of
the difference between correlated proportions or percentages", Psychometrika 12, 1947).
"""

from collections.abc import Iterable
from math import comb

import msgspec

from forestall.intervene.agents.evaluation import Evaluation


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A version beside an earlier one, by the cases that both had and that did not change.

    ``chance`` is that of so uneven a split of ``better`` and ``worse``, or a more uneven one, if the
    versions were equally good. ``changed`` cases say something else now, ``new`` ones were not there.
    """

    before: str
    model: str | None
    at: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    same: int
    changed: tuple[str, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]
    chance: float


def last_of_another(history: Iterable[Evaluation], now: Evaluation) -> Evaluation | None:
    """The newest evaluation of the same agent in another version, or with another model."""
    found = None
    for one in history:
        if one.agent == now.agent and (one.version, one.model) != (now.version, now.model):
            found = one
    return found


def compare(before: Evaluation, now: Evaluation) -> Comparison:
    """What changed for the cases that both had."""
    earlier = {one.name: one for one in before.results}
    better: list[str] = []
    worse: list[str] = []
    changed: list[str] = []
    new: list[str] = []
    same = 0
    for one in now.results:
        was = earlier.pop(one.name, None)
        if was is None:
            new.append(one.name)
        elif was.digest != one.digest:
            changed.append(one.name)
        elif was.passed == one.passed:
            same += 1
        else:
            (better if one.passed else worse).append(one.name)
    return Comparison(
        before=before.version,
        model=before.model,
        at=before.at,
        better=tuple(better),
        worse=tuple(worse),
        same=same,
        changed=tuple(changed),
        new=tuple(new),
        gone=tuple(earlier),
        chance=exact_chance(len(better), len(worse)),
    )


def exact_chance(better: int, worse: int) -> float:
    """McNemar's exact test, two-sided: the sign test over the cases that differ; 1 for none."""
    whole = better + worse
    tail = sum(comb(whole, count) for count in range(min(better, worse) + 1))
    return min(1.0, float(2 * tail / 2**whole))
