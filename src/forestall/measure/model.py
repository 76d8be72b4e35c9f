"""Models: the calibrated probability of an outcome, from a decision's features. Pure.

A model is additive (Hastie and Tibshirani, "Generalized Additive Models", 1986): each feature adds
a step function of its value to the log-odds, and a monotone calibration turns the sum into a
probability. So what a feature contributed is exact, not an estimate, and a prediction takes
microseconds. ``measure.training`` makes models.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Mapping
from itertools import pairwise
from math import exp
from typing import Any, Final

import msgspec

from forestall.contracts.errors import ForestallError

DIGITS: Final = 6
"""Decimal places of a probability: few enough that every machine says the same."""

LIMIT: Final = 1e6
"""The largest log-odds, slope or shift, either way, so that no sum overflows."""


class InvalidModel(ForestallError):
    """A model's content is not one: the message says where."""

    code = "invalid-model"
    exit_code = 2


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one feature adds to the log-odds.

    A number adds ``steps[i]``, where ``i`` counts the ``edges`` below it (true is 1, false 0); a
    text adds what ``values`` says, else ``other``; null, a list and an object add ``missing``.
    """

    name: str
    edges: tuple[float, ...]
    steps: tuple[float, ...]
    values: dict[str, float]
    other: float
    missing: float

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.edges) + 1:
            raise ValueError(f"{self.name}: there must be one step more than edges")
        _ascending(f"{self.name}: the edges", self.edges, strictly=True)
        _bounded(self.name, *self.steps, *self.values.values(), self.other, self.missing)

    def adds(self, value: Any) -> float:
        """What this value adds."""
        kind = value.__class__
        if kind is str:
            return self.values.get(value, self.other)
        if (kind is int or kind is float or kind is bool) and value == value:  # not NaN
            return self.steps[bisect_left(self.edges, value)]
        return self.missing


class Platt(msgspec.Struct, frozen=True, tag="platt", forbid_unknown_fields=True):
    """Logistic calibration: the probability's log-odds are ``slope`` times the score plus
    ``shift`` (Platt, "Probabilistic Outputs for Support Vector Machines", 1999)."""

    slope: float
    shift: float

    def __post_init__(self) -> None:
        _bounded("calibration", self.slope, self.shift)
        if self.slope < 0:
            raise ValueError("calibration: the slope must not be negative")

    def probability(self, score: float) -> float:
        """The probability at a score, in log-odds."""
        odds = self.slope * score + self.shift
        return 1 / (1 + exp(-odds)) if odds >= 0 else (small := exp(odds)) / (1 + small)


class Isotonic(msgspec.Struct, frozen=True, tag="isotonic", forbid_unknown_fields=True):
    """Calibration by rising steps: ``probabilities[i]``, where ``i`` counts the ``edges`` below the
    score (Zadrozny and Elkan, "Transforming Classifier Scores", 2002)."""

    edges: tuple[float, ...]
    probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.probabilities) != len(self.edges) + 1:
            raise ValueError("calibration: there must be one probability more than edges")
        _ascending("calibration: the edges", self.edges, strictly=True)
        _ascending("calibration: the probabilities", self.probabilities, strictly=False)
        if not (self.probabilities[0] >= 0 and self.probabilities[-1] <= 1):
            raise ValueError("calibration: a probability is between 0 and 1")

    def probability(self, score: float) -> float:
        """The probability at a score, in log-odds."""
        return self.probabilities[bisect_left(self.edges, score)]


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How likely an event of type ``outcome`` is within ``horizon`` microseconds of a decision.

    ``policy`` is the one whose decisions it learned from and ``definitions`` how that declared the
    features, where it is known; ``evidence`` says how it did on decisions that it had not seen
    (``measure.calibration.Evaluation``).
    """

    name: str
    outcome: str
    horizon: int
    policy: str
    intercept: float
    features: tuple[Feature, ...]
    calibration: Platt | Isotonic
    definitions: dict[str, Any] = {}
    evidence: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _bounded("intercept", self.intercept)
        if self.horizon <= 0:
            raise ValueError("the horizon must be above 0")
        if len(set(self.reads)) != len(self.features):
            raise ValueError("no feature may stand in it twice")

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the features it looks at; a policy that asks it has to declare them."""
        return tuple(one.name for one in self.features)


def predict(model: Model, features: Mapping[str, Any]) -> tuple[float, dict[str, float]]:
    """The probability, and what each feature added to the log-odds.

    It never raises, whatever the features hold.
    """
    contributions = {one.name: one.adds(features.get(one.name)) for one in model.features}
    score = log_odds(model, contributions)
    return round(model.calibration.probability(score), DIGITS), contributions


def log_odds(model: Model, contributions: Mapping[str, float]) -> float:
    """The score before calibration: the intercept plus the contributions, in their order.

    Added up one by one, since ``sum`` rounds differently from one Python to the next.
    """
    score = model.intercept
    for added in contributions.values():
        score += added
    return score


def verdict(model: Model) -> dict[str, Any]:
    """What the model's evidence says in short: whether it is ``useful``, and ``why`` not.

    Evidence is as good as who made it; training it again from the same log gives the same content.
    """
    useful = model.evidence.get("passed") is True
    why = model.evidence.get("why") if model.evidence else ["it was never tested"]
    return {"useful": useful, "why": why or []}


def decode(raw: bytes | msgspec.Raw) -> Model:
    """The model in a JSON text. Raises ``InvalidModel``."""
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidModel(f"not a model: {error}") from None


def canonical(model: Model) -> bytes:
    """The model's content: compact JSON with sorted keys."""
    return msgspec.json.encode(model, order="sorted")


def version(model: Model) -> str:
    """What names this very content: the lower-case hex SHA-256 of its canonical JSON."""
    return hashlib.sha256(canonical(model)).hexdigest()


_decoder = msgspec.json.Decoder(Model)


def _ascending(what: str, numbers: tuple[float, ...], *, strictly: bool) -> None:
    if not all(a < b if strictly else a <= b for a, b in pairwise(numbers)):
        raise ValueError(f"{what} must ascend")


def _bounded(where: str, *numbers: float) -> None:
    if not all(-LIMIT <= number <= LIMIT for number in numbers):
        raise ValueError(f"{where}: a log-odds is between -{LIMIT:.0f} and {LIMIT:.0f}")
