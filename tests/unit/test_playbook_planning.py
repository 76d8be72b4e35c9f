"""A playbook that has an agent plan: what follows a plan, and what where there is none."""

from typing import Any

import msgspec
import pytest

from forestall.contracts.instants import MINUTE, SECOND
from forestall.intervene import playbook
from forestall.intervene.evaluate import arguments_of
from forestall.intervene.jobs import Job
from forestall.intervene.running import (
    Do,
    HandOver,
    Request,
    Running,
    Say,
    Turn,
    Withdraw,
    effect_key,
)
from forestall.policy.language.model import Guide, Plan
from playing import CHARGE, ESCALATE, GUIDE, LOOK, START, arrival, begin, command, play, told, words

STEP = Plan(
    agent="helper",
    arguments={"payment": "event.data.payment", "who": "subject.customer"},
    queue="payments",
)
HOSTILE: dict[str, Any] = {"payment": "event.data.payment", "note": "{{ subject.customer }}"}
RESEND = {"action": "resend", "arguments": HOSTILE}
REFUND = {"action": "refund", "arguments": {"payment": "p7"}, "approve": True, "people": 2}


def planned(after: int = SECOND, step: int = 1, **plan: Any) -> Any:
    return told("filled", after, step=step, fields={}, plan=plan)


def last(turn: Turn) -> Any:
    return turn[1][-1]


def test_the_agent_is_asked_with_its_arguments() -> None:
    state, commands = begin(STEP, ESCALATE)
    job = Job(
        kind="plan",
        name="helper",
        arguments={"payment": "p7", "who": "c9"},
        timeout=20 * SECOND,
        signals=("card-declined", "payment.declined"),
    )
    expires = START + 2 * MINUTE
    assert commands[1:] == [Do(1, job, START, expires, effect_key("d1", 1))]
    assert playbook.due(state) is None


def test_a_plan_is_carried_out_in_order_and_the_playbook_goes_on() -> None:
    turn = play(begin(STEP, ESCALATE), planned(message="Hi {{ x }}", actions=[RESEND]))
    key = effect_key("d1", 3)
    job = last(turn).job
    assert isinstance(last(turn), Do)
    assert (last(turn).step, last(turn).key) == (3, key)
    assert job == Job(kind="action", name="resend", arguments=HOSTILE)
    turn = play(turn, told("remediated", 2 * SECOND, step=3, fields={}))
    state, commands = turn
    said = Guide(channel="inapp", text="Hi {{ x }}")
    assert words(commands)[-2:] == [("Say", 4), ("HandOver", 2)]
    assert [one.words for one in commands if isinstance(one, Say)] == [said]
    assert state.did[0].action == "resend"
    assert state.did[0].arguments == HOSTILE
    state, _ = play(turn, told("escalated", 3 * SECOND, step=2))
    assert state.ending == "escalated"


def test_an_approval_is_asked_for_exactly_the_planned_arguments() -> None:
    turn = play(begin(STEP), planned(actions=[REFUND], rationale="Paid twice."))
    request = last(turn)
    assert isinstance(request, Request)
    assert (request.step, request.covers, request.action) == (2, 3, "refund")
    assert request.arguments == {"payment": "p7"}
    assert (request.approve.people, request.approve.timeout) == (2, 30 * MINUTE)
    assert request.approve.why == "Paid twice."
    state, commands = play(turn, told("approved", 2 * SECOND, step=2))
    job = commands[-1].job if isinstance(commands[-1], Do) else None
    assert job is not None
    assert (job.approval, job.arguments) == (effect_key("d1", 2), {"payment": "p7"})
    state, _ = play((state, []), told("remediated", 3 * SECOND, step=3))
    assert state.ending == "remediated"


@pytest.mark.parametrize("kind", ["declined", "failed"])
def test_what_nobody_approves_is_not_done_and_people_take_over(kind: str) -> None:
    turn = play(begin(STEP), planned(message="Done!", actions=[REFUND]))
    state, commands = play(turn, told(kind, 2 * SECOND, step=2, reason="expired"))
    assert words(commands)[-2:] == [("Withdraw", None), ("HandOver", 2)]
    hand = commands[-1]
    assert isinstance(hand, HandOver)
    assert (hand.queue, hand.reason) == ("payments", "expired")
    assert not [one for one in commands if isinstance(one, Say)]
    state, _ = play((state, []), told("escalated", 3 * SECOND, step=2))
    assert (state.ending, state.reason) == ("escalated", "expired")


