"""Champion and challenger: compared on the same decisions, from what the log says."""

import msgspec
import pytest

from forestall.contracts.decision import Confidence, Mode
from forestall.contracts.instants import MINUTE
from forestall.measure.challenge import Contender, compare
from forestall.measure.examples import Example
from forestall.measure.model import Feature, Isotonic, Model, Platt, predict, version
from forestall.measure.training import TooFewExamples
from learning import QUESTION, START, TICKET, made_up

FOUND = made_up(1_200).found
FAILURES = Feature("failures", (0.5, 1.5, 2.5), (-0.9, 0.0, 0.9, 1.8), {}, 0.0, 0.0)
GOOD = Model(
    name="m",
    outcome=TICKET,
    horizon=QUESTION.horizon,
    policy="p",
    intercept=-0.9,
    features=(FAILURES,),
    calibration=Platt(1.0, 0.0),
)
BLIND = msgspec.structs.replace(GOOD, calibration=Isotonic((), (0.4,)))


def _heard(found: tuple[Example, ...], **models: Model) -> tuple[Example, ...]:
    """The examples with what models in these modes said of them."""
    return tuple(
        msgspec.structs.replace(
            one, confidence=tuple(_said(one, mode, models[mode]) for mode in models)
        )
        for one in found
    )


def _said(one: Example, mode: str, model: Model) -> Confidence:
    probability, contributions = predict(model, one.features)
    return Confidence(
        model.name, version(model), msgspec.convert(mode, Mode), probability, contributions
    )


def _compared(found: tuple[Example, ...], model: Model | None = None) -> dict[str, Contender]:
    return {one.mode: one for one in compare(found, model, 0, resamples=200).contenders}


def test_a_better_challenger_leads_the_champion() -> None:
    both = _compared(_heard(FOUND, live=BLIND, shadow=GOOD))
    assert list(both) == ["live", "shadow"]
    live, shadow = both["live"], both["shadow"]
    assert live.version == version(BLIND)
    assert live.lead is None
    assert live.why
    assert shadow.version == version(GOOD)
    assert not shadow.why
    assert shadow.lead is not None
    assert shadow.lead.gain.low is not None
    assert shadow.lead.gain.low > 0


def test_a_worse_challenger_lags_behind() -> None:
    lead = _compared(_heard(FOUND, live=GOOD, shadow=BLIND))["shadow"].lead
    assert lead is not None
    assert lead.gain.high is not None
    assert lead.gain.high < 0


def test_a_file_is_compared_with_what_the_log_heard() -> None:
    found = _compared(_heard(FOUND, live=BLIND), GOOD)
    assert list(found) == ["live", "file"]
    assert found["file"].lead is not None
    assert sum(one.decisions for one in found["file"].groups) == len(FOUND)


def test_a_file_that_is_in_force_is_not_compared_twice() -> None:
    assert list(_compared(_heard(FOUND, live=GOOD), GOOD)) == ["live"]


def test_a_file_alone_is_tested() -> None:
    alone = _compared(FOUND, GOOD)["file"]
    assert alone.lead is None
    assert not alone.why


def test_a_file_is_not_tested_on_what_it_learned_from() -> None:
    learned = START + 600 * MINUTE
    model = msgspec.structs.replace(GOOD, evidence={"learned_until": learned})
    found = compare(FOUND, model, 0, resamples=20)
    assert found.tested.since == learned + QUESTION.horizon + MINUTE
    assert found.tested.decisions == 1_200 - 661


def test_only_decisions_on_which_all_were_heard_count() -> None:
    found = (*_heard(FOUND[:700], live=BLIND), *_heard(FOUND[700:], live=BLIND, shadow=GOOD))
    assert compare(found, None, 0, resamples=20).tested.decisions == 500


def test_a_challenger_that_became_champion_counts_once_with_all_it_said() -> None:
    found = (*_heard(FOUND[:700], live=BLIND, shadow=GOOD), *_heard(FOUND[700:], live=GOOD))
    compared = compare(found, None, 0, resamples=20)
    assert [(one.mode, one.version) for one in compared.contenders] == [("live", version(GOOD))]
    assert compared.tested.decisions == 1_200


def test_one_in_canary_is_left_to_the_canary() -> None:
    found = (*_heard(FOUND[:700], live=GOOD), *_heard(FOUND[700:], canary=BLIND))
    assert list(_compared(found)) == ["live"]


def test_too_little_to_compare_on_is_said() -> None:
    with pytest.raises(TooFewExamples, match="0 decisions on which every model was heard"):
        compare((), GOOD, 0)
    never = tuple(msgspec.structs.replace(one, followed=False) for one in FOUND)
    with pytest.raises(TooFewExamples, match=r"1200 decisions .*, 0 of them with the outcome"):
        compare(never, GOOD, 0)
    with pytest.raises(TooFewExamples):
        compare(FOUND, None, 0)
