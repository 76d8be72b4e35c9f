"""The playbook that acts: questions, look-ups, remedies, approvals, branches, undoing, operators."""

from typing import Any

import msgspec
import pytest

from forestall.contracts.instants import MINUTE, SECOND
from forestall.intervene.jobs import Job
from forestall.intervene.running import (
    Do,
    HandOver,
    Report,
    Request,
    Say,
    Withdraw,
    effect_key,
)
from forestall.policy.language.model import (
    Approve,
    Arm,
    Await,
    Branch,
    Call,
    Enrich,
    Guide,
    Infer,
    PlaybookStep,
    Remediate,
    Resolve,
)
from playing import (
    APPROVE,
    ASK,
    CHARGE,
    ESCALATE,
    GUIDE,
    LOOK,
    REFUND,
    START,
    arrival,
    begin,
    command,
    play,
    told,
    words,
)


def test_an_answer_fills_its_field_and_the_playbook_goes_on() -> None:
    state, commands = begin(ASK, ESCALATE)
    assert commands[1] == Say(1, ASK, START, START + 10 * MINUTE, effect_key("d1", 1))
    assert state.step == 1
    state, commands = play((state, []), told("answered", SECOND, "browser", step=1, choice="retry"))
    assert state.fields == {"answer": "retry"}
    assert words(commands) == [("Withdraw", 1), ("HandOver", 2)], "it is asked no more"
    assert state.words[0].status == "shown", "who answers has seen it"


@pytest.mark.parametrize(
    "data", [{"step": 1, "choice": "maybe"}, {"step": 2, "choice": "retry"}, {"step": 1}]
)
def test_an_answer_that_was_not_offered_is_none(data: dict[str, Any]) -> None:
    state, commands = play(begin(ASK, ESCALATE), told("answered", SECOND, "browser", **data))
    assert (state.step, state.fields) == (1, {})
    assert words(commands) == [("started", None), ("Say", 1)]


def test_no_answer_in_time_is_null() -> None:
    branch = Branch(arms=(Arm(condition="fields.answer == null", steps=(ESCALATE,)),))
    state, commands = play(begin(ASK, branch), arrival("page.viewed", 11 * MINUTE))
    assert state.fields == {"answer": None}
    assert words(commands)[2:] == [("HandOver", 3), ("expired", 1)]


def test_an_unanswered_question_at_the_end_is_unanswered() -> None:
    state, commands = play(
        begin(ASK), told("shown", SECOND, step=1), arrival("page.viewed", 11 * MINUTE)
    )
    assert (state.ending, state.reason) == ("expired", "unanswered")
    assert ("expired", None) in words(commands)


def test_a_lookup_gets_computed_arguments_and_fills_only_what_was_asked_for() -> None:
    state, commands = begin(LOOK, ESCALATE)
    job = Job(
        kind="enrich",
        name="billing",
        arguments={"c": "c9"},
        fields=("retryable", "brand"),
        timeout=5 * SECOND,
    )
    assert commands[1] == Do(1, job, START, START + 2 * MINUTE, effect_key("d1", 1))
    found = {"retryable": True, "secret": 1}
    state, commands = play((state, []), told("filled", SECOND, step=1, fields=found))
    assert state.fields == {"retryable": True, "brand": None}
    assert words(commands) == [("HandOver", 2)]


def test_a_lookup_that_failed_leaves_nulls_and_the_playbook_goes_on() -> None:
    state, commands = play(begin(LOOK, ESCALATE), told("failed", SECOND, step=1, reason="timeout"))
    assert state.fields == {"retryable": None, "brand": None}
    assert words(commands)[-1] == ("HandOver", 2)


def test_an_agent_fills_fields_like_a_lookup() -> None:
    infer = Infer(agent="triage", fields=("severity",), arguments={"n": "features.declines"})
    state, commands = begin(infer, ESCALATE)
    assert isinstance(commands[1], Do)
    assert (commands[1].job.kind, commands[1].job.arguments) == ("infer", {"n": 2})
    state, _ = play((state, []), told("filled", SECOND, step=1, fields={"severity": "high"}))
    assert state.fields == {"severity": "high"}


