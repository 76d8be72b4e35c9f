"""A deployment in memory with people in it: approvals, commands, pauses, reviews."""

import asyncio
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from flow.intervening import START, World, event
from forestall.channels.base import Channels, Deduplication
from forestall.console.api import Office
from forestall.contracts.instants import SECOND
from forestall.intervene.approvals import Approval, Status
from forestall.intervene.approving import Approving
from forestall.intervene.authority import APPROVER, OPERATOR, REVIEWER, People
from forestall.intervene.carry import Carrier
from forestall.intervene.commanding import Commanding
from forestall.intervene.deliver import Deliveries
from forestall.intervene.guarded import Guarded
from forestall.intervene.jobs import Job, Outcome
from forestall.intervene.receipts import Signer
from forestall.intervene.records import Records
from forestall.intervene.reviews import Reviewing
from forestall.intervene.stage import Stage
from forestall.intervene.store import Store
from forestall.intervene.surroundings import Surroundings
from forestall.kernel.settings import Person
from forestall.privacy.door import DoorState

ANN, BOB, CAT, DAN, EVE = (
    f"{name}-0123456789abcdefghij" for name in ("ann", "bob", "cat", "dan", "eve")
)
PEOPLE = {
    "ann": Person(ANN, (APPROVER,), "Head of payments"),
    "bob": Person(BOB, (APPROVER, OPERATOR)),
    "cat": Person(CAT, (OPERATOR,)),
    "dan": Person(DAN, (REVIEWER,)),
    "eve": Person(EVE, ("accountant",)),
}

CHARGE = """
apiVersion: forestall/v1
kind: Policy
metadata: {{name: {name}, title: A charge failed, owner: payments}}
spec:
  cooldown: 1s
  when: {{event: payment.failed}}
  playbook:
    - approve: {{by: approver, for: 30m, people: {people}, why: "A second charge.",
                on_failure: [{{escalate: {{queue: payments}}}}]}}
    - remediate: {{action: {action}, with: {{payment: event.data.payment, amount: event.data.amount}},
                  fields: [receipt], queue: payments}}
    - resolve: {{as: resolved}}
"""


def charge(name: str = "charge", people: int = 1, action: str = "retry-charge") -> str:
    """A policy that charges again once people said yes."""
    return CHARGE.format(name=name, people=people, action=action)


class Bench:
    """A workshop that remembers what it did. ``answers`` are outcomes by action."""

    def __init__(self) -> None:
        self.tried: list[Job] = []
        self.done: list[Job] = []
        self.dry = Outcome(outcome="done", evidence={"would": "charge 20"})

    def deduplication(self, _job: Job) -> Deduplication:
        return "dedupes"

    async def perform(self, job: Job, _key: str, *, dry: bool = False) -> Outcome:
        (self.tried if dry else self.done).append(job)
        return self.dry if dry else Outcome(outcome="done", fields={"receipt": "r1"})

    async def find(self, _job: Job, _key: str) -> Outcome | None:
        return None


class OpenDoor:
    """Everybody agreed to everything."""

    def state(self, _subject: str) -> DoorState:
        return DoorState()

    def stops(self, after: int) -> tuple[int, list[str]]:
        return after, []


class Staffed(World):
    """A world whose ``office`` is staffed. ``seconds`` is wall and log time after the start;
    ``tables`` is the URL of a PostgreSQL database, if they are to be there."""

    def __init__(self, folder: Path, *texts: str, tables: str | None = None) -> None:
        self.tables = tables
        self.seconds = 0.0
        self.people = People(PEOPLE)
        self.bench = Bench()
        self.demands: dict[str, int] = {"retry-charge": 1}
        self._ids = count(1)
        super().__init__(folder, *(texts or (charge(),)))

    def now(self) -> int:
        return START + int(self.seconds * SECOND)

    def fresh(self) -> str:
        return f"{next(self._ids):032x}"

    def demanded(self, action: str) -> int:
        return self.demands.get(action, 0)

    def start(self) -> None:
        self.store = Store(self.tables or self.folder / "app.db")
        self.approving = Approving(
            self.store,
            people=self.people,
            signer=Signer(self.folder, self.fresh),
            workshop=self.bench,
            log_time=self.now,
            clock=self.now,
            ids=self.fresh,
            demands=self.demanded,
        )
        commanding = Commanding(self.store, log_time=self.now, clock=self.now, ids=self.fresh)
        self.carrier = Carrier(self.store, self.signals, self.runbooks, self.approving)
        self.stage = Stage(self.signals, self.decisions, self.store, self.carrier)
        self.office = Office(
            self.people,
            self.approving,
            commanding,
            Reviewing(self.store, clock=self.now),
            Records(self.store.database),
        )
        self.around = Surroundings(
            Channels(()),
            {},
            OpenDoor(),
            self.now,
            self.now,
            lambda: False,
            Guarded(self.bench, self.approving.allows),
            commanding.paused,
        )

    def fail(self, *subjects: str, **data: Any) -> None:
        """A payment of each of these customers fails, now."""
        self.seconds += 1
        some = {"payment": "p1", "amount": 20, **data}
        records = [
            msgspec.structs.replace(one, id=f"{one.id}-{one.subject}")
            for one in (event("payment.failed", self.seconds, who, **some) for who in subjects)
        ]
        self.settle(*records)

    def tend(self) -> None:
        """Dry runs are made, grants are tried, what is late expires."""

        async def once() -> None:
            while True:
                self.approving.tend()
                if not self.approving.preparing:
                    return
                await asyncio.gather(*self.approving.preparing)

        asyncio.run(once())

    def asked(self, status: Status | None = "open") -> list[Approval]:
        """Requests of that status, oldest first."""
        return list(reversed(self.approving.newest(status)))

    def ask(self, *subjects: str, **data: Any) -> Approval:
        """Payments fail and are prepared; the last request."""
        self.fail(*(subjects or ("s1",)), **data)
        self.tend()
        return self.approving.newest(None)[0]

    def come_back(self) -> None:
        """The gateway takes the reports, and the playbooks hear them."""
        self.seconds += 1
        self.report(self.seconds)
        self.settle()

    def act(self) -> list[str]:
        """Everything that waits outside is attempted; what came of each."""
        deliveries = Deliveries(self.store, self.around)
        waiting = deliveries.waiting(100)
        return [asyncio.run(deliveries.attempt(one.key, one.attempt)) for one in waiting]

    def ending(self, intervention: str) -> str | None:
        """How an intervention stands."""
        state = self.store.state(intervention)
        return None if state is None else state.ending

    def noted(self) -> list[str]:
        """What people did, oldest first."""
        found = reversed(self.office.records.newest(1000))
        return [f"{one.who} {one.what}" for one in found]
