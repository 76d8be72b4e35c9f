"""A deployment's log as rounds: what chance did, with which probability, and what followed."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from forestall.contracts.control import Control, DecideSettings, PoliciesApplied, SettingsApplied
from forestall.contracts.decision import Outcome, Reason
from forestall.contracts.instants import HOUR
from forestall.measure.evaluation import Evaluated, Refused, evaluate
from forestall.measure.logged import Instead, Logged, NothingLogged, Question, instead, read
from forestall.measure.reading import Happening
from forestall.measure.terms import plan_of
from watched import (
    TICKET,
    WEEK,
    confidence,
    controls,
    decided,
    helped,
    in_force,
    moment,
    record,
    when,
)

DAY = 24
LATER = moment(10 * WEEK)


def asked(what: Instead = "always", **more: Any) -> Question:
    defaults: dict[str, Any] = {"policy": "help", "outcome": TICKET, "horizon": DAY * HOUR}
    return Question(instead=what, **{**defaults, **more})


def rounds(
    happenings: list[Happening],
    question: Question | None = None,
    said: list[Control] | None = None,
    now: int = LATER,
) -> Logged:
    plan = plan_of(controls(holdout=0.2, own=0.3) if said is None else said)
    return read(question or asked(), happenings, plan, now, seed=1)


@cache
def history() -> tuple[Happening, ...]:
    return tuple(helped(10_000, seed=1))


@pytest.mark.parametrize(
    ("what", "truth"),
    [("never", 0.5), ("always", 0.25), (0.5, 0.125 + 0.75 * 0.25), (0.0, 0.25), (1.0, 0.5)],
)
def test_it_tells_what_another_policy_would_have_brought(what: Instead, truth: float) -> None:
    """The chance of a ticket is x, evenly from 0 to 1, and halved by a message."""
    found = evaluate(rounds(list(history()), asked(what)).rounds, seed=1, resamples=200)
    assert isinstance(found, Evaluated)
    for one in (found.ips, found.snips, found.doubly_robust):
        assert one is not None
        assert one.value == pytest.approx(truth, abs=0.03)
    assert found.direct is not None
    assert found.direct.value == pytest.approx(truth, abs=0.03)
    assert found.doubly_robust is not None
    assert found.doubly_robust.low is not None
    assert found.doubly_robust.high is not None
    assert found.doubly_robust.low <= truth <= found.doubly_robust.high


def test_the_probability_of_a_message_is_that_of_both_holdouts() -> None:
    found = rounds(list(history())[:200])
    assert np.allclose(found.rounds.behaviour[:, 1], 0.7 * 0.8)


def test_a_transactional_policy_knows_no_global_holdout() -> None:
    said = controls(holdout=0.2, own=0.3, exempt=True)
    found = rounds([decided(1)], said=said)
    assert found.rounds.behaviour[0, 1] == pytest.approx(0.7)


def test_the_probability_is_the_one_at_the_time() -> None:
    said: list[Control] = [
        *controls(holdout=0.2, own=0.0),
        SettingsApplied(moment(10), DecideSettings(holdout=0.5, salt="pepper"), "t", ""),
        PoliciesApplied(moment(20), (in_force("help", "v2", 0.4),), {}, "t", ""),
    ]
    happened: list[Happening] = [
        decided(1, "a"),
        decided(11, "b"),
        decided(21, "c", version="v2"),
    ]
    found = rounds(happened, said=said)
    assert found.rounds.behaviour[:, 1] == pytest.approx([0.8, 0.5, 0.3])
    assert found.versions == ("v1", "v2")


def test_a_customer_is_one_round_at_the_first_choice() -> None:
    happened: list[Happening] = [
        decided(0, "a", "suppress", "cooldown"),
        decided(1, "a", "holdout", "policy_holdout"),
        decided(2, "a"),
        record(3, TICKET, "a"),
    ]
    found = rounds(happened)
    assert found.rounds.taken.tolist() == [0]
    assert found.rounds.reward.tolist() == [1.0]


@pytest.mark.parametrize(("user", "taken"), [(0.5, 1), (2, 0)])
def test_pseudonyms_that_were_joined_are_one_customer(user: float, taken: int) -> None:
    happened: list[Happening] = [
        decided(1, "visitor", "holdout", "policy_holdout"),
        decided(user, "user"),
        record(3, "forestall.alias", "user", **{"from": "visitor"}),
        record(4, TICKET, "user"),
    ]
    found = rounds(sorted(happened, key=when))
    assert found.rounds.taken.tolist() == [taken]
    assert found.rounds.reward.tolist() == [1.0]


def test_an_alias_without_a_round_changes_nothing() -> None:
    happened: list[Happening] = [
        decided(1, "a"),
        record(2, "forestall.alias", "b", **{"from": "c"}),
        record(2, "forestall.alias", "b"),
        record(3, TICKET, "b"),
    ]
    assert rounds(happened).rounds.reward.tolist() == [0.0]


@pytest.mark.parametrize(
    ("at", "followed"), [(0.5, 0.0), (1.0, 0.0), (1.1, 1.0), (25.0, 1.0), (25.1, 0.0)]
)
def test_only_what_follows_within_the_horizon_counts(at: float, followed: float) -> None:
    happened: list[Happening] = [
        decided(1, "a"),
        record(at, TICKET, "a"),
        record(1.2, TICKET, "b"),
    ]
    assert rounds(sorted(happened, key=when)).rounds.reward.tolist() == [followed]


@pytest.mark.parametrize("reason", ["cooldown", "budget", "opted_out", "killed", "outranked"])
def test_candidates_that_another_gate_refused_are_no_rounds(reason: Reason) -> None:
    with pytest.raises(NothingLogged, match="gates refused every one"):
        rounds([decided(1, "a", "suppress", reason)])


def test_shadow_decisions_are_no_rounds() -> None:
    with pytest.raises(NothingLogged, match="holds no decisions"):
        rounds([decided(1, mode="shadow")])


def test_another_policy_is_not_asked_about() -> None:
    with pytest.raises(NothingLogged, match="is the name right"):
        rounds([decided(1, policy="other")])


def test_only_the_version_asked_for_counts() -> None:
    happened: list[Happening] = [decided(1, "a", version="abc"), decided(2, "b", version="xyz")]
    assert rounds(happened, asked(version="x")).versions == ("xyz",)


def test_customers_whose_horizon_is_not_over_wait() -> None:
    happened: list[Happening] = [decided(1, "a"), decided(30, "b")]
    found = rounds(happened, now=moment(1 + DAY + 1))
    assert (len(found.rounds.taken), found.unfinished) == (1, 1)
    with pytest.raises(NothingLogged, match="horizon of all 2"):
        rounds(happened, now=moment(2))


def test_what_the_model_refused_was_no_matter_of_chance() -> None:
    found = rounds([decided(1, "a", "suppress", "low_confidence", said=[confidence(0.1)])])
    assert found.rounds.behaviour.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("what", ["always", 0.1])
def test_a_lower_threshold_than_the_logged_one_is_refused(what: Instead) -> None:
    happened = helped(2_000, seed=2, refused_below=0.3)
    found = evaluate(rounds(happened, asked(what)).rounds, seed=1)
    assert isinstance(found, Refused)
    assert found.code == "no-overlap"


def test_a_higher_threshold_than_the_logged_one_is_told() -> None:
    happened = helped(10_000, seed=2, refused_below=0.3)
    found = evaluate(rounds(happened, asked(0.6)).rounds, seed=1, resamples=100)
    assert isinstance(found, Evaluated)
    assert found.snips.value == pytest.approx(0.6 * 0.3 + 0.4 * 0.8 / 2, abs=0.03)


def test_without_a_holdout_never_is_refused() -> None:
    happened = helped(500, seed=3, holdout=0, own=0)
    found = evaluate(rounds(happened, asked("never"), controls()).rounds, seed=1)
    assert isinstance(found, Refused)
    assert (found.code, found.effective) == ("no-overlap", 0.0)


def test_a_holdout_that_is_too_small_is_refused_with_what_would_do() -> None:
    happened = helped(3_000, seed=3, holdout=0.01, own=0)
    found = evaluate(rounds(happened, asked("never"), controls(holdout=0.01)).rounds, seed=1)
    assert isinstance(found, Refused)
    assert (found.code, found.needed) == ("little-overlap", 10_000)


def test_an_assignment_other_than_the_logged_one_is_noticed() -> None:
    """The log says 1 in 2 was kept aside; in truth it was about 4 in 10."""
    found = evaluate(rounds(list(history()), asked(), controls(own=0.5)).rounds, seed=1)
    assert isinstance(found, Refused)
    assert found.code == "wrong-propensities"


def test_a_threshold_needs_a_probability() -> None:
    with pytest.raises(NothingLogged, match="carry no probability"):
        rounds([decided(1)], asked(0.5))


def test_the_model_asked_for_is_the_one_that_counts() -> None:
    said = [confidence(0.9), confidence(0.2, "other", "shadow")]
    happened: list[Happening] = [decided(1, said=said)]
    assert rounds(happened, asked(0.5)).rounds.target.tolist() == [[0.0, 1.0]]
    assert rounds(happened, asked(0.5, model="other")).rounds.target.tolist() == [[1.0, 0.0]]
    with pytest.raises(NothingLogged, match="of nobody"):
        rounds(happened, asked(0.5, model="nobody"))


@pytest.mark.parametrize(
    "value", [None, "text", True, 10**400, float("nan"), float("inf"), [1], {"a": 1}, 3]
)
@pytest.mark.parametrize("outcome", ["intervene", "holdout"])
def test_any_feature_may_come(value: Any, outcome: Outcome) -> None:
    reason: Reason | None = None if outcome == "intervene" else "policy_holdout"
    happened: list[Happening] = [
        decided(number, f"c{number}", outcome, reason, features={"x": value if number % 2 else 1})
        for number in range(20)
    ]
    predicted = rounds(happened).rounds.predicted
    assert predicted is not None
    assert np.isfinite(predicted).all()


def test_words_and_numbers_say_what_should_have_been_done() -> None:
    assert [instead(one) for one in ("always", "never", "0.25")] == ["always", "never", 0.25]
