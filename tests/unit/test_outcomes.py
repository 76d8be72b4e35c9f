"""What followed: only what was noticed before an outcome, and within the horizon, counts for it."""

from collections.abc import Sequence
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.decision import Decision, Outcome
from forestall.contracts.event import Record
from forestall.contracts.instants import DAY, SECOND, format_time
from forestall.measure.outcomes import (
    SLACK,
    Followed,
    LeadTime,
    Outcomes,
    PolicyOutcomes,
    caveat,
    lead,
)
from forestall.measure.statistics import Estimate

HORIZON = 100
NONE = LeadTime(Estimate(None), Estimate(None), Estimate(None))
Step = tuple[Literal["act", "candidate", "ticket"], int]


def decision(at: int, outcome: Outcome, policy: str, subject: str) -> Decision:
    return Decision(
        id=f"{policy}-{at}",
        policy=policy,
        version="v",
        mode="live",
        subject=subject,
        key=None,
        at=format_time(at * SECOND),
        outcome=outcome,
        reason=None if outcome == "intervene" else "cooldown",
        matched=("m",),
        features={},
        explanation="because",
    )


class History:
    """A history told in seconds."""

    def __init__(self, horizon: int = HORIZON) -> None:
        self.followed = Followed("ticket", horizon * SECOND)
        self.number = 0

    def act(
        self, at: int, policy: str = "p", subject: str = "u", outcome: Outcome = "intervene"
    ) -> "History":
        self.followed.decided(decision(at, outcome, policy, subject), at * SECOND)
        return self

    def ticket(
        self,
        at: int,
        subject: str = "u",
        *,
        received: int | None = None,
        name: str | None = None,
    ) -> "History":
        self.number += 1
        taken = (at if received is None else received) * SECOND
        self.followed.happened(
            Record(name or str(self.number), "s", "ticket", subject, at * SECOND, taken)
        )
        return self

    def result(self, end: int = 10_000) -> Outcomes:
        return self.followed.result(end * SECOND, seed=1, resamples=50)

    def only(self, end: int = 10_000) -> PolicyOutcomes:
        (one,) = self.result(end).by_policy
        return one


def test_an_intervention_before_the_outcome_foresaw_it() -> None:
    one = History().act(0).ticket(90).only()
    assert (one.interventions, one.followed, one.reached, one.reachable) == (1, 1, 1, 1)
    assert (one.precision.value, one.recall.value, one.reachable_share.value) == (1, 1, 1)
    assert one.lead_seconds.median.value == 90


@pytest.mark.parametrize(
    ("at", "counts"), [(99, True), (100, True), (101, False), (0, False), (-1, False)]
)
def test_the_horizon_is_inclusive_and_its_start_is_not(at: int, counts: bool) -> None:
    one = History().act(1_000).ticket(1_000 + at).only()
    assert (one.followed, one.reached, one.reachable) == (counts, counts, counts)


def test_another_customers_outcome_is_not_credited() -> None:
    one = History().act(0, subject="u").ticket(10, subject="w").only()
    assert (one.followed, one.reached) == (0, 0)
    assert one.recall.value == 0


def test_what_was_refused_reaches_nobody_but_could_have() -> None:
    one = History().act(0, outcome="suppress").ticket(10).only()
    assert (one.interventions, one.followed, one.reached, one.reachable) == (0, 0, 0, 1)
    assert one.precision == Estimate(None)
    assert (one.recall.value, one.reachable_share.value) == (0, 1)
    assert one.lead_seconds == NONE


def test_a_holdout_is_a_candidate_only() -> None:
    one = History().act(0, outcome="holdout").ticket(10).only()
    assert (one.interventions, one.reached, one.reachable) == (0, 0, 1)


def test_an_intervention_counts_as_followed_once_and_may_reach_two_outcomes() -> None:
    one = History().act(0).ticket(10).ticket(20).only()
    assert (one.followed, one.interventions, one.reached) == (1, 1, 2)
    assert one.precision.value == 1.0


def test_the_lead_runs_from_the_earliest_in_the_horizon() -> None:
    one = History().act(0).act(30).act(60).ticket(120).only()
    assert one.lead_seconds.median.value == 90
    assert (one.interventions, one.followed) == (3, 2)


