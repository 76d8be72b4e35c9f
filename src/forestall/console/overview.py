"""What the page is told: plain frozen data, the body of ``/console/overview.json``."""

from typing import Literal

import msgspec

from forestall.contracts.intervention import Told

State = Literal["waiting"] | Told
"""``waiting``: decided, and nothing was reported yet; otherwise the weightiest report so far."""


class Sample(msgspec.Struct, frozen=True):
    """Events a second over the short while that ended ``ago`` seconds ago."""

    ago: float
    per_second: float


class Events(msgspec.Struct, frozen=True):
    """Accepted events: in all, in the last seconds, and the batches not yet decided on."""

    accepted: int
    per_second: float
    recent: tuple[Sample, ...]
    pending_batches: int


class PolicyTotals(msgspec.Struct, frozen=True):
    """One policy's decisions: by mode, and by outcome and reason (``""`` where there is none)."""

    policy: str
    total: int
    by_mode: dict[str, int]
    by_outcome: dict[str, dict[str, int]]


class Shown(msgspec.Struct, frozen=True):
    """An intervention as the page shows it. ``at`` is RFC 3339; ``customer`` is a pseudonym."""

    id: str
    policy: str
    customer: str
    at: str
    mode: str
    explanation: str
    state: State
    reason: str | None


class Interventions(msgspec.Struct, frozen=True):
    """Live interventions: in all, how many stand in each state, and the newest, newest first."""

    total: int
    by_state: dict[str, int]
    newest: tuple[Shown, ...]


class Overview(msgspec.Struct, frozen=True):
    """Everything at one moment. ``settled``: every accepted event is decided on, and every
    intervention begun."""

    events: Events
    decisions: int
    policies: tuple[PolicyTotals, ...]
    interventions: Interventions
    settled: bool
