"""What becomes of cases: people take them or the next queue gets them, and their ends come back.

Two kinds of work in a loop: each helpdesk is asked what happened, which becomes events, history and
a word to the customer; and a case that nobody took in time is handed to the next queue. Both are
durable: a change is remembered by its id in the transaction that queues its event, and what is
passed on goes under a key of its own.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from forestall.channels.base import Desk
from forestall.channels.helpdesk.port import ChangeKind, Helpdesk, HelpdeskUnavailable, TicketChange
from forestall.contracts.event import CloudEvent
from forestall.contracts.instants import DAY, MINUTE, SECOND, format_duration, format_time
from forestall.contracts.intervention import Message
from forestall.intervene.escalation_store import Escalation, EscalationStore
from forestall.intervene.queues import HelpdeskDesk, QueueDesk, passed_on
from forestall.intervene.reports import SOURCE
from forestall.intervene.running import effect_key
from forestall.intervene.store import Store
from forestall.intervene.surroundings import Surroundings, door_says
from forestall.intervene.taking import take
from forestall.intervene.telemetry import TICKETS
from forestall.kernel.clock import within
from forestall.kernel.database.tables import TROUBLE
from forestall.kernel.settings import Queue

_TYPES: dict[ChangeKind, str] = {
    "opened": "forestall.ticket.opened",
    "solved": "forestall.ticket.closed",
    "reopened": "forestall.ticket.reopened",
    "rated": "forestall.ticket.rated",
}
_SHOWN_FOR, _REMEMBERED = 7 * DAY, 30 * DAY
_FIRST_PAUSE, _LONGEST_PAUSE = 5 * SECOND, 10 * MINUTE
_TICK = 0.5
_log = structlog.get_logger(__name__)

Identify = Callable[[str], str | None]
"""The pseudonym of a customer by their own id, if we know them."""

Publish = Callable[[str, Message], None]
"""Tells open pages of a message for a purpose, once it is durable."""


class Casework(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment says about cases: its queues by name, how long to wait between two questions
    to a helpdesk (microseconds), which fields of events are personal, where links lead, and who a
    helpdesk's customer is."""

    queues: Mapping[str, Queue] = {}
    polls: Mapping[str, int] = {}
    personal: Mapping[str, frozenset[str]] = {}
    links: Mapping[str, str] = {}
    identify: Identify = lambda _id: None


