"""Cohorts: who enters where and when, in which arm, and what followed."""

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import pytest

from forestall.contracts.event import Record
from forestall.contracts.instants import DAY, HOUR
from forestall.measure.cohorts import (
    OTHERS,
    PLACES,
    SLACK,
    Cohort,
    Cohorts,
    Kind,
    Question,
    Table,
    later_done,
    table,
)
from forestall.measure.reading import Happening
from forestall.measure.terms import Plan, Term, Version
from forestall.measure.trails import TICKET, Trails
from simulator import decided

WEEK = 7 * DAY
NOW = 100 * DAY
START = 10 * DAY
VERSIONS = {"v1": Version("a", 0.3, False), "pay": Version("pay", 0.3, True)}


def plan(**more: Any) -> Plan:
    """One global holdout and one of policy a, both from day 10."""
    whole: dict[str, Any] = {
        "everyone": (Term(START, None, "s", 0.3, START),),
        "policies": {"a": (Term(START, None, "s:a", 0.3, START, "s", 0.3),)},
        "versions": VERSIONS,
    }
    return Plan(**{**whole, **more})


def named(term: Term, aside: bool, belongs: bool = True) -> str:
    """A pseudonym that falls where it is asked to."""
    names = (f"c{number}" for number in range(1_000))
    return next(n for n in names if term.aside(n) is aside and term.belongs(n) is belongs)


GLOBAL = plan().everyone[0]
OWN = plan().policies["a"][0]
HELPED = named(OWN, aside=False)
HELD = named(OWN, aside=True)
NEITHER = named(OWN, aside=False, belongs=False)


def viewed(name: str, at: int) -> Record:
    return Record(f"{name}{at}", "t", "page.viewed", name, at, at)


def ticket(name: str, at: int, **data: Any) -> Record:
    raw = msgspec.Raw(msgspec.json.encode(data))
    return Record(f"t{name}{at}", "t", TICKET, name, at, at, "server", raw)


def cohorts(
    happened: Iterable[Happening], question: Question | None = None, by: Plan | None = None
) -> Cohorts:
    trails = Trails()
    trails.take(happened)
    found = Cohorts(by or plan(), question or Question(horizon=WEEK, now=NOW))
    for subject, trail in trails.whole():
        found.take(subject, trail)
    return found


def one(
    kind: Kind, happened: Iterable[Happening], question: Question | None = None, **more: Any
) -> Cohort:
    name = "a" if kind == "policy" else ""
    return cohorts(happened, question, plan(**more)).of(kind, name)[0]


def columns(cohort: Cohort, question: Question | None = None) -> dict[str, float]:
    """The sums of all columns."""
    whole = table(cohort, question or Question(horizon=WEEK, now=NOW))
    return {name: float(column.sum()) for name, column in whole.columns.items()}


def act(name: str, at: int, reason: Any = None, policy: str = "a", version: str = "v1") -> Any:
    return decided(name, at, reason, policy, version)


def test_everybody_enters_with_the_first_activity_in_the_term() -> None:
    found = one("everyone", [viewed("ann", START - HOUR), viewed("ann", START + DAY)])
    assert [entry.at for entry in found.entries] == [START + DAY]
    assert found.entries[0].aside == GLOBAL.aside("ann")
    assert not one("everyone", [viewed("ann", START - HOUR)]).entries
    assert not one("everyone", [ticket("ann", START + HOUR)]).entries


def test_who_meets_a_policy_enters_with_its_first_act_or_withholding() -> None:
    at = START + DAY
    happened = [
        act(HELPED, at),
        act(HELD, at + 1, "policy_holdout"),
        act(HELPED, at + DAY),
        act(NEITHER, at + DAY, "global_holdout"),
    ]
    found = one("policy", happened)
    assert [(entry.subject, entry.at, entry.aside) for entry in found.entries] == [
        (HELPED, at, False),
        (HELD, at + 1, True),
    ]
    assert found.entered == (1, 1)
    assert found.neither == 1
    assert found.versions == {"v1"}


def test_reached_is_who_a_policy_acted_on_or_the_global_holdout_kept_from_it() -> None:
    at = START + DAY
    happened = [
        act("ann", at, "policy_holdout"),
        act("ann", at + 1),
        act("bob", at, "global_holdout"),
        act("cat", at, policy="pay", version="pay"),
    ]
    found = one("reached", happened)
    assert [(entry.subject, entry.at) for entry in found.entries] == [("ann", at + 1), ("bob", at)]


def test_only_entries_of_the_time_asked_about_count_and_no_second_ones() -> None:
    at = START + DAY
    happened = [act(HELPED, at), act(HELPED, at + 9 * DAY), act(HELD, at + 5 * DAY)]
    since = Question(horizon=WEEK, now=NOW, since=at + DAY)
    found = one("policy", happened, since)
    assert [entry.subject for entry in found.entries] == [HELD]
    assert found.earlier == 1
    until = Question(horizon=WEEK, now=NOW, until=at + DAY)
    found = one("policy", happened, until)
    assert [entry.subject for entry in found.entries] == [HELPED]
    assert found.earlier == 0


