"""An agent's plans on the whole server: model, gateway, payment provider and desk are all real."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flow.storytelling import Shop, shop
from forestall.intervene.effect_store import decode_job
from forestall.intervene.store import Store
from model_server import KEY, ModelServer, Reply, Script, model_server, propose
from running import until

MAIL = "alice.muster@example.com"
POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: help, title: Help, owner: payments}
spec:
  cooldown: 1s
  when: {event: payment.failed}
  playbook:
    - plan:
        agent: mender
        with: {payment: event.data.payment, customer: event.data.customer,
               email: event.data.email, text: event.data.text}
        queue: payments
        approval: 10m
"""
PATIENT = (
    POLICY.replace("name: help,", "name: patient,")
    .replace("payment.failed", "payment.stuck")
    .replace("approval: 10m", "approval: 10m\n        timeout: 3m")
)
AGENT = """
apiVersion: forestall/v1
kind: Agent
metadata: {name: mender, title: Mends payments, owner: payments}
spec:
  purpose: Help a customer whose payment failed
  model: fast
  instructions: Look at the payment, then say what helps.
  input:
    type: object
    properties: {payment: {type: string}, customer: {type: string}, email: {type: string},
                 text: {type: string}}
    additionalProperties: false
  knowledge: {passages: 4}
  lookups: [{lookup: payment, with: {payment: arguments.payment}}]
  actions:
    - {action: resend-receipt, with: {payment: arguments.payment}}
    - {action: reissue-token, with: {customer: arguments.customer}, chooses: [scope]}
    - {action: retry-charge, with: {payment: arguments.payment}}
  risk: high
  fallback: compose
"""
RUNBOOK = """---
id: card-declined
title: Your payment did not go through
version: 3
owner: payments
review_by: 2099-01-31
signals: [payment.failed]
---
## Customer

Nothing was charged. You can try another card.

## Agent

Look at the decline code.
"""
SETTINGS = """
[runbooks]
folder = "books"
[language_models.fast]
model = "openai-chat:scripted"
url = "{url}"
key = "{key}"
input = 1.0
output = 2.0
"""
LOOK = Reply(calls=[("payment", {})])
RESEND = {"action": "resend-receipt"}
REISSUE = {"action": "reissue-token", "arguments": {"scope": "write"}}
CHARGE = {"action": "retry-charge"}


@contextmanager
def story(folder: Path, *script: Script) -> Iterator[tuple[Shop, ModelServer]]:
    """A shop whose agent asks a model that follows ``script``."""
    files = {"actions/mender.yaml": AGENT, "books/card.md": RUNBOOK}
    with model_server(*script) as model:
        more = SETTINGS.format(url=model.url, key=KEY)
        with shop(folder, f"{POLICY}---{PATIENT}", more=more, files=files) as told:
            yield told, model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, ModelServer]]:
    with story(tmp_path_factory.mktemp("shop")) as made:
        yield made


@pytest.fixture
def told(whole: tuple[Shop, ModelServer], request: pytest.FixtureRequest) -> Shop:
    """The shop for a customer of this test's own, whose payment failed."""
    found = whole[0].of(request.node.name)
    found.payments.add("p1", amount=20)
    return found


@pytest.fixture
def model(whole: tuple[Shop, ModelServer]) -> ModelServer:
    """The model that the shop's agent asks."""
    return whole[1]


def fails(told: Shop, text: str = "my card was declined") -> None:
    told.happens("payment.failed", payment="p1", customer="c7", email=MAIL, text=text)


def explained(told: Shop, *more: str, policy: str = "help") -> str:
    found = told.server.run("explain", "--subject", told.customer, "--policy", policy, *more)
    assert found.returncode == 0, found.stderr
    return found.stdout


def inference(told: Shop, policy: str = "help") -> dict[str, Any]:
    """How the agent came to what it planned, as it stands in the history."""
    (one,) = json.loads(explained(told, "--json", policy=policy))["inferences"]
    how: dict[str, Any] = one["inference"]
    return how


def replayed(told: Shop) -> None:
    """The recorded answers give the same result, without any model."""
    words = ("agent", "replay", told.intervention(), "--config", str(told.server.config))
    found = told.server.run(*words)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "the same" in found.stdout


def test_an_action_of_low_risk_is_done_at_once_and_the_customer_is_told(
    told: Shop, model: ModelServer
) -> None:
    plan = propose(
        actions=[RESEND],
        message="We sent your receipt again to [email-1].",
        evidence=["card-declined@3#customer"],
        rationale="They asked for it.",
    )
    model.begin(LOOK, plan)
    fails(told, "my payment did not go through, can I try another card?")
    (message,) = told.messages(1)
    assert message["body"] == f"We sent your receipt again to {MAIL}."
    assert told.ended() == "remediated"
    assert told.told() == [("started", None), ("filled", 1), ("remediated", 2)]
    assert list(told.payments.resent.values()) == ["p1"]
    assert told.payments.calls.count("resendReceipt") == 1
    assert "resendReceipt?dry_run" in told.payments.calls, "it was tried before"
    how = inference(told)
    assert (how["by"], how["model"], how["calls"]) == ("model", "openai-chat:scripted", 2)
    assert how["evidence"] == ["card-declined@3#customer"]
    assert (how["tokens_in"], how["tokens_out"], how["cost"]) == (200, 40, 0.00028)
    text = explained(told)
    for words in ("step 1: mender planned", "They asked for it.", how["prompt"], "0.90"):
        assert words in text
    assert MAIL not in json.dumps(model.requests), "no model saw it"
    reports = json.dumps([data for _, data in told.reports()])
    assert MAIL not in reports, "nor does the log hold the agent's words unmasked"
    assert "[email-1]" in reports
    replayed(told)


