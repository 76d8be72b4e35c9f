"""``forestall agent``: evaluations by version, trials one by one and in batches, what is shown."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from assisting import LOOKUP
from forestall.cli.agent import app
from forestall.cli.agent_eval import UnusableCases
from forestall.cli.agent_results import beside, read_results
from forestall.contracts.errors import InvalidFile, UnreadableInput
from forestall.intervene.agents.asking import Said
from forestall.intervene.agents.ledger import LEDGER_FILE, Call, Ledger
from forestall.kernel.clock import wall_clock
from model_server import KEY, model_server, propose

SETTINGS = """
[actions]
folder = "actions"
[runbooks]
folder = "runbooks"
[language_models.fast]
model = "openai:gpt-none"
key = "env:FORESTALL_TEST_NO_SUCH_KEY"
"""
AGENT = """
apiVersion: forestall/v1
kind: Agent
metadata: {name: helper, title: A helper, owner: payments}
spec:
  purpose: Help with a payment that failed
  instructions: Help.
  input:
    type: object
    properties:
      payment: {type: string}
      text: {type: string}
      failures: {type: integer}
    additionalProperties: false
  output:
    type: object
    properties:
      category: {enum: [card, bank]}
  knowledge: {passages: 3}
  mood: {failures: arguments.failures}
"""
FUNCTION = """
---
apiVersion: forestall/v1
kind: Agent
metadata: {name: sorter, title: A function}
spec:
  input: {type: object, properties: {}}
  output: {category: /category}
  python: {call: "json:loads"}
"""
RUNBOOK = """---
id: card-declined
title: Your card was declined
version: 3
owner: payments
review_by: 2030-01-01
signals: [payment.failed]
---
## Customer
Your bank declined the card, and nothing was charged. Please try it again.
"""
CASES = """
agent: helper
threshold: 0.5
today: 2026-12-01
cases:
  - name: declined
    tags: [card]
    given: {arguments: {payment: p1}, signal: payment.failed}
    expect: {action: none, cites: card-declined, contains: {all: [bank]}, forbidden: [link]}
    rubric: [{mentions: [bank, card]}]
  - name: hopeless
    tags: [card, hard]
    given: {arguments: {text: "Do crocodiles sleep under water?"}}
    expect: {action: hand_over}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "forestall.toml").write_text(SETTINGS)
    for name, file, text in [
        ("actions", "agents.yaml", AGENT + FUNCTION),
        ("runbooks", "card.md", RUNBOOK),
    ]:
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
    (tmp_path / "cases.yaml").write_text(CASES)
    return tmp_path


def run(folder: Path, *words: str, given: str | None = None) -> Any:
    return CliRunner().invoke(
        app, [*words, "--config", str(folder / "forestall.toml")], input=given
    )


def evaluated(folder: Path, *more: str) -> Any:
    return run(folder, "eval", "helper", str(folder / "cases.yaml"), *more)


# -- evaluating ------------------------------------------------------------------------------------


def test_an_evaluation_tells_what_failed_and_the_sums(folder: Path) -> None:
    answer = evaluated(folder)
    assert answer.exit_code == 0, answer.output
    lines = answer.stdout.splitlines()
    assert lines[0] == f"FAIL  hopeless ({folder / 'cases.yaml'}:11)"
    assert lines[1] == "      expected hand_over, got nothing (nothing-found)"
    assert "with the composer: 1 of 2 cases passed (50.0 %, at least 50.0 %)" in lines[2]
    told = " ".join(answer.stdout.split())
    assert "card 1 of 2 50.0 %" in told
    assert "rubric mentions 1.00" in told
    assert "expected hand_over, got nothing: 1" in told


def test_a_threshold_fails_the_build(folder: Path) -> None:
    assert evaluated(folder, "--threshold", "0.6").exit_code == 1
    assert evaluated(folder, "--threshold", "0.5").exit_code == 0


def test_a_case_that_must_pass_fails_the_build(folder: Path) -> None:
    must = CASES.replace("    tags: [card, hard]", "    must: true\n    tags: [card, hard]")
    (folder / "cases.yaml").write_text(must)
    answer = evaluated(folder, "--threshold", "0")
    assert answer.exit_code == 1
    assert "FAIL  MUST hopeless" in answer.stdout
    assert "1 failed that must pass" in answer.stdout


