"""Models: what a prediction is made of, what content is refused, and how fast it is."""

import json
from math import exp
from typing import Any

import msgspec
import pytest

from forestall.contracts.instants import DAY
from forestall.measure.model import (
    Feature,
    InvalidModel,
    Isotonic,
    Model,
    Platt,
    canonical,
    decode,
    predict,
    verdict,
    version,
)

FAILURES = Feature("failures", (0.0, 2.5), (-0.5, 0.25, 1.5), {}, 0.0, -0.125)
PLAN = Feature("plan", (), (0.125,), {"free": 0.5, "pro": -1.0}, 0.0625, 0.03125)


def _model(**changes: Any) -> Model:
    model = Model(
        name="ticket-propensity",
        outcome="forestall.ticket.opened",
        horizon=7 * DAY,
        policy="checkout-failed",
        intercept=-2.0,
        features=(FAILURES, PLAN),
        calibration=Platt(1.0, 0.0),
    )
    return msgspec.structs.replace(model, **changes)


@pytest.mark.parametrize(
    ("value", "added"),
    [
        (-1, -0.5),
        (0, -0.5),
        (0.1, 0.25),
        (2.5, 0.25),
        (2.6, 1.5),
        (10**400, 1.5),
        (-(10**400), -0.5),
        (True, 0.25),
        (False, -0.5),
        (float("inf"), 1.5),
        (float("-inf"), -0.5),
        (None, -0.125),
        (float("nan"), -0.125),
        ([1], -0.125),
        ({"a": 1}, -0.125),
        ("3", 0.0),
    ],
)
def test_a_number_adds_its_step_and_anything_else_what_is_missing(value: Any, added: float) -> None:
    assert predict(_model(), {"failures": value})[1]["failures"] == added


@pytest.mark.parametrize(
    ("value", "added"),
    [("free", 0.5), ("pro", -1.0), ("team", 0.0625), ("", 0.0625), (None, 0.03125), (7, 0.125)],
)
def test_a_text_adds_what_its_value_says(value: Any, added: float) -> None:
    assert predict(_model(), {"plan": value})[1]["plan"] == added


def test_a_feature_that_is_not_there_is_missing() -> None:
    assert predict(_model(), {})[1] == {"failures": -0.125, "plan": 0.03125}


def test_a_feature_that_the_model_does_not_read_changes_nothing() -> None:
    assert predict(_model(), {"failures": 3}) == predict(_model(), {"failures": 3, "other": 1e9})


def test_the_probability_is_the_calibration_of_the_sum() -> None:
    probability, contributions = predict(_model(), {"failures": 3, "plan": "pro"})
    score = -2.0 + sum(contributions.values())
    assert score == -1.5
    assert probability == round(1 / (1 + exp(1.5)), 6)


def test_platt_bends_the_log_odds() -> None:
    platt = Platt(0.5, 1.0)
    assert platt.probability(-2.0) == 0.5
    assert platt.probability(2.0) == 1 / (1 + exp(-2.0))
    assert platt.probability(-6.0) == pytest.approx(exp(-2.0) / (1 + exp(-2.0)), rel=1e-15)


def test_the_largest_scores_do_not_overflow() -> None:
    assert Platt(1e6, 1e6).probability(1e6 * 300) == 1.0
    assert Platt(1e6, -1e6).probability(-1e6 * 300) == 0.0


def test_isotonic_calibration_takes_the_step_that_the_score_reached() -> None:
    steps = Isotonic((-1.0, 1.0), (0.05, 0.2, 0.7))
    assert [steps.probability(score) for score in (-5, -1, -0.9, 1, 1.1)] == [
        0.05,
        0.05,
        0.2,
        0.2,
        0.7,
    ]


def test_content_goes_there_and_back() -> None:
    for calibration in (Platt(0.9, -0.1), Isotonic((0.0,), (0.1, 0.2))):
        model = _model(calibration=calibration, evidence={"passed": True, "auc": 0.75})
        assert decode(canonical(model)) == model


def test_the_version_names_the_content_however_it_is_written() -> None:
    model = _model()
    loose = json.dumps(json.loads(canonical(model)), indent=2).encode()
    assert version(decode(loose)) == version(model)
    assert version(_model(intercept=-2.5)) != version(model)
    assert version(_model(evidence={"passed": False})) != version(model)
    assert len(version(model)) == 64


def test_reads_names_the_features() -> None:
    assert _model().reads == ("failures", "plan")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"horizon": 0}, "horizon must be above 0"),
        ({"intercept": 1e7}, "intercept: a log-odds is between -1000000 and 1000000"),
        ({"unknown": 1}, "unknown"),
        ({"calibration": {"type": "platt", "slope": -1, "shift": 0}}, "slope must not be negative"),
        ({"calibration": {"type": "platt", "slope": 1, "shift": 2e6}}, "calibration"),
        ({"calibration": {"type": "tree"}}, "calibration"),
        (
            {"calibration": {"type": "isotonic", "edges": [0], "probabilities": [0.5, 0.4]}},
            "the probabilities must ascend",
        ),
        (
            {"calibration": {"type": "isotonic", "edges": [0], "probabilities": [0.5]}},
            "one probability more than edges",
        ),
        (
            {"calibration": {"type": "isotonic", "edges": [0, 0], "probabilities": [0, 0.5, 1]}},
            "the edges must ascend",
        ),
        (
            {"calibration": {"type": "isotonic", "edges": [0], "probabilities": [0.5, 1.5]}},
            "a probability is between 0 and 1",
        ),
    ],
)
def test_content_that_is_no_model_is_refused_with_a_reason(
    changed: dict[str, Any], said: str
) -> None:
    content = {**json.loads(canonical(_model())), **changed}
    with pytest.raises(InvalidModel, match=said):
        decode(json.dumps(content).encode())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"steps": [0.0, 1.0]}, "failures: there must be one step more than edges"),
        ({"edges": [2, 1]}, "failures: the edges must ascend"),
        ({"missing": -2e6}, "failures: a log-odds"),
        ({"values": {"a": 2e6}}, "failures: a log-odds"),
        ({"name": "plan"}, "no feature may stand in it twice"),
    ],
)
def test_a_wrong_feature_is_refused_with_a_reason(changed: dict[str, Any], said: str) -> None:
    content = json.loads(canonical(_model()))
    content["features"][0].update(changed)
    with pytest.raises(InvalidModel, match=said):
        decode(json.dumps(content).encode())


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_even_json_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidModel, match="not a model"):
        decode(raw)


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        ({"passed": True, "why": []}, {"useful": True, "why": []}),
        ({"passed": False, "why": ["no signal"]}, {"useful": False, "why": ["no signal"]}),
        ({"passed": "true"}, {"useful": False, "why": []}),
        ({}, {"useful": False, "why": ["it was never tested"]}),
    ],
)
def test_only_a_model_that_passed_its_test_is_useful(
    evidence: dict[str, Any], told: dict[str, Any]
) -> None:
    assert verdict(_model(evidence=evidence)) == told