def test_an_action_of_high_risk_waits_for_exactly_that_to_be_approved(
    told: Shop, model: ModelServer
) -> None:
    plan = propose(actions=[CHARGE], message="You have paid.", rationale="It can be retried.")
    model.begin(plan)
    fails(told)
    request = told.approval()
    assert (request["action"], request["arguments"]) == ("retry-charge", {"payment": "p1"})
    assert request["evidence"]["why"] == "It can be retried."
    assert request["evidence"]["dry_run"]
    assert told.payments.charges == {}
    told.server.kill("app")
    until(lambda: told.decides(request, "approved") == 201)
    assert [one["body"] for one in told.messages(1)] == ["You have paid."]
    assert told.ended() == "remediated"
    assert [one["status"] for one in told.payments.charges.values()] == ["succeeded"]
    assert told.told()[1:] == [("filled", 1), ("approved", 2), ("remediated", 3)]


def test_a_plan_outside_the_grants_is_refused_and_the_composer_answers(
    told: Shop, model: ModelServer
) -> None:
    plan = propose(actions=[{"action": "refund-everything"}], message="Done.")
    model.begin(plan)
    fails(told)
    (message,) = told.messages(1)
    assert "You can try another card." in message["body"]
    how = inference(told)
    assert (how["by"], how["fallback"]) == ("composer", "refused")
    assert [one["what"] for one in how["refused"] if "action" in one["what"]]
    assert not told.payments.charges
    assert not told.payments.resent
    text = explained(told)
    assert "refused  " in text
    assert "composer" in text
    replayed(told)


def test_an_action_that_fails_is_undone_with_what_was_done_and_people_take_over(
    told: Shop, model: ModelServer
) -> None:
    plan = propose(actions=[REISSUE, RESEND], message="All done.")
    model.begin(plan)

    def forgets(call: str) -> None:
        if call == "reissueToken":
            told.payments.payments.clear()

    told.payments.say = forgets
    fails(told, "no receipt came, and my token has expired")
    assert told.ended() == "escalated"
    (made,) = told.payments.reissued.values()
    assert (made["customer"], made["scope"]) == ("c7", "write"), "one bound, one chosen"
    assert made["revoked"], "what was done is undone"
    assert told.told()[:4] == [
        ("started", None),
        ("filled", 1),
        ("remediated", 2),
        ("failed", 3),
    ]
    assert ("undone", 2) in told.told()
    assert len(told.desk.cases) == 1
    assert not [kind for kind, _ in told.reports() if kind == "shown"], "nothing was said"
    store = Store(told.server.data / "app.db", read_only=True)
    try:
        effects = store.effects.of(told.intervention())
    finally:
        store.close()
    (planning,) = (one for one in effects if one.kind == "plan")
    assert decode_job(planning).signals == ("help", "payment.failed")
    (case,) = (json.loads(one.body) for one in effects if one.kind == "escalation")
    (planned,) = (one for one in case["tried"] if one["kind"] == "plan")
    assert [one["action"] for one in planned["plan"]["actions"]] == [
        "reissue-token",
        "resend-receipt",
    ]
    assert planned["inference"]["by"] == "model"


def test_a_vulnerable_customer_goes_to_a_person_at_once(told: Shop, model: ModelServer) -> None:
    model.begin(propose(message="Cheer up!"))
    fails(told, "my husband died last week and I cannot pay his bills")
    assert told.ended() == "escalated"
    assert model.requests == [], "no model was asked"
    assert len(told.desk.cases) == 1
    how = inference(told)
    assert how["by"] == "tone"
    assert "handed over" in explained(told)
    assert not [kind for kind, _ in told.reports() if kind == "shown"]
    replayed(told)


def test_a_process_killed_while_the_model_thinks_does_not_pay_twice(
    told: Shop, model: ModelServer
) -> None:
    model.begin(Reply(hold=True))
    fails(told)
    assert model.arrived.acquire(timeout=60)
    told.server.kill("app")
    (message,) = told.messages(1)
    assert "You can try another card." in message["body"]
    assert len(model.requests) == 1, "the call that was cut off is spent"
    how = inference(told)
    assert (how["by"], how["fallback"]) == ("composer", "cut-off")
    replayed(told)


@pytest.mark.timeout(180)
def test_what_was_answered_and_what_was_under_way_are_not_asked_again(
    told: Shop, model: ModelServer
) -> None:
    model.begin(LOOK, Reply(hold=True), propose(message="Too late."))
    told.happens(
        "payment.stuck", payment="p1", customer="c7", email="", text="my card was declined"
    )
    for _ in range(2):
        until(lambda: model.arrived.acquire(blocking=False))
    told.server.kill("app")
    model.release()
    (message,) = told.messages(1)
    assert "You can try another card." in message["body"]
    how = inference(told, "patient")
    assert (how["by"], how["fallback"], how["calls"]) == ("composer", "cut-off", 2)
    assert len(model.requests) == 2
    replayed(told)
