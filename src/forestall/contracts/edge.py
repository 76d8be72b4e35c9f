"""Decisions that a page made itself: ``data`` of the event ``forestall.edge.decided``."""

from typing import Annotated, Any, Literal

import msgspec

DECIDED = "forestall.edge.decided"
"""The event's type. A page sends it in front of the event that made it decide."""

MOST_MATCHED = 64

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class ToldDecision(msgspec.Struct, frozen=True):
    """A page's decision on ``policy``, in its ``version``, at ``at`` (microseconds).

    ``key`` is the key's text, null without ``by``; ``matched`` are source and id of the matched
    events in order; ``reason`` says which holdout it was.
    """

    policy: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,63}$")]
    version: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    at: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    outcome: Literal["intervene", "holdout"]
    matched: Annotated[
        tuple[tuple[_Id, _Id], ...], msgspec.Meta(min_length=1, max_length=MOST_MATCHED)
    ]
    key: Annotated[str, msgspec.Meta(max_length=4096)] | None = None
    reason: Literal["policy_holdout", "global_holdout"] | None = None


def decision_told(data: Any) -> ToldDecision | None:
    """What ``data`` tells, none where it is not as it should be. Only a holdout has a reason."""
    try:
        told = msgspec.convert(data, ToldDecision)
    except msgspec.ValidationError:
        return None
    return told if (told.outcome == "holdout") == (told.reason is not None) else None
