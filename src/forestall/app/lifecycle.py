"""Opens the registry in the app process, which is its only writer, and takes over what was there."""

import msgspec
import structlog

from forestall.app.standing import read_model
from forestall.console.lifecycle_api import Desk
from forestall.contracts.control import FlagsApplied, PoliciesApplied, PolicyInForce, Transition
from forestall.contracts.instants import parse_duration
from forestall.intervene.store import Store
from forestall.kernel.clock import Clock
from forestall.kernel.settings import Lifecycle, Settings, parse_steps
from forestall.log.port import Log
from forestall.log.streams import CONTROL, read_control
from forestall.policy.bundle import policy_of
from forestall.policy.lifecycle import Artifact, Rules, content_version
from forestall.policy.sources import contents, read_actions
from forestall.policy.store import ADOPTED, REGISTRY_FILE, Registry, RegistryUnusable

_log = structlog.get_logger("app")


def rules(lifecycle: Lifecycle) -> Rules:
    """The settings' rules as the registry knows them."""
    return Rules(
        frozenset(lifecycle.skip), parse_duration(lifecycle.shadow), lifecycle.backtest_events
    )


def open_desk(settings: Settings, control: Log, store: Store, clock: Clock) -> Desk:
    """Who does what people ask of the lifecycle; close its registry in the end.

    Where management begins, what ``control`` says is in force is adopted into the registry. A
    registry that cannot be used is left as it is: everything but the lifecycle goes on.
    """
    steps = tuple(sorted(step.share for step in parse_steps(settings.canary.steps)))
    if not settings.lifecycle.managed:
        return Desk(None, clock, steps)
    try:
        return Desk(_registry(settings, control, store, clock), clock, steps)
    except RegistryUnusable as error:
        _log.error("nothing can be promoted or taken back, and canaries run on", why=str(error))
        return Desk(None, clock, steps, unusable=str(error))


def _registry(settings: Settings, control: Log, store: Store, clock: Clock) -> Registry:
    path, told = settings.data / REGISTRY_FILE, _told(control)
    if told and not path.exists():
        raise RegistryUnusable(
            f"{path}: is not there, and transition {told} was in force; restore the newest copy of it"
        )
    registry = Registry(
        path,
        rules=rules(settings.lifecycle),
        running=lambda policy, version: running(store, policy, version),
    )
    if registry.version() == 0 and not told:
        found = [*in_force(control, clock()), *_agents(settings, control, clock())]
        registry.adopt(found, clock())
        _log.info("the lifecycle is managed from now on", adopted=len(found))
    return registry


def _told(control: Log) -> int:
    """The number of the newest transition in the control stream, 0 before the first."""
    records = (one for batch in control.follow(CONTROL) for one in read_control(batch))
    return max((one.number for one in records if isinstance(one, Transition)), default=0)


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


def _agents(settings: Settings, control: Log, at: int) -> list[Artifact]:
    """The agents and prompts of the folder, which answered until now if anything was in force."""
    records = (one for batch in control.follow(CONTROL) for one in read_control(batch))
    if settings.actions is None or not any(isinstance(one, PoliciesApplied) for one in records):
        return []
    return [
        Artifact(
            kind=one.kind,
            name=one.name,
            version=one.version,
            content=one.content,
            by="files",
            at=at,
            why=ADOPTED,
            source=one.source,
            title=one.title,
            risk=one.risk,
        )
        for one in contents(read_actions(settings.actions), read_model).items
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
