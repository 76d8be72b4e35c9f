"""What the API of the lifecycle shows: transitions, requests and versions as JSON."""

from typing import Any

import msgspec
from msgspec.structs import asdict

from forestall.contracts.control import Transition
from forestall.contracts.instants import format_time
from forestall.policy.changing import conditions, next_state
from forestall.policy.lifecycle import STATES, Artifact, Ask, Key, Kind, Place, Standing
from forestall.policy.plan import Kept, differences
from forestall.policy.store import Registry, Request


def shown(one: Transition) -> dict[str, Any]:
    """A transition as JSON."""
    plain = {name: value for name, value in asdict(one).items() if name != "received"}
    return {**plain, "at": format_time(one.at)}


def request(one: Request) -> dict[str, Any]:
    """A request as JSON."""
    plain: dict[str, Any] = msgspec.to_builtins(one)
    answered = None if one.answered_at is None else format_time(one.answered_at)
    return {**plain, "at": format_time(one.at), "answered_at": answered}


def stands(
    registry: Registry, standing: Standing, key: Key, version: str, place: Place, now: int
) -> dict[str, Any]:
    """Where a version stands, where it goes next, and what is missing for that."""
    kind, rules = msgspec.convert(key[1], Kind), registry.rules
    following = next_state(kind, place.state, rules, resting=key[0] != standing.active)
    missing: list[str] = []
    if following is not None:
        ask = Ask(kind=kind, name=key[2], version=version, after=following)
        found = registry.findings(kind, key[2], version)
        missing = conditions(ask, place, found, rules, now)
    return {
        "set": key[0],
        "kind": kind,
        "name": key[2],
        "version": version,
        "state": place.state,
        "share": place.share,
        "since": format_time(place.since),
        "next": following,
        "missing": missing,
    }


def asked(registry: Registry, one: Request) -> dict[str, Any]:
    """A request with what a second person has to know: the version and what was found out about
    it, and what differs from the one that is live."""
    about = registry.artifact(one.ask.kind, one.ask.name, one.ask.version)
    told: dict[str, Any] = {"request": request(one), "version": None, "differs": [], "findings": {}}
    if about is None:
        return told
    ask = one.ask
    live = registry.standing().version_in("live", ask.set, ask.kind, ask.name)
    before = None if live is None else registry.artifact(ask.kind, ask.name, live)
    told["version"] = {
        "title": about.title,
        "risk": about.risk,
        "by": about.by,
        "at": format_time(about.at),
        "why": about.why,
        "source": about.source,
    }
    told["live"] = live
    told["differs"] = [] if before is None else _differs(before, about)
    told["findings"] = {
        what: found.evidence
        for what, found in registry.findings(ask.kind, ask.name, ask.version).items()
        if what in STATES
    }
    return told


def _differs(before: Artifact, after: Artifact) -> list[str]:
    """What a version does differently, in words."""
    old, new = (
        Kept(
            kind=one.kind,
            name=one.name,
            version=one.version,
            content=one.content,
            source=one.source,
            state=None,
        )
        for one in (before, after)
    )
    return list(differences(old, new)[0])
