"""Refusals: what stops a number, and what is said that would carry one."""

import numpy as np
import pytest

from forestall.contracts.instants import DAY
from forestall.measure.cohorts import Cohort, Entry, Floats, Question, Unit
from forestall.measure.effect import contrast
from forestall.measure.refusals import (
    LEAST_ACCOUNTS,
    LEAST_CUSTOMERS,
    LEAST_OUTCOMES,
    Outlook,
    distrust,
    outlook,
    rounded,
    split,
    too_little,
    too_skewed,
    unfinished,
    wanted,
)
from forestall.measure.terms import Term
from forestall.measure.trails import Trail

AHEAD = Outlook("subject", 0.1, 10.0)
QUESTION = Question(horizon=7 * DAY, now=100 * DAY)


def cohort(offered: int, aside: int, share: float = 0.1, end: int | None = None) -> Cohort:
    """So many in either arm, one entering every hour."""
    found = Cohort("policy", "a", Term(0, end, "s:a", share, 0))
    for number in range(offered + aside):
        at = number * DAY // 24
        found.entries.append(Entry(f"c{number}", Trail(), at, aside=number < aside))
    return found


def arms(offered: Floats, aside: Floats) -> tuple[Floats, Floats]:
    """Counts and people, one customer a unit."""
    above = np.zeros((2, len(offered) + len(aside)))
    people = np.zeros_like(above)
    above[0, : len(offered)], above[1, len(offered) :] = offered, aside
    people[0, : len(offered)], people[1, len(offered) :] = 1, 1
    return above, people


def evenly(number: int, outcomes: int) -> Floats:
    """So many customers, of whom so many have one outcome."""
    counts = np.zeros(number)
    counts[:outcomes] = 1
    return counts


def test_a_fair_split_is_believed() -> None:
    found = cohort(900, 100)
    assert split(found).share == 0.1
    assert distrust(found) is None


def test_a_split_that_chance_does_not_make_stops_the_number() -> None:
    refused = distrust(cohort(950, 50))
    assert refused is not None
    assert refused.code == "sample-ratio"
    assert "Of 1,000 customers 5.00 % are kept aside, where 10 % should be." in refused.why
    assert "once in 7,300,000 times" in refused.why
    refused = distrust(cohort(1000, 0))
    assert refused is not None
    assert "a thousand million times" in refused.why


@pytest.mark.parametrize(
    ("crossed", "text"),
    [
        ([0, 6], "6 of 100 customers kept aside were helped all the same: 6.0 %"),
        ([46, 0], "46 of 900 customers to be helped were held back all the same: 5.1 %"),
    ],
)
def test_arms_that_got_each_others_lot_stop_the_number(crossed: list[int], text: str) -> None:
    found = cohort(900, 100)
    found.crossed = crossed
    refused = distrust(found)
    assert refused is not None
    assert refused.code == "contaminated"
    assert text in refused.why
    found.crossed = [45, 5]
    assert distrust(found) is None


def test_few_customers_say_how_many_are_needed_and_how_long_that_takes() -> None:
    above, people = arms(evenly(110, 30), evenly(12, 4))
    refused = too_little(above, people, "tickets", AHEAD)
    assert refused is not None
    assert refused.code == "few-customers"
    assert (
        refused.why
        == f"The holdout has 12 customers; no interval holds with fewer than {LEAST_CUSTOMERS}."
    )
    assert refused.what == (
        "An interval of ±20 % of the rate needs about 280 customers kept aside; at today's traffic"
        " that takes 27 days more. A larger holdout gets there sooner."
    )


def test_the_other_arm_may_be_the_small_one() -> None:
    above, people = arms(evenly(12, 4), evenly(200, 50))
    refused = too_little(above, people, "tickets", Outlook("subject", 0.9, 10.0))
    assert refused is not None
    assert refused.why.startswith("The arm that is offered help has 12 customers")


