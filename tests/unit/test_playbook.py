"""The playbook alone: steps, deadlines in log time, stops, feedback; and that replay is replay."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.instants import MINUTE, SECOND
from forestall.contracts.intervention import NOTES, REPORTS
from forestall.intervene import playbook
from forestall.intervene.running import (
    Arrival,
    Command,
    HandOver,
    Report,
    Running,
    Say,
    Turn,
    Withdraw,
    effect_key,
)
from forestall.policy.language.model import (
    Await,
    Escalate,
    Guide,
    Match,
    PlaybookStep,
    Policy,
    Step,
    When,
)
from playing import DECISION, START, arrival, play, told

GUIDE = Guide(channel="inapp", text="Try another card.")
PAID = Await(match=Match(types=("payment.succeeded",)), timeout=10 * MINUTE)
ESCALATE = Escalate(queue="payments")


def policy(*steps: PlaybookStep, valid_for: int = 2 * MINUTE) -> Policy:
    return Policy(
        name="card-declined",
        title="Card declined",
        owner="payments",
        when=When(kind="event", steps=(Step(match=Match(types=("payment.declined",))),)),
        valid_for=valid_for,
        playbook=steps,
    )


def begin(*steps: PlaybookStep, valid_for: int = 2 * MINUTE) -> Turn:
    return playbook.start(
        DECISION, policy(*steps, valid_for=valid_for), lateness=5 * MINUTE, grace=2 * SECOND
    )


def reports(commands: Sequence[Command]) -> list[tuple[str, int, int | None, str | None]]:
    return [
        (command.told, command.at - START, command.step, command.reason)
        for command in commands
        if isinstance(command, Report)
    ]


def test_guidance_is_said_at_once_and_the_wait_begins_with_the_decision() -> None:
    state, commands = begin(GUIDE, PAID, ESCALATE)
    assert commands == [
        Report("started", START),
        Say(1, GUIDE, START, START + 2 * MINUTE, effect_key("d1", 1)),
    ]
    assert (state.step, state.deadline, state.ending) == (2, START + 10 * MINUTE, None)


def test_what_was_awaited_resolves_it_and_nothing_more_may_leave() -> None:
    state, commands = play(begin(GUIDE, PAID, ESCALATE), arrival("payment.succeeded", MINUTE))
    assert state.ending == "resolved"
    assert state.ended == START + MINUTE
    assert commands[2:] == [
        Report("resolved", START + MINUTE, 2),
        Withdraw(START + MINUTE, "resolved"),
    ]


def test_an_await_may_end_as_helped() -> None:
    read = Await(match=Match(types=("page.viewed",)), timeout=MINUTE, then="helped")
    state, commands = play(begin(GUIDE, read), arrival("page.viewed", SECOND))
    assert state.ending == "helped"
    assert ("helped", SECOND, 2, None) in reports(commands)


def test_the_wait_runs_out_in_log_time_and_people_take_over() -> None:
    state, commands = play(
        begin(GUIDE, PAID, ESCALATE),
        told("shown", SECOND, step=1),
        arrival("page.viewed", 11 * MINUTE),
    )
    assert commands[-1] == HandOver(3, "payments", START + 10 * MINUTE, effect_key("d1", 3))
    assert state.ending is None
    state, commands = play((state, []), told("escalated", 12 * MINUTE, step=3))
    assert (state.ending, commands) == ("escalated", [])


def test_an_event_at_the_deadline_is_in_time_and_one_after_it_is_not() -> None:
    begun = begin(PAID, ESCALATE)
    in_time, _ = play(begun, arrival("payment.succeeded", 10 * MINUTE))
    too_late, _ = play(begun, arrival("payment.succeeded", 10 * MINUTE + 1))
    assert in_time.ending == "resolved"
    assert too_late.ending is None
    assert too_late.step == 2


def test_a_tick_gives_the_grace_an_event_needs_to_arrive() -> None:
    state, _ = begin(PAID, ESCALATE)
    limit = START + 10 * MINUTE + 2 * SECOND
    assert playbook.due(state) == limit
    assert playbook.on_time(state, limit) == (state, [])
    _, commands = playbook.on_time(state, limit + 1)
    assert commands == [HandOver(2, "payments", START + 10 * MINUTE, effect_key("d1", 2))]


def test_a_late_event_answers_no_wait_and_moves_no_clock() -> None:
    late = arrival("payment.succeeded", MINUTE, received=7 * MINUTE)
    state, _ = play(begin(PAID, ESCALATE), late)
    assert state.ending is None
    assert state.clock == START


def test_a_late_event_still_tells_the_log_time() -> None:
    late = arrival("page.viewed", MINUTE, received=11 * MINUTE)
    _, commands = play(begin(PAID, ESCALATE), late)
    assert commands[-1] == HandOver(2, "payments", START + 10 * MINUTE, effect_key("d1", 2))


def test_an_event_from_the_future_counts_at_its_reception() -> None:
    ahead = arrival("page.viewed", 60 * MINUTE, received=MINUTE)
    state, commands = play(begin(PAID, ESCALATE), ahead)
    assert (state.clock, len(commands)) == (START + MINUTE, 1)


def test_where_sees_the_event_the_traits_and_the_moment() -> None:
    wait = Await(
        match=Match(
            types=("payment.succeeded",),
            where="event.data.order_id == 'o1' && subject.plan == 'pro' && event.time <= now",
        ),
        timeout=MINUTE,
    )
    begun = begin(wait)
    traits = {"plan": "pro"}
    other = arrival("payment.succeeded", 1, order_id="o2", traits=traits)
    broken = arrival("payment.succeeded", 2, traits=traits)
    ours = arrival("payment.succeeded", 3, order_id="o1", traits=traits)
    assert play(begun, other, broken)[0].ending is None
    assert play(begun, other, broken, ours)[0].ending == "resolved"


def test_any_type_means_none_of_ours() -> None:
    wait = Await(match=Match(types=("*",)), timeout=MINUTE, then="helped")
    begun = begin(wait)
    assert play(begun, arrival("forestall.identify", 1))[0].ending is None
    assert play(begun, arrival("page.viewed", 1))[0].ending == "helped"


def test_guidance_alone_ends_when_it_was_shown() -> None:
    state, commands = begin(GUIDE)
    assert state.ending is None
    state, commands = play((state, commands), told("shown", SECOND, step=1))
    assert state.ending == "shown"
    assert not [command for command in commands if isinstance(command, Withdraw)]


def test_guidance_that_nobody_saw_in_time_expires() -> None:
    state, _ = begin(GUIDE)
    state, more = playbook.on_time(state, START + 2 * MINUTE + 2 * SECOND + 1)
    assert (state.ending, state.reason) == ("expired", "undelivered")
    assert reports(more) == [("expired", 2 * MINUTE, 1, "undelivered")]


def test_guidance_that_expires_leaves_the_wait_alone() -> None:
    state, commands = play(begin(GUIDE, PAID, ESCALATE), arrival("page.viewed", 3 * MINUTE))
    assert ("expired", 2 * MINUTE, 1, "undelivered") in reports(commands)
    assert (state.step, state.ending) == (2, None)


def test_guidance_after_a_wait_is_valid_from_when_it_is_due() -> None:
    _, commands = play(begin(PAID, GUIDE), arrival("page.viewed", 10 * MINUTE + 1))
    assert commands[-1] == Say(
        2, GUIDE, START + 10 * MINUTE, START + 12 * MINUTE, effect_key("d1", 2)
    )


def test_a_wait_with_nothing_after_it_ends_unanswered() -> None:
    state, commands = play(
        begin(GUIDE, PAID), told("shown", 1, step=1), arrival("page.viewed", 10 * MINUTE + 1)
    )
    assert (state.ending, state.reason) == ("expired", "unanswered")
    assert reports(commands)[-1] == ("expired", 10 * MINUTE, None, "unanswered")


def test_guidance_that_failed_ends_it_where_nothing_follows() -> None:
    failed = told("failed", 1, step=1, reason="missing-value")
    state, commands = play(begin(GUIDE), failed)
    assert (state.ending, state.reason) == ("failed", "missing-value")
    assert len(reports(commands)) == 1, "the failure is in the log already"
    assert play(begin(GUIDE, PAID), failed)[0].ending is None


def test_an_escalation_that_failed_ends_it() -> None:
    state, _ = play(begin(ESCALATE), told("failed", 1, step=1, reason="gone"))
    assert state.ending == "failed"


@pytest.mark.parametrize("kind", ["escalated", "failed"])
def test_a_browser_cannot_report_for_us(kind: str) -> None:
    state, _ = play(begin(ESCALATE), told(kind, 1, step=1, origin="browser"))
    assert state.ending is None


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (arrival("forestall.optout", SECOND), "opted_out"),
        (arrival("forestall.consent.withdrawn", SECOND, purpose="support"), "no_consent"),
        (arrival("forestall.alias", SECOND, optout={"out": True}), "opted_out"),
        (
            arrival("forestall.alias", SECOND, consent={"support": {"granted": False}}),
            "no_consent",
        ),
        (arrival("forestall.ticket.opened", SECOND, ticket="t1"), "ticket_opened"),
    ],
)
def test_a_stop_ends_everything_at_once(stop: Arrival, reason: str) -> None:
    state, commands = play(begin(GUIDE, PAID, ESCALATE), stop)
    assert (state.ending, state.reason, state.ended) == ("cancelled", reason, START + SECOND)
    assert commands[2:] == [
        Report("expired", START + SECOND, None, reason),
        Withdraw(START + SECOND, reason),
    ]
    assert play((state, []), arrival("payment.succeeded", MINUTE))[1] == []


def test_consent_for_something_else_stops_nothing() -> None:
    other = arrival("forestall.consent.withdrawn", SECOND, purpose="marketing")
    assert play(begin(GUIDE, PAID), other)[0].ending is None


def test_an_opt_out_stops_even_what_waits_for_people() -> None:
    state, _ = play(begin(ESCALATE), arrival("forestall.optout", SECOND))
    assert state.ending == "cancelled"


def test_the_ticket_of_our_own_escalation_does_not_cancel_it() -> None:
    state, _ = play(
        begin(ESCALATE),
        arrival("forestall.ticket.opened", 1, ticket="t"),
        told("escalated", 2, step=1),
    )
    assert state.ending == "escalated"


def test_a_policy_may_wait_for_a_ticket() -> None:
    wait = Await(match=Match(types=("forestall.ticket.opened",)), timeout=MINUTE)
    assert play(begin(wait), arrival("forestall.ticket.opened", 1))[0].ending == "resolved"


@pytest.mark.parametrize("kind", ["dismissed", "helped"])
def test_the_customers_word_ends_it(kind: str) -> None:
    state, commands = play(begin(GUIDE, PAID, ESCALATE), told(kind, SECOND, origin="browser"))
    assert state.ending == kind
    assert reports(commands) == [("started", 0, None, None)], "the event is in the log already"
    by_policy = arrival(f"forestall.intervention.{kind}", 1, policy="card-declined")
    assert play(begin(GUIDE, PAID), by_policy)[0].ending == kind


def test_a_word_about_another_intervention_changes_nothing() -> None:
    other = arrival(
        "forestall.intervention.dismissed", 1, intervention="d2", policy="card-declined"
    )
    assert play(begin(GUIDE, PAID), other)[0].ending is None


def test_it_can_be_stopped_from_outside_once() -> None:
    state, commands = playbook.stop(begin(GUIDE, PAID)[0], "killed", START + 5)
    assert (state.ending, state.reason) == ("cancelled", "killed")
    assert reports(commands) == [("expired", 5, None, "killed")]
    assert playbook.stop(state, "killed", START + 6) == (state, [])
    assert playbook.due(state) is None


def test_a_joined_subject_keeps_its_former_pseudonyms() -> None:
    state, _ = begin(PAID)
    joined = playbook.join(playbook.join(state, "s2"), "s3")
    assert (joined.subject, joined.former) == ("s3", ("s1", "s2"))
    assert msgspec.structs.replace(joined, subject="s1", former=()) == state


def test_steps_whose_time_has_passed_are_caught_up_in_order() -> None:
    _, commands = play(begin(PAID, PAID, ESCALATE), arrival("page.viewed", 60 * MINUTE))
    assert commands[-1] == HandOver(3, "payments", START + 20 * MINUTE, effect_key("d1", 3))


STEPS = st.one_of(
    st.just(GUIDE),
    st.just(ESCALATE),
    st.builds(
        Await,
        match=st.sampled_from([Match(types=("a",)), Match(types=("b",)), Match(types=("*",))]),
        timeout=st.integers(1, 40).map(lambda n: n * SECOND),
        then=st.sampled_from(["resolved", "helped"]),
    ),
)
ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from(
            ["a", "b", "c", "shown", "failed", "escalated", "dismissed", "forestall.optout"]
        ),
        st.integers(0, 30),
        st.integers(0, 400),
        st.integers(1, 4),
        st.integers(0, 30),
    ),
    max_size=12,
)


def history(raw: Iterable[tuple[str, int, int, int, int]]) -> list[tuple[Arrival, int]]:
    """Arrivals with ``received`` ascending, each with a tick that may come before it."""
    received, out = 0, []
    for kind, gap, lag, step, tick in raw:
        before = received
        received += gap * SECOND
        name = kind if "." in kind or len(kind) == 1 else f"forestall.intervention.{kind}"
        data: dict[str, Any] = {"intervention": "d1", "step": step} if name in REPORTS else {}
        item = arrival(name, received - lag * SECOND, received=received, **data)
        out.append((item, START + min(before + tick * SECOND, received)))
    return out


@given(
    st.lists(STEPS | st.just(Await(receipt="shown", timeout=MINUTE)), min_size=1, max_size=5),
    ARRIVALS,
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["seen", "acted"])), max_size=6),
)
def test_notes_of_a_page_move_nothing_and_end_nothing(
    steps: list[PlaybookStep],
    raw: list[tuple[str, int, int, int, int]],
    notes: list[tuple[int, str]],
) -> None:
    noted = list(raw)
    for place, note in notes:
        noted.insert(place, (note, 0, 0, 1, 0))
    silent = [("forestall.optin" if one[0] in NOTES else one[0], *one[1:]) for one in noted]
    results = []
    for events in (noted, silent):
        state, commands = begin(*steps, valid_for=15 * SECOND)
        for item, _ in history(events):
            state, more = playbook.on_event(state, item)
            commands += more
        results.append((state, commands))
    assert results[0] == results[1]


@given(st.lists(STEPS, min_size=1, max_size=5), ARRIVALS, st.data())
def test_ticks_and_restarts_change_nothing(
    steps: list[PlaybookStep], raw: list[tuple[str, int, int, int, int]], data: st.DataObject
) -> None:
    plain, expected = begin(*steps, valid_for=15 * SECOND)
    ticked, got = plain, list(expected)
    for item, tick in history(raw):
        plain, more = playbook.on_event(plain, item)
        expected += more
        if data.draw(st.booleans()):
            ticked, more = playbook.on_time(ticked, tick)
            got += more
        if data.draw(st.booleans()):
            ticked = msgspec.json.decode(msgspec.json.encode(ticked), type=Running)
        ticked, more = playbook.on_event(ticked, item)
        got += more
    assert got == expected
    assert ticked == plain


@given(st.lists(STEPS, min_size=1, max_size=5), ARRIVALS)
def test_it_always_ends_once_and_says_so_once(
    steps: list[PlaybookStep], raw: list[tuple[str, int, int, int, int]]
) -> None:
    state, commands = begin(*steps)
    for item, _ in history(raw):
        before = state
        state, more = playbook.on_event(state, item)
        assert before.ending is None or (state, more) == (before, [])
        commands += more
    state, more = playbook.on_time(state, START + 365 * 24 * 60 * MINUTE)
    commands += more
    waits_for_people = state.step <= len(steps) and isinstance(steps[state.step - 1], Escalate)
    assert state.ending is not None or waits_for_people
    ends = [report for report in reports(commands) if report[0] in ("resolved", "helped")]
    assert len(ends) <= 1
    said = [command.step for command in commands if isinstance(command, Say | HandOver)]
    assert said == sorted(set(said)), "no step is carried out twice"
    assert reports(commands).count(("started", 0, None, None)) == 1