def test_another_share_under_the_same_salt_is_no_second_entry() -> None:
    again = Term(40 * DAY, None, "s:a", 0.5, START)
    terms = (msgspec.structs.replace(OWN, end=40 * DAY), again)
    happened = [act(HELPED, START + DAY), act(HELPED, 41 * DAY), act(HELD, 42 * DAY)]
    first, second = cohorts(happened, by=plan(policies={"a": terms})).of("policy", "a")
    assert [entry.subject for entry in first.entries] == [HELPED]
    assert [entry.subject for entry in second.entries] == [HELD]


def test_a_version_that_was_never_in_force_cannot_be_told() -> None:
    found = one("policy", [act(HELPED, START + DAY, version="v0")])
    assert (found.unknown, found.entries) == (1, [])


def test_help_for_those_kept_aside_and_none_for_the_others_are_crossed() -> None:
    at = START + DAY
    assert one("policy", [act(HELD, at)]).crossed == [0, 1]
    assert one("policy", [act(HELPED, at, "policy_holdout")]).crossed == [1, 0]
    later = [act(HELD, at, "policy_holdout"), act(HELD, at + 8 * DAY)]
    assert one("policy", later).crossed == [0, 0]
    raw = msgspec.Raw(b'{"policy":"a"}')
    shown = Record("s", "t", "forestall.intervention.shown", HELD, at, at + 5, "server", raw)
    assert one("policy", [act(HELD, at, "policy_holdout"), shown]).crossed == [0, 1]


def test_a_transactional_policy_helps_the_global_holdout_too() -> None:
    at, name = START + DAY, named(GLOBAL, aside=True)
    exempt = [viewed(name, at), act(name, at + 1, policy="pay", version="pay")]
    assert one("everyone", exempt).crossed == [0, 0]
    assert one("everyone", [viewed(name, at), act(name, at + 1)]).crossed == [0, 1]


def test_somebody_with_two_pseudonyms_is_one_in_the_arm_of_the_surviving_one() -> None:
    at = START + DAY
    raw = msgspec.Raw(msgspec.json.encode({"from": HELPED}))
    alias = Record("a", "t", "forestall.alias", HELD, at + HOUR, at + HOUR, "server", raw)
    found = one("policy", [act(HELPED, at), alias, act(HELD, at + DAY, "policy_holdout")])
    assert [(entry.subject, entry.at, entry.aside) for entry in found.entries] == [(HELD, at, True)]
    assert found.crossed == [0, 1]


def test_what_followed_within_the_horizon_and_after_it() -> None:
    at = START + DAY
    happened = [
        viewed(HELPED, at - DAY),
        ticket(HELPED, at - DAY, ticket="past"),
        viewed(HELPED, at),
        act(HELPED, at),
        ticket(HELPED, at + 6 * HOUR, ticket="1", channel="chat", category="billing"),
        viewed(HELPED, at + 2 * DAY),
        act(HELPED, at + 2 * DAY),
        act(HELPED, at + 2 * DAY, policy="b"),
        ticket(HELPED, at + WEEK, ticket="2", intervention="i"),
        ticket(HELPED, at + WEEK + 1, ticket="3"),
        ticket(HELPED, at + 2 * WEEK + 1, ticket="4"),
    ]
    found = one("policy", happened)
    assert columns(found) == {
        "people": 1,
        "outcomes": 2,
        "sessions": 2,
        "before": 1,
        "sessions_before": 1,
        "later": 1,
        "asked": 1,
        "hours": 6,
        "own": 1,
        "resolved": 0,
        "ratings": 0,
        "scores": 0,
        "interventions": 2,
    }
    whole = table(found, Question(horizon=WEEK, now=NOW))
    assert {name: list(one) for name, one in whole.channels.items()} == {
        "chat": [1.0],
        "not told": [1.0],
    }
    assert list(whole.categories) == ["billing", "not told"]
    assert columns(one("reached", happened))["interventions"] == 3


def test_nobody_asked_is_the_whole_horizon() -> None:
    assert columns(one("policy", [act(HELPED, START + DAY)]))["hours"] == 168


def test_solved_at_first_contact_is_neither_reopened_nor_followed_by_another() -> None:
    at = START + DAY
    alone = [act(HELPED, at), ticket(HELPED, at + 5, ticket="a")]
    assert columns(one("policy", alone))["resolved"] == 1
    again = Record("r", "t", "forestall.ticket.reopened", HELPED, at + 9, at + 9, "server")
    again = msgspec.structs.replace(again, data=msgspec.Raw(b'{"ticket":"a"}'))
    assert columns(one("policy", [*alone, again]))["resolved"] == 0
    another = ticket(HELPED, at + 3 * DAY, ticket="b")
    assert columns(one("policy", [*alone, another]))["resolved"] == 1


