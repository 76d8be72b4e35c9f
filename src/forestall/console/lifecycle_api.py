"""The operators' HTTP API of the lifecycle: promote, demote, retire, roll back, switch sets.

An extension of ``api``, with its people and problem details. ``ROUTES`` says what there is. What
needs a second person is answered with 202 and the request that somebody else has to second.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import replace

from forestall.console import lifecycle_views as views
from forestall.console.api import Call, Extension
from forestall.contracts.control import Transition
from forestall.contracts.errors import ForestallError
from forestall.contracts.refusals import NotThere
from forestall.ingest.exchange import Refuse, Response, json
from forestall.intervene.authority import Who
from forestall.kernel.clock import Clock
from forestall.policy.changing import demoted, next_state
from forestall.policy.lifecycle import (
    Actor,
    Ask,
    ConditionsMissing,
    Kind,
    NoSuchTransition,
    Set,
    Standing,
    State,
)
from forestall.policy.store import Registry, RegistryUnusable, Request


class NotManaged(ForestallError):
    """Policies are in force as their files are saved here; set `[lifecycle] managed = true` and
    restart the server to promote them."""

    code = "not-managed"


STATUS: dict[type[ForestallError], int] = {
    NotManaged: 409,
    NoSuchTransition: 409,
    ConditionsMissing: 409,
    RegistryUnusable: 503,
}
"""The HTTP status of each refusal."""

LARGEST = 4_000_000
"""Bytes that a request body may have."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class Desk(msgspec.Struct, frozen=True):
    """What does it: the registry (none where the deployment is not managed, or, for the reason
    ``unusable``, it cannot be used), wall time, and the shares of a canary's steps, in order.
    ``backtest`` begins one of a version of a policy in a set and says how it stands, with its
    ``id``; none where nobody does."""

    registry: Registry | None
    clock: Clock
    steps: tuple[float, ...] = (1.0,)
    backtest: Callable[[Call, str, str, Set], dict[str, Any]] | None = None
    unusable: str | None = None

    @property
    def managed(self) -> Registry:
        """The registry. Raises ``NotManaged`` and ``RegistryUnusable``."""
        if self.unusable is not None:
            raise RegistryUnusable(self.unusable)
        if self.registry is None:
            raise NotManaged(
                "policies are in force as their files are saved here; set `[lifecycle] managed ="
                " true` and restart the server to promote them"
            )
        return self.registry


