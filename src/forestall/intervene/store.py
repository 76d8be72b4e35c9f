"""The tables of app.db: running interventions, their history, messages, reports and intents.

All SQL of this room is here. The app process is the only writer and writes from one thread; others
open the file read-only. What a stage computes is written inside ``transaction`` and is durable, or
not there at all, when that ends.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from forestall.contracts.decision import Decision
from forestall.contracts.errors import ForestallError
from forestall.contracts.event import CloudEvent
from forestall.contracts.instants import format_time
from forestall.contracts.intervention import Case, Ending, Message, Taken
from forestall.intervene.playbook import Running
from forestall.kernel.database import open_database

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE cursors (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE traits (subject TEXT PRIMARY KEY, traits BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE interventions (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, subject TEXT NOT NULL, policy TEXT NOT NULL,
    title TEXT NOT NULL, started INTEGER NOT NULL, decision BLOB NOT NULL, state BLOB NOT NULL,
    ending TEXT, reason TEXT, ended INTEGER
);
CREATE INDEX interventions_running ON interventions (seq) WHERE ending IS NULL;
CREATE INDEX interventions_subject ON interventions (subject, seq);
CREATE TABLE history (
    seq INTEGER PRIMARY KEY, intervention TEXT NOT NULL, what TEXT NOT NULL, step INTEGER NOT NULL,
    at INTEGER NOT NULL, reason TEXT, UNIQUE (intervention, what, step)
);
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, subject TEXT NOT NULL,
    intervention TEXT NOT NULL, step INTEGER NOT NULL, purpose TEXT NOT NULL,
    expires INTEGER NOT NULL, message BLOB NOT NULL, withdrawn INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX messages_subject ON messages (subject, seq);
CREATE INDEX messages_intervention ON messages (intervention);
CREATE TABLE outbox (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, event BLOB NOT NULL);
CREATE TABLE effects (
    key TEXT PRIMARY KEY, intervention TEXT NOT NULL, step INTEGER NOT NULL, subject TEXT NOT NULL,
    purpose TEXT NOT NULL, kind TEXT NOT NULL, channel TEXT NOT NULL, body BLOB NOT NULL,
    expires INTEGER, status TEXT NOT NULL DEFAULT 'waiting', attempt INTEGER NOT NULL DEFAULT 1,
    began INTEGER NOT NULL DEFAULT 0, not_before INTEGER NOT NULL DEFAULT 0, detail TEXT
) WITHOUT ROWID;
CREATE INDEX effects_open ON effects (not_before) WHERE status = 'waiting';
CREATE INDEX effects_intervention ON effects (intervention);
CREATE INDEX effects_subject ON effects (subject);
PRAGMA user_version = 1;
"""

Kind = Literal["guide", "escalation"]


class StoreMissing(ForestallError):
    """There is no app.db here yet: the app process has not run in this data folder."""

    code = "app-store-missing"
    exit_code = 2


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """The durable intent to do one thing outside. ``channel`` is a channel's name, or that of a
    queue for an escalation; ``body`` the JSON of a ``Message`` or a ``Case``.

    ``attempt`` counts from 1; ``began`` is the attempt that was last seen to start, so that one
    cut off by a crash is noticed. ``not_before`` is wall time, ``expires`` log time.
    """

    key: str
    intervention: str
    step: int
    subject: str
    purpose: str
    kind: Kind
    channel: str
    body: bytes
    expires: int | None = None
    status: str = "waiting"
    attempt: int = 1
    began: int = 0
    not_before: int = 0
    detail: str | None = None


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
_LOOKED_AT = "id, subject, policy, title, started, decision, ending, reason, ended"
_EFFECT = ", ".join(Effect.__struct_fields__)


