"""A playbook as a flat program: numbers in the order of the file, and what follows each step."""

from hypothesis import given
from hypothesis import strategies as st

from forestall.policy.language.flow import (
    END,
    STOP,
    Node,
    covered,
    flow,
    holds,
    kind_of,
    ways,
)
from forestall.policy.language.model import (
    Approve,
    Arm,
    Ask,
    Await,
    Branch,
    Call,
    Escalate,
    Guide,
    Match,
    PlaybookStep,
    Policy,
    Remediate,
    Resolve,
    Step,
    When,
)

EVENT = Match(types=("a.b",))
GUIDE = Guide(channel="inapp", text="Hello.")
WAIT = Await(match=EVENT, timeout=5)
ESCALATE = Escalate(queue="q")


def program(*steps: PlaybookStep, risk: str = "low") -> tuple[Node, ...]:
    return flow(
        Policy(
            name="p",
            title="",
            owner="",
            when=When(kind="event", steps=(Step(match=EVENT),)),
            risk=risk,  # type: ignore[arg-type]
            playbook=steps,
        )
    )


def shape(nodes: tuple[Node, ...]) -> list[tuple[str, int, int]]:
    return [(kind_of(node.step), node.next, node.failed) for node in nodes]


def test_steps_in_a_row_follow_each_other() -> None:
    nodes = program(GUIDE, WAIT, ESCALATE)
    assert shape(nodes) == [("guide", 2, 2), ("await", 3, 3), ("escalate", END, END)]
    assert [node.path for node in nodes] == [(0,), (1,), (2,)]


def test_an_empty_playbook_is_an_empty_program() -> None:
    assert program() == ()


def test_a_branch_leads_into_its_arms_and_they_lead_on_after_it() -> None:
    nodes = program(
        Branch(
            arms=(Arm(condition="fields.a", steps=(GUIDE, WAIT)), Arm(steps=(ESCALATE,))),
        ),
        GUIDE,
    )
    assert nodes[0].arms == (("fields.a", 2), (None, 4))
    assert shape(nodes) == [
        ("branch", 5, 5),
        ("guide", 3, 3),
        ("await", 5, 5),
        ("escalate", 5, 5),
        ("guide", END, END),
    ]
    assert list(ways(nodes[0])) == [2, 4], "with an else, one of the arms is taken"


def test_a_branch_without_an_else_may_be_passed_by() -> None:
    nodes = program(Branch(arms=(Arm(condition="true", steps=(GUIDE,)),)))
    assert sorted(ways(nodes[0])) == [END, 2]


def test_an_arm_without_steps_goes_on_after_the_branch() -> None:
    nodes = program(Branch(arms=(Arm(condition="true"),)), GUIDE)
    assert nodes[0].arms == (("true", 2),)


def test_branches_nest() -> None:
    inner = Branch(arms=(Arm(condition="b", steps=(Resolve(),)),))
    nodes = program(Branch(arms=(Arm(condition="a", steps=(inner,)),)), ESCALATE)
    assert nodes[0].arms == (("a", 2),)
    assert nodes[1].arms == (("b", 3),)
    assert nodes[1].next == 4, "what the inner branch leaves open goes on after the outer one"
    assert nodes[1].path == (0, "branch", 0, "do", 0)


def test_what_follows_a_failure_is_numbered_after_the_step_and_then_ends() -> None:
    charge = Remediate(action="charge", on_failure=(GUIDE, ESCALATE))
    nodes = program(charge, GUIDE)
    assert shape(nodes) == [
        ("remediate", 4, 2),
        ("guide", 3, 3),
        ("escalate", END, END),
        ("guide", END, END),
    ]
    assert nodes[1].path == (0, "remediate", "on_failure", 0)


def test_a_failure_may_stop_the_playbook_or_be_passed_over() -> None:
    stop, on = Remediate(action="a", queue="q"), Remediate(action="a", on_failure="next")
    assert shape(program(stop, on)) == [("remediate", 2, STOP), ("remediate", END, END)]


def test_resolving_ends_wherever_it_stands() -> None:
    assert shape(program(Resolve(), GUIDE))[0] == ("resolve", END, END)


def test_a_policy_of_high_risk_waits_for_a_person_first() -> None:
    nodes = program(GUIDE, WAIT, risk="high")
    assert [kind_of(node.step) for node in nodes] == ["approve", "guide", "await"]
    assert [node.path for node in nodes] == [(), (0,), (1,)]
    assert nodes[0].failed == STOP
    assert covered(nodes, nodes[0]) is None, "it is about all that follows"


def test_a_policy_of_high_risk_that_asks_by_itself_is_left_alone() -> None:
    nodes = program(Approve(timeout=9), Remediate(action="a", queue="q"), risk="high")
    assert [kind_of(node.step) for node in nodes] == ["approve", "remediate"]
    assert covered(nodes, nodes[0]) == nodes[1]


def test_only_guidance_whose_failure_matters_is_waited_for() -> None:
    easy, strict = GUIDE, Guide(channel="inapp", text="x", on_failure="stop")
    assert not holds(program(easy)[0])
    assert holds(program(strict)[0])
    assert holds(program(ESCALATE)[0])


LEAVES = st.sampled_from(
    [
        GUIDE,
        WAIT,
        ESCALATE,
        Resolve(),
        Approve(timeout=5),
        Remediate(action="a", queue="q", undo=Call(action="b")),
        Ask(text="?", choices={"y": "Yes", "n": "No"}, into="answer", timeout=5),
    ]
)


def nested(inner: st.SearchStrategy[PlaybookStep]) -> st.SearchStrategy[PlaybookStep]:
    steps = st.lists(inner, max_size=3).map(tuple)
    arms = st.lists(st.builds(Arm, condition=st.just("true"), steps=steps), min_size=1, max_size=3)
    last = st.one_of(st.just(()), st.builds(Arm, steps=steps).map(lambda arm: (arm,)))
    branch = st.builds(lambda some, other: Branch(arms=(*some, *other)), arms, last)
    failing = steps.filter(bool).map(lambda some: Remediate(action="a", on_failure=some))
    return st.one_of(branch, failing)


@given(st.lists(st.recursive(LEAVES, nested, max_leaves=12), max_size=5))
def test_every_way_leads_forward_and_so_to_the_end(steps: list[PlaybookStep]) -> None:
    nodes = program(*steps)
    assert [node.number for node in nodes] == list(range(1, len(nodes) + 1))
    for node in nodes:
        for target in (*ways(node), node.next, node.failed, *(to for _, to in node.arms)):
            assert target in (END, STOP) or node.number < target <= len(nodes)
        assert not isinstance(node.step, Branch) or node.step.arms == ()
    paths = [node.path for node in nodes]
    assert len(set(paths)) == len(paths)