def test_ratings_count_within_the_horizon() -> None:
    at = START + DAY

    def rated(when: int, score: int) -> Record:
        raw = msgspec.Raw(msgspec.json.encode({"ticket": "a", "score": score}))
        return Record(f"r{when}", "t", "forestall.ticket.rated", HELPED, when, when, "server", raw)

    happened = [rated(at - 1, 1), act(HELPED, at), rated(at + 5, 5), rated(at + 6, 2)]
    found = columns(one("policy", happened))
    assert (found["ratings"], found["scores"]) == (2, 7)


def test_the_past_of_everybody_ends_where_the_holdout_began() -> None:
    at = START + 3 * DAY
    name = "ann"
    happened = [ticket(name, START - DAY), viewed(name, START - DAY), ticket(name, START + DAY)]
    since = Question(horizon=WEEK, now=NOW, since=at)
    found = one("everyone", [*happened, viewed(name, at)], since)
    told = columns(found, since)
    assert (told["before"], told["sessions_before"]) == (1, 1)
    met = one("policy", [*happened, act(HELPED, at), ticket(HELPED, START + DAY)])
    assert columns(met)["before"] == 1


def test_only_those_whose_time_has_passed_are_counted() -> None:
    at = START + DAY
    happened = [act(HELPED, at), act(HELD, at + 1, "policy_holdout")]
    question = Question(horizon=WEEK, now=at + WEEK + SLACK)
    found = one("policy", happened, question)
    whole = table(found, question)
    assert (len(whole.entry), found.open_) == (1, [0, 1])
    assert not later_done(whole, found, question).any()
    question = Question(horizon=WEEK, now=at + 2 * WEEK + SLACK)
    assert list(later_done(table(found, question), found, question)) == [True, False]


def test_a_term_that_ended_counts_only_horizons_that_lie_in_it() -> None:
    at = START + DAY
    ended = msgspec.structs.replace(OWN, end=at + WEEK)
    happened = [act(HELPED, at), act(HELD, at + 1, "policy_holdout")]
    found = one("policy", happened, policies={"a": (ended,)})
    assert len(table(found, Question(horizon=WEEK, now=NOW)).entry) == 1
    assert found.open_ == [0, 1]


def test_accounts_are_units_and_who_has_none_cannot_be_told() -> None:
    at = START + DAY
    question = Question(horizon=WEEK, now=NOW, unit="account")
    happened: list[Happening] = []
    for name, account in ((HELPED, "x"), (HELD, "x"), ("z1", None)):
        raw = msgspec.Raw(msgspec.json.encode({"traits": {"account": account}}))
        happened.append(Record(name, "t", "forestall.identify", name, 1, 1, "server", raw))
    happened += [act(HELPED, at), act(HELD, at, "policy_holdout"), ticket(HELD, at + 5)]
    happened += [act("z1", at)] if OWN.belongs("z1") else [act(NEITHER, at)]
    found = one("policy", happened, question)
    whole = table(found, question)
    assert whole.units == 1
    assert whole.by_unit(whole.columns["people"]).tolist() == [[1.0], [1.0]]
    assert whole.by_unit(whole.columns["outcomes"]).tolist() == [[0.0], [1.0]]
    assert found.unknown + found.neither == 1


def test_rare_places_are_one() -> None:
    at = START + DAY
    happened = [act(HELPED, at)]
    for number in range(PLACES + 3):
        happened += [
            ticket(HELPED, at + 10 * number + time, category=f"k{number}")
            for time in range(1, 3 if number < PLACES else 2)
        ]
    whole = table(one("policy", happened), Question(horizon=WEEK, now=NOW))
    assert len(whole.categories) == PLACES + 1
    assert whole.categories[OTHERS].tolist() == [3.0]


def test_nobody_is_an_empty_table() -> None:
    whole = table(one("policy", []), Question(horizon=WEEK, now=NOW))
    assert whole.units == 0
    assert whole.by_unit(whole.columns["people"]).shape == (2, 0)
    assert [cohort.entries for cohort in cohorts([]).of("policy", "unknown")] == []


def test_a_part_of_a_table_numbers_its_units_anew() -> None:
    numbers = np.array([0, 1, 1, 2])
    whole = Table(
        aside=np.array([True, False, True, False]),
        entry=numbers,
        unit=numbers,
        units=3,
        columns={"people": np.ones(4)},
        channels={},
        categories={},
    )
    part = whole.where(numbers > 0)
    assert part.units == 2
    assert part.by_unit(part.columns["people"]).tolist() == [[1.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize("kind", ["everyone", "reached"])
def test_an_experiment_has_a_cohort_for_each_term(kind: Kind) -> None:
    two = (Term(START, 20 * DAY, "s", 0.3, START), Term(20 * DAY, None, "t", 0.3, 20 * DAY))
    happened = [
        viewed("ann", START),
        act("ann", START),
        viewed("ann", 21 * DAY),
        act("ann", 22 * DAY),
    ]
    first, second = cohorts(happened, by=plan(everyone=two)).of(kind)
    assert [entry.at for entry in first.entries] == [START]
    assert [entry.at for entry in second.entries] == [21 * DAY if kind == "everyone" else 22 * DAY]
