"""Expired knowledge is not used: not for customers, not for people, by the day of the log."""

from pathlib import Path

import pytest

from flow.intervening import RUNBOOK, START, World, event
from forestall.context.knowledge.runbooks import read_runbook
from forestall.contracts.instants import DAY, SECOND, day_of
from forestall.intervene.effect_store import decode_case

DECLINES = (
    event("payment.declined", 0, order_id="o1"),
    event("payment.declined", 10, order_id="o2"),
)


def reviewed(world: World, days: int) -> None:
    """The runbook is to be reviewed so many days after the day on which the log starts."""
    day = day_of(START + days * DAY)
    text = RUNBOOK.replace("2030-01-01", day.isoformat())
    world.runbooks["card-declined"] = read_runbook(text, "card.md")


def test_on_its_day_of_review_a_runbook_is_still_used(tmp_path: Path) -> None:
    world = World(tmp_path)
    reviewed(world, 0)
    world.settle(*DECLINES)
    assert world.messages() == ["Order o2 on your current plan is safe."]


def test_the_day_after_the_step_fails_and_says_why(tmp_path: Path) -> None:
    world = World(tmp_path)
    reviewed(world, -1)
    world.settle(*DECLINES)
    assert world.messages() == []
    assert world.told() == ["started", "failed 1 runbook-expired"]


def test_the_day_is_that_of_the_log(tmp_path: Path) -> None:
    world = World(tmp_path)
    reviewed(world, 1)
    world.settle(*DECLINES)
    assert world.told() == ["started"]
    later = 3 * DAY // SECOND
    world.settle(
        event("payment.declined", later, "s2", order_id="o3"),
        event("payment.declined", later + 10, "s2", order_id="o4"),
    )
    assert world.messages("s2", later) == []
    assert "failed 1 runbook-expired" in world.told()


@pytest.mark.parametrize(("days", "advised"), [(1, True), (-1, False)])
def test_people_are_not_told_what_has_expired_either(
    tmp_path: Path, days: int, advised: bool
) -> None:
    world = World(tmp_path)
    reviewed(world, days)
    world.settle(*DECLINES)
    world.report(11)
    world.tick(15 * 60)
    world.settle()
    cases = [
        decode_case(one)
        for one in world.store.effects.waiting(START * 2, 100)
        if one.kind == "escalation"
    ]
    told = [(case.advice, case.reply) for case in cases]
    said = ("Look at the decline code first.", "Order o2 on your current plan is safe.")
    assert told == [said if advised else (None, None)]
