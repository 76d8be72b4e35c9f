"""Offline evaluation: what another policy would have brought, from a log with known propensities.

Where chance chose between actions, and the log says with which probability, rounds can be weighted
until they look as if the other policy had chosen. Four estimators of its mean reward:

- IPS, inverse propensity scores (Horvitz and Thompson, 1952): unbiased, widest interval;
- SNIPS, self-normalised (Swaminathan and Joachims, 2015): narrower, slightly biased;
- DM, the direct method: a model of the reward, as good as the model, and without an interval:
  resampling knows nothing of how wrong the model is;
- DR, doubly robust (Dudík, Langford and Li, 2011): the model, corrected by IPS on what it missed.

Intervals resample units (customers) with weights from Poisson(1), as ``measure.statistics`` does.
Needs numpy, so only the command line and tests load it.
"""

from collections.abc import Callable
from math import ceil, isfinite
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from forestall.contracts.errors import ForestallError
from forestall.measure.statistics import LEVEL, RESAMPLES, Estimate

MIN_EFFECTIVE: Final = 100
"""Effective rounds (Kish) below which no figure is given. At this number no single round carries
more than a tenth of the weight."""

MIN_OUTCOMES: Final = 10
"""Rounds with a reward other than 0, among those that carry weight, below which none is given."""

MAX_Z: Final = 4.0
"""Standard errors by which the mean weight may miss 1 before the propensities are not believed."""

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Code = Literal["no-overlap", "little-overlap", "wrong-propensities", "few-outcomes"]
_CHUNK = 2_000_000
_STEPS = 100


class InvalidRounds(ForestallError):
    """The rounds of a log do not fit together: shapes, or rows that are no distributions."""

    code = "invalid-rounds"
    exit_code = 2


class Rounds(msgspec.Struct, frozen=True, kw_only=True):
    """n logged rounds with k possible actions.

    ``taken`` (n) are the actions, ``reward`` (n) what followed; ``behaviour`` (n, k) the
    probabilities with which the logging policy chose, ``target`` (n, k) those of the policy to
    evaluate; ``predicted`` (n, k) the reward a model expects of each action (see ``crossfit``);
    ``unit`` (n) whom a round belongs to, each to itself if left out.
    """

    taken: Whole
    reward: Floats
    behaviour: Floats
    target: Floats
    predicted: Floats | None = None
    unit: Whole | None = None


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """The mean reward of a round: as ``logged``, and under the other policy by four estimators.

    ``effective`` is how many rounds under the other policy itself would tell as much (Kish).
    ``direct`` and ``doubly_robust`` are null without a reward model. ``difference`` is the best
    estimate, doubly robust or else SNIPS, less what was logged, both in the same resamples.
    """

    rounds: int
    units: int
    effective: float
    largest_weight: float
    logged: Estimate
    ips: Estimate
    snips: Estimate
    direct: Estimate | None
    doubly_robust: Estimate | None
    difference: Estimate
    seed: int


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """No figure, why, and what would help. ``needed`` is how many rounds like these would do."""

    rounds: int
    effective: float
    code: Code
    message: str
    advice: str
    needed: int | None = None


def evaluate(rounds: Rounds, seed: int, resamples: int = RESAMPLES) -> Evaluated | Refused:
    """The mean reward that the target policy would have had, or why it cannot be told.

    Raises ``InvalidRounds``.
    """
    _check(rounds)
    count = len(rounds.taken)
    index = np.arange(count)
    weight = rounds.target[index, rounds.taken] / rounds.behaviour[index, rounds.taken]
    refused = _refusal(rounds, weight)
    if refused is not None:
        return refused
    found = {"logged": rounds.reward, "ips": weight * rounds.reward, "weight": weight}
    if rounds.predicted is not None:
        direct = (rounds.target * rounds.predicted).sum(axis=1)
        missed = rounds.reward - rounds.predicted[index, rounds.taken]
        found |= {"direct": direct, "doubly_robust": direct + weight * missed}
    units, sums = _by_unit(rounds, np.column_stack([np.ones(count), *found.values()]))
    drawn = _resample(units, sums, seed, resamples)
    total = units @ sums
    place = {name: at for at, name in enumerate(found, 1)}

    def estimate(name: str, over: int = 0, less: str | None = None) -> Estimate:
        at = place[name]
        value, ratios = total[at] / total[over], drawn[:, at] / drawn[:, over]
        if less is not None:
            value -= total[place[less]] / total[0]
            ratios = ratios - drawn[:, place[less]] / drawn[:, 0]
        low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Estimate(float(value), float(low), float(high))

    modelled = "doubly_robust" in place
    return Evaluated(
        rounds=count,
        units=int(units.sum()),
        effective=_kish(weight),
        largest_weight=float(weight.max()),
        logged=estimate("logged"),
        ips=estimate("ips"),
        snips=estimate("ips", place["weight"]),
        direct=Estimate(estimate("direct").value) if modelled else None,
        doubly_robust=estimate("doubly_robust") if modelled else None,
        difference=(
            estimate("doubly_robust", less="logged")
            if modelled
            else estimate("ips", place["weight"], less="logged")
        ),
        seed=seed,
    )


