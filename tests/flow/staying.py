"""Cases that people have, for tests: an escalated intervention, queues with tiers, helpdesks."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from flow.intervening import DECLINED_TWICE, START, World, event
from flow.reaching import Around, Vendor
from forestall.channels.base import Desk
from forestall.channels.helpdesk.memory import MemoryHelpdesk
from forestall.channels.helpdesk.port import Helpdesk
from forestall.contracts.event import CloudEvent
from forestall.contracts.intervention import Case, Message
from forestall.intervene.deliver import Deliveries
from forestall.intervene.escalation_store import Escalation, EscalationStore
from forestall.intervene.queues import HelpdeskDesk, helpdesks_of, queue_desks
from forestall.intervene.tickets import Identify, Tickets
from forestall.kernel.settings import Queue

ESCALATED = 15 * 60 + 1
"""Seconds after the start at which the case waits to be handed over."""

TIERS = {
    "payments": Queue(helpdesk="first", ack="10m", next="lead"),
    "lead": Queue(helpdesk="second", ack="1h", next="head"),
    "head": Queue(helpdesk="second"),
}


class Desks:
    """An intervention that escalates to ``payments``. ``seconds`` is the clock's."""

    def __init__(
        self,
        folder: Path,
        *,
        queues: Mapping[str, Queue] = TIERS,
        helpdesks: Mapping[str, Helpdesk] | None = None,
        desks: Mapping[str, Desk] | None = None,
        identify: Identify = lambda _id: None,
    ) -> None:
        self.world = World(folder, DECLINED_TWICE)
        self.world.settle(
            event("forestall.identify", -5, traits={"plan": "gold", "email": "kim@example.com"}),
            event("payment.declined", 0, order_id="o1"),
            event("payment.declined", 10, order_id="o2"),
        )
        self.world.tick(ESCALATED - 1)
        self.world.settle()
        self.around = Around(START, Vendor())
        self.around.seconds = ESCALATED
        self.first = MemoryHelpdesk("first", self.around.now)
        self.second = MemoryHelpdesk("second", self.around.now)
        named: Mapping[str, Helpdesk] = helpdesks or {"first": self.first, "second": self.second}
        plain = {
            name: HelpdeskDesk(named[queue.helpdesk])
            for name, queue in queues.items()
            if queue.helpdesk
        }
        self.published: list[Message] = []
        self.queues, self.plain, self.identify = queues, {**plain, **(desks or {})}, identify
        self.start()

    def start(self) -> None:
        """The app process starts, perhaps again."""
        store = self.world.store
        wrapped = queue_desks(self.plain, self.queues, store, self.around.now)
        around = msgspec.structs.replace(self.around.surroundings, queues=wrapped)
        self.deliveries = Deliveries(store, around)
        self.escalations = EscalationStore(store.database)
        helpdesks = helpdesks_of(wrapped.values())
        self.tickets = Tickets(
            store,
            around,
            helpdesks,
            dict.fromkeys(helpdesks, 1_000),
            identify=self.identify,
            publish=lambda _purpose, message: self.published.append(message),
        )

    def restart(self) -> None:
        """It dies and starts again."""
        self.world.restart()
        self.start()

    def poll(self, name: str = "first") -> None:
        """Everything that a helpdesk has to tell is read."""
        while asyncio.run(self.tickets.poll(name)):
            pass

    def pass_on(self, seconds: float) -> int:
        """So late it is, and overdue cases are passed on."""
        self.around.seconds = seconds
        return asyncio.run(self.tickets.pass_on())

    def hand_over(self) -> str:
        """The case is delivered; its ticket."""
        effect = self.world.store.effects.waiting(START * 2, 1)[0]
        assert asyncio.run(self.deliveries.attempt(effect.key, effect.attempt)) == "delivered"
        self.world.report(self.around.seconds)
        self.world.settle()
        return self.row("payments").ticket or ""

    @property
    def intervention(self) -> str:
        return self.world.store.newest(1)[0].id

    def rows(self) -> dict[str, Escalation]:
        """What each queue has."""
        found = self.escalations.of(self.intervention)
        return {one.queue: one for one in found if one.handed_over}

    def row(self, queue: str) -> Escalation:
        return self.rows()[queue]

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """What waits to be sent about tickets and taking, as types' last words with their data."""
        return [(_word(one), _data(one)) for one in self.world.waiting()]

    def course(self) -> list[str]:
        return [one.what for one in self.world.store.history(self.intervention)]

    def cases(self, helpdesk: MemoryHelpdesk) -> list[Case]:
        return [ticket.case for ticket in helpdesk.tickets.values()]


def _word(event: CloudEvent) -> str:
    return event.type.removeprefix("forestall.")


def _data(event: CloudEvent) -> dict[str, Any]:
    assert isinstance(event.data, msgspec.Raw)
    found = msgspec.json.decode(event.data)
    assert isinstance(found, dict)
    return found
