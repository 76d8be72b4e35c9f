"""Backtests of changes over the server's own log: the live set against the same with the changes."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from forestall.contracts.control import Control, ModelInForce, ModelsApplied, SwitchesApplied
from forestall.contracts.instants import DAY
from forestall.contracts.refusals import NotThere
from forestall.decide.backtest import BEGINNING, opening
from forestall.decide.evidence import SESSION_GAP
from forestall.decide.history import log_end
from forestall.decide.trial import Figures, Question, trial
from forestall.kernel.settings import Settings
from forestall.policy.bundle import Bundle
from forestall.policy.language.check import Surroundings
from forestall.policy.language.model import Policy
from forestall.policy.lifecycle import Kind
from forestall.policy.plan import Item, Line, Plan, policy_in
from forestall.policy.shelf import Shelf

OUTCOME: Final = "forestall.ticket.opened"
HORIZON: Final = 7 * DAY
"""What a backtest looks for after interventions, and for how long."""

Told = Callable[[float], None]
"""Hears which fraction is done."""


class World(msgspec.Struct, frozen=True):
    """A deployment to try changes in: its settings, and what policies of it may name."""

    settings: Settings
    around: Surroundings

    def bundle(self, policies: Iterable[Policy]) -> Bundle:
        """``policies`` with the catalogue's number fields."""
        catalogue = self.around.catalogue
        return Bundle(
            policies=tuple(sorted(policies, key=lambda one: one.name)),
            numbers={} if catalogue is None else catalogue.numbers,
        )


class _Deciding(msgspec.Struct):
    """What decides, by name: policies, models (version and content) and thresholds."""

    policies: dict[str, Policy]
    models: dict[str, tuple[str, bytes]]
    thresholds: dict[str, float]

    def put(self, line: Line, item: Item | None) -> None:
        """Take what a line of a plan brings, or takes away (``item`` is none)."""
        if item is None:
            for kind, known in (
                ("policy", self.policies),
                ("model", self.models),
                ("threshold", self.thresholds),
            ):
                if line.kind == kind:
                    known.pop(line.name, None)
        elif (policy := item.policy) is not None:
            self.policies[line.name] = policy
        elif line.kind == "model":
            self.models[line.name] = (item.version, item.content)
        else:
            self.thresholds[line.name] = _number(item.content)

    def controls(self, world: World) -> tuple[Control, ...]:
        """The records that put it in force from the beginning."""
        settings, said = world.settings, ("backtest", "from the beginning")
        switches = settings.switches
        models = (
            ModelInForce(name, version, msgspec.Raw(content))
            for name, (version, content) in sorted(self.models.items())
        )
        return (
            *opening(world.bundle(self.policies.values()), settings.decide),
            ModelsApplied(BEGINNING, tuple(models), self.thresholds, *said),
            SwitchesApplied(BEGINNING, switches.off, switches.everything_off, *said),
        )


def plan_figures(
    plan: Plan, items: Mapping[tuple[Kind, str], Item], known: Shelf, world: World, told: Told
) -> Plan:
    """The plan with what its changes come to over the server's own log."""
    tried = [line for line in plan.lines if _decides(plan, line)]
    if not tried:
        return msgspec.structs.replace(plan, unbacked="nothing changes that decides")
    if _empty(world.settings.data):
        return msgspec.structs.replace(plan, unbacked="the log holds no event yet")
    new = _live(known)
    for line in tried:
        new.put(line, items.get((line.kind, line.name)))
    names = tuple(line.name for line in tried if line.kind == "policy")
    figures = _try(_live(known), new, names, world, told)
    return msgspec.structs.replace(plan, figures=msgspec.to_builtins(figures))


def version_figures(name: str, version: str, known: Shelf, world: World, told: Told) -> Figures:
    """What one version of a policy comes to in place of the live one. Raises ``NotThere``."""
    for one, source in known.artifacts:
        if (one.kind, one.name, one.version) == ("policy", name, version):
            new = _live(known)
            new.policies[name] = policy_in(source, one.content)
            return _try(_live(known), new, (name,), world, told)
    raise NotThere(f"there is no version {version[:8]!r} of the policy `{name}`")


def _live(known: Shelf) -> _Deciding:
    return _Deciding(
        {one.name: policy_in(source, one.content) for one, source in known.live("policy")},
        {one.name: (one.version, one.content) for one, _ in known.live("model")},
        {one.name: _number(one.content) for one, _ in known.live("threshold")},
    )


def _number(content: bytes) -> float:
    return msgspec.json.decode(content, type=float)


def _decides(plan: Plan, line: Line) -> bool:
    """Whether a line can change decisions, once it is live."""
    if line.kind not in ("policy", "model", "threshold") or not plan.does(line):
        return False
    readable = line.checked is not None and not line.checked.errors
    return line.what == "gone" or (line.what != "restated" and readable)


def _try(
    old: _Deciding, new: _Deciding, names: tuple[str, ...], world: World, told: Told
) -> Figures:
    question = Question(
        path=world.settings.data,
        old=old.controls(world),
        new=new.controls(world),
        names=names,
        settings=world.settings.decide,
        outcome=OUTCOME,
        horizon=HORIZON,
        gap=SESSION_GAP,
    )
    return trial(question, told)


def _empty(data: Path) -> bool:
    end = log_end(data)
    return end is None or end[1] == 0