def test_results_are_kept_by_version_and_compared(folder: Path) -> None:
    first = json.loads(evaluated(folder, "--json").stdout)
    assert (first["comparison"], first["share"], first["sound"]) == (None, 0.5, True)
    agents = folder / "actions" / "agents.yaml"
    agents.write_text(agents.read_text().replace("fallback", "").replace(
        "  mood:", "  fallback: person\n  mood:"
    ))  # fmt: skip
    second = evaluated(folder, "--json", "--threshold", "0")
    found = json.loads(second.stdout)
    assert found["version"] != first["version"]
    comparison = found["comparison"]
    assert comparison["before"] == first["version"]
    assert (comparison["better"], comparison["worse"]) == (["hopeless"], ["declined"])
    assert comparison["chance"] == 1.0
    kept = read_results(folder / "cases.results.jsonl")
    assert [one.version for one in kept] == [first["version"], found["version"]]
    told = evaluated(folder, "--threshold", "0").stdout
    assert f"since {first['version'][:8]} with the composer" in told
    assert "  better  hopeless" in told


def test_the_same_again_is_kept_once(folder: Path) -> None:
    place = folder / "cases.results.jsonl"
    evaluated(folder)
    before = place.read_bytes()
    evaluated(folder)
    assert place.read_bytes() == before
    evaluated(folder, "--threshold", "0.9")
    assert place.read_bytes().startswith(before)
    assert len(read_results(place)) == 2


def test_results_may_go_elsewhere(folder: Path) -> None:
    answer = evaluated(folder, "--out", str(folder / "kept.jsonl"), "--json")
    assert json.loads(answer.stdout)["kept"] == str(folder / "kept.jsonl")
    assert len(read_results(folder / "kept.jsonl")) == 1
    assert not (folder / "cases.results.jsonl").exists()
    assert beside(folder) == folder / "agent.results.jsonl"


def test_arguments_that_the_agent_does_not_take_fail_the_case(folder: Path) -> None:
    (folder / "cases.yaml").write_text(CASES.replace("payment: p1", "payment: 5"))
    answer = evaluated(folder)
    assert answer.exit_code == 1
    assert "expected none, got nothing (bad-arguments:" in answer.stdout


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("action: none", "acton: none", "unknown-key"),
        ("action: hand_over", "action: refund", "unknown-action"),
        ("agent: helper", "agent: helper\nagent: helper", "duplicate-key"),
    ],
)
def test_mistakes_in_cases_are_bad_input(folder: Path, old: str, new: str, code: str) -> None:
    (folder / "cases.yaml").write_text(CASES.replace(old, new))
    error = evaluated(folder).exception
    assert isinstance(error, UnusableCases)
    assert error.exit_code == 2
    assert f"{folder / 'cases.yaml'}:" in str(error)
    assert [one.code for one in error.problems] == [code]
    assert not (folder / "cases.results.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("eval", "nobody", "cases.yaml"), "no agent is declared as 'nobody' (known: helper"),
        (("eval", "sorter", "cases.yaml"), "is a Python function"),
        (("eval", "helper", "nowhere.yaml"), "No such file"),
        (("eval", "helper", "cases.yaml", "--model", "slow"), "the settings have fast"),
        (("try", "helper"), "give either --input or --batch"),
        (("try", "helper", "--input", "@nowhere.json"), "nowhere.json"),
        (("try", "helper", "--batch", "nowhere.jsonl"), "No such file"),
        (("try", "sorter", "--input", "{}"), "is a Python function"),
        (("show", "nobody"), "no agent is declared"),
    ],
)
def test_what_cannot_be_used(folder: Path, words: tuple[str, ...], told: str) -> None:
    placed = [str(folder / word) if word.endswith((".yaml", ".jsonl")) else word for word in words]
    error = run(folder, *placed).exception
    assert isinstance(error, UnreadableInput)
    assert error.exit_code == 2
    assert told in str(error)


def test_cases_of_another_agent_are_refused(folder: Path) -> None:
    (folder / "cases.yaml").write_text(CASES.replace("agent: helper", "agent: other"))
    assert "for the agent 'other'" in str(evaluated(folder).exception)


