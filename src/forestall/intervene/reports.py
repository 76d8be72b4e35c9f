"""Every step reports back: events of the subject, sent to the gateway until it has them.

They wait in the store's outbox and leave in order, in batches, with ids that are hashes, so that a
repeated one is a duplicate. Nothing is given up: what the gateway cannot take now is sent later.
"""

import hashlib

import msgspec
import structlog

from forestall.contracts.decision import Decision
from forestall.contracts.event import CloudEvent
from forestall.contracts.instants import format_time
from forestall.contracts.intervention import Tell, Told

SOURCE = "/forestall/intervene"
"""``source`` of every report."""

AT_ONCE = 200
"""Reports sent in one request."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_log = structlog.get_logger(__name__)


def report_event(
    decision: Decision, told: Told, at: int, step: int | None = None, reason: str | None = None
) -> CloudEvent:
    """The event that tells ``told`` of the intervention of ``decision`` at log time ``at``."""
    tell = Tell(decision.id, decision.policy, decision.version, step, reason)
    name = f"{decision.id}:{told}:{step or 0}"
    return CloudEvent(
        id=hashlib.sha256(name.encode()).hexdigest()[:32],
        source=SOURCE,
        type=f"forestall.intervention.{told}",
        subject=decision.subject,
        time=format_time(at),
        datacontenttype="application/json",
        traceparent=decision.traceparent if isinstance(decision.traceparent, str) else None,
        data=msgspec.Raw(msgspec.json.encode(tell)),
    )
