"""What models said against what happened: which decisions count, and who is warned when."""

from math import log

import numpy as np
import pytest

from forestall.contracts.control import ModelInForce, ModelsApplied
from forestall.contracts.decision import Mode, Outcome, Reason
from forestall.contracts.instants import DAY, HOUR
from forestall.measure.claims import ALPHA, EVERYBODY, LEAST, Asked, Calibration, Claims, asked_of
from forestall.measure.outcomes import SLACK
from forestall.measure.reading import Happening
from watched import (
    START,
    TICKET,
    confidence,
    decided,
    model_in_force,
    moment,
    record,
    when,
)

ASKED = {"m1": Asked(TICKET, DAY)}
RUNS = 1_000
END = moment(10_000)


def watch(
    happened: list[Happening], traits: tuple[str, ...] = (), now: int = END
) -> tuple[Calibration, ...]:
    claims = Claims(ASKED, traits)
    for one in sorted(happened, key=when):
        claims.take(one)
    return claims.result(now)


def only(happened: list[Happening], now: int = END) -> Calibration:
    (one,) = watch(happened, now=now)
    return one


def kept_aside(hours: float, subject: str, said: float = 0.5) -> Happening:
    return decided(hours, subject, "holdout", "policy_holdout", said=[confidence(said)])


def history(
    customers: int, seed: int, off: float = 0.0, plan: str | None = None, first: int = 0
) -> list[Happening]:
    """Customers kept aside, one an hour; the log-odds of a ticket are ``off`` by so much."""
    chance = np.random.default_rng(seed)
    odds = chance.uniform(-3, 1, customers)
    true = 1 / (1 + np.exp(-(odds + off)))
    tickets = chance.random(customers) < true
    found: list[Happening] = []
    for number in range(customers):
        at, name = float(first + number), f"c{seed}-{number}"
        if plan is not None:
            found.append(record(at - 0.5, "forestall.identify", name, traits={"plan": plan}))
        found.append(kept_aside(at, name, float(1 / (1 + np.exp(-odds[number])))))
        if tickets[number]:
            found.append(record(at + float(chance.uniform(0.1, 24)), TICKET, name))
    return found


def test_a_true_model_raises_no_alarm() -> None:
    found = only(history(1_000, seed=1))
    assert (found.policy, found.model, found.version) == ("help", "churn", "m1")
    assert found.decisions == 1_000
    assert found.said == pytest.approx(found.happened, abs=0.04)
    assert found.enough
    assert not found.alarm


@pytest.mark.parametrize("off", [-1.0, 1.0])
def test_a_model_that_drifted_raises_one(off: float) -> None:
    found = only(history(1_000, seed=2, off=off))
    assert found.alarm
    assert (found.happened > found.said) == (off > 0)
    assert found.evidence > found.needed == pytest.approx(-log(ALPHA / 2))


def test_a_model_that_drifts_late_is_found_out_too() -> None:
    happened = history(1_000, seed=3) + history(1_500, seed=4, off=1.0, first=1_000)
    assert only(happened).alarm


def test_a_small_sample_is_never_an_alarm() -> None:
    found = only(history(LEAST - 1, seed=5, off=3.0))
    assert not found.enough
    assert not found.alarm


def test_an_alarm_names_the_segment() -> None:
    happened = history(800, 6, plan="free") + history(800, 7, off=1.5, plan="pro", first=800)
    found = {one.segment: one for one in watch(happened, ("plan",))}
    assert set(found) == {EVERYBODY, "plan=free", "plan=pro"}
    assert found["plan=pro"].alarm
    assert not found["plan=free"].alarm
    assert found["plan=free"].needed < found["plan=pro"].needed


def test_traits_not_asked_for_make_no_segment() -> None:
    assert len(watch(history(50, 8, plan="pro"))) == 1


def test_false_alarms_over_all_segments_and_moments_are_as_rare_as_stated() -> None:
    """Five segments, looked at after every decision, 1,000 runs at 5 %."""
    alarms = 0
    for run in range(RUNS):
        chance = np.random.default_rng(run)
        said = chance.uniform(0.05, 0.6, CUSTOMERS)
        tickets = chance.random(CUSTOMERS) < said
        claims = Claims(ASKED, ("plan",), alpha=0.05, least=1)
        for one in IDENTIFIED:
            claims.take(one)
        for number, probability in enumerate(said.tolist()):
            claims.take(kept_aside(1, f"c{number}", probability))
            if tickets[number]:
                claims.take(TICKETS[number])
        alarms += any(one.evidence >= one.needed for one in claims.result(END))
    assert alarms / RUNS <= 0.068


CUSTOMERS = 60
IDENTIFIED = [
    record(0.5, "forestall.identify", f"c{number}", traits={"plan": str(number % 4)})
    for number in range(CUSTOMERS)
]
TICKETS = [record(2, TICKET, f"c{number}") for number in range(CUSTOMERS)]


def test_only_what_caused_nothing_is_judged() -> None:
    def judged(outcome: Outcome, reason: Reason | None, mode: Mode = "live") -> int:
        found = watch([decided(1, "a", outcome, reason, mode=mode, said=[confidence(0.5)])])
        return sum(one.decisions for one in found)

    assert judged("intervene", None) == 0
    assert judged("intervene", None, "canary") == 0
    assert judged("holdout", "global_holdout", "shadow") == 0
    assert judged("holdout", "global_holdout") == 1
    assert judged("suppress", "low_confidence") == 1
    assert judged("suppress", "in_conversation") == 0


