"""From candidates of one subject at one moment to decisions (policy language, section 6). Pure."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from forestall.contracts.control import DecideSettings
from forestall.contracts.decision import Decision, Outcome, Reason, decision_id
from forestall.contracts.errors import ExpressionError
from forestall.contracts.instants import format_time
from forestall.decide.gates import Circumstances, Ledger, PolicyLedger, Switches, first_refusal
from forestall.decide.occasion import Ref
from forestall.decide.plan import key_order
from forestall.decide.words import explanation
from forestall.measure.assign import in_holdout
from forestall.policy.language.cel import to_json
from forestall.policy.language.compile import Program


class Candidate(msgspec.Struct, frozen=True):
    """A completed pattern whose ``if`` held. ``traceparent`` is its last event's."""

    slot: int
    program: Program
    key: str | None
    matched: tuple[Ref, ...]
    traceparent: str | None
    features: dict[str, Any]


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
    settings: DecideSettings,
    switches: Switches,
    watch: Callable[[Circumstances, str | None], None] | None = None,
) -> list[Verdict]:
    """Gates for each by itself, then arbitration; in the order of policy name and key.

    The ledger is not changed; ``record_acts`` does that with the result. ``watch`` is shown what
    the gates look at, and the candidate's key.
    """
    verdicts = []
    passed = []
    for candidate in candidates:
        policy = candidate.program.policy
        now = Circumstances(policy, at, ledger, settings, switches)
        if watch is not None:
            watch(replace(now, ledger=replace(ledger)), candidate.key)
        reason = first_refusal(now)
        if reason is None:
            passed.append(candidate)
        else:
            verdicts.append(Verdict(candidate, "suppress", reason))
    verdicts.extend(_arbitrate(passed, subject, settings))
    return sorted(verdicts, key=in_order)


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
        if verdict.outcome == "suppress":
            continue
        policy = verdict.candidate.program.policy
        ledger.policies.setdefault(policy.name, PolicyLedger()).last_act = at
        if verdict.reason != "policy_holdout" and policy.budget_class == "guidance":
            ledger.guidance_acts.append(at)


def decision(verdict: Verdict, subject: str, at: int) -> Decision:
    """The decision that tells ``verdict`` to the world."""
    candidate = verdict.candidate
    moment = format_time(at)
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
        features={name: _told(value) for name, value in candidate.features.items()},
        explanation=explanation(
            program.policy, candidate.key, len(candidate.matched), verdict.reason
        ),
        traceparent=candidate.traceparent or msgspec.UNSET,
    )


def _told(value: Any) -> Any:
    try:
        return to_json(value)
    except ExpressionError:
        return None
