"""Plans and their application over the operators' API: the rim of ``forestall apply``.

A plan is made by the server itself from the files that were sent: it parses, checks, tests and
backtests them. It is kept under an id, and applied by its hash, so that what is done is what was
seen. An extension of the operators' API.
"""

from typing import Annotated, Any, Final

import msgspec

from forestall.app.judging import Busy, Job, Judging
from forestall.app.weighing import Task, Weighed
from forestall.console.api import Call, Extension
from forestall.console.lifecycle_api import Desk, actor
from forestall.contracts.errors import ForestallError
from forestall.contracts.refusals import NotThere, RoleMissing, because
from forestall.ingest.exchange import Refuse, Response, json
from forestall.measure.model import decode, verdict
from forestall.policy.lifecycle import (
    AUTHOR,
    OPERATOR,
    PUBLISHER,
    Actor,
    Artifact,
    Ask,
    Finding,
    Kind,
    Set,
    State,
)
from forestall.policy.plan import Item, Line, Plan, compare
from forestall.policy.shelf import SOURCE, shelf_of, written
from forestall.policy.store import Registry

LARGEST: Final = 16_000_000
"""Bytes that the files of a plan may have, unpacked."""

_Text = Annotated[str, msgspec.Meta(max_length=200)]


class PlanOutdated(ForestallError):
    """The registry has changed since the plan was made, or it is not the plan that was seen; plan
    again."""

    code = "plan-outdated"


class NotReady(ForestallError):
    """The plan is not finished yet, or could not be made."""

    code = "plan-not-ready"


class _Apply(msgspec.Struct, forbid_unknown_fields=True):
    hash: _Text
    reason: str
    commit: _Text | None = None
    dirty: bool = False


class _Backtest(msgspec.Struct, forbid_unknown_fields=True):
    name: _Text
    version: _Text
    set: Set = "blue"


class Applied(msgspec.Struct, frozen=True):
    """Where something stands after a plan was applied."""

    kind: Kind
    name: str
    version: str
    state: str


class Applying:
    """Takes plans for the deployment at ``config``, and applies them to the desk's registry."""

    def __init__(self, desk: Desk, judging: Judging, config: str) -> None:
        self._desk = desk
        self._judging = judging
        self._config = config

    def extension(self) -> Extension:
        """What it adds to the operators' API."""
        return Extension(
            routes=(
                ("POST", "/v1/plans", self._plan),
                ("GET", "/v1/plans/{id}", self._planned),
                ("POST", "/v1/plans/{id}/application", self._apply),
                ("POST", "/v1/backtests", self._backtest),
                ("GET", "/v1/backtests/{id}", self._backtested),
            ),
            status={PlanOutdated: 409, NotReady: 409, Busy: 503},
            largest=LARGEST,
        )

    # -- plans -----------------------------------------------------------------------------------

    def _plan(self, call: Call) -> Response:
        registry = self._ready(call)
        try:
            set_ = msgspec.convert(call.query.get("set", registry.standing().active), Set)
        except msgspec.ValidationError as error:
            raise Refuse(400, "invalid-query", f"set: {error}") from None
        task = Task(
            what="plan",
            config=self._config,
            set=set_,
            prune=call.query.get("prune") == "true",
            backtest=call.query.get("backtest") != "false",
            files=call.body,
        )
        job = self._judging.start(task, call.who.name)
        return json(202, _told(job))

    def _planned(self, call: Call) -> Response:
        job = self._job(call, "plan")
        told = _told(job)
        found = job.weighed
        if found is not None and found.plan is not None:
            told["plan"] = found.plan
            told["hash"] = found.plan.hash
            told["to_do"] = len(found.plan.to_do)
            told["warnings"] = [str(one) for one in found.warnings]
        return json(200, told)

    def _apply(self, call: Call) -> Response:
        registry = self._ready(call)
        job, asked = self._job(call, "plan"), call.read(_Apply)
        found = job.weighed
        if found is None or found.plan is None:
            raise NotReady(f"the plan {job.id} is {job.state}; wait for it, or plan again")
        if asked.hash != found.plan.hash:
            raise PlanOutdated(f"the plan {job.id} has another hash; look at it again")
        reason = because(asked.reason)
        evidence = {"plan": asked.hash, "commit": asked.commit, "dirty": asked.dirty}
        who = actor(call.who)
        with registry.transaction():
            _check_current(registry, found.plan, found)
            at = self._desk.clock()
            after = _Application(registry, found, who, reason, evidence, at).run()
        return json(201, {"applied": after, "hash": asked.hash})

    # -- backtests -------------------------------------------------------------------------------

    def _backtest(self, call: Call) -> Response:
        registry = self._ready(call)
        asked = call.read(_Backtest)
        if registry.artifact("policy", asked.name, asked.version) is None:
            raise NotThere(f"there is no version {asked.version!r} of policy `{asked.name}`")
        return json(202, self.backtest(call, asked.name, asked.version, asked.set))

    def backtest(self, call: Call, name: str, version: str, set_: Set) -> dict[str, Any]:
        """Begin a backtest of a version, whose finding is kept; how it stands. Raises ``Busy``."""
        registry = self._ready(call)
        task = Task(what="backtest", config=self._config, set=set_, name=name, version=version)

        def finished(found: Weighed) -> None:
            registry.found(
                Finding(
                    kind="policy",
                    name=name,
                    version=version,
                    what="backtested",
                    by=call.who.name,
                    at=self._desk.clock(),
                    evidence=msgspec.to_builtins(found.figures),
                )
            )

        return _told(self._judging.start(task, call.who.name, finished))

    def _backtested(self, call: Call) -> Response:
        job = self._job(call, "backtest")
        told = _told(job)
        if job.weighed is not None:
            told["figures"] = job.weighed.figures
        return json(200, told)

    # -- both ------------------------------------------------------------------------------------

    def _ready(self, call: Call) -> Registry:
        if not {AUTHOR, PUBLISHER, OPERATOR} & set(call.who.roles):
            raise RoleMissing(
                f"{call.who.name} does not have the role {AUTHOR!r};"
                f" [people.{call.who.name}] roles gives it"
            )
        return self._desk.managed

    def _job(self, call: Call, what: str) -> Job:
        job = self._judging.job(call.name)
        if job.task.what != what:
            raise NotThere(f"there is no {what} {call.name}")
        return job


