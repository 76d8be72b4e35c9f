"""The one sentence that tells a person what was decided and why. Pure."""

from collections.abc import Sequence

from forestall.contracts.decision import Confidence, Reason
from forestall.policy.language.model import Policy

_BECAUSE: dict[Reason, str] = {
    "killed": "the policy, or everything, is switched off",
    "opted_out": "the customer opted out",
    "no_consent": "the customer has not consented to this purpose",
    "in_conversation": "the customer has an open ticket",
    "cooldown": "this policy acted for the customer too recently",
    "fatigue": "the customer dismissed this policy before",
    "budget": "the customer's budget of guidance is spent",
    "spacing": "the customer was guided moments ago",
    "quiet_hours": "it is quiet hours where the customer is",
    "low_confidence": "the model is not confident enough",
    "policy_holdout": "the customer is kept aside to measure this policy",
    "outranked": "another policy came first for this customer",
    "global_holdout": "the customer is kept aside to measure everything",
}


def doubt(policy: Policy, confidence: Sequence[Confidence], threshold: float) -> str:
    """What the model that judges says against acting, or that there is none in force."""
    if policy.model is None:
        return ""
    said = next((one for one in confidence if one.mode != "shadow"), None)
    if said is None:
        return f"no model called {policy.model.name} is in force"
    return f"{said.model} gives {said.probability:g}, below the threshold of {threshold:g}"


def explanation(
    policy: Policy,
    key: str | None,
    events: int,
    reason: Reason | None,
    doubted: str = "",
    *,
    on_page: bool = False,
) -> str:
    """A sentence such as "Help with cards: 2 events matched for order "o1", so it intervenes.".

    ``doubted`` is what ``doubt`` says; it is told where that is the reason.
    """
    seen = f"{events} event{'' if events == 1 else 's'} matched{' on the page' if on_page else ''}"
    of_key = "" if key is None else f" for {key}"
    if reason is None:
        return f"{policy.title}: {seen}{of_key}, and nothing spoke against acting."
    because = doubted if reason == "low_confidence" and doubted else _BECAUSE[reason]
    return f"{policy.title}: {seen}{of_key}, but it does not act because {because}."
