"""Cases that people have: who is to acknowledge them until when, and how far helpdesks were read.

The tables ``escalations``, ``ticket_cursors`` and ``ticket_changes``. All times are wall time.
"""

import hashlib
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, select, update

from forestall.contracts.intervention import Case
from forestall.intervene.tables import escalations, ticket_changes, ticket_cursors
from forestall.kernel.database.tables import Database


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """A case that a queue has. ``tag`` is by which tickets name it, ``due`` when it goes to the next
    queue if nobody took it (none: never), ``attempts`` how often that was tried, ``body`` the JSON
    of the ``Case``. ``handed_over`` is 0 until the queue has it for certain."""

    key: str
    tag: str
    intervention: str
    step: int
    subject: str
    queue: str
    tier: int
    ticket: str | None
    handed_over: int
    due: int | None
    attempts: int = 0
    taken_by: str | None = None
    taken_at: int | None = None
    solved_at: int | None = None
    body: bytes

    @property
    def case(self) -> Case:
        """What the queue was handed, all of it."""
        return msgspec.json.decode(self.body, type=Case)


_FIELDS = Escalation.__struct_fields__
_columns = select(*(escalations.c[name] for name in _FIELDS))
_BY_KEY = _columns.where(escalations.c.key == bindparam("key"))
_BY_TAG = _columns.where(escalations.c.tag == bindparam("tag"))
_OF = _columns.where(escalations.c.intervention == bindparam("intervention")).order_by(
    escalations.c.tier
)
_DELIVERED = (
    update(escalations)
    .where(escalations.c.key == bindparam("b_key"), escalations.c.handed_over == 0)
    .values(ticket=bindparam("b_ticket"), handed_over=bindparam("when"), due=bindparam("until"))
)
_DUE = (
    _columns.where(escalations.c.due <= bindparam("now"))
    .order_by(escalations.c.due)
    .limit(bindparam("limit"))
)
_PUT_OFF = (
    update(escalations)
    .where(escalations.c.key == bindparam("b_key"))
    .values(due=bindparam("until"), attempts=escalations.c.attempts + 1)
)
_TAKE = (
    update(escalations)
    .where(
        escalations.c.intervention == bindparam("b_intervention"),
        escalations.c.taken_at.is_(None),
    )
    .values(taken_by=bindparam("who"), taken_at=bindparam("when"), due=None)
)
_TAKEN = select(escalations.c.key).where(
    escalations.c.intervention == bindparam("intervention"),
    escalations.c.taken_at.is_not(None) | escalations.c.solved_at.is_not(None),
)
_SOLVE = (
    update(escalations)
    .where(escalations.c.intervention == bindparam("b_intervention"))
    .values(solved_at=bindparam("when"), due=None)
)


class EscalationStore:
    """The escalations in ``database``. Writes belong into a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._add = database.insert(escalations).on_conflict_do_nothing()
        seen = database.insert(ticket_changes).on_conflict_do_nothing()
        self._see = seen.returning(ticket_changes.c.id)
        made = database.insert(ticket_cursors)
        self._move = made.on_conflict_do_update(
            index_elements=["helpdesk"], set_={"cursor": made.excluded.cursor}
        )

    def add(self, escalation: Escalation) -> None:
        """A queue has a case, or is about to; one with the same key stays as it is."""
        self._database.run(self._add, msgspec.structs.asdict(escalation))

    def delivered(self, key: str, ticket: str | None, at: int, due: int | None) -> None:
        """The queue has the case since ``at``, and until ``due`` to take it."""
        values = {"b_key": key, "b_ticket": ticket, "when": at, "until": due}
        self._database.run(_DELIVERED, values)

    def get(self, key: str) -> Escalation | None:
        """The case with that key."""
        return self._one(_BY_KEY, key=key)

    def tagged(self, tag: str) -> Escalation | None:
        """The case that tickets name so."""
        return self._one(_BY_TAG, tag=tag)

    def of(self, intervention: str) -> list[Escalation]:
        """All queues that have, had or are about to get the case of an intervention, first to last."""
        return self._all(_OF, intervention=intervention)

    def due(self, now: int, limit: int = 20) -> list[Escalation]:
        """Cases that nobody took in time, longest overdue first."""
        return self._all(_DUE, now=now, limit=limit)

    def put_off(self, key: str, until: int | None) -> None:
        """Look again then, or never."""
        self._database.run(_PUT_OFF, {"b_key": key, "until": until})

    def take(self, intervention: str, by: str, at: int) -> bool:
        """Somebody has the case now; false if somebody had it, or nobody was handed it."""
        values = {"b_intervention": intervention, "who": by, "when": at}
        return self._database.run(_TAKE, values).rowcount > 0

    def taken(self, intervention: str) -> bool:
        """Whether somebody has the case, or has solved it."""
        return self._database.run(_TAKEN, {"intervention": intervention}).first() is not None

    def solve(self, intervention: str, at: int | None) -> None:
        """The case is solved, or with none not any more; nobody needs to take it."""
        self._database.run(_SOLVE, {"b_intervention": intervention, "when": at})

    def cursor(self, helpdesk: str) -> str | None:
        """Up to where a helpdesk's changes were read."""
        wanted = select(ticket_cursors.c.cursor).where(ticket_cursors.c.helpdesk == helpdesk)
        row = self._database.run(wanted).first()
        return None if row is None else str(row[0])

    def move(self, helpdesk: str, cursor: str) -> None:
        """Changes were read up to there."""
        self._database.run(self._move, {"helpdesk": helpdesk, "cursor": cursor})

    def fresh(self, change: str, at: int) -> bool:
        """Remember a change by its id; false if it is known."""
        name = hashlib.sha256(change.encode()).hexdigest()[:32]
        return self._database.run(self._see, {"id": name, "at": at}).first() is not None

    def forget(self, before: int) -> None:
        """Changes that are older can come no more."""
        self._database.run(delete(ticket_changes).where(ticket_changes.c.at < before))

    def _one(self, statement: Any, **values: Any) -> Escalation | None:
        return next(iter(self._all(statement, **values)), None)

    def _all(self, statement: Any, **values: Any) -> list[Escalation]:
        rows = self._database.run(statement, values)
        return [Escalation(**dict(zip(_FIELDS, row, strict=True))) for row in rows]
