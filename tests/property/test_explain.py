"""What an explanation says would have to differ is applied, all of it, and the policy then acts."""

import json
import os
from typing import Any

import msgspec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from forestall.contracts.control import (
    Control,
    DecideSettings,
    ServiceState,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import DAY, HOUR, MINUTE, SECOND, parse_time
from forestall.decide.backtest import features_of, opening
from forestall.decide.case import decided as decided_until
from forestall.decide.engine import Engine
from forestall.decide.explain import Explanation, explain, text
from forestall.decide.explain.changes import (
    Add,
    Change,
    CloseTickets,
    Condition,
    Counterfactual,
    Fixed,
    GrantConsent,
    OptIn,
    RaiseBudget,
    SwitchOff,
    SwitchOn,
    Without,
)
from forestall.policy.bundle import Bundle
from forestall.policy.language.model import Policy
from property.pages import told_by_pages
from property.scenarios import Scenario, scenarios
from reference.comparing import put_in_force
from scenario import START, event, on, records

EXAMPLES = int(os.environ.get("FORESTALL_EXPLAIN_EXAMPLES", "150"))
steadily = settings(
    max_examples=EXAMPLES,
    suppress_health_check=list(HealthCheck),
)

WHENS = (
    "{event: e.a, where: event.data.x > 1}",
    "{event: [e.a, e.b]}",
    "{sequence: [{event: e.a, times: 2}], within: 6s}",
    "{sequence: [{event: e.a, times: 2}], within: 6s, by: event.data.k}",
    "{sequence: [{event: e.a}, {not: e.c}, {event: e.b, where: event.data.x == 2}], within: 9s}",
    "{sequence: [{event: e.a}, {event: e.b}]}",
    "{sequence: [{event: e.a, where: event.data.x >= 2}, {not: e.b, for: 3s}]}",
    "{sequence: [{event: e.a, times: 2}, {not: e.c, for: 2s}], by: event.data.k, within: 5s}",
    "{all: [{event: e.a}, {event: e.b}], within: 5s}",
    "{all: [{event: e.a}, {event: e.b, where: event.data.x < 2}], within: 5s, by: event.data.k}",
    "{event: e.c, where: event.data.x > 1 || event.data.k == 1}",
)
IFS = (
    *[None] * 6,
    "event.data.z < 3",
    "features.n >= 2",
    "features.n < 1 && event.data.z > 0",
    "subject.tier == 1",
    "service.pay == 'down' && features.n == 0",
    "event.data.z > 1 || subject.vip",
)
CONTROLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("forestall.optout", {}),
    ("forestall.optin", {}),
    ("forestall.consent.granted", {"purpose": "support"}),
    ("forestall.consent.withdrawn", {"purpose": "support"}),
    ("forestall.ticket.opened", {"ticket": "1"}),
    ("forestall.ticket.opened", {"ticket": "2"}),
    ("forestall.ticket.closed", {"ticket": "1"}),
    ("forestall.intervention.dismissed", {"policy": "p"}),
    ("forestall.intervention.dismissed", {"policy": "p", "never": True}),
    ("forestall.intervention.helped", {"policy": "p"}),
    ("forestall.identify", {"traits": {"tier": 2, "timezone": "Europe/Berlin"}}),
)


@st.composite
def some_policies(draw: st.DrawFn) -> list[Policy]:
    """The policy ``p`` in question and one that may come in its way."""
    more: dict[str, Any] = {"features": {"n": {"count": "e.f", "over": "20s"}}}
    condition = draw(st.sampled_from(IFS))
    if condition is not None:
        more["if"] = condition
    holdout = draw(st.integers(0, 9)) == 0
    if holdout:
        more["holdout"] = 1
    if draw(st.booleans()):
        more["in_conversation"] = "allow"
    cooldown = draw(st.sampled_from(["1s", "5s", "2h"]))
    mine = on(draw(st.sampled_from(WHENS)), "p", cooldown, **more)
    rival = {"priority": draw(st.sampled_from([10, 90]))}
    when = draw(st.sampled_from(WHENS[:10]))
    theirs = on(when, "q", draw(st.sampled_from(["0s", "4s", "1h"])), **rival)
    return [mine, theirs] if draw(st.booleans()) else [mine]


