"""Control records: everything about a deployment that can change a decision, in log order.

They lie in the ``control`` stream. A signal sees those with ``received`` at or before its own, so
replaying the log changes versions, settings and switches at exactly the same places.
"""

from typing import Any

import msgspec

from forestall.contracts.decision import Mode


class DecideSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings under ``[decide]`` (policy language, section 7); durations in microseconds.

    ``quiet_hours`` is minutes of the day, start inclusive and end exclusive, or none.
    """

    lateness: int = 300_000_000
    grace: int = 2_000_000
    budget: int = 3
    budget_window: int = 86_400_000_000
    spacing: int = 600_000_000
    holdout: float = 0.0
    salt: str = ""
    quiet_hours: tuple[int, int] | None = None
    timezone: str | None = None
    require_consent: bool = False


class PolicyInForce(msgspec.Struct, frozen=True):
    """One policy of a set: its version, its mode, its canonical form (JSON text) and its title.

    ``share`` is the part of subjects a canary reaches, between 0 and 1.
    """

    name: str
    version: str
    canonical: msgspec.Raw
    mode: Mode = "live"
    share: float = 1.0
    title: str = ""


class PoliciesApplied(msgspec.Struct, frozen=True, tag="policies", tag_field="kind"):
    """From here on exactly these policies decide.

    ``numbers`` names, for each event type, the data fields that the catalogue calls ``number``:
    a tree such as ``{"amount": true, "lines": {"*": {"price": true}}}``.
    """

    received: int
    policies: tuple[PolicyInForce, ...]
    numbers: dict[str, dict[str, Any]]
    by: str
    why: str


class SettingsApplied(msgspec.Struct, frozen=True, tag="settings", tag_field="kind"):
    """From here on these settings hold."""

    received: int
    settings: DecideSettings
    by: str
    why: str


class SwitchesApplied(msgspec.Struct, frozen=True, tag="switches", tag_field="kind"):
    """From here on the named policies, or everything, are switched off."""

    received: int
    off: tuple[str, ...]
    everything_off: bool
    by: str
    why: str


class ServiceState(msgspec.Struct, frozen=True, tag="service", tag_field="kind"):
    """From here on ``service.<name>`` reads ``state`` in conditions."""

    received: int
    service: str
    state: Any


class ModelInForce(msgspec.Struct, frozen=True):
    """One model of a set: its version, its content (JSON text, see ``measure.model``) and its mode.

    A candidate is judged by the model that is live, or for its ``share`` of subjects in canary; one
    in shadow is asked besides, and judges nothing.
    """

    name: str
    version: str
    content: msgspec.Raw
    mode: Mode = "live"
    share: float = 1.0


class ModelsApplied(msgspec.Struct, frozen=True, tag="models", tag_field="kind"):
    """From here on exactly these models give probabilities.

    ``thresholds`` hold, for policies by name, in place of the ones in the policies themselves.
    """

    received: int
    models: tuple[ModelInForce, ...]
    thresholds: dict[str, float]
    by: str
    why: str


class FlagsApplied(msgspec.Struct, frozen=True, tag="flags", tag_field="kind"):
    """From here on the deployment's own switches have these values; they change no decision."""

    received: int
    flags: dict[str, bool | int | float | str]
    by: str
    why: str


class Transition(msgspec.Struct, frozen=True, tag="transition", tag_field="kind", kw_only=True):
    """Something under change control went from one state to another (see ``policy.lifecycle``).

    ``number`` counts the transitions of a deployment from 1; ``seconded`` names the second person,
    where one was needed; ``evidence`` is what it was decided on. ``set`` is the one of the two sets
    (blue, green) it belongs to, ``at`` the wall time at which it was decided. What decides from here
    on is said by the record of policies or models that follows.
    """

    received: int
    number: int
    artifact: str
    name: str
    version: str
    before: str
    after: str
    by: str
    why: str
    share: float = 1.0
    seconded: str | None = None
    evidence: dict[str, Any] = {}
    set: str = "blue"
    at: int = 0


Control = (
    PoliciesApplied
    | SettingsApplied
    | SwitchesApplied
    | ServiceState
    | ModelsApplied
    | FlagsApplied
    | Transition
)
