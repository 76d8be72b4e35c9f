"""From candidates of one subject at one moment to decisions (policy language, section 6). Pure."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from forestall.contracts.control import DecideSettings
from forestall.contracts.decision import Confidence, Decision, Outcome, Reason, decision_id
from forestall.contracts.errors import ExpressionError
from forestall.contracts.instants import format_time
from forestall.decide.force import View
from forestall.decide.gates import Circumstances, Ledger, PolicyLedger, first_refusal
from forestall.decide.occasion import Ref
from forestall.decide.plan import key_order
from forestall.decide.words import doubt, explanation
from forestall.measure.assign import in_holdout
from forestall.policy.language.cel import to_json
from forestall.policy.language.compile import Program


class OnPage(msgspec.Struct, frozen=True):
    """What a page decided itself, and when; it has acted already."""

    outcome: Outcome
    reason: Reason | None
    at: int


class Candidate(msgspec.Struct, frozen=True):
    """A completed pattern whose ``if`` held. ``traceparent`` is its last event's.

    ``confidence`` is what models say of it, once asked, and ``threshold`` what it must reach.
    ``told`` is set where a page has decided it.
    """

    slot: int
    program: Program
    key: str | None
    matched: tuple[Ref, ...]
    traceparent: str | None
    features: dict[str, Any]
    confidence: tuple[Confidence, ...] = ()
    threshold: float = 0.0
    told: OnPage | None = None


class Verdict(msgspec.Struct, frozen=True):
    """A candidate's outcome and reason."""

    candidate: Candidate
    outcome: Outcome
    reason: Reason | None


def judge(
    candidates: Sequence[Candidate],
    subject: str,
    at: int,
    ledger: Ledger,
    view: View,
    watch: Callable[[Circumstances, str | None], None] | None = None,
) -> list[Verdict]:
    """Gates for each by itself, then arbitration; in the order of policy name and key.

    The ledger is not changed; ``record_acts`` does that with the result. ``watch`` is shown what
    the gates look at, and the candidate's key.
    """
    verdicts = []
    passed = []
    for one in candidates:
        if one.told is not None:
            verdicts.append(Verdict(one, one.told.outcome, one.told.reason))
            continue
        now = circumstances(one.program, at, subject, ledger, view, one.features)
        if watch is not None:
            watch(replace(now, ledger=replace(ledger)), one.key)
        asks = now.policy.model is not None
        said = replace(one, confidence=now.confidence, threshold=now.threshold) if asks else one
        reason = first_refusal(now)
        if reason is None:
            passed.append(said)
        else:
            verdicts.append(Verdict(said, "suppress", reason))
    verdicts.extend(_arbitrate(passed, subject, view.settings))
    return sorted(verdicts, key=in_order)


def circumstances(
    program: Program, at: int, subject: str, ledger: Ledger, view: View, features: dict[str, Any]
) -> Circumstances:
    """What the gates look at, were ``program`` to have a candidate with these ``features``."""
    policy, settings = program.policy, view.settings
    if policy.model is None:
        return Circumstances(policy, at, ledger, settings, view.switches, program.mode)
    said = view.models.ask(policy, subject, _all_told(features), settings.salt)
    threshold = view.models.threshold(policy)
    return Circumstances(policy, at, ledger, settings, view.switches, program.mode, said, threshold)


def _arbitrate(
    passed: Sequence[Candidate], subject: str, settings: DecideSettings
) -> list[Verdict]:
    verdicts = []
    won = False
    by_priority = sorted(passed, key=lambda c: (-c.program.policy.priority, *_order(c)))
    for candidate in by_priority:
        policy = candidate.program.policy
        if won:
            verdicts.append(Verdict(candidate, "suppress", "outranked"))
        elif in_holdout(f"{settings.salt}:{policy.name}", subject, policy.holdout):
            verdicts.append(Verdict(candidate, "holdout", "policy_holdout"))
        else:
            won = True
            exempt = policy.budget_class == "transactional"
            if not exempt and in_holdout(settings.salt, subject, settings.holdout):
                verdicts.append(Verdict(candidate, "holdout", "global_holdout"))
            else:
                verdicts.append(Verdict(candidate, "intervene", None))
    return verdicts


def in_order(verdict: Verdict) -> tuple[str, bytes]:
    """Sorts verdicts by policy name and key."""
    return _order(verdict.candidate)


def _order(candidate: Candidate) -> tuple[str, bytes]:
    return candidate.program.policy.name, key_order(candidate.key)


def shadow_ledger(ledger: Ledger, shadow: Ledger) -> Ledger:
    """What a policy in shadow mode sees: the subject's standing, and shadow acts instead of acts."""
    policies = {
        name: PolicyLedger(
            last_act=shadow.policies[name].last_act if name in shadow.policies else None,
            dismissals=ledger.policies[name].dismissals if name in ledger.policies else 0,
            never=ledger.policies[name].never if name in ledger.policies else False,
        )
        for name in ledger.policies.keys() | shadow.policies.keys()
    }
    return replace(ledger, policies=policies, guidance_acts=shadow.guidance_acts)


def record_acts(verdicts: Sequence[Verdict], at: int, ledger: Ledger) -> None:
    """Write the acts among ``verdicts`` into the ledger."""
    for verdict in verdicts:
        if verdict.outcome == "suppress" or verdict.candidate.told is not None:
            continue
        policy = verdict.candidate.program.policy
        ledger.policies.setdefault(policy.name, PolicyLedger()).last_act = at
        if verdict.reason != "policy_holdout" and policy.budget_class == "guidance":
            ledger.guidance_acts.append(at)


def decision(verdict: Verdict, subject: str, at: int) -> Decision:
    """The decision that tells ``verdict`` to the world."""
    candidate = verdict.candidate
    told = candidate.told
    moment = format_time(at if told is None else told.at)
    program = candidate.program
    return Decision(
        id=decision_id(program.version, subject, candidate.key, moment, list(candidate.matched)),
        policy=program.policy.name,
        version=program.version,
        mode=program.mode,
        subject=subject,
        key=candidate.key,
        at=moment,
        outcome=verdict.outcome,
        reason=verdict.reason,
        matched=tuple(ref[1] for ref in candidate.matched),
        features=_all_told(candidate.features),
        explanation=explanation(
            program.policy,
            candidate.key,
            len(candidate.matched),
            verdict.reason,
            doubt(program.policy, candidate.confidence, candidate.threshold),
            on_page=told is not None,
        ),
        traceparent=candidate.traceparent or msgspec.UNSET,
        confidence=msgspec.UNSET if program.policy.model is None else candidate.confidence,
        edge=msgspec.UNSET if told is None else True,
    )


def _all_told(features: dict[str, Any]) -> dict[str, Any]:
    """Features as decisions tell them, and as models are asked about them."""
    return {name: _told(value) for name, value in features.items()}


def _told(value: Any) -> Any:
    try:
        return to_json(value)
    except ExpressionError:
        return None
