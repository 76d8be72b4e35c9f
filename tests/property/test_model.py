"""Models of any shape and features of any value: a prediction adds up, rises and never fails."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.instants import HOUR
from forestall.measure.model import (
    LIMIT,
    Feature,
    InvalidModel,
    Isotonic,
    Model,
    Platt,
    canonical,
    decode,
    log_odds,
    predict,
    version,
)

ODDS = st.floats(-LIMIT, LIMIT)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.sampled_from(["free", "pro", "", "ü"])
NAMES = st.sampled_from(["a", "b", "c", "d"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
VALUES = JSON | st.integers(-(10**400), 10**400)
FEATURES = st.dictionaries(NAMES, VALUES)


@st.composite
def features(draw: st.DrawFn, name: str) -> Feature:
    edges = draw(st.lists(FINITE, unique=True, max_size=5).map(sorted))
    steps = draw(st.lists(ODDS, min_size=len(edges) + 1, max_size=len(edges) + 1))
    values = draw(st.dictionaries(TEXTS, ODDS))
    return Feature(name, tuple(edges), tuple(steps), values, draw(ODDS), draw(ODDS))


@st.composite
def calibrations(draw: st.DrawFn) -> Platt | Isotonic:
    if draw(st.booleans()):
        return Platt(draw(st.floats(0, LIMIT)), draw(ODDS))
    edges = draw(st.lists(FINITE, unique=True, max_size=5).map(sorted))
    count = len(edges) + 1
    levels = draw(st.lists(st.floats(0, 1), min_size=count, max_size=count).map(sorted))
    return Isotonic(tuple(edges), tuple(levels))


@st.composite
def models(draw: st.DrawFn) -> Model:
    names = draw(st.lists(NAMES, unique=True))
    return Model(
        name="m",
        outcome="t",
        horizon=HOUR,
        policy="p",
        intercept=draw(ODDS),
        features=tuple(draw(features(name)) for name in names),
        calibration=draw(calibrations()),
    )


@given(models(), FEATURES)
def test_a_prediction_is_the_calibration_of_the_sum_and_never_fails(
    model: Model, given_: dict[str, Any]
) -> None:
    probability, contributions = predict(model, given_)
    assert 0 <= probability <= 1
    assert tuple(contributions) == model.reads
    assert probability == round(model.calibration.probability(log_odds(model, contributions)), 6)
    assert log_odds(model, contributions) == pytest.approx(
        model.intercept + sum(contributions.values()), rel=1e-9, abs=1e-6
    )


@given(calibrations(), FINITE, FINITE)
def test_calibration_never_falls(calibration: Platt | Isotonic, a: float, b: float) -> None:
    low, high = sorted([a, b])
    limit = 300 * LIMIT
    low, high = max(low, -limit), max(min(high, limit), -limit)
    assert calibration.probability(min(low, high)) <= calibration.probability(high)


@given(models(), FEATURES)
def test_each_feature_adds_by_itself(model: Model, given_: dict[str, Any]) -> None:
    whole = predict(model, given_)[1]
    for name in model.reads:
        alone = {name: given_[name]} if name in given_ else {}
        assert predict(model, alone)[1][name] == whole[name]


@given(models(), FEATURES, NAMES)
def test_null_is_the_same_as_not_there(model: Model, given_: dict[str, Any], name: str) -> None:
    without = {one: value for one, value in given_.items() if one != name}
    assert predict(model, {**given_, name: None}) == predict(model, without)


@given(models())
def test_content_keeps_its_version_there_and_back(model: Model) -> None:
    again = decode(canonical(model))
    assert version(again) == version(model)
    assert version(decode(json.dumps(json.loads(canonical(model))).encode())) == version(model)


@given(st.binary(max_size=60) | JSON.map(lambda one: json.dumps(one).encode()))
def test_anything_else_is_refused_and_never_breaks(raw: bytes) -> None:
    with pytest.raises(InvalidModel):
        decode(raw)
