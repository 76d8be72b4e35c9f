"""Pauses: people stop what is done for one customer, one account, one policy, or everybody."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from sqlalchemy import insert, select, update

from forestall.intervene.tables import pauses
from forestall.kernel.database.tables import Database

Scope = Literal["customer", "account", "policy", "everything"]

ACCOUNT = "account"
"""The trait of a customer that names the account."""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing is done for ``what`` (a pseudonym, an account, a policy's name; none for everything)
    from ``since`` on, until ``until`` or for good, or until somebody ended it. Wall times."""

    id: str
    scope: Scope
    what: str | None
    by: str
    why: str
    since: int
    until: int | None = None
    ended: int | None = None

    def holds(self, now: int) -> bool:
        """Whether it is in force at wall time ``now``."""
        return self.ended is None and (self.until is None or now < self.until)


def holding(
    known: Iterable[Pause], now: int, *, subject: str, policy: str, traits: dict[str, Any]
) -> Pause | None:
    """The pause that stops something of ``policy`` for ``subject`` at wall time ``now``."""
    concerned = {
        ("customer", subject),
        ("account", str(traits[ACCOUNT]) if traits.get(ACCOUNT) is not None else None),
        ("policy", policy),
        ("everything", None),
    } - {("account", None)}
    for pause in known:
        if pause.holds(now) and (pause.scope, pause.what) in concerned:
            return pause
    return None


_columns = select(*(pauses.c[name] for name in Pause.__struct_fields__)).order_by(
    pauses.c.since, pauses.c.id
)
_OPEN = _columns.where(pauses.c.ended.is_(None))


class Pauses:
    """The pauses in ``database``. Writes belong into the transaction of their record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, pause: Pause) -> None:
        """Begin it."""
        self._database.run(insert(pauses), msgspec.structs.asdict(pause))

    def end(self, pause: str, now: int) -> None:
        """End it."""
        self._database.run(update(pauses).where(pauses.c.id == pause).values(ended=now))

    def join(self, former: str, subject: str) -> None:
        """``former`` turned out to be ``subject``, who is paused from now on where it was."""
        about = (pauses.c.scope == "customer", pauses.c.what == former)
        self._database.run(update(pauses).where(*about).values(what=subject))

    def get(self, pause: str) -> Pause | None:
        """The pause of that id."""
        row = self._database.run(_columns.where(pauses.c.id == pause)).first()
        return None if row is None else Pause(**row._asdict())

    def all(self, *, past: bool = False) -> list[Pause]:
        """Those that nobody ended, oldest first; with ``past`` all that ever were."""
        rows = self._database.run(_columns if past else _OPEN)
        return [Pause(**row._asdict()) for row in rows]
