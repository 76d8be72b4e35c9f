"""The canonical form: one text for everything that makes a policy behave the way it does.

Compact JSON with sorted keys of the parsed policy, defaults filled in; tests and all metadata but
the name are left out. Its SHA-256 is the policy's version, so quoting, comments, the order of
keys and writing out a default change nothing, and whatever changes behaviour changes the version.

Versions are in logs for years. So what the language learnt later is left out where it has its
default: an old policy keeps its version. The answers to a question are pairs, for their order
shows.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from forestall.policy.language.model import Policy, When

_LEFT_OUT = ("title", "owner", "labels", "review_by", "tests")
_LATER: dict[str, dict[str, Any]] = {
    "guide": {"timeout": None, "on_failure": "next", "undo": None},
    "await": {"receipt": None, "on_failure": "next", "undo": None},
    "escalate": {"timeout": None, "on_failure": "next", "undo": None},
}
"""Fields of steps that came after the step, with their defaults."""


def canonical(policy: Policy) -> bytes:
    """The canonical form as UTF-8 JSON text."""
    fields: dict[str, Any] = msgspec.to_builtins(policy)
    for field in _LEFT_OUT:
        del fields[field]
    if fields["running"] == "finish":
        del fields["running"]
    for step in _steps(fields["playbook"]):
        for field, default in _LATER.get(step["step"], {}).items():
            if step[field] == default:
                del step[field]
        if step["step"] == "ask":
            step["choices"] = list(step["choices"].items())
    return msgspec.json.encode(fields, order="sorted")


def _steps(listed: Any) -> Iterator[dict[str, Any]]:
    """The steps of a list in JSON form, each before those that it holds."""
    for step in listed if isinstance(listed, list | tuple) else ():
        if isinstance(step, dict):
            yield step
            arms = msgspec.convert(step.get("arms", ()), list[dict[str, Any]])
            for arm in arms:
                yield from _steps(arm.get("steps"))
            yield from _steps(step.get("on_failure"))


def version(policy: Policy) -> str:
    """Lower-case hex SHA-256 of the canonical form."""
    return hashlib.sha256(canonical(policy)).hexdigest()


def from_canonical(raw: bytes) -> Policy:
    """A policy that behaves as the one ``canonical`` was given; its title is its name.

    Raises ``msgspec.MsgspecError`` when ``raw`` is not a canonical form.
    """
    fields = msgspec.json.decode(raw, type=dict[str, Any])
    for step in _steps(fields.get("playbook")):
        if step.get("step") == "ask":
            step["choices"] = dict(msgspec.convert(step.get("choices"), list[tuple[str, str]]))
    return msgspec.convert({"title": fields.get("name"), "owner": "", **fields}, Policy)


def pattern_hash(when: When) -> str:
    """Lower-case hex SHA-256 of the pattern: versions with the same one share pattern state."""
    return hashlib.sha256(msgspec.json.encode(when, order="sorted")).hexdigest()