@pytest.mark.parametrize(
    ("unit", "least"), [("subject", LEAST_CUSTOMERS), ("account", LEAST_ACCOUNTS)]
)
def test_the_least_numbers_are_enough(unit: Unit, least: int) -> None:
    ahead = Outlook(unit, 0.5, 10.0)
    enough = arms(evenly(least, 20), evenly(least, LEAST_OUTCOMES))
    assert too_little(*enough, "tickets", ahead) is None
    few = arms(evenly(least, 20), evenly(least - 1, LEAST_OUTCOMES))
    refused = too_little(*few, "tickets", ahead)
    assert refused is not None
    assert refused.code == "few-customers"


def test_with_everybody_kept_aside_there_is_nobody_to_compare_with() -> None:
    above, people = arms(evenly(0, 0), evenly(500, 50))
    refused = too_little(above, people, "tickets", Outlook("subject", 1.0, 10.0))
    assert refused is not None
    assert refused.code == "few-customers"
    assert "a smaller holdout" in refused.what


def test_few_outcomes_stop_the_number() -> None:
    above, people = arms(evenly(5_000, 100), evenly(500, LEAST_OUTCOMES - 1))
    refused = too_little(above, people, "tickets", AHEAD)
    assert refused is not None
    assert refused.code == "few-outcomes"
    assert "Those kept aside had 19 tickets" in refused.why
    assert "needs about 4,800 customers kept aside" in refused.what


def test_without_any_outcome_nothing_can_be_planned() -> None:
    above, people = arms(evenly(500, 0), evenly(500, 0))
    assert "can only be planned for once there are some" in wanted(above, people, AHEAD)


def test_a_few_customers_with_most_outcomes_stop_the_number() -> None:
    counts = evenly(400, 60)
    counts[0] = 200
    above, people = arms(np.tile([0.0, 1.0], 2_000), counts)
    found = contrast(above, people, people)
    refused = too_skewed(found, people, "tickets", AHEAD)
    assert refused is not None
    assert refused.code == "skewed"
    assert "customers kept aside" in refused.what
    even = contrast(*arms(evenly(4_000, 800), evenly(400, 80)), people)
    assert too_skewed(even, people, "tickets", AHEAD) is None


def test_enough_is_not_asked_for_again() -> None:
    above, people = arms(evenly(40_000, 20_000), evenly(4_000, 2_000))
    assert wanted(above, people, AHEAD) == ""


def test_what_the_past_explains_need_not_be_waited_for() -> None:
    above, people = arms(evenly(4_000, 800), evenly(200, 40))
    assert "about 430 " in wanted(above, people, AHEAD)
    assert "about 210 " in wanted(above, people, AHEAD, removed=0.5)


def test_nobodys_time_has_passed() -> None:
    refused = unfinished(cohort(5, 5), QUESTION)
    assert refused.code == "unfinished"
    assert refused.what.startswith("The first will have on 1970-01-08 at 00:00 UTC")
    assert unfinished(cohort(0, 0), QUESTION).code == "nobody"
    changed = unfinished(cohort(5, 5, end=DAY), QUESTION)
    assert "The assignment changed before anybody's 7d" in changed.why


def test_the_traffic_is_what_came_in_so_far() -> None:
    ahead = outlook(cohort(216, 24), QUESTION, 24)
    assert ahead.daily == pytest.approx(24 / (239 / 24))
    assert outlook(cohort(1, 0), QUESTION, 0).daily == 0.0
    assert outlook(cohort(0, 0), QUESTION, 0).daily == 0.0


@pytest.mark.parametrize(
    ("daily", "told"),
    [
        (0.0, "It needs about 120 customers kept aside."),
        (
            300.0,
            "It needs about 120 customers kept aside; at today's traffic that takes 1 day more.",
        ),
        (
            0.001,
            "It needs about 120 customers kept aside; at today's traffic that takes more than ten"
            " years.",
        ),
    ],
)
def test_the_wait_is_told_in_days(daily: float, told: str) -> None:
    assert Outlook("subject", 0.1, daily).words(123, 20, "It") == told


@pytest.mark.parametrize(("number", "told"), [(7, 7), (99, 99), (123, 120), (4_149, 4_100)])
def test_numbers_are_rounded_to_what_can_be_known(number: int, told: int) -> None:
    assert rounded(number) == told