def test_only_our_own_processes_can_tell_a_result() -> None:
    forged = told("filled", SECOND, "browser", step=1, fields={"retryable": True})
    state, _ = play(begin(LOOK, ESCALATE), forged)
    assert (state.step, state.fields) == (1, {})


def test_a_result_of_another_step_or_kind_changes_nothing() -> None:
    begun = begin(LOOK, ESCALATE)
    for item in (
        told("filled", SECOND, step=2, fields={"brand": "x"}),
        told("remediated", SECOND, step=1, fields={"brand": "x"}),
    ):
        state, commands = play((begun[0], []), item)
        assert (state.step, state.fields, commands) == (1, {}, [])


def test_arguments_that_cannot_be_computed_fail_the_step_at_once() -> None:
    broken = Enrich(source="billing", fields=("brand",), arguments={"c": "subject.nobody"})
    state, commands = begin(broken, ESCALATE)
    detail = "arguments.c: subject.nobody has no value"
    assert commands[1] == Report("failed", START, 1, "bad-arguments", detail)
    assert words(commands)[-1] == ("HandOver", 2)
    assert state.fields == {"brand": None}


def test_the_first_arm_that_holds_is_taken_and_an_error_holds_not() -> None:
    def branch(condition: str) -> PlaybookStep:
        return Branch(
            arms=(
                Arm(condition=condition, steps=(ESCALATE,)),
                Arm(condition="event.data.amount > 10", steps=(GUIDE, Resolve())),
                Arm(steps=(APPROVE,)),
            )
        )

    assert words(begin(branch("event.data.amount == 12"))[1])[-1] == ("HandOver", 2)
    _, commands = begin(branch("event.data.missing == 1"))
    assert words(commands)[1:] == [("Say", 3)]


def test_resolving_waits_for_what_was_said_and_takes_none_of_it_back() -> None:
    state, commands = play(begin(GUIDE, Resolve(then="helped")), told("shown", SECOND, step=1))
    assert state.ending == "helped"
    assert words(commands)[2:] == [("helped", 2)]
    state, commands = play(begin(GUIDE, Resolve()), arrival("page.viewed", 3 * MINUTE))
    assert state.ending == "resolved", "also where it could not be delivered"
    assert begin(Resolve())[0].ending == "resolved"


def test_a_remedy_verified_ends_as_remediated() -> None:
    state, commands = begin(CHARGE)
    assert isinstance(commands[1], Do)
    assert commands[1].job.arguments == {"payment": "p7"}
    state, commands = play((state, []), told("remediated", SECOND, step=1, fields={"receipt": "r"}))
    assert (state.ending, state.fields) == ("remediated", {"receipt": "r"})
    assert commands == [], "nothing is taken back"


def test_what_only_browsers_told_sets_no_remedy_off() -> None:
    state, commands = begin(GUIDE, CHARGE, trusted=False)
    assert words(commands)[1:] == [("Say", 1), ("failed", 2), ("Withdraw", None), ("HandOver", 2)]
    assert state.reason == "untrusted"


def test_a_remedy_that_failed_goes_to_its_people() -> None:
    state, commands = play(begin(CHARGE), told("failed", SECOND, step=1, reason="verification"))
    assert words(commands)[2:] == [("Withdraw", None), ("HandOver", 1)]
    hand_over = commands[-1]
    assert isinstance(hand_over, HandOver)
    assert hand_over.reason == "verification"
    assert hand_over.key != effect_key("d1", 1), "it is another effect than the remedy"
    state, _ = play((state, []), told("escalated", 2 * SECOND, step=1))
    assert (state.ending, state.reason) == ("escalated", "verification")