def crossfit(
    design: Callable[[Whole, Whole], Floats],
    taken: Whole,
    reward: Floats,
    actions: int,
    fold: Whole,
    stratum: Whole | None = None,
) -> Floats:
    """The probability of a reward for each round and action, ``(n, actions)``, by models that saw
    nothing of the round's fold (Chernozhukov et al., 2018).

    ``design(rows, actions)`` gives the matrix of what is known of those rounds had those actions
    been taken; ``reward`` is 0 or 1; each ``stratum`` has models of its own.
    """
    strata = np.zeros_like(taken) if stratum is None else stratum
    predicted = np.zeros((len(taken), actions))
    for one in np.unique(strata):
        for held_out in np.unique(fold):
            train = np.flatnonzero((strata == one) & (fold != held_out))
            test = np.flatnonzero((strata == one) & (fold == held_out))
            if not len(test):
                continue
            weights = logistic(design(train, taken[train]), reward[train])
            for action in range(actions):
                matrix = design(test, np.full(len(test), action))
                predicted[test, action] = _sigmoid(weights[0] + matrix @ weights[1:])
    return predicted


def logistic(
    matrix: Floats, outcome: Floats, times: Floats | None = None, penalty: float = 1.0
) -> Floats:
    """The intercept and the coefficients of a logistic regression, by Newton's method.

    They minimise the log loss, each row counted ``times``, plus ``penalty / 2`` times the sum of
    the squared coefficients; the intercept is free.
    """
    design = np.column_stack([np.ones(len(matrix)), matrix])
    weight = np.ones(len(matrix)) if times is None else times
    ridge = np.full(design.shape[1], penalty)
    ridge[0] = 1e-9
    found = np.zeros(design.shape[1])

    def loss(at: Floats) -> float:
        score = design @ at
        total = (weight * (np.logaddexp(0, score) - outcome * score)).sum() + ridge @ at**2 / 2
        return float(total)

    now = loss(found)
    for _ in range(_STEPS):
        chance = _sigmoid(design @ found)
        slope = design.T @ (weight * (chance - outcome)) + ridge * found
        curve = (design * (weight * chance * (1 - chance))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        if float(slope @ step) < 1e-12:
            break
        size = 1.0
        while (then := loss(found - size * step)) > now and size > 1e-6:
            size /= 2
        found, now = found - size * step, then
    return found


def _sigmoid(score: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(score / 2)))


def _kish(weight: Floats) -> float:
    """The effective number of rounds (Kish, "Survey Sampling", 1965)."""
    square = float((weight**2).sum())
    return float(weight.sum()) ** 2 / square if square else 0.0