def _told(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "state": job.state,
        "done": round(job.done, 3),
        "by": job.by,
        "wrong": job.wrong,
    }


def _check_current(registry: Registry, plan: Plan, found: Weighed) -> None:
    """Raises ``PlanOutdated`` unless the plan still says what there is to do."""
    if registry.version() != found.number:
        planned = [msgspec.structs.replace(line, checked=None) for line in plan.lines]
        if list(compare(found.items, shelf_of(registry, plan.set).kept())) != planned:
            raise PlanOutdated("the registry has changed since; plan again")


class _Application:
    """One plan being applied, inside a transaction."""

    def __init__(
        self,
        registry: Registry,
        found: Weighed,
        actor: Actor,
        reason: str,
        evidence: dict[str, Any],
        at: int,
    ) -> None:
        assert found.plan is not None  # noqa: S101
        self._registry = registry
        self._plan: Plan = found.plan
        self._items = {(one.kind, one.name): one for one in found.items}
        self._actor, self._reason, self._evidence, self._at = actor, reason, evidence, at

    def run(self) -> list[Applied]:
        """Do everything that the plan says. Raises what ``Registry.move`` raises."""
        applied = []
        for line in self._plan.to_do:
            if line.what == "gone":
                applied += self._retire(line)
            else:
                applied.append(self._bring(line, self._items[line.kind, line.name]))
        return applied

    def _retire(self, line: Line) -> list[Applied]:
        places = self._registry.standing().places.get((self._plan.set, line.kind, line.name), {})
        standing = [version for version, place in places.items() if place.state != "retired"]
        for version in standing:
            self._move(line, version, "retired")
        return [Applied(line.kind, line.name, version, "retired") for version in standing]

    def _bring(self, line: Line, item: Item) -> Applied:
        before = written(self._registry, item.kind, item.name, item.version)
        self._registry.put(
            Artifact(
                kind=item.kind,
                name=item.name,
                version=item.version,
                content=item.content,
                by=self._actor.name,
                at=self._at,
                why=self._reason,
                source=item.source,
                title=item.title,
                risk=item.risk,
                evidence={**self._evidence, "file": item.file},
            )
        )
        if before not in (None, item.source):
            self._find(line, SOURCE, {"source": item.source, **self._evidence})
        checked = line.checked
        assert checked is not None  # noqa: S101
        self._find(line, "validated", {**msgspec.to_builtins(checked), **self._evidence})
        if self._plan.figures is not None and line.kind == "policy" and line.what != "restated":
            self._find(line, "backtested", {**self._plan.figures, **self._evidence})
        if line.kind == "model":
            self._find(line, "backtested", {**verdict(decode(item.content)), **self._evidence})
        if self._state(line) in (None, "retired"):
            self._move(line, line.version, "draft")
        if self._state(line) == "draft" and checked.sound:
            self._move(line, line.version, "validated")
        return Applied(line.kind, line.name, line.version, self._state(line) or "")

    def _state(self, line: Line) -> State | None:
        standing = self._registry.standing()
        place = standing.place(self._plan.set, line.kind, line.name, line.version)
        return None if place is None else place.state

    def _move(self, line: Line, version: str, after: State) -> None:
        ask = Ask(set=self._plan.set, kind=line.kind, name=line.name, version=version, after=after)
        self._registry.move(ask, self._actor, self._reason, self._at, dict(self._evidence))

    def _find(self, line: Line, what: str, evidence: dict[str, Any]) -> None:
        self._registry.found(
            Finding(
                kind=line.kind,
                name=line.name,
                version=line.version,
                what=what,
                by=self._actor.name,
                at=self._at,
                evidence=evidence,
            )
        )
