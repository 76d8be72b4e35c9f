"""Gates: the ordered reasons not to act (policy language, section 6). Pure.

``GATES`` reads like the table in the specification; the first that refuses gives the reason.
A ``Ledger`` is what a subject's control events and past decisions amount to.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from forestall.contracts.control import DecideSettings
from forestall.contracts.decision import Confidence, Mode, Reason
from forestall.contracts.instants import DAY
from forestall.policy.language.model import Policy

TEN_YEARS = 3_650 * DAY
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """Who stands where on one question since ``time``: consent given, or opted out."""

    time: int
    yes: bool


class PolicyLedger(msgspec.Struct, array_like=True):
    """A subject's history with one policy, by name."""

    last_act: int | None = None
    dismissals: int = 0
    never: bool = False


class Ledger(msgspec.Struct, array_like=True):
    """A subject's traits, standing and acts. ``guidance_acts`` are times, ascending.

    ``traits`` is replaced, never changed, so that a moment can keep what it saw.
    """

    traits: dict[str, Any] = {}
    optout: Standing | None = None
    consents: dict[str, Standing] = {}
    tickets: set[str] = set()
    policies: dict[str, PolicyLedger] = {}
    guidance_acts: list[int] = []


class Switches(msgspec.Struct, frozen=True):
    """Kill switches in force."""

    off: frozenset[str] = frozenset()
    everything: bool = False


class Circumstances(msgspec.Struct, frozen=True):
    """What a gate may look at: one candidate's policy and moment, and the subject's ledger.

    ``mode`` is the policy's; ``confidence`` what models say, and ``threshold`` what the one that
    judges must reach.
    """

    policy: Policy
    at: int
    ledger: Ledger
    settings: DecideSettings
    switches: Switches
    mode: Mode = "live"
    confidence: tuple[Confidence, ...] = ()
    threshold: float = 0.0

    @property
    def judging(self) -> Confidence | None:
        """What the model in force says; one in shadow judges nothing."""
        return next((one for one in self.confidence if one.mode != "shadow"), None)


def _killed(now: Circumstances) -> bool:
    return now.switches.everything or now.policy.name in now.switches.off


def _opted_out(now: Circumstances) -> bool:
    return now.ledger.optout is not None and now.ledger.optout.yes


def _no_consent(now: Circumstances) -> bool:
    if not now.settings.require_consent:
        return False
    standing = now.ledger.consents.get(now.policy.purpose)
    return standing is None or not standing.yes


def _in_conversation(now: Circumstances) -> bool:
    return now.policy.in_conversation == "hold" and bool(now.ledger.tickets)


def _cooldown(now: Circumstances) -> bool:
    own = now.ledger.policies.get(now.policy.name)
    return (
        own is not None and own.last_act is not None and now.at - own.last_act < now.policy.cooldown
    )


def fatigue_wait(policy: Policy, own: PolicyLedger) -> int:
    """How long after its last act a dismissed policy stays silent, in microseconds."""
    return min(policy.cooldown << min(own.dismissals, 64), TEN_YEARS)


def _fatigue(now: Circumstances) -> bool:
    own = now.ledger.policies.get(now.policy.name)
    if own is None:
        return False
    if own.never:
        return True
    if not own.dismissals or own.last_act is None:
        return False
    return now.at - own.last_act < fatigue_wait(now.policy, own)


def _budget(now: Circumstances) -> bool:
    if now.policy.budget_class != "guidance":
        return False
    start = now.at - now.settings.budget_window
    spent = sum(1 for act in now.ledger.guidance_acts if start < act <= now.at)
    return spent >= now.settings.budget


def _spacing(now: Circumstances) -> bool:
    acts = now.ledger.guidance_acts
    return (
        now.policy.budget_class == "guidance"
        and bool(acts)
        and now.at - acts[-1] < now.settings.spacing
    )


def _quiet_hours(now: Circumstances) -> bool:
    quiet = now.settings.quiet_hours
    if quiet is None or now.policy.quiet_hours == "ignore":
        return False
    local = local_time(now)
    minute = local.hour * 60 + local.minute
    start, end = quiet
    return start <= minute < end if start <= end else minute >= start or minute < end


def local_time(now: Circumstances) -> datetime:
    """The moment in the subject's time zone, else the deployment's, else UTC; also in UTC where that
    zone's calendar has no such day, at the ends of time."""
    zone = _zone(now.ledger.traits.get("timezone")) or _zone(now.settings.timezone) or UTC
    moment = _EPOCH + timedelta(microseconds=now.at)
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment


def _low_confidence(now: Circumstances) -> bool:
    if now.policy.model is None:
        return False
    return now.judging is None or now.judging.probability < now.threshold


def _zone(name: object) -> ZoneInfo | None:
    return _known_zone(name) if isinstance(name, str) and name else None


@lru_cache(maxsize=1024)
def _known_zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


GATES: tuple[tuple[Reason, Callable[[Circumstances], bool]], ...] = (
    ("killed", _killed),
    ("opted_out", _opted_out),
    ("no_consent", _no_consent),
    ("in_conversation", _in_conversation),
    ("cooldown", _cooldown),
    ("fatigue", _fatigue),
    ("budget", _budget),
    ("spacing", _spacing),
    ("quiet_hours", _quiet_hours),
    ("low_confidence", _low_confidence),
)


def first_refusal(now: Circumstances) -> Reason | None:
    """The reason of the first gate that refuses, none if all let the candidate pass."""
    for reason, refuses in GATES:
        if refuses(now):
            return reason
    return None
