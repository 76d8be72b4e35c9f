"""The queues of a deployment: who takes their cases, what they may see, and who is next.

A case is written down by its key before it leaves, so that whatever its helpdesk tells of it is
understood, and again once it is delivered, before its effect is: an attempt that is cut off in
between is repeated under the same key and changes nothing.
"""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from forestall.channels.base import Deduplication, Delivery, Desk
from forestall.channels.helpdesk.port import Helpdesk, tag
from forestall.channels.redaction import redacted
from forestall.contracts.instants import parse_duration
from forestall.contracts.intervention import Case
from forestall.intervene.escalation_store import Escalation, EscalationStore
from forestall.intervene.running import effect_key
from forestall.intervene.store import Store
from forestall.kernel.clock import Clock
from forestall.kernel.settings import Queue


class HelpdeskDesk:
    """A helpdesk as a ``Desk``: a case becomes a ticket."""

    def __init__(self, helpdesk: Helpdesk) -> None:
        self.helpdesk = helpdesk
        self.name, self.deduplication = helpdesk.name, helpdesk.deduplication

    async def hand_over(self, case: Case, key: str) -> Delivery:
        """See ``Desk.hand_over``."""
        return await self.helpdesk.create(case, key)


class QueueDesk:
    """One queue as a ``Desk``: its people get what their role may see, and have ``ack`` to take
    it. ``now`` is wall time."""

    def __init__(self, name: str, queue: Queue, desk: Desk, store: Store, now: Clock) -> None:
        self.name, self.queue, self.desk = name, queue, desk
        self._store, self._now = store, now
        self._escalations = EscalationStore(store.database)
        self._patience = parse_duration(queue.ack) if queue.ack else None

    @property
    def deduplication(self) -> Deduplication:
        """What its desk does with a repeated key."""
        return self.desk.deduplication

    async def hand_over(self, case: Case, key: str) -> Delivery:
        """See ``Desk.hand_over``."""
        with self._store.transaction():
            self._escalations.add(self._pending(case, key))
        delivery = await self.desk.hand_over(redacted(case, self.queue.role), key)
        if delivery.outcome == "delivered":
            now, taken = self._now(), self._escalations.taken(case.intervention)
            due = None if self._patience is None or taken else now + self._patience
            with self._store.transaction():
                self._escalations.delivered(key, delivery.ticket, now, due)
        return delivery

    def _pending(self, case: Case, key: str) -> Escalation:
        return Escalation(
            key=key,
            tag=tag(key),
            intervention=case.intervention,
            step=case.step or 0,
            subject=case.customer,
            queue=self.name,
            tier=case.tier,
            ticket=None,
            handed_over=0,
            due=None,
            body=msgspec.json.encode(case),
        )


def passed_on(escalation: Escalation, queue: str) -> Case:
    """The case as the next queue gets it, under a key of its own: its ``id``."""
    tier = escalation.tier + 1
    key = effect_key(escalation.intervention, escalation.step, f"tier-{tier}-{queue}")
    return replace(escalation.case, id=key, queue=queue, tier=tier, passed_from=escalation.queue)


def queue_desks(
    desks: Mapping[str, Desk], queues: Mapping[str, Queue], store: Store, now: Clock
) -> dict[str, Desk]:
    """Each of ``desks`` as the queue that ``queues`` says it is, and any other as it is."""
    return {
        name: QueueDesk(name, queues[name], desk, store, now) if name in queues else desk
        for name, desk in desks.items()
    }


def helpdesks_of(desks: Iterable[Desk]) -> dict[str, Helpdesk]:
    """The helpdesks behind these desks, each once, by name."""
    plain = [one.desk if isinstance(one, QueueDesk) else one for one in desks]
    found = [one.helpdesk for one in plain if isinstance(one, HelpdeskDesk)]
    return {one.name: one for one in found}
