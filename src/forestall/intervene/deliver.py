"""One attempt at one effect: the last look at the door, the delivery, and the record of it.

Everything about an effect lies in its durable row (``store.Effect``). An attempt writes down that
it begins and then what came of it, together with the report. So one that was cut off by a crash is
recognised: where the vendor does not deduplicate, guidance is dropped, and an escalation sent
again, marked as possibly doubled. Escalations are never given up.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import msgspec
import structlog

from forestall.channels.base import Channel, Channels, Delivery, Desk, UnknownChannel
from forestall.contracts.instants import MINUTE, SECOND
from forestall.contracts.intervention import Told
from forestall.intervene.reports import report_event
from forestall.intervene.store import Effect, Store, decode_case, decode_message
from forestall.intervene.telemetry import EFFECTS
from forestall.kernel.clock import Clock
from forestall.privacy.door import DoorState

_FIRST_PAUSE, _LONGEST_PAUSE = 2 * SECOND, 10 * MINUTE
_log = structlog.get_logger(__name__)


class Door(Protocol):
    """Consent and opt-out as the gateway last heard them."""

    def state(self, subject: str) -> DoorState:
        """What the subject said."""


class Surroundings(msgspec.Struct, frozen=True):
    """What effects act with. ``log_time`` and ``clock`` are log and wall time in microseconds;
    ``require_consent`` says whether nothing goes without consent."""

    channels: Channels
    queues: Mapping[str, Desk]
    door: Door
    log_time: Clock
    clock: Clock
    require_consent: Callable[[], bool]


def refusal(effect: Effect, store: Store, now: Surroundings) -> str | None:
    """Why this effect must not happen (any more): the last look, right before it would."""
    stopped = door_says(now, effect.subject, effect.purpose)
    if stopped is not None:
        return stopped
    state = store.state(effect.intervention)
    if state is None or state.ending is not None:
        return "not_needed"
    if effect.expires is not None and now.log_time() >= effect.expires:
        return "expired"
    return None


def door_says(now: Surroundings, subject: str, purpose: str) -> str | None:
    """``opted_out``, ``no_consent``, or none if the subject may be reached for ``purpose``."""
    standing = now.door.state(subject)
    if standing.opted_out:
        return "opted_out"
    consent = standing.consents.get(purpose)
    withdrawn = consent is not None and not consent.granted
    if withdrawn or not standing.allows(purpose, require_consent=now.require_consent()):
        return "no_consent"
    return None


class Deliveries:
    """Makes attempts at the effects in ``store``. Belongs to the event loop's thread."""

    def __init__(self, store: Store, surroundings: Surroundings) -> None:
        self._store, self._now = store, surroundings

    def waiting(self, limit: int, besides: Collection[str] = ()) -> list[Effect]:
        """Effects that may be tried now, longest waiting first, but for those channels."""
        return self._store.open_effects(self._now.clock(), limit, besides)

    def cut_off(self, key: str, number: int) -> None:
        """The attempt is over; if it left no result, something stopped it in between."""
        effect = self._store.effect(key)
        if effect is None or effect.status != "waiting" or effect.attempt != number:
            return
        with self._store.transaction():
            if effect.began == number:
                self._uncertain(effect)
            else:
                self._again(effect, "cut off before it began", None)

    async def attempt(self, key: str, number: int) -> str:
        """Attempt ``number`` at the effect ``key``; what came of it, in a word."""
        effect = self._store.effect(key)
        if effect is None or effect.status != "waiting" or effect.attempt != number:
            return "done before"
        if effect.began == number:
            with self._store.transaction():
                return self._uncertain(effect)
        refused = refusal(effect, self._store, self._now)
        if refused is not None:
            with self._store.transaction():
                return self._refuse(effect, refused)
        with self._store.transaction():
            self._store.keep_effect(msgspec.structs.replace(effect, began=number))
        delivery = await self._deliver(effect)
        with self._store.transaction():
            return self._settle(effect, delivery)

    def _channel(self, name: str) -> Channel | None:
        try:
            return self._now.channels[name]
        except UnknownChannel:
            return None

    def _deduplicates(self, effect: Effect) -> bool:
        queue = effect.kind == "escalation"
        target = self._now.queues.get(effect.channel) if queue else self._channel(effect.channel)
        return target is not None and target.deduplication == "dedupes"

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
            detail = f"no webhook takes this queue; name one under [queues.{effect.channel}]"
        return Delivery(outcome="failed", reason="refused", detail=detail)

    def _refuse(self, effect: Effect, reason: str) -> str:
        """Never to happen. The playbook learns of a stop by its event, or by this report."""
        EFFECTS.labels(effect.channel, "refused").inc()
        self._store.keep_effect(msgspec.structs.replace(effect, status="refused", detail=reason))
        if reason in ("opted_out", "no_consent"):
            self._report(effect, "failed", reason)
        return reason

    def _settle(self, effect: Effect, delivery: Delivery) -> str:
        """Write down how it went, and report it."""
        EFFECTS.labels(effect.channel, delivery.outcome).inc()
        if delivery.outcome == "delivered":
            self._store.keep_effect(msgspec.structs.replace(effect, status="done", detail=None))
            self._report(effect, "shown" if effect.kind == "guide" else "escalated", None)
            return "delivered"
        if delivery.outcome == "uncertain":
            return self._uncertain(effect, delivery.retry_after)
        detail = delivery.detail or delivery.reason
        if effect.kind == "escalation" or delivery.again:
            if not delivery.again:
                _log.error("escalation_waits", queue=effect.channel, effect=effect.key, why=detail)
            return self._again(effect, detail, delivery.retry_after)
        self._store.keep_effect(msgspec.structs.replace(effect, status="failed", detail=detail))
        self._report(effect, "failed", delivery.reason)
        return "failed"

    def _uncertain(self, effect: Effect, retry_after: int | None = None) -> str:
        """An attempt whose end is not known: the vendor may have it, or not."""
        if self._deduplicates(effect):
            return self._again(effect, "uncertain", retry_after)
        if effect.kind == "escalation":
            case = msgspec.structs.replace(decode_case(effect), possibly_doubled=True)
            marked = msgspec.structs.replace(effect, body=msgspec.json.encode(case))
            return self._again(marked, "uncertain", retry_after)
        self._store.keep_effect(
            msgspec.structs.replace(effect, status="dropped", detail="uncertain")
        )
        self._report(effect, "failed", "uncertain")
        return "dropped"

    def _again(self, effect: Effect, detail: str, retry_after: int | None) -> str:
        pause = min(_FIRST_PAUSE * 2 ** min(effect.attempt - 1, 12), _LONGEST_PAUSE)
        self._store.keep_effect(
            msgspec.structs.replace(
                effect,
                attempt=effect.attempt + 1,
                not_before=self._now.clock() + max(pause, retry_after or 0),
                detail=detail,
            )
        )
        return "again"

    def _report(self, effect: Effect, told: Told, reason: str | None) -> None:
        decision, _ = self._store.decision(effect.intervention)
        at = self._now.log_time()
        self._store.note(effect.subject, effect.intervention, told, effect.step, at, reason)
        self._store.report(report_event(decision, effect.subject, told, at, effect.step, reason))
