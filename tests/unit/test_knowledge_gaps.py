"""Gaps in our knowledge: what counts, whom it counts, and what is done about it."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.intervening import START, event
from forestall.contracts.event import Record
from forestall.contracts.instants import DAY, SECOND
from forestall.measure.knowledge_gaps import Asked, Gap, Gaps, knowledge_gaps
from forestall.measure.likeness import stemmer
from forestall.privacy.masking import Masks

HOUR = 3600.0
STEM = stemmer()
GUIDES = {("cards", "v1"): {1: "card-declined"}, ("slow", "v1"): {}}


def asked(**more: Any) -> Asked:
    told: dict[str, Any] = {
        "since": START,
        "now": START + 10 * DAY,
        "searches": {"help.searched": "query", "app.asked": "form.words"},
        "answered": lambda words: "invoice" in words,
        "mask": lambda words: Masks().hide(words),
        "stem": STEM,
        "guides": GUIDES,
        "versions": {"card-declined": 3},
        "agents": {"helper": True, "strict": False},
        **more,
    }
    return Asked(**told)


def search(seconds: float, subject: str, query: str) -> Record:
    return event("help.searched", seconds, subject, query=query)


def vote(seconds: float, subject: str, helpful: bool, version: int = 3) -> Record:
    data: dict[str, Any] = {"runbook": "card-declined", "version": version, "helpful": helpful}
    return event("forestall.knowledge.voted", seconds, subject, **data)


def told(
    what: str, seconds: float, subject: str, policy: str = "cards", id_: str = "", **more: Any
) -> Record:
    data = {"intervention": id_ or f"i-{subject}", "policy": policy, "version": "v1", **more}
    return event(f"forestall.intervention.{what}", seconds, subject, **data)


def ticket(seconds: float, subject: str, **more: Any) -> Record:
    return event("forestall.ticket.opened", seconds, subject, ticket=f"t{seconds}", **more)


def found(*records: Record, **more: Any) -> Gaps:
    return knowledge_gaps(records, asked(**more))


def only(gaps: Gaps) -> Gap:
    (gap,) = gaps.gaps
    return gap


def names(gaps: Gaps) -> list[str]:
    return [gap.name for gap in gaps.gaps]


# -- searches --------------------------------------------------------------------------------------


def test_searches_without_a_good_answer_are_a_gap() -> None:
    gaps = found(
        search(1, "a", "gift card balance"),
        search(2, "b", "Balance of my gift card?"),
        search(3, "c", "where is my invoice"),
    )
    gap = only(gaps)
    assert (gap.about, gap.customers, gap.concerned, gap.share) == ("words", 2, 3, 2 / 3)
    assert gap.todo == f"write an article or a runbook about: {gap.name}"
    assert set(gap.name.split()) == {"gift", "card", "balance"}
    assert gap.by == {"searched": 2}
    assert (gaps.searches, gaps.unanswered, gaps.customers, gaps.times) == (3, 2, 2, 2)


def test_one_customer_who_repeats_is_one_customer() -> None:
    gaps = found(
        *(search(second, "a", "gift card balance") for second in range(9)),
        search(1, "b", "refund voucher"),
        search(2, "c", "refund voucher"),
    )
    assert [(gap.name, gap.customers, gap.times) for gap in gaps.gaps] == [
        ("refund voucher", 2, 2),
        ("gift card balance", 1, 9),
    ]


def test_pseudonyms_of_one_person_are_one_customer() -> None:
    former: dict[str, Any] = {"from": "visitor"}
    gap = only(
        found(
            search(1, "visitor", "gift card"),
            search(2, "a", "gift card"),
            event("forestall.alias", 3, "a", **former),
        )
    )
    assert (gap.customers, gap.concerned, gap.times) == (1, 1, 2)


def test_examples_are_masked_and_those_of_most_customers() -> None:
    gap = only(
        found(
            search(1, "a", "change eve@example.com"),
            search(2, "b", "change joe@example.com"),
            search(3, "c", "how do I change"),
        )
    )
    assert gap.name == "change"
    assert gap.examples == ("change [email-1]", "how do I change")
    assert "example.com" not in msgspec.json.encode(gap).decode()


@pytest.mark.parametrize(
    "record",
    [
        event("help.searched", 1, "a"),
        event("help.searched", 1, "a", query=5),
        event("help.searched", 1, "a", query="  "),
        event("help.searched", 1, "a", query="???"),
        event("app.asked", 1, "a", form="gift"),
        event("other.searched", 1, "a", query="gift card"),
        search(-5, "a", "gift card"),
        search(11 * 24 * HOUR, "a", "gift card"),
    ],
)
def test_what_is_no_search(record: Record) -> None:
    assert found(record).gaps == ()


def test_words_may_lie_deeper() -> None:
    assert names(found(event("app.asked", 1, "a", form={"words": "gift card"}))) == ["gift card"]


def test_trends() -> None:
    early, late = 1 * 24 * HOUR, 9 * 24 * HOUR
    assert only(found(search(late, "a", "x1"))).trend == "new"
    gap = only(found(search(early, "a", "x1"), search(late, "b", "x1"), search(late, "c", "x1")))
    assert (gap.earlier, gap.later, gap.trend) == (1, 2, "rising")
    assert only(found(search(early, "a", "x1"), search(late, "a", "x1"))).trend == "steady"
    assert only(found(search(early, "a", "x1"))).trend == "falling"


def test_customers_who_wrote_afterwards_are_counted() -> None:
    gap = only(
        found(
            ticket(0, "b"),
            search(1, "a", "gift card"),
            search(1, "b", "gift card"),
            search(1, "c", "gift card"),
            ticket(2, "a"),
            ticket(3, "a"),
            ticket(1 + 8 * 24 * HOUR, "c"),
        )
    )
    assert (gap.customers, gap.tickets) == (3, 1)


# -- votes -----------------------------------------------------------------------------------------


def test_unhelpful_votes_ask_for_a_revision() -> None:
    gap = only(found(vote(1, "a", False), vote(2, "b", True), vote(3, "c", False)))
    assert (gap.about, gap.name, gap.todo) == (
        "runbook",
        "card-declined@3",
        "revise card-declined@3",
    )
    assert (gap.customers, gap.concerned, gap.by) == (2, 3, {"voted": 2})


def test_the_newest_vote_of_a_customer_counts() -> None:
    assert found(vote(1, "a", False), vote(2, "a", True)).gaps == ()
    assert only(found(vote(2, "a", False), vote(1, "a", True))).times == 1


def test_votes_on_earlier_versions_are_settled() -> None:
    assert found(vote(1, "a", False, version=2)).gaps == ()


def test_votes_on_what_we_do_not_have_are_no_gap() -> None:
    for versions in ({}, {"other": 1}):
        gaps = found(vote(1, "a", False), versions=versions)
        assert (gaps.gaps, gaps.customers, gaps.times) == ((), 0, 0)


# -- interventions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["dismissed", "expired", "escalated"])
def test_guidance_that_did_not_help(end: str) -> None:
    gap = only(found(told("shown", 1, "a", step=1), told(end, 2, "a")))
    assert (gap.name, gap.by, gap.examples) == ("card-declined@3", {end: 1}, ("i-a",))


def test_a_ticket_after_guidance_says_that_it_did_not_help() -> None:
    shown = told("shown", 1, "a", step=1)
    assert only(found(shown, ticket(5, "a"))).by == {"ticket": 1}
    assert found(shown, ticket(0.5, "a")).gaps == ()
    assert found(shown, ticket(8 * 24 * HOUR, "a")).gaps == ()
    assert found(shown, ticket(5, "b")).gaps == ()
    assert found(shown, ticket(5, "a", intervention="i-a")).gaps == ()


@pytest.mark.parametrize("good", ["helped", "resolved", "remediated"])
def test_guidance_that_helped_is_no_gap(good: str) -> None:
    shown = told("shown", 1, "a", step=1)
    assert found(shown, told("dismissed", 2, "a"), told(good, 3, "a"), ticket(4, "a")).gaps == ()


def test_guidance_that_nobody_saw_is_not_to_blame() -> None:
    assert found(told("started", 1, "a"), told("expired", 2, "a")).gaps == ()
    assert found(told("started", 1, "a"), told("escalated", 2, "a")).gaps == ()


def test_which_runbook_was_shown_is_told_by_the_step() -> None:
    guides = {("cards", "v1"): {1: "one", 4: "two"}}
    seen = told("shown", 1, "a", step=4)
    assert names(found(seen, told("dismissed", 2, "a", step=4), guides=guides)) == ["two"]
    both = told("dismissed", 2, "a")
    assert names(found(both, guides=guides)) == ["one", "two"]
    text = told("shown", 1, "a", step=2)
    assert found(text, told("dismissed", 2, "a", step=2), guides=guides).gaps == ()


def test_a_plan_brings_its_own_runbook() -> None:
    plan: dict[str, Any] = {
        "plan": {"runbook": "ways-to-pay"},
        "inference": {"by": "model", "evidence": ["x"]},
    }
    gap = only(
        found(
            told("filled", 1, "a", policy="slow", step=1, **plan),
            told("shown", 2, "a", policy="slow", step=7),
            told("escalated", 3, "a", policy="slow"),
        )
    )
    assert (gap.name, gap.by) == ("ways-to-pay", {"escalated": 1})


def test_a_gap_counts_everything_that_happened_with_a_runbook() -> None:
    gap = only(
        found(
            vote(1, "a", False),
            told("shown", 1, "a", step=1),
            told("dismissed", 2, "a", step=1),
            told("shown", 3, "b", step=1),
            told("expired", 4, "b"),
            told("shown", 3, "c", step=1),
            told("resolved", 4, "c"),
        )
    )
    assert gap.by == {"dismissed": 1, "expired": 1, "voted": 1}
    assert (gap.customers, gap.concerned, gap.times) == (2, 3, 3)


# -- policies --------------------------------------------------------------------------------------


def test_escalations_without_a_runbook() -> None:
    gap = only(
        found(
            told("escalated", 1, "a", policy="slow"),
            told("escalated", 1, "b", policy="slow"),
            told("resolved", 2, "c", policy="slow"),
        )
    )
    assert (gap.about, gap.name, gap.by) == ("policy", "slow", {"uncovered": 2})
    assert gap.todo == "write a runbook for the policy slow, and let it guide"
    assert (gap.customers, gap.concerned, gap.examples) == (2, 3, ("i-a", "i-b"))


def test_a_policy_whose_agent_plans_needs_no_runbook_of_its_own() -> None:
    records = (
        told("failed", 1, "a", policy="slow", step=1, reason="bad-arguments"),
        told("escalated", 2, "a", policy="slow"),
    )
    assert names(found(*records)) == ["slow"]
    assert found(*records, plans={("slow", "v1")}).gaps == ()
    assert names(found(*records, plans={("slow", "v2"), ("cards", "v1")})) == ["slow"]


def test_whoever_goes_to_a_person_at_once_is_no_gap() -> None:
    tone: dict[str, Any] = {"inference": {"by": "tone", "agent": "helper"}}
    records = (
        told("filled", 1, "a", policy="slow", step=1, **tone),
        told("escalated", 2, "a", policy="slow"),
    )
    assert found(*records).gaps == ()


def test_agents_that_found_nothing() -> None:
    lost: dict[str, Any] = {
        "inference": {"by": "composer", "agent": "helper", "fallback": "no-model"}
    }
    gap = only(
        found(told("filled", 1, "a", step=1, **lost), told("filled", 2, "a", step=2, **lost))
    )
    assert (gap.about, gap.name, gap.by, gap.times) == ("policy", "cards", {"retrieved": 1}, 1)
    assert gap.todo == "write about what agents are asked in the policy cards"


def test_what_the_composer_looked_for_in_vain_is_a_gap() -> None:
    for by, agents in (("nobody", {"helper": True}), ("nobody", {"helper": False})):
        lost: dict[str, Any] = {
            "inference": {"by": by, "agent": "helper", "fallback": "nothing-found"}
        }
        records = [told("failed", 1, "a", step=1, reason="nothing-found", **lost)]
        gap = only(found(*records, agents=agents))
        assert gap.by == {"retrieved": 1}


def test_agents_that_failed_tell_it_too() -> None:
    lost: dict[str, Any] = {"inference": {"by": "model", "agent": "helper", "fallback": "timeout"}}
    assert only(found(told("failed", 1, "a", step=1, **lost))).by == {"retrieved": 1}
    unsure = {"by": "model", "agent": "strict", "fallback": "low-confidence"}
    assert only(found(told("filled", 1, "a", step=1, inference=unsure))).by == {"retrieved": 1}


@pytest.mark.parametrize(
    "inference",
    [
        None,
        {"by": "composer", "agent": "helper", "evidence": ["r@1#customer"]},
        {"by": "function", "agent": "helper"},
        {"by": "composer", "agent": "without-knowledge"},
        {"by": "model", "agent": "strict", "fallback": "unreachable"},
    ],
)
def test_agents_that_found_something_or_never_search(inference: Any) -> None:
    more = {} if inference is None else {"inference": inference}
    assert found(told("filled", 1, "a", step=1, **more)).gaps == ()


def test_reports_that_say_nothing_are_left() -> None:
    assert found(event("forestall.intervention.escalated", 1, "a", policy="slow")).gaps == ()
    broken = msgspec.structs.replace(told("escalated", 1, "a"), data=msgspec.Raw(b"[]"))
    assert found(broken).gaps == ()


def test_only_the_time_asked_about_counts() -> None:
    old = -20 * 24 * HOUR
    assert found(told("escalated", old, "a", policy="slow")).gaps == ()
    late = only(found(told("shown", -HOUR, "a", step=1), told("dismissed", 1, "a")))
    assert late.customers == late.concerned == 1


# -- all together ----------------------------------------------------------------------------------


def test_most_customers_first() -> None:
    gaps = found(
        search(1, "a", "gift card"),
        vote(1, "a", False),
        vote(1, "b", False),
        told("escalated", 1, "a", policy="slow"),
        told("escalated", 1, "b", policy="slow"),
        told("escalated", 1, "c", policy="slow"),
    )
    assert names(gaps) == ["slow", "card-declined@3", "gift card"]
    assert (gaps.customers, gaps.times) == (3, 6)


CUSTOMERS = ("a", "b", "c")
HAPPENED = st.tuples(
    st.sampled_from(CUSTOMERS),
    st.sampled_from(["gift card", "the gift card", "voucher", "up", "down", "shown", "escalated",
                     "dismissed", "resolved", "ticket", "uncovered"]),
)  # fmt: skip


def record(index: int, subject: str, what: str) -> Record:
    seconds = index * HOUR
    match what:
        case "up" | "down":
            return vote(seconds, subject, what == "up")
        case "ticket":
            return ticket(seconds, subject)
        case "uncovered":
            return told("escalated", seconds, subject, policy="slow", id_=f"s-{subject}")
        case "shown" | "escalated" | "dismissed" | "resolved":
            return told(what, seconds, subject, step=1)
    return search(seconds, subject, what)


def of_one(records: Iterable[Record], subject: str) -> list[Record]:
    return [one for one in records if one.subject == subject]


@given(st.lists(HAPPENED, max_size=25), st.permutations(CUSTOMERS))
def test_the_order_between_customers_plays_no_part(
    happened: list[tuple[str, str]], order: list[str]
) -> None:
    records = [record(index, *one) for index, one in enumerate(happened)]
    one_by_one = [one for subject in order for one in of_one(records, subject)]
    assert found(*one_by_one) == found(*records)


@given(st.lists(HAPPENED, max_size=25))
def test_counts_add_up(happened: list[tuple[str, str]]) -> None:
    gaps = found(*(record(index, *one) for index, one in enumerate(happened)))
    assert gaps.times == sum(gap.times for gap in gaps.gaps)
    assert gaps.unanswered <= gaps.searches
    for gap in gaps.gaps:
        assert 0 < gap.customers <= sum(gap.by.values()) <= gap.times
        assert gap.customers <= gap.concerned <= len(CUSTOMERS)
        assert max(gap.earlier, gap.later) <= gap.customers <= gap.earlier + gap.later
        assert gap.tickets <= gap.customers
        assert 0 < gap.share <= 1
        assert gap.first <= gap.last
    assert [gap.customers for gap in gaps.gaps] == sorted(
        (gap.customers for gap in gaps.gaps), reverse=True
    )


@given(st.lists(HAPPENED, max_size=20), st.sampled_from(CUSTOMERS))
def test_repeating_everything_adds_no_customer(
    happened: list[tuple[str, str]], subject: str
) -> None:
    records = [record(index, *one) for index, one in enumerate(happened)]
    again = [
        msgspec.structs.replace(one, received=one.received + SECOND)
        for one in of_one(records, subject)
    ]
    before, after = found(*records), found(*records, *again)
    assert {gap.name: gap.customers for gap in before.gaps} == {
        gap.name: gap.customers for gap in after.gaps
    }
