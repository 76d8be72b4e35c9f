"""A case from material: what a person needs, after the published schema."""

from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.context.knowledge.runbooks import read_runbook
from forestall.contracts.case import case_schema
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND, format_time
from forestall.contracts.intervention import Case, Message, Show, Taken
from forestall.intervene.case import MOST_EVENTS, MOST_HYPOTHESES, Material, build_case
from forestall.intervene.effect_store import Effect
from forestall.intervene.jobs import Job, JobKind, Outcome
from forestall.intervene.running import Running
from forestall.policy.language.flow import Node
from forestall.policy.language.model import Ask, Escalate, Guide
from forestall.privacy.door import Consent, DoorState, OptOut

START = 1_700_000_000 * SECOND
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
KEY = "ab" * 16
SCHEMA = jsonschema_rs.Draft202012Validator(msgspec.json.decode(case_schema()))

RUNBOOK = read_runbook(
    """---
id: card-declined
title: Your card was declined
version: 7
owner: payments
review_by: 2030-01-01
---
## Customer
Another card works.
## Agent
Look at the decline code first.
""",
    "card.md",
)

DECISION = Decision(
    id="d-1",
    policy="card-declined",
    version="v-1",
    mode="live",
    subject="s1",
    key=None,
    at=format_time(START),
    outcome="intervene",
    reason=None,
    matched=("e1", "e2"),
    features={"declines": 2},
    explanation="2 x payment.declined in 10m",
    traceparent=f"00-{TRACE}-00f067aa0ba902b7-01",
)

STATE = Running(
    id="d-1",
    subject="s1",
    policy="card-declined",
    version="v-1",
    purpose="support",
    program=(
        Node(number=1, step=Guide(channel="inapp", runbook="card-declined"), next=2, failed=2),
        Node(
            number=2,
            step=Ask(text="Again?", choices={"retry": "Try again"}, into="answer", timeout=1),
            next=3,
            failed=3,
        ),
        Node(number=3, step=Escalate(queue="payments"), next=0, failed=0),
    ),
    at=START,
    valid_for=SECOND,
    lateness=0,
    grace=0,
    clock=START,
    fields={"answer": "retry", "brand": "visa"},
)


def made(**material: Any) -> Case:
    everything: dict[str, Any] = {"state": STATE, "decision": DECISION, "title": "Card declined"}
    case = build_case(Material(**everything | material), KEY, "payments", 3)
    SCHEMA.validate(msgspec.json.decode(msgspec.json.encode(case)))
    return case


def record(number: int, kind: str = "payment.declined", **data: Any) -> Record:
    return Record(
        id=f"e{number}",
        source="shop",
        type=kind,
        subject="s1",
        time=START + number * SECOND,
        received=START + number * SECOND,
        data=msgspec.Raw(msgspec.json.encode(data)),
    )


def message(number: int, **values: Any) -> Message:
    plain: dict[str, Any] = {
        "id": f"m{number}",
        "intervention": "d-1",
        "subject": "s1",
        "policy": "card-declined",
        "title": "",
        "body": f"Words {number}",
        "why": "",
        "created": START + number * SECOND,
        "expires": START + 60 * SECOND,
    }
    return Message(**plain | values)


def effect(step: int, kind: JobKind, outcome: Outcome | None = None, **values: Any) -> Effect:
    job = Job(kind=kind, name="retry-charge", arguments={"payment": "pay-1"})
    return Effect(
        key=f"k{step}",
        intervention="d-1",
        step=step,
        subject="s1",
        purpose="support",
        kind=kind,
        channel="retry-charge",
        body=msgspec.json.encode(job),
        result=None if outcome is None else msgspec.json.encode(outcome),
        **values,
    )


def sent(number: int, status: str) -> Effect:
    """A message through a channel other than the page."""
    made = effect(number, "action", status=status)
    body = msgspec.json.encode(message(number))
    return msgspec.structs.replace(made, kind="guide", body=body)


