"""The controller of canaries: looks at each ever so often, takes a failed one back, lets others grow.

Reading the log is done in another thread and a little at a time, so that the event loop is not kept
waiting; what follows from a look is done by the registry, on the loop.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
import structlog

from forestall.app.flags import switched_on
from forestall.contracts.control import Transition
from forestall.contracts.errors import ForestallError
from forestall.contracts.flags import CANARY_AUTOMATIC
from forestall.contracts.instants import SECOND, parse_duration
from forestall.contracts.refusals import LONGEST_REASON
from forestall.kernel.clock import Clock, monotonic, within
from forestall.kernel.database.tables import TROUBLE
from forestall.kernel.settings import Canary, Guardrail, Settings, parse_steps
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import DECIDED
from forestall.measure.canary import DEFAULTS, Watched
from forestall.measure.canary_log import CanaryLog, CanaryLook
from forestall.measure.rollout import Ladder
from forestall.policy.lifecycle import Actor, Ask, Finding, Place, Standing
from forestall.policy.store import Registry

SLICE, REST = 0.02, 0.02
"""Seconds of reading at a time, and between two times while there is more to read."""

FINDING = "canary"
"""What findings of a canary are about (see ``policy.lifecycle.Finding``)."""

_SELF = Actor("canary", machine=True)

_log = structlog.get_logger("canary")


def ladder(canary: Canary) -> Ladder:
    """How canaries grow, and what is watched, by the settings."""
    watched = {one.name: one for one in DEFAULTS}
    for name, guardrail in canary.guardrails.items():
        plain = watched.pop(name, Watched(name=name))
        if not guardrail.off:
            watched[name] = _watched(plain, guardrail)
    return Ladder(
        steps=tuple((step.share, step.time) for step in parse_steps(canary.steps)),
        guardrails=tuple(watched.values()),
        alpha=canary.alpha,
        least=canary.least,
    )


def _watched(plain: Watched, set_: Guardrail) -> Watched:
    """A guardrail as set, over what it is otherwise."""
    if set_.event or set_.latency:
        plain = msgspec.structs.replace(
            plain, event=set_.event or "", latency=set_.latency, shown=set_.shown
        )
    return msgspec.structs.replace(
        plain,
        margin=plain.margin if set_.margin is None else set_.margin,
        tolerance=plain.tolerance if set_.tolerance is None else set_.tolerance,
    )


async def keep_canaries(
    settings: Settings, registry: Registry, clock: Clock, stop: asyncio.Event
) -> None:
    """Look at all canaries every ``[canary] every`` and act on it, until ``stop``."""
    signals = SqliteLog(settings.data / "gateway.db", read_only=True)
    decisions = SqliteLog(settings.data / "worker.db", read_only=True)
    every = parse_duration(settings.canary.every) / SECOND
    log = CanaryLog(signals, decisions, ladder(settings.canary), DECIDED)
    try:
        while not stop.is_set():
            try:
                if await _read(log, stop):
                    looks = await asyncio.to_thread(log.looks)
                    automatic = switched_on(CANARY_AUTOMATIC, otherwise=settings.canary.automatic)
                    act(looks, registry, clock(), automatic=automatic)
            except (ForestallError, *TROUBLE) as error:
                _log.error("canaries cannot be looked at; what runs goes on", why=str(error))
            await within(stop, every)
    finally:
        signals.close()
        decisions.close()


async def _read(log: CanaryLog, stop: asyncio.Event) -> bool:
    """Read on to the end; false if stopped before."""
    while await asyncio.to_thread(log.read, SLICE, monotonic):
        if await within(stop, REST):
            return False
    return True


def act(looks: Iterable[CanaryLook], registry: Registry, at: int, *, automatic: bool) -> None:
    """Do what follows from ``looks`` at wall time ``at``, and keep each new verdict as a finding.

    A failed canary is taken back. One that passed grows, or goes live after its last step, if that
    is ``automatic``; else, and above low risk, a person decides. Nothing else moves anything. What
    was seen before a step began says nothing about it, but that it fails.
    """
    standing = registry.standing()
    for one in looks:
        place = standing.place(standing.active, one.kind, one.name, one.version)
        if place is None or place.state != "canary":
            continue
        try:
            _obey(one, place, standing, registry, at, automatic)
        except ForestallError as error:
            _log.warning("a canary waits", name=one.name, why=str(error))


def _obey(
    one: CanaryLook,
    place: Place,
    standing: Standing,
    registry: Registry,
    at: int,
    automatic: bool,
) -> None:
    verdict = one.look.verdict
    of_this_step = place.share == one.look.share and place.number <= one.number
    if verdict != "fail" and not of_this_step:
        return
    with registry.transaction():
        _keep(one, place, registry, at)
        if verdict == "fail":
            ask = Ask(what="rollback", set=standing.active, kind=one.kind, name=one.name)
            _move(ask, one, registry, at)
        elif verdict == "pass" and automatic:
            ask = Ask(set=standing.active, kind=one.kind, name=one.name, version=one.version)
            if one.next is not None:
                ask = msgspec.structs.replace(ask, after="canary", share=one.next)
            if not _asked(ask, place, registry):
                _move(ask, one, registry, at)


def _keep(one: CanaryLook, place: Place, registry: Registry, at: int) -> None:
    """Keep the look as a finding if it says something new about this step."""
    found = registry.findings(one.kind, one.name, one.version).get(FINDING)
    said = (one.look.verdict, one.look.share, one.next is None)
    if found is not None and found.at >= place.since:
        before = found.evidence
        if (before.get("verdict"), before.get("share"), before.get("last")) == said:
            return
    registry.found(
        Finding(
            kind=one.kind,
            name=one.name,
            version=one.version,
            what=FINDING,
            by=_SELF.name,
            at=at,
            evidence=_evidence(one),
        )
    )
    _log.info(
        "a canary's verdict",
        name=one.name,
        share=one.look.share,
        verdict=one.look.verdict,
        why=list(one.look.why),
    )


def _evidence(one: CanaryLook) -> dict[str, Any]:
    """A look as JSON, with what conditions ask for in front."""
    look: dict[str, Any] = msgspec.to_builtins(one.look)
    return {"verdict": one.look.verdict, "last": one.next is None, **look}


def _asked(ask: Ask, place: Place, registry: Registry) -> bool:
    """Whether this was asked already since the step began, and waits or was answered by somebody."""
    return any(
        one.ask == ask and one.by == _SELF.name and one.at >= place.since and one.status != "void"
        for one in registry.requests()
    )


def _move(ask: Ask, one: CanaryLook, registry: Registry, at: int) -> None:
    why = f"canary at {100 * one.look.share:.3g} %: {'; '.join(one.look.why)}"[:LONGEST_REASON]
    outcome = registry.move(ask, _SELF, why, at, {FINDING: _evidence(one)})
    written = outcome if isinstance(outcome, tuple) else ()
    for transition in written:
        _told(transition)
    if not written:
        _log.info("a canary waits for a second person", name=one.name, version=one.version)


def _told(transition: Transition) -> None:
    _log.info(
        "a canary moved",
        name=transition.name,
        version=transition.version,
        after=transition.after,
        share=transition.share,
        why=transition.why,
    )
