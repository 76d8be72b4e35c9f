"""Which transitions something asked for comes to, who may ask, and what is missing. Pure.

``plan`` is the heart: it gives every transition of an ``Ask``, or says why there is none. Whatever
it gives keeps at most one version of a name in shadow, in canary and live.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from forestall.contracts.instants import MINUTE, format_time
from forestall.contracts.refusals import RoleMissing
from forestall.policy.lifecycle import (
    AUTHOR,
    EFFECTS,
    MODES,
    OPERATOR,
    PUBLISHER,
    ROLLED_BACK,
    STATES,
    Actor,
    Ask,
    Change,
    ConditionsMissing,
    Finding,
    Kind,
    NoSuchTransition,
    Place,
    Risk,
    Rules,
    Standing,
    State,
    content_hash,
)

_RANK: Final = {state: rank for rank, state in enumerate(STATES)}
_LONG: Final = STATES[:-1]
_SHORT: Final[tuple[State, ...]] = ("draft", "validated", "live")


class Known(msgspec.Struct, frozen=True):
    """What has to be known of the version that is asked about: which version of its name was put
    last (``newest``), and the newest findings about it by what they are about. ``risks`` are those
    of everything that has effects in the set that a switch is about."""

    newest: str = ""
    risk: Risk = "low"
    findings: Mapping[str, Finding] = {}
    risks: tuple[Risk, ...] = ()


# -- ways --------------------------------------------------------------------------------------


def way(kind: Kind, rules: Rules, *, resting: bool = False) -> tuple[State, ...]:
    """The states on the way to live. A resting set decides nothing, so there is neither shadow nor
    canary in it."""
    out = rules.skip | ({"shadow", "canary"} if resting else set())
    whole = _LONG if kind in ("policy", "model") else _SHORT
    return tuple(state for state in whole if state not in out)


def next_state(kind: Kind, state: State, rules: Rules, *, resting: bool = False) -> State | None:
    """Where something in ``state`` goes next; none from live. What is retired begins anew."""
    if state == "retired":
        return "draft"
    later = (one for one in way(kind, rules, resting=resting) if _RANK[one] > _RANK[state])
    return next(later, None)


def demoted(kind: Kind, state: State, rules: Rules, *, resting: bool = False) -> State | None:
    """The nearest earlier state without effects; none before draft."""
    earlier = [
        one
        for one in way(kind, rules, resting=resting)
        if _RANK[one] < _RANK[state] and one not in EFFECTS
    ]
    return earlier[-1] if earlier and state != "retired" else None


def _possible(kind: Kind, before: State | None, rules: Rules, resting: bool) -> list[State]:
    """Where something can be moved from ``before``, none being nowhere."""
    if before is None:
        return ["draft"]
    later = next_state(kind, before, rules, resting=resting)
    states: list[State] = [] if later is None else [later]
    if before == "retired":
        return states
    steps = way(kind, rules, resting=resting)
    states += [one for one in steps if _RANK[one] < _RANK[before] and one not in EFFECTS]
    if before == "canary":
        states.append("canary")
    return [*states, "retired"]


# -- who ---------------------------------------------------------------------------------------


def roles(ask: Ask, standing: Standing) -> tuple[str, ...]:
    """Any one of these roles gives the right to ask."""
    if _resumes(ask, standing):
        return (PUBLISHER,)
    if ask.what == "rollback" or returns(ask, standing):
        return OPERATOR, PUBLISHER
    if ask.what == "switch" or ask.after == "retired" or ask.after in EFFECTS:
        return (PUBLISHER,)
    before = _before(ask, standing)
    if before is None or before == "retired" or _RANK[ask.after] > _RANK[before]:
        return (AUTHOR,)
    return (OPERATOR, PUBLISHER) if before in EFFECTS else (AUTHOR, OPERATOR, PUBLISHER)


def check_rights(ask: Ask, standing: Standing, actor: Actor) -> None:
    """Raises ``RoleMissing`` unless ``actor`` may ask that."""
    if actor.machine:
        before = _before(ask, standing)
        ends = ask.what == "rollback" or (ask.what == "move" and before == "canary")
        if not ends:
            raise RoleMissing(f"{actor.name}: only people decide this")
        return
    wanted = roles(ask, standing)
    if not set(wanted) & set(actor.roles):
        named = " or ".join(repr(role) for role in wanted)
        raise RoleMissing(
            f"{actor.name} does not have the role {named}; [people.{actor.name}] roles gives it"
        )


def needs_second(ask: Ask, standing: Standing, known: Known) -> bool:
    """Whether a second person has to agree: above low risk, where effects begin or grow."""
    if ask.what == "rollback":
        risky = known.risk != "low" and ask.set == standing.active
        return risky and _resumes(ask, standing)
    if returns(ask, standing):
        return False
    if ask.what == "switch":
        return any(risk != "low" for risk in known.risks)
    if known.risk == "low" or ask.set != standing.active or ask.after not in EFFECTS:
        return False
    place = _place(ask, standing)
    grown = place is not None and place.state == "canary" and ask.share <= place.upto
    return ask.after == "live" or not grown


def returns(ask: Ask, standing: Standing) -> bool:
    """Whether a switch goes back to a set that is as it was when it was left."""
    return ask.what == "switch" and standing.left.get(ask.set) == content_hash(standing, ask.set)


def before_live(ask: Ask, standing: Standing) -> str | None:
    """The version that was live before the newest one that was; none if there was none."""
    lives = standing.lives.get((ask.set, ask.kind, ask.name), ())
    return lives[-2] if len(lives) > 1 else None


def _resumes(ask: Ask, standing: Standing) -> bool:
    """Whether a rollback begins effects where there are none: nothing to take back is in force."""
    if ask.what != "rollback" or before_live(ask, standing) is None:
        return False
    return not any(standing.version_in(one, ask.set, ask.kind, ask.name) for one in EFFECTS)


def binding(ask: Ask, standing: Standing, known: Known) -> str:
    """Lower-case hex SHA-256 of all that a second person agrees to. It changes with any byte of
    the version, anything new found out about it or written beside it, any transition of its name,
    and any version put after it."""
    if ask.what == "switch":
        around: object = [content_hash(standing, "blue"), content_hash(standing, "green")]
    else:
        around = [known.newest, standing.places.get((ask.set, ask.kind, ask.name), {})]
    found = {what: one.evidence for what, one in known.findings.items()}
    said = [ask, standing.active, known.risk, around, found]
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


# -- what --------------------------------------------------------------------------------------


def plan(ask: Ask, standing: Standing, known: Known, rules: Rules, now: int) -> tuple[Change, ...]:
    """The transitions that ``ask`` comes to at wall time ``now``, in order.

    Raises ``NoSuchTransition`` and ``ConditionsMissing``.
    """
    match ask.what:
        case "move":
            return _move(ask, standing, known, rules, now)
        case "rollback":
            return _rollback(ask, standing, rules)
        case "switch":
            return _switch(ask, standing)


def _move(ask: Ask, standing: Standing, known: Known, rules: Rules, now: int) -> tuple[Change, ...]:
    place, before = _place(ask, standing), _before(ask, standing)
    resting = ask.set != standing.active
    possible = _possible(ask.kind, before, rules, resting)
    if ask.after not in possible:
        stands = "is not in this set yet" if before is None else f"is {before}"
        raise NoSuchTransition(f"{_named(ask)} {stands}; it can go to {', '.join(possible)}")
    if ask.after == "canary" and not 0 < ask.share <= 1:
        raise NoSuchTransition(f"{_named(ask)}: a canary's share is above 0 and at most 1")
    missing = conditions(ask, place, known.findings, rules, now)
    if missing:
        raise ConditionsMissing(_named(ask), missing)
    return (*_replaced(ask, standing), _entered(ask, place))


def conditions(
    ask: Ask, place: Place | None, findings: Mapping[str, Finding], rules: Rules, now: int
) -> list[str]:
    """What a move on the way to live still waits for, in words."""
    before = None if place is None else place.state
    if place is None or ask.after in ("draft", "retired") or _RANK[ask.after] < _RANK[place.state]:
        return []
    missing = []
    if ask.after == "validated" and not _sound(findings.get("validated")):
        missing.append("checks and tests that pass; `forestall apply` runs them")
    if ask.after == "backtested":
        missing += _backtested(ask.kind, findings.get("backtested"), rules)
    if before == "shadow" and now - place.since < rules.shadow:
        left = -(-(rules.shadow - now + place.since) // MINUTE)
        since = format_time(place.since)[:16]
        missing.append(f"{left} more minutes in shadow, where it is since {since}Z")
    if before == "canary" and ask.after == "live":
        missing += _passed(findings.get("canary"), place)
    return missing


def _sound(found: Finding | None) -> bool:
    return found is not None and all(
        found.evidence.get(one, 0) == 0 for one in ("errors", "failed")
    )


def _backtested(kind: Kind, found: Finding | None, rules: Rules) -> list[str]:
    if kind == "model":
        useful = found is not None and found.evidence.get("useful") is True
        return [] if useful else ["an evaluation that finds it useful; `forestall model` makes one"]
    events = 0 if found is None else int(found.evidence.get("events", 0))
    if found is not None and events >= rules.backtest_events:
        return []
    return [
        f"a backtest over at least {rules.backtest_events:,} events, the newest has {events:,};"
        " `forestall apply` makes one"
    ]


def _passed(found: Finding | None, place: Place) -> list[str]:
    if found is None or found.at < place.since:
        return [f"the canary's verdict at its share of {place.share:.3g}"]
    verdict = found.evidence.get("verdict")
    if verdict != "pass":
        return [f"the canary's verdict `pass`; it is `{verdict}`"]
    return [] if found.evidence.get("last") is True else ["the canary's last step"]


def _entered(ask: Ask, place: Place | None) -> Change:
    canary = ask.after == "canary"
    agreed = place.upto if place is not None and place.state == "canary" else 0.0
    return Change(
        artifact=ask.kind,
        name=ask.name,
        version=ask.version,
        before="" if place is None else place.state,
        after=ask.after,
        share=ask.share if canary else 1.0,
        evidence={"upto": max(ask.upto, ask.share, agreed)} if canary else {},
    )


def _replaced(ask: Ask, standing: Standing) -> list[Change]:
    """Other versions that stand where this one comes: each state with a mode holds one."""
    others = standing.places.get((ask.set, ask.kind, ask.name), {})
    return [
        _change(ask, version, place.state, "retired", f"replaced by {ask.version[:8]}")
        for version, place in others.items()
        if version != ask.version and place.state == ask.after and ask.after in MODES
    ]


def _rollback(ask: Ask, standing: Standing, rules: Rules) -> tuple[Change, ...]:
    """A canary ends; without one the version that was live before is live again."""
    resting = ask.set != standing.active
    below = demoted(ask.kind, "shadow", rules, resting=resting) or "draft"
    canary = standing.version_in("canary", ask.set, ask.kind, ask.name)
    if canary is not None:
        return (_change(ask, canary, "canary", below),)
    back = before_live(ask, standing)
    if back is None:
        raise NoSuchTransition(
            f"no other version of {ask.kind} `{ask.name}` was live before; `forestall demote` and"
            " `forestall retire` take it out of force"
        )
    now = standing.version_in("live", ask.set, ask.kind, ask.name)
    place = standing.places[ask.set, ask.kind, ask.name][back]
    leaving = [] if now is None else [_change(ask, now, "live", below)]
    last = standing.lives[ask.set, ask.kind, ask.name][-1]
    again = _change(ask, back, place.state, "live")
    return (*leaving, msgspec.structs.replace(again, evidence={ROLLED_BACK: last}))


def _switch(ask: Ask, standing: Standing) -> tuple[Change, ...]:
    if ask.set == standing.active:
        raise NoSuchTransition(f"the set {ask.set} is active already")
    if not any(held.mode == "live" for held in standing.in_force(ask.set)):
        raise ConditionsMissing(
            f"The set {ask.set}", [f"something live in it; `forestall apply --set {ask.set}`"]
        )
    return (
        Change(
            artifact="set",
            name=ask.set,
            version=content_hash(standing, ask.set),
            before=standing.active,
            after=ask.set,
        ),
    )


def _change(ask: Ask, version: str, before: str, after: str, why: str | None = None) -> Change:
    return Change(
        artifact=ask.kind, name=ask.name, version=version, before=before, after=after, why=why
    )


def _place(ask: Ask, standing: Standing) -> Place | None:
    return standing.place(ask.set, ask.kind, ask.name, ask.version)


def _before(ask: Ask, standing: Standing) -> State | None:
    place = _place(ask, standing)
    return None if place is None else place.state


def _named(ask: Ask) -> str:
    return f"{ask.kind} `{ask.name}` {ask.version[:8]}"
