"""Whole scenarios for the engine and the reference: policies, a history, settings and controls."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from forestall.contracts.control import (
    Control,
    DecideSettings,
    ServiceState,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.contracts.instants import SECOND, format_time, parse_time
from forestall.policy.language.model import Match, Policy, Step, When
from property.strategies import (
    NAMES,
    PLAYBOOK,
    STARTS,
    TYPES,
    Focus,
    alls,
    booleans,
    features,
    often,
    one_of,
    policies,
    sequences,
    settings,
    spans,
    streams,
    up_to,
)
from property.versions import asking, changed, models, sets
from reference.comparing import Scenario, put_in_force

__all__ = ["Scenario", "crowds", "journeys", "scenarios"]


true = st.just(True)
CONTROL_KINDS = ("policies", "sets", "sets", "settings", "switches", "service", "models")


@st.composite
def controls(
    draw: st.DrawFn, first: list[Policy], moments: list[int], base: DecideSettings, focus: Focus
) -> list[Control]:
    """Control records at, or near, the moments of the history, in order."""
    waits = [s.quiet_for for p in first for s in p.when.steps if s.quiet_for is not None]
    graces = [wait + base.grace + more for wait in waits for more in (0, 1)]
    offsets = [0, 0, 0, 1, -1, SECOND, *waits, *graces]
    near = st.builds(
        lambda moment, off: moment + off, st.sampled_from(moments), st.sampled_from(offsets)
    )
    made: list[Control] = []
    previous, known = first, {p.name: [p] for p in first}
    names = [p.name for p in first]
    if draw(booleans):
        made.append(draw(models(min(moments) - SECOND, names)))
    if draw(booleans):
        made.append(draw(sets(min(moments) - SECOND, known, focus)))
    for moment in sorted(draw(st.sets(near, max_size=6))):
        kind = draw(one_of(CONTROL_KINDS))
        if kind == "sets":
            made.append(draw(sets(moment, known, focus)))
        elif kind == "models":
            made.append(draw(models(moment, names)))
        elif kind == "policies":
            kept = [p for p in first if draw(up_to(5))]
            previous = [
                draw(st.sampled_from([p, *(q for q in previous if q.name == p.name)]))
                if draw(booleans)
                else draw(changed(p, focus))
                for p in kept
            ]
            made.append(put_in_force(moment, previous))
        elif kind == "settings":
            made.append(SettingsApplied(moment, draw(settings(base.grace)), "test", "test"))
        elif kind == "switches":
            off = draw(st.sets(st.sampled_from(names), max_size=2))
            everything = draw(often(False, true))
            made.append(SwitchesApplied(moment, tuple(sorted(off)), everything, "test", "test"))
        else:
            made.append(ServiceState(moment, "pay", draw(one_of(("down", "up", None)))))
    return made


JOURNEY = DecideSettings(lateness=300 * SECOND, grace=SECOND, budget=1000, spacing=0)


def _once(kind: str) -> Step:
    return Step(match=Match(types=(kind,)))


def _silence(kind: str, seconds: int) -> Step:
    return Step(match=Match(types=(kind,)), negative=True, quiet_for=seconds * SECOND)


FOCUSES: tuple[Focus, ...] = (
    *("anything", "anything", "patterns", "patterns"),
    *("features", "gates", "absences"),
)


@st.composite
def scenarios(draw: st.DrawFn, most_events: int = 24) -> Scenario:
    """One to four policies, a history of two subjects, settings and control records."""
    focus = draw(one_of(FOCUSES))
    names = NAMES[: draw(one_of((1, 2, 2, 3, 3, 4)))]
    some = [draw(asking(draw(policies(name, focus)))) for name in names]
    base = draw(settings(draw(spans(0, 1, 2))))
    events = draw(streams(draw(one_of(STARTS)), most_events, focus))
    moments = [parse_time(event.get("received") or event["time"]) for event in events]
    records = draw(st.one_of(st.just([]), controls(some, moments, base, focus)))
    return Scenario(some, events, base, records)


JOURNEY_WHENS = (
    When(kind="sequence", steps=(_once("e.a"), _once("e.b"))),
    When(kind="sequence", steps=(_once("e.a"), _once("e.a"), _once("e.b"))),
    When(kind="sequence", steps=(_once("e.a"), _silence("e.b", 3))),
    When(kind="sequence", steps=(_once("e.b"), _silence("e.a", 1))),
    When(kind="all", steps=(_once("e.a"), _once("e.b")), within=60 * SECOND),
)


@st.composite
def journeys(draw: st.DrawFn) -> Scenario:
    """One policy whose versions come and go in every mode, over slow patterns: what a subject has
    come to is kept, taken over or lost at every step of a share."""
    known = [
        Policy(name="p", title="p", owner="team", when=when, cooldown=0, playbook=PLAYBOOK)
        for when in draw(st.permutations(JOURNEY_WHENS))[:3]
    ]
    gaps = st.sampled_from([0, 1, 1, 2, 3])
    moment, events, records = STARTS[0], list[dict[str, Any]](), list[Control]()
    for number in range(draw(st.integers(6, 24))):
        moment += draw(gaps) * SECOND
        what = draw(st.sampled_from(["event", "event", "event", "set", "set", "salt"]))
        if what == "set":
            records.append(draw(sets(moment, {"p": known}, "patterns", new=False)))
            continue
        if what == "salt":
            salted = msgspec.structs.replace(JOURNEY, salt=draw(st.sampled_from(["", "salt"])))
            records.append(SettingsApplied(moment, salted, "test", "test"))
            continue
        events.append(
            {"id": str(number), "source": "/one", "type": draw(st.sampled_from(["e.a", "e.b"]))}
            | {"subject": draw(st.sampled_from(["s1", "s2", "s3"])), "specversion": "1.0"}
            | {"received": format_time(moment)}
            | {"time": format_time(moment - draw(st.sampled_from([0, 0, 2, 4, 6])) * SECOND)}
        )
    ends = {"id": "end", "source": "/one", "type": "e.c", "subject": "s1", "specversion": "1.0"}
    events.append(ends | {"time": format_time(moment + 60 * SECOND)})
    return Scenario(known[:1], events, JOURNEY, records)


@st.composite
def crowds(draw: st.DrawFn) -> Scenario:
    """A history with more keys than are kept, for patterns and features by key."""
    by = "event.data.k"
    flooded, other = draw(st.sampled_from([("e.a", "e.b"), ("e.b", "e.a")]))
    first, second = (Step(match=Match(types=(kind,))) for kind in (flooded, other))
    rest = draw(
        st.sampled_from(
            [
                (second,),
                (Step(match=Match(types=("e.c",)), negative=True), second),
                (Step(match=second.match, negative=True, quiet_for=2 * SECOND),),
                (second, Step(match=Match(types=("e.c",)), negative=True, quiet_for=2 * SECOND)),
            ]
        )
    )
    plain = [
        When(kind="sequence", steps=(first, *rest), by=by),
        When(kind="all", steps=(first, second), within=20 * SECOND, by=by),
        When(kind="event", steps=(second,)),
    ]
    when = draw(st.one_of(st.sampled_from(plain), st.sampled_from(plain), sequences(), alls()))
    if when.kind != "event":
        when = msgspec.structs.replace(when, by=by)
    watched = msgspec.structs.replace(draw(features()), by=by)
    if draw(st.booleans()):
        watched = msgspec.structs.replace(watched, match=first.match)
    watching = {"f": watched}
    policy = Policy(
        name="p",
        title="p",
        owner="team",
        features=watching,
        when=when,
        condition=draw(st.sampled_from([None, "features.f > 0"])),
        cooldown=SECOND,
        playbook=PLAYBOOK,
    )
    start = STARTS[0]
    events: list[dict[str, Any]] = []
    spread = draw(st.sampled_from([0, SECOND // 100]))
    for key in range(draw(st.integers(62, 67))):
        moment = format_time(start + key * spread)
        events.append(
            {"id": f"flood-{key}", "source": "/one", "type": flooded, "subject": "s1"}
            | {"time": moment, "data": {"k": key, "x": 1, "ok": True}, "specversion": "1.0"}
        )
    if draw(st.integers(0, 3)):  # what is suppressed leaves the other keys alone
        time = format_time(start)
        optout = {"id": "out", "source": "/one", "type": "forestall.optout", "subject": "s1"}
        events.append(optout | {"time": time, "specversion": "1.0"})
    tail = draw(streams(start + SECOND, 20))
    for event in tail:
        event["subject"] = "s1"
        if event["type"] in TYPES or draw(st.booleans()):
            event["type"] = draw(st.sampled_from([flooded, other, other, "e.c"]))
            near = st.sampled_from([0, 0, 1, 1, 2, 3, 63, 64, 66, 100, 101])
            event["data"] = {"k": draw(near), "x": draw(st.sampled_from([1, 2])), "ok": True}
        event["id"] = f"tail-{event['id']}"
    base = DecideSettings(grace=SECOND, budget=1000, spacing=0)
    return Scenario([policy], events + tail, base)
