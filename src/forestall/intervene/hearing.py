"""What a record says to a running intervention: is it about it, does it stop it, was it seen."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from msgspec.structs import replace

from forestall.contracts.intervention import Told
from forestall.intervene.running import Arrival, Running, Words

_ITEM = re.compile(r"[1-9][0-9]?")


def concerns(state: Running, data: dict[str, Any]) -> bool:
    """Whether a report is about this intervention, or about its policy as a whole."""
    if "intervention" in data:
        return bool(data["intervention"] == state.id)
    return bool(data.get("policy") == state.policy)


def stopped_by(state: Running, arrival: Arrival) -> str | None:
    """Why this record forbids going on: an opt-out, or consent withdrawn for the purpose; an
    alias carries both over from the other pseudonym."""
    match arrival.record.type:
        case "forestall.alias":
            if _at(arrival.data, "optout", "out") is True:
                return "opted_out"
            consent = _at(arrival.data, "consent", state.purpose, "granted")
            return "no_consent" if consent is False else None
        case "forestall.optout":
            return "opted_out"
        case "forestall.consent.withdrawn":
            return "no_consent" if arrival.data.get("purpose") == state.purpose else None
    return None


def settled(state: Running, told: Told, arrival: Arrival) -> Running:
    """What a report says about guidance already given."""
    step = arrival.data.get("step")
    if told in ("shown", "answered"):
        return marked(state, step, "shown")
    told_by_us = told == "failed" and arrival.record.origin == "server"
    if told_by_us and any(words.step == step for words in state.words):
        return replace(marked(state, step, "failed"), reason=text(arrival.data, "reason"))
    return state


def marked(
    state: Running, step: int | None, status: Literal["shown", "expired", "failed"]
) -> Running:
    """Settle the guidance of ``step``, or all of it; what was shown stays shown."""
    return replace(
        state,
        words=tuple(
            Words(words.step, words.expires, status)
            if step in (None, words.step) and words.status != "shown"
            else words
            for words in state.words
        ),
    )


def acted(data: Mapping[str, Any]) -> str:
    """What is remembered of ``forestall.intervention.acted``: ``acted why``, ``acted step 3``. Each
    is told once of a step of the playbook, however often a page repeats it."""
    what, value = text(data, "what") or "", text(data, "value") or ""
    number = what == "step" and _ITEM.fullmatch(value) is not None
    return f"acted {what} {value}" if number else f"acted {what}".rstrip()


def text(data: Mapping[str, Any], key: str) -> str | None:
    """What ``data`` says under ``key``, if that is text."""
    value = data.get(key)
    return value if isinstance(value, str) else None


def _at(data: Any, *path: str) -> Any:
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data
