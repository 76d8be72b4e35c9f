"""Passes: what a page is told of its customer, and nothing else."""

import copy
import datetime
import json
from typing import Any

import pytest

from forestall.contracts.control import DecideSettings, SettingsApplied
from forestall.contracts.decision import Decided, Decision
from forestall.contracts.instants import DAY, HOUR, SECOND
from forestall.decide import passes
from forestall.decide.backtest import opening
from forestall.decide.engine import Engine
from forestall.decide.passes import Memory, earliest, pass_payload, transactional_versions
from forestall.log.memory import MemoryLog
from forestall.log.streams import decisions, read_decisions, signals
from forestall.measure.assign import in_holdout
from forestall.policy.bundle import Bundle
from forestall.policy.edge import LIFE, in_force, offer
from forestall.policy.language.model import Policy
from scenario import OPEN, START, event, instant, on, records

GUIDE = {
    "guide": {
        "text": "Hello {{ subject.name | default('x') }}".replace("'", '"'),
        "channel": "inapp",
    }
}
LOST = on(
    "{event: page.viewed}", "lost", cooldown="1h", edge=True, playbook=[GUIDE],
    **{"if": "!has(subject.plan) || subject.plan != 'internal'"},
)  # fmt: skip
OTHER = on("{event: page.left}", "other", cooldown="1h")


class World:
    """A gateway's log and a worker's."""

    def __init__(self, *policies: Policy, settings: DecideSettings = OPEN) -> None:
        self.controls = opening(Bundle(policies=policies or (LOST, OTHER)), settings)
        self.signals, self.decided = MemoryLog(), MemoryLog()
        self.engine = Engine()
        for control in self.controls:
            self.engine.control(control)
        self.memory = Memory(self.signals, self.decided)

    def send(self, *lines: bytes) -> None:
        """One batch of events, decided at once."""
        batch = records(*lines)
        (position,) = self.signals.commit([signals(batch)])
        made = [
            Decided(position, order, batch[-1].received, one)
            for order, one in self.engine.process(batch)
        ]
        if made:
            self.decided.commit([decisions(made)])

    def given(self, subject: str = "u", now: int = START + HOUR) -> dict[str, Any]:
        offered = offer(in_force(self.controls), {}, datetime.date(2026, 1, 1))
        known = self.memory.of(subject, earliest(offered.settings, now))
        told = transactional_versions(self.controls)
        said = pass_payload(offered, subject, {"subject": "raw"}, known, told, now)
        read: dict[str, Any] = json.loads(json.dumps(said))
        return read


def test_a_customer_of_whom_little_is_known() -> None:
    world = World()
    world.send(event(0, "page.opened"))
    assert world.given() == {
        "v": 1,
        "subject": "u",
        "who": {"subject": "raw"},
        "issued": START + HOUR,
        "expires": START + HOUR + LIFE,
        "traits": {},
        "consent": {},
        "opted_out": False,
        "tickets": 0,
        "holdout": {"global": False, "policies": {"lost": False}},
        "acts": [],
        "dismissed": {},
    }


def test_only_traits_that_policies_for_pages_read_are_told() -> None:
    world = World()
    traits = {"plan": "pro", "name": "Ann", "seats": 5, "tier": "gold"}
    world.send(event(0, "forestall.identify", {"traits": traits}))
    assert world.given()["traits"] == {"plan": "pro", "name": "Ann"}
    world.send(event(1, "forestall.identify", {"traits": {"plan": None}}))
    assert world.given()["traits"] == {"plan": None, "name": "Ann"}


def test_standing_tickets_and_dismissals() -> None:
    world = World()
    purpose = {"purpose": "support"}
    world.send(
        event(0, "forestall.consent.granted", purpose),
        event(1, "forestall.consent.granted", {"purpose": "marketing"}),
        event(2, "forestall.ticket.opened", {"ticket": "t1"}),
        event(3, "forestall.ticket.opened", {"ticket": "t2"}),
        event(4, "forestall.ticket.closed", {"ticket": "t1"}),
        event(5, "forestall.intervention.dismissed", {"policy": "lost"}),
        event(6, "forestall.intervention.dismissed", {"policy": "lost", "never": True}),
        event(7, "forestall.intervention.dismissed", {"policy": "other"}),
        event(8, "forestall.optout", subject="somebody else"),
    )
    said = world.given()
    assert said["consent"] == {"support": True}
    assert (said["tickets"], said["opted_out"]) == (1, False)
    assert said["dismissed"] == {"lost": [2, True]}
    world.send(event(9, "forestall.intervention.helped", {"policy": "lost"}))
    world.send(event(10, "forestall.optout"), event(11, "forestall.consent.withdrawn", purpose))
    said = world.given()
    assert (said["consent"], said["opted_out"]) == ({"support": False}, True)
    assert said["dismissed"] == {"lost": [0, True]}


