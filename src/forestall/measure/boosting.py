"""Boosted stumps, read off as what each feature adds; and a logistic regression to compare with.

Both are scikit-learn's. Boosted stumps are additive, so the boosted function is the sum of one
function a feature, which is kept as steps.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from forestall.measure.calibration import Numbers
from forestall.measure.examples import Example
from forestall.measure.model import DIGITS, Feature

KNOWN: Final = 20
"""Different subjects that must have had a text before a model may name it."""

TEXTS: Final = 50
"""Texts of one feature that a model tells apart, the most frequent ones."""

STUMPS: Final = 300
"""Stumps at most."""

_HUGE: Final = 1e100


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


def truth_of(found: Sequence[Example]) -> NDArray[np.int64]:
    """1 where the outcome followed, else 0."""
    return np.asarray([one.followed for one in found], dtype=int)


LogOdds = Callable[[Numbers], Numbers]
"""From rows of a table to log-odds."""


def boost(
    table: Table, train_on: Sequence[Example], stop_by: Sequence[Example], seed: int
) -> LogOdds:
    """Boosted stumps, as many as tell the later examples best."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows, truth = table.rows(train_on), truth_of(train_on)

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

    later, followed = table.rows(stop_by), truth_of(stop_by)
    signs = 1 - 2 * followed
    losses = [
        float(np.logaddexp(0, signs * odds.ravel()).mean())
        for odds in boosted(STUMPS).staged_decision_function(later)
    ]
    best = boosted(int(np.argmin(losses)) + 1)
    return lambda wanted: np.asarray(best.decision_function(wanted), dtype=float)


def read_off(
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
    return round(base + sum(means), DIGITS), tuple(map(_less, telling, means))


def _steps(numbers: Numbers, added: Numbers) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The edges halfway between numbers that add something else, and the steps between them."""
    places = np.flatnonzero(np.diff(added)) + 1
    edges = numbers[places - 1] / 2 + numbers[places] / 2
    return tuple(edges.tolist()), (float(added[0]), *added[places].tolist())


def _mean(feature: Feature, found: Sequence[Example]) -> float:
    return math.fsum(feature.adds(one.features.get(feature.name)) for one in found) / len(found)


def _less(feature: Feature, mean: float) -> Feature:
    def moved(added: float) -> float:
        return round(added - mean, DIGITS)

    return Feature(
        feature.name,
        feature.edges,
        tuple(map(moved, feature.steps)),
        {text: moved(added) for text, added in feature.values.items()},
        moved(feature.other),
        moved(feature.missing),
    )


def logistic(table: Table, before: Sequence[Example], after: Sequence[Example]) -> Sequence[float]:
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
        table.rows(before), truth_of(before)
    )
    return [float(one) for one in fitted.predict_proba(table.rows(after))[:, 1]]
