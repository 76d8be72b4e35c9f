"""The guard: a proposal is a plan only where every part of it is allowed; nothing comes from nothing."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.context.knowledge.passages import Passage
from forestall.contracts.inference import Plan, PlannedAction
from forestall.intervene.agents.guard import (
    Allowed,
    Granted,
    Proposal,
    Proposed,
    guard,
    own_placeholders,
    wording,
)
from forestall.policy.actions.schema import Arguments
from forestall.privacy.masking import Masks

SCHEMA = Arguments(
    {
        "type": "object",
        "properties": {
            "payment": {"type": "string"},
            "scope": {"enum": ["read", "write"]},
            "note": {},
        },
        "required": ["payment"],
        "additionalProperties": False,
    }
)
BOOK = Passage(
    cite="returns@2#customer",
    runbook="returns",
    version=2,
    section="customer",
    title="Returns",
    text="You get a full refund within 14 days. Write to care@shop.example.",
)
STEPS = msgspec.structs.replace(BOOK, cite="returns@2#steps", section="steps", text="Be quick.")
ARTICLE = msgspec.structs.replace(
    BOOK, cite="faq@1#all", runbook="faq", kind="article", text="You get your money back."
)


def granted(**more: Any) -> Granted:
    plain: dict[str, Any] = {
        "bound": {"payment": "p-1"},
        "chooses": ("scope", "note"),
        "risk": "low",
        "wrong": SCHEMA.wrong,
    }
    return Granted(**{**plain, **more})


ALLOWED = Allowed(
    actions={
        "token": granted(),
        "charge": granted(risk="high"),
        "later": granted(bound=None),
        "asked": granted(approve=True, people=2),
    },
    passages=(BOOK, STEPS, ARTICLE),
    placeholders=frozenset({"[email-1]"}),
    secrets=("canary-key-7f3a9b2c4d5e6f70",),
    confidence=0.6,
)


def refused(**proposal: Any) -> list[str]:
    """What is refused of a proposal; no plan comes of it, and none of its words is told."""
    made = Proposal(**{"message": "We look at it.", **proposal})
    guarded = guard(made, ALLOWED)
    assert guarded.refused
    assert guarded.plan is None
    assert guard(made, ALLOWED) == guarded
    return [turned.what for turned in guarded.refused]


def test_what_is_allowed_becomes_a_plan() -> None:
    proposal = Proposal(
        message=" We wrote to [email-1]. ",
        actions=(Proposed("token", {"scope": "read"}), Proposed("asked")),
        rationale="They asked for it.",
        evidence=("returns@2#steps",),
        confidence=0.8,
    )
    guarded = guard(proposal, ALLOWED)
    assert guarded.refused == ()
    assert guarded.plan == Plan(
        message="We wrote to [email-1].",
        actions=(
            PlannedAction("token", {"payment": "p-1", "scope": "read"}),
            PlannedAction("asked", {"payment": "p-1"}, approve=True, people=2),
        ),
        rationale="They asked for it.",
        evidence=("returns@2#steps",),
        confidence=0.8,
    )


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (Proposed("refund"), "action"),
        (Proposed("TOKEN"), "action"),
        (Proposed("charge"), "action charge"),
        (Proposed("later"), "action later"),
        (Proposed("token", {"payment": "p-1"}), "action token"),
        (Proposed("token", {"other": 1}), "action token"),
        (Proposed("token", {"scope": "admin"}), "action token"),
        (Proposed("token", {"scope": ["read"]}), "action token"),
        (Proposed("token", {"note": float("inf")}), "action token"),
        (Proposed("token", {"note": 2**60}), "action token"),
        (Proposed("token", {"note": "x" * 3_000}), "action token"),
        (Proposed("token", {"note": [[[[[1]]]]]}), "action token"),
        (Proposed("token", {"note": {"a": {"b": {"c": {"d": {}}}}}}), "action token"),
        (Proposed("token", {"note": "see evil.example"}), "action token"),
        (Proposed("token", {"note": {"see evil.example": 1}}), "action token"),
        (Proposed("token", {"note": ["We will refund you."]}), "action token"),
        (Proposed("token", {"note": "[email-1]"}), "action token"),
        (Proposed("token", {"note": "canary-key-7f3a9b2c4d5e6f70"}), "action token"),
        (Proposed("token", {"note": "{{ x }}"}), "action token"),
    ],
)
def test_an_action_beyond_its_grant_is_refused(action: Proposed, why: str) -> None:
    assert why in refused(actions=(action,))
    assert why in refused(actions=(Proposed("asked"), action)), "with all that is allowed"


def test_too_many_or_the_same_twice_are_refused() -> None:
    assert refused(actions=(Proposed("token"),) * 2) == ["actions"]
    assert refused(actions=(Proposed("token"),) * 4) == ["actions"]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"message": ""}, "plan"),
        ({"message": "  \n"}, "plan"),
        ({"confidence": 0.59}, "confidence"),
        ({"confidence": 1.1}, "confidence"),
        ({"confidence": float("nan")}, "confidence"),
        ({"evidence": ("returns@3#customer",)}, "evidence"),
        ({"evidence": ("returns@2#customer", "")}, "evidence"),
        ({"runbook": "faq"}, "runbook"),
        ({"runbook": "other"}, "runbook"),
        ({"runbook": "returns"}, "runbook"),
        ({"message": "See evil.example."}, "link"),
        ({"message": "x" * 3_000}, "message"),
        ({"message": "You get your money back.", "evidence": ("faq@1#all",)}, "promise refund"),
        ({"message": "You get a full refund within 14 days."}, "promise refund"),
        ({"message": "Send us your PIN."}, "demand credentials"),
        ({"message": "[email-2]"}, "placeholder"),
        ({"rationale": "Approve this now."}, "rationale"),
        ({"rationale": "See evil.example"}, "rationale"),
        ({"rationale": "x\u202ey"}, "rationale"),
        ({"hand_over": "See evil.example"}, "hand-over"),
    ],
)
def test_a_part_that_is_not_allowed_refuses_all(more: dict[str, Any], what: str) -> None:
    assert what in refused(**more)


def test_the_customers_part_of_a_runbook_may_be_quoted_in_whole_sentences() -> None:
    cited = ("returns@2#customer",)
    said = "You get a full refund within 14 days."
    assert guard(Proposal(message=said, evidence=cited), ALLOWED).plan is not None
    assert "promise refund" in refused(message="You get a full refund.", evidence=cited)
    assert "promise refund" in refused(message=f"SAY {said}", evidence=cited)


def test_a_promise_is_granted_by_its_kind() -> None:
    allowed = msgspec.structs.replace(ALLOWED, promises=("refund",))
    assert guard(Proposal(message="We will refund you."), allowed).plan is not None
    assert guard(Proposal(message="You get a discount."), allowed).plan is None


def test_a_runbooks_words_may_lead_to_listed_places() -> None:
    allowed = msgspec.structs.replace(ALLOWED, links=("shop.example",))
    plan = guard(Proposal(runbook="returns"), allowed).plan
    assert plan is not None
    assert plan.runbook == "returns"


def test_handing_over_does_nothing_else() -> None:
    proposal = Proposal(
        message="We look at it.",
        actions=(Proposed("token"),),
        hand_over="It is about a death.",
        confidence=0.1,
    )
    plan = guard(proposal, ALLOWED).plan
    assert plan == Plan(hand_over="It is about a death.", confidence=0.1)


def test_only_a_customers_own_whole_fields_come_back() -> None:
    masks = Masks()
    masked = masks.hide(
        {
            "email": "ada@example.org",
            "text": "write to eve@evil.example or ring +44 20 7946 0958",
            "phone": "+49 171 2345678",
            "more": ["bob@example.org"],
        }
    )
    own = own_placeholders(masked, masks.known)
    assert sorted(masks.restore(one) for one in own) == [
        "+49 171 2345678",
        "ada@example.org",
        "bob@example.org",
    ]


@pytest.mark.parametrize(
    ("kind", "value", "own"),
    [
        ("person", "Ada Lovelace", True),
        ("person", "Jean-Luc O'Neill", True),
        ("person", "Dr. Ada Lovelace", True),
        ("person", "Ada see evil.example", False),
        ("person", "Ada. You get a refund from us", False),
        ("person", "Your refund is granted", False),
        ("place", "Bad Ischl", True),
        ("address", "12 Elm Street, Springfield", True),
        ("address", "https://evil.example/a", False),
        ("email", "ada@example.org", True),
        ("email", "ada@example.org or else", False),
        ("token", "abc", False),
        ("text", "[email-1]", False),
        ("ip", "10.0.0.1", False),
    ],
)
def test_a_value_is_what_its_kind_says(kind: str, value: str, own: bool) -> None:
    placeholder = f"[{kind}-1]"
    found = own_placeholders({"field": placeholder}, {placeholder: value})
    assert found == (frozenset([placeholder]) if own else frozenset())


def test_a_number_of_the_customers_own_is_no_phone() -> None:
    text = "Your parcel 00340434161094042557 is on its way."
    assert "phone" in [turned.what for turned in wording(text, ALLOWED)]
    allowed = msgspec.structs.replace(ALLOWED, own=frozenset({"00340434161094042557"}))
    assert wording(text, allowed) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(["token", "charge", "later", "asked", "refund"]) | st.text(max_size=9)
KEYS = st.sampled_from(["payment", "scope", "note"]) | st.text(max_size=9)
ACTIONS = st.builds(Proposed, NAMES, st.dictionaries(KEYS, JSON, max_size=3))
PROPOSALS = st.builds(
    Proposal,
    message=st.text(max_size=80),
    runbook=st.none() | st.sampled_from(["returns", "faq"]) | st.text(max_size=9),
    actions=st.lists(ACTIONS, max_size=4).map(tuple),
    hand_over=st.none() | st.text(max_size=40),
    rationale=st.text(max_size=40),
    evidence=st.lists(
        st.sampled_from([one.cite for one in ALLOWED.passages]) | st.text(max_size=9), max_size=3
    ).map(tuple),
    confidence=st.floats(),
)


@settings(deadline=None)
@given(PROPOSALS)
def test_any_proposal_is_judged_and_nothing_comes_out_of_nothing(proposal: Proposal) -> None:
    guarded = guard(proposal, ALLOWED)
    assert guarded == guard(proposal, ALLOWED)
    assert (guarded.plan is None) == bool(guarded.refused)
    plan = guarded.plan
    if plan is None:
        return
    assert plan.message in ("", proposal.message.strip())
    assert plan.runbook in (None, proposal.runbook)
    assert set(plan.evidence) <= {one.cite for one in ALLOWED.passages}
    for action in plan.actions:
        grant = ALLOWED.actions[action.action]
        assert grant.risk == "low"
        assert grant.bound is not None
        assert grant.bound.items() <= action.arguments.items()
        assert set(action.arguments) <= {*grant.bound, *grant.chooses}
        assert (action.approve, action.people) == (grant.approve, grant.people)
    if plan.hand_over is None:
        again = Proposal(
            message=plan.message,
            runbook=plan.runbook,
            actions=proposal.actions,
            rationale=plan.rationale,
            evidence=plan.evidence,
            confidence=plan.confidence,
        )
        assert guard(again, ALLOWED).plan == plan, "what was allowed stays allowed"
