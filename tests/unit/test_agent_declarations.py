"""Agents declared by instructions are read with their defaults, and every mistake is told with its place."""

import datetime
from pathlib import Path
from typing import Any

import pytest

from forestall.contracts.errors import InvalidFile
from forestall.contracts.instants import SECOND
from forestall.kernel.settings import LanguageModel, Settings
from forestall.policy.actions.folder import Declarations, load_declarations, offers
from forestall.policy.actions.model import Agent, Budget, Function, Grant, Topics

DESK = """
---
apiVersion: forestall/v1
kind: Lookup
metadata: {name: payment}
spec:
  input: {type: object, required: [payment], properties: {payment: {type: string}, depth: {type: integer}}}
  output: {status: /status, customer: /customer}
  python: {call: "desk:payment"}
---
apiVersion: forestall/v1
kind: Action
metadata: {name: resend}
spec:
  risk: low
  input: {type: object, required: [payment], properties: {payment: {type: string}, scope: {enum: [a, b]}}}
  dry_run: describe
  execute: {python: {call: "desk:act"}}
  verify: {lookup: payment, with: {payment: arguments.payment}, if: "true"}
---
apiVersion: forestall/v1
kind: Action
metadata: {name: refund}
spec:
  risk: high
  people: 2
  input: {type: object, additionalProperties: true}
  dry_run: describe
  execute: {python: {call: "desk:act"}}
  verify: {lookup: payment, with: {payment: '"p"'}, if: "true"}
"""
FULL = """\
apiVersion: forestall/v1
kind: Agent
metadata: {name: helper, title: Helps, owner: payments, review_by: 2027-06-30}
spec:
  purpose: Help a customer whose payment failed
  model: fast
  instructions: |
    Be kind.
  input: {type: object, properties: {payment: {type: string}, tries: {type: integer}}}
  output: {type: object, properties: {category: {enum: [card, bank]}, note: {type: string}}}
  knowledge: {products: [checkout, app], passages: 6}
  lookups:
    - {lookup: payment, with: {payment: arguments.payment}, chooses: [depth]}
  actions:
    - {action: resend, with: {payment: arguments.payment}, chooses: [scope]}
  promises: [refund, deadline]
  risk: low
  mood: {failures: arguments.tries, waiting: "60"}
  confidence: 0.75
  budget: {steps: 3, time: 8s, tokens: 5000, money: 0.02}
  fallback: person
"""
LEAST = """\
apiVersion: forestall/v1
kind: Agent
metadata: {name: helper}
spec:
  purpose: Help
  instructions: Be kind.
  input: {type: object}
"""
SETTINGS = Settings(language_models={"fast": LanguageModel(model="openai:gpt-4.1-mini")})


def load(folder: Path, agent: str) -> Declarations:
    (folder / "agent.yaml").write_text(agent)
    (folder / "desk.yaml").write_text(DESK)
    return load_declarations(folder, SETTINGS)


def agent(folder: Path, text: str) -> Agent:
    return load(folder, text).agents["helper"]


def wrong(folder: Path, text: str) -> list[tuple[int, int, str, str, str | None]]:
    """The mistakes in the agent's file: line, column, code, message, hint."""
    with pytest.raises(InvalidFile) as caught:
        load(folder, text)
    assert all(problem.file.endswith("agent.yaml") for problem in caught.value.problems)
    return [(p.line, p.column, p.code, p.message, p.hint) for p in caught.value.problems]


def test_everything_that_is_written_is_read(tmp_path: Path) -> None:
    read = agent(tmp_path, FULL)
    assert read == Agent(
        name="helper",
        title="Helps",
        owner="payments",
        review_by=datetime.date(2027, 6, 30),
        purpose="Help a customer whose payment failed",
        instructions="Be kind.\n",
        model="fast",
        input={
            "type": "object",
            "properties": {"payment": {"type": "string"}, "tries": {"type": "integer"}},
        },
        output={"category": "/category", "note": "/note"},
        schema={
            "type": "object",
            "properties": {"category": {"enum": ["card", "bank"]}, "note": {"type": "string"}},
        },
        knowledge=Topics(products=("checkout", "app"), passages=6),
        lookups=(
            Grant(name="payment", arguments={"payment": "arguments.payment"}, chooses=("depth",)),
        ),
        actions=(
            Grant(name="resend", arguments={"payment": "arguments.payment"}, chooses=("scope",)),
        ),
        promises=("refund", "deadline"),
        risk="low",
        mood={"failures": "arguments.tries", "waiting": "60"},
        confidence=0.75,
        budget=Budget(steps=3, time=8 * SECOND, tokens=5_000, money=0.02),
        timeout=8 * SECOND,
        fallback="person",
    )


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    read = agent(tmp_path, LEAST)
    assert (read.way, read.model, read.schema, read.knowledge) == (None, None, None, None)
    assert (read.lookups, read.actions, read.promises, read.mood) == ((), (), (), {})
    assert (read.risk, read.confidence, read.fallback) == ("medium", 0.6, "compose")
    assert read.budget == Budget(steps=4, time=15 * SECOND, tokens=20_000, money=None)
    assert read.timeout == 15 * SECOND


