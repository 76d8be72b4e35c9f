"""What is in force: policies as programs, settings, switches, services, models, and the plans they
give.

Pure. Control records change it; everything else only reads it. Of one policy a live version and one
in canary may be in force at once, and one in shadow beside them. A subject in the canary's share
lives in a world in which the canary's version is the live one; ``World`` is what such subjects have
in common.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from forestall.contracts import edge
from forestall.contracts.control import (
    Control,
    DecideSettings,
    ModelsApplied,
    PoliciesApplied,
    ServiceState,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.decide.confidence import Models, models_of
from forestall.decide.gates import Switches
from forestall.decide.ledger import EFFECTS
from forestall.decide.plan import Plan, concerns, make_plan
from forestall.decide.state import (
    NEVER_SETTLED,
    Needs,
    Parting,
    ProgramAtRest,
    State,
    Subject,
    ViewAtRest,
    settled,
)
from forestall.measure.assign import in_holdout
from forestall.policy.bundle import policy_of
from forestall.policy.language.compile import Program, compile_policy
from forestall.policy.language.model import WILDCARD, Feature, Match

AHEAD: Final = 1_000
"""Event types whose plans are made before their first event, at most."""

PLANS: Final = 10_000
"""Plans kept; a deployment without a catalogue may be sent any number of event types."""

WORLDS: Final = 8_192
"""Worlds kept; many canaries at once make many combinations."""

PLACED: Final = 100_000
"""Subjects whose world is remembered while there is a canary."""


class Canary(msgspec.Struct, frozen=True):
    """A version that decides in place of the live one for a ``share`` of subjects."""

    slot: int
    program: Program
    share: float


class View(msgspec.Struct, frozen=True):
    """What holds at one moment: ``programs`` (live and shadow) by slot, ``canaries`` by name.

    ``epoch`` is the newest parting by then (see ``Parting``).
    """

    settings: DecideSettings
    switches: Switches = Switches()
    services: dict[str, Any] = {}
    programs: dict[int, Program] = {}
    canaries: dict[str, Canary] = {}
    models: Models = Models()
    epoch: int = 0

    def members(self, subject: str) -> frozenset[str]:
        """The policies of which the canary's version decides for ``subject``."""
        salt = self.settings.salt
        return frozenset(
            name
            for name, one in self.canaries.items()
            if in_holdout(f"{salt}:{name}:canary", subject, one.share)
        )

    def world(self, members: frozenset[str]) -> dict[int, Program]:
        """The programs by slot that decide for those in these canaries."""
        if not members:
            return self.programs
        programs = {
            slot: program
            for slot, program in self.programs.items()
            if program.mode == "shadow" or program.policy.name not in members
        }
        return programs | {self.canaries[one].slot: self.canaries[one].program for one in members}

    def everything(self) -> Iterator[tuple[int, Program]]:
        """Slot and program of every version, the live one before one in canary."""
        yield from self.programs.items()
        yield from ((one.slot, one.program) for one in self.canaries.values())

    def live_slot(self, policy: str) -> int:
        """The slot of the live version of a policy, 0 where there is none."""
        return next(
            (
                slot
                for slot, program in self.programs.items()
                if program.policy.name == policy and program.mode != "shadow"
            ),
            0,
        )


class World(msgspec.Struct):
    """What subjects who are in the same canaries have in common; mostly there is one world."""

    members: frozenset[str]
    programs: dict[int, Program]
    plans: dict[str, Plan] = {}

    def program_of(self, policy: str) -> tuple[int, Program] | None:
        """Slot and program of a policy: the version that acts, else the one in shadow."""
        found = [item for item in self.programs.items() if item[1].policy.name == policy]
        return min(found, key=lambda item: item[1].mode == "shadow", default=None)