def test_broken_results_are_named(folder: Path) -> None:
    (folder / "cases.results.jsonl").write_text("{}\n")
    assert "cases.results.jsonl:1: not an evaluation" in str(evaluated(folder).exception)


def test_without_a_folder_of_actions_there_are_no_agents(folder: Path) -> None:
    settings = folder / "forestall.toml"
    settings.write_text("")
    assert f"{settings} names no [actions] folder" in str(evaluated(folder).exception)


def test_without_settings_it_says_where_they_are_looked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder / "actions")
    told = CliRunner().invoke(app, ["list"])
    assert isinstance(told.exception, UnreadableInput)
    assert str(told.exception).startswith("there is no forestall.toml here; name one with --config")


def test_declarations_with_mistakes_are_told(folder: Path) -> None:
    (folder / "actions" / "agents.yaml").write_text(AGENT.replace("purpose", "purpse"))
    assert isinstance(evaluated(folder).exception, InvalidFile)


# -- trying ----------------------------------------------------------------------------------------


def test_a_trial_for_people(folder: Path) -> None:
    answer = run(
        folder, "try", "helper", "--input", '{"payment": "p1"}', "--signal", "payment.failed"
    )
    assert answer.exit_code == 0, answer.output
    assert "say: Your bank declined the card, and nothing was charged." in answer.stdout
    assert "evidence: card-declined@3#customer" in answer.stdout
    assert "by composer, as no-model; the customer seems calm" in answer.stdout


def test_a_trial_as_json_has_every_key(folder: Path) -> None:
    answer = run(
        folder, "try", "helper", "--input", '{"payment": "p1"}', "--signal", "payment.failed",
        "--json",
    )  # fmt: skip
    found = json.loads(answer.stdout)
    assert list(found) == [
        "agent", "asks", "outcome", "reason", "detail", "action", "plan", "text", "fields",
        "evidence", "refused", "inference",
    ]  # fmt: skip
    assert found["plan"] == {
        "message": "",
        "runbook": "card-declined",
        "actions": [],
        "hand_over": None,
        "rationale": found["plan"]["rationale"],
        "evidence": ["card-declined@3#customer"],
        "confidence": 1.0,
    }
    assert found["inference"]["by"] == "composer"
    assert found["inference"]["refused"] == []
    assert found["refused"] == []
    assert "card-declined@3#customer" in found["evidence"]


def test_no_answer_is_a_no(folder: Path) -> None:
    answer = run(folder, "try", "helper", "--input", '{"text": "crocodiles"}')
    assert answer.exit_code == 1
    assert "no answer (nothing-found)" in answer.stdout


def test_a_file_may_hold_the_input(folder: Path) -> None:
    (folder / "input.json").write_text('{"payment": "p1"}')
    given = f"@{folder / 'input.json'}"
    answer = run(folder, "try", "helper", "--input", given, "--signal", "payment.failed")
    assert answer.exit_code == 0, answer.output


def test_an_input_that_cannot_be_used(folder: Path) -> None:
    for given, code in [("{", "unreadable-input"), ("[]", "unreadable-input"), ('{"a": 1}', "")]:
        answer = run(folder, "try", "helper", "--input", given, "--json")
        assert answer.exit_code == 2
        error = json.loads(answer.stdout)["error"]
        assert error["message"]
        assert not code or error["code"] == code


BATCH = "\n".join(
    msgspec.json.encode(line).decode()
    for line in [
        {"payment": "p1"},
        {"id": 7, "arguments": {"payment": "p1"}, "signal": "payment.failed"},
        {"arguments": {"payment": 5}},
        {
            "id": "model",
            "arguments": {"payment": "p1"},
            "model": [
                {"calls": [{"tool": "propose", "arguments": {
                    "message": "See https://evil.example", "confidence": 1}}]}
            ],
            "signal": "payment.failed",
        },
        {"arguments": {"text": "My bank"}, "fields": True, "model": [
            {"calls": [{"tool": "fill", "arguments": {
                "fields": {"category": "bank"}, "confidence": 1}}]}
        ]},
    ]
)  # fmt: skip


