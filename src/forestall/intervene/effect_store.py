"""The durable intents to do something outside, and how far each has come: the table ``effects``."""

from collections.abc import Collection
from typing import Any, Literal

import msgspec
from sqlalchemy import bindparam, select, update

from forestall.contracts.intervention import Case, Message
from forestall.intervene.jobs import Job
from forestall.intervene.tables import effects
from forestall.kernel.database.tables import Database

Kind = Literal["guide", "escalation", "enrich", "infer", "plan", "action", "undo"]


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """The durable intent to do one thing outside. ``channel`` is a channel's name, that of a queue
    for an escalation, or that of a job's lookup, agent or action; ``body`` the JSON of a
    ``Message``, a ``Case`` or a ``Job``.

    ``attempt`` counts from 1; ``began`` is the attempt that was last seen to start, so that one
    cut off by a crash is noticed. ``not_before`` and ``deadline`` are wall times, ``expires`` is a
    log time. ``deadline`` is set when a job is first tried; ``uncertain`` says that an earlier
    attempt may have happened; ``result`` is the JSON of a job's ``Outcome``. ``status`` is
    ``waiting``, ``done``, ``failed``, ``refused`` or ``dropped``.
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
    deadline: int | None = None
    uncertain: bool = False
    detail: str | None = None
    result: bytes | None = None


_FIELDS = Effect.__struct_fields__
_KEPT = (
    *("body", "status", "attempt", "began", "not_before"),
    *("deadline", "uncertain", "detail", "result"),
)

_columns = select(*(effects.c[name] for name in _FIELDS))
_ONE = _columns.where(effects.c.key == bindparam("key"))
_OF = _columns.where(effects.c.intervention == bindparam("intervention")).order_by(effects.c.step)
_WAITING_OF = _columns.where(
    effects.c.status == "waiting", effects.c.subject == bindparam("subject")
)
_WAITING = (
    _columns.where(effects.c.status == "waiting", effects.c.not_before <= bindparam("now"))
    .order_by(effects.c.not_before)
    .limit(bindparam("limit"))
)
_BUSY = _WAITING.where(effects.c.channel.not_in(bindparam("besides", expanding=True)))
_KEEP = (
    update(effects)
    .where(effects.c.key == bindparam("b_key"))
    .values({name: bindparam(name) for name in _KEPT})
)
_WITHDRAW = (
    update(effects)
    .where(
        effects.c.intervention == bindparam("b_intervention"),
        effects.c.status == "waiting",
        effects.c.began == 0,
        effects.c.kind != "undo",
    )
    .values(status="refused", detail=bindparam("reason"))
)


class EffectStore:
    """The effects in ``database``. Writes belong into a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._intend = database.insert(effects).on_conflict_do_nothing()

    def intend(self, effect: Effect) -> None:
        """Make an intent durable; one with the same key stays as it is."""
        self._database.hot(self._intend, msgspec.structs.asdict(effect))

    def get(self, key: str) -> Effect | None:
        """The intent with that key."""
        row = self._database.hot(_ONE, {"key": key}).fetchone()
        return None if row is None else _effect(row)

    def of(self, intervention: str) -> list[Effect]:
        """All intents of an intervention, by step."""
        return [_effect(row) for row in self._database.run(_OF, {"intervention": intervention})]

    def waiting(self, now: int, limit: int, besides: Collection[str] = ()) -> list[Effect]:
        """Intents that wait and may start at wall time ``now``, longest waiting first, without
        those for the channels, queues or jobs ``besides``."""
        values: dict[str, Any] = {"now": now, "limit": limit}
        if not besides:
            return [_effect(row) for row in self._database.hot(_WAITING, values)]
        busy = {**values, "besides": list(besides)}
        return [_effect(row) for row in self._database.run(_BUSY, busy)]

    def waiting_of(self, subject: str) -> list[Effect]:
        """Intents for ``subject`` that wait, whether they may start or not."""
        return [_effect(row) for row in self._database.run(_WAITING_OF, {"subject": subject})]

    def keep(self, effect: Effect) -> None:
        """Replace how far an intent has come."""
        kept = {name: getattr(effect, name) for name in _KEPT}
        self._database.hot(_KEEP, {"b_key": effect.key, **kept})

    def withdraw(self, intervention: str, reason: str) -> None:
        """What has not begun must not begin any more; only what was done is still undone."""
        self._database.hot(_WITHDRAW, {"b_intervention": intervention, "reason": reason})


def _effect(row: Any) -> Effect:
    return Effect(**dict(zip(_FIELDS, row, strict=True)))


def decode_case(effect: Effect) -> Case:
    """The case that an escalation hands over."""
    return msgspec.json.decode(effect.body, type=Case)


def decode_message(effect: Effect) -> Message:
    """The message that guidance sends."""
    return msgspec.json.decode(effect.body, type=Message)


def decode_job(effect: Effect) -> Job:
    """The job that is to be done."""
    return msgspec.json.decode(effect.body, type=Job)
