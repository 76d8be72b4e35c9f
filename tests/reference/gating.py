"""Gates and arbitration, recomputed from all that was seen and decided before."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from forestall.contracts.control import DecideSettings
from forestall.policy.language.model import Policy
from reference.history import Deployment, Seen
from reference.sharing import in_holdout, opinion

TEN_YEARS = 10 * 365 * 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Candidate:
    """A policy that may act; ``moment`` is up to when it sees control records."""

    policy: Policy
    version: str
    mode: str
    key: str | None
    at: int
    moment: int
    matched: list[Seen]
    features: dict[str, Any]
    heritage: int


@dataclass(frozen=True)
class Verdict:
    """A candidate's fate."""

    candidate: Candidate
    outcome: str
    reason: str | None


@dataclass(frozen=True)
class Situation:
    """All that gates may look at: the subject, what it did and what was decided about it."""

    subject: str
    seen: Sequence[Seen]
    past: Sequence[Verdict]
    deployment: Deployment

    def told(self, kind: str) -> Iterator[Seen]:
        """The subject's control events of one type that have what they need, in log order."""
        return (
            event
            for event in self.seen
            if event.arrival.type == kind and event.arrival.takes_effect
        )

    def acts(self, candidate: Candidate, own: bool) -> list[Verdict]:
        """Past acts in the candidate's ledger: of its own policy, or guidance of any."""
        shadow = candidate.mode == "shadow"
        found = [
            verdict
            for verdict in self.past
            if (verdict.outcome == "intervene" or verdict.outcome == "holdout")
            and (verdict.candidate.mode == "shadow") == shadow
        ]
        if own:
            return [v for v in found if v.candidate.policy.name == candidate.policy.name]
        return [
            v
            for v in found
            if v.candidate.policy.budget_class == "guidance" and v.reason != "policy_holdout"
        ]


def stands(situation: Situation, yes: str, no: str, strict: str, purpose: str | None) -> bool:
    """Whether ``yes`` stands against ``no``: the one with the later time, else the ``strict``."""
    told = [
        (event.arrival.time, kind == strict, kind == yes)
        for kind in (yes, no)
        for event in situation.told(kind)
        if purpose is None or event.arrival.data["purpose"] == purpose
    ]
    return bool(told) and max(told)[2]


def killed(candidate: Candidate, situation: Situation, _: DecideSettings) -> bool:
    return situation.deployment.killed(candidate.policy.name, candidate.moment)


def opted_out(_: Candidate, situation: Situation, __: DecideSettings) -> bool:
    out = "forestall.optout"
    return stands(situation, out, "forestall.optin", strict=out, purpose=None)


def no_consent(candidate: Candidate, situation: Situation, settings: DecideSettings) -> bool:
    granted, withdrawn = "forestall.consent.granted", "forestall.consent.withdrawn"
    return settings.require_consent and not stands(
        situation, granted, withdrawn, strict=withdrawn, purpose=candidate.policy.purpose
    )


def in_conversation(candidate: Candidate, situation: Situation, _: DecideSettings) -> bool:
    closed = "forestall.ticket.closed"
    said = ("forestall.ticket.opened", "forestall.ticket.reopened", closed)
    is_open = {
        event.arrival.data["ticket"]: event.arrival.type != closed
        for event in situation.seen
        if event.arrival.type in said and event.arrival.takes_effect
    }
    return candidate.policy.in_conversation == "hold" and any(is_open.values())


def since_last_act(candidate: Candidate, situation: Situation, own: bool) -> int | None:
    acts = situation.acts(candidate, own)
    return candidate.at - max(act.candidate.at for act in acts) if acts else None


def cooldown(candidate: Candidate, situation: Situation, _: DecideSettings) -> bool:
    waited = since_last_act(candidate, situation, own=True)
    return waited is not None and waited < candidate.policy.cooldown


def fatigue(candidate: Candidate, situation: Situation, _: DecideSettings) -> bool:
    name = candidate.policy.name
    helped = [
        event.position
        for event in situation.told("forestall.intervention.helped")
        if event.arrival.data["policy"] == name
    ]
    dismissed = [
        event
        for event in situation.told("forestall.intervention.dismissed")
        if event.arrival.data["policy"] == name
    ]
    if any(event.arrival.data.get("never") is True for event in dismissed):
        return True
    count = sum(event.position > max(helped, default=-1) for event in dismissed)
    waited = since_last_act(candidate, situation, own=True)
    return waited is not None and waited < min(candidate.policy.cooldown * 2**count, TEN_YEARS)


def budget(candidate: Candidate, situation: Situation, settings: DecideSettings) -> bool:
    spent = [
        act
        for act in situation.acts(candidate, own=False)
        if candidate.at - settings.budget_window < act.candidate.at <= candidate.at
    ]
    return candidate.policy.budget_class == "guidance" and len(spent) >= settings.budget


def spacing(candidate: Candidate, situation: Situation, settings: DecideSettings) -> bool:
    waited = since_last_act(candidate, situation, own=False)
    guidance = candidate.policy.budget_class == "guidance"
    return guidance and waited is not None and waited < settings.spacing


