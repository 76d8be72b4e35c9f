"""The functions written for event types where they take a short way: data read in part, fields that
are missing, expressions that are shared, loops, many policies on one type."""

from typing import Any

import msgspec
import pytest

from forestall.contracts.control import PoliciesApplied
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND
from forestall.decide.backtest import opening
from forestall.decide.engine import Engine
from forestall.decide.plan import Plan, Take
from forestall.decide.specialise import specialise
from forestall.policy.bundle import Bundle
from forestall.policy.language.compile import Program
from forestall.policy.language.model import Policy
from scenario import OPEN, START, event, on, policy, records


def engine(*policies: Policy, numbers: dict[str, Any] | None = None) -> Engine:
    made = Engine(OPEN)
    for control in opening(Bundle(policies=policies), OPEN):
        if isinstance(control, PoliciesApplied):
            control = msgspec.structs.replace(control, numbers=numbers or {})
        made.control(control)
    return made


def raw(number: int, data: bytes, event_type: str = "a") -> Record:
    at = START + number * SECOND
    return Record(f"e{number}", "s", event_type, "u", at, at, data=msgspec.Raw(data))


def matched(made: Engine, *data: bytes) -> list[str]:
    """Ids of the events decided on; one event a second."""
    taken = [raw(number, text) for number, text in enumerate(data)]
    return [ref for _, one in made.process(taken) for ref in one.matched]


BIG = on("{event: a, where: event.data.n > 1}")


@pytest.mark.parametrize(
    ("data", "decided", "errors"),
    [
        (b'{"n":2}', True, 0),
        (b'{"n":1}', False, 0),
        (b'{"m":[{"n":2}],"n":2,"o":{"n":0}}', True, 0),
        (b'{"n":0,"n":2}', True, 0),
        (b'{"\\u006e":2}', True, 0),
        (b'{"n":2,"big":1e999}', True, 0),
        (b'{"n":1e999}', True, 0),
        (b'{"n":2,"long":' + b"9" * 4200 + b"}", True, 0),
        (b'{"n":2,"long":' + b"9" * 4400 + b"}", False, 1),
        (b'{"m":2}', False, 1),
        (b'{"n":"2"}', False, 1),
        (b'{"n":true}', False, 1),
        (b'{"n":2', False, 1),
        (b"null", False, 1),
        (b"[2]", False, 1),
    ],
)
def test_a_field_is_read_as_from_the_whole_data(data: bytes, decided: bool, errors: int) -> None:
    made = engine(BIG)
    assert bool(matched(made, data)) is decided
    assert made.counters["expression_errors"] == errors


@pytest.mark.parametrize(
    ("where", "decided"),
    [
        ("has(event.data.n)", True),
        ("!has(event.data.missing)", True),
        ("event.data.missing == 1 || event.data.n == 2", True),
        ("event.data.n == 2 || event.data.missing == 1", True),
        ("event.data.missing == 1 && event.data.n == 2", False),
        ("event.data.items.exists(x, x.price > 3.0)", True),
        ("[1, 2].exists(x, x == 2)", True),
        ("event.data.name.matches('^b.*')", True),
        ("event.data.name in ['bob', 'eve']", True),
        ("event.data == event.data", True),
        ("event.data['n'] == 2", True),
        ("event.type == 'a' && event.id == 'e0'", True),
        ("now == event.time", True),
        ("!has(subject.plan)", True),
        ("event.data.n", False),
    ],
)
def test_every_kind_of_expression_stands_in_place(where: str, decided: bool) -> None:
    made = engine(on(f'{{event: a, where: "{where}"}}'))
    found = matched(made, b'{"n":2,"name":"bob","items":[{"price":1.5},{"price":4.5}]}')
    assert bool(found) is decided


def test_an_equal_condition_is_asked_once() -> None:
    again = [msgspec.structs.replace(BIG, name=f"p{n}") for n in range(5)]
    made = engine(*again)
    assert matched(made, b'{"m":2}') == []
    assert made.counters["expression_errors"] == 1


