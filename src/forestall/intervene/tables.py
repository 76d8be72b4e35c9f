"""The tables of app.db, one definition for SQLite and PostgreSQL; all of them stand here.

The app process is their only writer and writes from one thread. The SQL of a concern has one home:
interventions, messages and reports in ``store``, effects in ``effect_store``. A new concern declares
its ``Table`` here, and takes ``Store.database`` in a module of its own: ``database.run(statement)``
executes, and what is done inside ``Store.transaction()`` is durable together, or not there at all.
``database.insert(table)`` gives an ``INSERT`` that knows ``on_conflict_do_nothing()``. All are made
when a store is first opened to write; ``VERSION`` grows when one is added or changes.
"""

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, Text

VERSION = "2"
"""Of the tables, as ``meta`` holds it."""

metadata = sa.MetaData()
"""All tables."""

Number = BigInteger().with_variant(sa.Integer(), "sqlite")
"""A number that counts up by itself as a primary key, also in SQLite."""

_Id = Text().with_variant(Text(collation="C"), "postgresql")
"""An id that is searched by its start: it sorts by its bytes."""

meta = sa.Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)

cursors = sa.Table(
    "cursors",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

traits = sa.Table(
    "traits",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("traits", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

interventions = sa.Table(
    "interventions",
    metadata,
    Column("seq", Number, primary_key=True),
    Column("id", _Id, nullable=False, unique=True),
    Column("subject", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("decision", LargeBinary, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("ending", Text),
    Column("reason", Text),
    Column("ended", BigInteger),
    Index("interventions_subject", "subject", "seq"),
)
Index(
    "interventions_running",
    interventions.c.seq,
    sqlite_where=interventions.c.ending.is_(None),
    postgresql_where=interventions.c.ending.is_(None),
)

history = sa.Table(
    "history",
    metadata,
    Column("seq", Number, primary_key=True),
    Column("intervention", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("reason", Text),
    sa.UniqueConstraint("intervention", "what", "step"),
)

messages = sa.Table(
    "messages",
    metadata,
    Column("seq", Number, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("subject", Text, nullable=False),
    Column("intervention", Text, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Column("shown", Boolean, nullable=False, server_default=sa.false()),
    Column("withdrawn", Boolean, nullable=False, server_default=sa.false()),
    Index("messages_subject", "subject", "seq"),
    Index("messages_intervention", "intervention"),
    sqlite_autoincrement=True,
)

outbox = sa.Table(
    "outbox",
    metadata,
    Column("seq", Number, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("event", LargeBinary, nullable=False),
)

effects = sa.Table(
    "effects",
    metadata,
    Column("key", Text, primary_key=True),
    Column("intervention", Text, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("expires", BigInteger),
    Column("status", Text, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("began", BigInteger, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("deadline", BigInteger),
    Column("uncertain", Boolean, nullable=False),
    Column("detail", Text),
    Column("result", LargeBinary),
    Index("effects_intervention", "intervention"),
    Index("effects_subject", "subject"),
    sqlite_with_rowid=False,
)
Index(
    "effects_open",
    effects.c.not_before,
    sqlite_where=effects.c.status == "waiting",
    postgresql_where=effects.c.status == "waiting",
)

approvals = sa.Table(
    "approvals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("intervention", Text, nullable=False),
    Column("action", Text),
    Column("status", Text, nullable=False),
    Column("asked", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("receipt", LargeBinary),
    Index("approvals_intervention", "intervention"),
    Index("approvals_status", "status", "expires"),
    sqlite_with_rowid=False,
)
grants = sa.Table(
    "grants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("action", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("grants_action", "action"),
    sqlite_with_rowid=False,
)

records = sa.Table(
    "records",
    metadata,
    Column("seq", Number, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("detail", LargeBinary, nullable=False),
    Index("records_about", "about", "seq"),
    sqlite_autoincrement=True,
)

pauses = sa.Table(
    "pauses",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("what", Text),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger),
    Column("ended", BigInteger),
    sqlite_with_rowid=False,
)

reviews = sa.Table(
    "reviews",
    metadata,
    Column("id", Text, primary_key=True),
    Column("intervention", Text, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("policy", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("sampled", BigInteger, nullable=False),
    Column("accepted", Boolean),
    Column("by", Text),
    Column("why", Text),
    Column("judged", BigInteger),
    sqlite_with_rowid=False,
)

escalations = sa.Table(
    "escalations",
    metadata,
    Column("key", Text, primary_key=True),
    Column("tag", Text, nullable=False),
    Column("intervention", Text, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("tier", BigInteger, nullable=False),
    Column("ticket", Text),
    Column("handed_over", BigInteger, nullable=False),
    Column("due", BigInteger),
    Column("attempts", BigInteger, nullable=False),
    Column("taken_by", Text),
    Column("taken_at", BigInteger),
    Column("solved_at", BigInteger),
    Column("body", LargeBinary, nullable=False),
    Index("escalations_tag", "tag"),
    Index("escalations_intervention", "intervention"),
    sqlite_with_rowid=False,
)
Index(
    "escalations_due",
    escalations.c.due,
    sqlite_where=escalations.c.due.is_not(None),
    postgresql_where=escalations.c.due.is_not(None),
)

ticket_cursors = sa.Table(
    "ticket_cursors",
    metadata,
    Column("helpdesk", Text, primary_key=True),
    Column("cursor", Text, nullable=False),
    sqlite_with_rowid=False,
)

ticket_changes = sa.Table(
    "ticket_changes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Index("ticket_changes_at", "at"),
    sqlite_with_rowid=False,
)
