"""Training: signal is found, none is refused, and the same data gives the same model."""

import sys
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from forestall.contracts.instants import HOUR
from forestall.measure import training
from forestall.measure.boosting import KNOWN, TEXTS, Table
from forestall.measure.calibration import Evaluation
from forestall.measure.examples import Example, Examples, split
from forestall.measure.model import Isotonic, Model, Platt, canonical, decode, log_odds, predict
from forestall.measure.training import TooFewExamples, TrainingNotInstalled, train
from learning import QUESTION, START, made_up

MANY = made_up(6_000)
FEW = made_up(1_500)


@pytest.fixture(scope="module")
def trained() -> Model:
    return _train(MANY)


def _train(found: Examples, **more: Any) -> Model:
    return train("propensity", QUESTION, found, resamples=200, **more)


def _evidence(model: Model) -> Evaluation:
    return msgspec.convert(model.evidence, Evaluation)


def _changed(found: Examples, **features: Any) -> Examples:
    """The same examples with features changed: a function of the features, or a value."""
    changed = []
    for one in found.found:
        new = {name: to(one.features) if callable(to) else to for name, to in features.items()}
        changed.append(msgspec.structs.replace(one, features={**one.features, **new}))
    return Examples(tuple(changed), {})


# -- signal, and none ------------------------------------------------------------------------------


def test_signal_is_found_and_the_model_is_fit_for_use(trained: Model) -> None:
    found = _evidence(trained)
    assert found.passed
    assert found.why == ()
    assert found.model.auc.value is not None
    assert 0.65 < found.model.auc.value < 0.85
    assert found.constant.auc.value == 0.5
    assert found.model.calibration_error.value is not None
    assert found.model.calibration_error.value < 3 * found.noise


def test_what_tells_something_is_what_the_model_reads_most(trained: Model) -> None:
    reach = {one.name: max(one.steps) - min(one.steps) for one in trained.features if one.steps}
    assert {"failures", "minutes", "new", "plan"} <= set(trained.reads)
    assert reach["failures"] == max(reach.values())
    (failures,) = (one for one in trained.features if one.name == "failures")
    assert list(failures.steps) == sorted(failures.steps)
    (plan,) = (one for one in trained.features if one.name == "plan")
    assert plan.values["free"] > plan.values["pro"]
    (minutes,) = (one for one in trained.features if one.name == "minutes")
    assert minutes.missing > max(minutes.steps)


@pytest.mark.parametrize("seed", [1, 2])
def test_data_without_signal_is_refused(seed: int) -> None:
    found = _evidence(_train(made_up(1_500, signal=False, seed=seed)))
    assert not found.passed
    assert found.why
    assert found.model.auc.value is not None
    assert 0.4 < found.model.auc.value < 0.6


def test_signal_that_turns_over_time_is_refused() -> None:
    """What held while it learned is the other way round in the newest part."""
    parts = split(MANY.found, HOUR)
    turned = tuple(
        msgspec.structs.replace(one, followed=not one.followed)
        if one.noticed >= parts.test[0].noticed
        else one
        for one in MANY.found
    )
    found = _evidence(_train(Examples(turned, {})))
    assert not found.passed
    assert found.model.auc.high is not None
    assert found.model.auc.high < 0.5


# -- what a model is -------------------------------------------------------------------------------


def test_the_same_examples_and_seed_give_the_same_model(trained: Model) -> None:
    assert canonical(_train(MANY)) == canonical(trained)


def test_content_is_read_back(trained: Model) -> None:
    assert decode(canonical(trained)) == trained


def test_contributions_are_nothing_on_average(trained: Model) -> None:
    parts = split(MANY.found, HOUR)
    added = [predict(trained, one.features)[1] for one in parts.train]
    for name in trained.reads:
        assert np.mean([one[name] for one in added]) == pytest.approx(0, abs=1e-5)


