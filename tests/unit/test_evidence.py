"""What decisions add up to: sessions, days, rates, overlap, and who is hit most."""

import gc
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import DAY, HOUR, MINUTE, SECOND, format_time, parse_time
from forestall.decide.backtest import Step, backtest, opening
from forestall.decide.engine import Engine
from forestall.decide.evidence import MOST, OVERLAP_WITHIN, Count, Evidence, Facts, follow
from forestall.decide.history import Chunk, History
from forestall.measure.outcomes import Followed, PolicyOutcomes
from forestall.policy.bundle import Bundle
from forestall.policy.language.model import Policy
from reference.comparing import put_in_force
from scenario import OPEN, START, event, instant, on

GRACE = OPEN.grace
TICKET = "forestall.ticket.opened"


def steps(policies: Policy | Sequence[Policy], lines: Sequence[bytes]) -> list[Step]:
    several = (policies,) if isinstance(policies, Policy) else tuple(policies)
    history = History(Path("<history>"), lines)
    return list(backtest(opening(Bundle(policies=several), OPEN), history, Engine()))


def facts(
    policies: Policy | Sequence[Policy], lines: Sequence[bytes], gap: int = 30 * MINUTE
) -> Facts:
    evidence = Evidence(gap)
    for step in steps(policies, lines):
        evidence.add(step)
    return evidence.tally().facts()


def outcomes(
    policy: Policy, lines: Sequence[bytes], outcome: str = TICKET, horizon: int = DAY
) -> PolicyOutcomes:
    followed = Followed(outcome, horizon)
    for step in steps(policy, lines):
        follow(followed, step, GRACE)
    (one,) = followed.result(START + DAY, seed=1, resamples=20).by_policy
    return one


def test_versions_in_shadow_are_left_out() -> None:
    live, other = on("{event: a}"), on("{event: b}")
    lines = [event(0, "a"), event(1, "b"), event(2, "b"), event(9, TICKET, {"ticket": "1"})]
    record = put_in_force(START - SECOND, [live], shadow=[other])
    controls = [*opening(Bundle(), OPEN), record]
    evidence, followed = Evidence(), Followed(TICKET, DAY)
    for step in backtest(controls, History(Path("<history>"), lines), Engine()):
        evidence.add(step)
        follow(followed, step, GRACE)
    assert [one.decisions for one in evidence.tally().facts().counts] == [1]
    (one,) = followed.result(START + DAY, seed=1, resamples=20).by_policy
    assert one.interventions == 1


def test_nothing_at_all() -> None:
    found = facts(on("{event: a}"), [])
    assert found == Facts(
        first=None,
        last=None,
        customers=0,
        sessions=0,
        session_gap_seconds=1800,
        counts=(),
        by_day=(),
        rates=(),
        overlap=(),
        most_hit=(),
    )


@pytest.mark.parametrize(("after", "sessions"), [(29 * 60, 1), (1799.999999, 1), (1800, 2)])
def test_a_session_ends_when_nothing_comes_for_half_an_hour(after: float, sessions: int) -> None:
    assert facts(on("{event: a}"), [event(0, "b"), event(after, "b")]).sessions == sessions


def test_sessions_are_each_customers_own() -> None:
    lines = [event(t, "b", subject=f"u{t % 3}") for t in range(9)]
    found = facts(on("{event: a}"), lines)
    assert (found.sessions, found.customers) == (3, 3)


def test_the_gap_is_what_the_caller_says() -> None:
    lines = [event(t * 60, "b") for t in range(5)]
    assert facts(on("{event: a}"), lines, MINUTE).sessions == 5
    assert facts(on("{event: a}"), lines, MINUTE + 1).sessions == 1


def test_an_event_that_comes_late_neither_ends_nor_starts_a_session() -> None:
    lines = [
        event(0, "b"),
        event(3600, "b"),
        event(3500, "b", received=3700),
        event(3800, "b"),
    ]
    assert facts(on("{event: a}"), lines).sessions == 2


def test_tickets_and_reports_make_no_session() -> None:
    lines = [
        event(0, "b"),
        event(7200, TICKET, {"ticket": "1"}),
        event(14400, "forestall.intervention.dismissed", {"policy": "p"}),
    ]
    assert facts(on("{event: a}"), lines).sessions == 1