def test_a_function_stays_as_it_was(tmp_path: Path) -> None:
    text = LEAST.replace("  purpose: Help\n  instructions: Be kind.\n", "").rstrip()
    text += "\n  output: {level: /level}\n  timeout: 7s\n  python: {call: 'desk:judge'}\n"
    read = agent(tmp_path, text)
    assert read.way == Function(call="desk:judge")
    assert (read.output, read.timeout, read.schema) == ({"level": "/level"}, 7 * SECOND, None)


def test_its_fields_are_offered_to_policies(tmp_path: Path) -> None:
    _, agents, _ = offers(load(tmp_path, FULL))
    assert agents["helper"].fields == frozenset({"category", "note"})
    assert agents["helper"].arguments == frozenset({"payment", "tries"})


@pytest.mark.parametrize(
    ("old", "new", "place", "code", "part"),
    [
        ("  model: fast", "  model: fats", (6, 10), "unknown-model", "[language_models.fats]"),
        ("lookup: payment", "lookup: paymnt", (13, 16), "unknown-lookup", "paymnt"),
        ("action: resend", "action: resent", (15, 16), "unknown-action", "resent"),
        (
            "{action: resend, with: {payment: arguments.payment}, chooses: [scope]}",
            "{action: refund}",
            (15, 16),
            "too-risky",
            "risk high",
        ),
        ("chooses: [depth]", "chooses: [deep]", (13, 71), "unknown-argument", "takes no `deep`"),
        ("chooses: [depth]", "chooses: [payment]", (13, 71), "bad-value", "stands in `with`"),
        (
            "{lookup: payment, with: {payment: arguments.payment}, chooses: [depth]}",
            "{lookup: payment, chooses: [depth]}",
            (13, 7),
            "missing-argument",
            "needs `payment`",
        ),
        (
            "- {action: resend, with: {payment: arguments.payment}",
            "- {action: resend, with: {payment: arguments.paymnt}",
            (15, 40),
            "unknown-field",
            "arguments.paymnt",
        ),
        (
            "- {action: resend, with: {payment: arguments.payment}",
            "- {action: resend, with: {payment: fields.nothing}",
            (15, 40),
            "unknown-field",
            "fields.nothing",
        ),
        (
            "- {action: resend, with: {payment: arguments.payment}",
            "- {action: resend, with: {payment: result.id}",
            (15, 40),
            "bad-expression",
            "result",
        ),
        (
            "- {action: resend, with: {payment: arguments.payment}",
            "- {action: resend, with: {payment: 'arguments.payment +'}",
            None,
            "bad-expression",
            "",
        ),
        ("promises: [refund,", "promises: [refunds,", (16, 14), "bad-value", "refunds"),
        ("promises: [refund, deadline]", "promises: [refund, refund]", None, "duplicate-name", ""),
        ("risk: low", "risk: lwo", (17, 9), "bad-value", "lwo"),
        ("mood: {failures:", "mood: {failure:", (18, 10), "unknown-key", "failure"),
        ("failures: arguments.tries", "failures: arguments.trys", None, "unknown-field", "trys"),
        ("failures: arguments.tries", "failures: fields.x", None, "bad-expression", ""),
        ("confidence: 0.75", "confidence: 1.5", (19, 15), "bad-value", "between 0 and 1"),
        ("steps: 3", "steps: 0", (20, 19), "bad-value", "steps"),
        ("time: 8s", "time: 8", (20, 28), "wrong-type", "duration"),
        ("time: 8s", "time: 6m", (20, 28), "bad-duration", "1ms and 5m"),
        ("tokens: 5000", "tokens: 5", (20, 40), "bad-value", "tokens"),
        ("money: 0.02", "money: -1", (20, 53), "bad-value", "above 0"),
        ("money: 0.02", "money: much", (20, 53), "bad-value", "above 0"),
        ("budget: {steps", "budget: {step", None, "unknown-key", "step"),
        ("fallback: person", "fallback: human", (21, 13), "bad-value", "human"),
        ("passages: 6", "passages: 60", None, "bad-value", "passages"),
        ("products: [checkout, app]", "products: checkout", None, "wrong-type", "a list"),
        ("products: [checkout, app]", "products: [3]", None, "wrong-type", "lists words"),
        ("knowledge: {products", "knowledge: {product", None, "unknown-key", "product"),
        ("output: {type: object,", "output: {type: array,", (10, 11), "bad-schema", "object"),
        ("{enum: [card, bank]}", "{enum: 7}", None, "bad-schema", ""),
        ("properties: {category:", "properties: {'a b':", None, "bad-name", "a b"),
        ("  purpose: Help", "  purpos: Help", (5, 3), "unknown-key", "purpos"),
        ("  model: fast", "  model: fast\n  timeout: 3s", (7, 12), "bad-value", "budget"),
    ],
)
def test_every_mistake_has_its_place(
    tmp_path: Path, old: str, new: str, place: tuple[int, int] | None, code: str, part: str
) -> None:
    assert old in FULL
    problems = wrong(tmp_path, FULL.replace(old, new, 1))
    assert len(problems) == 1, problems
    line, column, found, message, _ = problems[0]
    assert found == code
    assert part in message
    if place is not None:
        assert (line, column) == place


