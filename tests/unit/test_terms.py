"""Terms: when another experiment begins, and who belongs to which arm."""

import msgspec
import pytest

from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    PolicyInForce,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.contracts.decision import Mode
from forestall.measure.assign import in_holdout
from forestall.measure.terms import Term, Version, plan_of, within


def settings(at: int, holdout: float = 0.0, salt: str = "s") -> SettingsApplied:
    return SettingsApplied(at, DecideSettings(holdout=holdout, salt=salt), "t", "t")


def policies(at: int, *which: PolicyInForce) -> PoliciesApplied:
    return PoliciesApplied(at, which, {}, "t", "t")


def policy(
    name: str, holdout: float = 0.0, mode: Mode = "live", budget_class: str = "guidance"
) -> PolicyInForce:
    said = {"name": name, "holdout": holdout, "budget_class": budget_class, "when": {}}
    return PolicyInForce(name, f"{name}-{holdout}", msgspec.Raw(msgspec.json.encode(said)), mode)


def test_without_a_holdout_there_is_no_term() -> None:
    plan = plan_of([settings(1), policies(1, policy("a"))])
    assert plan.everyone == ()
    assert plan.policies == {"a": ()}
    assert plan_of([]).everyone == ()


def test_the_same_settings_again_begin_nothing() -> None:
    plan = plan_of([settings(1, 0.1), settings(5, 0.1), SwitchesApplied(6, (), False, "t", "t")])
    assert plan.everyone == (Term(1, None, "s", 0.1, 1),)


def test_another_share_or_salt_begins_another_term_and_remembers_the_salts_first_day() -> None:
    plan = plan_of(
        [settings(1, 0.1), settings(5, 0.2), settings(7), settings(8, 0.2), settings(9, 0.2, "t")]
    )
    assert plan.everyone == (
        Term(1, 5, "s", 0.1, 1),
        Term(5, 7, "s", 0.2, 1),
        Term(8, 9, "s", 0.2, 1),
        Term(9, None, "t", 0.2, 9),
    )


def test_a_policys_terms_follow_its_share_and_the_global_holdout() -> None:
    plan = plan_of(
        [
            settings(1, 0.1),
            policies(2, policy("a", 0.2)),
            policies(4, policy("a", 0.3), policy("b")),
            settings(6, 0.0),
            policies(8, policy("b")),
        ]
    )
    assert plan.policies["a"] == (
        Term(2, 4, "s:a", 0.2, 2, "s", 0.1),
        Term(4, 6, "s:a", 0.3, 2, "s", 0.1),
        Term(6, 8, "s:a", 0.3, 2, "s", 0.0),
    )
    assert plan.policies["b"] == ()
    assert plan.versions["a-0.3"] == Version("a", 0.3, False)


def test_a_transactional_policy_acts_on_the_global_holdout_too() -> None:
    plan = plan_of([settings(1, 0.1), policies(1, policy("a", 0.2, budget_class="transactional"))])
    (term,) = plan.policies["a"]
    assert term.left_out == 0.0
    assert plan.versions["a-0.2"].exempt


def test_a_version_in_shadow_says_nothing_and_live_outweighs_canary() -> None:
    shadow, canary, live = policy("a", 0.5, "shadow"), policy("a", 0.3, "canary"), policy("a", 0.2)
    plan = plan_of([settings(1), policies(1, live, canary, shadow)])
    assert [term.share for term in plan.policies["a"]] == [0.2]
    assert plan.versions.keys() == {"a-0.2", "a-0.3"}
    plan = plan_of([settings(1), policies(1, shadow, canary)])
    assert [term.share for term in plan.policies["a"]] == [0.3]


def test_the_arms_are_those_of_the_engine() -> None:
    term = Term(0, None, "s:a", 0.3, 0, "s", 0.2)
    for number in range(200):
        name = f"c{number}"
        assert term.aside(name) == in_holdout("s:a", name, 0.3)
        assert term.belongs(name) != in_holdout("s", name, 0.2)


@pytest.mark.parametrize(("at", "share"), [(0, None), (1, 0.1), (4, 0.1), (5, None), (9, 0.2)])
def test_a_moment_lies_in_one_term_at_most(at: int, share: float | None) -> None:
    terms: list[Control] = [settings(1, 0.1), settings(5), settings(8, 0.2)]
    found = within(plan_of(terms).everyone, at)
    assert (found and found.share) == share
