"""Customers and outcomes, now against an earlier window of the same length."""

from typing import Any

import numpy as np
import pytest

from forestall.contracts.instants import DAY, HOUR
from forestall.measure.drift import EVERYBODY, LEAST, Drift, Rate, Shift, Spans, Watch
from forestall.measure.reading import Happening
from forestall.measure.surprise import surprising
from watched import TICKET, WEEK, decided, moment, record, when

RUNS = 1_000
NOW = 2 * WEEK
SPANS = Spans(now=moment(NOW), horizon=2 * HOUR)


def look(happened: list[Happening], alpha: float = 0.05, spans: Spans = SPANS) -> Drift:
    watch = Watch(spans, TICKET, alpha)
    for one in happened:
        watch.take(one)
    return watch.result()


def week(
    number: int,
    seed: int,
    *,
    customers: int = 300,
    mean: float = 0.0,
    pro: float = 0.5,
    tickets: float = 0.2,
) -> list[Happening]:
    """Each customer views a page and meets the policy in week ``number``; some write a ticket."""
    chance = np.random.default_rng(seed)
    spend = chance.normal(mean, 1, customers).tolist()
    plan = (chance.random(customers) < pro).tolist()
    writes = (chance.random(customers) < tickets).tolist()
    found: list[Happening] = []
    for at in range(customers):
        hours, name = number * WEEK + 1 + at * 0.4, f"c{number}-{at}"
        features = {"spend": spend[at], "plan": "pro" if plan[at] else "free"}
        found.append(record(hours, "page.viewed", name))
        found.append(decided(hours + 0.01, name, features=features))
        if writes[at]:
            found.append(record(hours + 1, TICKET, name))
    return sorted(found, key=when)


def shift(found: Drift, feature: str) -> Shift:
    return next(one for one in found.population if one.feature == feature)


def rate(found: Drift, policy: str = EVERYBODY) -> Rate:
    return next(one for one in found.outcomes if one.policy == policy)


def alarms(found: Drift) -> set[str]:
    shifted = {one.feature for one in found.population if one.alarm}
    return shifted | {one.policy for one in found.outcomes if one.alarm}


def test_two_weeks_alike_raise_no_alarm() -> None:
    found = look(week(0, 1) + week(1, 2))
    assert alarms(found) == set()
    assert (shift(found, "spend").reference, shift(found, "spend").now) == (300, 300)
    assert {one.policy for one in found.outcomes} == {EVERYBODY, "help"}


def test_a_feature_that_shifted_is_named() -> None:
    assert alarms(look(week(0, 1) + week(1, 2, mean=1.0))) == {"spend"}
    assert alarms(look(week(0, 1) + week(1, 2, pro=0.9))) == {"plan"}


def test_a_rate_that_changed_is_an_alarm_of_everybody_and_of_the_policy() -> None:
    found = look(week(0, 1) + week(1, 2, tickets=0.5))
    assert alarms(found) == {EVERYBODY, "help"}
    before, now = rate(found).reference, rate(found).now
    assert before[0] / before[1] == pytest.approx(0.2, abs=0.07)
    assert now[0] / now[1] == pytest.approx(0.5, abs=0.07)


def test_a_feature_that_disappears_is_an_alarm() -> None:
    later = [
        decided(WEEK + 1 + at / 10, f"d{at}", features={"spend": 0.0, "plan": None})
        for at in range(300)
    ]
    assert "plan" in alarms(look(week(0, 1) + list(later)))


def test_what_is_plain_but_small_is_no_alarm() -> None:
    def many(number: int, mean: float) -> list[Happening]:
        values = np.random.default_rng(number).normal(mean, 1, 2_000).tolist()
        return [
            decided(number * WEEK + 1 + at / 20, f"m{number}-{at}", features={"x": value})
            for at, value in enumerate(values)
        ]

    one = shift(look(many(0, 0.0) + many(1, 0.2)), "x")
    assert one.chance is not None
    assert one.index is not None
    assert one.chance < 1e-4
    assert one.index < 0.1
    assert not one.alarm


def test_a_small_sample_says_nothing() -> None:
    found = look(week(0, 1, customers=LEAST - 1) + week(1, 2, mean=5.0, tickets=0.9))
    assert all(one.chance is None and not one.alarm for one in found.population)
    assert all(one.chance is None and not one.alarm for one in found.outcomes)


def test_who_comes_late_in_a_window_counts_in_neither() -> None:
    """Who comes in a window's last two days has a ticket far more often, in both alike."""
    late = range(500, 672)
    happened = [
        one
        for number in (0, 1)
        for at in range(672)
        for hours, name in [(number * WEEK + at / 4, f"c{number}-{at}")]
        for one in (
            record(hours, "page.viewed", name),
            *([record(hours + 0.1, TICKET, name)] if at in late or not at % 10 else []),
        )
    ]
    spans = Spans(now=moment(NOW), horizon=47 * HOUR)
    found = rate(look(sorted(happened, key=when), spans=spans))
    assert found.reference == found.now == (49, 481)
    assert found.chance == pytest.approx(1.0)


