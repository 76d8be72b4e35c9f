"""Cases for both engines: policies that a page can decide, what it knows of a person, histories of
one device, conditions over data, and templates.

A page's numbers pass through JavaScript before the server sees them, so ``as_sent`` makes of each
what would arrive.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import msgspec
from hypothesis import strategies as st

from forestall.contracts.control import DecideSettings
from forestall.contracts.instants import SECOND, format_time, parse_time
from forestall.measure.assign import in_holdout
from forestall.policy.edge import EdgePolicy, NotForPages, Offer, edge_policy, payload
from forestall.policy.language.canonical import version
from forestall.policy.language.model import Match, Policy
from property.strategies import NAMES, STARTS, Focus, policies, settings, spans, streams

SUBJECT = "s1"
DAY = date(2024, 1, 1)
FOCUSES: tuple[Focus, ...] = ("anything", "patterns", "features", "features", "gates", "absences")
SENT = frozenset(
    {
        "e.a", "e.b", "e.c", "forestall.identify", "forestall.consent.granted",
        "forestall.consent.withdrawn", "forestall.optout", "forestall.optin",
        "forestall.intervention.dismissed", "forestall.intervention.helped",
    }
)  # fmt: skip
"""What a page sends in these histories."""


def as_sent(value: Any) -> Any:
    """JSON as a page would send it: numbers are doubles, written in their shortest form."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        number = float(value)
        if abs(number) >= 1e21 or not number.is_integer():
            return number
        digits, _, exponent = repr(number).partition("e+")
        whole = digits.replace(".", "", 1)
        places = len(digits.split(".")[-1]) if "." in digits else 0
        return int(whole) * 10 ** (int(exponent) - places) if exponent else int(number)
    if isinstance(value, list):
        return [as_sent(one) for one in value]
    if isinstance(value, dict):
        return {name: as_sent(one) for name, one in value.items()}
    return value


# Policies that a page can decide.

_TIMES = re.compile(r"\bnow\b|event\.time|service")


def _of_pages(match: Match) -> Match:
    """The match without conditions and types that are the server's."""
    types = tuple(one for one in match.types if one in SENT) or ("e.a",)
    where = None if match.where is None or _TIMES.search(match.where) else match.where
    return Match(types=types, where=where)


def for_pages(policy: Policy) -> Policy:
    """The policy with what only a server knows left out."""
    when, features, condition = policy.when, policy.features, policy.condition
    steps = tuple(msgspec.structs.replace(step, match=_of_pages(step.match)) for step in when.steps)
    return msgspec.structs.replace(
        policy,
        when=msgspec.structs.replace(when, steps=steps),
        features={
            name: msgspec.structs.replace(one, match=_of_pages(one.match))
            for name, one in features.items()
        },
        condition=None if condition is None or _TIMES.search(condition) else condition,
        edge=True,
    )


def entry(policy: Policy) -> EdgePolicy:
    """The policy as the bundle has it."""
    return edge_policy(policy, version(policy), {}, DAY)


def compiles(policy: Policy) -> bool:
    """Whether a page can decide it."""
    try:
        entry(policy)
    except NotForPages:
        return False
    return True


# What is known of a person before.


@dataclass(frozen=True)
class Known:
    """What the server knows of the person when the history of the device starts; times of acts are
    microseconds before that."""

    traits: dict[str, Any] = field(default_factory=dict)
    consent: dict[str, bool] = field(default_factory=dict)
    opted_out: bool = False
    tickets: int = 0
    acts: tuple[tuple[str, int], ...] = ()
    dismissed: dict[str, tuple[int, bool]] = field(default_factory=dict)


known: st.SearchStrategy[Known] = st.builds(
    Known,
    traits=st.fixed_dictionaries(
        {},
        optional={
            "vip": st.sampled_from([True, False, None]),
            "tier": st.sampled_from([1, 2, 2.5, "gold"]),
            "timezone": st.sampled_from(["Europe/Berlin", "America/New_York", "Nowhere/Land"]),
        },
    ),
    consent=st.dictionaries(st.sampled_from(["support", "other"]), st.booleans()),
    opted_out=st.sampled_from([False] * 9 + [True]),
    tickets=st.sampled_from([0, 0, 0, 0, 1, 2]),
    acts=st.lists(
        st.tuples(st.sampled_from(NAMES), spans(1, 2, 3, 5, 60, 3600)), max_size=3, unique=True
    ).map(tuple),
    dismissed=st.dictionaries(
        st.sampled_from(NAMES),
        st.tuples(st.integers(1, 3), st.sampled_from([False, False, False, True])),
        max_size=2,
    ),
)


