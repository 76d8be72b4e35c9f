"""Training: from examples to a model, and to the evidence of how it does.

What is trained, calibrated and tested lies in three stretches of time, one after the other. The same
examples and seed give the same model. scikit-learn is needed here (and in ``boosting``) and nowhere
else: ``pip install 'forestall[models]'``.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from forestall.contracts.errors import ForestallError
from forestall.measure.boosting import Table, boost, logistic, read_off, truth_of
from forestall.measure.calibration import (
    Evaluation,
    Numbers,
    Sample,
    groups,
    noise,
    objections,
    scores,
)
from forestall.measure.examples import Among, Example, Examples, Parts, Question, split
from forestall.measure.model import DIGITS, Isotonic, Model, Platt, log_odds, predict
from forestall.measure.statistics import RESAMPLES

LEAST: Final = {"train": (200, 20), "calibrate": (50, 10), "test": (100, 10)}
"""Decisions that each part must have, and how many of them with the outcome and without."""

ISOTONIC: Final = (1_000, 100)
"""From so many decisions, with so many of each kind, calibration is isotonic, else Platt's."""


class TooFewExamples(ForestallError):
    """The log does not hold enough to learn from; the message says what is missing."""

    code = "too-few-examples"


class TrainingNotInstalled(ForestallError):
    """Training needs scikit-learn: ``pip install 'forestall[models]'``."""

    code = "training-not-installed"
    exit_code = 2


def train(
    name: str,
    question: Question,
    examples: Examples,
    *,
    definitions: Mapping[str, Any] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Model:
    """A model that answers ``question``, with its ``Evaluation`` as evidence.

    ``definitions`` are the declarations of the policy's features, where known: only these are
    read, and kept in the model. Raises ``TooFewExamples`` and ``TrainingNotInstalled``.
    """
    parts = split(examples.found, question.horizon)
    for part, found in parts._asdict().items():
        _enough(part, found, len(examples.found))
    names = definitions or {name for one in parts.train for name in one.features}
    table = Table(names, parts.train)
    if not table.categorical:
        raise TooFewExamples(f"the decisions of {question.policy} have no features to learn from")
    with _one_thread():
        intercept, features = read_off(
            boost(table, parts.train, parts.calibrate, seed), table, parts.train
        )
        bare = Model(
            name=name,
            outcome=question.outcome,
            horizon=question.horizon,
            policy=question.policy,
            intercept=intercept,
            features=features,
            calibration=Platt(1.0, 0.0),
            definitions={one.name: definitions[one.name] for one in features if definitions},
        )
        model = msgspec.structs.replace(bare, calibration=_calibrate(bare, parts.calibrate))
        plain = logistic(table, (*parts.train, *parts.calibrate), parts.test)
    found = _evaluate(model, plain, parts, question.among, examples.left_out, seed, resamples)
    evidence = msgspec.json.decode(msgspec.json.encode(found))
    return msgspec.structs.replace(model, evidence=evidence)


def _evaluate(
    model: Model,
    plain: Sequence[float],
    parts: Parts,
    among: Among,
    left_out: dict[str, int],
    seed: int,
    resamples: int,
) -> Evaluation:
    """How the model does on the newest part, beside the constant and what ``plain`` says."""
    told = [predict(model, one.features)[0] for one in parts.test]
    happened = [one.followed for one in parts.test]
    before = [one.followed for one in (*parts.train, *parts.calibrate)]
    constant = [sum(before) / len(before)] * len(told)
    found = scores(
        {"model": told, "constant": constant, "logistic": plain},
        happened,
        [one.subject for one in parts.test],
        constant,
        seed,
        resamples,
    )
    why = objections(found["model"])
    return Evaluation(
        passed=not why,
        why=why,
        among=among,
        trained=sample(parts.train),
        calibrated=sample(parts.calibrate),
        tested=sample(parts.test),
        left_out=left_out,
        noise=round(noise(told, seed), 6),
        groups=groups(told, happened),
        calibration="isotonic" if isinstance(model.calibration, Isotonic) else "platt",
        learned_until=parts.calibrate[-1].noticed,
        seed=seed,
        resamples=resamples,
        **found,
    )


def sample(found: Sequence[Example]) -> Sample:
    """How many examples there are; at least one is needed."""
    return Sample(
        len(found),
        len({one.subject for one in found}),
        sum(one.followed for one in found),
        found[0].noticed,
        found[-1].noticed,
    )


def _enough(part: str, found: Sequence[Example], whole: int) -> None:
    decisions, each = LEAST[part]
    yes = sum(one.followed for one in found)
    if len(found) >= decisions and min(yes, len(found) - yes) >= each:
        return
    raise TooFewExamples(
        f"there is too little to {part} with: {len(found)} decisions, {yes} of them with the outcome"
        f" (of {whole} in all); {decisions} are needed, at least {each} with the outcome and {each}"
        " without. Wait for more, take a policy that decides more often, or a shorter horizon"
    )


def _one_thread() -> AbstractContextManager[Any]:
    """More threads would spend their time waiting for each other, on so little data."""
    try:
        import sklearn.ensemble  # noqa: F401 - loads the libraries that have threads
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise TrainingNotInstalled(
            "training a model needs scikit-learn; pip install 'forestall[models]'"
        ) from None
    return cast("AbstractContextManager[Any]", threadpool_limits(1))


def _calibrate(bare: Model, found: Sequence[Example]) -> Platt | Isotonic:
    """Isotonic where there is enough for it, else Platt's; both never fall."""
    summed = np.asarray([log_odds(bare, predict(bare, one.features)[1]) for one in found])
    truth = truth_of(found)
    decisions, each = ISOTONIC
    yes = int(truth.sum())
    if len(found) >= decisions and min(yes, len(found) - yes) >= each:
        return _isotonic(summed, truth)
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=100.0).fit(summed[:, None], truth)
    slope, shift = float(fitted.coef_[0][0]), float(fitted.intercept_[0])
    if slope < 0:
        slope, shift = 0.0, math.log(yes / (len(found) - yes))
    return Platt(round(slope, DIGITS), round(shift, DIGITS))


def _isotonic(summed: Numbers, truth: NDArray[np.int64]) -> Isotonic:
    """Steps; none says never or always, which so many cases cannot tell."""
    from sklearn.isotonic import IsotonicRegression

    least = 1 / (len(truth) + 2)
    fitted = IsotonicRegression(y_min=least, y_max=1 - least).fit(summed, truth)
    levels, first = np.unique(fitted.predict(np.unique(summed)).round(DIGITS), return_index=True)
    known = np.unique(summed)
    edges = (known[first[1:] - 1] + known[first[1:]]) / 2
    return Isotonic(tuple(edges.tolist()), tuple(levels.tolist()))