def test_near_misses_have_a_hint(tmp_path: Path) -> None:
    problems = wrong(tmp_path, FULL.replace("action: resend", "action: resent"))
    assert problems[0][-1] == "did you mean `resend`?"
    problems = wrong(tmp_path, FULL.replace("  model: fast", "  model: fats"))
    assert problems[0][-1] == "did you mean `fast`?"


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    text = LEAST.replace("  purpose: Help\n  instructions: Be kind.\n", "")
    codes = [(code, message) for _, _, code, message, _ in wrong(tmp_path, text)]
    assert [code for code, _ in codes] == ["missing-key", "missing-key"]
    assert "`instructions` or `python`" in " ".join(message for _, message in codes)
    assert "`purpose`" in " ".join(message for _, message in codes)


def test_an_agent_without_a_name_is_not_called_by_one(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: forestall/v1\nkind: Agent\n")
    with pytest.raises(InvalidFile, match="the agent lacks `purpose`") as caught:
        load_declarations(tmp_path, Settings())
    assert "``" not in str(caught.value)


def test_instructions_and_a_function_exclude_each_other(tmp_path: Path) -> None:
    text = LEAST.rstrip() + "\n  output: {a: /a}\n  python: {call: 'desk:judge'}\n"
    assert [code for _, _, code, _, _ in wrong(tmp_path, text)] == ["bad-value", "bad-value"]


def test_a_grant_is_given_once(tmp_path: Path) -> None:
    twice = FULL.replace(
        "  actions:\n", "  actions:\n    - {action: resend, with: {payment: arguments.payment}}\n"
    )
    assert [code for _, _, code, _, _ in wrong(tmp_path, twice)] == ["duplicate-name"]


def test_grants_without_a_name_are_told_as_that(tmp_path: Path) -> None:
    nameless = FULL.replace(
        "  actions:\n", "  actions:\n    - {chooses: [a]}\n    - {chooses: [b]}\n"
    )
    assert [code for _, _, code, _, _ in wrong(tmp_path, nameless)] == ["missing-key"] * 2


@pytest.mark.parametrize("name", ["propose", "fill"])
def test_no_lookup_is_named_like_an_answer(tmp_path: Path, name: str) -> None:
    (tmp_path / "more.yaml").write_text(
        f"apiVersion: forestall/v1\nkind: Lookup\nmetadata: {{name: {name}}}\n"
        "spec: {input: {type: object}, output: {a: /a}, python: {call: 'desk:x'}}\n"
    )
    text = FULL.replace("  lookups:\n", f"  lookups:\n    - {{lookup: {name}}}\n")
    assert [code for _, _, code, _, _ in wrong(tmp_path, text)] == ["bad-name"]


def test_what_is_chosen_has_to_be_described(tmp_path: Path) -> None:
    text = FULL.replace("risk: low", "risk: high").replace(
        "    - {action: resend, with: {payment: arguments.payment}, chooses: [scope]}",
        "    - {action: refund, chooses: [amount]}",
    )
    problems = wrong(tmp_path, text)
    assert [(code, hint is not None) for _, _, code, _, hint in problems] == [
        ("unknown-argument", True)
    ]


@pytest.mark.parametrize("key", ["lookups", "actions", "promises", "mood", "budget", "knowledge"])
@pytest.mark.parametrize("value", ["7", "null", "[7]", "{7: 7}", "[[]]", "[{}]", "x"])
def test_nothing_that_is_written_there_breaks_reading(tmp_path: Path, key: str, value: str) -> None:
    try:
        found = load(tmp_path, LEAST + f"  {key}: {value}\n").agents
        problems: Any = ()
    except InvalidFile as error:
        found, problems = {}, error.problems
    assert bool(found) != bool(problems)
