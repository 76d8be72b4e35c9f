"""What pages decided themselves, in the engine, in explain and in cases."""

from typing import Any

import msgspec
import pytest

from forestall.contracts.control import DecideSettings, SwitchesApplied
from forestall.contracts.decision import Decision
from forestall.contracts.edge import ToldDecision, decision_told
from forestall.contracts.instants import DAY, HOUR, SECOND
from forestall.decide.backtest import opening
from forestall.decide.case import record_case
from forestall.decide.engine import Engine
from forestall.decide.explain import explain
from forestall.decide.snapshot import decode_state, encode_state
from forestall.measure.assign import in_holdout
from forestall.policy.bundle import Bundle
from forestall.policy.language.model import Policy
from scenario import OPEN, START, decide, event, instant, on, records, told

VERSION = "ab" * 32
GOOD: dict[str, Any] = {
    "policy": "p",
    "version": VERSION,
    "at": START,
    "outcome": "intervene",
    "matched": [["test", "a@0"]],
}


def edge(when: str = "{event: a}", name: str = "p", **more: Any) -> Policy:
    """A policy that pages may decide too."""
    return on(when, name, **({"cooldown": "1h"} | more), edge=True)


def page(at: float, name: str = "p", happened: float | None = None, **more: Any) -> bytes:
    """A page tells at ``at`` what it decided then, or when it ``happened``."""
    data = GOOD | {
        "policy": name,
        "at": START + round((at if happened is None else happened) * SECOND),
    }
    known = {key: more.pop(key) for key in ("subject", "received") if key in more}
    return event(at, "forestall.edge.decided", data | more, event_id=f"told {name} {at}", **known)


def ledger_at(*lines: bytes, policy: Policy | None = None) -> list[int]:
    """The acts of guidance, in seconds since the start."""
    engine = Engine()
    for control in opening(Bundle(policies=(policy or edge(),)), OPEN):
        engine.control(control)
    engine.process(records(*lines))
    subject = engine.population.look("u")
    assert subject is not None
    assert subject.ledger is not None
    return [(act - START) // SECOND for act in subject.ledger.guidance_acts]


def test_what_a_page_decided_counts_and_the_server_does_not_act_again() -> None:
    made = decide(edge(), [page(0), event(0, "a")])
    assert told(made) == ["0 p intervene", "0 p cooldown"]
    first, second = made
    assert (first.edge, first.version, first.features, first.matched) == (
        True,
        VERSION,
        {},
        ("a@0",),
    )
    assert second.edge is msgspec.UNSET
    assert "1 event matched on the page" in first.explanation
    assert b'"edge":true' in msgspec.json.encode(first)
    assert b"edge" not in msgspec.json.encode(second)


def test_it_counts_for_budget_and_spacing_of_other_policies() -> None:
    other = on("{event: b}", "q")
    lines = [page(0), event(5, "b"), event(700, "b")]
    spaced = DecideSettings(spacing=600 * SECOND, budget=9)
    assert told(decide([edge(), other], lines, spaced))[1:] == ["5 q spacing", "700 q intervene"]
    spent = DecideSettings(spacing=0, budget=1)
    assert told(decide([edge(), other], lines, spent))[1:] == ["5 q budget", "700 q budget"]
    free = edge(budget_class="transactional")
    assert told(decide([free, other], lines, spent))[1] == "5 q intervene"


def test_fatigue_counts_from_it() -> None:
    dismissed = event(1, "forestall.intervention.dismissed", {"policy": "p"})
    lines = [page(0), dismissed, event(3601, "a"), event(7200, "a")]
    assert told(decide(edge(), lines))[1:] == ["3601 p fatigue", "7200 p intervene"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"policy": None},
        {"policy": "Nobody Knows"},
        {"version": "1"},
        {"at": "now"},
        {"at": -1},
        {"at": True},
        {"outcome": "suppress"},
        {"reason": "policy_holdout"},
        {"outcome": "holdout"},
        {"outcome": "holdout", "reason": "cooldown"},
        {"matched": []},
        {"matched": [["one"]]},
        {"matched": [["a", "b"]] * 65},
        {"key": 5},
    ],
)
def test_what_is_told_wrongly_changes_nothing(wrong: dict[str, Any]) -> None:
    assert decision_told(GOOD) == ToldDecision("p", VERSION, START, "intervene", (("test", "a@0"),))
    assert decision_told(GOOD | wrong) is None
    lines = [event(0, "forestall.edge.decided", GOOD | wrong), event(0, "a")]
    assert told(decide(edge(), lines)) == ["0 p intervene"]