@dataclass(frozen=True)
class Device:
    """One person's device: policies, settings, doubles of the catalogue, what is known of them, and
    its events in order. They begin at ``start``."""

    policies: list[Policy]
    settings: DecideSettings
    numbers: dict[str, Any]
    known: Known
    events: list[dict[str, Any]]
    start: int

    def bundle(self) -> dict[str, Any]:
        """As the server signs it."""
        entries = tuple(entry(one) for one in self.policies)
        return payload(Offer(entries, {}, self.settings, self.numbers), self.start)

    def passed(self) -> dict[str, Any]:
        """The pass as the server would sign it at the start."""
        classes = {one.name: one.budget_class for one in self.policies}
        salt = self.settings.salt
        return {
            "subject": SUBJECT,
            "issued": 0,
            "traits": self.known.traits,
            "consent": self.known.consent,
            "opted_out": self.known.opted_out,
            "tickets": self.known.tickets,
            "holdout": {
                "global": in_holdout(salt, SUBJECT, self.settings.holdout),
                "policies": {
                    one.name: in_holdout(f"{salt}:{one.name}", SUBJECT, one.holdout)
                    for one in self.policies
                },
            },
            "acts": [[name, self.start - ago, classes[name]] for name, ago in self.acts()],
            "dismissed": self.known.dismissed,
        }

    def acts(self) -> list[tuple[str, int]]:
        """Acts before the start, oldest first, of policies that there are."""
        names = {one.name for one in self.policies}
        some = {ago: name for name, ago in self.known.acts if name in names}
        return [(name, ago) for ago, name in sorted(some.items(), reverse=True)]

    def before(self) -> list[dict[str, Any]]:
        """The same as events of the server."""
        if self.known == Known():
            return []
        told: list[tuple[int, str, dict[str, Any]]] = []
        early = 7200 * SECOND
        told.append((early, "forestall.identify", {"traits": self.known.traits}))
        for purpose, granted in self.known.consent.items():
            kind = "granted" if granted else "withdrawn"
            told.append((early, f"forestall.consent.{kind}", {"purpose": purpose}))
        if self.known.opted_out:
            told.append((early, "forestall.optout", {}))
        tickets = [{"ticket": str(ticket)} for ticket in range(self.known.tickets)]
        told.extend((early, "forestall.ticket.opened", ticket) for ticket in tickets)
        for name, (times, never) in self.known.dismissed.items():
            for time in range(times):
                said = {"policy": name, "never": never and time == 0}
                told.append((early, "forestall.intervention.dismissed", said))
        versions = {one.name: version(one) for one in self.policies}
        for name, ago in self.acts():
            decided: dict[str, Any] = {"policy": name, "version": versions[name]}
            decided["outcome"] = "intervene"
            decided |= {"at": self.start - ago, "matched": [["/before", "before"]]}
            told.append((ago, "forestall.edge.decided", decided))
        return [
            {
                "specversion": "1.0", "id": f"before-{number}", "source": "/before", "type": kind,
                "subject": SUBJECT, "time": format_time(self.start - ago),
                "received": format_time(self.start - ago), "data": data,
            }
            for number, (ago, kind, data) in enumerate(told)
        ]  # fmt: skip

    def happened(self) -> list[dict[str, Any]]:
        """The events as the page's engine takes them, and the time as it ends."""
        taken: list[dict[str, Any]] = [
            {
                "at": parse_time(one["received"]),
                "event": {name: one[name] for name in ("id", "source", "type", "origin", "data")},
            }
            for one in self.events
        ]
        return [*taken, {"at": taken[-1]["at"] - self.settings.grace}]


def _event(event: Mapping[str, Any], number: int, received: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": str(number),
        "source": "/web/device",
        "type": event["type"],
        "subject": SUBJECT,
        "time": format_time(received),
        "received": format_time(received),
        "origin": "browser",
        "data": as_sent(event.get("data") or {}),
    }


NUMBERS: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {}, {"e.a": {"x": True}}, {"e.a": {"*": True}, "e.b": {"k": {"b": True, "*": True}}}]
)


@st.composite
def devices(draw: st.DrawFn, most_events: int = 24) -> Device:
    """One to four policies, settings, a person, and what happens on their device."""
    focus = draw(st.sampled_from(FOCUSES))
    names = NAMES[: draw(st.sampled_from([1, 2, 2, 3, 3, 4]))]
    some = [for_pages(draw(policies(name, focus))) for name in names]
    base = draw(settings(draw(spans(0, 1, 2))))
    told = draw(streams(draw(st.sampled_from(STARTS)), most_events, focus))
    received, events = parse_time(told[0].get("received") or told[0]["time"]), []
    start = received
    for number, event in enumerate(told):
        received = max(received, parse_time(event.get("received") or event["time"]))
        if event["type"] in SENT:
            events.append(_event(event, number, received))
    events = events or [_event({"type": "e.a"}, 0, start)]
    start = parse_time(events[0]["received"])
    kept = [one for one in some if compiles(one)] or [for_pages(draw(policies("p", "patterns")))]
    # What the server heard before would be part of patterns over such events.
    told_of = any(one.startswith("forestall.") for policy in kept for one in _types(policy))
    who = draw(known) if draw(st.booleans()) and not told_of else Known()
    return Device(kept, base, draw(NUMBERS), who, events, start)


def _types(policy: Policy) -> list[str]:
    matches = [step.match for step in policy.when.steps]
    matches += [feature.match for feature in policy.features.values()]
    return [one for match in matches for one in match.types]
