"""The intervals of a report hold what they promise, in worlds whose effects are known.

Each world is drawn 1,000 times, and 2,000 times by ``make soak``. A 95 % interval that is right
covers the truth in 950 of them, give or take 14 or so; 93 to 97 % is asked for. What the report
refuses to print does not count.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from forestall.contracts.instants import DAY
from forestall.measure.cohorts import Question, Unit
from forestall.measure.effect import Contrast, Interval, sample_ratio
from forestall.measure.findings import Report
from forestall.measure.refusals import Arms, Outlook
from forestall.measure.report import Study, report
from forestall.measure.terms import plan_of
from forestall.measure.trails import TICKET, Trails
from simulator import Deployment, World, draw

RUNS = 2_000
WORLDS = {
    "nothing": World(customers=1_200, share=0.3),
    "fewer": World(customers=1_200, share=0.3, effect=-0.3, rate=0.3),
    "small holdout": World(customers=4_000, share=0.08, effect=-0.3, sessions=1.0),
    "unlike": World(customers=2_000, share=0.4, effect=0.3, alike=0.4, rate=0.4),
    "accounts": World(customers=1_600, share=0.3, effect=-0.3, accounts=5),
    "by account": World(customers=1_600, share=0.4, effect=-0.3, accounts=4, by_account=True),
}


def study(world: World) -> tuple[Study, Outlook]:
    unit: Unit = "account" if world.accounts else "subject"
    question = Question(horizon=7 * DAY, now=0, unit=unit)
    return Study(question, TICKET, closing=False), Outlook(unit, world.share, 10.0)


def contrasts(world: World, seed: int, runs: int) -> Iterator[tuple[Contrast, Contrast]]:
    """Per 1,000 customers and per 1,000 sessions, as often as both are printed."""
    asked, ahead = study(world)
    for run in range(runs):
        table = draw(world, np.random.default_rng([seed, run]))
        customers = asked.compare(table, "outcomes", ahead, 1000).contrast
        sessions = asked.per_session(table, ahead).contrast
        if customers is not None and sessions is not None:
            yield customers, sessions


def covers(interval: Interval | None, truth: float) -> bool:
    if interval is None or interval.low is None or interval.high is None:
        return False
    return interval.low <= truth <= interval.high


@pytest.mark.parametrize("runs", [RUNS // 2, pytest.param(RUNS, marks=pytest.mark.soak)])
@pytest.mark.parametrize("name", WORLDS)
def test_intervals_cover_the_truth(name: str, runs: int) -> None:
    world = WORLDS[name]
    found = list(contrasts(world, seed=11, runs=runs))
    assert len(found) > runs * 0.95
    shares = {
        "difference": np.mean([covers(one.difference, world.difference) for one, _ in found]),
        "unadjusted": np.mean([covers(one.unadjusted, world.difference) for one, _ in found]),
        "relative": np.mean([covers(one.relative, world.effect) for one, _ in found]),
        "sessions": np.mean([covers(one.difference, world.per_session) for _, one in found]),
    }
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares
    mean = np.mean([one.difference.value for one, _ in found])
    assert abs(mean - world.difference) < 0.05 * 1000 * world.rate


@pytest.mark.parametrize("displaced", [0.0, 1.0])
def test_what_only_came_later_is_noticed(displaced: float) -> None:
    world = World(customers=4_000, share=0.4, effect=-0.4, rate=0.5, displaced=displaced)
    asked, ahead = study(world)
    found = [
        asked.compare(draw(world, np.random.default_rng([9, run])), "later", ahead, 1000).contrast
        for run in range(100)
    ]
    above = sum(
        one is not None and one.difference.low is not None and one.difference.low > 0
        for one in found
    )
    assert above >= 95 if displaced else above <= 8


def made(world: Deployment, seed: int = 1) -> Report:
    """The report over a whole log of that world."""
    trails = Trails()
    trails.take(world.history(np.random.default_rng(seed)))
    question = Question(horizon=7 * DAY, now=world.end)
    return report(trails, plan_of(world.controls()), question, "page-fails")


def test_the_report_over_a_whole_log_finds_the_effect() -> None:
    world = World(customers=3_000, share=0.4, effect=-0.4, rate=0.4)
    (found,) = made(Deployment(world=world, everybody=0.1)).experiments
    assert found.figures is not None
    main = found.figures.outcomes.contrast
    assert main is not None
    assert covers(main.difference, world.difference)
    assert main.difference.high is not None
    assert main.difference.high < 0
    assert main.variance_removed > 0.05
    assert found.crossed == Arms(0, 0)


def test_a_split_that_is_not_the_declared_one_stops_the_number() -> None:
    world = World(customers=3_000, share=0.4)
    (found,) = made(Deployment(world=world, lost=0.25)).experiments
    assert found.figures is None
    assert found.refused is not None
    assert found.refused.code == "sample-ratio"
    assert found.sample_ratio is not None
    assert found.sample_ratio.p < 0.001


def test_an_engine_that_went_by_another_salt_is_noticed() -> None:
    world = World(customers=3_000, share=0.4)
    (found,) = made(Deployment(world=world, wrong_salt="salt")).experiments
    assert found.figures is None
    assert found.refused is not None
    assert found.refused.code == "contaminated"
    assert found.crossed.aside > 0.5 * found.entered.aside
    assert found.crossed.offered > 0.3 * found.entered.offered


def test_fair_splits_are_rarely_called_broken() -> None:
    drawn = np.random.default_rng(3).binomial(2_000, 0.1, RUNS)
    stopped = sum(sample_ratio(2_000 - int(aside), int(aside), 0.1) < 0.001 for aside in drawn)
    assert stopped <= 8
