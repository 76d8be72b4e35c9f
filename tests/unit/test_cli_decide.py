"""``forestall backtest``, ``policy`` and ``explain`` as a user meets them: output and exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from forestall.cli import door
from forestall.context.core import CORE
from forestall.contracts.errors import ForestallError
from scenario import event

app = door()

POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: declined, title: Help with declined cards}
spec:
  when: {sequence: [{event: payment.declined, times: 2}], within: 10m}
tests:
  - name: twice
    events:
      - {at: 0s, type: payment.declined}
      - {at: 1s, type: payment.declined}
    expect: [{at: 1s, outcome: intervene}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "declined.yaml").write_text(POLICY)
    lines = [event(t, "payment.declined", subject=f"u{t % 2}") for t in range(6)]
    (tmp_path / "events.ndjson").write_bytes(b"\n".join(lines))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=True)


def fails(*arguments: str) -> ForestallError:
    found = run(*arguments).exception
    assert isinstance(found, ForestallError), found
    return found


def test_a_backtest_writes_decisions_and_tells_a_summary(folder: Path) -> None:
    told = run("backtest", "policies", "events.ndjson", "--out", "decisions.ndjson")
    assert told.exit_code == 0
    assert "intervene" in told.output
    assert "6 events in" in told.output
    written = (folder / "decisions.ndjson").read_text()
    decisions = [json.loads(line) for line in written.splitlines()]
    assert [one["outcome"] for one in decisions] == ["intervene", "intervene"]
    assert list(decisions[0]) == [
        "id",
        "policy",
        "version",
        "mode",
        "subject",
        "key",
        "at",
        "outcome",
        "reason",
        "matched",
        "features",
        "explanation",
    ]


def test_a_backtest_summary_as_json(folder: Path) -> None:
    assert folder
    told = json.loads(run("backtest", "policies", "events.ndjson", "--json").output)
    assert told["events"] == 6
    assert told["decisions"] == [
        {"policy": "declined", "outcome": "intervene", "reason": None, "decisions": 2}
    ]


def test_a_backtest_obeys_the_settings(folder: Path) -> None:
    (folder / "forestall.toml").write_text("[decide]\nbudget = 0\n")
    told = json.loads(run("backtest", "policies", "events.ndjson", "--json").output)
    assert {row["reason"] for row in told["decisions"]} == {"budget"}
    (folder / "other.toml").write_text('[switches]\noff = ["declined"]\n')
    told = json.loads(
        run("backtest", "policies", "events.ndjson", "--config", "other.toml", "--json").output
    )
    assert {row["reason"] for row in told["decisions"]} == {"killed"}


def test_decisions_go_to_standard_output_alone_when_asked(folder: Path) -> None:
    assert folder
    told = run("backtest", "policies", "events.ndjson", "--out", "-")
    assert [json.loads(line)["outcome"] for line in told.stdout_bytes.splitlines()] == [
        "intervene"
    ] * 2


def test_what_a_backtest_cannot_use(folder: Path) -> None:
    assert run("backtest", "policies").exit_code == 2
    assert fails("backtest", "nowhere", "events.ndjson").exit_code == 2
    assert fails("backtest", "policies", "nowhere.ndjson").exit_code == 2
    assert fails("backtest", "policies", "events.ndjson", "--out", "no/such/file").exit_code == 2
    assert fails("backtest", "events.ndjson", "--as-deployed").exit_code == 2
    (folder / "policies" / "bad.yaml").write_text(POLICY.replace("times: 2", "time: 2"))
    error = fails("backtest", "policies", "events.ndjson")
    assert error.exit_code == 1
    assert "bad.yaml:6:" in str(error)
    assert "did you mean `times`?" in str(error)


def test_policy_tests_pass_and_fail(folder: Path) -> None:
    told = run("policy", "test", "policies")
    assert (told.exit_code, told.output.splitlines()[-1]) == (0, "1 passed, 0 failed")
    file = folder / "policies" / "declined.yaml"
    file.write_text(POLICY.replace("at: 1s, outcome", "at: 2s, outcome"))
    told = run("policy", "test", "policies")
    assert told.exit_code == 1
    assert "expected 2s intervene; it did not come" in told.output
    assert "0s payment.declined" in told.output
    (row,) = json.loads(run("policy", "test", "policies", "--json").output)
    assert (row["policy"], row["passed"], row["decisions"]) == ("declined", False, ["1s intervene"])


def test_conditions_are_evaluated_line_by_line(folder: Path) -> None:
    lines = [
        '{"expr": "a + 1", "bindings": {"a": 1}}',
        '{"expr": "a +", "bindings": {"a": 1}}',
        "no json",
    ]
    (folder / "lines").write_text("\n".join(lines))
    told = run("policy", "eval", "--batch", "lines")
    assert told.exit_code == 0
    answers = [json.loads(line) for line in told.output.splitlines()]
    assert answers[0] == {"value": 2}
    assert [list(answer) for answer in answers[1:]] == [["error"], ["error"]]
    assert fails("policy", "eval", "--batch", "nowhere").exit_code == 2


def test_explain_needs_a_data_folder(folder: Path) -> None:
    assert folder
    error = fails("explain", "--subject", "u", "--policy", "p")
    assert "not a server's data folder" in str(error)


def commands() -> list[list[str]]:
    from typer.main import get_command

    found: list[list[str]] = []

    def walk(command: object, path: list[str]) -> None:
        found.append(path)
        for name, below in getattr(command, "commands", {}).items():
            walk(below, [*path, name])

    walk(get_command(app), [])
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_has_help_that_says_what_it_does(path: list[str]) -> None:
    told = run(*path, "--help")
    assert told.exit_code == 0
    assert "Usage: " in told.output
    assert "Traceback" not in told.output
    first = told.output.split("Usage:", 1)[1].strip().splitlines()[2:]
    assert any(line.strip().endswith((".", ",")) or len(line.strip()) > 20 for line in first)


def test_the_version() -> None:
    told = run("--version").output
    assert told.startswith("forestall ")
    assert told.endswith(f" ({CORE} core)\n")
