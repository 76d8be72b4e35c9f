"""Examples: which decisions a model learns from, and whether the outcome followed."""

from typing import Any

import msgspec
import pytest

from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    PolicyInForce,
    SettingsApplied,
)
from forestall.contracts.decision import Confidence, Decided
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import Record
from forestall.contracts.instants import HOUR, MINUTE
from forestall.measure.assign import in_holdout
from forestall.measure.examples import Among, Examples, Question, asked, examples, split
from learning import QUESTION, START, TICKET, decided, happened, made_up

END = START + 100 * HOUR


def _asking(among: Among = "untreated", **more: Any) -> Question:
    return msgspec.structs.replace(QUESTION, among=among, **more)


def _followed(found: Examples) -> list[bool]:
    return [one.followed for one in found.found]


@pytest.mark.parametrize(
    ("after", "followed"),
    [(-MINUTE, False), (0, False), (1, True), (HOUR, True), (HOUR + 1, False)],
)
def test_the_outcome_follows_within_the_horizon(after: int, followed: bool) -> None:
    found = examples(_asking(), [decided("a", START), happened("a", START + after)], END)
    assert _followed(found) == [followed]


def test_only_the_subjects_own_outcome_counts_and_only_of_the_type() -> None:
    happenings: list[Record | Decided] = [
        decided("a", START),
        happened("b", START + 1),
        happened("a", START + 1, "page.viewed"),
    ]
    assert _followed(examples(_asking(), happenings, END)) == [False]


def test_an_outcome_counts_under_any_pseudonym_of_the_person() -> None:
    def found(*aliases: tuple[str, str]) -> list[tuple[str, bool]]:
        joined: list[Record | Decided] = [
            msgspec.structs.replace(
                happened(subject, START + 2, "forestall.alias"),
                data=msgspec.Raw(msgspec.json.encode({"from": former})),
            )
            for former, subject in aliases
        ]
        happenings = [decided("a", START), happened("c", START + 1), *joined]
        return [(one.subject, one.followed) for one in examples(_asking(), happenings, END).found]

    assert found() == [("a", False)]
    assert found(("a", "c")) == [("c", True)]
    assert found(("c", "a")) == [("a", True)]
    assert found(("a", "b"), ("b", "c")) == [("c", True)]
    assert found(("c", "b"), ("a", "b")) == [("b", True)]


def test_a_decision_counts_from_when_it_was_noticed() -> None:
    late = decided("a", START, noticed=START + 5 * MINUTE)
    assert _followed(examples(_asking(), [late, happened("a", START + MINUTE)], END)) == [False]
    (one,) = examples(_asking(), [late, happened("a", START + HOUR + MINUTE)], END).found
    assert (one.noticed, one.followed) == (START + 5 * MINUTE, True)


def test_an_event_from_the_future_counts_when_it_was_received() -> None:
    early = happened("a", START + 50 * HOUR, received=START + MINUTE)
    assert _followed(examples(_asking(), [decided("a", START), early], END)) == [True]


def test_a_decision_whose_horizon_has_not_passed_is_left_out() -> None:
    two = [decided("a", START), decided("b", START + 1)]
    found = examples(_asking(), two, START + HOUR)
    assert [one.subject for one in found.found] == ["a"]
    assert found.left_out == {"unfinished": 1}


def test_without_an_end_the_newest_event_is_it() -> None:
    found = examples(_asking(), [decided("a", START), happened("b", START + HOUR)])
    assert len(found.found) == 1
    assert not examples(_asking(), [decided("a", START), happened("b", START + HOUR - 1)]).found


def test_other_policies_are_not_asked_about() -> None:
    assert examples(_asking(), [decided("a", START, policy="q")], END) == Examples((), {})


def test_treated_decisions_are_left_out_unless_they_are_asked_for() -> None:
    happenings = [
        decided("a", START, outcome="intervene"),
        decided("b", START, outcome="intervene", mode="canary"),
        decided("c", START, outcome="intervene", mode="shadow"),
        decided("d", START, outcome="holdout"),
    ]
    found = examples(_asking(), happenings, END)
    assert [one.subject for one in found.found] == ["c", "d"]
    assert found.left_out == {"treated": 2}
    assert len(examples(_asking("all"), happenings, END).found) == 4


def test_two_versions_on_one_occasion_are_one_example_and_one_treatment() -> None:
    live = decided("a", START, outcome="intervene")
    shadow = decided("a", START, outcome="intervene", mode="shadow", version="v2")
    assert examples(_asking(), [live, shadow], END).left_out == {"treated": 1}
    assert len(examples(_asking("all"), [live, shadow], END).found) == 1


def test_the_holdout_alone() -> None:
    question = _asking("holdout", held={"a", "c"}.__contains__)
    three = [decided("a", START), decided("b", START), decided("c", START, outcome="intervene")]
    found = examples(question, three, END)
    assert [one.subject for one in found.found] == ["a"]
    assert found.left_out == {"not_held": 1, "treated": 1}


