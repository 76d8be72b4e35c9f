"""Scenarios in which pages decide too: some policies may, and histories tell what pages did."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from forestall.contracts.control import Control, PoliciesApplied, PolicyInForce
from forestall.contracts.instants import SECOND, format_time, parse_time
from forestall.policy.bundle import policy_of
from forestall.policy.language.canonical import canonical, version
from forestall.policy.language.model import Policy
from property.scenarios import scenarios
from property.strategies import NAMES, often
from reference.comparing import Scenario

VERSIONS = ("0" * 64, "f" * 64)
AGO = (0, 0, 0, 1, 1, 2, 3, 5, -1, 3600, 86_400, 86_400 * 3)
MISTOLD: tuple[dict[str, Any], ...] = (
    {"policy": 7},
    {"policy": "No such name"},
    {"version": "v1"},
    {"at": "now"},
    {"at": -1},
    {"at": 1.5},
    {"outcome": "suppress"},
    {"outcome": "intervene", "reason": "policy_holdout"},
    {"outcome": "holdout", "reason": None},
    {"key": 1},
    {"matched": []},
)

WRONG = often(None, often(None, st.integers(0, len(MISTOLD) - 1)))


def decided_on_pages(policy: Policy) -> Policy:
    """The policy as one that pages may decide too; one that asks a model may not."""
    return policy if policy.model else msgspec.structs.replace(policy, edge=True)


def _opened(control: Control, names: set[str]) -> Control:
    if not isinstance(control, PoliciesApplied):
        return control
    entries = []
    for one in control.policies:
        policy = policy_of(one)
        if one.name in names:
            policy = decided_on_pages(policy)
        entries.append(
            PolicyInForce(
                one.name, version(policy), msgspec.Raw(canonical(policy)), one.mode, one.share
            )
        )
    return msgspec.structs.replace(control, policies=tuple(entries))


@st.composite
def tellings(draw: st.DrawFn, before: dict[str, Any], number: int) -> dict[str, Any]:
    """What a page tells in front of the event ``before``: mostly as it should be."""
    moment = parse_time(before.get("time") or before["received"])
    data: dict[str, Any] = {
        "policy": draw(st.sampled_from(["p", *NAMES])),
        "version": draw(st.sampled_from(VERSIONS)),
        "key": draw(st.sampled_from([None, "1", '"o"'])),
        "at": max(0, moment - draw(st.sampled_from(AGO)) * SECOND),
        "outcome": "intervene",
        "matched": [[before["source"], before["id"]]],
    }
    kept = draw(st.sampled_from([None, None, None, "policy_holdout", "global_holdout"]))
    if kept:
        data |= {"outcome": "holdout", "reason": kept}
    wrong = draw(WRONG)
    if wrong is not None:
        data |= MISTOLD[wrong]
    told = {"id": f"told-{number}", "type": "forestall.edge.decided", "data": data}
    told["time"] = format_time(moment - draw(st.sampled_from([0, 0, 0, 1, 600])) * SECOND)
    return before | told


@st.composite
def told_by_pages(draw: st.DrawFn) -> Scenario:
    """A scenario some of whose policies pages decide too, and did."""
    scenario = draw(scenarios())
    names = {one.name for one in scenario.policies if draw(st.integers(0, 3))}
    policies = [decided_on_pages(one) if one.name in names else one for one in scenario.policies]
    controls = [_opened(control, names) for control in scenario.controls]
    events: list[dict[str, Any]] = []
    for number, event in enumerate(scenario.events):
        if draw(st.integers(0, 2)) == 0:
            events.append(draw(tellings(event, number)))
        events.append(event)
    return Scenario(policies, events, scenario.settings, controls)
