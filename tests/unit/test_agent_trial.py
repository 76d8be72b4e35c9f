"""Trials of agents: nobody is asked, nothing is done, and what would be is told whole."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from forestall.context.knowledge.index import library_of
from forestall.context.knowledge.runbooks import read_runbook
from forestall.context.knowledge.template import parse_template
from forestall.contracts.inference import Plan, PlannedAction
from forestall.contracts.instants import day_of, parse_time
from forestall.intervene.actions.answers import BadArguments
from forestall.intervene.agents.asking import Ask, ModelFailed, Turn
from forestall.intervene.agents.cases import Called, Given, Spoken
from forestall.intervene.agents.ledger import Ledger
from forestall.intervene.agents.trial import (
    Reciting,
    Recorded,
    Stage,
    answer_of,
    classes,
    job_of,
    tried,
    with_model,
)
from forestall.intervene.jobs import Job, Outcome
from forestall.kernel.settings import Agents, Settings
from forestall.policy.actions.folder import Declarations
from forestall.policy.actions.model import (
    Action,
    Agent,
    Budget,
    Check,
    Function,
    Grant,
    Lookup,
    Topics,
)

NOW = parse_time("2026-12-01T12:00:00Z")
TEXTS = {
    "type": "object",
    "properties": {"payment": {"type": "string"}, "text": {"type": "string"}},
    "additionalProperties": False,
}
PAYMENT = {
    "type": "object",
    "required": ["payment"],
    "properties": {"payment": {"type": "string"}},
    "additionalProperties": False,
}
NOWHERE = Function(call="nowhere:nothing")
DECLARED = Declarations(
    lookups={
        "payment": Lookup(
            name="payment",
            title="A payment",
            input=PAYMENT,
            output={"status": "/status", "amount": "/amount"},
            way=NOWHERE,
        )
    },
    actions={
        "resend": Action(
            name="resend",
            title="Send again",
            risk="low",
            people=1,
            input=PAYMENT,
            output={},
            execute=NOWHERE,
            dry_run="describe",
            verify=Check(lookup=None, condition="true"),
        )
    },
    agents={
        "helper": Agent(
            name="helper",
            title="Helper",
            input=TEXTS,
            output={"category": "/category"},
            purpose="Help",
            instructions="Help",
            schema={"type": "object", "properties": {"category": {"enum": ["card", "bank"]}}},
            knowledge=Topics(),
            lookups=(Grant(name="payment", arguments={"payment": "arguments.payment"}),),
            actions=(Grant(name="resend", arguments={"payment": "arguments.payment"}),),
            budget=Budget(),
        )
    },
)
CARD = """---
id: card-declined
title: Your card was declined
version: 3
owner: payments
review_by: 2030-01-01
signals: [payment.failed]
---
## Customer
Your bank declined the card, and nothing was charged.
"""
RUNBOOKS = {"card-declined": read_runbook(CARD, "card.md")}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    settings = Settings(data=tmp_path)
    ledger = Ledger(tmp_path / "agents.db")
    yield Stage(
        settings=settings,
        declarations=DECLARED,
        ledger=ledger,
        clock=lambda: NOW,
        search=library_of(RUNBOOKS, day_of(NOW), settings.knowledge),
        runbooks=RUNBOOKS,
    )
    ledger.close()


def run(stage: Stage, given: Given, key: str = "k", **more: Any) -> tuple[Outcome, Any]:
    return asyncio.run(tried(stage, "helper", given, key, **more))


FAILED = Given(arguments={"payment": "p1"}, policy="payment-failed", signal="payment.failed")


def propose(**arguments: Any) -> Spoken:
    return Spoken(calls=(Called("propose", {"confidence": 0.9, **arguments}),))


# -- the workshop of a trial -----------------------------------------------------------------------


def performed(workshop: Recorded, job: Job, *, dry: bool = False) -> Outcome:
    return asyncio.run(workshop.perform(job, "k", dry=dry))


def test_lookups_answer_what_is_recorded() -> None:
    workshop = Recorded(DECLARED, {"payment": {"status": "failed", "other": 1}})
    job = Job(kind="enrich", name="payment", fields=("status", "amount"))
    assert performed(workshop, job).fields == {"status": "failed", "amount": None}
    everything = msgspec.structs.replace(job, fields=())
    assert performed(workshop, everything).fields == {"status": "failed", "other": 1}


def test_a_lookup_without_a_record_is_asked_of_nobody() -> None:
    found = performed(Recorded(DECLARED, {}), Job(kind="enrich", name="payment"))
    assert (found.outcome, found.reason) == ("failed", "unreachable")


def test_a_lookup_may_be_asked_behind() -> None:
    behind = Recorded(DECLARED, {"payment": {"status": "paid"}})
    workshop = Recorded(DECLARED, {}, behind)
    assert performed(workshop, Job(kind="enrich", name="payment")).fields == {"status": "paid"}
    action = Job(kind="action", name="resend", arguments={"payment": "p1"})
    assert performed(workshop, action).outcome == "failed"


def test_actions_are_only_tried() -> None:
    workshop = Recorded(DECLARED, {})
    job = Job(kind="action", name="resend", arguments={"payment": "p1"})
    assert performed(workshop, job, dry=True).outcome == "done"
    assert performed(workshop, job).reason == "refused"
    bad = msgspec.structs.replace(job, arguments={"payment": 5})
    assert performed(workshop, bad, dry=True).reason == "bad-arguments"
    unknown = msgspec.structs.replace(job, name="refund")
    assert performed(workshop, unknown, dry=True).reason == "refused"
    assert workshop.deduplication(job) == "dedupes"
    assert asyncio.run(workshop.find(job, "k")) is None


# -- a model that recites --------------------------------------------------------------------------

ASK = Ask(system="s", turns=(Turn(role="user", text="a question"),))


def test_a_reciting_model_says_its_lines_in_order() -> None:
    model = Reciting([Spoken(text="one"), Spoken(calls=(Called("look", {"a": 1}),))])

    async def asked() -> tuple[Any, Any]:
        return await model.ask(ASK), await model.ask(ASK)

    first, second = asyncio.run(asked())
    assert (first.text, first.calls, first.estimated) == ("one", (), True)
    (call,) = second.calls
    assert (call.name, call.arguments) == ("look", '{"a":1}')
    assert first.tokens_in > 0 < second.tokens_out


def test_it_is_unreachable_once_everything_is_said() -> None:
    with pytest.raises(ModelFailed) as told:
        asyncio.run(Reciting([]).ask(ASK))
    assert told.value.reason == "unreachable"


# -- a whole trial ---------------------------------------------------------------------------------


def test_the_composer_answers_where_there_is_no_model(stage: Stage) -> None:
    outcome, answer = run(stage, FAILED)
    assert outcome.outcome == "done"
    assert outcome.inference is not None
    assert outcome.inference.by == "composer"
    assert answer.plan.runbook == "card-declined"
    assert answer.text == "Your bank declined the card, and nothing was charged."
    assert answer.action == "none"


def test_a_recorded_model_stands_in(stage: Stage) -> None:
    outcome, answer = run(
        stage,
        FAILED,
        spoken=[propose(message="Your bank declined it.", actions=[{"action": "resend"}])],
    )
    assert answer.action == "resend"
    assert answer.plan.actions[0].arguments == {"payment": "p1"}
    assert outcome.inference is not None
    assert (outcome.inference.by, outcome.inference.calls) == ("model", 1)
    assert stage.declarations.agents["helper"].model is None


def test_lookups_reach_the_model_from_the_record(stage: Stage) -> None:
    spoken = [Spoken(calls=(Called("payment"),)), propose(message="It can be tried again.")]
    outcome, answer = run(stage, FAILED, spoken=spoken, lookups={"payment": {"status": "failed"}})
    assert outcome.inference is not None
    assert (outcome.inference.by, answer.text) == ("model", "It can be tried again.")


def test_fields_are_filled(stage: Stage) -> None:
    spoken = [Spoken(calls=(Called("fill", {"fields": {"category": "card"}, "confidence": 0.9}),))]
    _, answer = run(stage, FAILED, asks="fields", spoken=spoken)
    assert answer.fields == {"category": "card"}
    _, without = run(stage, FAILED, "other", asks="fields")
    assert (without.fields, without.reason) == (None, "no-model")


def test_arguments_that_the_agent_does_not_take_are_told(stage: Stage) -> None:
    with pytest.raises(BadArguments):
        run(stage, Given(arguments={"payment": 5}))


def test_a_job_is_that_of_a_playbook() -> None:
    agent = DECLARED.agents["helper"]
    job = job_of(agent, FAILED, "plan")
    assert (job.kind, job.name, job.arguments) == ("plan", "helper", {"payment": "p1"})
    assert job.signals == ("payment-failed", "payment.failed")
    assert job_of(agent, Given(), "fields").fields == ("category",)
    assert job_of(agent, Given(), "fields").kind == "infer"


def test_another_model_is_another_declaration() -> None:
    changed = with_model(DECLARED, "helper", "fast")
    assert changed.agents["helper"].model == "fast"
    assert DECLARED.agents["helper"].model is None
    assert with_model(changed, "helper", None) == DECLARED


def test_what_the_customer_reads_of_a_runbook() -> None:
    template = parse_template('Dear {{ subject.name | default("customer") }}, {{ event.data.a }}!')
    runbook = msgspec.structs.replace(RUNBOOKS["card-declined"], customer=template)
    outcome = Outcome(outcome="done", plan=Plan(message="Hi.", runbook="r"))
    assert answer_of(outcome, "plan", {"r": runbook}).text == "Hi.\n\nDear customer, …!"
    assert answer_of(outcome, "plan", {}).text == "Hi."
    article = msgspec.structs.replace(runbook, customer=None)
    assert answer_of(outcome, "plan", {"r": article}).reads == ""
    failed = Outcome(outcome="failed", reason="no-model", fields={"a": 1})
    assert answer_of(failed, "fields", {}).fields is None
    acts = Outcome(outcome="done", plan=Plan(actions=(PlannedAction("resend"),)))
    assert answer_of(acts, "plan", {}).action == "resend"


def test_what_the_classes_of_forbidden_things_find() -> None:
    settings = Settings(agents=Agents(links=("shop.example.com",)))
    agent = msgspec.structs.replace(DECLARED.agents["helper"], promises=("discount",))
    quoted = "We refund it within five days."
    found = classes(settings, agent, [quoted])
    assert found["link"]("see https://evil.example/x")
    assert not found["link"]("see https://shop.example.com/x")
    assert found["promise"]("We will refund you.")
    assert not found["promise"]("You get a discount.")
    assert not found["promise"](quoted)
    assert found["personal"]("write to eve@example.com")
    assert not found["personal"]("write to [email-1]")
