"""Training: from examples to a model, and to the evidence of how it does.

Boosted stumps (scikit-learn's histogram gradient boosting without interactions) are additive, so
the boosted function is read off feature by feature and kept as steps. What is trained, calibrated
and tested lies in three stretches of time, one after the other. The same examples and seed give
the same model. scikit-learn is needed here and nowhere else: ``pip install 'forestall[models]'``.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from forestall.contracts.errors import ForestallError
from forestall.measure import model as models
from forestall.measure.calibration import (
    Evaluation,
    Numbers,
    Sample,
    groups,
    noise,
    objections,
    scores,
)
from forestall.measure.examples import Example, Examples, Question, split
from forestall.measure.model import Feature, Isotonic, Model, Platt, log_odds, predict
from forestall.measure.statistics import RESAMPLES

LEAST: Final = {"train": (200, 20), "calibrate": (50, 10), "test": (100, 10)}
"""Decisions that each part must have, and how many of them with the outcome and without."""

ISOTONIC: Final = (1_000, 100)
"""From so many decisions, with so many of each kind, calibration is isotonic, else Platt's."""

KNOWN: Final = 20
"""Different subjects that must have had a text before a model may name it."""

TEXTS: Final = 50
"""Texts of one feature that a model tells apart, the most frequent ones."""

STUMPS: Final = 300
"""Stumps at most."""

_HUGE: Final = 1e100


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
        boosted = _boost(table, parts.train, parts.calibrate, seed)
        intercept, features = _read_off(boosted, table, parts.train)
    bare = Model(
        name=name,
        outcome=question.outcome,
        horizon=question.horizon,
        policy=question.policy,
        intercept=intercept,
        features=features,
        calibration=Platt(1.0, 0.0),
        definitions={one.name: definitions[one.name] for one in features} if definitions else {},
    )
    model = msgspec.structs.replace(bare, calibration=_calibrate(bare, parts.calibrate))
    before = (*parts.train, *parts.calibrate)
    share = sum(one.followed for one in before) / len(before)
    constant = [share] * len(parts.test)
    told = [predict(model, one.features)[0] for one in parts.test]
    happened = [one.followed for one in parts.test]
    found = scores(
        {
            "model": told,
            "constant": constant,
            "logistic": _logistic(table, before, parts.test),
        },
        happened,
        [one.subject for one in parts.test],
        constant,
        seed,
        resamples,
    )
    why = objections(found["model"])
    evidence = Evaluation(
        passed=not why,
        why=why,
        among=question.among,
        trained=sample(parts.train),
        calibrated=sample(parts.calibrate),
        tested=sample(parts.test),
        left_out=examples.left_out,
        noise=round(noise(told, seed), 6),
        groups=groups(told, happened),
        calibration="isotonic" if isinstance(model.calibration, Isotonic) else "platt",
        learned_until=parts.calibrate[-1].noticed,
        seed=seed,
        resamples=resamples,
        **found,
    )
    return msgspec.structs.replace(
        model, evidence=msgspec.json.decode(msgspec.json.encode(evidence))
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


class Table:
    """Features as columns: of numbers for those that have any, of codes for those with texts."""

    def __init__(self, names: Iterable[str], found: Sequence[Example]) -> None:
        """The table of the features called ``names``, for what they hold in ``found``."""
        self.names = sorted(names)
        self.texts = {name: texts for name in self.names if (texts := _texts(name, found))}
        self.numbers = [
            name
            for name in self.names
            if not all(math.isnan(_number(one.features.get(name))) for one in found)
        ]

    @property
    def categorical(self) -> list[bool]:
        """Which columns hold codes."""
        return [False] * len(self.numbers) + [True] * len(self.texts)

    def rows(self, found: Sequence[Example]) -> Numbers:
        """A row for each example; what is missing is not a number."""
        values = [
            [_number(one.features.get(name)) for name in self.numbers]
            + [_code(texts, one.features.get(name)) for name, texts in self.texts.items()]
            for one in found
        ]
        return np.asarray(values, dtype=float).reshape(len(found), -1)


def _texts(name: str, found: Sequence[Example]) -> Sequence[str]:
    """The texts of a feature that enough subjects had, so that none of them tells who it was."""
    subjects: dict[str, set[str]] = {}
    for one in found:
        value = one.features.get(name)
        if isinstance(value, str):
            subjects.setdefault(value, set()).add(one.subject)
    often = sorted((-len(who), text) for text, who in subjects.items() if len(who) >= KNOWN)
    return sorted(text for _, text in often[:TEXTS])


def _number(value: Any) -> float:
    if not isinstance(value, int | float):
        return math.nan
    return float(max(-_HUGE, min(_HUGE, value)))


def _code(known: Sequence[str], value: Any) -> float:
    """The place of a text among the known ones; one more for any other."""
    if not isinstance(value, str):
        return math.nan
    return float(known.index(value) if value in known else len(known))


def _truth(found: Sequence[Example]) -> NDArray[np.int64]:
    return np.asarray([one.followed for one in found], dtype=int)


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


LogOdds = Callable[[Numbers], Numbers]
"""From rows of a table to log-odds."""


def _boost(
    table: Table, train_on: Sequence[Example], stop_by: Sequence[Example], seed: int
) -> LogOdds:
    """Boosted stumps, as many as tell the later examples best."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows, truth = table.rows(train_on), _truth(train_on)

    def boosted(stumps: int) -> Any:
        return HistGradientBoostingClassifier(
            learning_rate=0.1,
            max_iter=stumps,
            max_leaf_nodes=2,
            min_samples_leaf=20,
            l2_regularization=1.0,
            max_bins=64,
            categorical_features=table.categorical,
            early_stopping=False,
            random_state=seed,
        ).fit(rows, truth)

    later, followed = table.rows(stop_by), _truth(stop_by)
    signs = 1 - 2 * followed
    losses = [
        float(np.logaddexp(0, signs * odds.ravel()).mean())
        for odds in boosted(STUMPS).staged_decision_function(later)
    ]
    best = boosted(int(np.argmin(losses)) + 1)
    return lambda wanted: np.asarray(best.decision_function(wanted), dtype=float)


def _read_off(
    boosted: LogOdds, table: Table, found: Sequence[Example]
) -> tuple[float, tuple[Feature, ...]]:
    """An additive function as an intercept and what each feature adds to it, 0 on average.

    What a feature adds is how the function changes when it alone is there. Features that never add
    anything are left out.
    """
    rows = table.rows(found)
    nothing = np.full((1, rows.shape[1]), math.nan)
    base = float(boosted(nothing)[0])

    def added(column: int, values: Numbers) -> Numbers:
        wanted = np.repeat(nothing, len(values), axis=0)
        wanted[:, column] = values
        return np.round(boosted(wanted) - base, 9)

    features = []
    for name in table.names:
        edges: tuple[float, ...] = ()
        steps: tuple[float, ...] = (0.0,)
        values, other = {}, 0.0
        if name in table.numbers:
            column = table.numbers.index(name)
            numbers = np.unique(rows[:, column][~np.isnan(rows[:, column])])
            edges, steps = _steps(numbers, added(column, numbers))
        if name in table.texts:
            column = len(table.numbers) + list(table.texts).index(name)
            texts = table.texts[name]
            *told, other = added(column, np.arange(len(texts) + 1.0)).tolist()
            values = dict(zip(texts, told, strict=True))
        features.append(Feature(name, edges, steps, values, other, 0.0))
    telling = [one for one in features if any((*one.steps, *one.values.values(), one.other))]
    means = [_mean(one, found) for one in telling]
    return round(base + sum(means), models.DIGITS), tuple(map(_less, telling, means))


def _steps(numbers: Numbers, added: Numbers) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The edges halfway between numbers that add something else, and the steps between them."""
    places = np.flatnonzero(np.diff(added)) + 1
    edges = numbers[places - 1] / 2 + numbers[places] / 2
    return tuple(edges.tolist()), (float(added[0]), *added[places].tolist())


def _mean(feature: Feature, found: Sequence[Example]) -> float:
    return math.fsum(feature.adds(one.features.get(feature.name)) for one in found) / len(found)


def _less(feature: Feature, mean: float) -> Feature:
    def moved(added: float) -> float:
        return round(added - mean, models.DIGITS)

    return Feature(
        feature.name,
        feature.edges,
        tuple(map(moved, feature.steps)),
        {text: moved(added) for text, added in feature.values.items()},
        moved(feature.other),
        moved(feature.missing),
    )


def _calibrate(bare: Model, found: Sequence[Example]) -> Platt | Isotonic:
    """Isotonic where there is enough for it, else Platt's; both never fall."""
    summed = np.asarray([log_odds(bare, predict(bare, one.features)[1]) for one in found])
    truth = _truth(found)
    decisions, each = ISOTONIC
    yes = int(truth.sum())
    if len(found) >= decisions and min(yes, len(found) - yes) >= each:
        return _isotonic(summed, truth)
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=100.0).fit(summed[:, None], truth)
    slope, shift = float(fitted.coef_[0][0]), float(fitted.intercept_[0])
    if slope < 0:
        slope, shift = 0.0, math.log(yes / (len(found) - yes))
    return Platt(round(slope, models.DIGITS), round(shift, models.DIGITS))