@st.composite
def some_settings(draw: st.DrawFn) -> DecideSettings:
    """Settings in which several gates may refuse at once."""
    tight = draw(st.booleans())
    return DecideSettings(
        grace=draw(st.sampled_from([0, 2 * SECOND])),
        budget=draw(st.sampled_from([0, 1, 2])) if tight else 1000,
        budget_window=draw(st.sampled_from([10 * SECOND, 4 * HOUR])),
        spacing=draw(st.sampled_from([0, 5 * SECOND, 10 * MINUTE])),
        holdout=draw(st.sampled_from([0.0] * 9 + [1.0])),
        quiet_hours=draw(st.sampled_from([None] * 3 + [(12 * 60, 13 * 60), (11 * 60, 8 * 60)])),
        require_consent=draw(st.integers(0, 5)) == 0,
    )


@st.composite
def some_history(draw: st.DrawFn) -> list[bytes]:
    """Events of one customer, some late to arrive, and what the customer says."""
    received, lines = 0.0, []
    for number in range(draw(st.integers(0, 14))):
        received += draw(st.sampled_from([0, 0.5, 1, 1, 2, 3, 7]))
        data: dict[str, Any]
        if draw(st.integers(0, 4)) == 0:
            kind, data = draw(st.sampled_from(CONTROLS))
        else:
            kind = draw(st.sampled_from(["e.a", "e.a", "e.a", "e.b", "e.b", "e.c", "e.f"]))
            small = st.sampled_from([1, 2, 3])
            data = {"x": draw(small), "k": draw(st.sampled_from([1, 2])), "z": draw(small)}
        at = received - draw(st.sampled_from([0, 0, 0, 1, 2.5]))
        lines.append(event(at, kind, data, received=received, event_id=str(number)))
    return lines


# -- applying ---------------------------------------------------------------------------------------


def applied(found: Counterfactual, controls: list[Control], past: list[Record]) -> list[Decision]:
    """Decide once more with every change."""
    changes = found.changes
    start = parse_time(found.start)
    acts_at = parse_time(found.acts_at or found.start)
    adds = [one for one in changes if isinstance(one, Add)]
    ask_time = min([start, acts_at, *(parse_time(one.after) for one in adds)])
    gone = {each for one in changes if isinstance(one, Without) for each in one.events}
    kept = [one for one in past[: found.kept] if one.id not in gone]
    asks: list[Record] = []
    conditions = [one for one in changes if isinstance(one, Condition)]
    wanted_data: dict[str, Any] = {}
    for one in conditions:
        match one.path:
            case ("event", "data", name):
                wanted_data[name] = {"<": 2, ">": 1}[one.operator]
            case ("subject", name):
                asks.append(made("forestall.identify", {"traits": {name: one.constant}}, ask_time))
            case ("features", "n") if one.operator in (">=", "=="):
                kept = [each for each in kept if one.operator != "==" or each.type != "e.f"]
                asks += [made("e.f", {}, ask_time) for _ in range(one.constant)]
            case ("features", "n"):
                kept = [each for each in kept if each.type != "e.f"]
    asks += [ask for one in changes for ask in asked(one, ask_time)]
    controls = [one for one in controls if one.received <= parse_time(found.as_of)]
    engine, decisions = decided(controls, kept)
    if len(kept) < found.kept - len(gone):  # fewer events than there were may have let it act then
        _, before = decided(controls, [one for one in past[: found.kept] if one.id not in gone])
        assume(outcomes(decisions) == outcomes(before))
    for control in deployed(changes, controls, start):
        engine.control(control)
    events = added(adds, past, wanted_data)
    several = [
        msgspec.structs.replace(one, received=max(start, one.time), id=f"{n}", source="what if")
        for n, one in enumerate([*asks, *events])
    ]
    decisions += [one for _, one in engine.process(several)]
    return decisions + engine.tick(max(start, acts_at) + DAY)