def _refusal(rounds: Rounds, weight: Floats) -> Refused | None:
    """Why these rounds tell nothing of the target policy, if they do not."""
    count = len(weight)
    blind = np.where(rounds.behaviour > 0, 0.0, rounds.target).sum(axis=1)
    ratios = np.zeros_like(rounds.target)
    np.divide(rounds.target**2, rounds.behaviour, out=ratios, where=rounds.behaviour > 0)
    spread = float(ratios.sum(axis=1).mean())
    effective = min(_kish(weight), count / spread if spread else 0.0)

    def refuse(code: Code, message: str, advice: str, needed: int | None = None) -> Refused:
        return Refused(
            rounds=count,
            effective=effective,
            code=code,
            message=message,
            advice=advice,
            needed=needed,
        )

    if (share := float(blind.mean())) > 0:
        return refuse(
            "no-overlap",
            f"for {share:.1%} of its choices the other policy does what was never tried there: "
            "the logged policy had no choice",
            "let chance choose where the two differ: a holdout, or a canary share",
        )
    if effective < MIN_EFFECTIVE:
        needed = ceil(MIN_EFFECTIVE * spread)
        return refuse(
            "little-overlap",
            f"{count:,} rounds tell as much as {effective:,.1f} under the other policy would; "
            f"{MIN_EFFECTIVE} are needed",
            f"about {needed:,} rounds like these, or a larger share for what was rarely done",
            needed,
        )
    units, sums = _by_unit(rounds, (weight - 1)[:, None])
    error = float(np.sqrt((units @ sums**2)[0])) / count
    off = float(weight.mean()) - 1
    if error > 0 and abs(off) > MAX_Z * error:
        return refuse(
            "wrong-propensities",
            f"weights are 1 on average when the logged probabilities are true; here {1 + off:.3f}, "
            f"{abs(off) / error:.1f} standard errors away",
            "look for what else decided who got what: an assignment by hand, or lost decisions",
        )
    seen = int(((weight > 0) & (rounds.reward != 0)).sum())
    if seen < MIN_OUTCOMES:
        return refuse(
            "few-outcomes",
            f"the outcome followed {seen} of the rounds that count; {MIN_OUTCOMES} are needed",
            "wait for more, or choose an outcome that is less rare",
        )
    return None


def _by_unit(rounds: Rounds, columns: Floats) -> tuple[Floats, Floats]:
    """The sums of ``columns`` by unit, with equal rows once: how often each, and the rows."""
    if rounds.unit is not None:
        _, of = np.unique(rounds.unit, return_inverse=True)
        columns = np.column_stack([np.bincount(of, weights=column) for column in columns.T])
    rows, times = np.unique(columns, axis=0, return_counts=True)
    return times.astype(np.float64), rows


def _resample(units: Floats, sums: Floats, seed: int, resamples: int) -> Floats:
    """The total of each column in each resample, ``(resamples, columns)``."""
    generator = np.random.default_rng(seed)
    at_once = max(1, _CHUNK // len(units))
    parts = []
    for start in range(0, resamples, at_once):
        size = (min(at_once, resamples - start), len(units))
        parts.append(generator.poisson(units, size=size) @ sums)
    drawn: Floats = np.concatenate(parts)
    return drawn


def _check(rounds: Rounds) -> None:
    count = len(rounds.taken)
    shape = rounds.behaviour.shape
    if not count:
        raise InvalidRounds("there are no rounds")
    if len(shape) != 2 or shape[0] != count or rounds.target.shape != shape:
        raise InvalidRounds(f"{count} rounds need a behaviour and a target of as many rows")
    others: list[tuple[str, Any, tuple[int, ...]]] = [
        ("reward", rounds.reward, (count,)),
        ("unit", rounds.unit, (count,)),
        ("predicted", rounds.predicted, shape),
    ]
    for name, values, wanted in others:
        if values is not None and values.shape != wanted:
            raise InvalidRounds(f"{name} has the shape {values.shape}, not {wanted}")
        if values is not None and not isfinite(float(np.sum(values))):
            raise InvalidRounds(f"{name} holds what is not a number")
    for name, chances in (("behaviour", rounds.behaviour), ("target", rounds.target)):
        if not (np.all(chances >= 0) and np.allclose(chances.sum(axis=1), 1, atol=1e-6)):
            raise InvalidRounds(f"{name}: each row must be a distribution over the actions")
    if int(rounds.taken.min()) < 0 or int(rounds.taken.max()) >= shape[1]:
        raise InvalidRounds(f"taken names an action outside 0 to {shape[1] - 1}")
    if not np.all(rounds.behaviour[np.arange(count), rounds.taken] > 0):
        raise InvalidRounds("an action was taken whose logged probability is 0")
