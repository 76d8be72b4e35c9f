"""Playbooks that act, by chance: replay, at most once, undoing backwards."""

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.instants import SECOND
from forestall.intervene import playbook
from forestall.intervene.running import (
    Arrival,
    Do,
    HandOver,
    Request,
    Say,
)
from forestall.policy.language.model import (
    Arm,
    Await,
    Branch,
    Call,
    Guide,
    PlaybookStep,
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
    arrival,
    begin,
    command,
    same_wherever_it_restarts,
    told,
)

STEPS = st.sampled_from(
    [
        GUIDE,
        ASK,
        LOOK,
        CHARGE,
        REFUND,
        APPROVE,
        ESCALATE,
        Resolve(),
        Await(timeout=20 * SECOND),
        Guide(channel="sms", text="x", on_failure="stop", undo=Call(action="unsay")),
        Branch(
            arms=(
                Arm(condition="event.data.amount > 20", steps=(REFUND, GUIDE)),
                Arm(condition="has(fields.answer) && fields.answer == 'retry'", steps=(CHARGE,)),
            )
        ),
        msgspec.structs.replace(CHARGE, on_failure=(GUIDE, ESCALATE)),
    ]
)
HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "shown",
                "answered",
                "filled",
                "remediated",
                "undone",
                "approved",
                "declined",
                "failed",
                "escalated",
                "page.viewed",
                "force",
                "repeat",
                "stop",
            ]
        ),
        st.integers(0, 90),
        st.integers(1, 7),
    ),
    max_size=25,
)


def happened(raw: Sequence[tuple[str, int, int]]) -> list[Arrival]:
    after, out = 0, []
    for word, gap, step in raw:
        after += gap * SECOND
        if word == "page.viewed":
            out.append(arrival(word, after))
        elif word in ("force", "repeat", "stop"):
            out.append(command(word, after, undo=bool(step % 2)))
        else:
            out.append(told(word, after, step=step, choice="retry", fields={"brand": "x"}))
    return out


@given(st.lists(STEPS, min_size=1, max_size=5), HAPPENINGS, st.data())
def test_a_recorded_intervention_takes_the_same_steps_again(
    steps: list[PlaybookStep], raw: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    same_wherever_it_restarts(begin(*steps), happened(raw), lambda: data.draw(st.booleans()))


@given(st.lists(STEPS, min_size=1, max_size=5), HAPPENINGS)
def test_no_effect_is_commanded_twice_and_undoing_runs_backwards(
    steps: list[PlaybookStep], raw: list[tuple[str, int, int]]
) -> None:
    state, commands = begin(*steps)
    for item in happened(raw):
        before = state
        state, more = playbook.on_event(state, item)
        assert before.ending is None or (state, more) == (before, [])
        commands = [*commands, *more]
    keys = [one.key for one in commands if isinstance(one, Say | Do | Request | HandOver)]
    assert len(set(keys)) == len(keys)
    undone = [one.step for one in commands if isinstance(one, Do) and one.job.kind == "undo"]
    assert undone == sorted(undone, reverse=True)
    waiting = playbook.current(state)
    outside = waiting is not None and playbook.due(state) is None
    assert state.ending is not None or state.phase != "going" or outside or playbook.due(state)