def test_a_batch_gives_a_line_for_each(folder: Path) -> None:
    (folder / "batch.jsonl").write_text(f"{BATCH}\n\n")
    answer = run(folder, "try", "helper", "--batch", str(folder / "batch.jsonl"))
    assert answer.exit_code == 2
    first, second, third, fourth, fifth = map(json.loads, answer.stdout.splitlines())
    assert (first["outcome"], first["action"]) == ("failed", "nothing")
    assert (second["id"], second["plan"]["runbook"]) == (7, "card-declined")
    assert third["error"]["code"] == "bad-arguments"
    assert (fourth["id"], fourth["inference"]["fallback"]) == ("model", "refused")
    assert fourth["refused"]
    assert "evil" not in fourth["text"]
    assert (fifth["asks"], fifth["fields"]) == ("fields", {"category": "bank"})


def test_a_batch_may_come_by_a_pipe(folder: Path) -> None:
    given = '{"arguments": {"payment": "p1"}, "signal": "payment.failed"}\n'
    answer = run(folder, "try", "helper", "--batch", "-", given=given)
    assert answer.exit_code == 0, answer.output
    assert len(answer.stdout.splitlines()) == 1


def test_lookups_are_asked_only_live_and_nothing_is_left_of_it(folder: Path) -> None:
    declared = AGENT + "  lookups: [{lookup: payment, with: {payment: arguments.payment}}]\n"
    (folder / "actions" / "agents.yaml").write_text(declared + LOOKUP)
    wanted = {"tool": "propose", "arguments": {"message": "All is well.", "confidence": 1}}
    spoken = [{"calls": [{"tool": "payment", "arguments": {}}]}, {"calls": [wanted]}]
    given = json.dumps({"arguments": {"payment": "p1"}, "model": spoken})
    recorded = json.loads(run(folder, "try", "helper", "--batch", "-", given=given).stdout)
    live = json.loads(run(folder, "try", "helper", "--batch", "-", "--live", given=given).stdout)
    assert (recorded["outcome"], live["outcome"]) == ("done", "done")
    assert recorded["inference"]["prompt"] != live["inference"]["prompt"]
    assert not (folder / "data").exists()


def test_a_recorded_model_that_has_no_more_to_say_is_no_warning(folder: Path) -> None:
    given = json.dumps({"arguments": {"payment": "p1"}, "model": [{"text": "no plan"}]})
    answer = run(folder, "try", "helper", "--batch", "-", given=given)
    assert json.loads(answer.stdout)["inference"]["by"] == "nobody"
    assert answer.stderr == ""


def test_a_model_that_is_named_needs_a_key(folder: Path) -> None:
    for words in (
        ("try", "helper", "--input", "{}"),
        ("eval", "helper", str(folder / "cases.yaml")),
    ):
        error = run(folder, *words, "--model", "fast").exception
        assert isinstance(error, UnreadableInput)
        assert "set [language_models.fast] key" in str(error)
    assert run(folder, "try", "helper", "--input", "{}", "--model", "none").exit_code == 1


def test_an_agent_whose_own_model_has_no_key_is_judged_as_the_composer(folder: Path) -> None:
    agents = folder / "actions" / "agents.yaml"
    agents.write_text(agents.read_text().replace("  mood:", "  model: fast\n  mood:"))
    found = json.loads(evaluated(folder, "--json").stdout)
    assert (found["model"], found["share"]) == (None, 0.5)


# -- looking ---------------------------------------------------------------------------------------


def test_agents_are_listed(folder: Path) -> None:
    answer = run(folder, "list")
    assert "helper" in answer.stdout
    assert "the composer" in answer.stdout
    assert "a function" in answer.stdout
    helper = json.loads(run(folder, "list", "--json").stdout)[0]
    assert (helper["name"], helper["model"], helper["owner"]) == ("helper", None, "payments")
    (folder / "actions" / "agents.yaml").write_text(
        "apiVersion: forestall/v1\nkind: Lookup\nmetadata: {name: a}\n"
        "spec: {input: {type: object}, output: {b: /b}, python: {call: 'json:loads'}}\n"
    )
    assert run(folder, "list").stdout == "No agent is declared.\n"


