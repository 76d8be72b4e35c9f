"""What agents concluded, as people read it: from the log and from what was done."""

from typing import Any

import msgspec
import pytest

from forestall.contracts.event import Record
from forestall.contracts.inference import Inference, Plan, PlannedAction, Turned
from forestall.contracts.instants import SECOND
from forestall.contracts.intervention import Tell
from forestall.intervene.effect_store import Effect
from forestall.intervene.inferences import Inferred, done, lines, told
from forestall.intervene.jobs import Job, Outcome

AT = 1_700_000_000 * SECOND
HOW = Inference(
    agent="helper",
    version="0123456789abcdef" * 4,
    by="composer",
    model="fast",
    prompt="f" * 64,
    evidence=("card@3#customer", "help@1#pay"),
    confidence=0.456,
    calls=2,
    tokens_in=1_234,
    tokens_out=56,
    cost=0.00123,
    latency=1_500_000,
    fallback="refused",
    refused=(Turned("action refund", "it is not granted"),),
    tone="upset",
)
PLAN = Plan(
    message="Sorry!\n\x1b[2J Try again.",
    runbook="card",
    actions=(PlannedAction("resend", {"payment": "p7"}), PlannedAction("charge", people=2)),
    rationale="It expired.",
)


def record(word: str, tell: Any, origin: Any = "server") -> Record:
    data = msgspec.Raw(msgspec.json.encode(tell))
    event_type = f"forestall.intervention.{word}"
    return Record("e", "/forestall/intervene", event_type, "s1", AT, AT, origin, data)


def test_the_log_tells_each_answer_of_the_intervention() -> None:
    plan = Tell("d1", "p", "v", 1, fields={}, plan=PLAN, inference=HOW)
    filled = Tell("d1", "p", "v", 2, fields={"cause": "x"}, inference=HOW)
    failed = Tell("d1", "p", "v", 3, "refused", inference=HOW)
    records = [
        record("filled", plan),
        record("filled", Tell("d2", "p", "v", 1, fields={}, plan=PLAN, inference=HOW)),
        record("filled", Tell("d1", "p", "v", 4, fields={"brand": "x"})),
        record("filled", plan, "browser"),
        record("filled", {"intervention": 5}),
        record("shown", Tell("d1", "p", "v", 2)),
        record("filled", filled),
        record("failed", failed),
    ]
    at = "2023-11-14T22:13:20.000000Z"
    assert told(records, "d1") == [
        Inferred(step=1, ended="planned", inference=HOW, at=at, plan=PLAN),
        Inferred(step=2, ended="filled", inference=HOW, at=at, fields=("cause",)),
        Inferred(step=3, ended="failed", inference=HOW, at=at, reason="refused"),
    ]


@pytest.mark.parametrize(
    ("status", "outcome", "expected"),
    [
        ("done", Outcome(outcome="done", plan=PLAN, inference=HOW), [("planned", None)]),
        ("done", Outcome(outcome="done", fields={"a": 1}, inference=HOW), [("filled", None)]),
        (
            "failed",
            Outcome(outcome="failed", reason="budget", inference=HOW),
            [("failed", "budget")],
        ),
        ("done", Outcome(outcome="done", fields={"a": 1}), []),
        ("waiting", None, []),
    ],
)
def test_what_was_done_tells_it_too(
    status: str, outcome: Outcome | None, expected: list[tuple[str, str | None]]
) -> None:
    effect = Effect(
        key="k",
        intervention="d1",
        step=1,
        subject="s1",
        purpose="support",
        kind="plan",
        channel="helper",
        body=msgspec.json.encode(Job(kind="plan", name="helper")),
        status=status,
        result=None if outcome is None else msgspec.json.encode(outcome),
    )
    assert [(one.ended, one.reason) for one in done([effect])] == expected


def test_everything_is_said_and_nothing_a_terminal_would_obey() -> None:
    one = Inferred(step=1, ended="planned", inference=HOW, at="2023-11-14T22:13:20Z", plan=PLAN)
    assert list(lines(one)) == [
        "2023-11-14T22:13:20Z  step 1: helper planned",
        '  action       resend {"payment":"p7"}',
        "  action       charge {}, 2 people approve first",
        "  message      Sorry! �[2J Try again.",
        "  runbook      card",
        "  because      It expired.",
        "  by           composer in place of fast, as declared in 0123456789ab",
        "  fallback     refused: the model's answer was not taken",
        "  evidence     card@3#customer",
        "  evidence     help@1#pay",
        "  refused      action refund: it is not granted",
        "  confidence   0.46",
        "  tone         upset",
        f"  prompt       {'f' * 64}",
        "  spent        2 calls, 1,234 tokens in, 56 out, 0.001230 in 1.500 s",
    ]


def test_a_short_answer_is_short() -> None:
    how = Inference(agent="helper", version="a" * 64, by="tone")
    plan = Plan(hand_over="bereavement")
    one = Inferred(step=2, ended="planned", inference=how, plan=plan)
    assert list(lines(one)) == [
        "step 2: helper planned",
        "  handed over  bereavement",
        "  by           tone, as declared in aaaaaaaaaaaa",
        "  spent        0 calls, 0 tokens in, 0 out, 0.000000 in 0.000 s",
    ]
    failed = Inferred(step=2, ended="failed", inference=how, reason="budget", fields=("cause",))
    assert list(lines(failed))[:2] == [
        "step 2: helper failed (budget)",
        "  fields       cause",
    ]


@pytest.mark.parametrize(
    ("fallback", "confidence", "words"),
    [
        ("no-model", None, "no-model: no model was asked"),
        ("timeout", None, "timeout: the model gave no answer"),
        ("nothing-found", None, "nothing-found: nothing in our knowledge fits either"),
        ("low-confidence", 0.2, "low-confidence: the model's answer was not taken"),
    ],
)
def test_why_a_model_did_not_answer_is_said(
    fallback: str, confidence: float | None, words: str
) -> None:
    how = msgspec.structs.replace(HOW, fallback=fallback, confidence=confidence)
    one = Inferred(step=1, ended="planned", inference=how)
    assert f"  fallback     {words}" in list(lines(one))
