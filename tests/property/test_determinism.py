"""Determinism: a subject's decisions are a function of its records and of the control records.

Each property decides the same history in two ways and compares the decisions byte for byte.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.contracts.control import DecideSettings
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND, parse_time
from forestall.decide.backtest import opening
from forestall.decide.engine import Engine
from forestall.decide.history import History
from forestall.decide.snapshot import decode_state, encode_state
from forestall.policy.bundle import Bundle
from property.scenarios import Scenario, journeys
from scenario import START, event, on, records

BUNDLE = Bundle(
    policies=(
        on("{sequence: [{event: a, times: 2}, {not: b, for: 5s}], by: event.data.k}", "absence"),
        on("{sequence: [{event: a}, {not: c}, {event: b}], within: 9s}", "between", cooldown="4s"),
        on("{all: [{event: a}, {event: c}], within: 6s}", "both", holdout=0.5, priority=80),
        on(
            '{event: "*", where: event.data.k > 1}',
            "many",
            features={
                "n": {"count": "a", "over": "7s", "by": "event.data.k"},
                "s": {"sum": "event.data.k", "of": ["a", "b"], "over": "20s"},
                "l": {"last": "event.time", "of": "c"},
            },
            **{"if": "features.n < 3 && subject.plan != 'x'"},
        ),
    )
)
SETTINGS = DecideSettings(
    lateness=8 * SECOND, budget=4, budget_window=60 * SECOND, spacing=SECOND, holdout=0.2
)
TYPES = ["a", "a", "b", "c", "forestall.optout", "forestall.optin", "forestall.identify"]


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """Records of a few subjects: late, repeated, and at equal times."""
    received, lines = 0, []
    for number in range(draw(st.integers(1, 40))):
        received += draw(st.integers(0, 4))
        event_type = draw(st.sampled_from(TYPES))
        data = {"k": draw(st.sampled_from([0, 1, 2, 2.0, None, "x"]))}
        if event_type == "forestall.identify":
            data = {"traits": {"plan": draw(st.sampled_from(["x", "y"]))}}  # type: ignore[dict-item]
        lines.append(
            event(
                received - draw(st.sampled_from([0, 0, 0, 1, 3, 8, 9])),
                event_type,
                data,
                subject=f"u{draw(st.integers(0, 2))}",
                event_id=f"e{draw(st.sampled_from([number, number, number, max(0, number - 3)]))}",
                received=received,
            )
        )
    return records(*lines)


def engine() -> Engine:
    fresh = Engine()
    for control in opening(BUNDLE, SETTINGS):
        fresh.control(control)
    return fresh


def decided(batches: Sequence[Sequence[Record]], end: int) -> list[Decision]:
    one = engine()
    made = [decision for batch in batches for _, decision in one.process(batch)]
    return made + one.tick(end)


def whole(history: Sequence[Record]) -> list[Decision]:
    return decided([history], history[-1].received)


def by_subject(decisions: Sequence[Decision]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for one in decisions:
        found.setdefault(one.subject, []).append(msgspec.json.encode(one))
    return found


@given(histories(), st.lists(st.integers(1, 7), max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_batch_sizes(history: list[Record], sizes: list[int]) -> None:
    batches, rest = [], history
    for size in sizes:
        batches.append(rest[:size])
        rest = rest[size:]
    assert decided([*batches, rest], history[-1].received) == whole(history)


@given(histories(), st.sampled_from([1, 4, 16]))
@settings(max_examples=150, deadline=None)
def test_any_number_of_partitions(history: list[Record], partitions: int) -> None:
    found: dict[str, list[bytes]] = {}
    for partition in range(partitions):
        own = [one for one in history if int(one.subject[1:]) % partitions == partition]
        found |= by_subject(decided([own], history[-1].received))
    assert found == by_subject(whole(history))


@given(histories(), st.data())
@settings(max_examples=150, deadline=None)
def test_ticks_anywhere(history: list[Record], data: st.DataObject) -> None:
    one, made = engine(), []
    for before, record in zip([None, *history], history, strict=False):
        if before is not None and data.draw(st.booleans()):
            made += one.tick(data.draw(st.integers(before.received, record.received)))
        made += [decision for _, decision in one.process([record])]
    made += one.tick(history[-1].received)
    assert by_subject(made) == by_subject(whole(history))


@given(histories())
@settings(max_examples=100, deadline=None)
def test_a_restart_from_a_snapshot_after_every_record(history: list[Record]) -> None:
    one, made = engine(), []
    for index, record in enumerate(history):
        made += [decision for _, decision in one.process([record])]
        one = Engine.restore(decode_state(encode_state(one.snapshot())))
        assert one.counters["records"] == index + 1
    assert by_subject(made + one.tick(history[-1].received)) == by_subject(whole(history))


@given(journeys())
@settings(max_examples=150, deadline=None)
def test_a_restart_while_versions_come_and_go(scenario: Scenario) -> None:
    bundle = Bundle(policies=tuple(scenario.policies))
    controls = [*opening(bundle, scenario.settings), *scenario.controls]
    lines = [json.dumps(line).encode() for line in scenario.events]
    history = [one for some in History(Path("h"), lines) for one in some]
    whole, one = Engine(), Engine()
    for control in controls:
        whole.control(control)
        one.control(control)
    made: list[Decision] = []
    for record in history:
        made += [decision for _, decision in one.process([record])]
        one = Engine.restore(decode_state(encode_state(one.snapshot())))
        for control in controls:
            if control.received > one.received:
                one.control(control)
    expected = [decision for _, decision in whole.process(history)]
    end = history[-1].received
    assert by_subject(made + one.tick(end)) == by_subject(expected + whole.tick(end))


@given(histories())
@settings(max_examples=100, deadline=None)
def test_any_interleaving_of_other_subjects(history: list[Record]) -> None:
    alone = {
        subject: [one for one in history if one.subject == subject]
        for subject in {one.subject for one in history}
    }
    found: dict[str, list[bytes]] = {}
    for own in alone.values():
        found |= by_subject(decided([own], history[-1].received))
    assert found == by_subject(whole(history))


@given(histories())
@settings(max_examples=150, deadline=None)
def test_a_subjects_decisions_never_go_back_in_time_and_ids_never_repeat(
    history: list[Record],
) -> None:
    made = whole(history)
    for subject in {one.subject for one in made}:
        times = [parse_time(one.at) for one in made if one.subject == subject]
        assert times == sorted(times)
        assert all(time >= START - 10 * SECOND for time in times)
    assert len({one.id for one in made}) == len(made)