def decided(controls: list[Control], kept: list[Record]) -> tuple[Engine, list[Decision]]:
    engine = Engine()
    engine.keep(features_of(controls))
    for control in sorted(controls, key=lambda one: one.received):
        engine.control(control)
    return engine, [one for _, one in engine.process(kept)]


def outcomes(decisions: list[Decision]) -> list[tuple[str, str, str]]:
    return [(one.policy, one.at, one.outcome) for one in decisions]


def asked(change: Change, time: int) -> list[Record]:
    match change:
        case OptIn():
            return [made("forestall.optin", {}, time)]
        case GrantConsent(purpose):
            return [made("forestall.consent.granted", {"purpose": purpose}, time)]
        case CloseTickets(tickets):
            return [made("forestall.ticket.closed", {"ticket": one}, time) for one in tickets]
    return []


def deployed(changes: tuple[Change, ...], controls: list[Control], start: int) -> list[Control]:
    switches = [one for one in controls if isinstance(one, SwitchesApplied)]
    off = set(switches[-1].off) if switches else set()
    everything = bool(switches) and switches[-1].everything_off
    said: list[Control] = []
    for one in changes:
        match one:
            case SwitchOn(policy):
                off, everything = off - {policy}, False
            case SwitchOff(policies):
                off |= set(policies)
            case RaiseBudget(budget):
                (held,) = [each for each in controls if isinstance(each, SettingsApplied)]
                raised = msgspec.structs.replace(held.settings, budget=budget)
                said.append(SettingsApplied(start, raised, "", ""))
            case Condition(path=("service", name), constant=state):
                said.append(ServiceState(start, name, state))
    return [*said, SwitchesApplied(start, tuple(sorted(off)), everything, "", "")]


def added(adds: list[Add], past: list[Record], wanted: dict[str, Any]) -> list[Record]:
    by_id = {one.id: one for one in past}
    events = []
    for one in adds:
        for _ in range(one.count):
            like = None if one.like is None else by_id[one.like]
            data = dict(one.data or {}) if like is None else json.loads(bytes(like.data))
            kind = one.types[0] if like is None else like.type
            events.append((kind, data, parse_time(one.after)))
    if events:
        events[-1][1].update(wanted)
    return [made(*one) for one in events]


def made(kind: str, data: dict[str, Any], time: int) -> Record:
    return Record("", "", kind, "u", time, time, "server", msgspec.Raw(json.dumps(data).encode()))


def acts(found: Counterfactual, controls: list[Control], past: list[Record]) -> bool:
    return any(
        (one.policy, one.outcome, one.at) == ("p", "intervene", found.acts_at)
        and one.mode != "shadow"
        for one in applied(found, controls, past)
    )


# -- the properties ---------------------------------------------------------------------------------


def checked(found: Explanation, controls: list[Control], past: list[Record]) -> None:
    if found.answer == "yes":
        assert found.counterfactual is None
        return
    assert found.counterfactual is not None
    fixed = [one for one in found.counterfactual.changes if isinstance(one, Fixed)]
    assert found.counterfactual.certain != bool(fixed), found.counterfactual
    assert not any(one.reason in ("contradiction", "not_found") for one in fixed)
    if found.counterfactual.certain:
        assert acts(found.counterfactual, controls, past), found.counterfactual


@st.composite
def beside(draw: st.DrawFn, policies: list[Policy]) -> Control:
    """Other versions of the policy in question in shadow, or in canary for everybody or nobody."""
    other = draw(some_policies())[0]
    canary = [(other, draw(st.sampled_from([0.0, 1.0])))] if draw(st.booleans()) else []
    return put_in_force(START - SECOND, policies, canary, [draw(some_policies())[0]])


