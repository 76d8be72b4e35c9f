"""What is in force: policies as programs, settings, switches, services, and the plans they give.

Pure. Control records change it; everything else only reads it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

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
from forestall.decide.state import NEVER_SETTLED, Needs, State, ViewAtRest, settled
from forestall.policy.bundle import policy_of
from forestall.policy.language.compile import Program, compile_policy
from forestall.policy.language.model import Feature

PLANS: Final = 10_000
"""Plans kept; a deployment without a catalogue may be sent any number of event types."""


class View(msgspec.Struct, frozen=True):
    """What holds at one moment; programs by slot."""

    settings: DecideSettings
    switches: Switches = Switches()
    services: dict[str, Any] = {}
    programs: dict[int, Program] = {}


class InForce:
    """What holds now, and the features maintained for it, by slot.

    A pattern keeps its slot, and so a subject's progress, while its policy's name and ``when`` stay;
    a feature keeps its slot while it is needed.
    """

    def __init__(self, settings: DecideSettings) -> None:
        self.now = View(settings)
        self.past: list[tuple[int, View]] = []
        self.numbers: dict[str, dict[str, Any]] = {}
        self.features: dict[Feature, int] = {}
        self.slots = 0
        self._kept: frozenset[Feature] = frozenset()
        self.plans: dict[str, Plan] = {}

    def apply(self, control: Control) -> None:
        """Obey a control record. What held until then stays known for ``lateness``."""
        horizon = control.received - self.now.settings.lateness
        self.past = [entry for entry in self.past if entry[0] > horizon]
        self.past.append((control.received, self.now))
        match control:
            case PoliciesApplied():
                self.numbers = control.numbers
                self._put(
                    [
                        compile_policy(policy_of(one), one.version, one.mode)
                        for one in control.policies
                    ]
                )
            case SettingsApplied():
                self.now = replace(self.now, settings=control.settings)
            case SwitchesApplied():
                switches = Switches(frozenset(control.off), control.everything_off)
                self.now = replace(self.now, switches=switches)
            case ServiceState():
                services = {**self.now.services, control.service: control.state}
                self.now = replace(self.now, services=services)

    def at(self, received: int) -> View:
        """What held for a record ``received`` then, as far back as is known."""
        if not self.past or received >= self.past[-1][0]:
            return self.now
        return next(view for until, view in self.past if received < until)

    def keep(self, features: Iterable[Feature]) -> None:
        """Maintain ``features`` also while no program needs them."""
        self._kept |= frozenset(features)
        self._put(list(self.now.programs.values()))

    def release(self) -> None:
        """Maintain no longer, from the next set of policies on, what only ``keep`` asked for."""
        self._kept = frozenset()

    def plan(self, event_type: str) -> Plan:
        """What events of that type concern."""
        plan = self.plans.get(event_type)
        if plan is None:
            if len(self.plans) >= PLANS:
                self.plans.clear()
            doubles = self.numbers.get(event_type)
            plan = make_plan(event_type, self.features, self.now.programs.items(), doubles)
            self.plans[event_type] = plan
        return plan

    def needs(self, received: int) -> Needs:
        """What can still be asked for, as of ``received``."""
        features = {slot: feature for feature, slot in self.features.items()}
        programs = self.now.programs
        matches = [feature.match for feature in features.values()]
        for program in programs.values():
            pattern = program.pattern
            matches += [*pattern.positives, *pattern.gaps.values()]
            matches += [pattern.trailing] if pattern.trailing is not None else []
        controls = any(name.startswith("forestall.") for one in matches for name in one.types)
        before = NEVER_SETTLED if controls else settled(received, self.now.settings)
        return Needs(received, self.now.settings, features, programs, before)

    def program_of(self, policy: str) -> tuple[int, Program] | None:
        """Slot and program of the policy of that name."""
        found = (item for item in self.now.programs.items() if item[1].policy.name == policy)
        return next(found, None)

    def restore(self, state: State) -> None:
        """Be as ``state`` says."""
        self.now = _restored(state.now)
        self.past = [(until, _restored(rest)) for until, rest in state.past]
        self.numbers = state.numbers
        self.slots, self.features = state.slots, dict(state.features)

    def _put(self, programs: Sequence[Program]) -> None:
        """Put ``programs`` in force. Features of those before stay for one more set: a timer may
        have to be decided by what held before."""
        before = self.now.programs
        held = {
            (program.policy.name, program.pattern_hash): slot for slot, program in before.items()
        }
        after = {}
        for program in sorted(programs, key=lambda program: program.policy.name):
            slot = held.get((program.policy.name, program.pattern_hash))
            after[self._new_slot() if slot is None else slot] = program
        self.now = replace(self.now, programs=after)
        wanted = self._kept | {
            feature for program in (*before.values(), *programs) for _, feature in program.features
        }
        self.features = {
            feature: self.features[feature] if feature in self.features else self._new_slot()
            for feature in sorted(wanted, key=repr)
        }
        self.plans = {}

    def _new_slot(self) -> int:
        self.slots += 1
        return self.slots


def rest(view: View) -> ViewAtRest:
    """``view`` in a shape that can be written down."""
    programs = [(slot, one.version, one.mode, one.policy) for slot, one in view.programs.items()]
    return ViewAtRest(view.settings, view.switches, view.services, programs)


def _restored(rest: ViewAtRest) -> View:
    programs = {
        slot: compile_policy(policy, version, mode) for slot, version, mode, policy in rest.programs
    }
    return View(rest.settings, rest.switches, rest.services, programs)