@pytest.mark.parametrize("data", [None, [], "text", 5, {}])
def test_what_tells_nothing_changes_nothing(data: Any) -> None:
    lines = [event(0, "forestall.edge.decided", data), event(0, "a")]
    assert told(decide(edge(), lines)) == ["0 p intervene"]


def test_only_a_policy_that_pages_decide_is_heard_and_others_are_counted() -> None:
    plain = on("{event: a}", cooldown="1h")
    assert told(decide(plain, [page(0), event(0, "a")])) == ["0 p intervene"]
    engine = Engine()
    for control in opening(Bundle(policies=(plain,)), OPEN):
        engine.control(control)
    engine.process(records(page(0), page(1, "nobody"), page(2, version="soon")))
    assert engine.counters["control_ignored"] == 3


def test_nobody_forges_the_future_and_a_device_may_be_offline_for_a_day() -> None:
    assert ledger_at(page(10, happened=5)) == [5]
    assert ledger_at(page(10, happened=9999)) == [10]
    late = 2 * DAY // SECOND
    assert ledger_at(page(late, happened=late - 3600)) == [late - 3600]
    assert ledger_at(page(late, happened=0)) == [late - DAY // SECOND]
    assert ledger_at(page(0, received=late)) == [0], "its own time says when at the latest"


def test_what_is_heard_late_finds_its_place_among_the_acts() -> None:
    spent = DecideSettings(spacing=300 * SECOND, budget=9)
    others = [on("{event: b}", "q"), edge()]
    lines = [event(1000, "b"), page(1100, happened=50), event(1290, "b"), event(1300, "b")]
    assert told(decide(others, lines, spent)) == [
        "1000 q intervene", "50 p intervene", "1290 q spacing", "1300 q intervene",
    ]  # fmt: skip
    assert ledger_at(page(100), page(200, happened=50)) == [50, 100]


def test_the_same_moment_counts_once_whoever_saw_it_first() -> None:
    silence = edge("{sequence: [{event: a}, {not: b, for: 5s}]}")
    for happened in (5, 4.998, 5.002, 7):
        server_first = [event(0, "a"), event(9, "c"), page(9, happened=happened), event(10, "c")]
        assert told(decide(silence, server_first)) == ["5 p intervene"]
    another = [event(0, "a"), event(9, "c"), page(9, happened=7.001), event(10, "c")]
    assert len(decide(silence, another)) == 2, "further apart than the grace: another device's"
    page_first = [event(0, "a"), page(5), event(9, "c")]
    assert told(decide(silence, page_first)) == ["5 p intervene", "5 p cooldown"]
    assert ledger_at(page(3), page(4, happened=3)) == [3]


def test_it_is_never_late_and_told_twice_it_counts_once() -> None:
    lines = [page(0, received=9999), page(0, received=9999), event(9999, "c")]
    assert told(decide(edge(), lines)) == ["0 p intervene"]


def test_a_holdout_counts_where_the_customer_is_in_it() -> None:
    names = [f"u{number}" for number in range(50)]
    inside = next(one for one in names if in_holdout(":p", one, 0.5))
    outside = next(one for one in names if not in_holdout(":p", one, 0.5))
    policy = edge(holdout=0.5)
    kept: dict[str, Any] = {"outcome": "holdout", "reason": "policy_holdout"}
    for name, expected in ((inside, ["policy_holdout", "cooldown"]), (outside, ["intervene"])):
        lines = [page(0, subject=name, **kept), event(0, "a", subject=name)]
        assert [one.reason or one.outcome for one in decide(policy, lines)] == expected


def test_the_global_holdout_counts_for_budget_and_is_not_for_transactional_ones() -> None:
    kept: dict[str, Any] = {"outcome": "holdout", "reason": "global_holdout"}
    everybody = DecideSettings(spacing=0, budget=1, holdout=1.0)
    lines = [page(0, **kept), event(0, "a"), event(1, "b")]
    both = [edge(), on("{event: b}", "q")]
    assert told(decide(both, lines, everybody)) == [
        "0 p global_holdout", "0 p cooldown", "1 q budget",
    ]  # fmt: skip
    free = edge(budget_class="transactional")
    assert told(decide(free, lines, everybody)) == ["0 p intervene"]


def test_gates_do_not_stop_what_has_happened() -> None:
    """A page that was offline did not know; what the customer saw counts all the same."""
    lines = [event(0, "forestall.optout"), page(5), event(6, "a")]
    assert told(decide(edge(), lines)) == ["5 p intervene", "6 p opted_out"]
    off = SwitchesApplied(START - 1, ("p",), False, "test", "test")
    assert told(decide(edge(), [page(5), event(6, "a")], controls=[off])) == [
        "5 p intervene", "6 p killed",
    ]  # fmt: skip


def test_policies_may_also_watch_for_it_and_see_the_act() -> None:
    watching = on("{event: forestall.edge.decided}", "q")
    spaced = DecideSettings(spacing=10 * SECOND, budget=9)
    made = decide([edge(), watching], [page(0)], spaced)
    assert told(made) == ["0 p intervene", "0 q spacing"]


def test_other_keys_of_the_pattern_are_left_alone() -> None:
    policy = edge("{sequence: [{event: a, times: 2}], by: event.data.k}", cooldown="1s")
    k = {"k": 1}
    lines = [event(0, "a", k), page(1, key="2"), event(3, "a", k)]
    assert told(decide(policy, lines)) == ["1 p intervene 2", "3 p intervene 1"]


def test_a_restart_changes_nothing() -> None:
    lines = records(
        page(0), event(0, "a"), page(50, happened=49), event(3649, "a"), event(3650, "a")
    )
    controls = opening(Bundle(policies=(edge(),)), OPEN)
    engine = Engine()
    for control in controls:
        engine.control(control)
    whole: list[Decision] = [one for _, one in engine.process(lines[:1])]
    for record in lines[1:]:
        engine = Engine.restore(decode_state(encode_state(engine.snapshot())))
        whole += [one for _, one in engine.process([record])]
    assert told(whole)[0] == "0 p intervene"
    straight = Engine()
    for control in controls:
        straight.control(control)
    assert whole == [one for _, one in straight.process(lines)]


# -- explain and cases -----------------------------------------------------------------------------


def why(*lines: bytes, at: float = 99) -> Any:
    controls = opening(Bundle(policies=(edge(),)), OPEN)
    return explain(controls, records(*lines), "u", "p", START + round(at * SECOND))


def test_explain_tells_what_the_page_did_with_the_gates_as_they_stood() -> None:
    for happened in (0, -1):
        found = why(page(0, happened=happened), event(0, "a"))
        assert found.answer == "yes"
        assert found.decision is not None
        assert found.decision.edge is True
        assert [seen.id for seen in found.matched] == ["a@0"]
        assert not any(gate.refuses for gate in found.gates)


def test_explain_says_why_not_again() -> None:
    found = why(page(0), event(0, "a"), event(60, "a"))
    assert found.answer == "no"
    assert {gate.reason: gate.until for gate in found.gates if gate.refuses} == {
        "cooldown": instant(HOUR // SECOND)
    }
    assert found.counterfactual is not None
    assert found.counterfactual.certain
    assert found.counterfactual.acts_at == instant(3600)


def test_a_case_keeps_what_the_page_decided() -> None:
    bundle = Bundle(policies=(edge(),))
    history = records(page(10, happened=9), event(10, "a"), event(70, "a"))
    made = decide(edge(), [page(10, happened=9), event(10, "a"), event(70, "a")])
    between = (START, START + 99 * SECOND)
    found = record_case("offline", bundle, edge(), OPEN, history, between, made)
    assert [(one.at // SECOND, one.reason or one.outcome) for one in found.case.expect] == [
        (0, "intervene"), (1, "cooldown"), (61, "cooldown"),
    ]  # fmt: skip
    assert found.decided is None
    assert found.case.events[0].data["matched"] == [["test", "e"]]