def test_acts_of_others_are_told_without_their_names() -> None:
    world = World()
    world.send(event(0, "page.viewed"), event(60, "page.left"), event(61, "page.left"))
    assert world.given()["acts"] == [
        ["lost", START, "guidance"],
        ["", START + 60 * SECOND, "guidance"],
    ]


def test_what_pages_decided_is_among_the_acts() -> None:
    world = World()
    told = {"policy": "lost", "version": "a" * 64, "at": START + SECOND, "outcome": "intervene"}
    world.send(event(2, "forestall.edge.decided", {**told, "matched": [["w", "1"]]}))
    assert world.given()["acts"] == [["lost", START + SECOND, "guidance"]]


def test_only_acts_that_a_gate_may_still_look_at_are_told() -> None:
    """The last of each policy for its cooldown, and all that cost within the window."""
    free = on(
        "{event: cart.left}", "free", cooldown="1s", edge=True, playbook=[GUIDE],
        budget_class="transactional",
    )  # fmt: skip
    week = 7 * 86_400
    window = DecideSettings(budget=99, budget_window=DAY, spacing=0)
    world = World(LOST, OTHER, free, settings=window)
    world.send(event(0, "page.viewed"), event(1, "page.left"), event(2, "cart.left"))
    world.send(event(9000, "page.viewed"), event(9001, "cart.left"))
    assert world.given(now=START + week * SECOND)["acts"] == [
        ["lost", START + 9000 * SECOND, "guidance"],
        ["free", START + 9001 * SECOND, "transactional"],
    ]
    assert len(world.given(now=START + 9002 * SECOND)["acts"]) == 4


def test_holdout_arms_are_those_of_the_server() -> None:
    kept = on(
        "{event: page.viewed}", "lost", cooldown="1h", edge=True, playbook=[GUIDE], holdout=0.5
    )
    world = World(kept, settings=DecideSettings(salt="s", holdout=0.3))
    for number in range(30):
        name = f"u{number}"
        world.send(event(number, "page.viewed", subject=name))
        said = world.given(name)["holdout"]
        inside = in_holdout("s:lost", name, 0.5)
        assert said == {"global": in_holdout("s", name, 0.3), "policies": {"lost": inside}}
        (act,) = world.given(name)["acts"]
        assert act[2] == ("" if inside else "guidance")


def test_what_another_pseudonym_brought_counts() -> None:
    world = World()
    brought = {
        "from": "visitor",
        "optout": None,
        "consent": {},
        "dismissals": {"lost": {"count": 1, "never": False}},
        "acts": {"lost": [instant(5)], "other": [instant(7)]},
        "guidance_acts": [instant(5), instant(7)],
    }
    world.send(event(9, "forestall.alias", brought))
    said = world.given()
    assert said["dismissed"] == {"lost": [1, False]}
    assert said["acts"] == [
        ["lost", START + 5 * SECOND, ""],
        ["", START + 5 * SECOND, "guidance"],
        ["", START + 7 * SECOND, "guidance"],
    ]


def test_it_is_read_once_and_then_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    read: list[str] = []
    plainly = passes._batches

    def counted(log: Any, stream: str, subject: str, after: int) -> Any:
        for batch in plainly(log, stream, subject, after):
            read.append(stream)
            yield batch

    monkeypatch.setattr(passes, "_batches", counted)
    for number in range(100):
        world.send(event(number, "page.opened"))
    world.send(event(200, "page.viewed"))
    assert len(world.given()["acts"]) == 1
    assert (read.count("signals"), read.count("decisions")) == (101, 1)
    world.send(event(300, "page.opened", subject="somebody else"))
    world.send(event(301, "forestall.optout"))
    assert world.given()["opted_out"]
    assert (read.count("signals"), read.count("decisions")) == (102, 1)