def test_what_was_done_is_undone_last_first() -> None:
    credit = Remediate(action="credit", arguments={"n": "3"}, queue="q")
    unlock = Remediate(action="unlock", queue="q", undo=Call(action="lock", arguments={"n": "4"}))
    state, commands = play(
        begin(credit, unlock, CHARGE),
        told("remediated", SECOND, step=1),
        told("remediated", 2 * SECOND, step=2),
        told("failed", 3 * SECOND, step=3, reason="refused"),
    )
    lock = commands[-1]
    assert isinstance(lock, Do)
    assert lock.job == Job(kind="undo", name="lock", arguments={"n": 4})
    assert lock.key == effect_key("d1", 2, "undo")
    state, commands = play((state, []), told("undone", 4 * SECOND, step=2))
    back = commands[-1]
    assert isinstance(back, Do)
    expected = Job(kind="undo", name="credit", arguments={"n": 3}, undoes=effect_key("d1", 1))
    assert (back.job, back.expires) == (expected, None)
    state, commands = play((state, []), told("undone", 5 * SECOND, step=1))
    assert words(commands) == [("HandOver", 3)]
    assert state.ending is None


def test_an_undo_that_fails_does_not_hold_up_the_others() -> None:
    state, commands = play(
        begin(REFUND, REFUND, CHARGE),
        told("remediated", SECOND, step=1),
        told("remediated", 2 * SECOND, step=2),
        told("failed", 3 * SECOND, step=3),
        told("failed", 4 * SECOND, step=2, reason="undo"),
    )
    assert [word for word in words(commands) if word[0] == "Do"][-1] == ("Do", 1)
    assert state.phase == "undoing"


def test_what_needs_no_undo_is_left() -> None:
    kept = Remediate(action="log", queue="q", undo=False)
    _, commands = play(
        begin(kept, CHARGE), told("remediated", SECOND, step=1), told("failed", MINUTE, step=2)
    )
    assert words(commands)[-1] == ("HandOver", 2)


def test_an_opt_out_stops_the_way_but_no_undoing() -> None:
    optout = arrival("forestall.optout", MINUTE)
    going, commands = play(begin(REFUND, CHARGE), told("remediated", SECOND, step=1), optout)
    assert (going.ending, going.reason) == ("cancelled", "opted_out")
    failing, _ = play(
        begin(REFUND, CHARGE), told("remediated", SECOND, step=1), told("failed", SECOND, step=2)
    )
    undoing, commands = play((failing, []), optout)
    assert (undoing.phase, undoing.ending, commands) == ("undoing", None, [])


def test_steps_after_a_failure_are_another_way_to_the_end() -> None:
    charge = msgspec.structs.replace(CHARGE, on_failure=(GUIDE, ESCALATE), queue=None)
    state, commands = play(begin(charge, GUIDE), told("failed", SECOND, step=1))
    assert words(commands)[2:] == [("Say", 2), ("HandOver", 3)]
    state, _ = play((state, []), told("escalated", MINUTE, step=3))
    assert state.ending == "escalated"


def test_an_approval_is_about_exactly_the_remedy_that_follows() -> None:
    state, commands = begin(APPROVE, CHARGE)
    request = commands[1]
    assert request == Request(
        1, APPROVE, 2, "retry-charge", {"payment": "p7"}, START, effect_key("d1", 1)
    )
    state, commands = play((state, []), told("approved", MINUTE, step=1, by="anna"))
    act = commands[0]
    assert isinstance(act, Do)
    assert act.job.approval == effect_key("d1", 1)


@pytest.mark.parametrize(("answer", "approve"), [("retry", 3), ("no", 4)])
def test_where_several_approvals_lead_to_a_remedy_the_one_given_counts(
    answer: str, approve: int
) -> None:
    arms = Branch(
        arms=(
            Arm(condition="fields.answer == 'retry'", steps=(APPROVE,)),
            Arm(condition=None, steps=(APPROVE,)),
        )
    )
    turn = play(
        begin(ASK, arms, CHARGE),
        told("answered", SECOND, "browser", step=1, choice=answer),
        told("approved", MINUTE, step=approve),
    )
    (do,) = (one for one in turn[1] if isinstance(one, Do))
    (asked,) = (one for one in turn[1] if isinstance(one, Request))
    assert (asked.step, do.job.approval) == (approve, asked.key)


