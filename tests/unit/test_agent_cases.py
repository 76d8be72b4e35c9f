"""Cases of an agent: what a file may say, and that every mistake is told where it is."""

from pathlib import Path

import pytest

from forestall.contracts.errors import InvalidFile, UnreadableInput
from forestall.intervene.agents.case_file import load_cases, read_cases
from forestall.intervene.agents.cases import (
    AgentCase,
    Called,
    Cases,
    Criterion,
    Expected,
    Forbidden,
    Given,
    Spoken,
    problems_with,
)

WHOLE = """
agent: helper
title: Everything that a case may say
threshold: 0.8
today: 2026-12-01
rubric:
  - {longest: 400}
  - {name: tone, opens: mood, weight: 2}
cases:
  - name: a declined card
    tags: [card, en]
    must: true
    given:
      arguments: {payment: p1, tries: 3, text: "It was declined"}
      policy: payment-failed
      signal: payment.failed
    lookups:
      payment: {status: failed, amount: 40}
    model:
      - {text: "Let me look."}
      - calls: [{tool: propose, arguments: {message: "Hello"}}]
    expect:
      actions: [retry-charge, resend-receipt]
      forbidden: [link, "/refund(ed)?/", "free of charge"]
      contains: {all: [card], any: [bank, limit]}
      cites: payment-failed
      confidence: [0.5, 1]
      by: model
      fallback: refused
      tone: calm
      refused: [action]
    rubric:
      - {name: tone, opens: caring}
      - {mentions: [card, bank]}
      - {reading_ease: 45.5}
      - {language: de}
      - {cites: [payment-failed, ways-to-pay]}
      - {no_question: false}
  - name: fields
    asks: fields
    given: {}
    expect: {fields: {category: card, sure: true}}
"""


def test_everything_that_a_case_may_say() -> None:
    found, problems = read_cases(WHOLE, "cases.yaml")
    assert problems == []
    assert (found.agent, found.threshold, str(found.today)) == ("helper", 0.8, "2026-12-01")
    card, fields = found.cases
    assert card == AgentCase(
        name="a declined card",
        tags=("card", "en"),
        must=True,
        given=Given(
            arguments={"payment": "p1", "tries": 3, "text": "It was declined"},
            policy="payment-failed",
            signal="payment.failed",
        ),
        lookups={"payment": {"status": "failed", "amount": 40}},
        model=(
            Spoken(text="Let me look."),
            Spoken(calls=(Called("propose", {"message": "Hello"}),)),
        ),
        expect=Expected(
            actions=("retry-charge", "resend-receipt"),
            forbidden=(
                Forbidden("link", "class", "link"),
                Forbidden("/refund(ed)?/", "pattern", "refund(ed)?"),
                Forbidden("free of charge", "words", "free of charge"),
            ),
            all_of=("card",),
            any_of=("bank", "limit"),
            cites=("payment-failed",),
            confidence=(0.5, 1.0),
            by="model",
            fallback="refused",
            tone="calm",
            refused=("action",),
        ),
        rubric=(
            Criterion(name="longest", measure="longest", wanted=400),
            Criterion(name="tone", measure="opens", wanted="caring"),
            Criterion(name="mentions", measure="mentions", wanted=("card", "bank")),
            Criterion(name="reading_ease", measure="reading_ease", wanted=45.5),
            Criterion(name="language", measure="language", wanted="de"),
            Criterion(name="cites", measure="cites", wanted=("payment-failed", "ways-to-pay")),
            Criterion(name="no_question", measure="no_question", wanted=False),
        ),
        file="cases.yaml",
        line=10,
    )
    assert fields.asks == "fields"
    assert fields.expect.fields == {"category": "card", "sure": True}
    assert [one.name for one in fields.rubric] == ["longest", "tone"]


def wrong(text: str) -> list[tuple[int, int, str]]:
    _, problems = read_cases(text, "c.yaml")
    return [(one.line, one.column, one.code) for one in problems]


