"""When an approval is a yes, and to what exactly."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.instants import HOUR, MINUTE, SECOND
from forestall.contracts.refusals import NotThere, OwnRequest, RoleMissing, TooLate
from forestall.intervene.approvals import (
    Approval,
    Evidence,
    Grant,
    Verdict,
    alternatives,
    binding,
    covers,
    decide,
    digest,
    revoke,
)
from forestall.intervene.authority import Who
from forestall.policy.language.flow import flow
from forestall.policy.language.model import (
    Approve,
    Arm,
    Branch,
    Call,
    Escalate,
    Guide,
    Match,
    OnFailure,
    PlaybookStep,
    Policy,
    Remediate,
    Step,
    When,
)

NOW = 1_700_000_000 * SECOND
ANN = Who("ann", ("approver",), "Head of payments")
BOB = Who("bob", ("approver", "operator"))
CAT = Who("cat", ("operator",))
PEOPLE = {one.name: one for one in (ANN, BOB, CAT)}


def request(**changes: Any) -> Approval:
    arguments = changes.pop("arguments", {"payment": "p1", "amount": 20})
    policy = changes.pop("policy", "card")
    return Approval(
        **{
            "id": "a1",
            "intervention": "i1",
            "step": 1,
            "covers": 2,
            "subject": "s1",
            "policy": policy,
            "version": "v1",
            "action": "retry-charge",
            "arguments": arguments,
            "hash": binding("i1", 2, "v1", "retry-charge", arguments),
            "role": "approver",
            "people": 1,
            "asked": NOW,
            "expires": NOW + HOUR,
            "evidence": Evidence(explanation="Twice declined.", events=("e1",), features={}),
            "status": "open",
            **changes,
        }
    )


def standing(**changes: Any) -> Grant:
    return Grant(
        **{
            "id": "g1",
            "action": "retry-charge",
            "budget": 50,
            "until": NOW + 2 * HOUR,
            "by": "ann",
            "why": "the bank is back",
            "at": NOW,
            **changes,
        }
    )


def said(approval: Approval, who: Who, verdict: Verdict = "approved", *own: str) -> Approval:
    return decide(approval, who, verdict, "because", NOW + MINUTE, own)


def test_one_yes_approves() -> None:
    after = said(request(), ANN)
    assert after.status == "approved"
    assert [(one.who, one.title, one.verdict, one.reason, one.at) for one in after.said] == [
        ("ann", "Head of payments", "approved", "because", NOW + MINUTE)
    ]


def test_one_no_declines_whoever_said_yes_before() -> None:
    after = said(said(request(people=2), ANN), BOB, "declined")
    assert after.status == "declined"
    assert [one.who for one in after.said] == ["ann", "bob"]


def test_two_people_are_two_persons() -> None:
    once = said(request(people=2), ANN)
    assert once.status == "open"
    with pytest.raises(OwnRequest, match="a second person"):
        said(once, ANN)
    assert said(once, BOB).status == "approved"


def test_nobody_approves_their_own() -> None:
    with pytest.raises(OwnRequest, match="bob commanded"):
        said(request(), BOB, "approved", "bob")
    assert said(request(), BOB, "declined", "bob").status == "declined"
    assert said(request(), ANN, "approved", "bob").status == "approved"


def test_who_commands_after_saying_yes_does_not_count_any_more() -> None:
    once = said(request(people=2), BOB)
    third = Who("dan", ("approver",))
    assert said(once, ANN, "approved", "bob").status == "open"
    assert said(said(once, ANN, "approved", "bob"), third, "approved", "bob").status == "approved"


names = st.sampled_from(["ann", "bob", "dan", "fay"])


@given(
    st.integers(1, 3),
    st.lists(st.tuples(names, st.sampled_from(["approved", "declined"]), st.sets(names))),
)
def test_in_any_order_a_yes_is_that_of_enough_others(
    people: int, acts: list[tuple[str, Verdict, set[str]]]
) -> None:
    """Each act: who says what, and who has commanded the intervention besides by then."""
    approval, own = request(people=people), set[str]()
    for name, verdict, commanded in acts:
        own |= commanded
        before = approval
        try:
            approval = said(approval, Who(name, ("approver",)), verdict, *own)
        except (OwnRequest, TooLate):
            assert approval == before
            continue
        yes = {one.who for one in approval.said if one.verdict == "approved"} - own
        if approval.status == "approved":
            assert len(yes) >= people
        else:
            assert approval.status == ("declined" if verdict == "declined" else "open")
            assert verdict == "declined" or len(yes) < people
    no = [one for one in approval.said if one.verdict == "declined"]
    assert len(no) <= 1
    assert len({one.who for one in approval.said}) == len(approval.said)


def test_the_role_is_the_one_the_step_names() -> None:
    with pytest.raises(RoleMissing, match="approver"):
        said(request(), CAT)
    assert said(request(role="operator"), CAT).status == "approved"


@pytest.mark.parametrize("status", ["preparing", "approved", "declined", "expired", "void"])
def test_what_is_not_open_is_not_decided(status: str) -> None:
    with pytest.raises(TooLate, match=f"^{status}: "):
        said(request(status=status), ANN)


def test_at_its_last_moment_it_is_too_late() -> None:
    assert decide(request(), ANN, "approved", "b", NOW + HOUR - 1, ()).status == "approved"
    with pytest.raises(TooLate, match=r"^expired: .*2023-11-14T23:13:20"):
        decide(request(), ANN, "approved", "b", NOW + HOUR, ())


def test_a_grant_answers_what_it_is_for() -> None:
    assert covers(standing(), request(), NOW, PEOPLE, ())
    assert covers(standing(policy="card"), request(), NOW, PEOPLE, ())
    assert covers(standing(limits={"amount": 20}), request(), NOW, PEOPLE, ())
    assert covers(standing(limits={"amount": 20.5}), request(), NOW, PEOPLE, ())


@pytest.mark.parametrize(
    ("grant", "approval"),
    [
        (standing(action="refund"), request()),
        (standing(policy="other"), request()),
        (standing(used=50), request()),
        (standing(until=NOW), request()),
        (standing(revoked=NOW), request()),
        (standing(by="cat"), request()),
        (standing(by="gone"), request()),
        (standing(), request(people=2)),
        (standing(), request(role="payments")),
        (standing(), request(action=None)),
        (standing(limits={"amount": 19.99}), request()),
        (standing(limits={"missing": 5}), request()),
        (standing(limits={"payment": 5}), request()),
        (standing(limits={"amount": 5}), request(arguments={"amount": True})),
        (standing(limits={"amount": 5}), request(arguments={"amount": None})),
        (standing(limits={"amount": 5}), request(arguments={"amount": [1]})),
        (standing(limits={"amount": 5}), request(arguments={"amount": float("nan")})),
    ],
)
def test_and_nothing_else(grant: Grant, approval: Approval) -> None:
    assert not covers(grant, approval, NOW, PEOPLE, ())


def test_a_grant_does_not_answer_what_its_giver_commanded() -> None:
    assert covers(standing(), request(), NOW, PEOPLE, ("bob",))
    assert not covers(standing(), request(), NOW, PEOPLE, ("ann",))


def test_a_grant_is_revoked_once() -> None:
    over = revoke(standing(), NOW + 1)
    assert over.revoked == NOW + 1
    with pytest.raises(TooLate, match=r"^revoked"):
        revoke(over, NOW + 2)


scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
arguments = st.dictionaries(st.text(max_size=6), scalars, max_size=4)
acts = st.tuples(
    st.text(max_size=5),
    st.integers(1, 9),
    st.text(max_size=5),
    st.none() | st.text(max_size=5),
    arguments,
)


@given(acts, acts)
def test_different_acts_have_different_bindings(one: Any, other: Any) -> None:
    same = msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted")
    assert (binding(*one) == binding(*other)) == same


@given(arguments)
def test_the_order_of_arguments_does_not_matter(given_arguments: dict[str, Any]) -> None:
    turned = dict(reversed(given_arguments.items()))
    assert binding("i", 1, "v", "a", turned) == binding("i", 1, "v", "a", given_arguments)
    again = msgspec.json.decode(msgspec.json.encode(given_arguments))
    assert binding("i", 1, "v", "a", again) == binding("i", 1, "v", "a", given_arguments)


def test_the_hash_of_evidence_does_not_depend_on_how_it_was_read() -> None:
    evidence = request().evidence
    assert digest(evidence) == digest(msgspec.to_builtins(evidence))
    assert digest(evidence) == digest(msgspec.json.decode(msgspec.json.encode(evidence)))


def playbook(*steps: PlaybookStep) -> Policy:
    when = When(kind="event", steps=(Step(match=Match(types=("x",))),))
    return Policy(name="p", title="P", owner="o", when=when, playbook=steps)


def otherwise(on_failure: OnFailure, *after: PlaybookStep) -> tuple[str, ...]:
    approve = Approve(timeout=HOUR, on_failure=on_failure)
    mend = Remediate(action="retry-charge", queue="payments")
    return alternatives(flow(playbook(approve, mend, *after)), 1)


def test_what_follows_a_no_is_told_in_words() -> None:
    assert otherwise("stop") == ("undo what was done, last first, and end",)
    assert otherwise("next", Escalate(queue="desk")) == (
        "step 2: remediate with retry-charge",
        "step 3: escalate to desk",
        "end",
    )
    apology = Guide(channel="inapp", text="Sorry.", undo=Call(action="x"))
    assert otherwise((apology, Escalate(queue="payments"))) == (
        "step 2: guide",
        "step 3: escalate to payments",
        "end",
    )
    branch = Branch(arms=(Arm(condition="true", steps=(Escalate(queue="desk"),)),))
    assert otherwise((branch,)) == ("step 2: branch", "and so on, by its conditions")


def test_a_step_that_is_not_there_has_no_alternatives() -> None:
    for step in (0, 3):
        with pytest.raises(NotThere, match=f"no step {step}"):
            alternatives(flow(playbook(Approve(timeout=HOUR), Remediate(action="a"))), step)
