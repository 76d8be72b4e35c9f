"""Gate 10: models in force, in canary and in shadow, what they say and what explain says of it."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from forestall.contracts.control import Control, ModelInForce, ModelsApplied
from forestall.contracts.decision import Decision, Mode
from forestall.contracts.instants import SECOND
from forestall.decide.backtest import opening
from forestall.decide.confidence import models_of
from forestall.decide.engine import Engine
from forestall.decide.explain import Explanation, explain, text
from forestall.decide.explain.changes import Fixed
from forestall.decide.snapshot import decode_state, encode_state
from forestall.measure.assign import in_holdout
from forestall.measure.model import Feature, Model, Platt, canonical, version
from forestall.policy.bundle import Bundle
from forestall.policy.language.model import Policy
from scenario import OPEN, START, decide, event, on, records

SUBJECTS = [f"u{number}" for number in range(30)]


def model(intercept: float = 0.0, name: str = "churn") -> Model:
    """Doubtful at the first event, 0.62 at the second and 0.73 at the third."""
    errors = Feature("errors", (1.0, 2.0), (-1.0, 0.5, 1.0), {}, 0.0, -2.0)
    return Model(
        name=name,
        outcome="forestall.ticket.opened",
        horizon=SECOND,
        policy="p",
        intercept=intercept,
        features=(errors, Feature("plan", (), (0.0,), {"pro": 0.25}, 0.0, 0.0)),
        calibration=Platt(1.0, 0.0),
    )


def entry(one: Model, mode: Mode = "live", share: float = 1.0) -> ModelInForce:
    return ModelInForce(one.name, version(one), msgspec.Raw(canonical(one)), mode, share)


def applied(
    *entries: ModelInForce, at: float = -1, thresholds: dict[str, float] | None = None
) -> ModelsApplied:
    return ModelsApplied(START + round(at * SECOND), entries, thresholds or {}, "test", "test")


ASKING = on(
    "{event: a}",
    model={"name": "churn", "threshold": 0.6},
    features={"errors": {"count": "a", "over": "1h"}, "plan": {"last": "subject.plan", "of": "a"}},
)


def made(
    *controls: Control, policy: Policy = ASKING, subjects: Sequence[str] = ("u",)
) -> list[Decision]:
    lines = [
        event(10 * moment + number / 100, "a", subject=one)
        for moment in range(3)
        for number, one in enumerate(subjects)
    ]
    return decide(policy, lines, controls=controls)


def test_without_the_model_in_force_nothing_passes() -> None:
    for controls in ([], [applied()], [applied(entry(model(name="other")))]):
        found = made(*controls)
        assert [one.reason for one in found] == ["low_confidence"] * 3
        assert [one.confidence for one in found] == [()] * 3
        assert "no model called churn is in force" in found[0].explanation


def test_a_policy_that_asks_no_model_says_nothing_of_it() -> None:
    found = made(applied(entry(model())), policy=on("{event: a}"))
    assert [(one.outcome, one.confidence) for one in found] == [("intervene", msgspec.UNSET)] * 3
    assert b"confidence" not in msgspec.json.encode(found[0])


def test_the_probability_must_reach_the_threshold() -> None:
    found = made(applied(entry(model())))
    assert [one.reason for one in found] == ["low_confidence", None, None]
    said = [one.confidence[0] for one in found if one.confidence]
    assert [one.probability for one in said] == [0.268941, 0.622459, 0.731059]
    assert said[0].contributions == {"errors": -1.0, "plan": 0.0}
    assert (said[0].model, said[0].version, said[0].mode) == ("churn", version(model()), "live")
    assert "churn gives 0.268941, below the threshold of 0.6" in found[0].explanation


@pytest.mark.parametrize(("threshold", "passes"), [(0.0, 3), (0.622459, 2), (0.62246, 1), (1.0, 0)])
def test_a_threshold_in_force_holds_in_place_of_the_policys(threshold: float, passes: int) -> None:
    found = made(applied(entry(model()), thresholds={"p": threshold, "q": 0.0}))
    assert [one.outcome for one in found].count("intervene") == passes


def test_a_model_in_shadow_is_heard_and_judges_nothing() -> None:
    sure = model(intercept=9.0)
    found = made(applied(entry(sure, "shadow")))
    assert [one.reason for one in found] == ["low_confidence"] * 3
    assert [len(one.confidence or ()) for one in found] == [1, 1, 1]
    found = made(applied(entry(model()), entry(sure, "shadow")))
    assert [one.reason for one in found] == ["low_confidence", None, None]
    assert [[said.mode for said in one.confidence or ()] for one in found] == [
        ["live", "shadow"]
    ] * 3


def test_a_model_in_canary_judges_for_its_share() -> None:
    sure = model(intercept=9.0)
    controls = applied(entry(model()), entry(sure, "canary", 0.5))
    found = made(controls, subjects=SUBJECTS)[: len(SUBJECTS)]
    share = {one for one in SUBJECTS if in_holdout(":churn:model-canary", one, 0.5)}
    assert 0 < len(share) < len(SUBJECTS)
    assert {one.subject for one in found if one.outcome == "intervene"} == share
    assert {(one.subject in share, (one.confidence or ())[0].mode) for one in found} == {
        (True, "canary"),
        (False, "live"),
    }


def test_a_model_takes_effect_at_its_place_in_the_log_and_is_taken_back() -> None:
    sure, doubtful = model(intercept=9.0), model(intercept=-9.0)
    found = made(applied(entry(sure)), applied(entry(doubtful), at=5), applied(entry(sure), at=15))
    assert [one.reason for one in found] == [None, "low_confidence", None]


@pytest.mark.parametrize("content", [b"{}", b"null", b'{"name":"churn"}'])
def test_what_is_no_model_is_not_in_force(content: bytes) -> None:
    broken = ModelInForce("churn", "v", msgspec.Raw(content))
    assert [one.reason for one in made(applied(broken))] == ["low_confidence"] * 3


def test_earlier_gates_refuse_first_and_the_model_is_asked_all_the_same() -> None:
    slow = msgspec.structs.replace(ASKING, cooldown=3600 * SECOND)
    found = made(applied(entry(model(9.0))), policy=slow)
    assert [one.reason for one in found] == [None, "cooldown", "cooldown"]
    assert all(one.confidence for one in found)


def test_a_timer_asks_the_model_of_its_moment() -> None:
    silent = on(
        "{sequence: [{event: a}, {not: b, for: 5s}]}",
        model={"name": "churn", "threshold": 0.6},
        features={"errors": {"count": "a", "over": "1h"}},
    )
    controls = [applied(entry(model(9.0))), applied(entry(model(-9.0)), at=9)]
    found = decide(silent, [event(0, "a"), event(30, "c"), event(31, "a"), event(60, "c")], controls=controls)  # fmt: skip
    assert [one.reason for one in found] == [None, "low_confidence"]


def test_a_snapshot_keeps_models_and_thresholds() -> None:
    engine = Engine()
    for control in opening(Bundle(policies=(ASKING,)), OPEN):
        engine.control(control)
    engine.control(applied(entry(model()), entry(model(1.0), "shadow"), thresholds={"p": 0.7}))
    engine.tick(START)
    again = Engine.restore(decode_state(encode_state(engine.snapshot())))
    some = records(*(event(number, "a") for number in range(3)))
    assert again.process(some) == engine.process(some)
    assert again.header().now.thresholds == {"p": 0.7}


def test_of_several_entries_each_is_asked_by_its_mode() -> None:
    asked = models_of(applied(entry(model()), entry(model(1.0), "shadow"), entry(model(), "canary", 0.0)))  # fmt: skip
    said = asked.ask(ASKING, "u", {"errors": 2, "plan": "pro"}, "")
    assert [one.mode for one in said] == ["live", "shadow"]
    assert said[0].contributions == {"errors": 0.5, "plan": 0.25}
    assert asked.threshold(ASKING) == 0.6
    assert asked.threshold(on("{event: a}")) == 0.0


# -- explained -------------------------------------------------------------------------------------


def why(*controls: Control, at: float = 5, policy: Policy = ASKING, lines: int = 1) -> Explanation:
    first = opening(Bundle(policies=(policy,)), OPEN)
    some = records(*(event(number, "a") for number in range(lines)))
    return explain([*first, *controls], some, "u", policy.name, START + round(at * SECOND))


def gate(found: Explanation) -> Any:
    return next(one for one in found.gates if one.reason == "low_confidence")


def test_explain_says_what_the_model_said_and_what_would_have_let_it_pass() -> None:
    found = why(applied(entry(model())))
    wanted = "at least 0.6 (it gave 0.268941; most against it: errors -1.00)"
    assert gate(found).remedy == f"`churn` gives {wanted}"
    assert found.counterfactual is not None
    (fixed,) = [one for one in found.counterfactual.changes if isinstance(one, Fixed)]
    assert fixed == Fixed("low_confidence", f"`churn` had given {wanted}")
    assert "could only have acted if" in found.summary
    assert "churn (live) gave 0.268941:" in text(found)
    assert "  errors -1.000" in text(found)


def test_explain_says_that_no_such_model_is_in_force() -> None:
    found = why()
    assert gate(found).remedy == "a model called `churn` is in force"
    assert "a model called `churn` had been in force" in found.summary


def test_explain_shows_a_confident_model_beside_one_in_shadow() -> None:
    found = why(applied(entry(model(9.0)), entry(model(), "shadow")))
    assert found.answer == "yes"
    assert not gate(found).refuses
    assert "churn (shadow) gave 0.268941:" in text(found)


def test_without_a_candidate_the_gate_is_that_of_the_features_now() -> None:
    policy = msgspec.structs.replace(ASKING, when=on("{event: z}").when)
    controls = [applied(entry(model()))]
    assert gate(why(*controls, policy=policy, lines=1)).refuses
    assert not gate(why(*controls, policy=policy, lines=3)).refuses


def test_looking_leaves_a_subject_as_it_is() -> None:
    engine = Engine()
    for control in opening(Bundle(policies=(ASKING,)), OPEN):
        engine.control(control)
    engine.process(records(event(0, "a"), event(1, "a")))
    before = encode_state(engine.snapshot())
    engine.standing("u", "p", START + 365 * 86_400 * SECOND)
    assert encode_state(engine.snapshot()) == before