@cache
def zones() -> frozenset[object]:
    return frozenset(available_timezones())


def quiet_hours(candidate: Candidate, situation: Situation, settings: DecideSettings) -> bool:
    if settings.quiet_hours is None or candidate.policy.quiet_hours == "ignore":
        return False
    own = situation.seen[-1].traits.get("timezone")
    own = own if isinstance(own, str) else ""
    zone = ZoneInfo(own if own in zones() else settings.timezone or "UTC")
    local = (EPOCH + timedelta(microseconds=candidate.at)).astimezone(zone)
    minute = local.hour * 60 + local.minute
    start, end = settings.quiet_hours
    quiet = range(start, end) if start <= end else [*range(start, 1440), *range(end)]
    return minute in quiet


def opinions(candidate: Candidate, situation: Situation) -> list[dict[str, Any]]:
    """What the models that the policy names say: of the one that judges, then of one in shadow."""
    applied = situation.deployment.models(candidate.moment)
    if candidate.policy.model is None or applied is None:
        return []
    name = candidate.policy.model.name
    salt = situation.deployment.settings_at(candidate.moment).salt
    modes = {model.mode: model for model in applied.models if model.name == name}
    canary = modes.get("canary")
    if canary and in_holdout(f"{salt}:{name}:model-canary", situation.subject, canary.share):
        modes.pop("live", None)
    else:
        modes.pop("canary", None)
    said = []
    for mode in ("live", "canary", "shadow"):
        model = modes.get(mode)
        found = opinion(bytes(model.content), candidate.features) if model else None
        if model and found:
            probability, contributions = found
            told = {"model": name, "version": model.version, "mode": mode}
            said.append(told | {"probability": probability, "contributions": contributions})
    return said


def low_confidence(candidate: Candidate, situation: Situation, _: DecideSettings) -> bool:
    if candidate.policy.model is None:
        return False
    threshold = candidate.policy.model.threshold
    applied = situation.deployment.models(candidate.moment)
    if applied is not None:
        threshold = applied.thresholds.get(candidate.policy.name, threshold)
    judging = [said for said in opinions(candidate, situation) if said["mode"] != "shadow"]
    return not judging or judging[0]["probability"] < threshold


Gate = Callable[[Candidate, Situation, DecideSettings], bool]

GATES: tuple[tuple[str, Gate], ...] = (
    ("killed", killed),
    ("opted_out", opted_out),
    ("no_consent", no_consent),
    ("in_conversation", in_conversation),
    ("cooldown", cooldown),
    ("fatigue", fatigue),
    ("budget", budget),
    ("spacing", spacing),
    ("quiet_hours", quiet_hours),
    ("low_confidence", low_confidence),
)


def refusal(candidate: Candidate, situation: Situation) -> str | None:
    """The reason of the first gate that refuses."""
    settings = situation.deployment.settings_at(candidate.moment)
    for reason, gate in GATES:
        if gate(candidate, situation, settings):
            return reason
    return None


def arbitrate(candidates: list[Candidate], situation: Situation) -> list[Verdict]:
    """Every candidate of one record or deadline with its fate, by policy name and key."""
    verdicts: list[Verdict] = []
    left: list[Candidate] = []
    for candidate in candidates:
        reason = refusal(candidate, situation)
        if reason is None:
            left.append(candidate)
        else:
            verdicts.append(Verdict(candidate, "suppress", reason))
    for shadow in (False, True):
        ledger = [candidate for candidate in left if (candidate.mode == "shadow") == shadow]
        verdicts.extend(rank(ledger, situation))
    return sorted(verdicts, key=told_in)


def told_in(verdict: Verdict) -> tuple[str, bool, bytes, bool]:
    """The order in which decisions are told: one in shadow after that of the version that acts."""
    candidate = verdict.candidate
    return candidate.policy.name, *key_order(candidate.key), candidate.mode == "shadow"


def rank(left: list[Candidate], situation: Situation) -> Iterator[Verdict]:
    """Arbitration among those that passed their gates."""
    won = False
    for candidate in sorted(
        left, key=lambda c: (-c.policy.priority, c.policy.name, *key_order(c.key))
    ):
        settings = situation.deployment.settings_at(candidate.moment)
        policy = candidate.policy
        if won:
            yield Verdict(candidate, "suppress", "outranked")
        elif in_holdout(f"{settings.salt}:{policy.name}", situation.subject, policy.holdout):
            yield Verdict(candidate, "holdout", "policy_holdout")
        else:
            won = True
            exempt = policy.budget_class == "transactional"
            if not exempt and in_holdout(settings.salt, situation.subject, settings.holdout):
                yield Verdict(candidate, "holdout", "global_holdout")
            else:
                yield Verdict(candidate, "intervene", None)


def key_order(key: str | None) -> tuple[bool, bytes]:
    """Keys by their UTF-8 bytes, none first."""
    return key is not None, (key or "").encode()
