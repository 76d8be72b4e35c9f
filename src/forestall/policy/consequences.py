"""What follows from a transition for what runs, and what depends on what. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from forestall.contracts.control import Transition
from forestall.policy.lifecycle import EFFECTS, Artifact, Held, Kind, Set, Standing

Running = Callable[[str, str], int]
"""How many interventions of a policy's version run now."""

Rule = Literal["finish", "cancel"]


class Leaving(msgspec.Struct, frozen=True):
    """A policy's version that has effects no longer, how many interventions of it run, and what
    becomes of them."""

    policy: str
    version: str
    interventions: int
    rule: Rule


def effective(standing: Standing, set_: Set | None = None) -> list[Held]:
    """The policies that have effects while a set (none: the active one) is active."""
    held = standing.in_force(set_)
    return [one for one in held if one.kind == "policy" and one.mode in EFFECTS]


def leaving(
    before: Standing, after: Mapping[tuple[str, str], Rule], running: Running
) -> list[Leaving]:
    """What had effects and has none any more. ``after`` are names and versions of the policies that
    have, each with what it does with interventions of others: ``cancel`` of any one is enough, and
    where nothing takes over they finish (as ``intervene.governing`` has it)."""
    told = []
    for one in effective(before):
        if (one.name, one.version) in after:
            continue
        rules = [rule for (name, _), rule in after.items() if name == one.name]
        number = running(one.name, one.version)
        rule: Rule = "cancel" if "cancel" in rules else "finish"
        told.append(Leaving(one.name, one.version, number, rule))
    return told


def with_running(one: Transition, left: list[Leaving]) -> Transition:
    """The transition with what becomes of running interventions by it, in its evidence."""
    mine = [
        msgspec.to_builtins(told)
        for told in left
        if one.artifact == "set" or (told.policy, told.version) == (one.name, one.version)
    ]
    return replace(one, evidence={**one.evidence, "running": mine}) if mine else one


def running_rule(policy: Artifact) -> Rule:
    """What a policy does with interventions of its other versions."""
    return "cancel" if _content(policy).get("running") == "cancel" else "finish"


def depends(policy: Artifact, kind: Kind, name: str) -> bool:
    """Whether what a policy does depends on the model, threshold or agent of that name, or on its
    own text."""
    if kind == "model":
        return (_content(policy).get("model") or {}).get("name") == name
    if kind == "agent":
        return any(step.get("agent") == name for step in _objects(_content(policy)))
    return kind in ("policy", "threshold") and policy.name == name


def names(agent: Artifact, prompt: str) -> bool:
    """Whether an agent's instructions are the prompt of that name."""
    return bool(_content(agent).get("prompt") == prompt)


def _content(policy: Artifact) -> dict[str, Any]:
    return msgspec.json.decode(policy.content, type=dict[str, Any])


def _objects(content: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value."""
    if isinstance(content, dict):
        yield content
    inner = content.values() if isinstance(content, dict) else content
    for one in inner if isinstance(content, dict | list) else ():
        yield from _objects(one)