@pytest.mark.parametrize(
    ("condition", "decided"),
    [
        ("features.total > 4.0", True),
        ("features.total > 4.0 && features.total < 6.0", True),
        ("features.other == null", True),
        ("features.other > 1.0 || features.total == 5.0", True),
        ("has(features.total) && size(features) == 2", True),
        ("features.exists(name, name == 'total')", True),
        ("event.data.n == 3 && event.type == 'a'", True),
        ("!has(service.billing)", True),
        ("event.data.missing == 3", False),
        ("event.data.n", False),
    ],
)
def test_an_if_reads_features_event_and_services(condition: str, decided: bool) -> None:
    spec = f"""\
  features:
    total: {{sum: event.data.n, of: a, over: 1m}}
    other: {{max: event.data.n, of: b, over: 1m}}
  when: {{event: a, where: event.data.n > 2}}
  if: "{condition}"
"""
    made = engine(policy(spec))
    assert bool(matched(made, b'{"n":2}', b'{"n":3}')) is decided
    counted = condition in ("event.data.missing == 3", "event.data.n")
    assert made.counters["expression_errors"] == counted


def test_a_feature_of_a_key_is_read_for_the_key_of_the_event() -> None:
    spec = """\
  features: {mine: {count: a, over: 1m, by: event.data.k}}
  when: {event: a}
  if: features.mine >= 2
"""
    made = engine(policy(spec))
    found = matched(made, b'{"k":"x"}', b'{"k":"y"}', b"{}", b'{"k":["y"]}', b'{"k":"y"}')
    assert found == ["e4"]


def test_numbers_of_the_catalogue_are_doubles() -> None:
    whole = on("{event: a, where: event.data.n / 2.0 == 1.5}")
    assert matched(engine(whole), b'{"n":3}') == []
    assert len(matched(engine(whole, numbers={"a": {"n": True}}), b'{"n":3}')) == 1


def test_who_asks_what_was_not_met_is_shown_everything() -> None:
    spec = "  when: {event: a, where: event.data.n > 1}\n  if: event.data.n > 5\n"
    made, shown = engine(policy(spec)), list[Any]()

    def unmet(program: Program, given: tuple[Any, ...]) -> None:
        shown.append((program.policy.name, given[0]["id"], given[0]["data"]))

    made.unmet = unmet
    assert matched(made, b'{"n":2,"other":1}') == []
    assert shown == [("p", "e0", {"n": 2, "other": 1})]


def test_many_policies_on_one_type_each_decide() -> None:
    many = [on(f"{{event: a, where: event.data.n == {n}}}", f"p{n}") for n in range(300)]
    made = engine(*many)
    taken = [raw(n, b'{"n":%d}' % n) for n in range(0, 300, 50)]
    assert [one.policy for _, one in made.process(taken)] == [f"p{n}" for n in range(0, 300, 50)]


def test_a_pattern_steps_only_where_the_event_can_move_it() -> None:
    gap = on("{sequence: [{event: a}, {not: n, where: event.data.bad}, {event: b}]}")
    made = engine(gap)
    lines = [event(0, "n"), event(1, "a"), event(2, "n", {"bad": False}), event(3, "b")]
    assert [one.matched for _, one in made.process(records(*lines))] == [("a@1", "b@3")]
    made = engine(gap)
    lines = [event(0, "n"), event(1, "a"), event(2, "n", {}), event(3, "b")]
    assert made.process(records(*lines)) == []


def test_what_in_force_looks_for_is_made_ready_before_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = """\
  features: {paid: {count: paid, over: 1h}, all: {count: "*", over: 1h}}
  when: {sequence: [{event: a}, {not: n}, {event: b}, {not: q, for: 1m}]}
  if: features.paid + features.all > 0
"""
    made, types = engine(policy(spec)), list[str]()

    def noted(plan: Plan) -> Take:
        types.append(_type_of(made, plan))
        return specialise(plan)

    monkeypatch.setattr("forestall.decide.engine.specialise", noted)
    made.tick(START)
    while made.prepare():
        pass
    assert {"a", "b", "n", "q", "paid"} < set(types)
    assert "*" not in types
    before = list(types)
    lines = [event(0, "a"), event(1, "paid"), event(2, "b"), event(90, "other")]
    decided = [one.matched for _, one in made.process(records(*lines))]
    assert decided == [("a@0", "b@2")]
    assert types == [*before, "other"]
    later = START + 100 * SECOND
    for control in opening(Bundle(policies=(on("{event: c}"),)), OPEN):
        made.control(msgspec.structs.replace(control, received=later))
    made.tick(later)
    types.clear()
    while made.prepare():
        pass
    assert "c" in types
    assert not {"b", "n"} & set(types)


def _type_of(made: Engine, plan: Plan) -> str:
    return next(name for name, its in made._force.base.plans.items() if its is plan)
