"""Drift: every way in which folder, registry and what is in force can differ."""

import datetime
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.control import (
    Control,
    ModelInForce,
    ModelsApplied,
    PoliciesApplied,
    PolicyInForce,
)
from forestall.contracts.decision import Mode
from forestall.policy.drift import WORDS, Drift, Force, drift
from forestall.policy.lifecycle import Kind, State
from forestall.policy.plan import Item, Kept, content_of, hashed
from forestall.policy.reviews import Review, overdue


def item(version: str, name: str = "p", kind: Kind = "policy") -> Item:
    return Item(kind=kind, name=name, version=version, content=b"", source="", file="f")


def kept(version: str, state: State | None, name: str = "p", kind: Kind = "policy") -> Kept:
    return Kept(kind=kind, name=name, version=version, content=b"", source="", state=state)


def force(**versions: str) -> Force:
    return Force({("policy", name): version for name, version in versions.items()})


def what(found: Sequence[Drift]) -> list[str]:
    return [f"{one.kind} {one.name} {one.what}" for one in found]


def test_what_is_everywhere_the_same_has_not_drifted() -> None:
    assert drift([item("1")], [kept("1", "live")], force(p="1")) == []
    assert drift([item("1")], None, force(p="1")) == []
    assert drift([], [], force()) == []


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, "unknown"),
        ("retired", "retired"),
        ("draft", "on-its-way"),
        ("validated", "on-its-way"),
        ("backtested", "on-its-way"),
        ("shadow", "on-its-way"),
        ("canary", "on-its-way"),
    ],
)
def test_the_folder_has_another_version_than_is_live(state: State | None, expected: str) -> None:
    versions = [kept("1", "live"), *([] if state is None else [kept("2", state)])]
    (one,) = drift([item("2")], versions, force(p="1"))
    assert (one.what, one.folder, one.live, one.in_force) == (expected, "2", "1", "1")
    assert one.state == (state or "")
    assert one.wrong == (expected != "on-its-way")
    assert WORDS[one.what]


def test_the_folder_lacks_what_is_live() -> None:
    (one,) = drift([], [kept("1", "live"), kept("2", "draft", "q")], force(p="1"))
    assert (one.name, one.what, one.folder) == ("p", "absent", "")


def test_what_is_in_force_is_not_what_the_registry_says() -> None:
    assert what(drift([item("1")], [kept("1", "live")], force(p="2"))) == ["policy p not-in-force"]
    assert what(drift([item("1")], [kept("1", "live")], force())) == ["policy p not-in-force"]
    assert what(drift([], [], force(p="1"))) == ["policy p not-in-force"]


def test_both_differences_are_told() -> None:
    found = drift([item("3")], [kept("1", "live")], force(p="2"))
    assert what(found) == ["policy p not-in-force", "policy p unknown"]


def test_where_files_are_in_force_the_registry_says_nothing() -> None:
    assert what(drift([item("2")], None, force(p="1"))) == ["policy p not-in-force"]
    assert what(drift([], None, force(p="1"))) == ["policy p absent"]
    assert drift([item("1", "t", "threshold")], None, force()) == []


def test_kinds_that_the_folder_does_not_have_are_left_alone() -> None:
    model = kept("1", "live", "m", "model")
    assert drift([], [model], force()) == []
    found = drift([item("2", "n", "model")], [model], force())
    assert what(found) == ["model m not-in-force", "model m absent", "model n unknown"]


def test_agents_and_prompts_are_not_told_of_by_the_control_stream() -> None:
    assert drift([item("1", "a", "agent")], [kept("1", "live", "a", "agent")], force()) == []


def in_force(version: str, mode: Mode = "live", name: str = "p") -> PolicyInForce:
    return PolicyInForce(name, version, msgspec.Raw(b"{}"), mode=mode)


def policies(*those: PolicyInForce) -> Control:
    return PoliciesApplied(0, those, {}, "b", "w")


def test_the_newest_records_say_what_is_in_force() -> None:
    models = ModelsApplied(
        0,
        (
            ModelInForce("m", "7", msgspec.Raw(b"{}")),
            ModelInForce("m", "8", msgspec.Raw(b"{}"), mode="shadow"),
        ),
        {"p": 0.4},
        "b",
        "w",
    )
    found = Force.of(
        [
            policies(in_force("1"), in_force("9", name="gone")),
            models,
            policies(in_force("2"), in_force("3", "canary"), in_force("4", "shadow")),
        ]
    )
    assert found.versions == {
        ("policy", "p"): "2",
        ("model", "m"): "7",
        ("threshold", "p"): hashed(content_of(0.4)),
    }
    assert Force.of([models, ModelsApplied(0, (), {}, "b", "w")]).versions == {}


NAMES, VERSIONS = st.sampled_from("pq"), st.sampled_from("123")


@given(
    folder=st.dictionaries(NAMES, VERSIONS),
    live=st.dictionaries(NAMES, VERSIONS),
    now=st.dictionaries(NAMES, VERSIONS),
)
def test_nothing_drifts_exactly_where_all_three_agree(
    folder: dict[str, str], live: dict[str, str], now: dict[str, str]
) -> None:
    found = drift(
        [item(version, name) for name, version in folder.items()],
        [kept(version, "live", name) for name, version in live.items()],
        force(**now),
    )
    differing = {
        name for name in "pq" if len({folder.get(name), live.get(name), now.get(name)}) > 1
    }
    assert {one.name for one in found} == differing
    assert all(one.wrong for one in found)


# -- reviews ---------------------------------------------------------------------------------------

TODAY = datetime.date(2027, 2, 10)


def review(name: str, day: int) -> Review:
    return Review("policy", name, "care", datetime.date(2027, 2, day))


def test_a_review_is_overdue_the_day_after_its_day() -> None:
    found = overdue([review("a", 9), review("b", 10), review("c", 11)], TODAY)
    assert [(one.name, one.days, one.owner) for one in found] == [("a", 1, "care")]


def test_longest_overdue_comes_first() -> None:
    found = overdue([review("b", 9), review("a", 9), review("c", 1)], TODAY)
    assert [(one.name, one.days) for one in found] == [("c", 9), ("a", 1), ("b", 1)]