def test_it_says_whose_it_is_why_and_where_to_look() -> None:
    case = made(links={"Shop": "https://shop.example/s1"}, traits={"plan": "gold"})
    assert (case.id, case.queue, case.step, case.customer) == (KEY, "payments", 3, "s1")
    assert (case.policy, case.version, case.title) == ("card-declined", "v-1", "Card declined")
    assert case.why == DECISION.explanation
    assert case.trace == TRACE
    assert case.links == {"Shop": "https://shop.example/s1"}
    assert (case.traits, case.fields) == ({"plan": "gold"}, STATE.fields)
    assert case.features == {"declines": 2}


def test_a_decision_without_a_trace_has_none() -> None:
    plain = msgspec.structs.replace(DECISION, traceparent=msgspec.UNSET)
    assert made(decision=plain).trace is None


def test_the_timeline_tells_what_the_policy_declares_and_no_more() -> None:
    records = [
        record(1, order="o1", amount=3, ip="10.0.0.1"),
        record(5, "forestall.intervention.shown", intervention="d-1"),
        record(9, "page.viewed", path="/help"),
    ]
    case = made(
        records=records,
        reads=frozenset({("event", "data", "order"), ("subject", "plan")}),
        personal={"payment.declined": frozenset({"order", "ip"})},
    )
    first, last = case.timeline
    assert (first.type, first.matched, first.fields) == ("payment.declined", True, {"order": "o1"})
    assert first.personal == ("order",)
    assert (last.type, last.matched, last.fields) == ("page.viewed", False, {})


def test_a_policy_that_reads_no_data_shows_none() -> None:
    (moment,) = made(records=[record(1, order="o1")]).timeline
    assert moment.fields == {}


def test_a_policy_that_reads_all_data_shows_all() -> None:
    reads = frozenset({("event", "data")})
    (moment,) = made(records=[record(1, order="o1")], reads=reads).timeline
    assert moment.fields == {"order": "o1"}


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=120))
def test_the_newest_events_are_there(count: int) -> None:
    case = made(records=[record(number) for number in range(count)])
    shown = [one.id for one in case.timeline]
    assert shown == [f"e{number}" for number in range(max(0, count - MOST_EVENTS), count)]


def test_what_the_customer_saw_is_told_in_its_words_with_its_end() -> None:
    history = (
        Taken(format_time(START), "started"),
        Taken(format_time(START), "shown", 1),
        Taken(format_time(START), "dismissed", 1),
        Taken(format_time(START), "shown", 2),
        Taken(format_time(START), "answered", 2),
        Taken(format_time(START), "expired", 4),
    )
    asked = message(2, choices={"retry": "Try again", "no": "No"})
    case = made(
        history=history,
        messages=[(1, message(1)), (2, asked), (4, message(4))],
        effects=[sent(0, "done"), sent(5, "failed")],
    )
    told = [(one.step, one.body, one.status, one.choice) for one in case.seen]
    assert told == [
        (0, "Words 0", "sent", None),
        (1, "Words 1", "dismissed", None),
        (2, "Words 2", "answered", "Try again"),
        (4, "Words 4", "expired", None),
    ]


def test_what_the_customer_saw_has_its_steps_and_what_was_known_masked_as_the_rest() -> None:
    listed = message(1, steps=("Look.", "Write to a@b.example."), show=Show("checklist"))
    handed = message(2, known=("Your order o2",), show=Show("handover"))
    history = (Taken(format_time(START), "shown", 1), Taken(format_time(START), "seen", 1))
    case = made(messages=[(1, listed), (2, handed)], history=history)
    assert [(one.body, one.status) for one in case.seen] == [
        ("Words 1\n1. Look.\n2. Write to [email-1].", "seen"),
        ("Words 2\n- Your order o2", "sent"),
    ]


def test_an_answer_without_a_label_is_told_as_it_is() -> None:
    history = (Taken(format_time(START), "answered", 2),)
    state = msgspec.structs.replace(STATE, fields={"answer": "else"})
    (seen,) = made(state=state, history=history, messages=[(2, message(2))]).seen
    assert seen.choice == "else"
    state = msgspec.structs.replace(STATE, fields={})
    (seen,) = made(state=state, history=history, messages=[(2, message(2))]).seen
    assert seen.choice is None