def test_policies_are_told_apart_and_together() -> None:
    history = History().act(0, "p").act(10, "q").ticket(50).act(200, "q").ticket(900)
    found = history.result()
    p, q = found.by_policy
    assert (p.policy, q.policy, found.together.policy) == ("p", "q", "*")
    assert (p.interventions, p.followed, q.interventions, q.followed) == (1, 1, 2, 1)
    assert (found.together.interventions, found.together.followed) == (3, 2)
    assert (found.total, found.customers, found.together.reached) == (2, 1, 1)
    assert found.together.recall.value == 0.5
    assert found.together.lead_seconds.median.value == 50


def test_the_same_event_twice_is_one_outcome() -> None:
    history = History().act(0).ticket(10, name="t").ticket(11, name="t").ticket(12, name="w")
    assert history.result().total == 2
    again = History().ticket(0, name="t").ticket(8 * DAY // SECOND, name="t")
    assert again.result().total == 2


def test_an_outcome_that_arrives_late_counts_when_it_happened() -> None:
    history = History().act(0).act(50).ticket(40, received=60)
    one = history.only()
    assert (one.followed, one.reached, one.lead_seconds.median.value) == (1, 1, 40)


def test_an_outcome_from_the_future_counts_when_it_was_received() -> None:
    assert History().act(0).ticket(5_000, received=60).only().lead_seconds.median.value == 60


def test_what_had_no_time_to_be_followed_is_told() -> None:
    history = History().act(0).act(500).act(550).ticket(560)
    assert history.only(end=600).unfinished == 0
    assert history.act(570).only(end=600).unfinished == 1
    assert history.only(end=671).unfinished == 0


def test_nothing_at_all() -> None:
    found = History().result()
    assert (found.total, found.customers, found.by_policy) == (0, 0, ())
    assert found.together.precision == Estimate(None)
    assert found.caveat == caveat("any ticket")
    assert "cannot show whether any ticket would have been avoided" in found.caveat


def test_long_leads_are_rounded_to_three_digits() -> None:
    one = History(10_000_000).act(0).ticket(123_456).only()
    assert one.lead_seconds.median.value == 123_000


def test_candidates_without_end_leave_little_behind() -> None:
    history = History()
    for at in range(0, 400 * 3600, 600):
        history.act(at, outcome="suppress")
    (customer,) = history.followed._customers.values()
    for trail in customer.trails.values():
        assert len(trail.candidates) <= SLACK // (600 * SECOND) + 1
    for at in range(400 * 3600, 800 * 3600, 600):
        history.act(at)
    for trail in customer.trails.values():
        assert len(trail.acts) <= (SLACK + HORIZON * SECOND) // (600 * SECOND) + 1
        assert len(trail.open) == len(trail.acts)


@pytest.mark.parametrize(
    ("acts", "at", "horizon", "found"),
    [
        ([1, 5], 9, None, 8),
        ([1, 5], 9, 4, 4),
        ([1, 5], 9, 3, None),
        ([9, 10], 9, None, None),
        ([], 9, None, None),
    ],
)
def test_the_lead(acts: list[int], at: int, horizon: int | None, found: int | None) -> None:
    assert lead(acts, at, horizon) == found


def by_hand(steps: Sequence[Step]) -> tuple[int, ...]:
    """The definition, by looking at everything: followed, reached, reachable and the leads."""
    acts = [at for kind, at in steps if kind == "act"]
    seen = [at for kind, at in steps if kind != "ticket"]
    tickets = [at for kind, at in steps if kind == "ticket"]
    leads = [
        max(at - act for act in acts if 0 < at - act <= HORIZON)
        for at in tickets
        if any(0 < at - act <= HORIZON for act in acts)
    ]
    return (
        sum(any(0 < at - act <= HORIZON for at in tickets) for act in acts),
        len(leads),
        sum(any(0 < at - one <= HORIZON for one in seen) for at in tickets),
        sorted(leads)[(len(leads) - 1) // 2] if leads else -1,
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["act", "candidate", "ticket"]),
            st.one_of(st.integers(0, 400), st.integers(0, 9).map(lambda n: n * 4_000)),
        ),
        max_size=25,
    )
)
def test_it_agrees_with_the_definition(steps: list[Step]) -> None:
    history = History()
    ordered = sorted(steps, key=lambda step: step[1])
    for kind, at in ordered:
        if kind == "ticket":
            history.ticket(at)
        else:
            history.act(at, outcome="intervene" if kind == "act" else "suppress")
    one = history.result(end=0).together
    median = one.lead_seconds.median.value
    assert (
        one.followed,
        one.reached,
        one.reachable,
        -1 if median is None else median,
    ) == by_hand(ordered)
