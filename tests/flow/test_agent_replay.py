"""Answers of agents made again from the record: the same where nothing changed, and what did where not."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from assisting import GIVEN, KNOWN, helping, made
from forestall.context.knowledge.index import Library
from forestall.contracts.inference import Inference
from forestall.contracts.instants import SECOND
from forestall.intervene.agents.ledger import LEDGER_FILE
from forestall.intervene.agents.replay import Difference, Replayed, Replaying, replay
from forestall.intervene.effect_store import Effect
from forestall.intervene.jobs import Job, JobKind, Outcome
from forestall.kernel.clock import wall_clock
from forestall.kernel.settings import Settings
from forestall.policy.actions.folder import Declarations
from model_server import Reply, fill, model_server, propose

LOOK = Reply(calls=[("payment", {})])
FINE = propose(message="Please try another card.", evidence=["card-declined@3#customer"])
ACTING = propose(message="It is on its way.", actions=[{"action": "resend-receipt"}])
UNGRANTED = propose(message="Done.", actions=[{"action": "refund"}])


class Answered:
    """One answer that was given live, and everything it was given with."""

    def __init__(
        self, folder: Path, *script: Any, kind: JobKind = "plan", given: Any = None, **more: Any
    ) -> None:
        job = Job(
            kind=kind,
            name="helper",
            arguments=GIVEN if given is None else given,
            fields=("category",) if kind == "infer" else (),
            timeout=30 * SECOND,
            signals=("help-with-payment", "payment.declined"),
        )
        self.settings: Settings
        self.declarations: Declarations

        async def live(url: str | None) -> Outcome:
            async with helping(folder, url, **more) as shop:
                self.settings = shop.scene.settings
                self.declarations = shop.scene.workshop.declarations
                return await shop.scene.workshop.perform(job, "effect-1")

        with model_server(*script) as server:
            self.outcome = asyncio.run(live(server.url if script else None))
            self.asked = len(server.requests)
        self.effect = Effect(
            key="effect-1",
            intervention="d1",
            step=1,
            subject="s1",
            purpose="support",
            kind="plan" if kind == "plan" else "infer",
            channel="helper",
            body=msgspec.json.encode(job),
            status="done",
            result=msgspec.json.encode(self.outcome),
        )

    @property
    def inference(self) -> Inference:
        assert self.outcome.inference is not None
        return self.outcome.inference

    def again(self, effect: Effect | None = None, **changed: Any) -> Replayed:
        """What comes of answering again, with no server to ask."""
        made.clear()
        around = Replaying(
            settings=self.settings,
            declarations=self.declarations,
            data=self.settings.data,
            clock=wall_clock,
            search=Library(KNOWN),
        )
        around = msgspec.structs.replace(around, **changed)
        before = (self.settings.data / LEDGER_FILE).read_bytes()
        found = asyncio.run(replay(around, effect or self.effect))
        assert found is not None
        assert made == [], "nobody is asked"
        assert (self.settings.data / LEDGER_FILE).read_bytes() == before, "nothing is written"
        return found


@pytest.mark.parametrize(
    ("script", "fallback", "more"),
    [
        ([FINE], None, {}),
        ([LOOK, ACTING], None, {}),
        ([Reply(text="Hm."), FINE], None, {}),
        ([LOOK, Reply(calls=[("secret-list", {})]), FINE], None, {}),
        ([UNGRANTED], "refused", {}),
        ([propose(message="x", confidence=0.1)], "low-confidence", {}),
        ([Reply(text="Hm.")], "nonsense", {}),
        ([Reply(status=503)], "unreachable", {}),
        ([Reply(status=429)], "rate-limited", {}),
        ([LOOK], "budget", {}),
        ([], "no-model", {}),
        ([ACTING], "refused", {"given": {"payment": "p-gone", "text": "card declined"}}),
        ([FINE], None, {"given": {"payment": "p1", "text": "My father died yesterday."}}),
    ],
)
def test_whatever_came_of_it_comes_again(
    tmp_path: Path, script: list[Any], fallback: str | None, more: dict[str, Any]
) -> None:
    answered = Answered(tmp_path, *script, **more)
    assert answered.inference.fallback == fallback
    assert answered.again() == Replayed(step=1, agent="helper", same=True)


@pytest.mark.parametrize("script", [[], [Reply(status=503)]])
def test_nothing_is_found_again(tmp_path: Path, script: list[Any]) -> None:
    answered = Answered(tmp_path, *script, known=())
    assert answered.inference.fallback == "nothing-found"
    assert answered.again(search=Library([])) == Replayed(step=1, agent="helper", same=True)


def test_fields_come_again(tmp_path: Path) -> None:
    answered = Answered(tmp_path, LOOK, fill(category="card"), kind="infer")
    assert answered.outcome.fields == {"category": "card"}
    assert answered.again().same


def test_what_was_tampered_with_is_told(tmp_path: Path) -> None:
    answered = Answered(tmp_path, FINE)
    assert answered.outcome.plan is not None
    plan = msgspec.structs.replace(answered.outcome.plan, message="Please pay twice.")
    forged = msgspec.structs.replace(answered.outcome, plan=plan)
    effect = msgspec.structs.replace(answered.effect, result=msgspec.json.encode(forged))
    assert answered.again(effect).differences == (
        Difference("plan.message", "Please pay twice.", "Please try another card."),
    )


def test_another_declaration_cannot_give_the_same(tmp_path: Path) -> None:
    answered = Answered(tmp_path, FINE)
    agent = msgspec.structs.replace(answered.declarations.agents["helper"], instructions="Be rude.")
    declared = msgspec.structs.replace(answered.declarations, agents={"helper": agent})
    found = answered.again(declarations=declared)
    assert (found.same, [one.what for one in found.differences]) == (False, ["inference.version"])
    assert found.why is not None
    assert "the declaration" in found.why


def test_other_knowledge_cannot_give_the_same(tmp_path: Path) -> None:
    found = Answered(tmp_path, FINE).again(search=None)
    assert not found.same
    assert found.why is not None
    assert "the knowledge" in found.why


def test_an_agent_or_a_model_that_is_gone_is_told(tmp_path: Path) -> None:
    answered = Answered(tmp_path, FINE)
    gone = answered.again(declarations=Declarations())
    assert gone.why == "no agent 'helper' is declared by instructions any more"
    bare = msgspec.structs.replace(answered.settings, language_models={})
    assert answered.again(settings=bare).why == "the settings have no [language_models.fast]"


def test_answers_that_are_not_in_the_record_are_not_made_up(tmp_path: Path) -> None:
    answered = Answered(tmp_path, LOOK, FINE)
    found = answered.again(data=tmp_path / "elsewhere")
    assert not found.same
    assert found.why is not None
    assert "something else now" in found.why


@pytest.mark.parametrize("kind", ["enrich", "action", "guide"])
def test_what_no_agent_answered_is_left_alone(tmp_path: Path, kind: Any) -> None:
    answered = Answered(tmp_path, FINE)
    around = Replaying(
        settings=answered.settings,
        declarations=answered.declarations,
        data=answered.settings.data,
        clock=wall_clock,
    )
    other = msgspec.structs.replace(answered.effect, kind=kind)
    assert asyncio.run(replay(around, other)) is None
    waiting = msgspec.structs.replace(answered.effect, result=None)
    assert asyncio.run(replay(around, waiting)) is None