def test_false_alarms_are_as_rare_as_stated() -> None:
    """1,000 looks at two features and a rate where nothing changed, at 5 %; what matters or not is
    left aside."""
    cried = 0
    for run in range(RUNS):
        chance = np.random.default_rng(run)
        values = chance.normal(size=(2, LEAST)).tolist()
        pro = (chance.random((2, LEAST)) < 0.5).tolist()
        writes = (chance.random((2, LEAST)) < 0.2).tolist()
        watch = Watch(SPANS, TICKET, 0.05)
        for number in range(2):
            for at in range(LEAST):
                candidate = CANDIDATES[number][at]
                candidate.decision.features.update(spend=values[number][at], pro=pro[number][at])
                watch.take(candidate)
                if writes[number][at]:
                    watch.take(TICKETS[number][at])
        cried += any(picked(watch.result()))
    assert cried / RUNS <= 0.068


def picked(found: Drift) -> list[bool]:
    chances = [one.chance for one in found.population] + [one.chance for one in found.outcomes]
    assert None not in chances
    return surprising([one for one in chances if one is not None], 0.05)


def of_week(number: int, make: Any, after: float) -> list[Any]:
    return [make(number * WEEK + 1 + at / 2 + after, f"c{number}-{at}") for at in range(LEAST)]


CANDIDATES = [of_week(n, lambda at, name: decided(at, name, features={"x": 0}), 0) for n in (0, 1)]
TICKETS = [of_week(n, lambda at, name: record(at, TICKET, name), 0.1) for n in (0, 1)]


@pytest.mark.parametrize(
    ("hours", "place"),
    [(-0.1, None), (0.0, 0), (WEEK - 0.1, 0), (WEEK, 1), (NOW, 1), (NOW + 1, None)],
)
def test_windows_have_the_same_length(hours: float, place: int | None) -> None:
    assert SPANS.place(moment(hours)) == place


def test_the_reference_may_lie_further_back() -> None:
    spans = Spans(now=moment(10 * WEEK), ago=28 * DAY)
    assert spans.place(moment(5.5 * WEEK)) == 0
    assert spans.place(moment(7.5 * WEEK)) is None
    assert spans.place(moment(9.5 * WEEK)) == 1


@pytest.mark.parametrize(("days", "enough"), [(0, True), (0.6, True), (0.8, False), (3, False)])
def test_a_log_that_begins_within_the_reference_says_nothing(days: float, enough: bool) -> None:
    """Half a week meets fewer of those who come seldom than a whole one."""
    later = [one for one in week(0, 1, customers=400) if when(one) >= moment(days * 24)]
    found = look(later + week(1, 2))
    assert all((one.chance is not None) == enough for one in found.population)
    assert all((one.chance is not None) == enough for one in found.outcomes)


def test_a_customer_counts_once_with_what_came_first() -> None:
    happened: list[Happening] = []
    for at in range(LEAST):
        happened += [decided(1 + at / 10 + n / 1000, f"a{at}", features={"x": n}) for n in range(3)]
        happened += [decided(WEEK + 1 + at / 10, f"b{at}", features={"x": 0})]
    one = shift(look(sorted(happened, key=when)), "x")
    assert (one.reference, one.now) == (LEAST, LEAST)
    assert one.chance == 1.0


def test_candidates_in_shadow_are_not_looked_at() -> None:
    assert look([decided(1, mode="shadow", features={"x": 1})]).population == ()


def test_only_finished_customers_count_toward_a_rate() -> None:
    """At the end, 2 hours and an hour of slack are missing."""
    happened = week(0, 1) + [record(NOW - 2, "page.viewed", f"late{n}") for n in range(300)]
    assert rate(look(happened)).now == (0, 0)


def test_only_what_follows_within_the_horizon_counts() -> None:
    happened: list[Happening] = []
    for at, delay in ((10, -0.5), (20, 0.5), (30, 1.9), (40, 2.1)):
        happened.append(record(at, "page.viewed", f"c{at}"))
        happened.append(record(at + delay, TICKET, f"c{at}"))
    assert rate(look(sorted(happened, key=when))).reference == (2, 4)


def test_an_empty_log_has_no_drift() -> None:
    assert look([]) == Drift(alpha=0.05, population=(), outcomes=())


def test_any_feature_may_come() -> None:
    values: list[Any] = [None, "x", 1, 2.5, float("nan"), [1], {"a": 1}, True]
    happened: list[Happening] = [
        decided(1 + at / 10 + n * WEEK, f"c{n}-{at}", features={"x": values[at % len(values)]})
        for n in range(2)
        for at in range(LEAST)
    ]
    one = shift(look(happened), "x")
    assert one.chance == pytest.approx(1.0)
    assert one.index == pytest.approx(0.0)