class Store:
    """Opens app.db in ``path``, made where missing unless ``read_only``. Raises ``StoreMissing``."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        if read_only and not path.exists():
            raise StoreMissing(f"{path}: there is no such file; start `forestall serve` first")
        self._db = open_database(path, read_only=read_only)
        if not read_only and not self._one("PRAGMA user_version")[0]:
            self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """Everything written inside is committed together, or rolled back when it raises.

        What is not ``durable`` may be undone by a loss of power until the next durable commit.
        """
        self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        else:
            self._db.execute("COMMIT")
        finally:
            self._db.execute("PRAGMA synchronous = FULL")

    def _one(self, sql: str, *values: Any) -> Any:
        return self._db.execute(sql, values).fetchone()

    def identity(self, fresh: str) -> str:
        """The name of this data folder, ``fresh`` if it has none yet."""
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('identity', ?)", (fresh,))
        return str(self._one("SELECT value FROM meta WHERE name = 'identity'")[0])

    def cursor(self, name: str) -> int:
        """Where reading ``name`` stands, 0 at first."""
        row = self._one("SELECT position FROM cursors WHERE name = ?", name)
        return 0 if row is None else int(row[0])

    def move(self, name: str, position: int) -> None:
        """Set a cursor."""
        self._db.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (name, position))

    def traits(self, subject: str) -> dict[str, Any]:
        """What ``forestall.identify`` has told of the subject."""
        row = self._one("SELECT traits FROM traits WHERE subject = ?", subject)
        return {} if row is None else msgspec.json.decode(row[0])

    def keep_traits(self, subject: str, traits: dict[str, Any]) -> None:
        """Replace the subject's traits."""
        self._db.execute("INSERT OR REPLACE INTO traits VALUES (?, ?)", (subject, _encode(traits)))

    def join(self, former: str, subject: str) -> None:
        """``former`` turned out to be ``subject``: what is on its way goes there."""
        for table in ("messages", "effects", "interventions"):
            ending = " AND ending IS NULL" if table == "interventions" else ""
            self._db.execute(
                f"UPDATE {table} SET subject = ? WHERE subject = ?{ending}",  # noqa: S608
                (subject, former),
            )

    def running(self) -> list[Running]:
        """Interventions that have not ended, oldest first."""
        rows = self._db.execute("SELECT state FROM interventions WHERE ending IS NULL ORDER BY seq")
        return [_states.decode(row[0]) for row in rows]

    def open(self, state: Running, decision: Decision, title: str) -> None:
        """Add an intervention."""
        self._db.execute(
            "INSERT INTO interventions (id, subject, policy, title, started, decision, state)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (state.id, state.subject, state.policy, title, state.at, _encode(decision), b""),
        )

    def keep(self, state: Running) -> None:
        """Replace the state of an intervention that is there."""
        self._db.execute(
            "UPDATE interventions SET state = ?, ending = ?, reason = ?, ended = ? WHERE id = ?",
            (_encode(state), state.ending, state.reason, state.ended, state.id),
        )

    def has(self, intervention: str) -> bool:
        """Whether there is such an intervention."""
        return self._one("SELECT 1 FROM interventions WHERE id = ?", intervention) is not None

    def state(self, intervention: str) -> Running | None:
        """How an intervention stands."""
        row = self._one("SELECT state FROM interventions WHERE id = ?", intervention)
        return None if row is None else _states.decode(row[0])

    def decision(self, intervention: str) -> tuple[Decision, str]:
        """The decision behind an intervention and its policy's title. Raises ``KeyError``."""
        row = self._one("SELECT decision, title FROM interventions WHERE id = ?", intervention)
        if row is None:
            raise KeyError(intervention)
        return _decisions.decode(row[0]), row[1]

    def note(
        self, subject: str, intervention: str, what: str, step: int | None, at: int, reason: Any
    ) -> bool:
        """Remember, once, that this happened; false where that is known already, or the subject
        has no such intervention."""
        written = self._db.execute(
            "INSERT OR IGNORE INTO history (intervention, what, step, at, reason)"
            " SELECT id, ?, ?, ?, ? FROM interventions WHERE id = ? AND subject = ?",
            (what, step or 0, at, reason, intervention, subject),
        )
        return written.rowcount > 0

    def history(self, intervention: str) -> tuple[Taken, ...]:
        """What was done so far, in order."""
        rows = self._db.execute(
            "SELECT at, what, step, reason FROM history WHERE intervention = ? ORDER BY seq",
            (intervention,),
        )
        return tuple(
            Taken(format_time(at), what, step or None, reason) for at, what, step, reason in rows
        )

    def newest(self, limit: int = 50, *, subject: str | None = None) -> list[Summary]:
        """The newest interventions, newest first."""
        where, values = ("WHERE subject = ?", (subject,)) if subject else ("", ())
        return self._summaries(f"{where} ORDER BY seq DESC LIMIT ?", (*values, limit))

    def find(self, prefix: str) -> list[Summary]:
        """Interventions whose id starts with ``prefix``, at most ten."""
        return self._summaries("WHERE id >= ? AND id < ? LIMIT 10", (prefix, prefix + "~"))

    def _summaries(self, rest: str, values: tuple[Any, ...]) -> list[Summary]:
        rows = self._db.execute(
            f"SELECT {_LOOKED_AT} FROM interventions {rest}",  # noqa: S608
            values,
        ).fetchall()
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
            for row in rows
        ]

    def add_message(self, message: Message, step: int, purpose: str) -> None:
        """Put an in-app message where the subject's event stream finds it."""
        self._db.execute(
            "INSERT INTO messages (id, subject, intervention, step, purpose, expires, message)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                message.id,
                message.subject,
                message.intervention,
                step,
                purpose,
                message.expires,
                _encode(message),
            ),
        )

    def messages_after(self, subject: str, after: int, now: int) -> list[tuple[int, str, Message]]:
        """``(number, purpose, message)`` of what may still be shown at log time ``now``."""
        rows = self._db.execute(
            "SELECT seq, purpose, message FROM messages WHERE subject = ? AND seq > ?"
            " AND expires > ? AND NOT withdrawn ORDER BY seq",
            (subject, after, now),
        )
        return [(seq, purpose, _messages.decode(message)) for seq, purpose, message in rows]

    def message(self, message: str) -> tuple[str, str, int] | None:
        """``(subject, intervention, step)`` of a message."""
        row = self._one("SELECT subject, intervention, step FROM messages WHERE id = ?", message)
        return None if row is None else (row[0], row[1], row[2])

    def message_number(self, message: str) -> int | None:
        """The number of a message in its subject's stream."""
        row = self._one("SELECT seq FROM messages WHERE id = ?", message)
        return None if row is None else int(row[0])

    def withdraw(self, intervention: str, reason: str) -> None:
        """Nothing of this intervention that has not left yet may leave any more."""
        self._db.execute(
            "UPDATE messages SET withdrawn = 1 WHERE intervention = ?", (intervention,)
        )
        self._db.execute(
            "UPDATE effects SET status = 'refused', detail = ?"
            " WHERE intervention = ? AND status = 'waiting' AND began = 0",
            (reason, intervention),
        )

    def report(self, event: CloudEvent) -> None:
        """Queue an event for the gateway; an id that was queued and not yet sent stays once."""
        self._db.execute(
            "INSERT OR IGNORE INTO outbox (id, event) VALUES (?, ?)", (event.id, _encode(event))
        )

    def reports(self, limit: int = 200) -> list[tuple[int, msgspec.Raw]]:
        """The oldest events still to be sent, with their numbers."""
        rows = self._db.execute("SELECT seq, event FROM outbox ORDER BY seq LIMIT ?", (limit,))
        return [(seq, msgspec.Raw(event)) for seq, event in rows]

    def reported(self, numbers: Iterable[int]) -> None:
        """The gateway has these."""
        with self.transaction():
            self._db.executemany("DELETE FROM outbox WHERE seq = ?", [(n,) for n in numbers])

    def intend(self, effect: Effect) -> None:
        """Make an intent durable; one with the same key stays as it is."""
        self._db.execute(
            f"INSERT OR IGNORE INTO effects ({_EFFECT})"  # noqa: S608
            f" VALUES ({', '.join('?' * len(Effect.__struct_fields__))})",
            msgspec.structs.astuple(effect),
        )

    def effect(self, key: str) -> Effect | None:
        """The intent with that key."""
        row = self._one(f"SELECT {_EFFECT} FROM effects WHERE key = ?", key)  # noqa: S608
        return (
            None if row is None else Effect(**dict(zip(Effect.__struct_fields__, row, strict=True)))
        )

    def open_effects(self, now: int, limit: int, besides: Collection[str] = ()) -> list[Effect]:
        """Intents that wait and may start at wall time ``now``, longest waiting first, without
        those for the channels or queues ``besides``."""
        marks = ", ".join("?" * len(besides))
        rows = self._db.execute(
            f"SELECT {_EFFECT} FROM effects WHERE status = 'waiting' AND not_before <= ?"  # noqa: S608
            f" AND channel NOT IN ({marks}) ORDER BY not_before LIMIT ?",
            (now, *besides, limit),
        )
        return [Effect(**dict(zip(Effect.__struct_fields__, row, strict=True))) for row in rows]

    def keep_effect(self, effect: Effect) -> None:
        """Replace how far an intent has come."""
        self._db.execute(
            "UPDATE effects SET body = ?, status = ?, attempt = ?, began = ?, not_before = ?,"
            " detail = ? WHERE key = ?",
            (
                effect.body,
                effect.status,
                effect.attempt,
                effect.began,
                effect.not_before,
                effect.detail,
                effect.key,
            ),
        )


def decode_case(effect: Effect) -> Case:
    """The case that an escalation hands over."""
    return msgspec.json.decode(effect.body, type=Case)


def decode_message(effect: Effect) -> Message:
    """The message that guidance sends."""
    return _messages.decode(effect.body)