def _isotonic(summed: Numbers, truth: NDArray[np.int64]) -> Isotonic:
    """Steps; none says never or always, which so many cases cannot tell."""
    from sklearn.isotonic import IsotonicRegression

    least = 1 / (len(truth) + 2)
    fitted = IsotonicRegression(y_min=least, y_max=1 - least).fit(summed, truth)
    levels, first = np.unique(
        fitted.predict(np.unique(summed)).round(models.DIGITS), return_index=True
    )
    known = np.unique(summed)
    edges = (known[first[1:] - 1] + known[first[1:]]) / 2
    return Isotonic(tuple(edges.tolist()), tuple(levels.tolist()))


def _logistic(table: Table, before: Sequence[Example], after: Sequence[Example]) -> Sequence[float]:
    """What a logistic regression says of ``after``: the same features, numbers standardised, the
    mean for what is missing and a mark beside it, a column for each text."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(
        SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler()
    )
    columns = ColumnTransformer(
        [
            ("numbers", numbers, slice(0, len(table.numbers))),
            (
                "texts",
                OneHotEncoder(handle_unknown="ignore"),
                slice(len(table.numbers), None),
            ),
        ]
    )
    fitted = make_pipeline(columns, LogisticRegression(max_iter=1_000)).fit(
        table.rows(before), _truth(before)
    )
    return [float(one) for one in fitted.predict_proba(table.rows(after))[:, 1]]
