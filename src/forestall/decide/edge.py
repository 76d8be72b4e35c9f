"""What a page decided itself, as the engine hears of it: an act that has happened. Pure.

A page sends ``forestall.edge.decided`` in front of the event that made it decide, so that the act
counts before the server looks at that event: its own candidate is then refused by ``cooldown``. A
deadline the server may have decided by then: acts of one no more than ``grace`` apart are the same.
"""

from bisect import insort
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from forestall.contracts.control import DecideSettings
from forestall.contracts.edge import ToldDecision, decision_told
from forestall.contracts.event import decode_data
from forestall.contracts.instants import DAY
from forestall.decide.arbitrate import Candidate, OnPage, circumstances
from forestall.decide.gates import Ledger, PolicyLedger
from forestall.decide.plan import Take
from forestall.measure.assign import in_holdout
from forestall.policy.language.compile import Program
from forestall.policy.language.model import Policy

LONGEST_AGO = DAY
"""How long before it was received a page's decision may lie: devices may be offline for a day."""


def hearing(take: Take, policies: Mapping[str, Program]) -> Take:
    """``take``, which besides notes what the event tells of these policies, by name."""

    def hear(engine: Any, subject: Any, record: Any, time: int, t: int) -> list[Candidate]:
        candidates = take(engine, subject, record, time, t) or []
        told = decision_told(decode_data(record.data))
        if told is None:
            return candidates
        view = engine._force.now
        program = policies.get(told.policy)
        if program is None or not _possible(told, program.policy, record.subject, view.settings):
            engine.counters["control_ignored"] += 1
            return candidates
        at = min(max(told.at, record.received - LONGEST_AGO), t)
        ledger: Ledger = subject.ledger
        if _known(ledger, program, at, view.settings.grace):
            return candidates
        if engine.watch is not None:
            now = circumstances(program, at, record.subject, ledger, view, {})
            engine.watch(replace(now, ledger=replace(ledger)), told.key)
        _act(ledger, program.policy, told, at)
        return [_candidate(told, program, record.traceparent, at), *candidates]

    return hear


def _possible(told: ToldDecision, policy: Policy, subject: str, settings: DecideSettings) -> bool:
    """Whether the subject is in the holdout that kept it from acting, if one did."""
    if told.reason == "policy_holdout":
        return in_holdout(f"{settings.salt}:{policy.name}", subject, policy.holdout)
    if told.reason == "global_holdout":
        exempt = policy.budget_class == "transactional"
        return not exempt and in_holdout(settings.salt, subject, settings.holdout)
    return True


def _known(ledger: Ledger, program: Program, at: int, grace: int) -> bool:
    """Whether the act counts already: the server saw the same deadline come, by its own clock. Who
    decides lets the cooldown pass between two acts, so these are never two of the same page."""
    own, policy = ledger.policies.get(program.policy.name), program.policy
    apart = 0 if program.pattern.trailing is None else min(grace, policy.cooldown - 1)
    return own is not None and own.last_act is not None and abs(own.last_act - at) <= apart


def _act(ledger: Ledger, policy: Policy, told: ToldDecision, at: int) -> None:
    """Write the act into the ledger, at its place among the others."""
    own = ledger.policies.setdefault(policy.name, PolicyLedger())
    own.last_act = at if own.last_act is None else max(own.last_act, at)
    if told.reason != "policy_holdout" and policy.budget_class == "guidance":
        insort(ledger.guidance_acts, at)


def _candidate(told: ToldDecision, program: Program, traceparent: str | None, at: int) -> Candidate:
    """What becomes the decision that tells of it; no pattern's slot is 0."""
    return Candidate(
        slot=0,
        program=replace(program, version=told.version),
        key=told.key,
        matched=told.matched,
        traceparent=traceparent,
        features={},
        told=OnPage(told.outcome, told.reason, at),
    )