def test_a_long_history_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes of it is the same; until the last part comes nothing is known."""
    world = World()
    for number in range(9):
        world.send(event(number * 4000, "page.viewed"), event(number * 4000 + 1, "page.left"))
        world.send(event(number * 4000 + 2, "forestall.intervention.dismissed", {"policy": "lost"}))
    whole = world.memory.of("u", 0)
    monkeypatch.setattr(passes, "PART", 300)
    for size in (1, 400, 10**6):
        monkeypatch.setattr(passes, "AT_ONCE", size)
        *parts, known = Memory(world.signals, world.decided).parts("u", 0)
        assert known == whole
        assert len(parts) > 5
        assert set(parts) == {None}


def test_a_customers_control_events_are_found_wherever_they_stand() -> None:
    """Only what is of the customer counts, however much of it names them."""
    world = World()
    named = {"said": ["forestall.optout", "u"], "u": '"forestall.optout","u",'}
    gone = {"policy": "lost"}
    world.send(
        event(0, "page.opened", named),
        event(1, "forestall.optout", named, subject="v"),
        event(2, "page.opened", named, subject="forestall.optout", source="u"),
        event(3, "forestall.intervention.dismissed", gone, subject="v", source="u"),
    )
    assert (world.given()["opted_out"], world.given("v")["opted_out"]) == (False, True)
    world.send(event(4, "page.opened"), event(5, "forestall.intervention.dismissed", gone))
    assert world.given()["dismissed"] == {"lost": [1, False]}
    strange = '"u"\\é\u2028'
    world.send(event(6, "forestall.optout", subject=strange))
    assert world.given(strange)["opted_out"]


def test_it_remembers_no_more_customers_than_it_may() -> None:
    world = World()
    world.memory = Memory(world.signals, world.decided, most=2)
    for name in ("a", "b", "c", "a"):
        world.send(event(0, "forestall.optout", subject=name, event_id=f"{name}{len(name)}"))
        assert world.given(name)["opted_out"]
    assert len(world.memory._known) == 2


def test_of_acts_it_remembers_only_what_a_gate_may_still_look_at() -> None:
    """What is forgotten changes no pass; where a gate comes to look further back, it is read anew."""
    settings = DecideSettings(budget=99, budget_window=DAY, spacing=0)
    world = World(settings=settings)
    for day in range(5):
        seconds = day * 86_400
        world.send(event(seconds, "page.viewed"), event(seconds + 9, "page.left"))
        now = START + (seconds + 10) * SECOND
        said = world.given(now=now)["acts"]
        assert said == _afresh(world).given(now=now)["acts"]
        assert len(said) == 2
    assert len(world.memory._known["u"].acts) == 2
    week = DecideSettings(budget=99, budget_window=7 * DAY, spacing=0)
    world.controls.append(SettingsApplied(START, week, "test", "a longer budget"))
    assert len(world.given(now=now)["acts"]) == 10
    assert all(type(one) is passes.Happened for one in world.memory._known["u"].acts)


def _afresh(world: World) -> World:
    """The same logs, of which nothing is remembered."""
    other = copy.copy(world)
    other.memory = Memory(world.signals, world.decided)
    return other


def test_decisions_in_shadow_are_no_acts() -> None:
    world = World()
    world.send(event(0, "page.viewed"))
    (entry,) = read_decisions(world.decided.read("decisions")[0])
    shadow = Decision(**{**_fields(entry.decision), "mode": "shadow", "id": "x" * 64})
    world.decided.commit([decisions([Decided(1, 1, START + 9, shadow)])])
    assert len(world.given()["acts"]) == 1


def _fields(decision: Decision) -> dict[str, Any]:
    return {name: getattr(decision, name) for name in decision.__struct_fields__}


def test_settings_change_the_arms() -> None:
    world = World()
    world.controls.append(SettingsApplied(START, DecideSettings(holdout=1.0), "test", "everybody"))
    world.send(event(0, "page.opened"))
    assert world.given()["holdout"]["global"] is True
