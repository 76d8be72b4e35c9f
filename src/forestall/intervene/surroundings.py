"""What effects act with, and the last look at the door before each."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from forestall.channels.base import Channels, Desk
from forestall.intervene.effect_store import Effect
from forestall.intervene.jobs import Workshop
from forestall.intervene.running import Running, effect_key
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

    An undo is owed: only a pause holds it up. ``paused`` refuses guidance, and puts the rest off, as
    ``under_way`` does what an operator had repeated. ``superseded`` says that another key of the
    same step has taken its place.
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
        repeated = _repeated(effect, store, state)
        if repeated is not None:
            return repeated
    if state is not None and now.paused(effect.subject, state.policy) is not None:
        return "paused"
    return None


def _repeated(effect: Effect, store: Store, state: Running) -> str | None:
    """One effect for each step, however often an operator has the step repeated: what may have
    happened goes first, and is repeated by nothing; else the newest takes the place of the others.
    """
    here = state.phase == "going" and state.step == effect.step
    if effect.kind == "guide" or (not here and effect.kind == "escalation"):
        return None
    if not here:
        return "superseded"
    if not state.repeat:
        return None
    others = [
        one
        for one in store.effects.of(effect.intervention)
        if (one.step, one.kind) == (effect.step, effect.kind) and one.key != effect.key
    ]
    open_ = [one for one in others if one.status == "waiting"]
    if any(one.began and one.status != "refused" and one not in open_ for one in others):
        return "superseded"
    if any(_may_have_happened(one) for one in open_):
        return "under_way"
    newest = effect_key(state.id, effect.step, repeat=state.repeat)
    return None if effect.key == newest or _may_have_happened(effect) else "superseded"


def _may_have_happened(effect: Effect) -> bool:
    return effect.uncertain or effect.began == effect.attempt


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
