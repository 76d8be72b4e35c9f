"""What effects act with, and the last look at the door before each."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from forestall.channels.base import Channels, Desk
from forestall.intervene.effect_store import Effect
from forestall.intervene.jobs import Workshop
from forestall.intervene.running import Running
from forestall.intervene.store import Store
from forestall.kernel.clock import Clock
from forestall.privacy.door import DoorState

STOPS = ("opted_out", "no_consent")
"""Refusals that are the customer's own word."""


class Door(Protocol):
    """Consent and opt-out as the gateway last heard them."""

    def state(self, subject: str) -> DoorState:
        """What the subject said."""

    def stops(self, after: int) -> tuple[int, list[str]]:
        """Subjects that may have said no since ``after``, and up to where that goes."""


def _never(_subject: str, _policy: str) -> str | None:
    return None


def _always(_state: Running) -> bool:
    return True


class Surroundings(msgspec.Struct, frozen=True):
    """What effects act with. ``log_time`` and ``clock`` are log and wall time in microseconds;
    ``require_consent`` says whether nothing goes without consent, ``workshop`` does jobs (none: all
    fail), ``paused`` says which pause stops a policy for a subject, ``needed`` whether nothing that
    came in since ends the intervention."""

    channels: Channels
    queues: Mapping[str, Desk]
    door: Door
    log_time: Clock
    clock: Clock
    require_consent: Callable[[], bool]
    workshop: Workshop | None = None
    paused: Callable[[str, str], str | None] = _never
    needed: Callable[[Running], bool] = _always


def refusal(effect: Effect, store: Store, now: Surroundings) -> str | None:
    """Why this effect must not happen (any more): the last look, right before it would.

    An undo is owed: only a pause holds it up. ``paused`` refuses guidance, and puts the rest off.
    """
    state = store.state(effect.intervention)
    if effect.kind != "undo":
        stopped = door_says(now, effect.subject, effect.purpose)
        if stopped is not None:
            return stopped
        over = state is None or state.ending is not None or state.stopping
        if state is None or over or not now.needed(state):
            return "not_needed"
        if effect.expires is not None and now.log_time() >= effect.expires:
            return "expired"
    if state is not None and now.paused(effect.subject, state.policy) is not None:
        return "paused"
    return None


def door_says(now: Surroundings, subject: str, purpose: str) -> str | None:
    """``opted_out``, ``no_consent``, or none if the subject may be reached for ``purpose``."""
    standing = now.door.state(subject)
    if standing.opted_out:
        return "opted_out"
    consent = standing.consents.get(purpose)
    withdrawn = consent is not None and not consent.granted
    if withdrawn or not standing.allows(purpose, require_consent=now.require_consent()):
        return "no_consent"
    return None
