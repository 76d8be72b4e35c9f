"""What pages decided themselves: ``forestall.edge.decided`` as acts that have happened."""

import re
from collections.abc import Iterator
from typing import Any

from forestall.contracts.control import DecideSettings
from forestall.policy.language.model import Policy
from reference.gating import Candidate, Situation, Verdict
from reference.history import Arrival, Seen, World
from reference.sharing import in_holdout

A_DAY = 86_400_000_000


def told_by_a_page(event: Seen, situation: Situation, world: World) -> Iterator[Verdict]:
    """The act that the event tells of, if it is one."""
    arrival = event.arrival
    if arrival.type != "forestall.edge.decided" or not well_told(arrival.data):
        return
    data, settings = arrival.data, situation.deployment.settings_at(arrival.received)
    for heritage, one in world.in_force(arrival.received).items():
        policy = one.policy
        if one.mode == "shadow" or not policy.edge or policy.name != data["policy"]:
            continue
        if not kept_aside(data.get("reason"), policy, situation.subject, settings):
            continue
        at = min(max(data["at"], arrival.received - A_DAY), event.t)
        matched = [named(source, name, arrival) for source, name in data["matched"]]
        told = Candidate(
            policy,
            data["version"],
            one.mode,
            data.get("key"),
            at,
            arrival.received,
            matched,
            {},
            heritage,
        )
        acts = [act.candidate.at for act in situation.acts(told, own=True)]
        silence = policy.when.steps[-1].quiet_for is not None
        apart = min(settings.grace, policy.cooldown - 1) if silence else 0
        if not acts or abs(max(acts) - at) > apart:
            yield Verdict(told, data["outcome"], data.get("reason"))


def well_told(data: Any) -> bool:
    """Whether everything is there, and of the right kind."""
    if not isinstance(data, dict):
        return False
    texts = [data.get("policy"), data.get("version"), data.get("key") or ""]
    if not all(isinstance(text, str) for text in texts) or type(data.get("at")) is not int:
        return False
    named = re.fullmatch("[a-z0-9-]{1,63}", data["policy"])
    hashed = re.fullmatch("[0-9a-f]{64}", data["version"])
    fates = [("intervene", None), ("holdout", "policy_holdout"), ("holdout", "global_holdout")]
    fitting = (data.get("outcome"), data.get("reason")) in fates
    return bool(named and hashed and fitting and data["at"] >= 0 and data.get("matched"))


def kept_aside(reason: str | None, policy: Policy, subject: str, settings: DecideSettings) -> bool:
    """Whether the subject is in the holdout that the page names, if it names one."""
    if reason is None:
        return True
    if reason == "policy_holdout":
        return in_holdout(f"{settings.salt}:{policy.name}", subject, policy.holdout)
    guidance = policy.budget_class == "guidance"
    return guidance and in_holdout(settings.salt, subject, settings.holdout)


def named(source: str, name: str, told: Arrival) -> Seen:
    """An event of which no more is known than its name."""
    arrival = Arrival(name, source, "", told.subject, told.time, told.received, told.origin, {})
    return Seen(arrival, -1, told.time, {})
