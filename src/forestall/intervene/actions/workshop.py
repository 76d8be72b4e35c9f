"""The workshop: does jobs by their declarations. See ``jobs.Workshop``.

Before an action: its arguments against the schema, its approval, its rate; then ``run``.
"""

from typing import Any, Protocol

import msgspec
import structlog
from prometheus_client import Counter

from forestall.channels.base import Deduplication
from forestall.contracts.inference import Inference
from forestall.intervene.actions.answers import Answer, BadArguments
from forestall.intervene.actions.cache import Cache
from forestall.intervene.actions.calls import Calls, Expressions
from forestall.intervene.actions.checks import Checks, Deadline, called
from forestall.intervene.actions.notes import Notes
from forestall.intervene.actions.run import Run, Tools
from forestall.intervene.jobs import Job, Outcome
from forestall.kernel.clock import Clock
from forestall.kernel.telemetry import METRICS
from forestall.policy.actions.folder import Declarations
from forestall.policy.actions.model import Action, Agent, Lookup
from forestall.policy.actions.schema import Arguments

JOBS = Counter(
    "forestall_jobs",
    "Lookups, agents, actions and undos that were done, by how they ended",
    ("kind", "name", "outcome", "reason"),
    registry=METRICS,
)
CACHED = Counter(
    "forestall_lookup_cache",
    "Lookups that a playbook wanted, by whether the cache had the answer",
    ("lookup", "hit"),
    registry=METRICS,
)
_log = structlog.get_logger(__name__)


class Answers(Protocol):
    """Answers for agents that are declared by instructions."""

    async def answer(self, declarations: Declarations, job: Job, key: str) -> Outcome:
        """Do the ``infer`` or ``plan`` job ``job``. Raises ``BadArguments``."""