def test_a_failed_action_is_undone_with_what_was_done_and_handed_over() -> None:
    second = {"action": "reissue", "arguments": {"scope": "all"}}
    turn = play(begin(STEP), planned(message="Done!", actions=[RESEND, second]))
    turn = play(turn, told("remediated", 2 * SECOND, step=2))
    turn = play(turn, told("failed", 3 * SECOND, step=3, reason="verification"))
    undo = last(turn)
    assert isinstance(undo, Do)
    assert (undo.job.kind, undo.job.name, undo.job.arguments) == ("undo", "resend", HOSTILE)
    assert undo.job.undoes == effect_key("d1", 2)
    turn = play(turn, told("undone", 4 * SECOND, step=2))
    assert isinstance(last(turn), HandOver)
    assert (last(turn).queue, last(turn).step) == ("payments", 3)
    state, commands = play(turn, told("escalated", 5 * SECOND, step=3))
    assert (state.ending, state.reason) == ("escalated", "verification")
    assert not [one for one in commands if isinstance(one, Say)], "nothing is said of it"


def test_a_customer_who_is_handed_over_is_told_nothing_and_keeps_what_was_done() -> None:
    turn = play(begin(CHARGE, GUIDE, STEP), told("remediated", SECOND, step=1))
    turn = play(
        turn,
        planned(2 * SECOND, 3, hand_over="bereavement", message="Cheer up!", actions=[RESEND]),
    )
    state, commands = turn
    assert words(commands)[-2:] == [("Withdraw", None), ("HandOver", 3)]
    assert (last(turn).queue, last(turn).reason) == ("payments", "bereavement")
    assert [one.step for one in commands if isinstance(one, Say)] == [2], "only the step before"
    assert not [one for one in commands if isinstance(one, Do) and one.job.kind == "undo"]
    state, more = play((state, []), told("escalated", 3 * SECOND, step=3))
    assert (state.ending, state.reason) == ("escalated", "bereavement")
    assert not [one for one in more if isinstance(one, Do)]


def test_a_hand_over_may_be_repeated_and_undoes_nothing_then() -> None:
    turn = play(begin(CHARGE, STEP), told("remediated", SECOND, step=1))
    turn = play(turn, planned(2 * SECOND, 2, hand_over=""))
    assert last(turn).reason == "handed-over"
    turn = play(turn, command("repeat", 3 * SECOND))
    assert isinstance(last(turn), HandOver)
    assert last(turn).key == effect_key("d1", 2, "handover", 1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"plan": {"actions": [{}]}}, "bad-plan"),
        ({"plan": "x"}, "bad-plan"),
        ({}, "bad-plan"),
        ({"plan": {}}, "empty-plan"),
        ({"plan": {"rationale": "There is nothing to do."}}, "empty-plan"),
    ],
)
def test_what_is_no_plan_fails_the_step(data: dict[str, Any], reason: str) -> None:
    state, commands = play(begin(STEP, GUIDE), told("filled", SECOND, step=1, fields={}, **data))
    assert words(commands)[-3:] == [("failed", 1), ("Withdraw", None), ("HandOver", 1)]
    assert state.reason == reason
    state, commands = play(
        begin(msgspec.structs.replace(STEP, on_failure="next"), GUIDE),
        told("filled", SECOND, step=1, fields={}, **data),
    )
    assert words(commands)[-1] == ("Say", 2)
    assert len(state.program) == 2


def test_a_failed_planning_goes_where_the_step_says() -> None:
    failed = told("failed", SECOND, step=1, reason="timeout")
    _, commands = play(begin(STEP, GUIDE), failed)
    assert words(commands)[-1] == ("HandOver", 1)
    _, commands = play(begin(msgspec.structs.replace(STEP, on_failure=(GUIDE,))), failed)
    assert words(commands)[-1] == ("Say", 2)


def test_arguments_without_a_value_fail_the_step() -> None:
    broken = msgspec.structs.replace(STEP, arguments={"x": "event.data.no.such"})
    _, commands = begin(broken)
    assert words(commands)[1:] == [("failed", 1), ("Withdraw", None), ("HandOver", 1)]