def test_decisions_are_counted_by_policy_outcome_reason_and_day() -> None:
    lines = [event(t, "a") for t in (0, 60, 43_200, 43_260)]
    found = facts(on("{event: a}", cooldown="1h"), lines)
    assert found.counts == (
        Count(policy="p", outcome="intervene", reason=None, decisions=2),
        Count(policy="p", outcome="suppress", reason="cooldown", decisions=2),
    )
    assert [(one.day, one.outcome, one.decisions) for one in found.by_day] == [
        ("2024-05-01", "intervene", 1),
        ("2024-05-01", "suppress", 1),
        ("2024-05-02", "intervene", 1),
        ("2024-05-02", "suppress", 1),
    ]
    assert (found.first, found.last) == (instant(0), instant(43_260))
    assert b'"day"' not in msgspec.json.encode(found.counts)


def test_rates_are_per_1000_sessions() -> None:
    lines = [event(t * 3600, "a" if t == 0 else "b") for t in range(8)]
    (one,) = facts(on("{event: a}"), lines).rates
    assert (one.decisions, one.interventions) == (1, 1)
    assert (one.decisions_per_1000, one.interventions_per_1000) == (125.0, 125.0)


def test_without_sessions_there_is_no_rate() -> None:
    (one,) = facts(on(f"{{event: {TICKET}}}"), [event(0, TICKET, {"ticket": "1"})]).rates
    assert (one.decisions, one.decisions_per_1000) == (1, None)


def test_policies_overlap_when_both_notice_a_customer_within_an_hour() -> None:
    both = [on("{event: a}", "p"), on("{event: b}", "q")]
    lines = [event(0, "a"), event(3600, "b"), event(7200.000001, "a"), event(9000, "b")]
    (one,) = facts(both, lines).overlap
    assert (one.policies, one.times, one.customers) == (("p", "q"), 2, 1)


def test_candidates_of_one_record_overlap_whoever_wins() -> None:
    three = [on("{event: a}", name) for name in ("r", "p", "q")]
    lines = [event(0, "a", subject="u"), event(1, "a", subject="w")]
    found = facts(three, lines).overlap
    assert [(one.policies, one.times, one.customers) for one in found] == [
        (("p", "q"), 2, 2),
        (("p", "r"), 2, 2),
        (("q", "r"), 2, 2),
    ]


def test_other_customers_and_the_same_policy_do_not_overlap() -> None:
    both = [on("{event: a}", "p"), on("{event: b}", "q")]
    lines = [event(0, "a"), event(1, "a"), event(2, "b", subject="w")]
    assert facts(both, lines).overlap == ()


def test_the_most_hit_come_first_and_are_few() -> None:
    lines = [
        event(t, "a", subject=f"u{customer:02}", event_id=f"{customer}-{t}")
        for t in range(15)
        for customer in range(15)
        if customer >= t
    ]
    found = facts(on("{event: a}"), lines).most_hit
    assert len(found) == MOST
    assert [(one.customer, one.interventions) for one in found[:2]] == [("u14", 15), ("u13", 14)]
    assert found[0].by_policy == {"p": 15}


def test_the_refused_are_not_hit_and_ties_go_by_name() -> None:
    lines = [event(t, "a", subject=s) for t, s in enumerate(("w", "w", "u", "u", "u"))]
    found = facts(on("{event: a}", cooldown="1h"), lines).most_hit
    assert [(one.customer, one.interventions, one.decisions) for one in found] == [
        ("u", 1, 3),
        ("w", 1, 2),
    ]


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from("ab"), st.sampled_from("uvw")),
        max_size=30,
        unique=True,
    )
)
def test_it_agrees_with_counting_by_hand(rows: list[tuple[int, str, str]]) -> None:
    rows = sorted(rows)
    lines = [event(m * 600, t, subject=s, event_id=f"{m}{t}{s}") for m, t, s in rows]
    both = [on("{event: a}", "p"), on("{event: b}", "q")]
    found = facts(both, lines)
    decided = [
        (decision.subject, decision.policy, parse_time(decision.at))
        for step in steps(both, lines)
        for _, decision in step.decided
    ]
    assert found.sessions == sum(
        not any(s == subject and m - 3 < other < m for other, _, s in rows)
        for m, subject in {(m, subject) for m, _, subject in rows}
    )
    met = Counter(
        one[0]
        for index, one in enumerate(decided)
        if any(
            other[0] == one[0] and other[1] != one[1] and one[2] - other[2] <= OVERLAP_WITHIN
            for other in decided[:index]
        )
    )
    assert sum(one.times for one in found.overlap) == met.total()
    assert sum(one.customers for one in found.overlap) == len(met)
    assert sum(one.decisions for one in found.counts) == len(decided)
    assert sum(one.decisions for one in found.by_day) == len(decided)