class InForce:
    """What holds now, and the features maintained for it, by slot.

    A pattern keeps its slot, and so a subject's progress, while its policy's name and ``when`` stay;
    a version in shadow has a slot of its own. A feature keeps its slot while it is needed.
    """

    def __init__(self, settings: DecideSettings) -> None:
        self.now = View(settings)
        self.past: list[tuple[int, View]] = []
        self.numbers: dict[str, dict[str, Any]] = {}
        self.features: dict[Feature, int] = {}
        self.slots = 0
        self.partings: list[Parting] = []
        self._kept: frozenset[Feature] = frozenset()
        self.base = World(frozenset(), {})
        self._worlds: dict[frozenset[str], World] = {}
        self._placed: dict[str, World] = {}
        self._plans: dict[tuple[str, frozenset[str]], Plan] = {}
        self._touched: dict[str, frozenset[str]] = {}
        self._ahead: list[str] | None = None
        self._renew()

    def apply(self, control: Control) -> None:
        """Obey a control record. What held until then stays known for ``lateness``."""
        horizon = control.received - self.now.settings.lateness
        self.past = [entry for entry in self.past if entry[0] > horizon]
        self.past.append((control.received, self.now))
        match control:
            case PoliciesApplied():
                self._put(control)
            case SettingsApplied():
                salted = control.settings.salt != self.now.settings.salt
                before, self.now = self.now, replace(self.now, settings=control.settings)
                if salted:
                    self._part(before)
                    self._placed = {}
            case SwitchesApplied():
                switches = Switches(frozenset(control.off), control.everything_off)
                self.now = replace(self.now, switches=switches)
            case ServiceState():
                services = {**self.now.services, control.service: control.state}
                self.now = replace(self.now, services=services)
            case ModelsApplied():
                self.now = replace(self.now, models=models_of(control))

    def at(self, received: int) -> View:
        """What held for a record ``received`` then, as far back as is known."""
        if not self.past or received >= self.past[-1][0]:
            return self.now
        return next(view for until, view in self.past if received < until)

    def keep(self, features: Iterable[Feature]) -> None:
        """Maintain ``features`` also while no program needs them. Nothing is dropped by that."""
        self._kept |= frozenset(features)
        self._hold(self._kept | self.features.keys())

    def release(self) -> None:
        """Maintain no longer, from the next set of policies on, what only ``keep`` asked for."""
        self._kept = frozenset()

    # -- subjects --------------------------------------------------------------------------------

    @property
    def apart(self) -> bool:
        """Whether subjects may differ in what is, or was, in force for them."""
        return bool(self.now.canaries or self.partings)

    def of(self, subject: str) -> World:
        """The world that ``subject`` lives in now."""
        if not self.now.canaries:
            return self.base
        world = self._placed.get(subject)
        if world is None:
            members = self.now.members(subject)
            world = self._worlds.get(members)
            if world is None:
                if len(self._worlds) >= WORLDS:
                    self._worlds, self._placed = {frozenset(): self.base}, {}
                world = self._worlds[members] = World(members, self.now.world(members))
            if len(self._placed) >= PLACED:
                self._placed = {}
            self._placed[subject] = world
        return world

    def held(self, subject: str, view: View) -> dict[int, Program]:
        """What held for ``subject`` at ``view``, less the patterns it has been without since."""
        if view is self.now:
            return self.of(subject).programs
        programs = view.world(view.members(subject))
        gone = self._left(subject, view.epoch)
        return {slot: one for slot, one in programs.items() if slot not in gone}

    def catch_up(self, name: str, subject: Subject) -> None:
        """Drop the progress in patterns that the subject has been without since it was last here."""
        if subject.epoch != self.now.epoch:
            for slot in self._left(name, subject.epoch):
                subject.patterns.pop(slot, None)
            subject.epoch = self.now.epoch

    def progress(self, name: str, subject: Subject) -> dict[int, Any]:
        """A subject's pattern state as it counts now; the subject stays as it is."""
        gone = self._left(name, subject.epoch)
        return {slot: state for slot, state in subject.patterns.items() if slot not in gone}

    def _left(self, subject: str, epoch: int) -> set[int]:
        """The slots that were not the subject's at some parting after ``epoch``."""
        return {
            one.live if in_holdout(f"{one.salt}:{one.policy}:canary", subject, one.share)
            else one.canary
            for one in self.partings
            if one.epoch > epoch
        }  # fmt: skip

    # -- plans -----------------------------------------------------------------------------------

    def plan(self, event_type: str, world: World) -> Plan:
        """What events of that type concern in a world."""
        plan = world.plans.get(event_type)
        if plan is None:
            if len(world.plans) >= PLANS:
                world.plans.clear()
            plan = world.plans[event_type] = self._planned(event_type, world)
        return plan

    def ahead(self) -> Plan | None:
        """The plan of one type that something in force looks for and that has had no event yet."""
        if self._ahead is None:
            matches = [feature.match for feature in self.features]
            matches += [one for _, program in self.now.everything() for one in _matches(program)]
            types = {name for match in matches for name in match.types} | EFFECTS.keys()
            self._ahead = sorted(types - {WILDCARD})[:AHEAD]
        while self._ahead and len(self.base.plans) < PLANS:
            plan = self.plan(self._ahead.pop(), self.base)
            if not plan.idle and plan.take is None:
                return plan
        return None

    def _planned(self, event_type: str, world: World) -> Plan:
        """Worlds that differ in nothing which events of that type concern share a plan."""
        differ = self._concerned(event_type)
        same = event_type, world.members & differ
        plan = self._plans.get(same)
        if plan is None:
            if len(self._plans) >= PLANS:
                self._plans.clear()
            doubles = self.numbers.get(event_type)
            plan = make_plan(event_type, self.features, world.programs.items(), doubles)
            self._plans[same] = plan
        return plan

    def _concerned(self, event_type: str) -> frozenset[str]:
        """The policies of a canary that events of that type concern, in whatever version."""
        found = self._touched.get(event_type)
        if found is None:
            if len(self._touched) >= PLANS:
                self._touched.clear()
            found = self._touched[event_type] = frozenset(
                program.policy.name
                for _, program in self.now.everything()
                if program.policy.name in self.now.canaries
                and (
                    event_type == edge.DECIDED
                    or any(concerns(match, event_type) for match in _matches(program))
                )
            )
        return found

    def needs(self, received: int) -> Needs:
        """What can still be asked for, as of ``received``."""
        features = {slot: feature for feature, slot in self.features.items()}
        programs = dict(self.now.everything())
        matches = [feature.match for feature in features.values()]
        matches += [match for program in programs.values() for match in _matches(program)]
        controls = any(name.startswith("forestall.") for one in matches for name in one.types)
        before = NEVER_SETTLED if controls else settled(received, self.now.settings)
        return Needs(received, self.now.settings, features, programs, before)

    # -- changing --------------------------------------------------------------------------------

    def _put(self, record: PoliciesApplied) -> None:
        """Put the policies of a record in force. Features of those before stay for one more set: a
        timer may have to be decided by what held before."""
        self.numbers = record.numbers
        entries = {(one.name, one.mode): one for one in record.policies}
        wanted = [
            (compile_policy(policy_of(one), one.version, one.mode), one.share)
            for _, one in sorted(entries.items())
        ]
        slots = self._slots([program for program, _ in wanted])
        before = self.now
        self.now = _with(before, [(slots[_own(p)], p, share) for p, share in wanted])
        self._part(before)
        self._maintain(before)

    def _slots(self, programs: Sequence[Program]) -> dict[tuple[str, str, bool], int]:
        """A slot for each name, pattern and whether it is in shadow: the one held, else the one of
        the other kind where nobody has it any more, else a new one."""
        held = {_own(program): slot for slot, program in self.now.everything()}
        wanted = sorted({_own(program) for program in programs})
        slots = {}
        for name, pattern, shadow in wanted:
            other = name, pattern, not shadow
            slot = held.get((name, pattern, shadow))
            if slot is None and other not in wanted:
                slot = held.get(other)
            slots[name, pattern, shadow] = self._new_slot() if slot is None else slot
        return slots

    def _part(self, before: View) -> None:
        """Note which subjects are without which pattern from here on."""
        known, rows = _rows(before), _rows(self.now)
        new = [row for row in rows if row not in known]
        if new:
            self.now = replace(self.now, epoch=self.now.epoch + 1)
            self.partings += [replace(row, epoch=self.now.epoch) for row in new]
        slots = {slot for slot, _ in self.now.everything()}
        self.partings = [one for one in self.partings if slots & {one.live, one.canary}]

    def _maintain(self, before: View) -> None:
        programs = [program for view in (before, self.now) for _, program in view.everything()]
        self._hold(self._kept | {feature for one in programs for _, feature in one.features})

    def _hold(self, wanted: Collection[Feature]) -> None:
        self.features = {
            feature: self.features[feature] if feature in self.features else self._new_slot()
            for feature in sorted(wanted, key=repr)
        }
        self._renew()

    def _renew(self) -> None:
        self.base = World(frozenset(), self.now.programs)
        self._worlds = {self.base.members: self.base}
        self._placed = {}
        self._plans = {}
        self._touched = {}
        self._ahead = None

    def _new_slot(self) -> int:
        self.slots += 1
        return self.slots

    def restore(self, state: State) -> None:
        """Be as ``state`` says."""
        self.now = _restored(state.now)
        self.past = [(until, _restored(rest)) for until, rest in state.past]
        self.numbers = state.numbers
        self.slots, self.features = state.slots, dict(state.features)
        self.partings = list(state.partings)
        self._renew()