def test_an_approval_declined_or_expired_takes_the_way_declared_for_it() -> None:
    careful = msgspec.structs.replace(APPROVE, on_failure=(ESCALATE,))
    _, commands = play(begin(careful, CHARGE), told("declined", MINUTE, step=1, reason="expired"))
    assert words(commands)[-1] == ("HandOver", 2)
    state, commands = play(begin(APPROVE, CHARGE), told("declined", MINUTE, step=1, reason="no"))
    assert (state.ending, state.reason) == ("failed", "no")
    assert not any(isinstance(one, Do) for one in commands)


def test_a_policy_of_high_risk_says_nothing_before_a_person_agreed() -> None:
    state, commands = begin(GUIDE, risk="high")
    assert words(commands) == [("started", None), ("Request", 1)]
    state, commands = play((state, []), told("approved", MINUTE, step=1))
    assert words(commands) == [("Say", 2)]


def test_guidance_whose_failure_matters_is_waited_for() -> None:
    strict = Guide(channel="sms", text="x", on_failure=(ESCALATE,))
    begun = begin(strict, Resolve())
    assert words(begun[1]) == [("started", None), ("Say", 1)]
    seen, _ = play(begun, told("shown", SECOND, step=1))
    assert seen.ending == "resolved"
    _, failed = play(begun, told("failed", SECOND, step=1, reason="refused"))
    assert words(failed)[-1] == ("HandOver", 2)
    _, late = play(begun, arrival("page.viewed", 3 * MINUTE))
    assert words(late)[-2:] == [("expired", 1), ("HandOver", 2)]


def test_a_receipt_may_be_awaited() -> None:
    seen = Await(receipt="shown", timeout=MINUTE, then="next")
    begun = begin(GUIDE, seen, ESCALATE)
    _, commands = play(begun, told("shown", SECOND, "browser", step=1))
    assert words(commands)[-1] == ("HandOver", 3)
    thanks = Await(receipt="helped", timeout=MINUTE, then="next")
    _, commands = play(begin(GUIDE, thanks, ESCALATE), told("helped", SECOND, "browser", step=1))
    assert words(commands)[-1] == ("HandOver", 3)


def test_a_wait_for_time_alone_is_no_miss() -> None:
    pause = Await(timeout=MINUTE)
    state, commands = play(begin(pause, CHARGE), arrival("page.viewed", 2 * MINUTE))
    assert words(commands)[-1] == ("Do", 2)
    state, _ = play(begin(pause), arrival("page.viewed", 2 * MINUTE))
    assert state.ending == "ended"


def test_nobody_was_reached() -> None:
    branch = Branch(arms=(Arm(condition="false", steps=(GUIDE,)),))
    assert begin(branch)[0].ending == "ended"


def test_an_operator_may_stop_it_with_or_without_undoing() -> None:
    done = play(begin(REFUND, ASK), told("remediated", SECOND, step=1))
    state, commands = play((done[0], []), command("stop", MINUTE))
    assert (state.ending, state.reason) == ("cancelled", "stopped")
    assert not any(isinstance(one, Do) for one in commands)
    state, commands = play((done[0], []), command("stop", MINUTE, undo=True))
    assert words(commands) == [("Withdraw", None), ("Do", 1)]
    state, commands = play((state, []), told("undone", 2 * MINUTE, step=1))
    assert (state.ending, state.reason) == ("cancelled", "stopped")


def test_a_remedy_under_way_is_waited_for_and_undone_when_an_operator_stops_it() -> None:
    for before in ((), (CHARGE,)):
        number = len(before) + 1
        turn = begin(*before, REFUND, ESCALATE)
        if before:
            turn = play(turn, told("remediated", SECOND, step=1))
        state, commands = play((turn[0], []), command("stop", MINUTE, undo=True))
        assert (state.ending, commands) == (None, [])
        noise = (
            told("dismissed", 2 * MINUTE, "browser"),
            arrival("forestall.optout", 2 * MINUTE),
            arrival("forestall.ticket.opened", 2 * MINUTE),
            command("repeat", 2 * MINUTE),
        )
        state, commands = play((state, []), *noise)
        assert (state.ending, commands) == (None, [])
        undone = [number, *([1] if before else [])]
        state, commands = play((state, []), told("remediated", 3 * MINUTE, step=number))
        for step in undone:
            assert [one.step for one in commands if isinstance(one, Do)] == [step]
            state, commands = play((state, []), told("undone", 4 * MINUTE, step=step))
        assert (state.ending, state.reason) == ("cancelled", "stopped")


