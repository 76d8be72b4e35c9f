"""One attempt at one effect: the last look at the door, the delivery, and the record of it.

Everything about an effect lies in its durable row (``Effect``). An attempt writes down that it
begins and then what came of it, together with the report. So one that was cut off by a crash is
recognised as uncertain, and what follows depends on the other side: one that deduplicates is tried
again with the same key, one that can be asked is asked first. With neither, guidance, lookups and
answers of agents are dropped, an action has failed and is never repeated, and an escalation is sent
again, marked as possibly doubled. Escalations are never given up.
"""

import asyncio
from collections.abc import Collection

import msgspec
import structlog
from msgspec.structs import replace

from forestall.channels.base import Channel, Deduplication, Delivery, UnknownChannel
from forestall.contracts.instants import MINUTE, SECOND
from forestall.contracts.intervention import Told
from forestall.intervene.effect_store import Effect, decode_case, decode_job, decode_message
from forestall.intervene.jobs import Job, Outcome
from forestall.intervene.reports import report_event
from forestall.intervene.store import Store
from forestall.intervene.surroundings import STOPS, Surroundings, door_says, refusal
from forestall.intervene.telemetry import EFFECTS
from forestall.intervene.telling import tellable_plan

_LONGEST_DETAIL = 200
"""Characters of what is behind a reason that are told."""

_FIRST_PAUSE, _LONGEST_PAUSE = 2 * SECOND, 10 * MINUTE
_JOB_PAUSE, _JOB_LONGEST = SECOND // 4, 30 * SECOND
_PUT_OFF = 2 * SECOND
_OWED = 10 * MINUTE
"""How long an undo is tried before people get the case."""
_TOLD: dict[str, Told] = {
    "guide": "shown",
    "escalation": "escalated",
    "enrich": "filled",
    "infer": "filled",
    "plan": "filled",
    "action": "remediated",
    "undo": "undone",
}
_log = structlog.get_logger(__name__)


