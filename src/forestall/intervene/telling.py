"""What a step filled, cut down to what an event may hold, so that its report always arrives.

A report that the gateway refuses is never heard, and its playbook would wait for good. So a value
that no event can carry is told as null, as one is that the answer lacked. A plan is told as it is or
not at all, but for the words to our own people: a part of it would be another plan.
"""

from typing import Any

import msgspec
from msgspec.structs import replace

from forestall.contracts.inference import Inference, Plan, Turned
from forestall.intervene.splice import read_plan
from forestall.policy.language.step_parts import MAX_TEXT

LARGEST_FIELDS = 16_000
"""Bytes of JSON that the fields of one step have together; the longest are left out first."""

LARGEST_PLAN, LARGEST_INFERENCE = 16_000, 6_000
"""Bytes of JSON that a plan and an inference have at most."""

MOST_CITED, LONGEST_CITED, LONGEST_RATIONALE = 32, 400, 1_000
"""Passages and refusals of one inference, characters of each, and those of a rationale."""

_MOST_BITS = 2**63
_LONGEST_NAME = 200
_DEEPEST = 8
"""How deep arguments may be nested: as deep as the event's contract keeps them."""


def tellable(fields: dict[str, Any]) -> dict[str, Any]:
    """``fields`` with null for what no event can carry: values nested too deep, integers of more
    than 64 bits, texts with a NUL, and the longest values where all are too long together."""
    told = {name: one if _plain(one, _DEEPEST - 1) else None for name, one in fields.items()}
    sizes = {name: len(msgspec.json.encode(one)) for name, one in told.items()}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        if sum(sizes.values()) <= LARGEST_FIELDS:
            break
        told[name], sizes[name] = None, 4
    return told


def tellable_plan(plan: Plan) -> Plan | None:
    """``plan`` with its reasons cut to size; none where no event can carry the rest."""
    told = replace(
        plan,
        rationale=_cut(plan.rationale, LONGEST_RATIONALE),
        hand_over=None if plan.hand_over is None else _cut(plan.hand_over, _LONGEST_NAME),
        evidence=tuple(_cut(one, LONGEST_CITED) for one in plan.evidence[:MOST_CITED]),
        confidence=min(1.0, max(0.0, plan.confidence)),
    )
    names = [one.action for one in plan.actions] + [plan.runbook or ""]
    fits = len(plan.message) <= MAX_TEXT and all(len(name) <= _LONGEST_NAME for name in names)
    plain = _plain([plan.message, *names], 1)
    plain = plain and all(_plain(one.arguments, _DEEPEST) for one in plan.actions)
    if not (fits and plain and len(msgspec.json.encode(told)) <= LARGEST_PLAN):
        return None
    return read_plan(msgspec.to_builtins(told))


def tellable_inference(inference: Inference) -> Inference:
    """``inference`` with no more passages and refusals than an event can carry."""
    told = replace(
        inference,
        model=_named(inference.model),
        fallback=_named(inference.fallback),
        tone=_named(inference.tone),
        evidence=tuple(_cut(one, LONGEST_CITED) for one in inference.evidence[:MOST_CITED]),
        refused=tuple(
            Turned(_cut(one.what, LONGEST_CITED), _cut(one.why, LONGEST_CITED))
            for one in inference.refused[:MOST_CITED]
        ),
    )
    while len(msgspec.json.encode(told)) > LARGEST_INFERENCE and (told.refused or told.evidence):
        told = replace(told, refused=told.refused[:-1], evidence=told.evidence[:-1])
    return told


def _named(word: str | None) -> str | None:
    return None if word is None else _cut(word, _LONGEST_NAME)


def _cut(text: str, most: int) -> str:
    return text.replace("\x00", "")[:most]


def _plain(value: Any, levels: int) -> bool:
    if isinstance(value, str):
        return "\x00" not in value
    if isinstance(value, int):
        return -_MOST_BITS <= value < _MOST_BITS
    if isinstance(value, list | tuple):
        return levels > 0 and all(_plain(one, levels - 1) for one in value)
    if isinstance(value, dict):
        return levels > 0 and all(
            _plain(key, 1) and _plain(one, levels - 1) for key, one in value.items()
        )
    return True