def _own(program: Program) -> tuple[str, str, bool]:
    """What a slot belongs to."""
    return program.policy.name, program.pattern_hash, program.mode == "shadow"


def _matches(program: Program) -> list[Match]:
    pattern = program.pattern
    trailing = [] if pattern.trailing is None else [pattern.trailing]
    return [*pattern.positives, *pattern.gaps.values(), *trailing]


def _rows(view: View) -> list[Parting]:
    """How subjects are parted by the canaries whose pattern is not that of the live version."""
    salt = view.settings.salt
    rows = [
        Parting(0, salt, name, one.share, view.live_slot(name), one.slot)
        for name, one in view.canaries.items()
    ]
    return [row for row in rows if row.live != row.canary]


def _with(view: View, entries: Iterable[tuple[int, Program, float]]) -> View:
    """``view`` with these programs by slot, each with its share."""
    programs, canaries = {}, {}
    for slot, program, share in entries:
        if program.mode == "canary":
            canaries[program.policy.name] = Canary(slot, program, share)
        else:
            programs[slot] = program
    return replace(view, programs=programs, canaries=canaries)


def rest(view: View) -> ViewAtRest:
    """``view`` in a shape that can be written down."""
    programs: list[ProgramAtRest] = [
        (slot, one.version, one.mode, 1.0, one.policy) for slot, one in view.programs.items()
    ]
    programs += [
        (one.slot, one.program.version, one.program.mode, one.share, one.program.policy)
        for one in view.canaries.values()
    ]
    models = view.models
    return ViewAtRest(
        view.settings,
        view.switches,
        view.services,
        programs,
        models.entries,
        models.thresholds,
        view.epoch,
    )


def _restored(rest: ViewAtRest) -> View:
    models = Models(rest.models, rest.thresholds)
    view = View(rest.settings, rest.switches, rest.services, models=models, epoch=rest.epoch)
    return _with(
        view,
        (
            (slot, compile_policy(policy, version, mode), share)
            for slot, version, mode, share, policy in rest.programs
        ),
    )