def test_who_is_in_conversation_already_is_left_out_for_no_model_is_asked() -> None:
    talking = decided("a", START, reason="in_conversation")
    for among in ("untreated", "all"):
        found = examples(_asking(msgspec.convert(among, Among)), [talking], END)
        assert (found.found, found.left_out) == ((), {"in_conversation": 1})
    either = decided("a", START, version="v2", reason="cooldown")
    assert len(examples(_asking(), [talking, either], END).found) == 1


def test_a_version_whose_features_meant_something_else_is_left_out() -> None:
    question = _asking(alike={"v2"}.__contains__)
    old, new = decided("a", START), decided("a", START, version="v2", features={"x": 1})
    found = examples(question, [old, new, decided("b", START)], END)
    assert [one.features for one in found.found] == [{"x": 1}]
    assert found.left_out == {"another_meaning": 1}


def test_what_models_said_is_kept_once() -> None:
    live = Confidence("m", "1", "live", 0.25, {"x": 0.5})
    shadow = Confidence("m", "2", "shadow", 0.75, {"x": 1.0})
    two = [
        decided("a", START, confidence=(live, shadow)),
        decided("a", START, version="v2", mode="shadow", confidence=(live, shadow)),
    ]
    (one,) = examples(_asking(), two, END).found
    assert one.confidence == (live, shadow)


def test_examples_are_in_the_order_of_their_times_however_they_come() -> None:
    happenings = [decided("b", START + 2), decided("a", START + 2), decided("c", START)]
    found = examples(_asking(), happenings, END)
    assert [one.subject for one in found.found] == ["c", "a", "b"]
    assert examples(_asking(), happenings[::-1], END) == found


# -- the question ----------------------------------------------------------------------------------


def _in_force(version: str, features: dict[str, Any], mode: Any = "live") -> PolicyInForce:
    raw = msgspec.Raw(msgspec.json.encode({"name": "p", "features": features}))
    return PolicyInForce("p", version, raw, mode)


def _applied(*policies: PolicyInForce) -> PoliciesApplied:
    return PoliciesApplied(0, policies, {}, "test", "test")


def _asked(controls: list[Control]) -> tuple[Question, dict[str, Any]]:
    return asked(controls, policy="p", outcome=TICKET, horizon=HOUR, among="untreated")


def test_features_mean_what_the_newest_live_version_says() -> None:
    hour, day = {"kind": "count", "over": 1}, {"kind": "count", "over": 24}
    controls: list[Control] = [
        _applied(_in_force("v1", {"x": day})),
        _applied(_in_force("v2", {"x": hour})),
        _applied(_in_force("v3", {"x": hour, "y": day}), _in_force("v4", {"x": day}, "shadow")),
    ]
    question, now = _asked(controls)
    assert now == {"x": hour, "y": day}
    assert {one for one in ("v1", "v2", "v3", "v4", "v5") if question.alike(one)} == {"v2", "v3"}


def test_a_policy_that_was_never_in_force_cannot_be_asked_about() -> None:
    controls: list[Control] = [_applied(_in_force("v1", {}))]
    with pytest.raises(UnreadableInput, match="no policy 'q' was in force; there are: p"):
        asked(controls, policy="q", outcome=TICKET, horizon=HOUR, among="all")
    with pytest.raises(UnreadableInput, match="there are: none"):
        asked([], policy="q", outcome=TICKET, horizon=HOUR, among="all")


def test_the_holdout_is_that_of_the_newest_settings() -> None:
    def settings(share: float) -> SettingsApplied:
        return SettingsApplied(0, DecideSettings(holdout=share, salt="x"), "test", "test")

    question, _ = _asked([settings(0.0), _applied(_in_force("v1", {})), settings(0.5)])
    subjects = [f"s{number}" for number in range(200)]
    held = [one for one in subjects if question.held(one)]
    assert held == [one for one in subjects if in_holdout("x", one, 0.5)]
    assert 50 < len(held) < 150


# -- the split -------------------------------------------------------------------------------------


def test_the_parts_lie_one_after_the_other_with_a_horizon_between() -> None:
    found = made_up(1_000).found
    parts = split(found, HOUR)
    assert parts.train[0] == found[0]
    assert parts.test[-1] == found[-1]
    assert parts.calibrate[0].noticed > parts.train[-1].noticed + HOUR
    assert parts.test[0].noticed > parts.calibrate[-1].noticed + HOUR
    assert [len(part) for part in parts] == [601, 140, 139]


def test_a_horizon_longer_than_the_log_leaves_nothing_to_test_with() -> None:
    parts = split(made_up(1_000).found, 1_000 * MINUTE)
    assert not parts.calibrate
    assert not parts.test


def test_nothing_is_split_into_nothing() -> None:
    assert split((), HOUR) == ((), (), ())