HEAD = "agent: a\ncases:\n  - name: x\n    given: {}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(1, 1, "no-cases")]),
        ("[]", [(1, 1, "wrong-type")]),
        ("agent: a", [(1, 1, "missing-key")]),
        ("agent: a\ncases: []", [(2, 8, "no-cases")]),
        ("agent: a\ncases: 5", [(2, 8, "wrong-type")]),
        ("a: [", [(2, 1, "yaml")]),
        ("agent: a\n---\nagent: b", [(1, 1, "yaml")]),
        (HEAD, [(3, 5, "missing-key")]),
        (HEAD + "    expect: {}\n", [(5, 13, "bad-value")]),
        (HEAD + "    expects: {action: none}\n", [(5, 5, "unknown-key")]),
        (HEAD + "    expect: {action: a, actions: [b]}\n", [(5, 34, "bad-value")]),
        (HEAD + "    expect: {by: magic}\n", [(5, 18, "bad-value")]),
        (HEAD + "    expect: {forbidden: ['/(/']}\n", [(5, 26, "bad-pattern")]),
        (HEAD + f"    expect: {{forbidden: ['/{'a' * 201}/']}}\n", [(5, 26, "bad-pattern")]),
        (HEAD + "    expect: {contains: {all: 5}}\n", [(5, 30, "wrong-type")]),
        (HEAD + "    expect: {contains: {some: a}}\n", [(5, 25, "unknown-key")]),
        (HEAD + "    expect: {confidence: [1, 0]}\n", [(5, 26, "bad-value")]),
        (HEAD + "    expect: {confidence: [a, 1]}\n", [(5, 26, "bad-value")]),
        (HEAD + "    expect: {action: a}\n    rubric: [{weight: 2}]\n", [(6, 14, "bad-criterion")]),
        (
            HEAD + "    expect: {action: a}\n    rubric: [{longest: 5, weight: 0}]\n",
            [(6, 35, "bad-value")],
        ),
        (
            HEAD + "    expect: {action: a}\n    rubric: [{longest: 0}]\n",
            [(6, 24, "bad-value")],
        ),
        (
            HEAD + "    expect: {action: a}\n    rubric: [{opens: wide}]\n",
            [(6, 22, "bad-value")],
        ),
        (HEAD + "    expect: {action: a}\n    model: [{calls: [{}]}]\n", [(6, 22, "missing-key")]),
        ("threshold: 2\n" + HEAD + "    expect: {action: a}\n", [(1, 12, "bad-value")]),
        ("today: soon\n" + HEAD + "    expect: {action: a}\n", [(1, 8, "bad-value")]),
        (
            HEAD + "    expect: {action: a}\n  - {name: x, given: {}, expect: {action: b}}\n",
            [(6, 12, "duplicate-case")],
        ),
    ],
)
def test_mistakes_have_places(text: str, expected: list[tuple[int, int, str]]) -> None:
    assert wrong(text) == expected


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    text = "agent: 5\ncases:\n  - {nmae: x, given: 1, expect: {action: 2}}\n"
    assert wrong(text) == [
        (1, 8, "wrong-type"),
        (3, 6, "unknown-key"),
        (3, 22, "wrong-type"),
        (3, 42, "wrong-type"),
    ]


ONE = "agent: {agent}\nthreshold: {threshold}\ncases:\n  - name: {name}\n    given: {{}}\n    expect: {{action: none}}\n"


def test_a_folder_is_all_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(ONE.format(agent="a", threshold=0.7, name="two"))
    (tmp_path / "a.yaml").write_text(ONE.format(agent="a", threshold=0.95, name="one"))
    found = load_cases(tmp_path)
    assert [case.name for case in found.cases] == ["one", "two"]
    assert found.threshold == 0.95
    assert load_cases(tmp_path / "b.yaml").threshold == 0.7


def test_files_of_a_folder_have_to_fit_together(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(ONE.format(agent="a", threshold=1, name="one"))
    (tmp_path / "b.yaml").write_text(ONE.format(agent="b", threshold=1, name="one"))
    with pytest.raises(InvalidFile) as told:
        load_cases(tmp_path)
    assert [one.code for one in told.value.problems] == ["another-agent", "duplicate-case"]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="No such file"):
        load_cases(tmp_path / "nowhere.yaml")
    with pytest.raises(UnreadableInput, match="file in this folder"):
        load_cases(tmp_path)
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UnreadableInput, match="not UTF-8"):
        load_cases(tmp_path)


def test_what_can_never_come_is_told() -> None:
    cases = Cases(
        agent="a",
        cases=(
            AgentCase(name="one", expect=Expected(actions=("retry-charg",)), file="f", line=3),
            AgentCase(name="two", expect=Expected(actions=("hand_over",)), lookups={"paymnt": {}}),
            AgentCase(name="three", expect=Expected(actions=("retry-charge", "none"))),
        ),
    )
    found = problems_with(cases, actions=["retry-charge"], lookups=["payment"])
    assert [(one.file, one.line, one.code, one.hint) for one in found] == [
        ("f", 3, "unknown-action", "did you mean `retry-charge`?"),
        ("", 1, "unknown-lookup", "did you mean `payment`?"),
    ]


def test_a_case_is_the_same_wherever_it_stands() -> None:
    one = AgentCase(name="x", given=Given(arguments={"a": 1, "b": 2}), file="f", line=1)
    moved = AgentCase(name="x", given=Given(arguments={"b": 2, "a": 1}), file="g", line=9)
    other = AgentCase(name="x", given=Given(arguments={"a": 1, "b": 3}), file="f", line=1)
    assert one.digest == moved.digest != other.digest