@pytest.mark.parametrize(
    ("outcome", "values", "told", "reason"),
    [
        (Outcome(outcome="done", fields={"receipt": "r1"}), {"status": "done"}, "done", None),
        (
            Outcome(outcome="failed", reason="verification", undone=True),
            {"status": "failed"},
            "undone",
            "verification",
        ),
        (Outcome(outcome="failed", reason="timeout"), {"status": "failed"}, "failed", "timeout"),
        (None, {"status": "waiting", "detail": "429"}, "waiting", "429"),
        (None, {"status": "refused", "detail": "opted_out"}, "refused", "opted_out"),
    ],
)
def test_what_was_tried_is_told_with_its_result(
    outcome: Outcome | None, values: dict[str, Any], told: str, reason: str | None
) -> None:
    (tried,) = made(effects=[effect(2, "action", outcome, **values)]).tried
    assert (tried.kind, tried.name, tried.outcome) == ("action", "retry-charge", told)
    assert tried.reason == reason
    assert tried.arguments == {"payment": "pay-1"}
    assert tried.fields == ({} if outcome is None else outcome.fields)


def test_what_was_undone_later_is_told_as_undone() -> None:
    done = effect(2, "action", Outcome(outcome="done"), status="done")
    undoing = effect(2, "undo", Outcome(outcome="done"), status="done")
    history = (
        Taken(format_time(START), "remediated", 2),
        Taken(format_time(START + SECOND), "undone", 2),
    )
    first, second = made(effects=[done, undoing], history=history).tried
    assert (first.outcome, first.at) == ("undone", format_time(START))
    assert (second.kind, second.outcome) == ("undo", "done")


def test_evidence_is_kept() -> None:
    shown = {"dry_run": {"amount": 3}, "verified": True}
    done = Outcome(outcome="done", evidence=shown)
    (tried,) = made(effects=[effect(2, "action", done, status="done")]).tried
    assert tried.evidence == shown


def test_other_conclusions_come_before_our_own_and_say_what_kept_them_silent() -> None:
    others = [
        msgspec.structs.replace(
            DECISION,
            id=f"o{number}",
            policy="rage-clicks",
            outcome="suppress",
            reason="cooldown",
        )
        for number in range(MOST_HYPOTHESES + 3)
    ]
    case = made(others=[*others, DECISION])
    assert len(case.hypotheses) == MOST_HYPOTHESES + 1
    assert [one.policy for one in case.hypotheses][-2:] == ["rage-clicks", "card-declined"]
    assert case.hypotheses[0].reason == "cooldown"
    assert (case.hypotheses[-1].outcome, case.hypotheses[-1].reason) == ("intervene", None)


def test_consent_is_that_for_the_purpose() -> None:
    assert made().consent is None
    never = made(standing=DoorState()).consent
    assert never is not None
    assert (never.purpose, never.granted, never.opted_out) == ("support", None, False)
    standing = DoorState(OptOut(True, START), {"support": Consent(False, START)})
    said = made(standing=standing).consent
    assert said is not None
    assert (said.granted, said.since, said.opted_out) == (False, format_time(START), True)


def test_runbooks_speak_to_the_agent_with_id_and_version() -> None:
    case = made(runbooks=[RUNBOOK], reply="Another card works.")
    (advice,) = case.runbooks
    assert (advice.runbook, advice.version) == ("card-declined", 7)
    assert case.advice == advice.text == "Look at the decline code first."
    assert case.reply == "Another card works."


def test_a_case_of_before_is_still_read() -> None:
    before = {
        name: msgspec.to_builtins(made())[name]
        for name in (
            *("id", "intervention", "queue", "customer", "policy", "title", "why", "at"),
            *("events", "features", "taken", "advice", "trace"),
        )
    }
    read = msgspec.json.decode(msgspec.json.encode(before), type=Case)
    assert (read.timeline, read.tier, read.version) == ((), 1, "")


def test_the_schema_is_published_where_it_ships() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "case.schema.json"
    assert page.read_bytes() == case_schema()
    assert not SCHEMA.is_valid({"id": "x"})
