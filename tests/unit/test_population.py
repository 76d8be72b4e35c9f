"""Subjects as objects and packed: what is kept, what is forgotten, and what a round holds."""

from itertools import chain
from typing import Any

import pytest

from forestall.context.core import Ids, Place, Window
from forestall.contracts.control import DecideSettings
from forestall.contracts.event import Record
from forestall.contracts.instants import DAY, HOUR, MINUTE
from forestall.decide import population as module
from forestall.decide.engine import Engine
from forestall.decide.gates import Ledger, Standing
from forestall.decide.patterns import Run, Steps, Together
from forestall.decide.population import Population
from forestall.decide.snapshot import deadline, pack, unpack
from forestall.decide.state import NEVER, AtRest, Needs, Subject, forget, idle, settled
from forestall.policy.language.cel import CelType, Uint
from forestall.policy.language.cel.values import FALSE_KEY, TRUE_KEY
from forestall.policy.language.compile import compile_policy
from forestall.policy.language.model import Feature, Match
from scenario import on

SETTINGS = DecideSettings()
NOW = 100 * DAY
PATTERN = compile_policy(on("{sequence: [{event: a, times: 3}], within: 10m}"), "v")


def needs(received: int = NOW, features: dict[int, Feature] | None = None) -> Needs:
    return Needs(received, SETTINGS, features or {}, {7: PATTERN}, settled(received, SETTINGS))


def feature(over: int | None) -> Feature:
    return Feature(kind="count", match=Match(types=("a",)), over=over)


def window(*times: int) -> Window:
    features: dict[int, Any] = {}
    for t in times:
        Place("count", 1, None).add(features, None, t)
    window: Window = features[1]
    return window


def ids(*known: tuple[str, str, int]) -> Ids:
    made = Ids()
    for one in known:
        assert made.add(*one) == 0
    return made


def population(*names: str) -> Population:
    made = Population()
    for name in names:
        made.enter(name).clock = NOW
    return made


def test_a_packed_subject_comes_back_as_it_was() -> None:
    features: dict[int, Any] = {1: window(1, 2)}
    Place("sum", 2, HOUR).add_key(features, "k", 0.25, NOW, 3)
    mixed = [
        1,
        0.5,
        True,
        "x",
        [2, {"n": 2**70}],
        Uint(2**64 - 1),
        CelType("int"),
        {TRUE_KEY: [{Uint(3): FALSE_KEY.value}]},
    ]
    for t, value in enumerate(mixed):
        Place("first", 3, None).add(features, value, t)
    for value in (1, 10**300, -(2**63)):
        Place("sum", 4, None).add(features, value, NOW)
    subject = Subject(
        deadline=NOW + 5,
        clock=NOW,
        serial=9,
        ids=ids(("s", "e1", NOW)),
        features=features,
        patterns={7: Run([NOW, "s", "e1"]), 8: {"k": Steps([(1, (("s", "e1"),)), None])}},
        ledger=Ledger(traits={"plan": "pro"}, optout=Standing(5, True), tickets={"t"}),
    )
    subject.patterns[9] = Together([None, (NOW, 4, ("s", "e1"))])
    again = unpack(pack(subject))
    for name in AtRest.__struct_fields__:
        assert getattr(again, name) == getattr(subject, name), name
    found = again.features[3].content()[2]
    assert [type(one) for one in found] == [type(one) for one in mixed]
    assert deadline(pack(subject)) == NOW + 5
    assert deadline(pack(Subject())) == NEVER


def test_windows_that_ended_are_forgotten_and_others_kept() -> None:
    subject = Subject(
        clock=NOW - 3 * DAY,
        features={1: window(NOW - 3 * DAY), 2: window(NOW - 3 * DAY), 3: window(NOW - 3 * DAY)},
    )
    kept = {1: feature(HOUR), 2: feature(30 * DAY)}
    assert not forget(subject, needs(features=kept))
    assert subject.features.keys() == {2}


def test_a_window_without_an_end_is_kept_for_ever() -> None:
    subject = Subject(clock=0, features={1: window(0)})
    assert not forget(subject, needs(features={1: feature(None)}))
    assert subject.features.keys() == {1}


def test_a_recent_clock_keeps_what_counts_from_it() -> None:
    subject = Subject(clock=NOW, features={1: window(NOW - HOUR + 1, NOW)})
    forget(subject, needs(features={1: feature(HOUR)}))
    assert len(subject.features[1]) == 2


def test_matches_that_cannot_be_completed_any_more_are_forgotten() -> None:
    old = NOW - 2 * DAY
    subject = Subject(clock=old, patterns={7: Run([old - HOUR, "s", "a", old, "s", "b"])})
    assert forget(subject, needs())
    subject = Subject(clock=NOW, patterns={7: Run([NOW - HOUR, "s", "a", NOW - MINUTE, "s", "b"])})
    assert not forget(subject, needs())
    assert subject.patterns == {7: Run([NOW - MINUTE, "s", "b"])}


