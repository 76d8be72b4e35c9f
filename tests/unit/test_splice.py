"""A plan as steps: which, in which order, with what is given and never computed."""

from typing import Any

import msgspec
import pytest

from forestall.contracts.inference import Plan as Planned
from forestall.contracts.inference import PlannedAction
from forestall.contracts.instants import MINUTE
from forestall.contracts.refusals import NotThere
from forestall.intervene.approvals import alternatives
from forestall.intervene.splice import MOST_ACTIONS, read_plan, splice
from forestall.policy.language.flow import END, STOP, Node, holds
from forestall.policy.language.model import Approve, Escalate, Guide, Plan, Remediate

STEP = Plan(agent="helper", queue="payments", channel="sms", approval=10 * MINUTE, by="lead")
PROGRAM = (
    Node(number=1, step=STEP, next=2, failed=STOP),
    Node(number=2, step=Escalate(queue="q"), next=END, failed=END),
)
HOSTILE: dict[str, Any] = {"a": "event.data.payment", "b": ["{{ subject.name }}", 1, None]}


def test_actions_come_first_each_after_its_approval_then_the_words() -> None:
    plan = Planned(
        message="Done: {{ not.a.template }}",
        runbook="r",
        actions=(
            PlannedAction("resend", HOSTILE),
            PlannedAction("refund", {}, approve=True, people=2),
        ),
        rationale="They paid twice.",
    )
    program = splice(PROGRAM, 1, STEP, plan)
    first, untouched, *laid = program
    assert (first.next, first.step) == (3, STEP)
    assert untouched == PROGRAM[1]
    approve = Approve(timeout=10 * MINUTE, by="lead", people=2, why="They paid twice.")
    said = Guide(channel="sms", text="Done: {{ not.a.template }}", runbook="r")
    expected = (
        (3, Remediate(action="resend", queue="payments"), 4, STOP),
        (4, approve, 5, STOP),
        (5, Remediate(action="refund", queue="payments"), 6, STOP),
        (6, said, 2, 2),
    )
    assert [(one.number, one.step, one.next, one.failed) for one in laid] == list(expected)
    assert [one.values for one in laid] == [HOSTILE, {}, {}, {}]
    assert {one.planned for one in laid} == {1}
    assert not holds(laid[-1]), "nothing waits for the words"


@pytest.mark.parametrize("people", [2, 5])
def test_more_people_than_one_are_always_asked(people: int) -> None:
    plan = Planned(actions=(PlannedAction("refund", people=people),))
    (*_, asked, _) = splice(PROGRAM, 1, STEP, plan)
    assert isinstance(asked.step, Approve)
    assert asked.step.people == people
    assert asked.step.why is None


@pytest.mark.parametrize("number", [1, 2])
def test_the_last_step_leads_on_to_what_followed_the_plan(number: int) -> None:
    program = (*PROGRAM[:1], Node(number=2, step=STEP, next=END, failed=END))
    last = splice(program, number, STEP, Planned(runbook="r"))[-1]
    assert last.next == last.failed == program[number - 1].next
    acted = splice(program, number, STEP, Planned(actions=(PlannedAction("a"),)))[-1]
    assert (acted.next, acted.failed) == (program[number - 1].next, STOP)


def test_an_empty_plan_changes_nothing() -> None:
    assert splice(PROGRAM, 1, STEP, Planned(rationale="Nothing to do.")) == PROGRAM


def test_the_program_survives_being_stored() -> None:
    plan = Planned(message="x", actions=(PlannedAction("resend", HOSTILE, approve=True),))
    program = splice(PROGRAM, 1, STEP, plan)
    stored = msgspec.json.encode(program)
    assert msgspec.json.decode(stored, type=tuple[Node, ...]) == program


def test_who_approves_is_told_what_a_no_brings() -> None:
    plan = Planned(actions=(PlannedAction("refund", {}, approve=True),))
    program = splice(PROGRAM, 1, STEP, plan)
    said = ("undo what was done, last first, and hand over to payments",)
    assert alternatives(program, 3) == said
    with pytest.raises(NotThere):
        alternatives(program, 9)


def test_programs_stored_before_there_were_plans_are_read() -> None:
    stored = b'[{"number":1,"step":{"step":"escalate","queue":"q"},"next":0,"failed":0,"path":[0]}]'
    assert msgspec.json.decode(stored, type=tuple[Node, ...]) == (
        Node(number=1, step=Escalate(queue="q"), next=END, failed=END, path=(0,)),
    )


@pytest.mark.parametrize(
    "told",
    [
        None,
        "a plan",
        [],
        {"message": 5},
        {"actions": {}},
        {"actions": [{}]},
        {"actions": [{"action": ""}]},
        {"actions": [{"action": "a", "arguments": []}]},
        {"actions": [{"action": "a", "people": 0}]},
        {"actions": [{"action": "a", "people": 6}]},
        {"actions": [{"action": "a", "approve": "no"}]},
        {"actions": [{"action": "a"}] * (MOST_ACTIONS + 1)},
        {"confidence": None},
    ],
)
def test_what_is_no_plan_is_not_carried_out(told: Any) -> None:
    assert read_plan(told) is None


def test_a_plan_is_read_as_it_was_told() -> None:
    plan = Planned(message="x", actions=(PlannedAction("a", HOSTILE, approve=True),))
    assert read_plan(msgspec.json.decode(msgspec.json.encode(plan))) == plan