class _About(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    reason: str
    name: _Name
    kind: Kind = "policy"
    set: Set | None = None


class _Move(_About, kw_only=True):
    version: _Name | None = None
    to: State | None = None
    share: _Share | None = None
    backtested: bool = False


class _Switch(msgspec.Struct, forbid_unknown_fields=True):
    set: Set
    reason: str


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    verdict: Literal["seconded", "declined"]
    reason: str


def actor(who: Who) -> Actor:
    """A person as the registry knows one."""
    return Actor(who.name, who.roles)


def _status(desk: Desk, call: Call) -> Response:
    registry, now = desk.managed, desk.clock()
    standing, wanted = registry.standing(), call.query.get("name")
    listed = [
        views.stands(registry, standing, key, version, place, now)
        for key, versions in sorted(standing.places.items())
        for version, place in versions.items()
        if wanted in (None, key[2])
        and (place.state != "retired" or call.query.get("retired") == "true")
    ]
    return json(200, {"active": standing.active, "artifacts": listed})


def _transitions(desk: Desk, call: Call) -> Response:
    try:
        after, limit = int(call.query.get("after", "0")), int(call.query.get("limit", "100"))
    except ValueError:
        raise Refuse(400, "invalid-query", "after, limit: not a number") from None
    if not 0 <= after < 2**63:
        raise Refuse(400, "invalid-query", "after: no number of a transition")
    found = desk.managed.transitions(
        after, kind=call.query.get("kind"), name=call.query.get("name")
    )
    newest = found[-max(1, min(limit, 10_000)) :]
    return json(200, {"transitions": [views.shown(one) for one in newest]})


def _promote(desk: Desk, call: Call) -> Response:
    asked = call.read(_Move)
    registry, standing = desk.managed, desk.managed.standing()
    set_ = asked.set or standing.active
    version = _version(registry, standing, asked, set_, ("retired", "live"))
    place = standing.place(set_, asked.kind, asked.name, version)
    state = None if place is None else place.state
    following: State | None = "draft"
    if state is not None:
        resting = set_ != standing.active
        following = next_state(asked.kind, state, registry.rules, resting=resting)
    after = asked.to or following
    if after is None:
        raise NoSuchTransition(f"{asked.kind} `{asked.name}` {version[:8]} is live already")
    ask = Ask(set=set_, kind=asked.kind, name=asked.name, version=version, after=after)
    if after == "canary":
        share = asked.share or _next_share(
            desk, 0.0 if state != "canary" or not place else place.share
        )
        ask = replace(ask, share=share, upto=max(share, *desk.steps))
    weighs = after == "backtested" and not asked.backtested
    if weighs and desk.backtest is not None and _unbacked(registry, ask):
        begun = desk.backtest(call, asked.name, version, set_)
        return json(202, {"transitions": [], "request": None, "backtest": begun})
    return _move(desk, call, ask, asked.reason)


def _unbacked(registry: Registry, ask: Ask) -> bool:
    """Whether a policy lacks a backtest that is long enough."""
    found = registry.findings(ask.kind, ask.name, ask.version).get("backtested")
    events = 0 if found is None else int(found.evidence.get("events", 0))
    short = found is None or events < registry.rules.backtest_events
    return ask.kind == "policy" and short


def _next_share(desk: Desk, share: float) -> float:
    return next((one for one in desk.steps if one > share), desk.steps[-1])


def _demote(desk: Desk, call: Call) -> Response:
    asked = call.read(_Move)
    registry, standing = desk.managed, desk.managed.standing()
    set_ = asked.set or standing.active
    version = _version(registry, standing, asked, set_, ("draft", "retired"), under_way=True)
    place = standing.place(set_, asked.kind, asked.name, version)
    lower = asked.to
    if place is not None and lower is None:
        resting = set_ != standing.active
        lower = demoted(asked.kind, place.state, registry.rules, resting=resting)
    if place is None or lower is None:
        raise NoSuchTransition(f"{asked.kind} `{asked.name}` {version[:8]} is in no state to leave")
    ask = Ask(set=set_, kind=asked.kind, name=asked.name, version=version, after=lower)
    return _move(desk, call, ask, asked.reason)


def _retire(desk: Desk, call: Call) -> Response:
    asked = call.read(_Move)
    registry, standing = desk.managed, desk.managed.standing()
    set_ = asked.set or standing.active
    version = _version(registry, standing, asked, set_, ("retired",), under_way=True)
    ask = Ask(set=set_, kind=asked.kind, name=asked.name, version=version, after="retired")
    return _move(desk, call, ask, asked.reason)


def _rollback(desk: Desk, call: Call) -> Response:
    asked = call.read(_About)
    set_ = asked.set or desk.managed.standing().active
    ask = Ask(what="rollback", set=set_, kind=asked.kind, name=asked.name)
    return _move(desk, call, ask, asked.reason)


def _switch(desk: Desk, call: Call) -> Response:
    asked = call.read(_Switch)
    return _move(desk, call, Ask(what="switch", set=asked.set), asked.reason)


def _move(desk: Desk, call: Call, ask: Ask, reason: str) -> Response:
    outcome = desk.managed.move(ask, actor(call.who), reason, desk.clock())
    return told(outcome)


def told(outcome: tuple[Transition, ...] | Request) -> Response:
    """The answer to a move: 201 with its transitions, or 202 with the request that waits."""
    if isinstance(outcome, Request):
        return json(202, {"transitions": [], "request": views.request(outcome)})
    return json(201, {"transitions": [views.shown(one) for one in outcome], "request": None})


def _requests(desk: Desk, call: Call) -> Response:
    wanted = call.query.get("status", "open")
    if wanted not in ("open", "all"):
        raise Refuse(400, "invalid-query", "status: `open` or `all`")
    registry = desk.managed
    found = registry.pending() if wanted == "open" else registry.requests()
    return json(200, {"requests": [views.request(one) for one in found]})


def _request(desk: Desk, call: Call) -> Response:
    registry = desk.managed
    return json(200, views.asked(registry, registry.request(_number(call))))


def _number(call: Call) -> int:
    if not call.name.isdecimal() or len(call.name) > 18:
        raise NotThere(f"there is no request {call.name!r}")
    return int(call.name)


def _answer(desk: Desk, call: Call) -> Response:
    asked = call.read(_Answer)
    number, who, now = _number(call), actor(call.who), desk.clock()
    if asked.verdict == "seconded":
        return told(desk.managed.second(number, who, asked.reason, now))
    declined = desk.managed.decline(number, who, asked.reason, now)
    return json(201, {"transitions": [], "request": views.request(declined)})


def _version(
    registry: Registry,
    standing: Standing,
    asked: _Move,
    set_: Set,
    not_in: tuple[State, ...],
    under_way: bool = False,
) -> str:
    """The version that is meant: the one whose hash begins as asked; or else, of those that stand
    in the set but in none of the states ``not_in``, the one moved last; with ``under_way`` one in shadow or
    canary before any other."""
    known = [one.version for one in registry.versions(asked.kind, asked.name)]
    if asked.version is not None:
        fitting = [one for one in known if one.startswith(asked.version)]
        if len(fitting) != 1:
            many = "more than one" if fitting else "no"
            raise NotThere(
                f"there is {many} version {asked.version!r} of {asked.kind} `{asked.name}`"
            )
        return fitting[0]
    if not known:
        raise NotThere(f"there is no {asked.kind} `{asked.name}` in the registry")
    places = standing.places.get((set_, asked.kind, asked.name), {})
    standing_there = [
        (under_way and place.state in ("shadow", "canary"), place.number, version)
        for version, place in places.items()
        if place.state not in not_in
    ]
    return max(standing_there)[-1] if standing_there else known[-1]


Handler = Callable[[Desk, Call], Response]

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/v1/lifecycle", _status),
    ("GET", "/v1/lifecycle/transitions", _transitions),
    ("POST", "/v1/lifecycle/promotions", _promote),
    ("POST", "/v1/lifecycle/demotions", _demote),
    ("POST", "/v1/lifecycle/retirements", _retire),
    ("POST", "/v1/lifecycle/rollbacks", _rollback),
    ("POST", "/v1/lifecycle/switches", _switch),
    ("GET", "/v1/lifecycle/requests", _requests),
    ("GET", "/v1/lifecycle/requests/{id}", _request),
    ("POST", "/v1/lifecycle/requests/{id}/decisions", _answer),
)
"""Method, path and handler of everything there is."""


def extension(desk: Desk) -> Extension:
    """What the operators' API takes besides."""
    routes = [(method, path, partial(handler, desk)) for method, path, handler in ROUTES]
    return Extension(routes, STATUS, LARGEST)
