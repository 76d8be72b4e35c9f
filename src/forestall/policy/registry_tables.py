"""The tables of registry.db. All are made when a registry is first opened to write."""

import sqlalchemy as sa
from sqlalchemy import Column, Index, Integer, LargeBinary, Text

metadata = sa.MetaData()
"""All tables."""

artifacts = sa.Table(
    "artifacts",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Integer, nullable=False),
    Column("why", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("risk", Text, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
    sa.UniqueConstraint("kind", "name", "version"),
)

findings = sa.Table(
    "findings",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Integer, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
    Index("findings_about", "kind", "name", "version", "seq"),
)

transitions = sa.Table(
    "transitions",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("artifact", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("share", sa.Float, nullable=False),
    Column("set", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("seconded", Text),
    Column("why", Text, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
    Column("at", Integer, nullable=False),
    Index("transitions_about", "artifact", "name", "number"),
)

requests = sa.Table(
    "requests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ask", LargeBinary, nullable=False),
    Column("binding", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Integer, nullable=False),
    Column("why", Text, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
    Column("status", Text, nullable=False),
    Column("answered_by", Text),
    Column("answered_at", Integer),
    Column("answer", Text),
    Index("requests_status", "status", "id"),
)
