"""What pages decided changes nothing of determinism, and overshoots a budget by no more than is said."""

import datetime
import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.contracts.control import DecideSettings
from forestall.contracts.decision import Decided, Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND
from forestall.decide.backtest import opening
from forestall.decide.engine import Engine
from forestall.decide.history import History
from forestall.decide.passes import Act, Memory, earliest, pass_payload
from forestall.decide.snapshot import decode_state, encode_state
from forestall.log.memory import MemoryLog
from forestall.log.streams import decisions, signals
from forestall.policy.bundle import Bundle
from forestall.policy.edge import in_force, offer
from property.pages import told_by_pages
from property.scenarios import Scenario
from scenario import START, event, on, records


def history_of(scenario: Scenario) -> list[Record]:
    lines = [json.dumps(line).encode() for line in scenario.events]
    return [one for some in History(Path("h"), lines) for one in some]


def governed(scenario: Scenario) -> Engine:
    engine = Engine()
    bundle = Bundle(policies=tuple(scenario.policies))
    for control in [*opening(bundle, scenario.settings), *scenario.controls]:
        engine.control(control)
    return engine


def told(batches: Sequence[Sequence[Record]], engine: Engine) -> dict[str, list[bytes]]:
    """Each subject's decisions, as they are written."""
    made = [one for batch in batches for _, one in engine.process(batch)]
    return by_subject([*made, *engine.tick(engine.received)])


def by_subject(made: Sequence[Decision]) -> dict[str, list[bytes]]:
    """Between subjects no order is promised."""
    found: dict[str, list[bytes]] = {}
    for one in made:
        found.setdefault(one.subject, []).append(msgspec.json.encode(one))
    return found


@given(told_by_pages(), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_batches_and_other_subjects_change_nothing(scenario: Scenario, size: int) -> None:
    history = history_of(scenario)
    whole = told([history], governed(scenario))
    some = [history[at : at + size] for at in range(0, len(history), size)]
    assert told(some, governed(scenario)) == whole
    apart: dict[str, list[bytes]] = {}
    for subject in {one.subject for one in history}:
        engine = governed(scenario)
        own = [one for one in history if one.subject == subject]
        made = [one for _, one in engine.process(own)] + engine.tick(history[-1].received)
        if made:
            apart[subject] = [msgspec.json.encode(one) for one in made]
    assert apart == whole


@given(told_by_pages())
@settings(max_examples=60, deadline=None)
def test_restarts_change_nothing(scenario: Scenario) -> None:
    history, one = history_of(scenario), governed(scenario)
    made: list[Decision] = []
    for record in history:
        made += [decision for _, decision in one.process([record])]
        one = Engine.restore(decode_state(encode_state(one.snapshot())))
        for control in scenario.controls:
            if control.received > one.received:
                one.control(control)
    whole = governed(scenario)
    expected = [decision for _, decision in whole.process(history)]
    assert by_subject(made) == by_subject(expected)


# -- how far a budget can be overshot ---------------------------------------------------------------

WINDOW = 100
GUIDE = {"guide": {"text": "hi", "channel": "inapp"}}


class Customer:
    """One customer with several devices, and the server. Times are seconds."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.server_policy = on("{event: asked}", "server", cooldown="1s")
        self.page_policy = on(
            "{event: page.viewed}", "page", cooldown="1s", playbook=[GUIDE], edge=True
        )
        both = Bundle(policies=(self.page_policy, self.server_policy))
        limits = DecideSettings(budget=budget, budget_window=WINDOW * SECOND, spacing=0)
        self.controls = opening(both, limits)
        self.engine = Engine()
        for control in self.controls:
            self.engine.control(control)
        self.signals, self.decided = MemoryLog(), MemoryLog()
        self.memory = Memory(self.signals, self.decided)
        self.numbers = count()

    def take(self, now: int, kind: str, data: dict[str, object] | None = None) -> None:
        """The server takes an event."""
        line = event(now, kind, data, event_id=str(next(self.numbers)), received=now)
        batch = records(line)
        (position,) = self.signals.commit([signals(batch)])
        made = [Decided(position, at, 0, one) for at, one in self.engine.process(batch)]
        if made:
            self.decided.commit([decisions(made)])

    def acts_told(self, now: int) -> list[Act]:
        """What a pass says at ``now``."""
        offered = offer(in_force(self.controls), {}, datetime.date(2026, 1, 1))
        moment = START + now * SECOND
        known = self.memory.of("u", earliest(offered.settings, moment))
        said = pass_payload(offered, "u", {}, known, frozenset(), moment)
        found: list[Act] = said["acts"]
        return found

    def acts(self) -> list[int]:
        """Every act that the server knows of."""
        return sorted((one.at - START) // SECOND for one in self.memory.of("u", 0).acts)


class Device:
    """A page that keeps to the budget as far as it can see."""

    def __init__(self, customer: Customer) -> None:
        self.customer = customer
        self.waiting: list[int] = []
        self.own: list[int] = []
        self.seen: list[int] = []

    def connects(self, now: int) -> None:
        """Tell what it did, then ask for a pass."""
        for at in self.waiting:
            data = {
                "policy": "page",
                "version": "a" * 64,
                "at": START + at * SECOND,
                "outcome": "intervene",
                "matched": [["w", str(at)]],
            }
            self.customer.take(now, "forestall.edge.decided", data)
        self.waiting = []
        acts = [(at - START) // SECOND for _, at, cost in self.customer.acts_told(now) if cost]
        self.own, self.seen = [], acts

    def wants(self, now: int) -> None:
        """Act, if it may."""
        acts = [*self.seen, *self.own]
        if sum(now - WINDOW < act <= now for act in acts) < self.customer.budget:
            self.own.append(now)
            self.waiting.append(now)


def most_in_a_window(acts: Sequence[int]) -> int:
    return max((sum(at - WINDOW < act <= at for act in acts) for at in acts), default=0)


STEPS = st.lists(
    st.tuples(st.integers(1, 30), st.sampled_from(["act", "act", "act", "connect", "server"])),
    max_size=40,
)


@given(st.integers(1, 3), st.integers(1, 4), STEPS, st.data())
@settings(max_examples=150, deadline=None)
def test_devices_exceed_a_budget_by_no_more_than_is_said(
    budget: int, many: int, steps: list[tuple[int, str]], data: st.DataObject
) -> None:
    """Who decides never spends more than the budget of what it sees: k that see nothing of each
    other spend k budgets. The server is one of them where it decides other policies itself."""
    customer = Customer(budget)
    devices = [Device(customer) for _ in range(many)]
    now, server_too = 0, False
    for gap, what in steps:
        now += gap
        device = devices[data.draw(st.integers(0, many - 1))]
        if what == "act":
            device.wants(now)
        elif what == "connect":
            device.connects(now)
        else:
            server_too = True
            customer.take(now, "asked")
    for device in devices:
        device.connects(now + 1)
    deciders = many + server_too
    assert most_in_a_window(customer.acts()) <= budget + (deciders - 1) * budget


def test_the_limit_is_reached_and_then_everybody_stops() -> None:
    customer = Customer(budget=2)
    devices = [Device(customer) for _ in range(3)]
    for device in devices:
        device.connects(0)
    for now in range(1, 30):
        devices[now % 3].wants(now)
    for device in devices:
        device.connects(40)
    assert len(customer.acts()) == 2 + (3 - 1) * 2
    for device in devices:
        device.connects(45)
        device.wants(50)
    customer.take(51, "asked")
    for device in devices:
        device.connects(60)
    assert len(customer.acts()) == 6
