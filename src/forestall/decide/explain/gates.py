"""What each gate said to a candidate, and from when on it lets one pass by itself. Pure."""

import msgspec

from forestall.contracts.decision import Reason
from forestall.contracts.instants import MINUTE, format_time
from forestall.decide.gates import GATES, Circumstances, fatigue_wait

_REMEDIES: dict[Reason, str] = {
    "killed": "the policy, and everything, is switched on",
    "opted_out": "the customer opts in",
    "in_conversation": "the customer's tickets are closed",
    "fatigue": "the customer had not said never",
    "budget": "the budget of guidance is above 0",
}
_TWO_DAYS = 2 * 1440

AGAINST = 3
"""How many of the features that spoke most against a probability are named."""


class Gate(msgspec.Struct, frozen=True):
    """What one gate says; ``until`` is when it lets pass again by itself, if it does (RFC 3339)."""

    reason: Reason
    refuses: bool
    until: str | None
    remedy: str | None


def gates(now: Circumstances) -> tuple[Gate, ...]:
    """Every gate's answer, in order."""
    return tuple(
        _gate(reason, now) if refuses(now) else Gate(reason, False, None, None)
        for reason, refuses in GATES
    )


def refusals(now: Circumstances) -> list[tuple[Reason, int | None]]:
    """The gates that refuse, in order, each with its end where that is known."""
    return [(reason, ends(reason, now)) for reason, refuses in GATES if refuses(now)]


def _gate(reason: Reason, now: Circumstances) -> Gate:
    end = ends(reason, now)
    moment = None if end is None else format_time(end)
    if moment is not None:
        remedy = f"the moment is {moment} or later"
    elif reason == "no_consent":
        remedy = f"the customer consents to {now.policy.purpose!r}"
    elif reason == "low_confidence":
        remedy = confident(now)
    else:
        remedy = _REMEDIES[reason]
    return Gate(reason, True, moment, remedy)


def confident(now: Circumstances, *, past: bool = False) -> str:
    """What would let gate 10 pass, as a clause; in the ``past``, to follow "would have acted if"."""
    asked, judging = now.policy.model, now.judging
    if judging is None:
        name = "" if asked is None else asked.name
        return f"a model called `{name}` {'had been' if past else 'is'} in force"
    against = sorted((value, name) for name, value in judging.contributions.items() if value < 0)
    most = ", ".join(f"{name} {value:+.2f}" for value, name in against[:AGAINST])
    spoke = f"; most against it: {most}" if most else ""
    gives = "had given" if past else "gives"
    return (
        f"`{judging.model}` {gives} at least {now.threshold:g} "
        f"(it gave {judging.probability:g}{spoke})"
    )


def ends(reason: Reason, now: Circumstances) -> int | None:
    """When the gate, which refuses now, lets pass if nothing happens; none where time is no help."""
    own = now.ledger.policies.get(now.policy.name)
    acts = [act for act in now.ledger.guidance_acts if act <= now.at]
    match reason:
        case "cooldown" if own is not None and own.last_act is not None:
            return own.last_act + now.policy.cooldown
        case "fatigue" if own is not None and own.last_act is not None and not own.never:
            return own.last_act + fatigue_wait(now.policy, own)
        case "budget" if 0 < now.settings.budget <= len(acts):
            return acts[-now.settings.budget] + now.settings.budget_window
        case "spacing":
            return now.ledger.guidance_acts[-1] + now.settings.spacing
        case "quiet_hours":
            return _quiet_until(now)
    return None


def _quiet_until(now: Circumstances) -> int | None:
    """The first full minute outside quiet hours; asking the gate itself, the clocks may change."""
    quiet = dict(GATES)["quiet_hours"]
    minute = now.at - now.at % MINUTE
    return next(
        (
            moment
            for moment in range(minute + MINUTE, minute + _TWO_DAYS * MINUTE, MINUTE)
            if not quiet(msgspec.structs.replace(now, at=moment))
        ),
        None,
    )
