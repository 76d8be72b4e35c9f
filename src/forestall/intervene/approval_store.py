"""Requests for approval and standing grants, as they are kept: the tables ``approvals``, ``grants``."""

from collections.abc import Collection

import msgspec
from sqlalchemy import Select, func, select, update

from forestall.intervene.approvals import Approval, Grant, Status
from forestall.intervene.receipts import Receipt
from forestall.intervene.tables import approvals, grants, interventions
from forestall.kernel.database.tables import Database

_requests = msgspec.json.Decoder(Approval)
_standing = msgspec.json.Decoder(Grant)
_encode = msgspec.json.Encoder().encode

UNDECIDED: tuple[Status, ...] = ("preparing", "open")


class ApprovalStore:
    """Approvals and grants in ``database``. Writes belong into the transaction of their record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, approval: Approval, receipt: Receipt | None = None) -> None:
        """Write a request down, in place of an earlier one of the same id."""
        row = {
            "id": approval.id,
            "intervention": approval.intervention,
            "action": approval.action,
            "status": approval.status,
            "asked": approval.asked,
            "expires": approval.expires,
            "body": _encode(approval),
            "receipt": None if receipt is None else _encode(receipt),
        }
        added = self._database.insert(approvals).values(row)
        self._database.run(added.on_conflict_do_update(index_elements=["id"], set_=row))

    def get(self, approval: str) -> Approval | None:
        """The request of that id."""
        found = self._database.run(select(approvals.c.body).where(approvals.c.id == approval))
        body = found.scalar()
        return None if body is None else _requests.decode(body)

    def receipt(self, approval: str) -> Receipt | None:
        """What was signed about a request, once it was decided."""
        found = self._database.run(select(approvals.c.receipt).where(approvals.c.id == approval))
        text = found.scalar()
        return None if text is None else msgspec.json.decode(text, type=Receipt)

    def newest(self, statuses: Collection[Status] | None, limit: int = 200) -> list[Approval]:
        """Requests of these ``statuses``, or all, newest first."""
        asked = select(approvals.c.body)
        if statuses is not None:
            asked = asked.where(approvals.c.status.in_(statuses))
        asked = asked.order_by(approvals.c.asked.desc(), approvals.c.id).limit(limit)
        return self._read(asked)

    def of(self, intervention: str) -> list[Approval]:
        """The undecided requests of an intervention."""
        asked = select(approvals.c.body).where(
            approvals.c.intervention == intervention, approvals.c.status.in_(UNDECIDED)
        )
        return self._read(asked)

    def preparing(self, limit: int) -> list[Approval]:
        """Those whose dry run is still to be made, longest waiting first."""
        asked = select(approvals.c.body).where(approvals.c.status == "preparing")
        asked = asked.order_by(approvals.c.asked, approvals.c.id).limit(limit)
        return self._read(asked)

    def expired(self, now: int, limit: int = 100) -> list[Approval]:
        """The undecided whose time is over at wall time ``now``."""
        asked = select(approvals.c.body).where(
            approvals.c.status.in_(UNDECIDED), approvals.c.expires <= now
        )
        asked = asked.order_by(approvals.c.expires).limit(limit)
        return self._read(asked)

    def orphaned(self, limit: int = 100) -> list[Approval]:
        """The undecided whose intervention has ended."""
        asked = (
            select(approvals.c.body)
            .join(interventions, interventions.c.id == approvals.c.intervention)
            .where(approvals.c.status.in_(UNDECIDED), interventions.c.ending.is_not(None))
            .limit(limit)
        )
        return self._read(asked)

    def _read(self, asked: Select[tuple[bytes]]) -> list[Approval]:
        return [_requests.decode(body) for body in self._database.run(asked).scalars()]

    def waiting(self, action: str | None) -> int:
        """How many requests of the same action are undecided."""
        asked = select(func.count()).where(
            approvals.c.action == action, approvals.c.status.in_(UNDECIDED)
        )
        return int(self._database.run(asked).scalar_one())

    def put_grant(self, grant: Grant) -> None:
        """Write a new grant down."""
        row = {"id": grant.id, "action": grant.action, "at": grant.at, "body": _encode(grant)}
        self._database.run(self._database.insert(grants), row)

    def keep_grant(self, grant: Grant) -> None:
        """Replace how far a grant is used up."""
        changed = update(grants).where(grants.c.id == grant.id).values(body=_encode(grant))
        self._database.run(changed)

    def grant(self, grant: str) -> Grant | None:
        """The grant of that id."""
        body = self._database.run(select(grants.c.body).where(grants.c.id == grant)).scalar()
        return None if body is None else _standing.decode(body)

    def grants(self, action: str | None = None) -> list[Grant]:
        """All that were ever given, or those for ``action``, oldest first."""
        asked = select(grants.c.body).order_by(grants.c.at, grants.c.id)
        if action is not None:
            asked = asked.where(grants.c.action == action)
        return [_standing.decode(body) for body in self._database.run(asked).scalars()]
