"""The report over effects: every figure in its place, in numbers and in words."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest

from forestall.contracts.event import Record
from forestall.contracts.instants import DAY
from forestall.measure import wording
from forestall.measure.cohorts import Question
from forestall.measure.effect import Contrast
from forestall.measure.findings import Experiment, Figures, Moment, Money, Place, Report, Wait
from forestall.measure.reading import Happening
from forestall.measure.refusals import Arms, Code, SampleRatio
from forestall.measure.report import report
from forestall.measure.terms import Plan, plan_of
from forestall.measure.trails import TICKET, Trails
from simulator import PAST, POLICY, Deployment, World

WORLD = World(customers=2_500, share=0.4, effect=-0.4, rate=0.5)
WHOLE = Deployment(world=WORLD, everybody=0.3)


def telling(happened: list[Happening]) -> list[Happening]:
    """The same with channels, categories, closings, ratings, and now and then a reopening."""
    found: list[Happening] = []
    for one in happened:
        if isinstance(one, Record) and one.type == TICKET:
            number = len(found)
            said = {"ticket": one.id, "channel": ("chat", "mail")[number % 2], "category": "all"}
            found.append(msgspec.structs.replace(one, data=msgspec.Raw(msgspec.json.encode(said))))
            for kind, more in (
                ("closed", {}),
                ("rated", {"score": 3 + number % 3}),
                *([("reopened", {})] if number % 4 == 0 else []),
            ):
                data = msgspec.Raw(msgspec.json.encode({"ticket": one.id, **more}))
                found.append(
                    Record(
                        f"{kind}-{one.id}",
                        "t",
                        f"forestall.ticket.{kind}",
                        one.subject,
                        one.time,
                        one.received,
                        "server",
                        data,
                    )
                )
        else:
            found.append(one)
    return found


HAPPENED = telling(WHOLE.history(np.random.default_rng(2)))
PLAN = plan_of(WHOLE.controls())


def made(
    policy: str | None = None,
    plan: Plan = PLAN,
    money: Money | None = None,
    outcome: str = TICKET,
    **question: Any,
) -> Report:
    trails = Trails(outcome)
    trails.take(HAPPENED)
    asked = Question(**{"horizon": 7 * DAY, "now": WHOLE.end, **question})
    return report(trails, plan, asked, policy, money)


@pytest.fixture(scope="module")
def found() -> Report:
    return made(money=Money(10.0, 0.5))


@pytest.fixture(scope="module")
def own(found: Report) -> Experiment:
    return found.experiments[2]


@pytest.fixture(scope="module")
def figures(own: Experiment) -> Figures:
    assert own.figures is not None
    return own.figures


def value(figures: Figures, name: str) -> tuple[float, float]:
    contrast = getattr(figures, name).contrast
    assert contrast is not None
    return contrast.offered.value, contrast.aside.value


def test_there_is_an_experiment_for_everybody_the_reached_and_each_policy(found: Report) -> None:
    assert [(one.kind, one.policy) for one in found.experiments] == [
        ("everyone", None),
        ("reached", None),
        ("policy", POLICY),
    ]
    assert all(one.current and one.refused is None for one in found.experiments)
    assert found.customers == WORLD.customers
    assert found.decisions == sum(not isinstance(one, Record) for one in HAPPENED)


def test_the_truth_lies_in_the_interval(figures: Figures) -> None:
    main = figures.outcomes.contrast
    assert main is not None
    low, high = main.difference.low, main.difference.high
    assert low is not None
    assert high is not None
    assert low < WORLD.difference < high < 0
    assert main.relative is not None
    assert main.relative.high is not None
    assert main.relative.high < 0
    assert 0.05 < main.variance_removed < 0.6


def test_rates_fit_together(own: Experiment, figures: Figures) -> None:
    customers, sessions = value(figures, "outcomes"), value(figures, "per_session")
    each = value(figures, "sessions")
    assert customers[0] == pytest.approx(sessions[0] * each[0])
    assert customers[1] == pytest.approx(sessions[1] * each[1])
    cost, interventions = value(figures, "cost"), value(figures, "interventions")
    assert cost[1] == pytest.approx(10 * customers[1])
    assert cost[0] == pytest.approx(10 * customers[0] + 0.5 * interventions[0])
    assert interventions == (1000, 0)
    interaction = value(figures, "interaction")
    assert interaction[1] == 10
    assert interaction[0] == pytest.approx(cost[0] / (customers[0] + 1000))
    assert own.units == own.counted


def test_how_contacts_went_is_told(figures: Figures) -> None:
    assert all(0.3 < share < 0.9 for share in value(figures, "resolved"))
    assert all(3.8 < score < 4.2 for score in value(figures, "satisfaction"))
    assert all(0.2 < share < 0.5 for share in value(figures, "asked"))
    offered, aside = value(figures, "hours")
    assert 168 > offered > aside
    assert figures.own == Arms(0, 0)


def test_places_add_up_to_the_whole(figures: Figures) -> None:
    by = {(one.by, one.name): one.finding.contrast for one in figures.places}
    assert by.keys() == {("channel", "chat"), ("channel", "mail"), ("category", "all")}
    chat, mail = by["channel", "chat"], by["channel", "mail"]
    every = by["category", "all"]
    assert chat is not None
    assert mail is not None
    assert every is not None
    whole = value(figures, "outcomes")
    assert chat.aside.value + mail.aside.value == pytest.approx(whole[1])
    assert every.offered.value == pytest.approx(whole[0])


def test_the_difference_over_time_ends_at_the_difference(figures: Figures) -> None:
    moments = figures.over_time
    assert len(moments) > 20
    assert [one.at for one in moments] == sorted({one.at for one in moments})
    main = figures.outcomes.contrast
    assert main is not None
    assert moments[-1].difference == main.difference.value
    widths = [one.high - one.low for one in moments]
    assert widths[0] > 2 * widths[-1]


def test_waiting_falls_from_all_to_those_who_never_asked(figures: Figures) -> None:
    waits = figures.waiting
    assert (waits[0].hours, waits[0].offered, waits[0].aside) == (0, 1, 1)
    for one, after in pairwise(waits):
        assert one.offered >= after.offered
        assert one.aside >= after.aside
    asked = value(figures, "asked")
    assert waits[-1].hours == 168
    assert waits[-1].offered == pytest.approx(1 - asked[0])
    assert waits[-1].aside == pytest.approx(1 - asked[1])


def test_only_the_policy_asked_for() -> None:
    (one,) = made(POLICY).experiments
    assert one.policy == POLICY
    (one,) = made("unknown").experiments
    assert one.refused is not None
    assert one.refused.code == "no-holdout"
    assert "No policy unknown was ever in force" in one.refused.why
    assert POLICY in one.refused.what


def test_without_holdouts_it_says_how_to_have_some() -> None:
    bare = msgspec.structs.replace(PLAN, everyone=(), policies={POLICY: ()})
    found = made(plan=bare)
    everyone, reached, own = found.experiments
    for one in (everyone, reached):
        assert one.refused is not None
        assert one.refused.code == "no-holdout"
        assert "Set `holdout = 0.05` under [decide]" in one.refused.what
        assert "An interval of ±20 % of the rate needs about " in one.refused.what
        assert "at today's traffic that takes " in one.refused.what
    assert own.refused is not None
    assert "`holdout: 0.1`" in own.refused.what
    assert own.figures is None
    assert own.sample_ratio is None
    assert [one.kind for one in wording.current(found)] == ["everyone", "policy"]


def test_without_outcomes_no_holdout_can_be_planned() -> None:
    bare = msgspec.structs.replace(PLAN, policies={POLICY: ()})
    one = made(POLICY, plan=bare, outcome="call.made").experiments[0]
    assert one.refused is not None
    assert one.refused.what == "Give the policy a holdout, such as `holdout: 0.1`."


def test_the_advice_is_how_long_the_holdout_would_take() -> None:
    bare = msgspec.structs.replace(PLAN, policies={POLICY: ()}, everyone=())
    one = made(POLICY, plan=bare).experiments[0]
    assert one.refused is not None
    told = re.search(
        r"needs about ([\d,]+) customers kept aside; .* takes (\d+) days", one.refused.what
    )
    assert told is not None
    met = sum(not isinstance(happened, Record) for happened in HAPPENED)
    need, days = int(told[1].replace(",", "")), int(told[2])
    assert days == pytest.approx(need / (0.1 * met / WHOLE.days), rel=0.05)


def test_a_time_without_a_term_is_told_as_such() -> None:
    ended = msgspec.structs.replace(PLAN.everyone[0], end=DAY)
    one = made(plan=msgspec.structs.replace(PLAN, everyone=(ended,)), since=2 * DAY).experiments[0]
    assert one.refused is not None
    assert "Nobody was kept aside in the time" in one.refused.why


def test_another_share_begins_an_experiment_of_its_own() -> None:
    first, second = PLAN.policies[POLICY][0], PLAN.policies[POLICY][0]
    first = msgspec.structs.replace(first, end=43 * DAY)
    second = msgspec.structs.replace(second, start=43 * DAY, share=0.5)
    plan = msgspec.structs.replace(PLAN, policies={POLICY: (first, second)})
    earlier, current = made(POLICY, plan).experiments
    assert (earlier.current, current.current) == (False, True)
    assert earlier.figures is not None
    assert earlier.counted.aside < earlier.entered.aside < 300
    assert current.refused is not None
    assert current.refused.code == "contaminated"


def test_who_entered_before_the_first_event_that_is_left_is_not_counted() -> None:
    cut = (PAST + 10) * DAY
    trails = Trails()
    trails.take(one for one in HAPPENED if not isinstance(one, Record) or one.received >= cut)
    found = report(trails, PLAN, Question(horizon=7 * DAY, now=WHOLE.end), POLICY)
    (one,) = found.experiments
    assert found.since is None
    assert one.earlier > 200
    assert one.figures is not None
    assert value(one.figures, "outcomes")[1] == pytest.approx(1000 * WORLD.rate, rel=0.3)


def test_several_policies_without_a_holdout_are_told_in_one_line() -> None:
    plan = msgspec.structs.replace(PLAN, policies={**PLAN.policies, "b": (), "c": ()})
    found = made(plan=plan)
    assert wording.unmeasured(found) == ["b", "c"]
    assert [one.policy for one in wording.current(found)] == [None, None, POLICY]
    assert "they keep nobody aside: b, c." in wording.without(found)
    only = made("b", plan=plan)
    assert wording.without(only) == ""
    assert [one.policy for one in wording.current(only)] == ["b"]


def test_an_outcome_that_nobody_tells_of_has_no_number() -> None:
    one = made(POLICY, outcome="call.made").experiments[0]
    assert one.refused is not None
    assert one.refused.code == "few-outcomes"
    assert "0 call.made events" in one.refused.why


def test_without_closings_nothing_is_said_of_first_contact() -> None:
    trails = Trails()
    trails.take(one for one in HAPPENED if not isinstance(one, Record) or "closed" not in one.type)
    one = report(trails, PLAN, Question(horizon=7 * DAY, now=WHOLE.end), POLICY).experiments[0]
    assert one.figures is not None
    assert one.figures.resolved.refused is not None
    assert "forestall.ticket.closed" in one.figures.resolved.refused.why
    assert one.figures.cost is None


def test_without_sessions_there_is_no_rate_by_session() -> None:
    trails = Trails()
    trails.take(one for one in HAPPENED if not isinstance(one, Record) or one.type == TICKET)
    one = report(trails, PLAN, Question(horizon=7 * DAY, now=WHOLE.end), POLICY).experiments[0]
    assert one.figures is not None
    assert one.figures.outcomes.contrast is not None
    assert one.figures.per_session.contrast is None
    assert one.figures.per_session.refused is not None
    assert "nothing to count it by" in one.figures.per_session.refused.why


def test_json_and_back(found: Report) -> None:
    assert msgspec.json.decode(msgspec.json.encode(found), type=Report) == found


# -- in words ----------------------------------------------------------------------------------


def test_a_saving_is_told_with_its_interval(own: Experiment, found: Report) -> None:
    told = wording.verdict(own, found)
    assert told.startswith("Help spared ")
    assert "tickets per 1,000 customers (" in told
    assert "% fewer (" in told
    assert wording.title(own) == POLICY
    assert wording.against(own) == "against its own holdout of 40 %, from the beginning"


def altered(own: Experiment, value: float, low: float, high: float) -> Experiment:
    """The experiment with another difference, without a relative one."""
    assert own.figures is not None
    main = own.figures.outcomes.contrast
    assert main is not None
    gap = msgspec.structs.replace(main.difference, value=value, low=low, high=high)
    other = msgspec.structs.replace(main, difference=gap, relative=None)
    outcomes = msgspec.structs.replace(own.figures.outcomes, contrast=other)
    figures = msgspec.structs.replace(own.figures, outcomes=outcomes, later=outcomes)
    return msgspec.structs.replace(own, figures=figures)


def test_harm_and_nothing_are_told_as_plainly(own: Experiment, found: Report) -> None:
    harm = altered(own, 12.0, 2.0, 22.0)
    assert wording.verdict(harm, found) == (
        "Help brought 12.0 tickets per 1,000 customers (2.0 to 22.0)."
    )
    assert "2.0 to 22.0 more per 1,000: some of it only came later" in wording.displacement(
        harm, found
    )
    nothing = altered(own, 1.0, -4.0, 6.0)
    assert wording.verdict(nothing, found) == (
        "No difference can be told: between 4.0 tickets fewer and 6.0 more per 1,000 customers."
    )
    assert "between 4.0 tickets fewer" in wording.displacement(nothing, found)
    both = altered(own, -5.0, -8.0, -2.0)
    assert "fewer as well: 2.0 to 8.0" in wording.displacement(both, found)


def test_notes_say_who_is_not_counted(own: Experiment) -> None:
    odd = msgspec.structs.replace(
        own,
        earlier=1234,
        unknown=5,
        versions=2,
        crossed=Arms(1, 2),
        entered=Arms(own.counted.offered + 3, own.counted.aside),
    )
    told = " ".join(wording.notes(odd))
    for part in (
        "3 offered help and 0 kept aside entered too lately",
        "1,234 had entered before",
        "5 cannot be told",
        "2 kept aside were helped all the same, and 1 to be helped were held back",
        "2 versions acted",
        "40 % expected",
        "in the global holdout",
    ):
        assert part in told


def test_every_figure_has_a_row(figures: Figures, found: Report) -> None:
    rows = {row.label: row for row in wording.rows(figures, found)}
    assert len(rows) == 14
    assert rows["interventions per 1,000 customers"].offered == "1,000"
    assert rows["cost per 1,000 customers"].relative.startswith("−")
    assert all(row.offered and not row.remark for row in rows.values())
    assert "of the variance of tickets" in wording.adjustment(figures, found)


@pytest.mark.parametrize(
    ("value", "told"), [(1.25, "+1.2"), (-1234.5, "−1,234"), (0.01, "0.0"), (-0.01, "0.0")]
)
def test_numbers_have_their_sign(value: float, told: str) -> None:
    assert wording.signed(value, wording.number) == told


def test_a_horizon_longer_than_the_log_has_no_number() -> None:
    one = made(POLICY, horizon=90 * DAY).experiments[0]
    assert one.refused is not None
    assert one.refused.code == "unfinished"
    assert wording.verdict(one, made(POLICY, horizon=90 * DAY)).startswith(
        "No number. Nobody's 90d"
    )


def test_a_shorter_horizon_counts_less() -> None:
    short, long = (made(POLICY, horizon=span).experiments[0] for span in (2 * DAY, 7 * DAY))
    assert short.figures is not None
    assert long.figures is not None
    assert value(short.figures, "outcomes")[1] < value(long.figures, "outcomes")[1] / 2


@pytest.mark.parametrize(
    "kind", [Report, Experiment, Figures, Contrast, SampleRatio, Place, Wait, Moment]
)
def test_every_name_in_the_json_is_documented(kind: type[msgspec.Struct]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "effect.md").read_text()
    for name in kind.__struct_fields__:
        assert f"`{name}`" in page, name


@pytest.mark.parametrize("code", get_args(Code))
def test_every_refusal_is_documented(code: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "effect.md").read_text()
    assert f"| `{code}` |" in page
