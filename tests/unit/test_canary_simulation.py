"""Canaries simulated: harm is noticed in time, and what does no harm is left alone, at every look."""

import numpy as np
import pytest

from canaries import USUAL, Arm, course, failed_at, step
from forestall.measure.canary import DEFAULTS
from forestall.measure.verdict import fails, look

STEPS = 3
ALPHA = 0.05
LOOKS, SUBJECTS = 25, 300

HARMS = {
    "tickets": (Arm(tickets=0.06), 800, 1_700),
    "dismissed": (Arm(dismissed=0.5), 450, 800),
    "errors": (Arm(errors=0.02), 1_000, 2_600),
    "latency": (Arm(latencies=(0.05, 0.05, 0.10, 0.20, 0.30, 0.30)), 150, 250),
}
"""Each guardrail's harm, and the subjects in the canary within which half, and 95 of 100, end.

Those of docs/explanation/canary-statistics.md, and a little for chance.
"""


def alarms(canary: Arm, runs: int, seed: int, share: float = 0.1, alpha: float = ALPHA) -> int:
    """In how many runs of one step, looked at throughout, ``canary`` fails beside the usual."""
    chance = np.random.default_rng(seed)
    plan = step(share=share, alpha=alpha)
    return sum(
        failed_at(chance, plan, canary, USUAL, LOOKS, SUBJECTS) is not None for _ in range(runs)
    )


def test_the_same_policy_again_is_rolled_back_in_at_most_alpha_of_2000_runs() -> None:
    assert alarms(USUAL, 2_000, seed=1) <= ALPHA * 2_000


def test_a_harmless_change_is_rolled_back_in_at_most_alpha_of_2000_runs() -> None:
    """It acts twice as often and spares tickets."""
    assert alarms(Arm(shown=0.6, tickets=0.024), 2_000, seed=2) <= ALPHA * 2_000


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_also_with_small_and_with_even_arms(share: float) -> None:
    assert alarms(USUAL, 200, seed=3, share=share) <= ALPHA * 200


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_tickets_alone_at_the_whole_alpha(share: float) -> None:
    """One guardrail, on the border of what is harmless: nothing is hidden by the others."""
    chance = np.random.default_rng(4)
    plan = step(share=share, guardrails=DEFAULTS[:1], alpha=ALPHA)
    found = sum(failed_at(chance, plan, USUAL, USUAL, 50, 100) is not None for _ in range(1_000))
    assert 0 < found <= ALPHA * 1_000


def test_days_on_which_everybody_opens_tickets_are_no_harm() -> None:
    """Customers are not independent then; that they are alike in both arms is enough."""
    chance = np.random.default_rng(10)
    plan = step(guardrails=DEFAULTS[:1], alpha=ALPHA)
    runs = 400
    found = sum(
        failed_at(chance, plan, USUAL, USUAL, 40, 150, storms=0.2) is not None for _ in range(runs)
    )
    assert found <= ALPHA * runs


@pytest.mark.parametrize("name", HARMS)
def test_harm_is_noticed_within_the_stated_number_of_subjects(name: str) -> None:
    canary, half, most = HARMS[name]
    chance = np.random.default_rng(5)
    plan = step(alpha=ALPHA / STEPS)
    found = [
        failed_at(chance, plan, canary, USUAL, looks=200, subjects=200) or 10**9 for _ in range(40)
    ]
    assert np.median(found) <= half
    assert np.quantile(found, 0.95) <= most


def test_what_is_harmless_passes_once_there_are_enough_subjects() -> None:
    plan = step(alpha=ALPHA / STEPS)
    *_, last = course(np.random.default_rng(6), plan, USUAL, USUAL, 100, 1_000)
    assert look(plan, last, 1).verdict == "pass"


def test_what_is_beyond_its_limit_hardly_ever_passes() -> None:
    """Tickets are worse by more than the tolerance: a pass at any look is a mistake."""
    chance = np.random.default_rng(7)
    plan = step(guardrails=DEFAULTS[:1], alpha=ALPHA, least=1)
    canary = Arm(tickets=0.0405)
    runs = 60
    passed = sum(
        any(
            look(plan, counted, 1).verdict == "pass"
            for counted in course(chance, plan, canary, USUAL, 12, 4_000)
        )
        for _ in range(runs)
    )
    assert passed <= ALPHA * runs


def test_a_cheap_look_says_what_a_whole_one_says() -> None:
    chance = np.random.default_rng(8)
    plan = step(alpha=ALPHA / STEPS)
    for canary, _, _ in HARMS.values():
        for counted in course(chance, plan, canary, USUAL, 12, 800):
            assert fails(plan, counted) == (look(plan, counted, 1).verdict == "fail")


@pytest.mark.soak
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_two_thousand_runs_at_every_share_and_many_looks(share: float) -> None:
    chance = np.random.default_rng(9)
    plan = step(share=share, alpha=ALPHA)
    found = sum(failed_at(chance, plan, USUAL, USUAL, 150, 200) is not None for _ in range(2_000))
    assert found <= ALPHA * 2_000
