"""Opens the registry in the app process, which is its only writer, and takes over what was there."""

import msgspec
import structlog

from forestall.console.lifecycle_api import Desk
from forestall.contracts.control import FlagsApplied, PoliciesApplied, PolicyInForce
from forestall.contracts.instants import parse_duration
from forestall.intervene.store import Store
from forestall.kernel.clock import Clock
from forestall.kernel.settings import Lifecycle, Settings, parse_steps
from forestall.log.port import Log
from forestall.log.streams import CONTROL, read_control
from forestall.policy.bundle import policy_of
from forestall.policy.lifecycle import Artifact, Rules, content_version
from forestall.policy.store import ADOPTED, REGISTRY_FILE, Registry

_log = structlog.get_logger("app")


def rules(lifecycle: Lifecycle) -> Rules:
    """The settings' rules as the registry knows them."""
    return Rules(
        frozenset(lifecycle.skip), parse_duration(lifecycle.shadow), lifecycle.backtest_events
    )


def open_desk(settings: Settings, control: Log, store: Store, clock: Clock) -> Desk:
    """Who does what people ask of the lifecycle; close its registry in the end.

    Where management begins, what ``control`` says is in force is adopted into the registry.
    """
    steps = tuple(sorted(step.share for step in parse_steps(settings.canary.steps)))
    if not settings.lifecycle.managed:
        return Desk(None, clock, steps)
    registry = Registry(
        settings.data / REGISTRY_FILE,
        rules=rules(settings.lifecycle),
        running=lambda policy, version: running(store, policy, version),
    )
    if registry.version() == 0:
        found = in_force(control, clock())
        registry.adopt(found, clock())
        _log.info("the lifecycle is managed from now on", adopted=len(found))
    return Desk(registry, clock, steps)


def running(store: Store, policy: str, version: str) -> int:
    """How many interventions of that version run now."""
    return sum((one.policy, one.version) == (policy, version) for one in store.running())


def in_force(control: Log, at: int) -> list[Artifact]:
    """The live policies and the flags that are in force by the newest control records."""
    policies: tuple[PolicyInForce, ...] = ()
    flags: dict[str, bool | int | float | str] = {}
    for batch in control.follow(CONTROL):
        for record in read_control(batch):
            if isinstance(record, PoliciesApplied):
                policies = record.policies
            elif isinstance(record, FlagsApplied):
                flags = record.flags
    return [
        *(_policy(one, at) for one in policies if one.mode == "live"),
        *(_flag(name, value, at) for name, value in flags.items()),
    ]


def _policy(one: PolicyInForce, at: int) -> Artifact:
    return Artifact(
        kind="policy",
        name=one.name,
        version=one.version,
        content=bytes(one.canonical),
        by="files",
        at=at,
        why=ADOPTED,
        title=one.title,
        risk=policy_of(one).risk,
    )


def _flag(name: str, value: bool | int | float | str, at: int) -> Artifact:
    return Artifact(
        kind="flag",
        name=name,
        version=content_version(value),
        content=msgspec.json.encode(value, order="sorted"),
        by="files",
        at=at,
        why=ADOPTED,
    )