def test_ids_are_kept_for_seven_days() -> None:
    old = NOW - 7 * DAY - 1
    subject = Subject(ids=ids(("t", "old", 1), ("s", "old", old), ("s", "new", NOW - 7 * DAY)))
    assert idle(subject, needs())
    assert not forget(subject, needs())
    assert subject.ids == ids(("s", "new", NOW - 7 * DAY))


def test_traits_consent_and_acts_are_never_forgotten() -> None:
    for ledger in (
        Ledger(traits={"plan": "pro"}),
        Ledger(consents={"support": Standing(1, False)}),
    ):
        assert not forget(Subject(ledger=ledger), needs())
    spent = Subject(ledger=Ledger(guidance_acts=[1, NOW - HOUR]))
    assert not forget(spent, needs())
    assert spent.ledger == Ledger(guidance_acts=[NOW - HOUR])


def test_nothing_is_left_of_a_subject_long_silent() -> None:
    assert forget(Subject(clock=NOW - 8 * DAY, serial=40, ledger=Ledger()), needs())
    assert not forget(Subject(clock=NOW - HOUR), needs())


def test_who_had_no_event_for_a_whole_generation_is_packed() -> None:
    one = population("a", "b")
    for _ in range(2):
        assert isinstance(one.of["b"], Subject)
        one.end_generation(needs())
        one.enter("a").serial = 5
        assert one.pack_some(100) == []
    assert isinstance(one.of["a"], Subject)
    assert isinstance(one.of["b"], bytes)
    assert one.enter("b").clock == NOW


def test_a_round_holds_everybody_as_they_were_when_it_began() -> None:
    one = population("a", "b", "c")
    one.save_in_buckets(2, lambda name: ord(name) % 2)
    one.end_generation(needs())
    one.enter("a").serial = 5
    new = one.enter("d")
    new.serial, new.clock = 1, NOW
    saved = dict(one.pack_some(100))
    assert saved.keys() == {"a", "b", "c"}
    assert unpack(saved["a"]).serial == 0
    assert not one.closing
    one.end_generation(needs())
    assert {name: unpack(content).serial for name, content in one.pack_some(100)} == {
        "a": 5,
        "d": 1,
    }


def test_buckets_are_packed_one_after_the_other_a_few_subjects_at_a_time() -> None:
    one = population(*(f"s{number}" for number in range(20)))
    one.save_in_buckets(4, lambda name: int(name[1:]) % 4)
    one.end_generation(needs())
    steps = []
    while one.closing:
        steps.append([int(name[1:]) % 4 for name, _ in one.pack_some(6)])
    assert [len(step) for step in steps] == [6, 6, 6, 2]
    assert list(chain.from_iterable(steps)) == [3] * 5 + [2] * 5 + [1] * 5 + [0] * 5


def test_the_forgotten_are_told_of_with_nothing() -> None:
    one = population("a")
    one.enter("a").clock = 1
    one.save_in_buckets(1, lambda _: 0)
    one.end_generation(needs())
    assert [name for name, _ in one.pack_some(10)] == ["a"]
    one.end_generation(needs())
    assert one.pack_some(10) == [("a", b"")]
    assert not one.of


def test_the_long_silent_are_looked_at_again_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVENTS", 1)
    monkeypatch.setattr(module, "EVENTS_PER_SUBJECT", 0)
    one = population(*(f"s{number}" for number in range(50)))
    for day in range(12):
        for _ in range(40):
            at = NOW + day * DAY
            one.keep_house(4, lambda at=at: needs(at), at)  # type: ignore[misc]
    assert not one.of


def test_looking_changes_nothing() -> None:
    one = population("a")
    for _ in range(2):
        one.end_generation(needs())
        one.pack_some(10)
    seen = one.look("a")
    assert seen is not None
    assert seen.clock == NOW
    assert isinstance(one.of["a"], bytes)
    assert one.look("nobody") is None


def test_a_packed_subject_is_not_met_again_though_somebody_holds_it() -> None:
    engine = Engine()
    records = [Record(f"e{n}", "/s", "a", "p", NOW + n, NOW + n) for n in range(6)]
    engine.process(records[:2])
    held = engine.population.look("p")
    assert held is not None
    for _ in range(2):
        engine.end_generation()
        while engine.population.closing:
            engine.population.pack_some(100)
    assert isinstance(engine.population.of["p"], bytes)
    engine.process(records[1:4])
    assert engine.clock("p") == NOW + 3
    assert held.clock == NOW + 1
    assert engine.counters["duplicate"] == 1


def test_every_subject_of_many_is_met_again() -> None:
    engine = Engine()
    names = [f"p{n}" for n in range(3_000)]
    for turn in range(3):
        at = NOW + turn
        records = [Record(f"{turn}", "/s", "a", name, at, at) for name in names]
        for start in range(0, len(records), 100):
            engine.process(records[start : start + 100])
            engine.process(records[start : start + 100])
    assert engine.counters["duplicate"] == 9_000
    assert {engine.clock(name) for name in names} == {NOW + 2}
    assert len(list(engine.population.names())) == 3_000
