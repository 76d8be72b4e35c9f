"""Reviews: what was to be looked at again by a day that has passed. Pure."""

import datetime
from collections.abc import Iterable

import msgspec


class Review(msgspec.Struct, frozen=True):
    """Something that somebody is to look at again by a day."""

    kind: str
    name: str
    owner: str
    review_by: datetime.date


class Due(msgspec.Struct, frozen=True):
    """A review whose day passed ``days`` ago."""

    kind: str
    name: str
    owner: str
    review_by: datetime.date
    days: int


def overdue(reviews: Iterable[Review], today: datetime.date) -> list[Due]:
    """Those whose day has passed, longest overdue first; the day itself is still in time."""
    found = [
        Due(one.kind, one.name, one.owner, one.review_by, (today - one.review_by).days)
        for one in reviews
        if one.review_by < today
    ]
    return sorted(found, key=lambda one: (-one.days, one.kind, one.name))
