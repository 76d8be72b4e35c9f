"""A test as YAML: read back as it was, and put into a file without touching the rest of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from forestall.contracts.errors import UnreadableInput
from forestall.policy.language.casetext import case_text, read_back, with_case
from forestall.policy.language.model import PolicyTest, TestEvent, TestExpectation
from forestall.policy.language.parse import parse

CASE = PolicyTest(
    name="a customer's history",
    events=(
        TestEvent(at=0, type="a", id="e1", data={"order": "v1", "n": 1.5}),
        TestEvent(at=1_500_000, type="b", origin="browser", received=2_000_000, source="shop"),
    ),
    until=60_000_000,
    expect=(TestExpectation(at=50_000_000, outcome="suppress", reason="cooldown", key="1"),),
)
TEXT = """\
- name: "a customer's history"
  events:
    - {at: 0s, type: a, id: e1, data: {"order": "v1", "n": 1.5}}
    - {at: 1500ms, type: b, source: shop, origin: browser, received: 2s}
  until: 1m
  expect:
    - {at: 50s, outcome: suppress, reason: cooldown, key: "1"}
"""


def test_a_case_as_text() -> None:
    assert case_text(CASE) == TEXT


def test_nothing_expected_and_nothing_given() -> None:
    empty = PolicyTest(name="no", events=(), until=None, expect=())
    assert case_text(empty) == "- name: no\n  events: []\n  expect: []\n"


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), below, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.text(st.characters(exclude_categories=["Cs"])).filter(str.strip),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=3),
    st.sampled_from(
        [None, "1", "true", "null", "~", "on", "v1", "o:1", '"o1"', "é\u2028\U0001f600"]
    ),
)
def test_any_case_is_read_back_as_it_was(name: str, data: dict[str, Any], key: str | None) -> None:
    case = PolicyTest(
        name=name,
        events=(TestEvent(at=0, type="a", data=data, id=key),),
        until=1_000,
        expect=(TestExpectation(at=0, outcome="intervene", key=key),),
    )
    assert replace(read_back(case), line=0) == case


HEAD = """\
# Ours.
apiVersion: forestall/v1
kind: Policy
metadata: {name: one}   # the first
"""
SPEC = "spec:\n  when: {event: a}\n"
OLD = "  - {name: old, events: [], expect: []}\n"
OTHER = "---\n# The second.\napiVersion: forestall/v1\nkind: Policy\nmetadata: {name: two}\n" + SPEC


def inserted(text: str, policy: str = "one") -> str:
    made = with_case(text, "p.yaml", policy, CASE)
    tests = {one.name: one.tests for one in parse(made, "p.yaml")}[policy]
    assert replace(tests[-1], line=0) == CASE
    return made


def indented(by: int) -> str:
    return "".join(" " * by + line + "\n" for line in TEXT.splitlines())


@pytest.mark.parametrize(
    ("before", "after", "head", "by"),
    [
        (HEAD + SPEC, "", "tests:\n", 2),
        (HEAD + SPEC, OTHER, "tests:\n", 2),
        (HEAD + SPEC + "tests:\n" + OLD, "", "", 2),
        (HEAD + SPEC + "tests:\n" + OLD, "\n# about two\n" + OTHER, "", 2),
        (HEAD + "tests:\n" + OLD, SPEC, "", 2),
        (HEAD + "tests:\n- {name: old, events: [], expect: []}\n", SPEC, "", 0),
        (HEAD + "tests:\n" + OLD, "\n# what it wants\n" + SPEC + OTHER, "", 2),
        (HEAD + SPEC + "tests:\n  - name: old\n    events: []\n    expect: []\n", OTHER, "", 2),
    ],
)
def test_the_rest_of_the_file_is_not_touched(before: str, after: str, head: str, by: int) -> None:
    assert inserted(before + after) == before + head + indented(by) + after


def test_the_second_policy_and_a_file_without_a_last_line_end() -> None:
    text = (HEAD + SPEC + OTHER).rstrip("\n")
    assert inserted(text, "two") == f"{text}\ntests:\n{indented(2)}"


@pytest.mark.parametrize(
    ("text", "policy", "said"),
    [
        (HEAD + SPEC, "three", "no policy is called 'three'"),
        (HEAD + SPEC.replace("event", "evnt"), "one", "p.yaml:6:"),
        (HEAD + SPEC + "tests: []\n", "one", "nothing can be added to `tests: []`"),
        (HEAD + SPEC + "tests: [{name: old, events: [], expect: []}]\n", "one", "print it"),
        (
            "{apiVersion: forestall/v1, kind: Policy, metadata: {name: one}, spec: {when: {event: a}}}",
            "one",
            "print it",
        ),
    ],
)
def test_where_nothing_can_be_added_it_is_said(text: str, policy: str, said: str) -> None:
    with pytest.raises(UnreadableInput) as raised:
        with_case(text, "p.yaml", policy, CASE)
    assert said in str(raised.value)
