"""Decisions: what the engine says about one candidate, always with its reason."""

import hashlib
from typing import Any, Literal

import msgspec

Mode = Literal["live", "shadow", "canary"]
Outcome = Literal["intervene", "suppress", "holdout"]
Reason = Literal[
    "killed",
    "opted_out",
    "no_consent",
    "in_conversation",
    "cooldown",
    "fatigue",
    "budget",
    "spacing",
    "quiet_hours",
    "low_confidence",
    "policy_holdout",
    "outranked",
    "global_holdout",
]


class Confidence(msgspec.Struct, frozen=True):
    """What a model said of a candidate: its calibrated ``probability`` and what each feature added
    to its log-odds. ``mode`` is that of the model; only one in force (live, canary) judges."""

    model: str
    version: str
    mode: Mode
    probability: float
    contributions: dict[str, float]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate's fate (policy language, section 6).

    ``at`` is RFC 3339 with microseconds; ``matched`` are event ids in log order; ``features`` the
    policy's own as of ``at``; ``reason`` is null exactly when the outcome is ``intervene``.
    ``traceparent`` is that of the last matched event and left out where it had none; ``confidence``
    is what models said of it, left out where the policy asks none. ``edge`` marks one that a page
    made itself (``forestall.edge.decided``), and is left out elsewhere: its ``at`` is the page's,
    and its ``features`` are empty.
    """

    id: str
    policy: str
    version: str
    mode: Mode
    subject: str
    key: str | None
    at: str
    outcome: Outcome
    reason: Reason | None
    matched: tuple[str, ...]
    features: dict[str, Any]
    explanation: str
    traceparent: str | msgspec.UnsetType = msgspec.UNSET
    confidence: tuple[Confidence, ...] | msgspec.UnsetType = msgspec.UNSET
    edge: Literal[True] | msgspec.UnsetType = msgspec.UNSET


class Decided(msgspec.Struct, frozen=True, array_like=True):
    """A decision and its place among the signals.

    It was made at the signals batch ``position`` (0 before the first). ``order`` is twice the
    index of the record in that batch if a timer fired before it, one more if the record itself
    caused it, and twice the batch's length if a tick caused it. ``noticed`` is the log time.
    """

    position: int
    order: int
    noticed: int
    decision: Decision


def decision_id(
    version: str, subject: str, key: str | None, at: str, matched: list[tuple[str, str]]
) -> str:
    """Lower-case hex SHA-256 over the compact JSON of what makes the decision unique.

    ``matched`` are ``(source, id)`` pairs in log order.
    """
    return hashlib.sha256(msgspec.json.encode([version, subject, key, at, matched])).hexdigest()
