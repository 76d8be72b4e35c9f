"""Courses of interventions: what was seen, how it ended, what an agent had for it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.intervening import START, event
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND
from forestall.contracts.intervention import REPORTS, Told
from forestall.measure.courses import Course, Courses


def report(told: Told, seconds: float, id_: str = "i1", **more: Any) -> tuple[Told, Record]:
    data = {"intervention": id_, "policy": "cards", "version": "v1", **more}
    return told, event(f"forestall.intervention.{told}", seconds, "alice", **data)


def courses(*reports: tuple[Told, Record]) -> list[Course]:
    found = Courses()
    for told, record in reports:
        found.take(told, record)
    return list(found)


def only(*reports: tuple[Told, Record]) -> Course:
    (course,) = courses(*reports)
    return course


def at(seconds: float) -> int:
    return START + int(seconds * SECOND)


def test_a_course_is_known_by_its_first_report() -> None:
    course = only(report("started", 1), report("shown", 2, step=1), report("resolved", 5))
    assert (course.id, course.policy, course.version, course.subject) == (
        "i1",
        "cards",
        "v1",
        "alice",
    )
    assert (course.seen, course.last, course.helped) == (at(2), at(5), True)


def test_interventions_are_apart_and_come_by_id() -> None:
    found = courses(report("shown", 1, "b"), report("dismissed", 2, "a"), report("shown", 3, "b"))
    assert [course.id for course in found] == ["a", "b"]
    assert [course.seen for course in found] == [at(2), at(1)]


@pytest.mark.parametrize("told", ["shown", "seen", "acted", "dismissed", "answered"])
def test_what_shows_that_it_was_seen(told: Told) -> None:
    assert only(report(told, 1)).seen == at(1)


@pytest.mark.parametrize("told", ["started", "expired", "escalated", "filled", "failed", "taken"])
def test_what_does_not(told: Told) -> None:
    assert only(report(told, 1)).seen is None


@pytest.mark.parametrize("told", sorted(set(REPORTS.values())))
def test_only_three_endings_say_that_it_helped(told: Told) -> None:
    assert only(report(told, 1)).helped == (told in ("helped", "resolved", "remediated"))


def test_the_earliest_of_each_bad_end_counts_whatever_the_order() -> None:
    course = only(report("dismissed", 5), report("dismissed", 3), report("escalated", 9))
    assert course.ended == {"dismissed": at(3), "escalated": at(9)}
    assert course.seen == at(3)


GUIDES = {1: "one", 4: "two"}


@pytest.mark.parametrize(
    ("steps", "runbooks"),
    [
        ([1], {"one"}),
        ([4], {"two"}),
        ([1, 4], {"one", "two"}),
        ([2], set()),
        ([None], {"one", "two"}),
        ([2, None], set()),
        ([1, None], {"one"}),
        ([], {"one", "two"}),
    ],
)
def test_the_step_tells_the_runbook(steps: list[int | None], runbooks: set[str]) -> None:
    named: list[dict[str, Any]] = [{} if step is None else {"step": step} for step in steps]
    reports = [report("shown", 1, **more) for more in named] or [report("started", 1)]
    assert only(*reports).shown(GUIDES) == runbooks


def test_a_plans_runbook_is_its_own() -> None:
    course = only(report("filled", 1, plan={"runbook": "three"}), report("shown", 2, step=9))
    assert course.shown(GUIDES) == {"three"}
    assert course.shown({}) == {"three"}
    assert course.lost == {}


def inferred(told: Told = "filled", **inference: Any) -> Course:
    return only(report(told, 1, inference={"agent": "helper", **inference}))


def test_an_answer_without_evidence_is_lost() -> None:
    assert inferred(by="model").lost == {("helper", False): at(1)}
    assert inferred(by="composer", fallback="refused").lost == {("helper", False): at(1)}
    assert inferred("failed", by="model", fallback="budget").lost == {("helper", True): at(1)}
    assert inferred(by="model", evidence=["a@1#b"]).lost == {}
    assert inferred(by="function").lost == {}


@pytest.mark.parametrize(
    ("fallback", "unreached"),
    [
        ("no-model", True),
        ("budget", True),
        ("timeout", True),
        ("unreachable", True),
        ("rate-limited", True),
        ("cut-off", True),
        ("nonsense", False),
        ("low-confidence", False),
        ("refused", False),
        ("nothing-found", False),
        (None, False),
    ],
)
def test_whether_the_model_was_reached(fallback: str | None, unreached: bool) -> None:
    assert list(inferred(by="model", fallback=fallback).lost) == [("helper", unreached)]


def test_a_mood_that_sends_to_a_person_is_no_loss() -> None:
    course = inferred(by="tone")
    assert (course.to_person, course.lost) == (True, {})


@pytest.mark.parametrize(
    "data",
    [{}, {"intervention": 5, "policy": "p"}, {"intervention": "i"}, {"policy": "p"}],
)
def test_reports_that_do_not_say_what_they_are_about_are_left(data: dict[str, Any]) -> None:
    record = event("forestall.intervention.shown", 1, "alice", **data)
    assert courses(("shown", record)) == []


def test_data_of_other_shapes_does_no_harm() -> None:
    odd: list[Any] = [
        {"plan": 5, "inference": "x"},
        {"plan": {"runbook": 5}, "inference": {"by": 5, "evidence": 5}},
        {"step": "one"},
    ]
    for more in odd:
        assert only(report("filled", 1, **more)).planned == set()
    listed = msgspec.structs.replace(report("shown", 1)[1], data=msgspec.Raw(b"[1]"))
    assert courses(("shown", listed)) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(set(REPORTS.values()))),
            st.integers(0, 50),
            st.fixed_dictionaries(
                {}, optional={"plan": JSON, "inference": JSON, "step": JSON, "reason": JSON}
            ),
        ),
        max_size=8,
    )
)
def test_any_data_is_taken(rows: list[tuple[Told, int, dict[str, Any]]]) -> None:
    for course in courses(*(report(told, at_, **more) for told, at_, more in rows)):
        assert course.last == max(at(second) for _, second, _ in rows)
        assert course.seen is None or course.seen <= course.last
        assert all(ended <= course.last for ended in course.ended.values())
        assert course.shown({}) == course.planned