class Deliveries:
    """Makes attempts at the effects in ``store``. Belongs to the event loop's thread."""

    def __init__(self, store: Store, surroundings: Surroundings) -> None:
        self._store, self._now = store, surroundings
        self._sending: dict[str, asyncio.Future[Delivery]] = {}

    def waiting(self, limit: int, besides: Collection[str] = ()) -> list[Effect]:
        """Effects that may be tried now, longest waiting first, but for those channels. What is
        paused is put off, but for guidance."""
        found = self._store.effects.waiting(self._now.clock(), limit, besides)
        paused = [effect for effect in found if self._paused(effect)]
        if not paused:
            return found
        with self._store.transaction(durable=False):
            for effect in paused:
                later = self._now.clock() + _PUT_OFF
                self._store.effects.keep(replace(effect, not_before=later, detail="paused"))
        return [effect for effect in found if effect not in paused]

    def _paused(self, effect: Effect) -> bool:
        under_way = effect.began == effect.attempt
        if effect.kind == "guide" or under_way:
            return False
        decision, _ = self._store.decision(effect.intervention)
        return self._now.paused(effect.subject, decision.policy) is not None

    def stopped(self, subject: str) -> None:
        """``subject`` may have opted out or withdrawn consent: what waits is refused at once, and
        what a channel or a desk is about to try again is called off."""
        waiting = [one for one in self._store.effects.waiting_of(subject) if one.kind != "undo"]
        judged = [(one, door_says(self._now, subject, one.purpose)) for one in waiting]
        refused = [(effect, why) for effect, why in judged if why is not None]
        with self._store.transaction():
            for effect, why in refused:
                if effect.began < effect.attempt:
                    self._refuse(effect, why)
        for effect, _ in refused:
            if effect.key in self._sending:
                self._sending[effect.key].cancel()

    def cut_off(self, key: str, number: int) -> None:
        """The attempt is over; if it left no result, something stopped it in between."""
        effect = self._open(key, number)
        if effect is None:
            return
        with self._store.transaction():
            if effect.began == number:
                self._uncertain(effect, "cut off")
            else:
                self._again(effect, "cut off before it began")

    def is_over(self, key: str, number: int) -> bool:
        """Whether that attempt need not be made, or not any more."""
        return self._open(key, number) is None

    async def attempt(self, key: str, number: int) -> str:
        """Attempt ``number`` at the effect ``key``; what came of it, in a word."""
        effect = self._open(key, number)
        if effect is None:
            return "done before"
        if effect.began == number:
            with self._store.transaction():
                return self._uncertain(effect, "cut off")
        if effect.uncertain and self._deduplication(effect) == "lookup":
            found = await self._find(effect)
            if found is not None:
                with self._store.transaction():
                    return self._settle_job(effect, found)
            effect = replace(effect, uncertain=False)
        with self._store.transaction():
            turned_away = self._turn_away(effect)
            if turned_away is not None:
                return turned_away
            effect = self._begin(effect)
        if effect.kind in ("guide", "escalation"):
            return await self._send(effect)
        outcome = await self._perform(effect)
        with self._store.transaction():
            return self._settle_job(effect, outcome)

    def _open(self, key: str, number: int) -> Effect | None:
        effect = self._store.effects.get(key)
        waits = effect is not None and effect.status == "waiting" and effect.attempt == number
        return effect if waits else None

    def _turn_away(self, effect: Effect) -> str | None:
        """What became of an effect that must not happen, or not now; none if it may."""
        refused = refusal(effect, self._store, self._now)
        if refused == "under_way" or (refused == "paused" and effect.kind != "guide"):
            return self._again(effect, refused, _PUT_OFF)
        if refused is not None:
            return self._refuse(effect, refused)
        if self._late(effect) and not effect.uncertain:
            return self._fail(effect, "timeout", effect.detail or "no time was left")
        return None

    def _begin(self, effect: Effect) -> Effect:
        deadline = effect.deadline
        if deadline is None and effect.kind not in ("guide", "escalation"):
            owed = _OWED if effect.kind == "undo" else 0
            deadline = self._now.clock() + max(decode_job(effect).timeout, owed)
        effect = replace(effect, began=effect.attempt, deadline=deadline)
        self._store.effects.keep(effect)
        return effect

    def _late(self, effect: Effect, after: int = 0) -> bool:
        """Whether the time of a job is over, or will be ``after`` so many microseconds."""
        return effect.deadline is not None and self._now.clock() + after >= effect.deadline

    def _channel(self, name: str) -> Channel | None:
        try:
            return self._now.channels[name]
        except UnknownChannel:
            return None

    def _deduplication(self, effect: Effect) -> Deduplication:
        if effect.kind == "guide":
            channel = self._channel(effect.channel)
            return "neither" if channel is None else channel.deduplication
        if effect.kind == "escalation":
            desk = self._now.queues.get(effect.channel)
            return "neither" if desk is None else desk.deduplication
        workshop = self._now.workshop
        return "neither" if workshop is None else workshop.deduplication(decode_job(effect))

    async def _send(self, effect: Effect) -> str:
        """Deliver a message or a case, unless the customer says no while that is tried."""
        sending = asyncio.ensure_future(self._deliver(effect))
        self._sending[effect.key] = sending
        try:
            await asyncio.wait([sending])
        finally:
            del self._sending[effect.key]
            sending.cancel()
        with self._store.transaction():
            if sending.cancelled():
                why = door_says(self._now, effect.subject, effect.purpose)
                return self._refuse(effect, why or "no_consent")
            return self._settle(effect, sending.result())

    async def _deliver(self, effect: Effect) -> Delivery:
        if effect.kind == "guide":
            channel = self._channel(effect.channel)
            if channel is not None:
                return await channel.send(decode_message(effect), effect.key)
            detail = f"there is no channel {effect.channel!r}; declare [webhooks.{effect.channel}]"
        else:
            desk = self._now.queues.get(effect.channel)
            if desk is not None:
                return await desk.hand_over(decode_case(effect), effect.key)
            detail = f"nobody takes this queue; declare [queues.{effect.channel}]"
        return Delivery(outcome="failed", reason="refused", detail=detail)

    async def _perform(self, effect: Effect) -> Outcome:
        """Do the job within the time that is left of its own."""
        job, left = self._job(effect)
        if self._now.workshop is None:
            return Outcome(outcome="failed", reason="refused", detail="nobody does jobs here")
        try:
            async with asyncio.timeout(left):
                return await self._now.workshop.perform(job, effect.key)
        except TimeoutError:
            return Outcome(outcome="uncertain", reason="timeout")

    async def _find(self, effect: Effect) -> Outcome | None:
        """Ask whether an earlier attempt happened."""
        job, left = self._job(effect)
        if self._now.workshop is None:
            return Outcome(outcome="uncertain")
        try:
            async with asyncio.timeout(left):
                return await self._now.workshop.find(job, effect.key)
        except TimeoutError:
            return Outcome(outcome="uncertain", reason="timeout")

    def _job(self, effect: Effect) -> tuple[Job, float]:
        """The job with the time that is left of its own, also in seconds; all of it where only the
        end of an earlier attempt is to be found out."""
        job = decode_job(effect)
        left = job.timeout
        if effect.deadline is not None and not self._late(effect):
            left = min(left, effect.deadline - self._now.clock())
        return replace(job, timeout=left), left / SECOND

    def _refuse(self, effect: Effect, reason: str) -> str:
        """Never to happen. The playbook learns of it by its own events, or by this report."""
        EFFECTS.labels(effect.channel, "refused").inc()
        self._store.effects.keep(replace(effect, status="refused", detail=reason))
        guidance_ends_by_itself = effect.kind == "guide" and reason not in (*STOPS, "paused")
        state = self._store.state(effect.intervention)
        if state is not None and not guidance_ends_by_itself:
            over = state.ending is not None and reason == "not_needed"
            if not over and reason != "superseded":
                self._report(effect, "failed", "uncertain" if effect.uncertain else reason)
        return reason

    def _settle(self, effect: Effect, delivery: Delivery) -> str:
        """Write down how the delivery of a message or a case went, and report it."""
        EFFECTS.labels(effect.channel, delivery.outcome).inc()
        if delivery.outcome == "delivered":
            self._store.effects.keep(replace(effect, status="done", detail=delivery.ticket))
            self._report(effect, _TOLD[effect.kind], None)
            return "delivered"
        if delivery.outcome == "uncertain":
            return self._uncertain(effect, delivery.detail, delivery.retry_after)
        detail = delivery.detail or delivery.reason
        if effect.kind == "escalation" or delivery.again:
            if effect.kind == "escalation":
                _log.warning(
                    "escalation waits", queue=effect.channel, attempt=effect.attempt, why=detail
                )
            return self._again(effect, detail, delivery.retry_after)
        return self._fail(effect, delivery.reason, detail)

    def _settle_job(self, effect: Effect, outcome: Outcome) -> str:
        """Write down how a job went, and report it."""
        EFFECTS.labels(effect.channel, outcome.outcome).inc()
        if effect.kind == "plan":
            outcome = _plannable(outcome)
        effect = replace(effect, result=msgspec.json.encode(outcome))
        reason, detail = outcome.reason or outcome.outcome, outcome.detail
        if outcome.outcome == "done":
            self._store.effects.keep(replace(effect, status="done", uncertain=False, detail=None))
            self._report(effect, _TOLD[effect.kind], None, outcome)
            return "done"
        if outcome.outcome == "uncertain":
            return self._uncertain(effect, detail or reason, outcome.retry_after)
        effect = replace(effect, uncertain=False)
        if outcome.again and not self._late(effect, self._pause(effect, outcome.retry_after)):
            return self._again(effect, detail or reason, outcome.retry_after)
        if outcome.undone:
            self._report(effect, "undone", reason)
        return self._fail(effect, reason, detail or reason, outcome)

    def _fail(
        self, effect: Effect, reason: str, detail: str, outcome: Outcome | None = None
    ) -> str:
        """It did not happen, and will not be tried again."""
        self._store.effects.keep(replace(effect, status="failed", detail=detail))
        self._report(effect, "failed", "undo" if effect.kind == "undo" else reason, outcome)
        return "failed"

    def _uncertain(self, effect: Effect, detail: str, retry_after: int | None = None) -> str:
        """An attempt whose end is not known: the other side may have it, or not."""
        how = self._deduplication(effect)
        if effect.kind == "escalation":
            if how == "neither":
                case = replace(decode_case(effect), possibly_doubled=True)
                effect = replace(effect, body=msgspec.json.encode(case))
            return self._again(effect, "uncertain", retry_after)
        if effect.kind == "guide":
            if how == "dedupes":
                return self._again(effect, "uncertain", retry_after)
        elif how != "neither":
            tried = effect.uncertain and self._late(effect, self._pause(effect, retry_after))
            if not tried:
                return self._again(replace(effect, uncertain=True), detail, retry_after)
        self._store.effects.keep(replace(effect, status="dropped", detail="uncertain"))
        self._report(effect, "failed", "undo" if effect.kind == "undo" else "uncertain")
        return "dropped"

    def _pause(self, effect: Effect, retry_after: int | None) -> int:
        """How long to wait before the next attempt."""
        jobs = effect.kind not in ("guide", "escalation")
        first, longest = (_JOB_PAUSE, _JOB_LONGEST) if jobs else (_FIRST_PAUSE, _LONGEST_PAUSE)
        doubled = first << min(effect.attempt - 1, 12)
        return max(min(doubled, longest), retry_after or 0)

    def _again(self, effect: Effect, detail: str, retry_after: int | None = None) -> str:
        later = self._now.clock() + self._pause(effect, retry_after)
        self._store.effects.keep(
            replace(effect, attempt=effect.attempt + 1, not_before=later, detail=detail)
        )
        return "again"

    def _report(
        self,
        effect: Effect,
        told: Told,
        reason: str | None,
        outcome: Outcome | None = None,
    ) -> None:
        decision, _ = self._store.decision(effect.intervention)
        at = self._now.log_time()
        detail = None
        if reason == "bad-arguments" and outcome is not None and outcome.detail:
            detail = outcome.detail[:_LONGEST_DETAIL]
        noted = reason if detail is None else f"{reason} ({detail})"
        self._store.note(effect.subject, effect.intervention, told, effect.step, at, noted)
        self._store.report(
            report_event(
                decision,
                effect.subject,
                told,
                at,
                effect.step,
                reason,
                about=effect.key,
                detail=detail,
                fields=None if outcome is None or told == "failed" else outcome.fields,
                plan=None if outcome is None else outcome.plan,
                inference=None if outcome is None else outcome.inference,
            )
        )


def _plannable(outcome: Outcome) -> Outcome:
    """How planning ended: it failed where there is no plan that the log can hold."""
    plan = None if outcome.plan is None else tellable_plan(outcome.plan)
    if outcome.outcome != "done":
        return replace(outcome, plan=None)
    if plan is None:
        detail = "no plan came of it" if outcome.plan is None else "the plan is too large"
        return replace(outcome, outcome="failed", reason="bad-plan", detail=detail, plan=None)
    return replace(outcome, plan=plan)