class ActionWorkshop:
    """Does the jobs of one deployment. ``clock`` is wall time; ``notes`` are closed by the caller."""

    def __init__(
        self, declarations: Declarations, calls: Calls, *, notes: Notes, clock: Clock
    ) -> None:
        self.notes = notes
        self.answers: Answers | None = None
        self._clock = clock
        self.use(declarations, calls)

    def use(self, declarations: Declarations, calls: Calls) -> None:
        """From now on do jobs by ``declarations``; those under way end as they began."""
        self.declarations = declarations
        expressions = Expressions()
        checks = Checks(declarations, calls, expressions)
        self._tools = Tools(calls, checks, expressions, self.notes, self._clock)
        self._cache = Cache(self._clock)
        self._schemas = {name: Arguments(one.input) for name, one in declarations.actions.items()}

    def demands(self, action: str) -> int:
        """How many people have to approve each call of ``action``; 0 where nobody has to."""
        return self.declarations.demands(action)

    def deduplication(self, job: Job) -> Deduplication:
        """See ``Workshop.deduplication``. Asking a lookup or an agent again does no harm."""
        if job.kind in ("enrich", "infer", "plan"):
            return "dedupes"
        action = self.declarations.actions.get(job.name)
        if action is None:
            return "neither"
        if job.undoes is not None:
            return "dedupes" if action.deduplication == "dedupes" else "neither"
        return action.deduplication

    async def perform(self, job: Job, key: str, *, dry: bool = False) -> Outcome:
        """See ``Workshop.perform``."""
        try:
            outcome = await self._perform(job, key, dry=dry)
        except BadArguments as error:
            outcome = Outcome(outcome="failed", reason="bad-arguments", detail=str(error))
        outcome = self._hidden(outcome)
        if not dry:
            JOBS.labels(job.kind, job.name, outcome.outcome, outcome.reason or "").inc()
            _log.info(
                "job", kind=job.kind, name=job.name, outcome=outcome.outcome, reason=outcome.reason
            )
        return outcome

    async def find(self, job: Job, key: str) -> Outcome | None:
        """See ``Workshop.find``."""
        action = self.declarations.actions.get(job.name)
        if action is None or action.find is None or job.undoes is not None:
            return None
        run = Run(self._tools, action, job.arguments, key, Deadline(job.timeout))
        found = await run.found(action.find, job.fields)
        return None if found is None else self._hidden(found)

    def request(self, lookup: Lookup | Agent, arguments: dict[str, Any]) -> dict[str, Any]:
        """What would be asked, as a person may see it. Raises ``BadArguments``."""
        way = called(lookup)
        values = self._tools.expressions.values(way.arguments, {"arguments": arguments})
        return self._tools.calls.request(way, values, None)

    async def _perform(self, job: Job, key: str, *, dry: bool) -> Outcome:
        deadline = Deadline(job.timeout)
        match job.kind:
            case "enrich":
                return await self._ask(self.declarations.lookups, job, deadline, dry=dry)
            case "infer" | "plan":
                agent = self.declarations.agents.get(job.name)
                if agent is None or (agent.way is not None and job.kind == "infer"):
                    return await self._ask(self.declarations.agents, job, deadline, dry=dry)
                return await self._answer(agent, job, key, dry=dry)
        action = self.declarations.actions.get(job.name)
        if action is None:
            return self._nobody(job)
        if job.undoes is not None:
            return await self._undo(action, job, deadline, dry=dry)
        return await self._act(action, job, key, deadline, dry=dry)

    async def _answer(self, agent: Agent, job: Job, key: str, *, dry: bool) -> Outcome:
        """Have an agent answer that is declared by instructions."""
        if agent.way is not None:
            detail = f"the agent {agent.name} is a function, and functions do not plan"
            return Outcome(outcome="failed", reason="refused", detail=detail)
        if dry:
            shown = {"agent": agent.name, "model": agent.model, "arguments": job.arguments}
            return Outcome(outcome="done", evidence={"dry_run": "describe", "request": shown})
        if self.answers is None:
            detail = "models are asked by the server, or by `forestall agent try`"
            return Outcome(outcome="failed", reason="refused", detail=detail)
        return await self.answers.answer(self.declarations, job, key)

    async def _act(
        self, action: Action, job: Job, key: str, deadline: Deadline, *, dry: bool
    ) -> Outcome:
        wrong = self._schemas[action.name].wrong(job.arguments)
        if wrong is not None:
            raise BadArguments(wrong)
        run = Run(self._tools, action, job.arguments, key, deadline)
        if dry:
            return await run.dry()
        if action.needs_approval and job.approval is None:
            detail = f"{action.name} is of risk {action.risk} and nobody approved it"
            return Outcome(outcome="failed", reason="needs-approval", detail=detail)
        if action.rate is not None:
            wait = self._tools.notes.admit(action.name, key, action.rate, self._tools.clock())
            if wait is not None:
                return Outcome(
                    outcome="failed",
                    reason="rate-limited",
                    detail=f"{action.name} may run {action.rate.most} times in its window",
                    again=True,
                    retry_after=wait,
                )
        return await run.real(job.fields)

    async def _undo(self, action: Action, job: Job, deadline: Deadline, *, dry: bool) -> Outcome:
        """Take back the effect ``job.undoes``."""
        undoes = job.undoes or ""
        values = self._tools.notes.undo(undoes)
        run = Run(self._tools, action, job.arguments, undoes, deadline)
        if dry:
            return Outcome(outcome="done", evidence={"dry_run": "describe", "undoes": undoes})
        answer = await run.undo(values)
        if answer.ended in ("done", "missing"):
            self._tools.notes.forget_undo(undoes)
            return Outcome(outcome="done", undone=True)
        return _ended(answer)

    async def _ask(
        self,
        sources: dict[str, Any],
        job: Job,
        deadline: Deadline,
        *,
        dry: bool,
    ) -> Outcome:
        """Fill fields from a lookup or by an agent."""
        source: Lookup | Agent | None = sources.get(job.name)
        if source is None:
            return self._nobody(job)
        if dry:
            request = self.request(source, job.arguments)
            return Outcome(outcome="done", evidence={"dry_run": "describe", "request": request})
        fields, began = None, self._clock()
        if job.cache:
            fields = self._cache.get(job.name, job.arguments, job.cache)
            CACHED.labels(job.name, "no" if fields is None else "yes").inc()
        if fields is None:
            found = await self._tools.checks.ask(source, job.arguments, deadline)
            if found.fields is None:
                return msgspec.structs.replace(_ended(found.answer), outcome="failed")
            fields = found.fields
            if job.kind == "enrich":
                self._cache.put(job.name, job.arguments, fields)
        return Outcome(
            outcome="done",
            fields={name: fields.get(name) for name in job.fields},
            inference=self._inference(source, began),
        )

    def _nobody(self, job: Job) -> Outcome:
        """That there is nothing that could do the job, and why."""
        if job.kind in ("infer", "plan"):
            reason, detail = self.declarations.why_no_agent(job.name)
        else:
            kind = "lookup" if job.kind == "enrich" else "action"
            reason, detail = "refused", f"the deployment declares no {kind} {job.name!r}"
        return Outcome(outcome="failed", reason=reason, detail=detail)

    def _inference(self, source: Lookup | Agent, began: int) -> Inference | None:
        """That a function answered as an agent, and how long it took."""
        if isinstance(source, Lookup):
            return None
        latency = max(0, self._clock() - began)
        return Inference(agent=source.name, version=source.version, by="function", latency=latency)

    def _hidden(self, outcome: Outcome) -> Outcome:
        """The outcome without secrets, whatever the other side sent back."""
        hide = self._tools.calls.hide
        return msgspec.structs.replace(
            outcome,
            fields=hide(outcome.fields),
            detail=hide(outcome.detail),
            evidence=hide(outcome.evidence),
        )


def _ended(answer: Answer) -> Outcome:
    """How a single call ended that was not done."""
    unknown = answer.ended in ("timeout", "uncertain")
    return Outcome(
        outcome="uncertain" if unknown else "failed",
        reason=answer.reason,
        detail=answer.detail,
        again=answer.again,
        retry_after=answer.retry_after,
    )
