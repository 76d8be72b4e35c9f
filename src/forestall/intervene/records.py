"""What people did, with who and why: the table ``records``, to which rows are only ever added."""

from typing import Any

import msgspec
from sqlalchemy import insert, select

from forestall.intervene.tables import records
from forestall.kernel.database.tables import Database

REQUESTING = ("intervention.force", "intervention.repeat")
"""Commands that make somebody the one who asked for what follows."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One act of a person: at which wall time (microseconds), who, what (``pause.started``), about
    which id, why, and what else belongs to it."""

    seq: int = 0
    at: int
    who: str
    what: str
    about: str
    why: str
    detail: dict[str, Any] = {}


class Records:
    """The records in ``database``. Writes belong into the transaction of what they record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entry: Entry) -> int:
        """Write it down; its number."""
        row = msgspec.structs.asdict(entry)
        del row["seq"]
        row["detail"] = msgspec.json.encode(entry.detail)
        written = self._database.run(insert(records).returning(records.c.seq), row)
        return int(written.scalar_one())

    def newest(self, limit: int = 50, *, about: str | None = None) -> list[Entry]:
        """The newest, newest first; of ``about`` only those whose id begins so."""
        asked = select(*(records.c[name] for name in Entry.__struct_fields__))
        if about is not None:
            asked = asked.where(records.c.about.startswith(about, autoescape=True))
        rows = self._database.run(asked.order_by(records.c.seq.desc()).limit(limit))
        return [
            Entry(**{**row._asdict(), "detail": msgspec.json.decode(row.detail)}) for row in rows
        ]

    def requested(self, intervention: str) -> frozenset[str]:
        """Who forced or repeated a step of an intervention: they approve nothing of it."""
        asked = select(records.c.who).where(
            records.c.about == intervention, records.c.what.in_(REQUESTING)
        )
        return frozenset(self._database.run(asked).scalars())