def test_a_stopped_remedy_that_failed_needs_no_undo_and_no_people() -> None:
    state, commands = play(
        begin(REFUND, ESCALATE),
        command("stop", MINUTE, undo=True),
        told("failed", 2 * MINUTE, step=1, reason="not_needed"),
    )
    assert (state.ending, state.reason) == ("cancelled", "stopped")
    assert not any(isinstance(one, HandOver) for one in commands)


def test_a_late_failure_of_something_else_ends_neither_undoing_nor_handing_over() -> None:
    guide = Guide(channel="sms", text="Hello.", undo=Call(action="say-sorry"))
    state, commands = play(
        begin(guide, REFUND), told("failed", SECOND, step=2, reason="precondition")
    )
    assert isinstance(commands[-1], Do)
    assert commands[-1].step == 1
    state, commands = play((state, []), told("failed", MINUTE, step=1, reason="unreachable"))
    assert (state.phase, commands) == ("undoing", [])
    state, commands = play((state, []), told("undone", MINUTE, step=1))
    assert (state.phase, words(commands)) == ("handing", [("HandOver", 2)])
    state, commands = play((state, []), told("failed", MINUTE, step=2, reason="timeout"))
    assert (state.phase, state.ending) == ("handing", None)
    for over, ending in (
        (told("escalated", MINUTE, step=2), "escalated"),
        (told("failed", MINUTE, step=2, reason="opted_out"), "failed"),
    ):
        assert play((state, []), over)[0].ending == ending


def test_words_said_again_have_all_their_time() -> None:
    waited = Guide(channel="sms", text="Hello.", on_failure=(ESCALATE,))
    state, commands = play(begin(waited), command("repeat", MINUTE))
    assert [one.expires for one in commands if isinstance(one, Say)][-1] == state.words[0].expires
    assert len(state.words) == 1
    assert Withdraw(START + MINUTE, "repeated", 1) in commands


def test_an_operator_may_go_on_without_waiting() -> None:
    state, commands = play(begin(ASK, CHARGE), command("force", MINUTE))
    assert words(commands)[-1] == ("Do", 2)
    assert state.step == 2


def test_a_forced_approval_is_none() -> None:
    instead = Approve(timeout=30 * MINUTE, on_failure=(ESCALATE,))
    for after in (CHARGE, GUIDE):
        state, commands = play(begin(instead, after), command("force", MINUTE))
        assert words(commands)[1:] == [("Request", 1), ("Withdraw", None), ("HandOver", 2)]
        assert state.step == 2
    state, _ = play(begin(GUIDE, risk="high"), command("force", MINUTE))
    assert (state.ending, state.reason, state.words) == ("failed", "forced", ())


def test_an_operator_may_have_a_step_done_again_under_another_key() -> None:
    state, commands = play(begin(CHARGE), command("repeat", MINUTE))
    first, second = (one for one in commands if isinstance(one, Do))
    assert (first.job, first.key) != (first.job, second.key)
    assert second.key == effect_key("d1", 1, repeat=1)
    state, _ = play((state, []), told("remediated", 2 * MINUTE, step=1))
    assert state.ending == "remediated"


def test_an_operator_may_take_the_case_over() -> None:
    state, commands = play(begin(GUIDE, ASK), command("take_over", MINUTE))
    assert (state.ending, state.reason) == ("escalated", "taken_over")
    assert commands[-1] == Withdraw(START + MINUTE, "taken_over")


@pytest.mark.parametrize("word", ["stop", "force", "repeat", "take_over", "dance"])
def test_customers_command_nothing(word: str) -> None:
    begun = begin(ASK, ESCALATE)
    forged = told("commanded", SECOND, "browser", command=word, by="anna")
    state, commands = play((begun[0], []), forged)
    assert (state.ending, state.step, commands) == (None, 1, [])