def test_an_agent_is_shown_with_its_evaluations_and_what_it_spent(folder: Path) -> None:
    shown = json.loads(run(folder, "show", "helper").stdout)
    assert shown["declaration"]["purpose"] == "Help with a payment that failed"
    assert (shown["evaluations"], shown["spent_today"]["calls"]) == ([], 0)
    evaluated(folder)
    data = folder / "data"
    data.mkdir()
    ledger = Ledger(data / LEDGER_FILE)
    call = Call(
        key="k", number=1, prompt="p", agent="helper", model="m", at=wall_clock(), ended="begun",
        tokens_in=0, tokens_out=0, cost=0.0,
    )  # fmt: skip
    ledger.begin(call)
    ledger.said("k", 1, Said(tokens_in=10, tokens_out=5), 0.5, 1)
    ledger.close()
    shown = json.loads(run(folder, "show", "helper").stdout)
    (evaluation,) = shown["evaluations"]
    assert (evaluation["passed"], evaluation["total"]) == (1, 2)
    assert evaluation["version"] == shown["version"]
    assert "results" not in evaluation
    assert shown["spent_today"]["cost"] == 0.5
    elsewhere = run(folder, "show", "helper", "--results", str(folder / "none.jsonl"))
    assert json.loads(elsewhere.stdout)["evaluations"] == []


# -- a model that is really asked ------------------------------------------------------------------


def with_server(folder: Path, url: str) -> None:
    address = url.split("/")[2]
    settings = SETTINGS.replace("openai:gpt-none", "openai-chat:scripted").replace(
        'key = "env:FORESTALL_TEST_NO_SUCH_KEY"',
        f'key = "{KEY}"\nurl = "{url}"\ninput = 1.0\noutput = 2.0',
    )
    (folder / "forestall.toml").write_text(f'{settings}[outbound]\nallow = ["{address}"]\n')


def test_a_model_is_asked_where_it_is_named(folder: Path) -> None:
    answers = [propose(message="It was your bank."), propose(hand_over="nothing fits")]
    with model_server(*answers) as server:
        with_server(folder, server.url)
        found = json.loads(evaluated(folder, "--model", "fast", "--json").stdout)
    assert (found["model"], found["passed"], len(server.requests)) == ("fast", 1, 2)
    assert found["tokens"] > 0
    assert found["cost"] > 0
    assert [one["by"] for one in found["results"]] == ["model", "model"]
    without = json.loads(evaluated(folder, "--model", "none", "--json").stdout)
    assert without["comparison"]["model"] == "fast"
    assert not (folder / "data" / LEDGER_FILE).exists()


def test_a_trial_may_ask_a_model(folder: Path) -> None:
    with model_server(propose(message="It was your bank.")) as server:
        with_server(folder, server.url)
        given = '{"payment": "p1"}'
        answer = run(folder, "try", "helper", "--input", given, "--model", "fast")
    assert answer.exit_code == 0, answer.output
    assert "say: It was your bank." in answer.stdout
    assert "by model; the customer seems calm" in answer.stdout
    assert "calls 1, tokens" in answer.stdout


@pytest.mark.parametrize(
    ("change", "who"),
    [
        ("  fallback: nothing\n", "nobody"),
        ("  fallback: person\n", "a person"),
        ("  fallback: compose\n", "the composer"),
        ("  fallback: nothing\n  model: fast\n", "fast"),
    ],
)
def test_who_answers_is_told_and_where_nobody_ever_does(
    folder: Path, change: str, who: str
) -> None:
    (folder / "actions" / "agents.yaml").write_text(AGENT + change)
    listed, shown = run(folder, "list"), run(folder, "show", "helper")
    assert who in listed.stdout
    never = who == "nobody"
    assert json.loads(run(folder, "list", "--json").stdout)[0]["never_answers"] is never
    assert json.loads(shown.stdout)["never_answers"] is never
    for result in (listed, shown):
        assert result.exit_code == 0
        assert result.stderr.startswith("helper: it can never answer") is never


def test_without_model_and_knowledge_nobody_answers(folder: Path) -> None:
    text = AGENT.replace("  knowledge: {passages: 3}\n", "")
    (folder / "actions" / "agents.yaml").write_text(text + FUNCTION)
    found = json.loads(run(folder, "list", "--json").stdout)
    told = {one["name"]: one["never_answers"] for one in found}
    assert told == {"helper": True, "sorter": False}
