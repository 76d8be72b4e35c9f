"""Files of cases, whatever stands in them: read or told, never a crash; and scores that add up."""

from typing import Any

import msgspec
import yaml
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.inference import Inference, Plan, PlannedAction
from forestall.intervene.agents.case_file import read_cases
from forestall.intervene.agents.cases import AgentCase, Criterion, Expected, Forbidden
from forestall.intervene.agents.evaluation import Answer, judge

WORDS = st.sampled_from(["card", "bank", "refund", "link", "your card", "/re.und/", "promise", "?"])
KEYS = st.sampled_from([
    "agent", "cases", "name", "given", "expect", "arguments", "action", "actions", "forbidden",
    "contains", "all", "any", "cites", "confidence", "fields", "by", "rubric", "longest", "opens",
    "mentions", "weight", "threshold", "today", "lookups", "model", "calls", "tool", "must", "tags",
])  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 500)
    | st.floats(0, 2)
    | WORDS
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@given(st.text(max_size=300))
def test_any_text_is_read_or_told(text: str) -> None:
    found, problems = read_cases(text, "c.yaml")
    assert problems or found.cases
    assert all(one.line >= 1 and one.column >= 1 and one.file == "c.yaml" for one in problems)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_structure_is_read_or_told(value: dict[str, Any]) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    found, problems = read_cases(text, "c.yaml")
    if not problems:
        assert found.agent
        assert found.cases
        assert len({case.name for case in found.cases}) == len(found.cases)
    assert read_cases(text, "c.yaml") == (found, problems)


CRITERIA = st.lists(
    st.builds(
        Criterion,
        name=st.uuids().map(str),
        measure=st.just("mentions"),
        wanted=st.lists(WORDS, min_size=1, max_size=3).map(tuple),
        weight=st.floats(0.1, 10),
    )
    | st.builds(
        Criterion,
        name=st.uuids().map(str),
        measure=st.just("longest"),
        wanted=st.integers(1, 500),
        weight=st.floats(0.1, 10),
    ),
    max_size=4,
).map(tuple)
FORBIDDEN = st.lists(
    st.builds(Forbidden, written=WORDS, kind=st.just("words"), what=WORDS)
    | st.just(Forbidden("link", "class", "link")),
    max_size=3,
).map(tuple)
EXPECTED = st.builds(
    Expected,
    actions=st.none() | st.sampled_from([("none",), ("hand_over",), ("nothing",), ("a", "b")]),
    forbidden=FORBIDDEN,
    all_of=st.lists(WORDS, max_size=2).map(tuple),
    any_of=st.lists(WORDS, max_size=2).map(tuple),
    tone=st.none() | st.just("calm"),
)
PLANS = st.none() | st.builds(
    Plan,
    message=st.text(max_size=60) | WORDS,
    actions=st.lists(st.builds(PlannedAction, st.sampled_from("ab")), max_size=2).map(tuple),
    hand_over=st.none() | WORDS,
)
ANSWERS = st.builds(
    Answer,
    plan=PLANS,
    reads=st.just("") | st.text(max_size=40),
    inference=st.none() | st.just(Inference(agent="a", version="v", by="model", tone="calm")),
)
CLASSES = dict.fromkeys(("link", "promise", "personal"), "http".__contains__)


@given(EXPECTED, CRITERIA, ANSWERS)
def test_a_case_passes_exactly_when_nothing_is_wrong(
    expected: Expected, rubric: tuple[Criterion, ...], answer: Answer
) -> None:
    case = AgentCase(name="x", expect=expected, rubric=rubric)
    judged = judge(case, answer, CLASSES)
    assert judged.passed == (judged.wrong == ())
    assert 0 <= judged.score <= 1.0000001
    assert all(0 <= value <= 1 for value in judged.criteria.values())
    assert set(judged.forbidden) <= {one.written for one in expected.forbidden}
    assert judged == judge(case, answer, CLASSES)
    kept = msgspec.json.decode(msgspec.json.encode(judged), type=type(judged))
    assert kept == judged


@given(EXPECTED, ANSWERS, FORBIDDEN)
def test_forbidding_more_never_makes_a_case_pass(
    expected: Expected, answer: Answer, more: tuple[Forbidden, ...]
) -> None:
    stricter = msgspec.structs.replace(expected, forbidden=(*expected.forbidden, *more))
    lax = judge(AgentCase(name="x", expect=expected), answer, CLASSES)
    strict = judge(AgentCase(name="x", expect=stricter), answer, CLASSES)
    assert lax.passed or not strict.passed
    assert set(lax.wrong) <= set(strict.wrong)