@steadily
@given(some_policies(), some_settings(), some_history(), st.data())
def test_the_whole_counterfactual_flips_the_decision(
    policies: list[Policy], base: DecideSettings, lines: list[bytes], data: st.DataObject
) -> None:
    controls: list[Control] = opening(Bundle(policies=tuple(policies)), base)
    if data.draw(st.integers(0, 5)) == 0:
        off = data.draw(st.sampled_from([("p",), ("q",), ()]))
        controls.append(SwitchesApplied(START, off, not off, "test", "test"))
    if data.draw(st.integers(0, 2)) == 0:
        controls.append(data.draw(beside(policies)))
    past = records(*lines)
    last = past[-1].received if past else START
    at = last + data.draw(st.sampled_from([0, SECOND, 10 * SECOND, -2 * SECOND]))
    found = explain(controls, past, "u", "p", at)
    seen = [record for record in past if record.received <= at]
    checked(found, controls, seen)
    assert text(found)


@steadily
@given(scenarios(most_events=14), st.data())
def test_any_policy_and_history_can_be_explained_as_it_was_decided(
    scenario: Scenario, data: st.DataObject
) -> None:
    lines = [json.dumps(line).encode() for line in scenario.events]
    past = records(*lines)
    at = data.draw(st.sampled_from(past)).received
    bundle = Bundle(policies=tuple(scenario.policies))
    controls = [*opening(bundle, scenario.settings), *scenario.controls]
    policy = data.draw(st.sampled_from(scenario.policies)).name
    own = [one for one in past if one.subject == "s1"]
    found = explain(controls, own, "s1", policy, at)
    assert text(found)
    engine = Engine()
    engine.keep(features_of(one for one in controls if one.received <= at))
    for control in sorted(controls, key=lambda one: one.received):
        engine.control(control)
    seen = [one for one in own if one.received <= at]
    mine: list[Decision] = []
    for record in [*seen, None]:
        made = [one for _, one in engine.process([record])] if record else engine.tick(at)
        program, _, _ = engine.standing("s1", policy, at)
        alone = program is None or program.mode == "shadow"
        mine += [one for one in made if one.policy == policy and (alone or one.mode != "shadow")]
    mine = [one for one in mine if parse_time(one.at) <= at]
    assert (found.decision is None) == (not mine)
    if found.decision is not None:
        assert found.decision in mine
        assert found.decision.at == mine[-1].at
        acted = any(one.at == mine[-1].at and one.outcome == "intervene" for one in mine)
        assert (found.answer == "yes") == acted
    if found.counterfactual is not None:
        fixed = [one for one in found.counterfactual.changes if isinstance(one, Fixed)]
        assert found.counterfactual.certain or fixed, found.counterfactual


@steadily
@given(told_by_pages(), st.data())
def test_what_pages_decided_can_be_explained(scenario: Scenario, data: st.DataObject) -> None:
    past = records(*(json.dumps(line).encode() for line in scenario.events))
    at = data.draw(st.sampled_from(past)).received
    bundle = Bundle(policies=tuple(scenario.policies))
    controls = [*opening(bundle, scenario.settings), *scenario.controls]
    policy = data.draw(st.sampled_from(scenario.policies)).name
    own = [one for one in past if one.subject == "s1"]
    found = explain(controls, own, "s1", policy, at)
    assert text(found)
    made = [one for one in decided_until(controls, own, 0, at) if one.policy == policy]
    if found.decision is not None:
        assert found.decision in made
        assert (found.answer == "yes") == (found.decision.outcome == "intervene")
        told = [one for one in found.gates if one.refuses] if found.answer == "yes" else []
        assert not told or found.decision.edge is True
    if found.counterfactual is not None:
        fixed = [one for one in found.counterfactual.changes if isinstance(one, Fixed)]
        assert found.counterfactual.certain or fixed, found.counterfactual
