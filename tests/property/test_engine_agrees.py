"""The engine and the brute-force reference agree on every decision.

500 examples in the ordinary suite, always the same ones; ``make soak`` takes 20,000 new ones
(another number with the environment variable ``FORESTALL_SOAK_EXAMPLES``). Where
``FORESTALL_EXAMPLES_PART`` is set, the ordinary suite takes that part of its examples: 5 is a fifth.
"""

import os
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings

from forestall.contracts.control import SettingsApplied
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.decide.engine import Engine, Order
from property.pages import told_by_pages
from property.scenarios import crowds, journeys, scenarios
from reference.comparing import FREE, Scenario, agree, reference
from reference.writing import event, feature, once, policy

SOAK = int(os.environ.get("FORESTALL_SOAK_EXAMPLES", "20000"))
PART = int(os.environ.get("FORESTALL_EXAMPLES_PART", "1"))
ALL_CHECKS = list(HealthCheck)


def examples(count: int) -> settings:
    """So many."""
    return settings(
        max_examples=count // PART,
        suppress_health_check=ALL_CHECKS,
    )


many = settings(
    max_examples=SOAK,
    database=None,
    suppress_health_check=ALL_CHECKS,
)


@pytest.mark.timeout(400)
@examples(500)
@given(scenarios())
def test_the_engine_agrees_with_the_reference(scenario: Scenario) -> None:
    agree(scenario)


@pytest.mark.timeout(400)
@examples(500)
@given(journeys())
def test_the_engine_agrees_on_versions_that_come_and_go(scenario: Scenario) -> None:
    agree(scenario)


@pytest.mark.timeout(400)
@examples(100)
@given(crowds())
def test_the_engine_agrees_on_more_keys_than_are_kept(scenario: Scenario) -> None:
    agree(scenario)


@pytest.mark.timeout(400)
@examples(250)
@given(told_by_pages())
def test_the_engine_agrees_on_what_pages_decided(scenario: Scenario) -> None:
    agree(scenario)


class Restless(Engine):
    """An engine that packs every subject after each record, forgets what it can, and prepares."""

    def process(self, records: Sequence[Record]) -> list[tuple[Order, Decision]]:
        out: list[tuple[Order, Decision]] = []
        for index, record in enumerate(records):
            out += [(2 * index + order, one) for order, one in super().process([record])]
            for _ in range(2):
                self.end_generation()
                self.population.pack_some(1_000)
            assert not self.population.closing
            self.prepare()
        return out


@pytest.mark.timeout(400)
@examples(150)
@given(scenarios())
def test_what_is_packed_and_forgotten_changes_nothing(scenario: Scenario) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("forestall.decide.backtest.Engine", Restless)
        if not any(isinstance(control, SettingsApplied) for control in scenario.controls):
            patch.setattr("forestall.decide.state.FORGET_AFTER", 0)
            patch.setattr("forestall.decide.state.ACTS_KEPT", 0)
        agree(scenario)


@pytest.mark.timeout(400)
@examples(100)
@given(told_by_pages())
def test_what_is_packed_changes_nothing_where_pages_decide(scenario: Scenario) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("forestall.decide.backtest.Engine", Restless)
        agree(scenario)


@pytest.mark.timeout(400)
@examples(150)
@given(journeys())
def test_what_is_packed_changes_nothing_while_versions_come_and_go(scenario: Scenario) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("forestall.decide.backtest.Engine", Restless)
        agree(scenario)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@many
@given(scenarios())
def test_the_engine_agrees_with_the_reference_at_length(scenario: Scenario) -> None:
    agree(scenario)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@many
@given(journeys())
def test_the_engine_agrees_on_versions_at_length(scenario: Scenario) -> None:
    agree(scenario)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@many
@given(told_by_pages())
def test_the_engine_agrees_on_pages_at_length(scenario: Scenario) -> None:
    agree(scenario)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@settings(many, max_examples=SOAK // 10)
@given(crowds())
def test_the_engine_agrees_on_more_keys_at_length(scenario: Scenario) -> None:
    agree(scenario)


def test_the_engine_agrees_on_more_events_than_a_feature_remembers() -> None:
    kept = {
        "first": feature("first", "a", value="event.data.x"),
        "least": feature("min", "a", value="event.data.x", over=60),
        "count": feature("count", "a", over=60),
        "late": feature("count", "a", over=2),
        "since": feature("since", "c"),
        "keyed": feature("first", "a", value="event.data.x", by="event.data.k"),
    }
    some = [policy(once("b"), features=kept)]
    many_events = [event(i / 5000, "a", str(i), data={"x": i, "k": i % 3}) for i in range(10_005)]
    ends = [event(3 + i, "b", data={"k": i}) for i in range(4)]
    agree(Scenario(some, [event(0, "c"), *many_events, *ends], FREE))
    assert reference(Scenario(some, [*many_events, ends[0]], FREE))[0]["features"] == {
        "first": 5, "least": 5, "count": 10_000, "late": 5004, "since": None, "keyed": 6,
    }  # fmt: skip
