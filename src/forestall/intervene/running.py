"""What the playbook is made of: the state of one intervention, what arrives, what it commands."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal

import msgspec

from forestall.contracts.event import Origin, Record
from forestall.contracts.intervention import Ending, Told
from forestall.intervene.jobs import Job
from forestall.policy.language.flow import Node
from forestall.policy.language.model import Approve, Ask, Guide


def effect_key(intervention: str, step: int, part: str = "", repeat: int = 0) -> str:
    """32 hex digits that name one effect, whenever and however often it is computed.

    ``part`` is ``undo`` or ``handover`` for what a failed step brings with it; ``repeat`` counts
    how often an operator had the step carried out again.
    """
    name = f"{intervention}:{step}" + (f":{part}" if part else "")
    name += f":{repeat}" if repeat else ""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


class Words(msgspec.Struct, frozen=True, array_like=True):
    """How one piece of guidance stands: of which step, and until when it may be delivered."""

    step: int
    expires: int
    status: Literal["waiting", "shown", "expired", "failed"] = "waiting"


class Did(msgspec.Struct, frozen=True, array_like=True):
    """A step that can be undone. ``action`` and ``arguments`` are those of a remediation, ``key``
    is that of its effect."""

    step: int
    key: str
    action: str | None = None
    arguments: dict[str, Any] = {}


class Matched(msgspec.Struct, frozen=True):
    """The last event that the decision matched, as the playbook's expressions read it."""

    id: str
    type: str
    source: str
    time: int
    origin: Origin
    data: Any


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """One intervention. ``former`` are pseudonyms that the subject had when it began. ``step`` is
    the number of the current one in ``program``, or ``END``: only the fate of guidance is awaited.
    ``clock`` is the subject's effective time, ``deadline`` that of the current wait; ``missed``
    says that the last wait ran out; ``sent`` are the arguments of the current job; ``approved``
    is the last step at which people said yes.

    ``phase`` is ``undoing`` while what was done (``did``) is undone, last first, and ``handing``
    while the case goes to the queue of the step ``takeover``; it then ends as ``closing``.
    ``stopping`` says that it is to be undone once the remedy under way is over. ``trusted`` says
    whether a server told of any event behind it. ``resolved`` is how a ``resolve`` wants it to end
    once the fate of its guidance is known. Ended when ``ending`` is set, at log time ``ended``.
    """

    id: str
    subject: str
    former: tuple[str, ...] = ()
    policy: str
    version: str
    purpose: str
    program: tuple[Node, ...]
    at: int
    valid_for: int
    lateness: int
    grace: int
    clock: int
    event: Matched | None = None
    features: dict[str, Any] = {}
    traits: dict[str, Any] = {}
    step: int = 1
    last: int = 0
    repeat: int = 0
    approved: int = 0
    deadline: int | None = None
    missed: bool = False
    words: tuple[Words, ...] = ()
    fields: dict[str, Any] = {}
    sent: dict[str, Any] = {}
    did: tuple[Did, ...] = ()
    phase: Literal["going", "undoing", "handing"] = "going"
    takeover: int | None = None
    closing: Literal["failed", "cancelled"] = "failed"
    stopping: bool = False
    trusted: bool = True
    remediated: bool = False
    resolved: Literal["resolved", "helped"] | None = None
    handed_over: bool = False
    ending: Ending | None = None
    reason: str | None = None
    ended: int | None = None


class Arrival:
    """A record of the subject. Its ``data``, decoded, and the subject's ``traits`` at that moment (the
    record's own included) are asked for once somebody looks: most records change nothing."""

    def __init__(
        self,
        record: Record,
        data: Callable[[], dict[str, Any]],
        traits: Callable[[], dict[str, Any]],
    ) -> None:
        self.record = record
        self._data, self._traits = data, traits

    @cached_property
    def data(self) -> dict[str, Any]:
        """The record's data as policies see it."""
        return self._data()

    @cached_property
    def traits(self) -> dict[str, Any]:
        """What is known of the subject."""
        return self._traits()


class Report(msgspec.Struct, frozen=True):
    """Tell the log what happened at log time ``at``; ``step`` is none for the whole. ``detail`` says
    what is behind ``reason``, without values."""

    told: Told
    at: int
    step: int | None = None
    reason: str | None = None
    detail: str | None = None


class Say(msgspec.Struct, frozen=True):
    """Deliver the guidance or the question of ``step`` before log time ``expires``."""

    step: int
    words: Guide | Ask
    at: int
    expires: int
    key: str


class Do(msgspec.Struct, frozen=True):
    """Do ``job`` for ``step``; it must begin before log time ``expires`` where that is set.

    An undo (``job.kind``) is owed: neither consent nor expiry nor the intervention's end stops it.
    """

    step: int
    job: Job
    at: int
    expires: int | None
    key: str


class Request(msgspec.Struct, frozen=True):
    """Ask people to approve what ``approve`` says: the remediation of step ``covers``, with exactly
    these arguments, or, where there is none, that the playbook goes on."""

    step: int
    approve: Approve
    covers: int | None
    action: str | None
    arguments: dict[str, Any]
    at: int
    key: str


class HandOver(msgspec.Struct, frozen=True):
    """Hand a prepared case to the people behind ``queue``; ``reason`` says what failed."""

    step: int
    queue: str
    at: int
    key: str
    reason: str | None = None


class Withdraw(msgspec.Struct, frozen=True):
    """Whatever of this intervention, or of one ``step``, has not left yet must not leave any more,
    and is taken back where it can be."""

    at: int
    reason: str
    step: int | None = None


Command = Report | Say | Do | Request | HandOver | Withdraw
Turn = tuple[Running, list[Command]]
