"""Short ways to write policies, patterns and events by hand; times in seconds after ``START``."""

from typing import Any

from forestall.contracts.instants import SECOND, format_time, parse_time
from forestall.policy.language.model import Feature, FeatureKind, Guide, Match, Policy, Step, When

START = parse_time("2024-05-01T12:00:00Z")
PLAYBOOK = (Guide(channel="inapp", text="Hello"),)


def seconds(amount: float) -> int:
    """Microseconds."""
    return round(amount * SECOND)


def at(offset: float) -> str:
    """RFC 3339 of a moment ``offset`` seconds after ``START``."""
    return format_time(START + seconds(offset))


def event(
    time: float | None,
    kind: str,
    name: str | None = None,
    data: Any = None,
    received: float | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A CloudEvent of subject ``s``; its id is ``name``, else made of its type and time."""
    made: dict[str, Any] = {
        "specversion": "1.0",
        "id": name or f"{kind}@{received if time is None else time}",
        "source": "/test",
        "type": kind,
        "subject": "s",
    }
    if time is not None:
        made["time"] = at(time)
    if received is not None:
        made["received"] = at(received)
    if data is not None:
        made["data"] = data
    return made | more


def do(*types: str, where: str | None = None, times: int = 1) -> Step:
    """A positive step."""
    return Step(match=Match(types=types, where=where), times=times)


def no(*types: str, where: str | None = None, quiet: float | None = None) -> Step:
    """A negative step; ``quiet`` seconds make it a trailing absence."""
    match = Match(types=types, where=where)
    return Step(match=match, negative=True, quiet_for=None if quiet is None else seconds(quiet))


def once(*types: str, where: str | None = None) -> When:
    """An event pattern."""
    return When(kind="event", steps=(do(*types, where=where),))


def sequence(*steps: Step, within: float | None = None, by: str | None = None) -> When:
    """A sequence."""
    limit = None if within is None else seconds(within)
    return When(kind="sequence", steps=steps, within=limit, by=by)


def every(*steps: Step, within: float, by: str | None = None) -> When:
    """An ``all`` pattern."""
    return When(kind="all", steps=steps, within=seconds(within), by=by)


def policy(when: When, name: str = "p", cooldown: float = 0, **more: Any) -> Policy:
    """A policy without cooldown, unless one is given in seconds."""
    more = {"playbook": PLAYBOOK, "title": name, "owner": "team"} | more
    return Policy(name=name, when=when, cooldown=seconds(cooldown), **more)


def feature(
    kind: FeatureKind,
    *types: str,
    where: str | None = None,
    value: str | None = None,
    over: float | None = None,
    by: str | None = None,
) -> Feature:
    """A feature over ``over`` seconds."""
    return Feature(
        kind=kind,
        match=Match(types=types, where=where),
        value=value,
        over=None if over is None else seconds(over),
        by=by,
    )


def fates(decisions: list[dict[str, Any]]) -> list[str]:
    """The reason of each decision, or its outcome where there is none."""
    return [decision["reason"] or decision["outcome"] for decision in decisions]


def moments(decisions: list[dict[str, Any]]) -> list[str]:
    """When each decision was made."""
    return [decision["at"] for decision in decisions]


def matched(decisions: list[dict[str, Any]]) -> list[list[str]]:
    """The ids of each decision's matched events."""
    return [decision["matched"] for decision in decisions]