class Tickets:
    """Everything that comes back of cases. Belongs to the event loop's thread.

    ``queues`` are the desks of ``around``; ``polls`` says how long to wait between two questions to
    a helpdesk, in microseconds."""

    def __init__(
        self,
        store: Store,
        around: Surroundings,
        helpdesks: Mapping[str, Helpdesk],
        polls: Mapping[str, int],
        *,
        identify: Identify = lambda _id: None,
        publish: Publish = lambda _purpose, _message: None,
    ) -> None:
        self._store, self._around = store, around
        self._escalations = EscalationStore(store.database)
        self._helpdesks, self._polls = helpdesks, polls
        self._identify, self._publish = identify, publish

    async def run(self, stopping: asyncio.Event) -> None:
        """Do all of it until ``stopping``."""
        async with asyncio.TaskGroup() as group:
            for name in self._helpdesks:
                group.create_task(self._follow(name, stopping))
            group.create_task(self._pass_on(stopping))

    async def poll(self, name: str) -> bool:
        """Ask a helpdesk once what happened; whether there is more. Raises
        ``HelpdeskUnavailable``."""
        since = self._escalations.cursor(name)
        if since is None:
            since = f"@{self._around.clock()}"
            with self._store.transaction():
                self._escalations.move(name, since)
        found = await self._helpdesks[name].changes(since)
        said: list[tuple[str, Message]] = []
        with self._store.transaction():
            for change in found.changes:
                if self._escalations.fresh(change.id, self._around.clock()):
                    said += self._happened(name, change)
            self._escalations.move(name, found.cursor)
            self._escalations.forget(self._around.clock() - _REMEMBERED)
        for purpose, message in said:
            self._publish(purpose, message)
        return found.more

    async def pass_on(self) -> int:
        """Hand what nobody took in time to the next queue; how many cases were overdue."""
        due = self._escalations.due(self._around.clock())
        for escalation in due:
            await self._overdue(escalation)
        return len(due)

    async def _follow(self, name: str, stopping: asyncio.Event) -> None:
        failures = 0
        while not stopping.is_set():
            pause = self._polls[name]
            try:
                more = await self.poll(name)
                failures = 0
            except HelpdeskUnavailable as error:
                failures += 1
                more, pause = False, _later(failures, error.retry_after or pause)
                _log.warning("helpdesk_waits", helpdesk=name, why=str(error))
            except TROUBLE as error:
                more = False
                _log.error("tickets wait until the disk works again", why=str(error))
            if not more:
                await within(stopping, pause / SECOND)

    async def _pass_on(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                await self.pass_on()
            except TROUBLE as error:
                _log.error("cases wait until the disk works again", why=str(error))
            await within(stopping, _TICK)

    # -- what happened -----------------------------------------------------------------------------

    def _happened(self, name: str, change: TicketChange) -> list[tuple[str, Message]]:
        """Write down what a change means; what is to be said to the customer about it."""
        TICKETS.labels(name, change.kind).inc()
        ours = None if change.tag is None else self._escalations.tagged(change.tag)
        subject = self._whose(ours, change)
        if subject is None:
            return []
        if change.kind != "taken":
            self._store.report(self._event(name, change, subject, ours))
        if ours is None:
            return []
        if change.kind == "taken":
            take(
                self._store,
                ours.intervention,
                change.by or name,
                wall=change.at,
                log=self._log_time(change.at),
            )
        elif change.kind == "solved":
            return self._solved(ours, subject, change)
        elif change.kind != "opened":
            if change.kind == "reopened":
                self._escalations.solve(ours.intervention, None)
            self._note(ours, f"ticket_{change.kind}", change)
        return []

    def _whose(self, ours: Escalation | None, change: TicketChange) -> str | None:
        if ours is not None:
            return ours.subject
        return None if change.customer is None else self._identify(change.customer)

    def _event(
        self, name: str, change: TicketChange, subject: str, ours: Escalation | None
    ) -> CloudEvent:
        data: dict[str, Any] = {"ticket": change.ticket, "channel": name}
        if ours is not None:
            data["intervention"] = ours.intervention
        if change.score is not None:
            data["score"] = change.score
        return CloudEvent(
            id=hashlib.sha256(f"ticket:{change.id}".encode()).hexdigest()[:32],
            source=SOURCE,
            type=_TYPES[change.kind],
            subject=subject,
            time=format_time(self._log_time(change.at)),
            datacontenttype="application/json",
            data=msgspec.Raw(msgspec.json.encode(data)),
        )

    def _log_time(self, at: int) -> int:
        """When it happened, in the time of the log, which may be that of a replayed history."""
        return min(at, self._around.log_time())

    def _solved(
        self, ours: Escalation, subject: str, change: TicketChange
    ) -> list[tuple[str, Message]]:
        known = ours.solved_at is not None
        self._escalations.solve(ours.intervention, change.at)
        self._note(ours, "ticket_solved", change)
        desk = self._around.queues.get(ours.queue)
        words = desk.queue.solved if isinstance(desk, QueueDesk) else ""
        state = self._store.state(ours.intervention)
        if known or not words or state is None:
            return []
        if door_says(self._around, subject, state.purpose) is not None:
            return []
        now, key = self._around.log_time(), effect_key(ours.intervention, ours.step, "solved")
        if self._store.message(key) is not None:
            return []
        decision, title = self._store.decision(ours.intervention)
        message = Message(
            id=key,
            intervention=ours.intervention,
            subject=subject,
            policy=state.policy,
            title=title,
            body=words,
            why=decision.explanation,
            created=now,
            expires=now + _SHOWN_FOR,
            version=state.version,
        )
        self._store.add_message(message, ours.step, state.purpose)
        return [(state.purpose, message)]

    def _note(self, ours: Escalation, what: str, change: TicketChange) -> None:
        at, subject = self._log_time(change.at), self._store.subject(ours.intervention)
        self._store.note(subject or "", ours.intervention, what, ours.step, at, change.ticket)

    # -- what nobody took ---------------------------------------------------------------------------

    async def _overdue(self, escalation: Escalation) -> None:
        here, following = self._queue(escalation.queue)
        state = self._store.state(escalation.intervention)
        if following is None or state is None or here is None:
            self._settled(escalation)
            return
        if "taken" in {one.what for one in self._store.history(escalation.intervention)}:
            with self._store.transaction():
                self._escalations.take(escalation.intervention, "", self._around.clock())
            return
        if door_says(self._around, escalation.subject, state.purpose) is not None:
            self._settled(escalation)
            return
        case = passed_on(escalation, following.name)
        delivery = await following.hand_over(case, case.id)
        if delivery.outcome != "delivered":
            _log.warning(
                "case_waits_for_next_queue",
                queue=following.name,
                case=case.id,
                why=delivery.detail or delivery.reason,
            )
            pause = _later(escalation.attempts + 1, delivery.retry_after or _FIRST_PAUSE)
            with self._store.transaction():
                self._escalations.put_off(escalation.key, self._around.clock() + pause)
            return
        self._settled(escalation)
        await self._say_so(escalation, here, following, delivery.ticket)

    def _queue(self, name: str) -> tuple[QueueDesk | None, QueueDesk | None]:
        here = _as_queue(self._around.queues.get(name))
        if here is None or here.queue.next is None:
            return here, None
        return here, _as_queue(self._around.queues.get(here.queue.next))

    def _settled(self, escalation: Escalation) -> None:
        with self._store.transaction():
            self._escalations.put_off(escalation.key, None)

    async def _say_so(
        self, escalation: Escalation, here: QueueDesk, following: QueueDesk, ticket: str | None
    ) -> None:
        """A note in the ticket that nobody took; where it fails, nothing is lost."""
        if not isinstance(here.desk, HelpdeskDesk) or escalation.ticket is None:
            return
        waited = format_duration((self._around.clock() - escalation.handed_over) // SECOND * SECOND)
        there = f" as {ticket}" if ticket else ""
        text = f"Nobody took this in {waited}; {following.name} has it now{there}."
        key = effect_key(escalation.intervention, escalation.step, f"passed-on-{escalation.tier}")
        delivery = await here.desk.helpdesk.comment(escalation.ticket, text, key)
        if delivery.outcome != "delivered":
            _log.warning("ticket_not_told", ticket=escalation.ticket, why=delivery.detail)


def _as_queue(desk: Desk | None) -> QueueDesk | None:
    return desk if isinstance(desk, QueueDesk) else None


def _later(failures: int, least: int) -> int:
    """How long to stay away after so many failures, in microseconds."""
    return max(least, min(_FIRST_PAUSE << min(failures - 1, 12), _LONGEST_PAUSE))