def test_words_alone_need_no_trust_and_actions_do() -> None:
    _, commands = play(begin(STEP, trusted=False), planned(message="Hello."))
    assert words(commands)[-1] == ("Say", 2)
    state, commands = play(begin(STEP, trusted=False), planned(message="Done!", actions=[RESEND]))
    assert words(commands)[-3:] == [("failed", 2), ("Withdraw", None), ("HandOver", 2)]
    assert state.reason == "untrusted"
    assert not [one for one in commands if isinstance(one, Do) and one.job.kind == "action"]


@pytest.mark.parametrize("origin", ["browser"])
def test_only_a_server_may_tell_a_plan(origin: str) -> None:
    turn = begin(STEP)
    item = told("filled", SECOND, origin, step=1, fields={}, plan={"message": "Gotcha."})
    state, commands = play((turn[0], []), item)
    assert (state.program, commands) == (turn[0].program, [])


def test_a_plan_told_twice_or_late_changes_nothing() -> None:
    turn = play(begin(STEP), planned(actions=[RESEND]))
    state, commands = play((turn[0], []), planned(2 * SECOND, message="Once more."))
    assert (state.program, commands) == (turn[0].program, [])


def test_two_plans_follow_each_other() -> None:
    turn = play(begin(STEP, STEP), planned(actions=[RESEND]))
    turn = play(turn, told("remediated", 2 * SECOND, step=3))
    assert last(turn).job.kind == "plan"
    assert last(turn).step == 2
    turn = play(turn, planned(3 * SECOND, 2, actions=[RESEND], message="Done."))
    assert last(turn).key == effect_key("d1", 4)
    turn = play(turn, told("remediated", 4 * SECOND, step=4))
    assert last(turn).step == 5
    state, _ = play(turn, told("shown", 5 * SECOND, "browser", step=5))
    assert state.ending == "remediated"


def test_an_operator_commands_planned_steps_as_any_other() -> None:
    turn = play(begin(STEP, GUIDE), planned(actions=[RESEND, REFUND]))
    turn = play(turn, command("repeat", 2 * SECOND))
    assert (last(turn).step, last(turn).key) == (3, effect_key("d1", 3, repeat=1))
    assert last(turn).job.arguments == HOSTILE
    turn = play(turn, command("force", 3 * SECOND))
    assert isinstance(last(turn), Request), "on to the approval of the next"
    state, commands = play(turn, command("take_over", 4 * SECOND))
    assert (state.ending, state.reason) == ("escalated", "taken_over")
    assert isinstance(commands[-1], Withdraw)


def test_stopping_with_undo_waits_for_the_action_under_way() -> None:
    turn = play(begin(STEP), planned(actions=[RESEND, REFUND]))
    state, commands = play((turn[0], []), command("stop", 2 * SECOND, undo=True))
    assert (state.stopping, commands) == (True, [])
    turn = play((state, []), told("remediated", 3 * SECOND, step=2))
    assert last(turn).job.kind == "undo"
    state, _ = play(turn, told("undone", 4 * SECOND, step=2))
    assert state.ending == "cancelled"


@pytest.mark.parametrize(
    ("event_type", "data", "reason"),
    [
        ("forestall.optout", {}, "opted_out"),
        ("forestall.consent.withdrawn", {"purpose": "support"}, "no_consent"),
        ("forestall.ticket.opened", {}, "ticket_opened"),
    ],
)
def test_the_customer_s_word_stops_a_plan(
    event_type: str, data: dict[str, Any], reason: str
) -> None:
    turn = play(begin(STEP), planned(actions=[RESEND], message="Done."))
    state, commands = play((turn[0], []), arrival(event_type, 2 * SECOND, **data))
    assert (state.ending, state.reason) == ("cancelled", reason)
    assert words(commands) == [("expired", None), ("Withdraw", None)]


def test_a_plan_goes_on_under_another_pseudonym_and_after_a_restart() -> None:
    state, _ = play(begin(STEP, LOOK), planned(actions=[RESEND], message="Done."))
    state = playbook.join(state, "s2")
    state = msgspec.json.decode(msgspec.json.encode(state), type=Running)
    state, commands = play((state, []), told("remediated", 2 * SECOND, step=3))
    assert words(commands) == [("Say", 4), ("Do", 2)]
    assert state.subject == "s2"


def test_given_arguments_are_never_computed() -> None:
    state, _ = play(begin(STEP), planned(actions=[RESEND]))
    node = playbook.current(state)
    assert node is not None
    assert arguments_of(state, node) == HOSTILE
