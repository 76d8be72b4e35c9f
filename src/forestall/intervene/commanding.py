"""Operators in command: pauses, and what they do with a running intervention.

A command is a record and an event of the customer, in one commit; the playbook obeys the event. A
pause is a record and a row that every effect looks at right before it happens.
"""

from msgspec.structs import replace

from forestall.contracts.intervention import Command, Tell
from forestall.contracts.refusals import NotThere, TooLate, because
from forestall.intervene.authority import OPERATOR, Who
from forestall.intervene.pauses import Pause, Pauses, Scope, holding
from forestall.intervene.records import Entry, Records
from forestall.intervene.reports import event_of
from forestall.intervene.running import Running
from forestall.intervene.store import Store
from forestall.intervene.taking import take
from forestall.kernel.clock import Clock, Tokens


class Commanding:
    """What operators may do. ``log_time`` and ``clock`` are log and wall time in microseconds.
    Belongs to the event loop's thread, as the store does."""

    def __init__(self, store: Store, *, log_time: Clock, clock: Clock, ids: Tokens) -> None:
        self._store = store
        self._log_time, self._clock, self._ids = log_time, clock, ids
        self._records, self._pauses = Records(store.database), Pauses(store.database)

    def command(
        self, who: Who, intervention: str, command: Command, reason: str, *, undo: bool = False
    ) -> str:
        """Have a running intervention stop (and ``undo`` what was done, last first), go on as if
        the current wait were over, do its current step again, or be taken over in person; its id,
        of which ``intervention`` may be the beginning. Taking over is also how a case is taken
        that a queue has: then nobody else is handed it.

        Raises ``RoleMissing``, ``ReasonMissing``, ``NotThere`` and ``TooLate``."""
        who.need(OPERATOR)
        now, why = self._clock(), because(reason)
        with self._store.transaction():
            state = self._named(intervention)
            taken = command == "take_over" and take(
                self._store, state.id, who.name, wall=now, log=self._log_time()
            )
            if state.ending is not None and not taken:
                raise TooLate(f"ended: this intervention is over ({state.ending})")
            entry = Entry(
                at=now,
                who=who.name,
                what=f"intervention.{command}",
                about=state.id,
                why=why,
                detail={"step": state.step, "policy": state.policy, "undo": undo},
            )
            number = self._records.add(entry)
            if state.ending is not None:
                return state.id
            decision, _ = self._store.decision(state.id)
            tell = Tell(
                decision.id,
                decision.policy,
                decision.version,
                reason=why,
                by=who.name,
                command=command,
                undo=undo or None,
            )
            at, once = self._log_time(), str(number)
            self._store.report(event_of(decision, state.subject, "commanded", at, tell, once))
        return state.id

    def _named(self, intervention: str) -> Running:
        found = self._store.find(intervention) if intervention else []
        state = self._store.state(found[0].id) if len(found) == 1 else None
        if state is None:
            many = "more than one" if found else "no"
            raise NotThere(f"there is {many} intervention whose id begins with {intervention!r}")
        return state

    def pause(
        self, who: Who, scope: Scope, what: str | None, reason: str, *, lasts: int | None = None
    ) -> Pause:
        """Stop what is done for ``what`` from now on, for ``lasts`` microseconds or until it is
        resumed. Raises ``RoleMissing`` and ``ReasonMissing``."""
        who.need(OPERATOR)
        now, why = self._clock(), because(reason)
        pause = Pause(
            id=self._ids(),
            scope=scope,
            what=what,
            by=who.name,
            why=why,
            since=now,
            until=None if lasts is None else now + lasts,
        )
        detail = {"scope": scope, "what": what, "lasts": lasts}
        with self._store.transaction():
            self._pauses.add(pause)
            self._records.add(
                Entry(
                    at=now,
                    who=who.name,
                    what="pause.started",
                    about=pause.id,
                    why=why,
                    detail=detail,
                )
            )
        return pause

    def met(self, pause: Pause) -> bool:
        """Whether anything was ever done for the customer or policy that ``pause`` names; true of
        an account, which is not looked for, and of everything."""
        match pause.scope:
            case "policy":
                return self._store.met(policy=pause.what)
            case "customer":
                return self._store.met(subject=pause.what)
            case _:
                return True

    def resume(self, who: Who, pause: str, reason: str) -> Pause:
        """End a pause. Raises ``RoleMissing``, ``ReasonMissing``, ``NotThere`` and ``TooLate``."""
        who.need(OPERATOR)
        now, why = self._clock(), because(reason)
        with self._store.transaction():
            found = self._pauses.get(pause)
            if found is None:
                raise NotThere(f"there is no pause {pause!r}")
            if not found.holds(now):
                raise TooLate("ended: this pause is over already")
            self._pauses.end(pause, now)
            self._records.add(Entry(at=now, who=who.name, what="pause.ended", about=pause, why=why))
        return replace(found, ended=now)

    def pauses(self, *, past: bool = False) -> list[Pause]:
        """Those in force now, or all that ever were, oldest first."""
        now = self._clock()
        known = self._pauses.all(past=past)
        return known if past else [pause for pause in known if pause.holds(now)]

    def paused(self, subject: str, policy: str) -> str | None:
        """The pause that stops something of ``policy`` for ``subject`` at this moment."""
        known = self._pauses.all()
        if not known:
            return None
        traits = self._store.traits(subject)
        pause = holding(known, self._clock(), subject=subject, policy=policy, traits=traits)
        return None if pause is None else pause.id
