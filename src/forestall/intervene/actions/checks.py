"""Asking lookups: for fields, and whether a condition over them holds."""

import asyncio
from typing import Any

import msgspec

from forestall.contracts.errors import ExpressionError
from forestall.contracts.instants import SECOND
from forestall.intervene.actions.answers import Answer, BadArguments, fields_of
from forestall.intervene.actions.calls import Calls, Expressions, Scope
from forestall.policy.actions.folder import Declarations
from forestall.policy.actions.model import Agent, Check, Lookup, Way
from forestall.policy.actions.schema import Arguments


class Deadline:
    """When a job has to be over. ``left`` is in seconds."""

    def __init__(self, timeout: int) -> None:
        """``timeout`` in microseconds; a little of it is kept, to tell how far it came."""
        seconds = timeout / SECOND
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + seconds - min(0.1, seconds * 0.1)

    def left(self, most: int | None = None) -> float:
        """Seconds until then, at most ``most`` microseconds."""
        left = max(0.0, self._end - self._loop.time())
        return left if most is None else min(left, most / SECOND)


def called(source: Lookup | Agent) -> Way:
    """How ``source`` is called. Raises ``BadArguments`` for an agent that is not called at all."""
    if source.way is None:
        raise BadArguments(f"the agent {source.name} is answered for by a model, not called")
    return source.way


class Found(msgspec.Struct, frozen=True):
    """What a lookup or an agent came to: its fields where it answered."""

    answer: Answer
    fields: dict[str, Any] | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a condition holds; none where it could not be found out, for ``reason``."""

    holds: bool | None
    reason: str | None = None
    detail: str = ""
    missing: bool = False
    fields: dict[str, Any] = {}
    retry_after: int | None = None

    def shown(self, check: Check) -> dict[str, Any]:
        """What a person may see of it."""
        shown: dict[str, Any] = {"if": check.condition, "holds": self.holds}
        if check.lookup is not None:
            shown |= {"lookup": check.lookup, "fields": self.fields}
        return shown if not self.detail else {**shown, "detail": self.detail}


class Checks:
    """Asks the lookups and agents of ``declarations``; caches nothing."""

    def __init__(self, declarations: Declarations, calls: Calls, expressions: Expressions) -> None:
        self._declarations, self._calls, self._expressions = declarations, calls, expressions
        sources: list[Lookup | Agent] = [
            *declarations.lookups.values(),
            *declarations.agents.values(),
        ]
        self._schemas = {id(one): Arguments(one.input) for one in sources}

    async def ask(
        self, source: Lookup | Agent, arguments: dict[str, Any], deadline: Deadline
    ) -> Found:
        """What ``source`` answers. Raises ``BadArguments``."""
        wrong = self._schemas[id(source)].wrong(arguments)
        if wrong is not None:
            raise BadArguments(wrong)
        way = called(source)
        values = self._expressions.values(way.arguments, {"arguments": arguments})
        seconds = deadline.left(source.timeout)
        answer = await self._calls.call(way, values, None, seconds)
        if answer.ended != "done":
            return Found(answer)
        return Found(answer, fields_of(answer.body, source.output))

    async def holds(self, check: Check, scope: Scope, deadline: Deadline) -> Verdict:
        """Whether the condition holds now."""
        fields: dict[str, Any] = {}
        missing = False
        if check.lookup is not None:
            lookup = self._declarations.lookups[check.lookup]
            try:
                arguments = self._expressions.values(check.arguments, scope)
                found = await self.ask(lookup, arguments, deadline)
            except BadArguments as error:
                detail = f"{check.lookup}: {error}"
                return Verdict(holds=None, reason="bad-arguments", detail=detail)
            missing = found.answer.ended == "missing"
            if found.fields is None and not missing:
                answer = found.answer
                detail = f"{check.lookup}: {answer.detail or answer.ended}"
                return Verdict(
                    holds=None,
                    reason=answer.reason,
                    detail=detail,
                    retry_after=answer.retry_after,
                )
            fields = found.fields or dict.fromkeys(lookup.output)
        try:
            value = self._expressions.value(check.condition, {**scope, "fields": fields})
        except ExpressionError as error:
            detail = f"the condition cannot be computed: {error}"
            return Verdict(holds=False, detail=detail, missing=missing, fields=fields)
        return Verdict(holds=value is True, missing=missing, fields=fields)