def test_a_record_is_noticed_when_it_is_received() -> None:
    lines = [event(0, "a", received=200), event(100, TICKET, {"ticket": "1"}, received=201)]
    assert outcomes(on("{event: a}"), lines).reached == 0
    later = [lines[0], event(201, TICKET, {"ticket": "1"})]
    assert outcomes(on("{event: a}"), later).lead_seconds.median.value == 1


ABSENCE = "{sequence: [{event: a}, {not: b, for: 10s}]}"


@pytest.mark.parametrize(("ticket", "lead"), [(11, None), (12, None), (12.5, 0), (13, 1), (20, 8)])
def test_a_timer_is_noticed_after_its_grace(ticket: float, lead: int | None) -> None:
    lines = [event(0, "a"), event(ticket, TICKET, {"ticket": "1"}), event(60, "z")]
    one = outcomes(on(ABSENCE, in_conversation="allow"), lines)
    assert one.interventions == 1
    assert one.lead_seconds.median.value == lead


def test_a_timer_is_noticed_sooner_when_a_record_makes_it_due() -> None:
    lines = [event(0, "a"), event(10.5, "z"), event(11, TICKET, {"ticket": "1"})]
    one = outcomes(on(ABSENCE), lines)
    assert (one.reached, one.lead_seconds.median.value) == (1, 0)


def test_what_the_closing_tick_decides_is_taken_too() -> None:
    lines = [event(0, "a"), event(20, "z", subject="w")]
    made = steps(on(ABSENCE), lines)
    (noticed,) = [at for step in made for _, at, _ in step.noticed(GRACE)]
    assert noticed == START + 12 * SECOND


def test_an_outcome_is_no_warning_of_itself() -> None:
    policy = on(f"{{event: {TICKET}}}", in_conversation="allow")
    lines = [event(t, TICKET, {"ticket": str(t)}) for t in (0, 60)]
    one = outcomes(policy, lines)
    assert (one.interventions, one.followed, one.reached) == (2, 1, 1)
    assert one.lead_seconds.median.value == 60


@pytest.mark.parametrize(("kind", "total"), [("a", 6), ("b", 6), ("never", 0)])
def test_every_decision_is_shown_whatever_the_outcome(kind: str, total: int) -> None:
    lines = [event(t, "a" if t % 2 else "b", subject=f"u{t % 4}") for t in range(12)]
    followed = Followed(kind, HOUR)
    for step in steps((on("{event: a}", "p"), on("{event: b}", "q")), lines):
        follow(followed, step, GRACE)
    found = followed.result(START, seed=1, resamples=5)
    assert (found.total, found.together.interventions) == (total, 12)
    assert [one.interventions for one in found.by_policy] == [6, 6]


def day_of(day: int, customers: int) -> Step:
    """A day on which every customer is decided on twice and opens a ticket."""
    records: list[Record] = []
    decided: list[tuple[int, Decision]] = []
    for number in range(customers):
        at = START + day * DAY + number * SECOND
        name = f"{day}-{number}"
        order = 2 * len(records) + 1
        decided += [(order, made(policy, f"u{number}", at, name)) for policy in ("p", "q")]
        records.append(Record(name, "s", "a", f"u{number}", at, at))
        records.append(Record(f"t{name}", "s", TICKET, f"u{number}", at + HOUR, at + HOUR))
    return Step(Chunk.of(records), decided)


def made(policy: str, subject: str, at: int, name: str) -> Decision:
    return Decision(
        id=f"{policy}{name}",
        policy=policy,
        version="v",
        mode="live",
        subject=subject,
        key=None,
        at=format_time(at),
        outcome="intervene",
        reason=None,
        matched=(name,),
        features={},
        explanation="because",
    )


def test_memory_does_not_grow_with_the_history() -> None:
    """Six months of 40 customers take hardly more than the first."""
    evidence, followed = Evidence(), Followed(TICKET, 7 * DAY)

    def after(days: range) -> int:
        for day in days:
            step = day_of(day, 40)
            evidence.add(step)
            follow(followed, step, GRACE)
        del step
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        for second in range(5_000):  # fills the caches of parsed times, which are bounded
            parse_time(format_time(START - second * SECOND))
        month = after(range(30))
        half_a_year = after(range(30, 180))
    finally:
        tracemalloc.stop()
    assert half_a_year - month < 300_000
    found = followed.result(START + 181 * DAY, seed=1, resamples=2)
    assert found.total == found.together.reached == 7_200
    assert evidence.tally().facts().overlap[0].times == 7_200
