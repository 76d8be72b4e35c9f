"""Every step reports back: events of the subject, sent to the gateway until it has them.

They wait in the store's outbox and leave in order, in batches, with ids that are hashes, so that a
repeated one is a duplicate. Nothing is given up: what the gateway cannot take now is sent later.
"""

import asyncio
import hashlib
from typing import Any

import httpx
import msgspec
import structlog

from forestall.contracts.decision import Decision
from forestall.contracts.event import CloudEvent
from forestall.contracts.inference import Inference, Plan
from forestall.contracts.instants import format_time
from forestall.contracts.intervention import Tell, Told
from forestall.intervene.store import Store
from forestall.intervene.telemetry import REPORTS_SENT
from forestall.intervene.telling import tellable, tellable_inference
from forestall.kernel.clock import within
from forestall.kernel.database.tables import TROUBLE, first_line

SOURCE = "/forestall/intervene"
"""``source`` of every report."""

AT_ONCE = 200
"""Reports sent in one request; fewer where they are longer than a request may be."""

LONGEST_DETAIL = 300
"""Characters of what is told besides a reason."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_IDLE = 0.02
_TOO_LARGE = 413
_log = structlog.get_logger(__name__)


def report_event(
    decision: Decision,
    subject: str,
    told: Told,
    at: int,
    step: int | None = None,
    reason: str | None = None,
    *,
    about: str = "",
    fields: dict[str, Any] | None = None,
    plan: Plan | None = None,
    inference: Inference | None = None,
    detail: str | None = None,
) -> CloudEvent:
    """The event that tells ``told`` of the intervention of ``decision`` at log time ``at``.

    ``subject`` is the customer's pseudonym by now; it may have been joined to another since.
    ``about`` is the key of the effect that this is the end of, so that each has its own event; a
    ``plan`` is one that ``tellable_plan`` gave."""
    tell = Tell(
        decision.id,
        decision.policy,
        decision.version,
        step,
        reason,
        fields=None if fields is None else tellable(fields),
        plan=plan,
        inference=None if inference is None else tellable_inference(inference),
        detail=None if detail is None else detail.replace("\x00", "")[:LONGEST_DETAIL],
    )
    return event_of(decision, subject, told, at, tell, about)


def event_of(
    decision: Decision, subject: str, told: Told, at: int, tell: Tell, about: str = ""
) -> CloudEvent:
    """The event with the data ``tell``. Its id is a hash of the intervention, of what is told, of
    the step and of ``about``: what is told twice is a duplicate."""
    name = f"{decision.id}:{told}:{tell.step or 0}" + (f":{about}" if about else "")
    return CloudEvent(
        id=hashlib.sha256(name.encode()).hexdigest()[:32],
        source=SOURCE,
        type=f"forestall.intervention.{told}",
        subject=subject,
        time=format_time(at),
        datacontenttype="application/json",
        traceparent=decision.traceparent if isinstance(decision.traceparent, str) else None,
        data=msgspec.Raw(msgspec.json.encode(tell)),
    )


class Reporter:
    """Sends the outbox of ``store`` to the gateway at ``url`` with our own processes' key."""

    def __init__(self, store: Store, client: httpx.AsyncClient, url: str, key: str) -> None:
        self._store, self._client = store, client
        self._most = AT_ONCE
        self._url = f"{url.rstrip('/')}/v1/events"
        self._headers = {
            "authorization": f"Bearer {key}",
            "content-type": "application/cloudevents-batch+json",
        }

    async def run(self, stopping: asyncio.Event) -> None:
        """Send what is there as it comes, until ``stopping``; a last time after that."""
        pause = _FIRST_PAUSE
        while not stopping.is_set():
            if not self._any():
                await within(stopping, _IDLE)
            elif await self.send():
                pause = _FIRST_PAUSE
            else:
                await within(stopping, pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        await self.send()

    def _any(self) -> bool:
        """Whether there may be something to send; also where that cannot be read now."""
        try:
            return bool(self._store.reports(1))
        except TROUBLE:
            return True

    async def send(self) -> bool:
        """Send the oldest reports in one request; false if the gateway could not take them now."""
        try:
            waiting = self._store.reports(self._most)
        except TROUBLE as error:
            _log.error("reports cannot be read; they wait", why=first_line(error))
            return False
        if not waiting:
            return True
        body = msgspec.json.encode([event for _, event in waiting])
        try:
            response = await self._client.post(self._url, content=body, headers=self._headers)
            if response.status_code == _TOO_LARGE and len(waiting) > 1:
                self._most = len(waiting) // 2
                return await self.send()
            self._most = min(AT_ONCE, 2 * self._most)
            verdicts = _verdicts(response, len(waiting))
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            _log.warning(
                "the gateway did not take reports; they wait", why=str(error) or repr(error)
            )
            return False
        for verdict in verdicts:
            REPORTS_SENT.labels(verdict.verdict).inc()
            if verdict.verdict == "quarantined":
                _log.error("a report was quarantined", code=verdict.code, path=verdict.path)
        try:
            self._store.reported(number for number, _ in waiting)
        except TROUBLE as error:
            _log.error("reports cannot be ticked off; they are sent again", why=first_line(error))
            return False
        return True


class _Verdict(msgspec.Struct):
    verdict: str
    code: str | None = None
    path: str | None = None


class _Answer(msgspec.Struct):
    verdicts: list[_Verdict]


def _verdicts(response: httpx.Response, count: int) -> list[_Verdict]:
    """One verdict an event. Raises ``httpx.HTTPStatusError``, or ``msgspec.ValidationError``."""
    response.raise_for_status()
    verdicts = msgspec.json.decode(response.content, type=_Answer).verdicts
    if len(verdicts) != count:
        raise msgspec.ValidationError(f"{count} reports got {len(verdicts)} verdicts")
    return verdicts
