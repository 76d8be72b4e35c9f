"""Rollouts: which canaries run at which step, read off the control records. Pure."""

import msgspec

from forestall.contracts.control import (
    Control,
    ModelInForce,
    ModelsApplied,
    PoliciesApplied,
    PolicyInForce,
    SettingsApplied,
    Transition,
)
from forestall.measure.canary import DEFAULTS, Kind, Plan, Watched


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """How canaries grow: ``steps`` are a share and a least time in microseconds each, ascending.

    ``alpha`` is the chance of ever failing something harmless over all steps and guardrails.
    """

    steps: tuple[tuple[float, int], ...]
    guardrails: tuple[Watched, ...] = DEFAULTS
    alpha: float = 0.05
    least: int = 200

    def time(self, share: float) -> int:
        """How long a canary stays at ``share``: the time of the first step that is as large."""
        return next((time for step, time in self.steps if step >= share), self.steps[-1][1])

    def after(self, share: float) -> float | None:
        """The share of the step that follows; none after the last."""
        return next((step for step, _ in self.steps if step > share), None)


class Rollout:
    """The canaries that run, by kind and name, each with the plan of its present step.

    A step begins with the control record that puts version and share in force. It ends when these
    change, or the salt by which subjects fall into the share. ``number`` is the newest transition's.
    """

    def __init__(self, ladder: Ladder) -> None:
        self.number = 0
        self._ladder = ladder
        self._salt = ""
        self._canaries: dict[Kind, tuple[tuple[PolicyInForce | ModelInForce, bool], ...]] = {}
        self.running: dict[tuple[Kind, str], Plan] = {}

    def take(self, record: Control) -> None:
        """Take the next control record."""
        match record:
            case Transition():
                self.number = record.number
                return
            case SettingsApplied():
                if record.settings.salt != self._salt:
                    self._salt = record.settings.salt
                    self.running = {}
            case PoliciesApplied():
                live = {one.name for one in record.policies if one.mode == "live"}
                self._canaries["policy"] = tuple(
                    (one, one.name in live) for one in record.policies if one.mode == "canary"
                )
            case ModelsApplied():
                self._canaries["model"] = tuple(
                    (one, False) for one in record.models if one.mode == "canary"
                )
            case _:
                return
        self.running = {
            (kind, one.name): self._plan(kind, one, alone, record.received)
            for kind, canaries in self._canaries.items()
            for one, alone in canaries
        }

    def _plan(
        self, kind: Kind, one: PolicyInForce | ModelInForce, alone: bool, received: int
    ) -> Plan:
        before = self.running.get((kind, one.name))
        earlier = 0.0
        if before is not None and before.version == one.version:
            if before.share == one.share:
                return before
            earlier = before.share if before.share < one.share else 0.0
        ladder = self._ladder
        time = ladder.time(one.share)
        return Plan(
            kind=kind,
            name=one.name,
            version=one.version,
            salt=f"{self._salt}:{one.name}:{'canary' if kind == 'policy' else 'model-canary'}",
            begun=received,
            share=one.share,
            earlier=earlier,
            guardrails=ladder.guardrails,
            alpha=ladder.alpha / len(ladder.steps),
            least=ladder.least,
            time=time,
            settling=time // 2,
            alone=alone,
        )
