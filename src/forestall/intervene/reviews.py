"""Reviews: people look at a sample of finished remediations and say whether they were right."""

import hashlib

import msgspec
from msgspec.structs import replace
from sqlalchemy import func, insert, select, update

from forestall.contracts.refusals import NotThere, TooLate, because
from forestall.intervene.authority import REVIEWER, Who
from forestall.intervene.records import Entry, Records
from forestall.intervene.store import Store
from forestall.intervene.tables import effects, interventions, reviews
from forestall.kernel.clock import Clock


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """One sampled remediation, by the key of its effect. ``accepted`` is none until ``by`` has
    said so, and ``why``. ``sampled`` and ``judged`` are wall times."""

    id: str
    intervention: str
    step: int
    policy: str
    action: str
    customer: str
    sampled: int
    accepted: bool | None = None
    by: str | None = None
    why: str | None = None
    judged: int | None = None


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """How reviews of one action in one policy went so far."""

    action: str
    policy: str
    sampled: int
    accepted: int
    rejected: int


def chosen(seed: str, key: str, share: float) -> bool:
    """Whether the remediation ``key`` is in the sample: always the same for a ``seed``, and a
    greater ``share`` has all that a smaller one has."""
    spot = int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8])
    return spot < share * 2**64


_columns = select(*(reviews.c[name] for name in Review.__struct_fields__))
_DONE = (
    select(
        effects.c.key,
        effects.c.intervention,
        effects.c.step,
        effects.c.channel,
        effects.c.subject,
        interventions.c.policy,
    )
    .join(interventions, interventions.c.id == effects.c.intervention)
    .where(
        effects.c.kind == "action",
        effects.c.status == "done",
        effects.c.key.not_in(select(reviews.c.id)),
    )
    .order_by(interventions.c.seq, effects.c.step)
)


class Reviewing:
    """Samples and verdicts of one store. Belongs to the event loop's thread, as the store does."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._records = Records(store.database)

    def sample(self, who: Who, share: float, seed: str) -> list[Review]:
        """Pick a ``share`` (0 to 1) of the remediations that were carried out and are not sampled
        yet; those that are new. Raises ``RoleMissing``."""
        who.need(REVIEWER)
        now = self._clock()
        picked = [
            Review(
                id=row.key,
                intervention=row.intervention,
                step=row.step,
                policy=row.policy,
                action=row.channel,
                customer=row.subject,
                sampled=now,
            )
            for row in self._store.database.run(_DONE)
            if chosen(seed, row.key, share)
        ]
        with self._store.transaction():
            if picked:
                rows = [msgspec.structs.asdict(review) for review in picked]
                self._store.database.run(insert(reviews), rows)
            entry = Entry(
                at=now,
                who=who.name,
                what="review.sampled",
                about=seed,
                why=f"share {share:g}",
                detail={"share": share, "seed": seed, "picked": len(picked)},
            )
            self._records.add(entry)
        return picked

    def judge(self, who: Who, review: str, *, accepted: bool, reason: str) -> Review:
        """Say whether a sampled remediation was right.

        Raises ``RoleMissing``, ``ReasonMissing``, ``NotThere`` and ``TooLate``."""
        who.need(REVIEWER)
        now, why = self._clock(), because(reason)
        with self._store.transaction():
            row = self._store.database.run(_columns.where(reviews.c.id == review)).first()
            if row is None:
                raise NotThere(f"there is no review {review!r}")
            found = Review(**row._asdict())
            if found.accepted is not None:
                word = "accepted" if found.accepted else "rejected"
                raise TooLate(f"{word}: {found.by} reviewed this already")
            judged = replace(found, accepted=accepted, by=who.name, why=why, judged=now)
            changed = {"accepted": accepted, "by": who.name, "why": why, "judged": now}
            self._store.database.run(update(reviews).where(reviews.c.id == review).values(changed))
            what = "review.accepted" if accepted else "review.rejected"
            detail = {"intervention": found.intervention, "step": found.step}
            self._records.add(
                Entry(at=now, who=who.name, what=what, about=review, why=why, detail=detail)
            )
        return judged

    def all(self, *, judged: bool | None = None) -> list[Review]:
        """Every review, oldest first, or only those that are judged, or are not."""
        asked = _columns.order_by(reviews.c.sampled, reviews.c.id)
        if judged is not None:
            done = reviews.c.accepted.is_not(None) if judged else reviews.c.accepted.is_(None)
            asked = asked.where(done)
        return [Review(**row._asdict()) for row in self._store.database.run(asked)]

    def numbers(self) -> list[Number]:
        """How reviews went, by action and policy."""
        asked = (
            select(
                reviews.c.action,
                reviews.c.policy,
                func.count().label("sampled"),
                func.count().filter(reviews.c.accepted.is_(True)).label("accepted"),
                func.count().filter(reviews.c.accepted.is_(False)).label("rejected"),
            )
            .group_by(reviews.c.action, reviews.c.policy)
            .order_by(reviews.c.action, reviews.c.policy)
        )
        return [Number(**row._asdict()) for row in self._store.database.run(asked)]