def test_a_ticket_counts_for_what_was_said_under_a_former_pseudonym() -> None:
    joined = record(3, "forestall.alias", "user", **{"from": "visitor"})
    happened = [kept_aside(1, "visitor"), kept_aside(2, "user"), joined, record(4, TICKET, "user")]
    assert (only(happened).decisions, only(happened).happened) == (2, 1.0)
    other = record(3, "forestall.alias", "user", **{"from": "another"})
    assert only([kept_aside(1, "visitor"), other, record(4, TICKET, "user")]).happened == 0


def test_segments_outlive_a_pseudonym() -> None:
    happened: list[Happening] = [
        record(0.1, "forestall.identify", "visitor", traits={"plan": "pro"}),
        record(0.2, "forestall.alias", "user", **{"from": "visitor"}),
        kept_aside(1, "user"),
    ]
    assert [one.segment for one in watch(happened, ("plan",))] == [EVERYBODY, "plan=pro"]


def test_joins_that_make_no_sense_make_no_trouble() -> None:
    happened: list[Happening] = [
        kept_aside(1, "a"),
        record(2, "forestall.alias", "a", **{"from": "a"}),
        record(3, "forestall.alias", "b", **{"from": "a"}),
        kept_aside(4, "a"),
        record(5, "forestall.alias", "b", **{"from": "a"}),
        record(6, "forestall.alias", "b", **{"from": 1}),
        record(7, "forestall.alias", "b"),
    ]
    assert only(happened).decisions == 2


def test_a_model_in_shadow_is_judged_beside_the_live_one() -> None:
    said = [confidence(0.5), confidence(0.2, "other", "shadow")]
    happened: list[Happening] = [decided(1, "a", "holdout", "policy_holdout", said=said)]
    claims = Claims({"m1": Asked(TICKET, DAY)})
    claims.take(happened[0])
    assert {one.model for one in claims.result(END)} == {"churn"}


def test_what_an_unknown_version_says_is_not_judged() -> None:
    claims = Claims({})
    claims.take(kept_aside(1, "a"))
    assert claims.result(END) == ()
    assert not claims._waiting


@pytest.mark.parametrize(
    ("at", "happened"), [(0.5, 0), (1.0, 0), (1.1, 1), (25.0, 1), (25.1, 0), (30.0, 0)]
)
def test_only_what_follows_within_the_horizon_counts(at: float, happened: int) -> None:
    found = only([kept_aside(1, "a"), record(at, TICKET, "a"), record(2, TICKET, "b")])
    assert (found.decisions, found.happened) == (1, happened)


def test_another_outcome_does_not_count() -> None:
    assert only([kept_aside(1, "a"), record(2, "page.viewed", "a")]).happened == 0


def test_a_decision_is_judged_once_its_horizon_is_over() -> None:
    due = moment(1) + DAY + SLACK
    happened = [kept_aside(1, "a"), record(2, TICKET, "a")]
    assert only(happened, now=due).decisions == 0
    assert only(happened, now=due + 1).decisions == 1


def test_the_outcome_does_not_bring_the_judgement_forward() -> None:
    """Else those with it would be judged first, and evidence would pile up out of nothing."""
    claims = Claims(ASKED)
    for subject in ("a", "b"):
        claims.take(kept_aside(1, subject))
    claims.take(record(2, TICKET, "b"))
    claims.take(record(20, "page.viewed", "c"))
    assert sum(one.wager.count for one in claims.watched.values()) == 0
    claims.take(record(27, "page.viewed", "c"))
    (watched,) = claims.watched.values()
    assert dict(watched.bins) == {(100, False): 1, (100, True): 1}


def test_a_customer_counts_once_within_a_horizon() -> None:
    happened = [kept_aside(at, "a") for at in (1, 2, 10, 30)] + [kept_aside(3, "b")]
    assert only(happened).decisions == 3


def test_memory_is_that_of_open_horizons() -> None:
    claims = Claims(ASKED)
    for number in range(2_000):
        claims.take(kept_aside(float(number), f"c{number}"))
        assert len(claims._waiting) <= 27
    assert sum(len(one) for one in claims._open.values()) <= 27


def test_hostile_traits_make_no_trouble() -> None:
    happened: list[Happening] = [
        record(0.1, "forestall.identify", "a", traits=["plan"]),
        record(0.2, "forestall.identify", "a", traits={"plan": {"deep": 1}}),
        record(0.3, "forestall.identify", "a"),
        kept_aside(1, "a"),
        record(1.5, "forestall.identify", "b", traits={"plan": "x" * 10_000}),
        kept_aside(2, "b"),
    ]
    found = watch(happened, ("plan",))
    assert [len(one.segment) for one in found] == [1, 105]


def test_the_models_of_the_log_say_what_they_predict() -> None:
    applied = model_in_force(horizon_hours=48)
    broken = ModelsApplied(START, (ModelInForce("x", "v", applied.models[0].content),), {}, "t", "")
    other = ModelInForce("y", "w", applied.models[0].content.__class__(b"{}"))
    found = asked_of([applied, broken, ModelsApplied(START, (other,), {}, "t", "")])
    assert found == {
        applied.models[0].version: Asked(TICKET, 48 * HOUR),
        "v": Asked(TICKET, 48 * HOUR),
    }
