"""One attempt at one action, in order: precondition, execute, verify, and undo where that fails."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from forestall.contracts.instants import SECOND
from forestall.intervene.actions.answers import UNKNOWN, Answer, BadArguments, fields_of
from forestall.intervene.actions.calls import Calls, Expressions
from forestall.intervene.actions.checks import Checks, Deadline, Verdict
from forestall.intervene.actions.notes import Notes
from forestall.intervene.jobs import Outcome
from forestall.kernel.clock import Clock
from forestall.policy.actions.model import Action, Check, Flag

UNDO_KEY = "{}-undo"
"""The key of taking back what could not be verified, from that of the effect."""

Sleep = Callable[[float], Awaitable[None]]


class Tools:
    """What attempts work with."""

    def __init__(
        self, calls: Calls, checks: Checks, expressions: Expressions, notes: Notes, clock: Clock
    ) -> None:
        self.calls, self.checks, self.expressions = calls, checks, expressions
        self.notes, self.clock = notes, clock
        self.sleep: Sleep = asyncio.sleep


class Run:
    """An attempt at ``action`` with ``arguments`` under ``key``, over by ``deadline``."""

    def __init__(
        self,
        tools: Tools,
        action: Action,
        arguments: dict[str, Any],
        key: str,
        deadline: Deadline,
    ) -> None:
        self._tools, self._action, self._deadline = tools, action, deadline
        self._key = key
        self._scope: dict[str, Any] = {"arguments": arguments, "key": key}
        self._evidence: dict[str, Any] = {}
        self._result: dict[str, Any] = {}

    async def real(self, fields: tuple[str, ...]) -> Outcome:
        """Do it. Raises ``BadArguments``, and then nothing was done.

        A key that began before is repeated whatever the precondition says now: it may be our own
        doing that it does not hold any more.
        """
        action = self._action
        began_before = self._tools.notes.has_begun(self._key)
        refused = None if began_before else await self._precondition()
        if refused is not None:
            return refused
        values = self._tools.expressions.values(action.execute.arguments, self._scope)
        if isinstance(action.dry_run, Flag):
            values = {name: one for name, one in values.items() if name != action.dry_run.argument}
        self._evidence["request"] = self._tools.calls.request(action.execute, values, self._key)
        self._tools.notes.begin(self._key, self._tools.clock())
        seconds = self._deadline.left(action.timeout)
        answer = await self._tools.calls.call(action.execute, values, self._key, seconds)
        self._evidence["answer"] = _shown(answer)
        if answer.ended != "done":
            return await self._not_done(answer, fields, began_before=began_before)
        self._result = self._scope["result"] = fields_of(answer.body, action.output)
        self._evidence["answer"]["fields"] = self._result
        self._remember_undo()
        return await self._verified(fields)

    async def dry(self) -> Outcome:
        """Say what it would do, and change nothing. Raises ``BadArguments``."""
        action, calls = self._action, self._tools.calls
        trial = action.execute if isinstance(action.dry_run, str | Flag) else action.dry_run
        values = self._tools.expressions.values(trial.arguments, self._scope)
        if isinstance(action.dry_run, Flag):
            values[action.dry_run.argument] = True
        self._evidence["request"] = calls.request(trial, values, self._key, dry=True)
        self._evidence["dry_run"] = "describe" if action.dry_run == "describe" else "asked"
        refused = await self._precondition()
        if refused is not None:
            return refused
        if action.dry_run == "describe":
            return Outcome(outcome="done", evidence=self._evidence)
        seconds = self._deadline.left(action.timeout)
        answer = await calls.call(trial, values, self._key, seconds, dry=True)
        self._evidence["answer"] = _shown(answer)
        if answer.ended == "done":
            self._evidence["answer"]["fields"] = fields_of(answer.body, action.output)
            return Outcome(outcome="done", evidence=self._evidence)
        return self._failed(answer)

    async def undo(self, values: dict[str, Any] | None) -> Answer:
        """Take it back, with the arguments for that, if they are known already.

        Raises ``BadArguments``.
        """
        way = self._action.undo
        if way is None:
            return Answer(ended="refused", detail="the action declares no undo")
        if values is None:
            values = self._tools.expressions.values(way.arguments, self._scope)
        seconds = self._deadline.left(self._action.timeout)
        return await self._tools.calls.call(way, values, UNDO_KEY.format(self._key), seconds)

    async def found(self, check: Check, fields: tuple[str, ...]) -> Outcome | None:
        """Whether the other side knows the key, and if so, how it ended."""
        verdict = await self._tools.checks.holds(check, self._scope, self._deadline)
        self._evidence["found"] = verdict.shown(check)
        if verdict.holds is None:
            return self._unknown("not-found-out", verdict)
        if not verdict.holds:
            return None
        self._result = self._scope["result"] = {
            name: verdict.fields.get(name) for name in self._action.output
        }
        self._remember_undo()
        return await self._verified(fields)

    async def _precondition(self) -> Outcome | None:
        check = self._action.precondition
        if check is None:
            return None
        verdict = await self._tools.checks.holds(check, self._scope, self._deadline)
        self._evidence["precondition"] = verdict.shown(check)
        if verdict.holds:
            return None
        reason = "precondition" if verdict.holds is False else verdict.reason
        return Outcome(
            outcome="failed",
            reason=reason,
            detail=verdict.detail or f"the precondition does not hold: {check.condition}",
            again=verdict.holds is None and reason != "bad-arguments",
            retry_after=verdict.retry_after,
            evidence=self._evidence,
        )

    async def _not_done(
        self, answer: Answer, fields: tuple[str, ...], *, began_before: bool
    ) -> Outcome:
        """It was not carried out, as far as is known. What an earlier attempt did is verified where
        this one is refused, perhaps because of it, and stays open where this one did not get far."""
        if began_before and not answer.again:
            verdict = await self._tools.checks.holds(
                self._action.verify, {**self._scope, "result": {}}, self._deadline
            )
            self._evidence["verification"] = verdict.shown(self._action.verify)
            if verdict.holds:
                empty = dict.fromkeys(fields)
                return Outcome(outcome="done", fields=empty, evidence=self._evidence)
        elif began_before or answer.ended in UNKNOWN:
            return Outcome(
                outcome="uncertain",
                reason=answer.reason,
                detail=answer.detail,
                again=True,
                retry_after=answer.retry_after,
                evidence=self._evidence,
            )
        self._tools.notes.did_not_happen(self._key)
        return self._failed(answer)

    def _failed(self, answer: Answer) -> Outcome:
        reason = "refused" if answer.ended == "missing" else answer.reason
        return Outcome(
            outcome="failed",
            reason=reason,
            detail=answer.detail,
            again=answer.again,
            retry_after=answer.retry_after,
            evidence=self._evidence,
        )

    def _remember_undo(self) -> None:
        """How to undo it may depend on what it answered, so that is written down."""
        way = self._action.undo
        if way is None or way.arguments is None:
            return
        try:
            values = self._tools.expressions.values(way.arguments, self._scope)
        except BadArguments as error:
            self._evidence["undo"] = {"possible": False, "detail": str(error)}
            return
        self._tools.notes.keep_undo(self._key, values, self._tools.clock())

    async def _verified(self, fields: tuple[str, ...]) -> Outcome:
        verdict = await self._verify()
        if verdict.holds:
            wanted = {name: self._result.get(name) for name in fields}
            return Outcome(outcome="done", fields=wanted, evidence=self._evidence)
        if verdict.holds is None:
            return self._unknown("unverified", verdict)
        undone, detail = await self._taken_back()
        return Outcome(
            outcome="failed",
            reason="verification",
            detail=f"it did not come true: {self._action.verify.condition}; {detail}",
            undone=undone,
            evidence=self._evidence,
        )

    async def _verify(self) -> Verdict:
        """Ask until it holds, or there is just time left to undo."""
        check = self._action.verify
        left = self._deadline.left()
        reserve = 0.0
        if self._action.undo is not None:
            reserve = min(self._action.timeout / SECOND, left / 3)
        if check.within is not None:
            reserve = max(reserve, left - check.within / SECOND)
        pause = check.every / SECOND
        tries = 0
        while True:
            verdict = await self._tools.checks.holds(check, self._scope, self._deadline)
            tries += 1
            self._evidence["verification"] = {**verdict.shown(check), "tries": tries}
            over = self._deadline.left() - reserve <= pause
            if verdict.holds or over or verdict.reason in ("bad-arguments", "blocked-address"):
                return verdict
            await self._tools.sleep(pause)

    async def _taken_back(self) -> tuple[bool, str]:
        """Whether what could not be verified is undone, and how that went."""
        if self._action.undo is None:
            return False, "the action declares no undo"
        try:
            answer = await self.undo(None)
        except BadArguments as error:
            detail = f"undoing it failed: {error}"
            self._evidence["undo"] = {"detail": detail}
            return False, detail
        self._evidence["undo"] = _shown(answer)
        if answer.ended in ("done", "missing"):
            self._tools.notes.forget_undo(self._key)
            self._tools.notes.did_not_happen(self._key)
            return True, "it was undone"
        return False, f"undoing it failed: {answer.ended} {answer.detail}".rstrip()

    def _unknown(self, reason: str, verdict: Verdict) -> Outcome:
        return Outcome(
            outcome="uncertain",
            reason=reason,
            detail=verdict.detail,
            again=True,
            retry_after=verdict.retry_after,
            evidence=self._evidence,
        )


def _shown(answer: Answer) -> dict[str, Any]:
    shown = {"ended": answer.ended, "status": answer.status, "detail": answer.detail}
    return {name: value for name, value in shown.items() if value not in (None, "")}
