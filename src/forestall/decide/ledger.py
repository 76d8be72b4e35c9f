"""Control events of a subject: what each does to its traits and ledger (section 6). Pure.

``EFFECTS`` names every control event. An effect gives false when the event lacks its field; then
it changes nothing and is counted.
"""

from collections.abc import Callable
from typing import Any

from forestall.contracts.edge import DECIDED, decision_told
from forestall.contracts.instants import parse_time
from forestall.decide.gates import Ledger, PolicyLedger, Standing

Effect = Callable[[Ledger, dict[str, Any], int], bool]
"""Takes the ledger, the event's data and its time (cut to ``received``)."""


def later(old: Standing | None, new: Standing, *, strict: bool) -> Standing:
    """Of two standings the one with the later time; at equal times the one that says ``strict``."""
    if old is None or new.time > old.time or (new.time == old.time and new.yes is strict):
        return new
    return old


def _identify(ledger: Ledger, data: dict[str, Any], _time: int) -> bool:
    given = data.get("traits")
    if not isinstance(given, dict):
        return False
    ledger.traits = {**ledger.traits, **given}
    return True


def _consent(*, granted: bool) -> Effect:
    def effect(ledger: Ledger, data: dict[str, Any], time: int) -> bool:
        purpose = data.get("purpose")
        if not isinstance(purpose, str):
            return False
        standing = Standing(time, granted)
        ledger.consents[purpose] = later(ledger.consents.get(purpose), standing, strict=False)
        return True

    return effect


def _optout(*, out: bool) -> Effect:
    def effect(ledger: Ledger, _data: dict[str, Any], time: int) -> bool:
        ledger.optout = later(ledger.optout, Standing(time, out), strict=True)
        return True

    return effect


def _ticket(*, opened: bool) -> Effect:
    def effect(ledger: Ledger, data: dict[str, Any], _time: int) -> bool:
        ticket = data.get("ticket")
        if isinstance(ticket, bool) or not isinstance(ticket, str | int):
            return False
        if opened:
            ledger.tickets.add(str(ticket))
        else:
            ledger.tickets.discard(str(ticket))
        return True

    return effect


def _own(ledger: Ledger, data: dict[str, Any]) -> PolicyLedger | None:
    policy = data.get("policy")
    return ledger.policies.setdefault(policy, PolicyLedger()) if isinstance(policy, str) else None


def _dismissed(ledger: Ledger, data: dict[str, Any], _time: int) -> bool:
    own = _own(ledger, data)
    if own is None:
        return False
    own.dismissals += 1
    own.never = own.never or data.get("never") is True
    return True


def _helped(ledger: Ledger, data: dict[str, Any], _time: int) -> bool:
    own = _own(ledger, data)
    if own is None:
        return False
    own.dismissals = 0
    return True


def _alias(ledger: Ledger, data: dict[str, Any], _time: int) -> bool:
    """Joins what another pseudonym of the same person amounts to; the stricter always stands."""
    try:
        carried = _carried(data)
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
    if carried.optout is not None:
        ledger.optout = _stricter(ledger.optout, carried.optout, strict=True)
    for purpose, standing in carried.consents.items():
        held = ledger.consents.get(purpose)
        ledger.consents[purpose] = _stricter(held, standing, strict=False)
    for name, theirs in carried.policies.items():
        own = ledger.policies.setdefault(name, PolicyLedger())
        own.dismissals += theirs.dismissals
        own.never = own.never or theirs.never
        own.last_act = max(
            (act for act in (own.last_act, theirs.last_act) if act is not None), default=None
        )
    ledger.guidance_acts = sorted([*ledger.guidance_acts, *carried.guidance_acts])
    return True


def _carried(data: dict[str, Any]) -> Ledger:
    optout = data.get("optout")
    policies = {
        name: PolicyLedger(None, int(entry["count"]), entry.get("never") is True)
        for name, entry in data.get("dismissals", {}).items()
    }
    for name, acts in data.get("acts", {}).items():
        if acts:
            own = policies.setdefault(name, PolicyLedger())
            own.last_act = max(parse_time(act) for act in acts)
    return Ledger(
        optout=Standing(parse_time(optout["time"]), optout["out"] is True) if optout else None,
        consents={
            purpose: Standing(parse_time(entry["time"]), entry["granted"] is True)
            for purpose, entry in data.get("consent", {}).items()
        },
        policies=policies,
        guidance_acts=[parse_time(act) for act in data.get("guidance_acts", [])],
    )


def _stricter(held: Standing | None, carried: Standing, *, strict: bool) -> Standing:
    if held is None or (carried.yes is strict and held.yes is not strict):
        return carried
    if held.yes is carried.yes:
        return Standing(max(held.time, carried.time), held.yes)
    return held


def _decided_on_a_page(_ledger: Ledger, data: dict[str, Any], _time: int) -> bool:
    """What it does depends on what is in force, so ``decide.edge`` does it."""
    return decision_told(data) is not None


EFFECTS: dict[str, Effect] = {
    "forestall.identify": _identify,
    "forestall.consent.granted": _consent(granted=True),
    "forestall.consent.withdrawn": _consent(granted=False),
    "forestall.optout": _optout(out=True),
    "forestall.optin": _optout(out=False),
    "forestall.ticket.opened": _ticket(opened=True),
    "forestall.ticket.reopened": _ticket(opened=True),
    "forestall.ticket.closed": _ticket(opened=False),
    "forestall.intervention.dismissed": _dismissed,
    "forestall.intervention.helped": _helped,
    "forestall.alias": _alias,
    DECIDED: _decided_on_a_page,
}
