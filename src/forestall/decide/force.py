"""What is in force: policies as programs, settings, switches, services, and the plans they give.

Pure. Control records change it; everything else only reads it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    ServiceState,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.decide.gates import Switches
from forestall.decide.plan import Plan, make_plan
from forestall.decide.state import State
from forestall.policy.bundle import policy_of
from forestall.policy.language.compile import Program, compile_policy
from forestall.policy.language.model import Feature

PLANS: Final = 10_000
"""Plans kept; a deployment without a catalogue may be sent any number of event types."""


class InForce:
    """Programs and features by slot. A pattern keeps its slot, and so a subject's progress, while
    its policy's name and ``when`` stay; a feature keeps its slot while it is needed."""

    def __init__(self, settings: DecideSettings) -> None:
        self.settings = settings
        self.switches = Switches()
        self.services: dict[str, Any] = {}
        self.numbers: dict[str, dict[str, Any]] = {}
        self.programs: dict[int, Program] = {}
        self.features: dict[Feature, int] = {}
        self.slots = 0
        self._kept: frozenset[Feature] = frozenset()
        self._plans: dict[str, Plan] = {}

    def apply(self, control: Control) -> None:
        """Obey a control record."""
        match control:
            case PoliciesApplied():
                self.numbers = control.numbers
                self._put([compile_policy(policy_of(one), one.version) for one in control.policies])
            case SettingsApplied():
                self.settings = control.settings
            case SwitchesApplied():
                self.switches = Switches(frozenset(control.off), control.everything_off)
            case ServiceState():
                self.services = {**self.services, control.service: control.state}

    def keep(self, features: Iterable[Feature]) -> None:
        """Maintain ``features`` also while no program needs them."""
        self._kept |= frozenset(features)
        self._put(list(self.programs.values()))

    def plan(self, event_type: str) -> Plan:
        """What events of that type concern."""
        plan = self._plans.get(event_type)
        if plan is None:
            if len(self._plans) >= PLANS:
                self._plans.clear()
            slots = [(slot, feature) for feature, slot in self.features.items()]
            plan = make_plan(event_type, slots, self.programs.items())
            self._plans[event_type] = plan
        return plan

    def program_of(self, policy: str) -> tuple[int, Program] | None:
        """Slot and program of the policy of that name."""
        found = (item for item in self.programs.items() if item[1].policy.name == policy)
        return next(found, None)

    def restore(self, state: State) -> None:
        """Be as ``state`` says."""
        self.settings, self.switches = state.settings, state.switches
        self.services, self.numbers = state.services, state.numbers
        self.slots, self.features = state.slots, dict(state.features)
        self.programs = {
            slot: compile_policy(policy, version) for slot, version, policy in state.programs
        }

    def _put(self, programs: Sequence[Program]) -> None:
        held = {
            (program.policy.name, program.pattern_hash): slot
            for slot, program in self.programs.items()
        }
        self.programs = {}
        for program in sorted(programs, key=lambda program: program.policy.name):
            slot = held.get((program.policy.name, program.pattern_hash))
            self.programs[self._new_slot() if slot is None else slot] = program
        wanted = self._kept | {feature for program in programs for _, feature in program.features}
        self.features = {
            feature: self.features[feature] if feature in self.features else self._new_slot()
            for feature in sorted(wanted, key=repr)
        }
        self._plans = {}

    def _new_slot(self) -> int:
        self.slots += 1
        return self.slots
