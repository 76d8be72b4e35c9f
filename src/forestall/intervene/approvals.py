"""Approvals: what a person is asked, when the answer is yes, and what a standing grant answers.

Pure. A request is bound by a hash to exactly one act: this intervention, step, policy version,
action and arguments. ``approval_store`` keeps requests and grants, ``consent_desk`` asks and
answers, ``receipts`` signs.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import msgspec

from forestall.contracts.instants import format_time
from forestall.contracts.refusals import NotThere, OwnRequest, TooLate
from forestall.intervene.authority import Who
from forestall.policy.language.flow import END, STOP, Node, kind_of
from forestall.policy.language.model import Escalate, Plan, Remediate

Status = Literal["preparing", "open", "approved", "declined", "expired", "void"]
"""``preparing``: its dry run is under way, and nobody can decide yet. ``void``: the arguments
changed, or the playbook asks anew."""

Verdict = Literal["approved", "declined"]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What one person decided, at which wall time (microseconds), and why."""

    who: str
    title: str = ""
    verdict: Verdict
    reason: str
    at: int


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a person sees before deciding; its hash is in the receipt. ``events`` are the ids of
    those that the decision matched, ``last`` is type and data of the last, where the playbook reads
    it; ``fields`` are what earlier steps filled. ``dry_run`` is what the action would do, none
    where there is no action; ``alternatives`` what follows a no; ``customers`` how many the act
    touches."""

    explanation: str
    events: tuple[str, ...]
    features: dict[str, Any]
    last: dict[str, Any] | None = None
    fields: dict[str, Any] = {}
    why: str | None = None
    alternatives: tuple[str, ...] = ()
    customers: int = 1
    dry_run: dict[str, Any] | None = None


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """One request. ``step`` is that of the ``approve``, ``covers`` that of the remediation it is
    about (none where it is about going on at all); ``hash`` is ``binding`` of these. ``role`` may
    decide, ``people`` have to say yes. ``asked`` and ``expires`` are wall times."""

    id: str
    intervention: str
    step: int
    covers: int | None
    subject: str
    policy: str
    version: str
    action: str | None
    arguments: dict[str, Any]
    hash: str
    role: str
    people: int
    asked: int
    expires: int
    evidence: Evidence
    status: Status = "preparing"
    said: tuple[Said, ...] = ()
    grant: str | None = None


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A standing yes of one person: at most ``budget`` acts of ``action`` until wall time
    ``until``, where given only for ``policy``, and only where every argument that ``limits`` names
    is a number and at most that."""

    id: str
    action: str
    policy: str | None = None
    limits: dict[str, float] = {}
    budget: int
    until: int
    by: str
    why: str
    at: int
    used: int = 0
    revoked: int | None = None


def canonical(value: Any) -> bytes:
    """``value`` as JSON with sorted keys, so that equal values have equal bytes."""
    return msgspec.json.encode(value, order="sorted")


def digest(value: Any) -> str:
    """SHA-256 of ``canonical`` as lower-case hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def binding(
    intervention: str, step: int, version: str, action: str | None, arguments: Mapping[str, Any]
) -> str:
    """The hash to which an approval is bound: it is good for exactly this and nothing else."""
    return digest(["forestall/approval/1", intervention, step, version, action, dict(arguments)])


def decide(
    approval: Approval, who: Who, verdict: Verdict, reason: str, now: int, own: Collection[str]
) -> Approval:
    """``approval`` after ``who`` decided at wall time ``now``; ``own`` are the people who commanded
    this intervention. One no declines it; it is approved when ``people`` others said yes.

    Raises ``RoleMissing``, ``OwnRequest`` and ``TooLate``."""
    who.need(approval.role)
    if approval.status == "preparing":
        raise TooLate("preparing: the dry run is not there yet; ask again in a moment")
    if approval.status != "open":
        raise TooLate(f"{approval.status}: this request is not open any more")
    if now >= approval.expires:
        raise TooLate(f"expired: this request was open until {format_time(approval.expires)}")
    if verdict == "approved" and who.name in own:
        raise OwnRequest(f"{who.name} commanded this intervention; somebody else has to approve")
    if any(said.who == who.name for said in approval.said):
        raise OwnRequest(f"{who.name} approved already; a second person has to")
    said = Said(who=who.name, title=who.title, verdict=verdict, reason=reason, at=now)
    after = msgspec.structs.replace(approval, said=(*approval.said, said))
    if verdict == "declined":
        return msgspec.structs.replace(after, status="declined")
    # Who approved first may have commanded it since.
    good = {one.who for one in after.said} - set(own)
    return msgspec.structs.replace(after, status="approved") if len(good) >= after.people else after


def covers(
    grant: Grant, approval: Approval, now: int, people: Mapping[str, Who], own: Collection[str]
) -> bool:
    """Whether ``grant`` answers the request at wall time ``now``. It never does where two people
    have to agree, where its giver commanded the intervention, or has lost the role since."""
    giver = people.get(grant.by)
    return (
        approval.people == 1
        and approval.action == grant.action
        and grant.policy in (None, approval.policy)
        and grant.revoked is None
        and now < grant.until
        and grant.used < grant.budget
        and giver is not None
        and approval.role in giver.roles
        and giver.name not in own
        and all(_within(approval.arguments.get(name), top) for name, top in grant.limits.items())
    )


def _within(value: Any, top: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value <= top


def revoke(grant: Grant, now: int) -> Grant:
    """``grant``, over from now on. Raises ``TooLate``."""
    if grant.revoked is not None:
        raise TooLate("revoked: this grant is over already")
    return msgspec.structs.replace(grant, revoked=now)


def alternatives(nodes: Sequence[Node], step: int) -> tuple[str, ...]:
    """What a playbook does when the ``approve`` at ``step`` is declined or expires, in words.

    Raises ``NotThere`` for a step that the playbook does not have."""
    if not 0 < step <= len(nodes):
        raise NotThere(f"the playbook has no step {step}")
    told: list[str] = []
    number = nodes[step - 1].failed
    while number > END:
        node = nodes[number - 1]
        told.append(f"step {number}: {_words(node)}")
        if node.arms:
            return (*told, "and so on, by its conditions")
        number = node.next
    if number == STOP:
        asked = nodes[step - 1]
        plan = nodes[asked.planned - 1].step if asked.planned else None
        then = f"hand over to {plan.queue}" if isinstance(plan, Plan) else "end"
        return (*told, f"undo what was done, last first, and {then}")
    return (*told, "end")


def _words(node: Node) -> str:
    match node.step:
        case Remediate(action=action):
            return f"remediate with {action}"
        case Escalate(queue=queue):
            return f"escalate to {queue}"
        case step:
            return kind_of(step)
