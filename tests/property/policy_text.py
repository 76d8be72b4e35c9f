"""Policies written as the YAML that an author would write."""

from typing import Any

import msgspec
import yaml

from forestall.contracts.instants import format_duration
from forestall.policy.language.model import (
    Approve,
    Arm,
    Ask,
    Await,
    Branch,
    Call,
    Feature,
    Match,
    PlaybookStep,
    Policy,
    Resolve,
    Step,
    When,
)


def match_fields(match: Match, kind: str) -> dict[str, Any]:
    """``{event: TYPE, where: CEL}``, with another word for ``event``."""
    fields: dict[str, Any] = {
        kind: match.types[0] if len(match.types) == 1 else list(match.types),
        "where": match.where,
    }
    return {name: value for name, value in fields.items() if value is not None}


def step_fields(step: Step) -> dict[str, Any]:
    """One step of a sequence or of ``all``."""
    fields = match_fields(step.match, "not" if step.negative else "event")
    if step.times != 1:
        fields["times"] = step.times
    if step.quiet_for is not None:
        fields["for"] = format_duration(step.quiet_for)
    return fields


def when_fields(when: When) -> dict[str, Any]:
    """The friction pattern."""
    steps = [step_fields(step) for step in when.steps]
    if when.kind == "event":
        return steps[0]
    fields: dict[str, Any] = {when.kind: steps}
    if when.within is not None:
        fields["within"] = format_duration(when.within)
    if when.by is not None:
        fields["by"] = when.by
    return fields


def feature_fields(feature: Feature) -> dict[str, Any]:
    """A feature."""
    if feature.value is None:
        fields = match_fields(feature.match, feature.kind)
    else:
        fields = {feature.kind: feature.value, **match_fields(feature.match, "of")}
    if feature.over is not None:
        fields["over"] = format_duration(feature.over)
    if feature.by is not None:
        fields["by"] = feature.by
    return fields


def play_fields(step: PlaybookStep) -> dict[str, Any]:
    """A step of a playbook; what is as the parser would have it is left out."""
    kind = str(step.__struct_config__.tag)
    if isinstance(step, Branch):
        return {kind: [arm_fields(arm) for arm in step.arms]}
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(step):
        value = getattr(step, field.name)
        if value != field.default or field.required:
            fields |= key_of(step, field.name, value)
    return {kind: fields}


_KEYS = {"source": "from", "arguments": "with", "into": "as"}


def key_of(step: PlaybookStep, name: str, value: Any) -> dict[str, Any]:
    """The keys of one field of a step."""
    if name == "match":
        return match_fields(value, "event")
    if name == "on_failure" and isinstance(value, tuple):
        return {name: [play_fields(one) for one in value]}
    if name == "undo" and isinstance(value, Call):
        return {name: {"action": value.action, "with": value.arguments}}
    if name in ("timeout", "cache", "approval"):
        waits = isinstance(step, Ask | Await | Approve)
        return {"for" if waits else name: format_duration(value)}
    if name == "then":
        return {"as" if isinstance(step, Resolve) else name: value}
    return {_KEYS.get(name, name): list(value) if isinstance(value, tuple) else value}


def arm_fields(arm: Arm) -> dict[str, Any]:
    """One way of a branch."""
    steps = [play_fields(step) for step in arm.steps]
    return {"else": steps} if arm.condition is None else {"if": arm.condition, "do": steps}


def as_yaml(policy: Policy) -> str:
    """A policy file with one policy; defaults are left to the parser where there are any."""
    spec: dict[str, Any] = {
        "features": {name: feature_fields(f) for name, f in policy.features.items()} or None,
        "when": when_fields(policy.when),
        "if": policy.condition,
        "purpose": None if policy.purpose == "support" else policy.purpose,
        "priority": None if policy.priority == 50 else policy.priority,
        "cooldown": format_duration(policy.cooldown),
        "budget_class": policy.budget_class,
        "in_conversation": None if policy.in_conversation == "hold" else policy.in_conversation,
        "quiet_hours": None if policy.quiet_hours == "respect" else policy.quiet_hours,
        "holdout": policy.holdout or None,
        "running": None if policy.running == "finish" else policy.running,
        "playbook": [play_fields(step) for step in policy.playbook],
    }
    document = {
        "apiVersion": "forestall/v1",
        "kind": "Policy",
        "metadata": {"name": policy.name, "title": policy.title, "owner": policy.owner},
        "spec": {name: value for name, value in spec.items() if value is not None},
    }
    return yaml.safe_dump(document, sort_keys=False)
