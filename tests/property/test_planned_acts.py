"""Plans by chance, told by chance: only what was planned is done, once, and a replay does the same."""

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.inference import Plan as Planned
from forestall.contracts.inference import PlannedAction
from forestall.contracts.instants import SECOND
from forestall.intervene import playbook
from forestall.intervene.running import Arrival, Do, HandOver, Request, Running, Say
from forestall.intervene.splice import read_plan
from forestall.policy.language.model import Arm, Await, Branch, Guide, Plan, PlaybookStep, Resolve
from playing import (
    APPROVE,
    ASK,
    CHARGE,
    GUIDE,
    LOOK,
    arrival,
    begin,
    command,
    same_wherever_it_restarts,
    told,
)

PLAN = Plan(agent="helper", queue="payments", arguments={"payment": "event.data.payment"})
STEPS = st.sampled_from(
    [
        GUIDE,
        ASK,
        LOOK,
        CHARGE,
        APPROVE,
        Resolve(),
        Await(timeout=20 * SECOND),
        Branch(arms=(Arm(condition="event.data.amount > 5", steps=(PLAN,)),)),
        msgspec.structs.replace(PLAN, on_failure="next"),
        msgspec.structs.replace(PLAN, on_failure=(GUIDE, PLAN)),
    ]
)
TEXTS = st.sampled_from(
    ["", "Hello.", "{{ subject.customer }}", "{% x %}", "event.data.payment", "'+1", "[email-1]"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
ACTIONS = st.builds(
    PlannedAction,
    action=st.sampled_from(["resend", "reissue", "refund"]),
    arguments=st.dictionaries(st.sampled_from(["a", "b", "payment"]), VALUES, max_size=3),
    approve=st.booleans(),
    people=st.integers(1, 3),
)
PLANS = st.builds(
    Planned,
    message=TEXTS,
    runbook=st.none() | st.just("r"),
    actions=st.lists(ACTIONS, max_size=3).map(tuple),
    hand_over=st.sampled_from([None, None, None, "hardship"]),
    rationale=TEXTS,
)
WORDS = (
    *(
        "planned",
        "planned",
        "planned",
        "malformed",
        "shown",
        "answered",
        "remediated",
        "remediated",
    ),
    *("approved", "approved", "declined", "undone", "failed", "escalated", "page.viewed"),
    *("force", "repeat", "stop", "filled"),
)
HAPPENINGS = st.lists(
    st.tuples(st.sampled_from(WORDS), st.integers(0, 60), st.integers(1, 9), PLANS), max_size=25
)
Raw = Sequence[tuple[str, int, int, Planned]]


def happened(raw: Raw) -> list[Arrival]:
    """Events about the step that it is at, mostly, as nothing else moves a playbook."""
    after, out = 0, []
    for word, gap, step, plan in raw:
        after += gap * SECOND
        if word == "page.viewed":
            out.append(arrival(word, after))
        elif word in ("force", "repeat", "stop"):
            out.append(command(word, after, undo=bool(step % 2)))
        elif word == "malformed":
            out.append(told("filled", after, step=step, plan={"actions": [{"action": 5}]}))
        elif word == "planned":
            data = msgspec.to_builtins(plan)
            out.append(told("filled", after, step=step, fields={}, plan=data))
        else:
            data = {"choice": "retry", "fields": {"brand": "x"}}
            out.append(told(word, after, step=step, **data))
    return out


def aimed(state: Running, item: Arrival) -> Arrival:
    """The event, about the step that the playbook is at where it is at one."""
    step = item.data.get("step")
    if step is None or step > 6:
        return item
    here = state.step
    if state.phase == "undoing" and state.did:
        here = state.did[-1].step
    elif state.phase == "handing":
        here = state.takeover or 1
    data = {**item.data, "step": max(here, 1)}
    return Arrival(item.record, lambda: data, lambda: item.traits)


@given(st.lists(STEPS, min_size=1, max_size=4), HAPPENINGS, st.data())
def test_however_the_log_is_cut_and_wherever_it_restarts_the_steps_are_the_same(
    steps: list[PlaybookStep], raw: Raw, data: st.DataObject
) -> None:
    same_wherever_it_restarts(
        begin(PLAN, *steps), happened(raw), lambda: data.draw(st.booleans()), aimed
    )


@given(st.lists(STEPS, max_size=4), HAPPENINGS)
def test_only_what_was_planned_is_done_with_what_was_given_and_once(
    steps: list[PlaybookStep], raw: Raw
) -> None:
    state, commands = begin(PLAN, *steps)
    plans: list[Planned] = []
    for drawn in happened(raw):
        item, before = aimed(state, drawn), state
        state, more = playbook.on_event(state, item)
        if len(state.program) > len(before.program):
            plan = read_plan(item.data["plan"])
            assert plan is not None
            assert plan.hand_over is None
            plans.append(plan)
        commands = [*commands, *more]
    keys = [one.key for one in commands if isinstance(one, Say | Do | Request | HandOver)]
    assert len(set(keys)) == len(keys), "no effect is commanded twice"
    granted = [one for plan in plans for one in plan.actions]
    own = {node.number for node in state.program if node.planned == 0}
    for one in commands:
        if isinstance(one, Do) and one.job.kind == "action" and one.step not in own:
            match = [
                a for a in granted if (a.action, a.arguments) == (one.job.name, one.job.arguments)
            ]
            assert match, "an action that nobody planned"
            assert one.job.approval is not None or any(
                not a.approve and a.people == 1 for a in match
            )
        elif isinstance(one, Request) and one.step not in own:
            assert (one.action, one.arguments) in [(a.action, a.arguments) for a in granted]
        elif isinstance(one, Say) and one.step not in own:
            assert isinstance(one.words, Guide)
            assert (one.words.text or "") in [plan.message for plan in plans], "as it was written"


@given(PLANS)
def test_a_plan_that_is_followed_to_its_end_is_all_done(plan: Planned) -> None:
    state, commands = begin(PLAN)
    data: dict[str, Any] = msgspec.to_builtins(plan)
    state, more = playbook.on_event(state, told("filled", SECOND, step=1, fields={}, plan=data))
    commands += more
    for after in range(2, 20):
        if state.ending is not None or state.step <= 0:
            break
        for word in ("approved", "remediated"):
            item = told(word, after * SECOND, step=state.step)
            state, more = playbook.on_event(state, item)
            commands += more
    done = [one for one in commands if isinstance(one, Do) and one.job.kind == "action"]
    said = [one.words for one in commands if isinstance(one, Say)]
    asked = [one for one in commands if isinstance(one, Request)]
    if plan.hand_over is not None:
        assert (done, said, asked) == ([], [], [])
        return
    assert [(one.job.name, one.job.arguments) for one in done] == [
        (one.action, one.arguments) for one in plan.actions
    ]
    assert len(asked) == sum(one.approve or one.people > 1 for one in plan.actions)
    wanted = bool(plan.message) or plan.runbook is not None
    assert len(said) == int(wanted)
