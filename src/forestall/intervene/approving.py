"""Asking people and hearing their answer: requests, decisions, grants, expiry, receipts.

A request is written down in the stage's commit. ``run`` then makes the dry run, tries the standing
grants, and lets expire what nobody answered. What was decided, the receipt, the record of it and the
event that tells the playbook are one commit. Belongs to the event loop's thread, as the store does.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from msgspec.structs import replace

from forestall.contracts.decision import Decision
from forestall.contracts.instants import DAY, MINUTE
from forestall.contracts.intervention import Tell, Told
from forestall.contracts.refusals import NotThere, TooLate, because
from forestall.intervene import approvals
from forestall.intervene.approval_store import UNDECIDED, ApprovalStore
from forestall.intervene.approvals import Approval, Evidence, Grant, Status, Verdict, binding
from forestall.intervene.authority import APPROVER, People, Who
from forestall.intervene.jobs import Job, Workshop
from forestall.intervene.receipts import Receipt, Signer
from forestall.intervene.records import Entry, Records
from forestall.intervene.reports import event_of
from forestall.intervene.running import Request, Running, effect_key
from forestall.intervene.store import Store
from forestall.kernel.clock import Clock, Tokens, within
from forestall.kernel.database.tables import TROUBLE

SYSTEM = "forestall"
"""Who is named in records of what no person did."""

DRY_RUNS = 4
"""Dry runs under way at the same time."""

LONGEST_GRANT = 90 * DAY
"""Microseconds that a grant may last."""

_EVERY = 0.5
_OPEN: tuple[Status, ...] = ("open",)
_log = structlog.get_logger(__name__)


class Approving:
    """Requests and grants of one store.

    ``log_time`` and ``clock`` are log and wall time in microseconds; ``demands`` says how many
    people an action itself asks for, 0 where none. Without ``workshop`` there are no dry runs, and without
    ``signer``, which is made where there are people, nobody can decide.
    """

    def __init__(
        self,
        store: Store,
        *,
        people: People,
        signer: Signer | None,
        workshop: Workshop | None,
        log_time: Clock,
        clock: Clock,
        ids: Tokens,
        demands: Callable[[str], int] = lambda _action: 0,
    ) -> None:
        self._store, self._people, self._signer = store, people, signer
        self._workshop, self._demands = workshop, demands
        self._log_time, self._clock, self._ids = log_time, clock, ids
        self._kept, self._records = ApprovalStore(store.database), Records(store.database)
        self._drying: dict[str, asyncio.Task[None]] = {}
        self._tapped = asyncio.Event()
        self._sweep = 0

    def request(self, state: Running, request: Request, decision: Decision) -> None:
        """Ask people what a playbook wants to know. Works inside the stage's transaction; one that
        was asked before at this step, perhaps with other arguments, is void."""
        now, action = self._clock(), request.action
        former = self._kept.get(effect_key(state.id, request.step))
        if former is not None:
            self._note(former, "approval.voided", "asked anew", now)
        demanded = 0 if action is None else self._demands(action)
        about, last = request.covers or request.step, state.event
        self._kept.put(
            Approval(
                id=effect_key(state.id, request.step),
                intervention=state.id,
                step=request.step,
                covers=request.covers,
                subject=state.subject,
                policy=state.policy,
                version=state.version,
                action=action,
                arguments=request.arguments,
                hash=binding(state.id, about, state.version, action, request.arguments),
                role=request.approve.by,
                people=max(request.approve.people, demanded),
                asked=now,
                expires=now + request.approve.timeout,
                evidence=Evidence(
                    explanation=decision.explanation,
                    events=decision.matched,
                    features=decision.features,
                    last=None if last is None else {"type": last.type, "data": last.data},
                    fields=state.fields,
                    why=request.approve.why,
                    alternatives=approvals.alternatives(state.program, request.step),
                ),
            )
        )
        self._tapped.set()

    def withdraw(self, intervention: str, reason: str) -> None:
        """What is asked about an intervention needs no answer any more. Inside a transaction."""
        for approval in self._kept.of(intervention):
            self._void(approval, reason)

    def granted(self, approval: str, job: Job, intervention: str, step: int, version: str) -> bool:
        """Whether people, or a grant, approved exactly this job, right before it is done. With other
        arguments the approval is void from here on."""
        found = self._kept.get(approval)
        if found is None or found.status != "approved":
            return False
        if binding(intervention, step, version, job.name, job.arguments) != found.hash:
            self._void(found, "changed")
            return False
        own = self._records.requested(intervention)
        people = max(found.people, self._demands(job.name))
        if found.grant is not None:
            grant = self._kept.grant(found.grant)
            return grant is not None and grant.by not in own and people == 1
        return len({said.who for said in found.said} - own) >= people

    def allows(self, job: Job, key: str) -> bool:
        """Whether ``job`` may be done as the effect ``key``: where its policy asks people, or the
        action demands them itself, only what ``granted`` says of the effect's own step."""
        if job.kind != "action" or (job.approval is None and self._demands(job.name) < 1):
            return True
        effect = self._store.effects.get(key)
        state = None if effect is None else self._store.state(effect.intervention)
        if job.approval is None or effect is None or state is None:
            return False
        return self.granted(job.approval, job, effect.intervention, effect.step, state.version)

    def get(self, approval: str) -> Approval:
        """The request of that id. Raises ``NotThere``."""
        found = self._kept.get(approval)
        if found is None:
            raise NotThere(f"there is no approval {approval!r}")
        return found

    def newest(self, status: Status | None) -> list[Approval]:
        """The newest requests, of one status or all."""
        return self._kept.newest(None if status is None else (status,))

    def waiting(self, approval: Approval) -> int:
        """How many requests for the same action nobody has decided yet."""
        return self._kept.waiting(approval.action)

    def receipt(self, approval: str) -> Receipt:
        """The signed receipt of a decision. Raises ``NotThere``."""
        self.get(approval)
        receipt = self._kept.receipt(approval)
        if receipt is None:
            raise NotThere(f"nobody has decided about {approval!r}: there is no receipt")
        return receipt

    @property
    def public_key(self) -> str:
        """The key with which receipts verify, PEM. Raises ``NotThere``."""
        if self._signer is None:
            raise NotThere("there are no [people], so nothing is signed")
        return self._signer.public

    def decide(self, who: Who, approval: str, verdict: Verdict, reason: str) -> Approval:
        """``who`` says yes or no; the request after that.

        Raises ``NotThere``, ``ReasonMissing``, ``RoleMissing``, ``OwnRequest`` and ``TooLate``."""
        why, now = because(reason), self._clock()
        with self._store.transaction():
            found = self.get(approval)
            after = approvals.decide(
                found, who, verdict, why, now, self._records.requested(found.intervention)
            )
            self._still_asked(found)
            said = Entry(
                at=now,
                who=who.name,
                what=f"approval.{verdict}",
                about=found.id,
                why=why,
                detail={"intervention": found.intervention, "hash": found.hash},
            )
            self._records.add(said)
            if after.status in UNDECIDED:
                self._kept.put(after)
            else:
                self._settle(after, None, who.name, why if verdict == "declined" else None)
        return after

    def add_grant(
        self,
        who: Who,
        action: str,
        *,
        budget: int,
        lasts: int,
        reason: str,
        policy: str | None = None,
        limits: dict[str, float] | None = None,
    ) -> Grant:
        """A standing yes to ``budget`` acts within ``lasts`` microseconds from now; requests that
        wait already are answered at once. Raises ``RoleMissing`` and ``ReasonMissing``."""
        who.need(APPROVER)
        now, why = self._clock(), because(reason)
        grant = Grant(
            id=self._ids(),
            action=action,
            policy=policy,
            limits=limits or {},
            budget=budget,
            until=now + min(lasts, LONGEST_GRANT),
            by=who.name,
            why=why,
            at=now,
        )
        with self._store.transaction():
            self._kept.put_grant(grant)
            detail = {"action": action, "policy": policy, "budget": budget, "limits": grant.limits}
            self._records.add(
                Entry(
                    at=now, who=who.name, what="grant.given", about=grant.id, why=why, detail=detail
                )
            )
            for approval in reversed(self._kept.newest(_OPEN, limit=10_000)):
                if approval.action == action:
                    self._answer(approval)
        return self._kept.grant(grant.id) or grant

    def revoke_grant(self, who: Who, grant: str, reason: str) -> Grant:
        """End a grant. Raises ``RoleMissing``, ``ReasonMissing``, ``NotThere`` and ``TooLate``."""
        who.need(APPROVER)
        now, why = self._clock(), because(reason)
        with self._store.transaction():
            found = self._kept.grant(grant)
            if found is None:
                raise NotThere(f"there is no grant {grant!r}")
            over = approvals.revoke(found, now)
            self._kept.keep_grant(over)
            self._records.add(
                Entry(at=now, who=who.name, what="grant.revoked", about=grant, why=why)
            )
        return over

    def grants(self) -> list[Grant]:
        """All that were ever given, oldest first."""
        return self._kept.grants()

    @property
    def preparing(self) -> list[asyncio.Task[None]]:
        """Dry runs under way."""
        return list(self._drying.values())

    async def run(self, stopping: asyncio.Event) -> None:
        """Prepare what is asked and let expire what nobody answers, until ``stopping``."""
        try:
            while not stopping.is_set():
                self._tapped.clear()
                try:
                    self.tend()
                except TROUBLE as error:
                    _log.error("approvals wait until the disk works again", why=str(error))
                    await within(stopping, 1.0)
                else:
                    await within(self._tapped, _EVERY)
        finally:
            for task in self._drying.values():
                task.cancel()
            await asyncio.gather(*self._drying.values(), return_exceptions=True)

    def tend(self) -> None:
        """What is due now: dry runs to begin, requests to expire or to forget."""
        now = self._clock()
        for approval in self._kept.expired(now):
            with self._store.transaction():
                self._expire(approval, now)
        if now >= self._sweep:
            self._sweep = now + MINUTE
            for approval in self._kept.orphaned():
                with self._store.transaction():
                    self._void(approval, "ended")
        for approval in self._kept.preparing(2 * DRY_RUNS):
            if approval.id not in self._drying and len(self._drying) < DRY_RUNS:
                self._drying[approval.id] = asyncio.create_task(self._prepare(approval))

    async def _prepare(self, approval: Approval) -> None:
        try:
            evidence = replace(approval.evidence, dry_run=await self._dry_run(approval))
            with self._store.transaction():
                found = self._kept.get(approval.id)
                if found == approval:
                    ready = replace(approval, evidence=evidence, status="open")
                    self._kept.put(ready)
                    self._answer(ready)
        except TROUBLE as error:
            _log.error("a dry run is made again once the disk works", why=str(error))
        finally:
            del self._drying[approval.id]
            self._tapped.set()

    async def _dry_run(self, approval: Approval) -> dict[str, Any] | None:
        if approval.action is None or self._workshop is None:
            return None
        job = Job(kind="action", name=approval.action, arguments=approval.arguments)
        outcome = await self._workshop.perform(job, f"{approval.id}-dry", dry=True)
        return {
            "outcome": outcome.outcome,
            "reason": outcome.reason,
            "detail": outcome.detail,
            "evidence": outcome.evidence,
        }

    def _answer(self, approval: Approval) -> None:
        """Have a standing grant say yes where one covers the request and its dry run went well."""
        tried = approval.evidence.dry_run
        if approval.action is None or (tried is not None and tried["outcome"] != "done"):
            return
        now, own = self._clock(), self._records.requested(approval.intervention)
        for grant in self._kept.grants(approval.action):
            if approvals.covers(grant, approval, now, self._people, own):
                used = replace(grant, used=grant.used + 1)
                self._kept.keep_grant(used)
                after = replace(approval, status="approved", grant=grant.id)
                self._settle(after, used, grant.by, f"grant {grant.id}")
                self._note(after, "grant.used", f"grant {grant.id} of {grant.by}", now)
                return

    def _still_asked(self, approval: Approval) -> None:
        """Raises ``TooLate`` where the playbook does not wait for it any more."""
        state = self._store.state(approval.intervention)
        if state is None or state.ending is not None:
            raise TooLate("ended: the intervention is over")
        if state.step != approval.step or state.phase != "going":
            raise TooLate("void: the playbook went on without it")

    def _settle(self, after: Approval, grant: Grant | None, by: str, reason: str | None) -> None:
        if self._signer is None:
            raise NotThere("there are no [people], so nothing can be signed")
        self._kept.put(after, self._signer.receipt(after, grant, self._clock()))
        self._tell(after, "approved" if after.status == "approved" else "declined", by, reason)

    def _expire(self, approval: Approval, now: int) -> None:
        self._kept.put(replace(approval, status="expired"))
        self._note(approval, "approval.expired", "nobody decided in time", now)
        self._tell(approval, "declined", None, "expired")

    def _void(self, approval: Approval, why: str) -> None:
        self._kept.put(replace(approval, status="void"), self._kept.receipt(approval.id))
        self._note(approval, "approval.voided", why, self._clock())

    def _note(self, approval: Approval, what: str, why: str, now: int) -> None:
        detail = {"intervention": approval.intervention, "hash": approval.hash}
        self._records.add(
            Entry(at=now, who=SYSTEM, what=what, about=approval.id, why=why, detail=detail)
        )

    def _tell(self, approval: Approval, told: Told, by: str | None, reason: str | None) -> None:
        """Report it to the log. The same step may be asked about again, so the id says when."""
        state = self._store.state(approval.intervention)
        subject = approval.subject if state is None else state.subject
        decision, _ = self._store.decision(approval.intervention)
        tell = Tell(decision.id, decision.policy, decision.version, approval.step, reason, by=by)
        once = str(approval.asked)
        self._store.report(event_of(decision, subject, told, self._log_time(), tell, once))