def test_the_model_is_the_boosted_function_read_off(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    fit = HistGradientBoostingClassifier.fit

    def noted(self: Any, *given: Any, **more: Any) -> Any:
        kept.append(self)
        return fit(self, *given, **more)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", noted)
    model = _train(FEW)
    parts = split(FEW.found, HOUR)
    table = Table({name for one in parts.train for name in one.features}, parts.train)
    wanted = kept[-1].decision_function(table.rows(parts.train))
    found = [log_odds(model, predict(model, one.features)[1]) for one in parts.train]
    assert found == pytest.approx(wanted.tolist(), abs=1e-4)


def test_calibration_is_isotonic_where_there_is_enough_and_platts_else(trained: Model) -> None:
    assert isinstance(trained.calibration, Isotonic)
    assert _evidence(trained).calibration == "isotonic"
    few = _train(FEW)
    assert isinstance(few.calibration, Platt)
    assert _evidence(few).calibration == "platt"


def test_isotonic_calibration_never_says_never(trained: Model) -> None:
    assert isinstance(trained.calibration, Isotonic)
    assert trained.calibration.probabilities[0] > 0
    assert trained.calibration.probabilities[-1] < 1


def test_evidence_tells_of_the_parts(trained: Model) -> None:
    found = _evidence(trained)
    assert found.trained.decisions == 3_601
    assert found.trained.since == START
    assert found.trained.until + HOUR < found.calibrated.since
    assert found.calibrated.until + HOUR < found.tested.since
    assert found.learned_until == found.calibrated.until
    assert sum(one.decisions for one in found.groups) == found.tested.decisions


def test_only_declared_features_are_read_and_their_declarations_kept() -> None:
    declared = {"failures": {"kind": "count"}, "plan": {"kind": "last"}, "gone": {"kind": "sum"}}
    model = _train(FEW, definitions=declared)
    assert set(model.reads) <= {"failures", "plan"}
    assert "failures" in model.reads
    assert model.definitions == {name: declared[name] for name in model.reads}


# -- odd values ------------------------------------------------------------------------------------


def test_values_that_are_huge_mixed_or_no_values_are_learned_from_as_well() -> None:
    def odd(features: dict[str, Any]) -> Any:
        return [10**400, -(10**400), 1e308, [1], {"a": 1}, "text"][features["failures"] % 6]

    model = _train(_changed(FEW, odd=odd, empty=None, nested=[1]))
    assert not {"empty", "nested"} & set(model.reads)
    assert predict(model, {"odd": 10**400, "failures": 3})[0] > 0


def test_only_texts_that_many_subjects_had_are_named() -> None:
    rare = [
        msgspec.structs.replace(one, features={**one.features, "city": f"c{place % 400}"})
        for place, one in enumerate(FEW.found)
    ]
    model = _train(Examples(tuple(rare), {}))
    city = next((one for one in model.features if one.name == "city"), None)
    assert city is None or city.values == {}
    assert b"c17" not in canonical(model)


def test_not_more_texts_than_a_model_may_name() -> None:
    texts = [f"t{number:03}" for number in range(TEXTS + 30)]
    found = [Example(f"s{who}", START, {"x": text}, True) for text in texts for who in range(KNOWN)]
    assert Table(["x"], found).texts == {"x": texts[:TEXTS]}


# -- too little ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Examples((), {}), "too little to train with: 0 decisions"),
        (Examples(FEW.found[:200], {}), "too little to train with"),
        (made_up(480, every=HOUR), "too little to test with"),
        (made_up(600, every=1), "too little to calibrate with: 0 decisions"),
        (
            Examples(tuple(msgspec.structs.replace(one, followed=False) for one in FEW.found), {}),
            "901 decisions, 0 of them with the outcome",
        ),
    ],
)
def test_too_little_to_learn_from_is_said(found: Examples, said: str) -> None:
    with pytest.raises(TooFewExamples, match=said):
        _train(found)


def test_decisions_without_features_teach_nothing() -> None:
    bare = tuple(msgspec.structs.replace(one, features={}) for one in FEW.found)
    with pytest.raises(TooFewExamples, match="the decisions of p have no features"):
        _train(Examples(bare, {}))


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(TrainingNotInstalled, match=r"pip install 'forestall\[models\]'"):
        _train(FEW)


def test_scikit_learn_is_not_needed_to_import(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.split(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, training.__name__)
    assert __import__(training.__name__, fromlist=["train"]).train is not train
