"""The score credits only what was decided before the customer asked for help."""

from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.decision import Decision, Outcome, Reason
from forestall.contracts.instants import SECOND, format_time
from forestall.measure.score import CAVEAT, PolicyScore, Visit, score

GRACE = 2 * SECOND


def decision(
    *matched: str,
    at: int,
    policy: str = "payments",
    outcome: Outcome = "intervene",
    reason: Reason | None = None,
) -> Decision:
    return Decision(
        id=f"{policy}-{at}-{'-'.join(matched)}",
        policy=policy,
        version="v",
        mode="live",
        subject="p",
        key=None,
        at=format_time(at * SECOND),
        outcome=outcome,
        reason=reason,
        matched=matched,
        features={},
        explanation="because",
    )


def history(**events: tuple[str, int] | tuple[str, int, bool]) -> dict[str, Visit]:
    return {
        name: Visit(event[0], event[1] * SECOND, len(event) == 3 and event[2])
        for name, event in events.items()
    }


def test_an_intervention_before_the_chat_reaches_the_session() -> None:
    result = score(history(a=("s", 0), chat=("s", 90, True)), [decision("a", at=0)], grace=GRACE)
    assert (result.chat_sessions, result.reached_before_chat) == (1, 1)
    assert result.median_lead_seconds == 90
    assert result.by_policy == {"payments": PolicyScore(1, 1, 1.0)}


def test_an_intervention_after_or_at_the_chat_does_not() -> None:
    events = history(a=("s", 0), chat=("s", 90, True), b=("s", 100), c=("s", 90))
    result = score(events, [decision("b", at=100), decision("c", at=90)], grace=GRACE)
    assert result.reached_before_chat == 0
    assert result.median_lead_seconds is None
    assert result.by_policy["payments"] == PolicyScore(2, 0, 0.0)


def test_between_two_chats_counts_for_the_policy_but_not_for_the_session() -> None:
    events = history(chat=("s", 10, True), a=("s", 20), again=("s", 30, True))
    result = score(events, [decision("a", at=20)], grace=GRACE)
    assert result.reached_before_chat == 0
    assert result.by_policy["payments"].followed_by_chat == 1


def test_a_chat_in_another_session_is_not_credited() -> None:
    events = history(a=("s", 0), chat=("t", 90, True))
    result = score(events, [decision("a", at=0)], grace=GRACE)
    assert result.reached_before_chat == 0
    assert result.by_policy["payments"].precision == 0.0


def test_a_timer_is_noticed_only_after_its_grace() -> None:
    events = history(a=("s", 0), chat=("s", 31, True))
    assert score(events, [decision("a", at=30)], grace=GRACE).reached_before_chat == 0
    assert score(events, [decision("a", at=28)], grace=GRACE).reached_before_chat == 1


def test_the_lead_runs_from_the_earliest_intervention() -> None:
    events = history(a=("s", 0), b=("s", 60), chat=("s", 100, True))
    decisions = [decision("b", at=60, policy="late"), decision("a", at=0, policy="early")]
    result = score(events, decisions, grace=GRACE)
    assert result.median_lead_seconds == 100
    assert list(result.by_policy) == ["early", "late"]


def test_the_session_is_that_of_the_last_matched_event() -> None:
    events = history(a=("s", 0), b=("t", 50), chat=("t", 80, True))
    result = score(events, [decision("a", "b", at=50)], grace=GRACE)
    assert result.reached_before_chat == 1


def test_decisions_are_counted_by_outcome_and_reason() -> None:
    events = history(a=("s", 0), b=("t", 1), c=("t", 2), d=("t", 3))
    decisions = [
        decision("a", at=0),
        decision("b", at=1, outcome="suppress", reason="cooldown"),
        decision("c", at=2, outcome="suppress", reason="cooldown"),
        decision("d", at=3, outcome="holdout", reason="global_holdout"),
    ]
    result = score(events, decisions, grace=GRACE)
    assert result.decisions == {
        "intervene": {"total": 1},
        "suppress": {"total": 2, "cooldown": 2},
        "holdout": {"total": 1, "global_holdout": 1},
    }
    assert (result.events, result.sessions, result.interventions) == (4, 2, 1)
    assert result.interventions_per_1000_sessions == 500
    assert result.caveat == CAVEAT


def test_suppressed_and_held_out_reach_nobody() -> None:
    events = history(a=("s", 0), chat=("s", 90, True))
    decisions = [
        decision("a", at=0, outcome="suppress", reason="budget"),
        decision("a", at=0, outcome="holdout", reason="policy_holdout"),
    ]
    result = score(events, decisions, grace=GRACE)
    assert (result.reached_before_chat, result.by_policy) == (0, {})


def test_an_event_outside_the_history_is_counted_and_not_scored() -> None:
    result = score(history(a=("s", 0)), [decision("elsewhere", at=0)], grace=GRACE)
    assert result.interventions == 1
    assert result.by_policy == {}


def test_nothing_at_all() -> None:
    result = score({}, [], grace=GRACE)
    assert (result.sessions, result.interventions_per_1000_sessions) == (0, 0.0)
    assert result.median_lead_seconds is None


@given(
    chats=st.lists(st.integers(0, 500), min_size=1, max_size=4, unique=True),
    acts=st.lists(st.integers(0, 500), max_size=8, unique=True),
)
def test_it_agrees_with_counting_by_hand(chats: list[int], acts: list[int]) -> None:
    events = {f"c{at}": Visit("s", at * SECOND, contact=True) for at in chats}
    events |= {f"a{at}": Visit("s", at * SECOND) for at in acts}
    result = score(events, [decision(f"a{at}", at=at) for at in acts], grace=GRACE)
    before = [at for at in acts if at < min(chats)]
    assert result.reached_before_chat == bool(before)
    assert result.median_lead_seconds == (min(chats) - min(before) if before else None)
    if acts:
        followed = sum(any(chat > at for chat in chats) for at in acts)
        assert result.by_policy["payments"].followed_by_chat == followed
