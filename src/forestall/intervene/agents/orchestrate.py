"""The way of an agent's answer: the customer's mood, the model, the checks, and what else follows.

In order: an upset or vulnerable customer goes to a person; the inputs are masked and passages found;
the model is asked step by step, within its budget; what it proposes is checked and tried; and where
it does not answer, or its answer is not taken, the agent's ``fallback`` follows.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, cast

import msgspec
import structlog
from opentelemetry import trace

from forestall.context.knowledge.passages import Passage, Search
from forestall.context.tone import Signs, mood
from forestall.contracts.errors import ExpressionError
from forestall.contracts.inference import By, Inference, Plan, Turned
from forestall.contracts.instants import SECOND
from forestall.intervene.actions.answers import BadArguments
from forestall.intervene.actions.calls import Expressions
from forestall.intervene.actions.checks import Deadline
from forestall.intervene.actions.credentials import Credentials
from forestall.intervene.agents.allowing import Given, allowed
from forestall.intervene.agents.asking import LanguageModel, ModelFailed
from forestall.intervene.agents.compose import Composed, Composing, compose
from forestall.intervene.agents.conversing import Conversation, Filled
from forestall.intervene.agents.counting import count
from forestall.intervene.agents.guard import (
    Allowed,
    Proposal,
    guard,
    literals,
    reasonable,
    wording,
)
from forestall.intervene.agents.guard import texts as everything
from forestall.intervene.agents.ledger import CutOff, Ledger
from forestall.intervene.agents.looking import Looks
from forestall.intervene.agents.paying import Bill, Purse
from forestall.intervene.agents.prompt import version
from forestall.intervene.agents.secrets import secrets_of
from forestall.intervene.agents.seeking import said, seek
from forestall.intervene.jobs import Job, Outcome, Workshop
from forestall.intervene.masked import own_masks
from forestall.kernel.clock import Clock
from forestall.kernel.settings import Credential, Settings
from forestall.policy.actions.folder import Declarations
from forestall.policy.actions.model import Agent
from forestall.policy.actions.schema import Arguments
from forestall.privacy.masking import PLACEHOLDER, finder

_LANGUAGES = ("language", "locale")
"""Arguments that say which language the customer speaks."""

_NOTHING = "nothing-found"
"""The composer looked in our knowledge, and nothing there fits."""

_log = structlog.get_logger(__name__)
_tracer = trace.get_tracer(__name__)


class Orchestrator:
    """Answers for agents that are declared by instructions.

    ``workshop`` makes the lookups and tries the actions, ``models`` are those of
    ``[language_models]`` by name, ``clock`` is wall time, ``search`` finds passages (none: there is
    no knowledge). Raises ``PresidioMissing``.
    """

    def __init__(
        self,
        settings: Settings,
        workshop: Workshop,
        ledger: Ledger,
        *,
        models: Mapping[str, LanguageModel],
        clock: Clock,
        search: Search | None = None,
    ) -> None:
        self.settings, self.workshop, self.ledger = settings, workshop, ledger
        self.models, self.clock = models, clock
        self.finder = finder(settings.privacy.find)
        values = enumerate(secrets_of(settings))
        self.hide = Credentials({str(n): Credential(value=value) for n, value in values}).hide
        self.use(search)

    def use(self, search: Search | None) -> None:
        """From now on search this; answers under way end as they began."""
        self.search = search

    async def answer(self, declarations: Declarations, job: Job, key: str) -> Outcome:
        """Do the ``infer`` or ``plan`` job ``job`` of an agent in ``declarations``.

        The same ``key`` again uses the recorded answers of the model. The outcome is ``done`` with
        ``fields`` or ``plan``, or ``failed``; either way its ``inference`` says how it came about.
        Raises ``BadArguments`` for arguments that the agent does not take.
        """
        agent = declarations.agents[job.name]
        wrong = Arguments(agent.input).wrong(job.arguments)
        if wrong is not None:
            raise BadArguments(wrong)
        named = {"agent": agent.name, "kind": job.kind}
        with _tracer.start_as_current_span("agent", attributes=named) as span:
            outcome = await _Attempt(self, declarations, agent, job, key).outcome()
            inference = outcome.inference
            if inference is not None:
                told = {"by": inference.by, "fallback": inference.fallback or ""}
                span.set_attributes({**told, "calls": inference.calls, "cost": inference.cost})
                count(inference)
                _log.info(
                    "agent",
                    agent=agent.name,
                    **told,
                    calls=inference.calls,
                    refused=[turned.what for turned in inference.refused],
                )
        return outcome


class _Attempt:
    """One answer of one agent."""

    def __init__(
        self, all_: Orchestrator, declarations: Declarations, agent: Agent, job: Job, key: str
    ) -> None:
        self.agent, self.job, self.key = agent, job, key
        self.kind = cast("Literal['infer', 'plan']", job.kind)
        self.declarations, self.settings = declarations, all_.settings
        self.workshop, self.ledger, self.clock = all_.workshop, all_.ledger, all_.clock
        self.search = all_.search if agent.knowledge is not None else None
        self.section = self.settings.language_models.get(agent.model or "")
        self.model = all_.models.get(agent.model or "")
        self.left: Callable[[], float] = Deadline(min(job.timeout, agent.budget.time)).left
        self.whole: Callable[[], float] = Deadline(job.timeout).left
        self.words = tuple(texts(job.arguments))
        self.signs = _signs(agent, job.arguments)
        self.masks, self.masked = own_masks(job.arguments, all_.finder)
        self.mood = mood(texts(self.masked), self.signs)
        self.asked = tuple(_said(self.masked))
        self.hide = all_.hide
        self.finder = all_.finder
        self.looks = Looks(
            key,
            job.arguments,
            workshop=all_.workshop,
            ledger=all_.ledger,
            clock=all_.clock,
            left=self.left,
        )
        self.passages: tuple[Passage, ...] = ()
        self.bill = Bill()
        self.refused: list[Turned] = []
        self.confidence: float | None = None

    async def outcome(self) -> Outcome:
        """How it ended."""
        if self.mood.to_person:
            return self._to_person()
        if self.model is None:
            return await self._fallback("no-model")
        self.passages = self._found()
        try:
            answer = await self._asked(self.model)
        except ModelFailed as error:
            self._tell(error)
            return await self._fallback(error.reason)
        except CutOff:
            return await self._fallback("cut-off")
        self.confidence = answer.confidence
        if isinstance(answer, Filled):
            return await self._filled(answer)
        return await self._planned(answer)

    def _tell(self, error: ModelFailed) -> None:
        """Say in the log why the model gave no answer, and nothing that it said."""
        detail = "" if error.reason == "nonsense" else error.detail
        named = {"agent": self.agent.name, "model": self.agent.model}
        _log.warning("a model gave no answer", **named, reason=error.reason, detail=detail)

    async def _asked(self, model: LanguageModel) -> Proposal | Filled:
        section = self.settings.language_models[self.agent.model or ""]
        purse = Purse(
            self.key,
            self.agent.name,
            self.agent.budget,
            section=section,
            model=model,
            ledger=self.ledger,
            common=self.settings.agents,
            clock=self.clock,
            left=self.left,
        )
        conversation = Conversation(
            self.agent,
            self.declarations,
            self.kind,
            arguments=self.hide(self.masked),
            passages=tuple(
                msgspec.structs.replace(one, text=self.hide(one.text)) for one in self.passages
            ),
            mood=self.mood.level,
            masks=self.masks,
            looks=self.looks,
            purse=purse,
        )
        try:
            return await conversation.run()
        finally:
            self.bill = purse.bill
            self.refused += conversation.refused

    def _knows(self) -> bool:
        """Whether there is any knowledge to look in."""
        return self.search is not None and self.agent.knowledge is not None

    def _found(self) -> tuple[Passage, ...]:
        topics = self.agent.knowledge
        if self.search is None or topics is None:
            return ()
        found = seek(
            self.search,
            self.asked,
            products=topics.products,
            language=self._language(),
            limit=topics.passages,
        )
        return tuple(found)

    def _language(self) -> str | None:
        for name in _LANGUAGES:
            value = self.job.arguments.get(name)
            if isinstance(value, str) and len(value) >= 2:
                return value[:2].lower()
        return None

    async def _filled(self, filled: Filled) -> Outcome:
        if filled.confidence < self.agent.confidence:
            return await self._fallback("low-confidence")
        may = self._allowed()
        cites = tuple(passage.cite for passage in self.passages)
        known = literals(self.agent.schema or {})
        refused = [
            Turned(f"field {name}", turned.what)
            for name in self.agent.output
            for text in everything(filled.fields.get(name))
            if text not in known
            for turned in wording(text, may, cites)
        ]
        if not reasonable(filled.fields):
            refused.append(Turned("fields", "they are too long, too deep or have odd numbers"))
        if refused:
            self.refused += refused
            return await self._fallback("refused")
        fields = {name: filled.fields.get(name) for name in self.job.fields}
        return Outcome(
            outcome="done", fields=fields, inference=self._inference("model", evidence=cites)
        )

    async def _planned(self, proposal: Proposal) -> Outcome:
        """The proposal as a plan, where all of it is allowed and can be done."""
        if proposal.hand_over is None and proposal.confidence < self.agent.confidence:
            return await self._fallback("low-confidence")
        guarded = guard(proposal, self._allowed())
        self.refused += guarded.refused
        plan = guarded.plan
        if plan is None or not await self._tried(plan):
            return await self._fallback("refused")
        return Outcome(
            outcome="done",
            plan=plan,
            inference=self._inference("model", evidence=plan.evidence),
        )

    async def _tried(self, plan: Plan) -> bool:
        """Whether all actions of a plan can be done, as far as trying them tells."""
        for number, wanted in enumerate(plan.actions, 1):
            job = Job(
                kind="action",
                name=wanted.action,
                arguments=wanted.arguments,
                timeout=max(1, int(self.whole() * SECOND)),
            )
            tried = await self.workshop.perform(job, f"{self.key}-try-{number}", dry=True)
            if tried.outcome != "done":
                why = f"trying it ended with {tried.reason or tried.outcome}"
                self.refused.append(Turned(f"action {wanted.action}", why))
                return False
        return True

    def _allowed(self) -> Allowed:
        given = Given(
            words=self.words,
            masked=self.masked,
            masks=self.masks,
            looks=self.looks,
            passages=self.passages,
        )
        return allowed(self.agent, self.declarations, self.settings, given, self.finder)

    def _to_person(self) -> Outcome:
        inference = self._inference("tone")
        if self.kind == "infer":
            detail = "a person should answer this customer"
            return Outcome(outcome="failed", reason="to-person", detail=detail, inference=inference)
        why = next(iter(self.mood.vulnerable), self.mood.level)
        plan = Plan(hand_over=why, rationale="; ".join(self.mood.why))
        return Outcome(outcome="done", plan=plan, inference=inference)

    async def _fallback(self, reason: str) -> Outcome:
        """What follows where the model did not answer, or its answer is not taken."""
        choice = self.agent.fallback
        if self.kind == "plan" and choice == "compose":
            composed = await self._composed()
            plan = composed.plan
            if plan is not None:
                inference = self._inference("composer", reason, plan.evidence)
                return Outcome(outcome="done", plan=plan, inference=inference)
            self.refused += composed.refused
            if composed.refused:
                reason = "refused"
            elif self._knows():
                reason = _NOTHING
        inference = self._inference("nobody", reason)
        if self.kind == "plan" and choice == "person":
            return Outcome(outcome="done", plan=Plan(hand_over=reason), inference=inference)
        detail = "the agent has no answer"
        return Outcome(outcome="failed", reason=reason, detail=detail, inference=inference)

    async def _composed(self) -> Composed:
        """What is said and done without a model; where trying an action fails, only what is said."""
        topics = self.agent.knowledge
        if self.search is None or topics is None:
            return Composed()
        request = Composing(
            signals=self.job.signals,
            words=self.asked,
            mood=self.mood,
            signs=self.signs,
            language=self._language(),
            products=topics.products,
            search=self.search,
            allowed=self._allowed(),
        )
        composed = compose(request)
        if composed.plan is None or await self._tried(composed.plan):
            return composed
        replace = msgspec.structs.replace
        return compose(replace(request, allowed=replace(request.allowed, actions={})))

    def _inference(
        self, by: By, fallback: str | None = None, evidence: tuple[str, ...] = ()
    ) -> Inference:
        bill = self.bill
        return Inference(
            agent=self.agent.name,
            version=version(self.agent),
            by=by,
            model=None if self.section is None or bill.prompt is None else self.section.model,
            prompt=bill.prompt,
            evidence=evidence,
            confidence=self.confidence,
            calls=bill.calls,
            tokens_in=bill.tokens_in,
            tokens_out=bill.tokens_out,
            cost=bill.cost,
            latency=bill.latency,
            fallback=fallback,
            refused=tuple(self.refused),
            tone=", ".join((self.mood.level, *self.mood.vulnerable)),
        )


def texts(value: Any) -> Iterator[str]:
    """Every text in JSON data, in its order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def _said(masked: dict[str, Any]) -> Iterator[str]:
    """What was said, without ids and without what is masked: neither finds any knowledge."""
    words = {name: value for name, value in masked.items() if name not in _LANGUAGES}
    return said(PLACEHOLDER.sub(" ", text) for text in texts(words))


def _signs(agent: Agent, arguments: dict[str, Any]) -> Signs:
    expressions = Expressions()
    found: dict[str, int] = {}
    for name, source in agent.mood.items():
        try:
            value = expressions.value(source, {"arguments": arguments})
        except ExpressionError:
            continue
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = max(0, int(min(value, 10**9)))
    return msgspec.convert(found, Signs)
