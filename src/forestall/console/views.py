"""What the operators' API shows: data of ``intervene`` as JSON, with times after RFC 3339."""

from typing import Any

import msgspec

from forestall.contracts.instants import format_time
from forestall.intervene.approvals import Approval, Grant
from forestall.intervene.pauses import Pause
from forestall.intervene.records import Entry
from forestall.intervene.reviews import Review


def _shown(value: msgspec.Struct, *times: str) -> dict[str, Any]:
    """``value`` as JSON data; the fields ``times`` are microseconds, or none."""
    plain: dict[str, Any] = msgspec.to_builtins(value)
    for name in times:
        plain[name] = None if plain[name] is None else format_time(plain[name])
    return plain


def approval(one: Approval, waiting: int) -> dict[str, Any]:
    """A request with everything that a person needs to decide; ``waiting`` requests for the same
    action are undecided."""
    shown = _shown(one, "asked", "expires")
    shown["said"] = [_shown(said, "at") for said in one.said]
    return {**shown, "waiting": waiting}


def line(one: Approval) -> dict[str, Any]:
    """A request as one line of a list."""
    shown = _shown(one, "asked", "expires")
    wanted = ("id", "status", "action", "arguments", "subject", "policy", "intervention")
    more = {"asked": shown["asked"], "expires": shown["expires"], "role": one.role}
    missing = one.people - len(one.said) if one.status == "open" else 0
    return {**{name: shown[name] for name in wanted}, **more, "missing": max(missing, 0)}


def grant(one: Grant) -> dict[str, Any]:
    """A grant."""
    return _shown(one, "at", "until", "revoked")


def pause(one: Pause) -> dict[str, Any]:
    """A pause."""
    return _shown(one, "since", "until", "ended")


def review(one: Review) -> dict[str, Any]:
    """A review."""
    return _shown(one, "sampled", "judged")


def record(one: Entry) -> dict[str, Any]:
    """A record."""
    return _shown(one, "at")
