"""What leaves the process besides messages and cases: jobs, and how one ended.

A job looks something up, has an agent fill fields or plan, carries an action out, or undoes one. The
playbook commands it, the store keeps it, ``effects`` starts it, and a ``Workshop`` does it. A
failing network is a value here, no exception.
"""

from typing import Any, Literal, Protocol

import msgspec

from forestall.channels.base import Deduplication
from forestall.contracts.inference import Inference, Plan

JobKind = Literal["enrich", "infer", "plan", "action", "undo"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One job. ``name`` is that of the lookup, agent or action; ``arguments`` are values that its
    input schema has to accept; ``fields`` those of the result that the playbook wants.

    ``timeout`` and ``cache`` are microseconds; ``approval`` is the id of the approval of exactly
    these arguments, where there was one. An undo names in ``undoes`` the key of the effect that it
    takes back, and in ``name`` and ``arguments`` those of that effect, or of the action that the
    policy declares for it, in which case ``undoes`` is none. ``signals`` are, for an agent, the
    policy and the event type that started the playbook.
    """

    kind: JobKind
    name: str
    arguments: dict[str, Any] = {}
    fields: tuple[str, ...] = ()
    timeout: int = 30_000_000
    cache: int = 0
    approval: str | None = None
    undoes: str | None = None
    signals: tuple[str, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one attempt at a job ended.

    ``done``: it happened and was verified; ``fields`` are those wanted, null where the answer lacked
    one. ``failed``: it did not happen, or was undone again (``undone``); ``reason`` is a stable word
    such as ``precondition``, ``verification``, ``refused``, ``timeout``, ``unreachable``,
    ``bad-arguments``, ``needs-approval``, ``rate-limited``, ``blocked-address``. ``uncertain``: it
    may have happened. ``again`` says that a later attempt may do better, not before ``retry_after``
    (a duration in microseconds). ``evidence`` is what a person may be shown: dry run, request,
    answer, verification; no secrets. ``plan`` is what an agent planned and was allowed, and
    ``inference`` how it came to that or to ``fields``.
    """

    outcome: Literal["done", "failed", "uncertain"]
    fields: dict[str, Any] = {}
    reason: str | None = None
    detail: str = ""
    undone: bool = False
    again: bool = False
    retry_after: int | None = None
    evidence: dict[str, Any] = {}
    plan: Plan | None = None
    inference: Inference | None = None


class Workshop(Protocol):
    """Does jobs. One instance a process."""

    def deduplication(self, job: Job) -> Deduplication:
        """What the other side does with a repeated key; ``neither`` for a name that is unknown."""

    async def perform(self, job: Job, key: str, *, dry: bool = False) -> Outcome:
        """Do ``job`` once per ``key``, within its timeout; a dry run says what it would do and
        changes nothing. Never raises for what the outside does."""

    async def find(self, job: Job, key: str) -> Outcome | None:
        """Ask the other side whether ``key`` was carried out: how it ended, or none if it does not
        know the key. Only where ``deduplication`` is ``lookup``. Raises nothing; an outcome
        ``uncertain`` says that it cannot be asked now."""
