"""A change tried over a history: the same decisions as two backtests make, side by side."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from forestall.contracts.control import Control, DecideSettings
from forestall.contracts.instants import HOUR, MINUTE
from forestall.decide.backtest import opening
from forestall.decide.trial import Became, Figures, Question, Sum, trial
from forestall.measure.statistics import Estimate
from forestall.policy.bundle import Bundle
from forestall.policy.language.model import Policy
from scenario import OPEN, event, on

TICKET = "forestall.ticket.opened"


def controls(*policies: Policy, settings: DecideSettings = OPEN) -> tuple[Control, ...]:
    return tuple(opening(Bundle(policies=policies), settings))


def asked(path: Path, old: tuple[Control, ...], new: tuple[Control, ...], *names: str) -> Figures:
    question = Question(
        path=path,
        old=old,
        new=new,
        names=names,
        settings=OPEN,
        outcome=TICKET,
        horizon=HOUR,
        gap=30 * MINUTE,
        resamples=50,
    )
    return trial(question, lambda _: None)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Four customers: two fail with much and then ask, one with little, one only looks."""
    lines = [
        event(0, "fail", {"amount": 50}, subject="a"),
        event(10, "fail", {"amount": 5}, subject="b"),
        event(20, "look", {}, subject="c"),
        event(60, TICKET, {"ticket": "t1"}, subject="a"),
        event(7200, "fail", {"amount": 60}, subject="a"),
        event(7300, "fail", {"amount": 70}, subject="d"),
        event(20_000, "look", {}, subject="c"),
    ]
    path = tmp_path / "history.ndjson"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


OLD = on("{event: fail}")
NEW = on("{event: fail, where: event.data.amount > 10}")
MORE = on("{event: look}", "greet")


def test_a_change_is_weighed_against_what_is_live(history: Path) -> None:
    found = asked(history, controls(OLD), controls(NEW), "p")
    assert (found.events, found.customers, found.sessions) == (7, 4, 6)
    assert (found.first, found.last) == (
        "2024-05-01T12:00:00.000000Z",
        "2024-05-01T17:33:20.000000Z",
    )
    (old,), (new,) = found.old, found.new
    assert (old.interventions, new.interventions) == (3, 2)
    assert [one.per_1000 for one in (old, new)] == pytest.approx([500.0, 333.33])
    assert [one.precision.value for one in (old, new)] == pytest.approx([1 / 3, 0.5])
    assert (found.gained, found.lost) == (0, 1)
    assert found.became == (Became("p", "intervene", "no decision", 1),)


def test_a_policy_that_is_new_has_nothing_before_it(history: Path) -> None:
    found = asked(history, controls(OLD), controls(OLD, MORE), "greet")
    assert found.old == (Sum("greet", per_1000=0.0),)
    assert found.new[0].interventions == 2
    assert (found.gained, found.lost) == (2, 0)


def test_others_are_told_where_the_change_takes_their_place(history: Path) -> None:
    settings = replace(OPEN, budget=1)
    first = on("{event: fail}", "first", priority=90)
    found = asked(
        history, controls(OLD, settings=settings), controls(OLD, first, settings=settings), "first"
    )
    assert (found.gained, found.lost) == (3, 3)
    assert {row.policy for row in found.became} == {"first", "p"}


def test_the_same_on_both_sides_differs_in_nothing(history: Path) -> None:
    found = asked(history, controls(OLD), controls(OLD), "p")
    assert found.old == found.new
    assert (found.gained, found.lost, found.became) == (0, 0, ())


def test_an_empty_history_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.ndjson"
    path.write_text("")
    found = asked(path, controls(OLD), controls(NEW), "p")
    assert (found.events, found.first, found.sessions) == (0, None, 0)
    assert found.new == (Sum("p", per_1000=None, precision=Estimate(None)),)


def test_it_tells_how_far_it_is(history: Path) -> None:
    heard: list[float] = []
    question = Question(
        path=history,
        old=controls(OLD),
        new=controls(NEW),
        names=("p",),
        settings=OPEN,
        outcome=TICKET,
        horizon=HOUR,
        gap=MINUTE,
        resamples=10,
    )
    trial(question, heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
