"""Trying an agent without any effect: the real orchestrator, and answers of others from a record.

Lookups answer what is recorded, and nothing else is asked; actions are only tried, and only as far
as their arguments fit. A language model is the one given, or recorded answers in its place.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from forestall.channels.base import Deduplication
from forestall.context.knowledge.passages import Search
from forestall.context.knowledge.runbooks import Runbooks
from forestall.contracts.inference import Plan
from forestall.intervene.agents.asking import (
    Ask,
    LanguageModel,
    ModelFailed,
    Said,
    ToolCall,
    estimated_tokens,
)
from forestall.intervene.agents.cases import Asks, Given, Spoken
from forestall.intervene.agents.evaluation import Answer
from forestall.intervene.agents.ledger import Ledger
from forestall.intervene.agents.links import astray
from forestall.intervene.agents.orchestrate import Orchestrator
from forestall.intervene.agents.promises import broken
from forestall.intervene.jobs import Job, JobKind, Outcome, Workshop
from forestall.kernel.clock import Clock
from forestall.kernel.settings import LanguageModel as Section
from forestall.kernel.settings import Settings
from forestall.policy.actions.folder import Declarations
from forestall.policy.actions.model import Agent
from forestall.policy.actions.schema import Arguments
from forestall.privacy.masking import finder

RECORDED: Final = "recorded"
"""The name of a model whose answers are recorded."""


class Recorded:
    """A workshop (see ``jobs.Workshop``) that asks nobody: ``lookups`` has the answers.

    With ``behind`` a lookup without a recorded answer is asked there, as it only reads.
    """

    def __init__(
        self,
        declarations: Declarations,
        lookups: Mapping[str, Mapping[str, Any]],
        behind: Workshop | None = None,
    ) -> None:
        self._declarations, self._lookups, self._behind = declarations, lookups, behind

    def deduplication(self, job: Job) -> Deduplication:  # noqa: ARG002
        """See ``Workshop.deduplication``: nothing here has an effect."""
        return "dedupes"

    async def perform(self, job: Job, key: str, *, dry: bool = False) -> Outcome:
        """See ``Workshop.perform``; anything but a lookup and a dry run is refused."""
        if job.kind == "enrich":
            return await self._look(job, key)
        action = self._declarations.actions.get(job.name)
        if not dry or job.kind != "action" or action is None:
            return Outcome(outcome="failed", reason="refused", detail="nothing is done in a trial")
        wrong = Arguments(action.input).wrong(job.arguments)
        if wrong is not None:
            return Outcome(outcome="failed", reason="bad-arguments", detail=wrong)
        return Outcome(outcome="done", evidence={"dry_run": "recorded"})

    async def find(self, job: Job, key: str) -> Outcome | None:  # noqa: ARG002
        """See ``Workshop.find``: nothing was ever done."""
        return None

    async def _look(self, job: Job, key: str) -> Outcome:
        recorded = self._lookups.get(job.name)
        if recorded is not None:
            fields = {name: recorded.get(name) for name in job.fields or recorded}
            return Outcome(outcome="done", fields=fields)
        if self._behind is not None:
            return await self._behind.perform(job, key)
        detail = f"the trial has no answer of `{job.name}`"
        return Outcome(outcome="failed", reason="unreachable", detail=detail)


class Reciting:
    """A language model whose answers are ``spoken``, in their order, whatever it is asked."""

    def __init__(self, spoken: Sequence[Spoken]) -> None:
        self._spoken = list(spoken)
        self._asked = 0

    async def ask(self, ask: Ask) -> Said:
        """See ``LanguageModel.ask``; unreachable once everything is said."""
        if self._asked == len(self._spoken):
            raise ModelFailed("unreachable", "no further answer is recorded")
        one = self._spoken[self._asked]
        self._asked += 1
        calls = tuple(
            ToolCall(f"call-{self._asked}-{number}", call.tool, _json(call.arguments))
            for number, call in enumerate(one.calls)
        )
        return Said(
            text=one.text,
            calls=calls,
            tokens_in=sum(estimated_tokens(turn.text) for turn in ask.turns),
            tokens_out=estimated_tokens(one.text + "".join(call.arguments for call in calls)),
            estimated=True,
        )


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """What trials have in common. ``clock`` is wall time; ``behind`` answers lookups that nothing is
    recorded for."""

    settings: Settings
    declarations: Declarations
    ledger: Ledger
    clock: Clock
    models: Mapping[str, LanguageModel] = {}
    search: Search | None = None
    runbooks: Runbooks = {}
    behind: Workshop | None = None


def with_model(declarations: Declarations, agent: str, model: str | None) -> Declarations:
    """The same with another ``model`` for ``agent``; none: the composer."""
    changed = msgspec.structs.replace(declarations.agents[agent], model=model)
    agents = {**declarations.agents, agent: changed}
    return msgspec.structs.replace(declarations, agents=agents)


async def tried(
    stage: Stage,
    agent: str,
    given: Given,
    key: str,
    *,
    asks: Asks = "plan",
    lookups: Mapping[str, Mapping[str, Any]] | None = None,
    spoken: Sequence[Spoken] = (),
) -> tuple[Outcome, Answer]:
    """What ``agent`` would do. ``spoken`` stands in for its model, where there is any.

    Raises ``BadArguments`` for arguments that the agent does not take.
    """
    settings, declarations, models = stage.settings, stage.declarations, dict(stage.models)
    if spoken:
        declarations = with_model(declarations, agent, RECORDED)
        models[RECORDED] = Reciting(spoken)
        section = Section(model=f"{RECORDED}:{RECORDED}")
        sections = {**settings.language_models, RECORDED: section}
        settings = msgspec.structs.replace(settings, language_models=sections)
    orchestrator = Orchestrator(
        settings,
        Recorded(declarations, lookups or {}, stage.behind),
        stage.ledger,
        models=models,
        clock=stage.clock,
        search=stage.search,
    )
    job = job_of(declarations.agents[agent], given, asks)
    outcome = await orchestrator.answer(declarations, job, key)
    return outcome, answer_of(outcome, asks, stage.runbooks)


def job_of(agent: Agent, given: Given, asks: Asks) -> Job:
    """The job that a playbook would have for ``agent``."""
    kind: JobKind = "plan" if asks == "plan" else "infer"
    return Job(
        kind=kind,
        name=agent.name,
        arguments=given.arguments,
        fields=() if asks == "plan" else tuple(agent.output),
        timeout=agent.timeout,
        signals=tuple(one for one in (given.policy, given.signal) if one is not None),
    )


def answer_of(outcome: Outcome, asks: Asks, runbooks: Runbooks) -> Answer:
    """An outcome with the words that the customer would read."""
    done = outcome.outcome == "done"
    return Answer(
        plan=outcome.plan,
        fields=outcome.fields if done and asks == "fields" else None,
        inference=outcome.inference,
        reads=_words(outcome.plan, runbooks),
        reason=outcome.reason,
    )


def _words(plan: Plan | None, runbooks: Runbooks) -> str:
    """The runbook's words to the customer, an ellipsis for a value that only a playbook has."""
    runbook = None if plan is None or plan.runbook is None else runbooks.get(plan.runbook)
    if runbook is None or runbook.customer is None:
        return ""
    parts = (
        part if isinstance(part, str) else part.default or "…" for part in runbook.customer.parts
    )
    return "".join(parts)


def classes(
    settings: Settings, agent: Agent, quotable: Sequence[str] = ()
) -> dict[str, Callable[[str], bool]]:
    """What a case's classes of forbidden things find: a link outside ``[agents] links``; a promise
    of a kind that ``agent`` may not make, but for sentences of the texts ``quotable``; personal data
    that stands there unmasked."""
    finds, listed = finder(settings.privacy.find), settings.agents.links
    return {
        "link": lambda text: astray(text, listed) is not None,
        "promise": lambda text: bool(broken(text, agent.promises, quotable)),
        "personal": lambda text: bool(finds(text)),
    }


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
