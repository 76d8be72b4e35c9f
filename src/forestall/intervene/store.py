"""Running interventions, their history, messages and reports, in the tables of app.db.

What a stage computes is written inside ``transaction`` and is durable, or not there at all, when
that ends. The app process is the only writer and writes from one thread; others open it read-only.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import msgspec
from sqlalchemy import bindparam, delete, insert, select, update

from forestall.contracts.decision import Decision
from forestall.contracts.errors import ForestallError
from forestall.contracts.event import CloudEvent
from forestall.contracts.instants import format_time
from forestall.contracts.intervention import Ending, Message, Taken
from forestall.intervene.effect_store import EffectStore
from forestall.intervene.pauses import Pauses
from forestall.intervene.running import Running
from forestall.intervene.tables import (
    VERSION,
    cursors,
    effects,
    escalations,
    history,
    interventions,
    messages,
    meta,
    metadata,
    outbox,
    traits,
)
from forestall.kernel.database.tables import Database


class StoreMissing(ForestallError):
    """There are no interventions here yet: the app process has not run in this data folder."""

    code = "app-store-missing"
    exit_code = 2


class StoreOutdated(ForestallError):
    """The tables are those of another version of Forestall, which this one cannot read."""

    code = "app-store-outdated"
    exit_code = 2


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """An intervention as people look at it; times are RFC 3339, ``taken`` what was done so far."""

    id: str
    subject: str
    policy: str
    title: str
    at: str
    explanation: str
    outcome: Ending | Literal["running"]
    reason: str | None
    ended: str | None
    taken: tuple[Taken, ...]


_states = msgspec.json.Decoder(Running)
_decisions = msgspec.json.Decoder(Decision)
_messages = msgspec.json.Decoder(Message)
_encode = msgspec.json.Encoder().encode

_of = interventions.c.id == bindparam("b_id")
_CURSOR = select(cursors.c.position).where(cursors.c.name == bindparam("name"))
_TRAITS = select(traits.c.traits).where(traits.c.subject == bindparam("subject"))
_OPEN = insert(interventions)
_KEEP = update(interventions).where(_of)
_HAS = select(interventions.c.seq).where(_of)
_STATE = select(interventions.c.state).where(_of)
_DECISION = select(interventions.c.decision, interventions.c.title).where(_of)
_SUBJECT = select(interventions.c.subject).where(_of)
_RUNNING = (
    select(interventions.c.state)
    .where(interventions.c.ending.is_(None))
    .order_by(interventions.c.seq)
)
_LOOKED_AT = select(
    *(
        interventions.c[name]
        for name in (
            *("id", "subject", "policy", "title", "started", "decision"),
            *("ending", "reason", "ended"),
        )
    )
)
_HISTORY = (
    select(history.c.at, history.c.what, history.c.step, history.c.reason)
    .where(history.c.intervention == bindparam("intervention"))
    .order_by(history.c.seq)
)
_ADD_MESSAGE = insert(messages)
_MESSAGES_AFTER = (
    select(messages.c.seq, messages.c.purpose, messages.c.message)
    .where(
        messages.c.subject == bindparam("subject"),
        messages.c.seq > bindparam("after"),
        messages.c.expires > bindparam("now"),
        messages.c.withdrawn.is_(False),
    )
    .order_by(messages.c.seq)
)
_MESSAGE = select(
    messages.c.seq, messages.c.subject, messages.c.intervention, messages.c.step
).where(messages.c.id == bindparam("id"))
_MESSAGES_OF = (
    select(messages.c.step, messages.c.message)
    .where(messages.c.intervention == bindparam("intervention"))
    .order_by(messages.c.seq)
)
_SHOWN = (
    update(messages)
    .where(messages.c.id == bindparam("b_id"), messages.c.shown.is_(False))
    .values(shown=True)
)
_WITHDRAW = (
    update(messages)
    .where(messages.c.intervention == bindparam("b_intervention"))
    .values(withdrawn=True)
)
_REPORTS = select(outbox.c.seq, outbox.c.event).order_by(outbox.c.seq).limit(bindparam("limit"))
_REPORTED = delete(outbox).where(outbox.c.seq == bindparam("seq"))


class Store:
    """Opens the tables in the file ``where``, or in PostgreSQL if that is a URL, and makes them
    where they are missing unless ``read_only``. Raises ``StoreMissing`` and ``StoreOutdated``.

    ``database`` and ``effects`` serve the modules that have tables of their own.
    """

    def __init__(self, where: Path | str, *, read_only: bool = False) -> None:
        if read_only and isinstance(where, Path) and not where.exists():
            raise StoreMissing(f"{where}: there is no such file; start `forestall serve` first")
        self.database = Database(where, read_only=read_only)
        try:
            self._lay(where)
        except BaseException:
            self.database.close()
            raise
        self._prepare()
        self.effects = EffectStore(self.database)

    def _lay(self, where: Path | str) -> None:
        named = where if isinstance(where, Path) else "the PostgreSQL database"
        laid = self.database.has(interventions)
        if laid and self._meta("version") != VERSION:
            raise StoreOutdated(
                f"{named}: its tables are not of version {VERSION}; serve it with the Forestall"
                " that wrote it until no intervention runs, then move it away"
            )
        if laid:
            return
        if self.database.read_only:
            raise StoreMissing(f"{named}: there are no tables yet; start `forestall serve`")
        with self.transaction():
            self.database.lay(metadata)
            self.database.run(insert(meta), {"name": "version", "value": VERSION})

    def _prepare(self) -> None:
        """Statements that are written differently for each kind of database."""
        made = self.database.insert
        self._move = _replacing(made(cursors), "name", "position")
        self._keep_traits = _replacing(made(traits), "subject", "traits")
        self._name = made(meta).on_conflict_do_nothing()
        self._report = made(outbox).on_conflict_do_nothing()
        known = select(
            interventions.c.id,
            *(bindparam(f"b_{name}", type_=history.c[name].type) for name in _NOTED),
        ).where(_of, interventions.c.subject == bindparam("b_subject"))
        noted = made(history).from_select(["intervention", *_NOTED], known)
        self._note = noted.on_conflict_do_nothing().execution_options(preserve_rowcount=True)

    def close(self) -> None:
        """Release the database."""
        self.database.close()

    def transaction(self, *, durable: bool = True) -> AbstractContextManager[None]:
        """Everything written inside is committed together, or rolled back when it raises.

        What is not ``durable`` may be undone by a loss of power until the next durable commit.
        """
        return self.database.transaction(durable=durable)

    def _first(self, statement: Any, **values: Any) -> Any:
        return self.database.hot(statement, values).fetchone()

    def _meta(self, name: str) -> str | None:
        row = self.database.run(select(meta.c.value).where(meta.c.name == name)).first()
        return None if row is None else str(row[0])

    def identity(self, fresh: str) -> str:
        """The name of this deployment, ``fresh`` if it has none yet."""
        self.database.run(self._name, {"name": "identity", "value": fresh})
        return str(self._meta("identity"))

    def cursor(self, name: str) -> int:
        """Where reading ``name`` stands, 0 at first."""
        row = self._first(_CURSOR, name=name)
        return 0 if row is None else int(row[0])

    def move(self, name: str, position: int) -> None:
        """Set a cursor."""
        self.database.hot(self._move, {"name": name, "position": position})

    def traits(self, subject: str) -> dict[str, Any]:
        """What ``forestall.identify`` has told of the subject."""
        row = self._first(_TRAITS, subject=subject)
        return {} if row is None else msgspec.json.decode(row[0])

    def keep_traits(self, subject: str, known: dict[str, Any]) -> None:
        """Replace the subject's traits."""
        self.database.hot(self._keep_traits, {"subject": subject, "traits": _encode(known)})

    def join(self, former: str, subject: str) -> None:
        """``former`` turned out to be ``subject``: what is on its way goes there."""
        for table in (messages, effects, escalations, interventions):
            moved = update(table).where(table.c.subject == former).values(subject=subject)
            if table is interventions:
                moved = moved.where(interventions.c.ending.is_(None))
            self.database.run(moved)
        Pauses(self.database).join(former, subject)

    def running(self) -> list[Running]:
        """Interventions that have not ended, oldest first."""
        return [_states.decode(row[0]) for row in self.database.run(_RUNNING)]

    def open(self, state: Running, decision: Decision, title: str) -> None:
        """Add an intervention."""
        self.database.hot(
            _OPEN,
            {
                "id": state.id,
                "subject": state.subject,
                "policy": state.policy,
                "title": title,
                "started": state.at,
                "decision": _encode(decision),
                "state": b"",
            },
        )

    def keep(self, state: Running) -> None:
        """Replace the state of an intervention that is there."""
        self.database.hot(
            _KEEP,
            {
                "b_id": state.id,
                "state": _encode(state),
                "ending": state.ending,
                "reason": state.reason,
                "ended": state.ended,
            },
        )

    def has(self, intervention: str) -> bool:
        """Whether there is such an intervention."""
        return self._first(_HAS, b_id=intervention) is not None

    def met(self, *, policy: str | None = None, subject: str | None = None) -> bool:
        """Whether there ever was an intervention of that policy, or of that subject."""
        of = interventions.c.policy == policy if policy else interventions.c.subject == subject
        return self.database.run(select(interventions.c.seq).where(of).limit(1)).first() is not None

    def state(self, intervention: str) -> Running | None:
        """How an intervention stands."""
        row = self._first(_STATE, b_id=intervention)
        return None if row is None else _states.decode(row[0])

    def decision(self, intervention: str) -> tuple[Decision, str]:
        """The decision behind an intervention and its policy's title. Raises ``KeyError``."""
        row = self._first(_DECISION, b_id=intervention)
        if row is None:
            raise KeyError(intervention)
        return _decisions.decode(row[0]), row[1]

    def subject(self, intervention: str) -> str | None:
        """Whose intervention it is, if there is such a one."""
        row = self._first(_SUBJECT, b_id=intervention)
        return None if row is None else str(row[0])

    def note(
        self, subject: str, intervention: str, what: str, step: int | None, at: int, reason: Any
    ) -> bool:
        """Remember, once, that this happened; false where that is known already, or the subject
        has no such intervention."""
        written = self.database.hot(
            self._note,
            {
                "b_id": intervention,
                "b_subject": subject,
                "b_what": what,
                "b_step": step or 0,
                "b_at": at,
                "b_reason": reason,
            },
        )
        return bool(written.rowcount > 0)

    def history(self, intervention: str) -> tuple[Taken, ...]:
        """What was done so far, in order."""
        rows = self.database.hot(_HISTORY, {"intervention": intervention})
        return tuple(
            Taken(format_time(at), what, step or None, reason) for at, what, step, reason in rows
        )

    def newest(self, limit: int = 50, *, subject: str | None = None) -> list[Summary]:
        """The newest interventions, newest first."""
        wanted = _LOOKED_AT.order_by(interventions.c.seq.desc()).limit(limit)
        if subject is not None:
            wanted = wanted.where(interventions.c.subject == subject)
        return self._summaries(wanted)

    def find(self, prefix: str) -> list[Summary]:
        """Interventions whose id starts with ``prefix``, at most ten."""
        named = interventions.c.id
        return self._summaries(
            _LOOKED_AT.where(named >= prefix, named < prefix + "~").order_by(named).limit(10)
        )

    def _summaries(self, wanted: Any) -> list[Summary]:
        return [
            Summary(
                id=row[0],
                subject=row[1],
                policy=row[2],
                title=row[3],
                at=format_time(row[4]),
                explanation=_decisions.decode(row[5]).explanation,
                outcome=row[6] or "running",
                reason=row[7],
                ended=None if row[8] is None else format_time(row[8]),
                taken=self.history(row[0]),
            )
            for row in self.database.run(wanted).all()
        ]

    def add_message(self, message: Message, step: int, purpose: str) -> None:
        """Put an in-app message where the subject's event stream finds it."""
        self.database.hot(
            _ADD_MESSAGE,
            {
                "id": message.id,
                "subject": message.subject,
                "intervention": message.intervention,
                "step": step,
                "purpose": purpose,
                "expires": message.expires,
                "message": _encode(message),
            },
        )

    def messages_after(self, subject: str, after: int, now: int) -> list[tuple[int, str, Message]]:
        """``(number, purpose, message)`` of what may still be shown at log time ``now``."""
        rows = self.database.hot(_MESSAGES_AFTER, {"subject": subject, "after": after, "now": now})
        return [(seq, purpose, _messages.decode(message)) for seq, purpose, message in rows]

    def message(self, message: str) -> tuple[str, str, int] | None:
        """``(subject, intervention, step)`` of a message."""
        row = self._first(_MESSAGE, id=message)
        return None if row is None else (row[1], row[2], row[3])

    def messages_of(self, intervention: str) -> list[tuple[int, Message]]:
        """``(step, message)`` of all in-app messages of an intervention, oldest first."""
        rows = self.database.run(_MESSAGES_OF, {"intervention": intervention})
        return [(step, _messages.decode(message)) for step, message in rows]

    def shown(self, message: str) -> bool:
        """Remember that a message was shown; false if that is known, or there is none."""
        return bool(self.database.hot(_SHOWN, {"b_id": message}).rowcount > 0)

    def message_number(self, message: str) -> int | None:
        """The number of a message in its subject's stream."""
        row = self._first(_MESSAGE, id=message)
        return None if row is None else int(row[0])

    def withdraw(self, intervention: str, reason: str, step: int | None = None) -> None:
        """Nothing of this intervention that has not left yet may leave any more; of one ``step``,
        only what pages show."""
        if step is not None:
            words = messages.c.intervention == intervention, messages.c.step == step
            self.database.run(update(messages).where(*words).values(withdrawn=True))
            return
        self.database.hot(_WITHDRAW, {"b_intervention": intervention})
        self.effects.withdraw(intervention, reason)

    def report(self, event: CloudEvent) -> None:
        """Queue an event for the gateway; an id that was queued and not yet sent stays once."""
        self.database.hot(self._report, {"id": event.id, "event": _encode(event)})

    def reports(self, limit: int = 200) -> list[tuple[int, msgspec.Raw]]:
        """The oldest events still to be sent, with their numbers."""
        rows = self.database.hot(_REPORTS, {"limit": limit})
        return [(seq, msgspec.Raw(event)) for seq, event in rows]

    def reported(self, numbers: Iterable[int]) -> None:
        """The gateway has these."""
        sent = [{"seq": number} for number in numbers]
        with self.transaction():
            if sent:
                self.database.run(_REPORTED, sent)


_NOTED = ("what", "step", "at", "reason")


def _replacing(made: Any, key: str, value: str) -> Any:
    """An ``INSERT`` that replaces ``value`` where ``key`` is there."""
    return made.on_conflict_do_update(index_elements=[key], set_={value: made.excluded[value]})
