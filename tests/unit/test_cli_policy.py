"""``forestall policy diff``, ``test`` and ``new`` as a user meets them: output and exit codes."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from forestall.cli import door
from forestall.cli.junit import Case, junit
from forestall.contracts.errors import ForestallError
from forestall.kernel.clock import random_id
from forestall.kernel.database.files import open_database
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from forestall.policy.bundle import applied, load_folder
from forestall.policy.language.parse import parse
from forestall.privacy.keys import load_keys
from forestall.privacy.vault import Vault
from scenario import event, instant, records

app = door()

POLICY = """\
apiVersion: forestall/v1
kind: Policy
metadata: {name: declined, title: Help with declined cards}
spec:
  when: {sequence: [{event: payment.declined, times: 2}], within: 10m, by: event.data.order}
  if: "event.data.amount > 5"
  cooldown: 24h
tests:
  - name: twice
    events:
      - {at: 0s, type: payment.declined, data: {order: o1, amount: 9}}
      - {at: 1s, type: payment.declined, data: {order: o1, amount: 9}}
    until: 1m
    expect: [{at: 1s, outcome: intervene}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.yaml").write_text(POLICY)
    lines = [
        event(t, "payment.declined", {"order": f"A-{t % 2}", "amount": 5 + t}, subject=f"u{t % 3}")
        for t in range(30)
    ]
    (tmp_path / "events.ndjson").write_bytes(b"\n".join(lines))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=True)


def fails(*arguments: str) -> ForestallError:
    found = run(*arguments).exception
    assert isinstance(found, ForestallError), found
    return found


# -- diff ------------------------------------------------------------------------------------------


def changed(folder: Path, old: str, new: str) -> None:
    assert old in POLICY
    (folder / "new.yaml").write_text(POLICY.replace(old, new))


def test_diff_tells_a_change_in_words(folder: Path) -> None:
    changed(folder, "cooldown: 24h", "cooldown: 12h")
    told = run("policy", "diff", "old.yaml", "new.yaml")
    assert told.exit_code == 1
    assert "`cooldown` is 12h instead of 24h" in told.output
    assert "Decisions" not in told.output


def test_diff_of_the_same_meaning_is_no_difference(folder: Path) -> None:
    changed(folder, "cooldown: 24h", "cooldown: 1d # a day")
    told = run("policy", "diff", "old.yaml", "new.yaml")
    assert (told.exit_code, told.output) == (0, "What changed\n  nothing\n")
    changed(folder, "Help with declined cards", "Help")
    told = run("policy", "diff", "old.yaml", "new.yaml")
    assert told.exit_code == 0
    assert "(changes no decision)" in told.output


def test_diff_shows_customers_and_moments(folder: Path) -> None:
    changed(folder, "times: 2", "times: 3")
    told = run("policy", "diff", "old.yaml", "new.yaml", "--events", "events.ndjson")
    assert told.exit_code == 1
    assert "step 1 (`payment.declined`): `times` is 3 instead of 2" in told.output
    assert "30 events; 12 decisions by the old" in told.output
    assert 'declined for "A-0": intervene -> no decision' in told.output
    assert "new: the pattern had not completed: 2 of 3 steps stood within 10m" in told.output


def test_a_change_that_no_decision_shows_is_no_difference_over_events(folder: Path) -> None:
    changed(folder, "24h", "23h")
    told = run("policy", "diff", "old.yaml", "new.yaml", "--events", "events.ndjson")
    assert told.exit_code == 0
    assert "None differs." in told.output


def test_diff_as_json(folder: Path) -> None:
    changed(folder, "amount > 5", "amount > 12")
    command = ("policy", "diff", "old.yaml", "new.yaml", "--events", "events.ndjson")
    told = run(*command, "--format", "json", "--examples", "1")
    found = json.loads(told.output)
    assert told.exit_code == 1
    (change,) = found["changes"]
    words = "`if` requires `event.data.amount > 12` instead of `event.data.amount > 5`"
    assert (change["policy"], change["kind"], change["words"]) == ("declined", "changed", [words])
    decisions = found["decisions"]
    assert sum(row["moments"] for row in decisions["totals"]) > 1
    (example,) = decisions["examples"]
    assert example["policy"] == "declined"
    assert {example["old"], example["new"]} & {"intervene"}


def test_diff_as_markdown(folder: Path) -> None:
    changed(folder, "amount > 5", "amount > 50")
    command = ("policy", "diff", "old.yaml", "new.yaml", "--events", "events.ndjson")
    lines = run(*command, "--format", "markdown").output.splitlines()
    assert lines[0] == "## What changed"
    assert "| declined | intervene | no decision | 3 |" in lines
    assert any("    * new: the pattern completed, but `if` did not hold" in line for line in lines)


def test_diff_obeys_the_settings_and_reads_folders(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "p.yaml").write_text(POLICY)
    (folder / "b" / "q.yaml").write_text(POLICY.replace("name: declined", "name: more"))
    (folder / "s.toml").write_text('[switches]\noff = ["more"]\n')
    command = ("policy", "diff", "a", "b", "--events", "events.ndjson", "--config", "s.toml")
    told = run(*command)
    assert told.exit_code == 1
    assert "more: added" in told.output
    assert "more: no decision -> suppress (killed)" in told.output
    assert "0 interventions are new, 0 are gone" in told.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("old.yaml", "nowhere.yaml"),
        ("old.yaml", "bad.yaml"),
        ("old.yaml", "old.yaml", "--events", "nowhere.ndjson"),
        ("old.yaml", "old.yaml", "--events", "bad.yaml"),
    ],
)
def test_what_diff_cannot_use(folder: Path, arguments: tuple[str, ...]) -> None:
    (folder / "bad.yaml").write_text("kind: Policy\n")
    assert fails("policy", "diff", *arguments).exit_code == 2


# -- test ------------------------------------------------------------------------------------------


def test_a_failure_shows_the_timeline_with_what_was_expected_and_made(folder: Path) -> None:
    text = POLICY.replace("[{at: 1s, outcome: intervene}]", "[{at: 0s, outcome: suppress}]")
    (folder / "old.yaml").write_text(text)
    told = run("policy", "test", "old.yaml")
    assert told.exit_code == 1
    assert told.output.splitlines() == [
        "FAIL  declined: twice (old.yaml:9)",
        "      expected 0s suppress; it did not come",
        '      not expected: 1s intervene for key "o1"',
        "      timeline:",
        '          0s payment.declined {"order":"o1","amount":9}',
        "        ! 0s suppress  <- expected, but not decided",
        '          1s payment.declined {"order":"o1","amount":9}',
        '        ! 1s intervene for key "o1"  <- decided, but not expected',
        "          1m the test ends",
        "0 passed, 1 failed",
    ]


def test_coverage_is_shown_and_can_be_demanded(folder: Path) -> None:
    assert folder
    shown = run("policy", "test", "old.yaml", "--coverage")
    assert shown.exit_code == 0
    assert " 54 % declined" in shown.output
    assert "        condition if `event.data.amount > 5`: never false" in shown.output
    assert "        gate cooldown: never refused" in shown.output
    assert run("policy", "test", "old.yaml", "--min-coverage", "54").exit_code == 0
    low = run("policy", "test", "old.yaml", "--min-coverage", "55")
    assert low.exit_code == 1
    assert " 54 % declined (too low)" in low.output
    assert low.output.splitlines()[-1] == "coverage is below 55 %: declined"
    found = json.loads(run("policy", "test", "old.yaml", "--coverage", "--json").output)
    assert [row["passed"] for row in found["tests"]] == [True]
    assert [(row["policy"], row["percent"]) for row in found["coverage"]] == [("declined", 54)]


def test_a_policy_without_tests_covers_nothing(folder: Path) -> None:
    (folder / "old.yaml").write_text(POLICY.partition("tests:")[0])
    assert run("policy", "test", "old.yaml").exit_code == 0
    assert run("policy", "test", "old.yaml", "--min-coverage", "1").exit_code == 1


def test_junit(folder: Path) -> None:
    failing = POLICY.replace("name: declined", "name: wrong").replace(
        "at: 1s, outcome", "at: 2s, outcome"
    )
    (folder / "wrong.yaml").write_text(failing)
    arguments = ("old.yaml", "wrong.yaml", "--junit", "results.xml", "--coverage")
    assert run("policy", "test", *arguments).exit_code == 1
    root = ElementTree.fromstring((folder / "results.xml").read_bytes())  # noqa: S314
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "2", "1")
    good, bad = root.findall("testsuite")
    assert (good.get("name"), good.get("tests"), good.get("failures")) == ("declined", "1", "0")
    assert [one.get("value") for one in good.iter("property")] == ["54"]
    (case,) = bad.findall("testcase")
    assert (case.get("classname"), case.get("name")) == ("wrong", "twice")
    assert (case.get("file"), case.get("line")) == ("wrong.yaml", "9")
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("message") == "expected 2s intervene; it did not come"
    assert "! 1s intervene" in (failure.text or "")
    assert fails("policy", "test", "old.yaml", "--junit", "no/such/file").exit_code == 2


def test_junit_holds_only_what_xml_can() -> None:
    case = Case("p\x00", "<a> & \ufffe", 0.25, failure="\x1b", details="]]>\x0b")
    root = ElementTree.fromstring(junit("n", [case], {"p\x00": {}, "empty": {"x": "\x01"}}))  # noqa: S314
    suite, empty = root.findall("testsuite")
    assert (suite.get("name"), suite.get("time"), empty.get("tests")) == (
        "p\ufffd",
        "0.250000",
        "0",
    )
    (found,) = suite.findall("testcase")
    assert found.get("name") == "<a> & \ufffd"
    assert [one.text for one in found.findall("failure")] == ["]]>\ufffd"]


# -- new -------------------------------------------------------------------------------------------


@pytest.fixture
def data(folder: Path) -> Path:
    """A server's data folder with the history, under the policies of ``old.yaml``; ann is u0."""
    lines = (folder / "events.ndjson").read_bytes().splitlines()
    (folder / "data").mkdir()
    gateway = SqliteLog(folder / "data" / "gateway.db")
    gateway.commit([streams.signals(records(*lines))])
    gateway.close()
    connection = open_database(folder / "data" / "gateway.db")
    vault = Vault(connection, load_keys(folder / "data", random_id, create=True), random_id)
    vault.lay()
    vault.assign("user", "ann", "u0")
    connection.close()
    worker = SqliteLog(folder / "data" / "worker.db")
    worker.commit([streams.control([applied(load_folder(folder / "old.yaml"), 1, "us", "new")])])
    worker.close()
    return folder / "data"


def new(*more: str, subject: str = "u0", between: tuple[float, float] = (0, 10)) -> Result:
    span = [instant(at) for at in between]
    return run(
        "policy", "new", "--from-subject", subject, "--between", *span, "--data", "data", *more
    )


def test_diff_reads_a_data_folder(folder: Path, data: Path) -> None:
    assert data
    changed(folder, "times: 2", "times: 3")
    command = ("policy", "diff", "old.yaml", "new.yaml", "--format", "json", "--events")
    answers = [run(*command, events).output for events in ("data", "events.ndjson")]
    assert answers[0] == answers[1]
    assert json.loads(answers[0])["decisions"]["events"] == 30


def test_new_prints_a_test_that_passes(folder: Path, data: Path) -> None:
    assert data
    told = new(subject="ann", between=(0, 16))
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith('# declined\ntests:\n  - name: "a customer\'s history"\n')
    assert not {"u0", "ann"} & set(told.stdout.split())
    assert "A-0" not in told.stdout
    text = POLICY.partition("tests:")[0] + told.stdout
    (policy,) = parse(text, "p.yaml")
    assert [one.outcome for one in policy.tests[0].expect] == ["intervene", "suppress"]
    (folder / "pasted.yaml").write_text(text)
    assert run("policy", "test", "pasted.yaml").exit_code == 0


def test_new_adds_the_test_to_a_file(folder: Path, data: Path) -> None:
    assert data
    told = new("--policy", "declined", "--out", "old.yaml", "--name", "A case")
    assert (told.exit_code, told.stdout) == (0, "old.yaml: added a test of declined\n")
    assert (folder / "old.yaml").read_text().startswith(POLICY)
    tested = run("policy", "test", "old.yaml")
    assert tested.output.splitlines()[-2:] == ["ok    declined: A case", "2 passed, 0 failed"]


def test_new_obeys_the_policy_as_it_stands_in_the_file(folder: Path, data: Path) -> None:
    assert data
    (folder / "new.yaml").write_text(POLICY.replace("times: 2", "times: 9"))
    told = new("--policy", "declined", "--out", "new.yaml")
    assert told.exit_code == 0
    assert "in the log it decided intervene at 6s" in told.stderr
    assert "the test alone decides nothing" in told.stderr


def test_new_for_nobody_and_for_no_policy(data: Path) -> None:
    assert data
    nobody = new(subject="nobody")
    assert nobody.exit_code == 1
    assert "No events of 'nobody'" in nobody.output

    def refused(*more: str, between: tuple[float, float] = (0, 10)) -> str:
        error = new(*more, between=between).exception
        assert isinstance(error, ForestallError)
        assert error.exit_code == 2
        return str(error)

    assert "there are: declined" in refused("--policy", "no")
    assert "name one with --policy" in refused(between=(0, 1))
    assert "second moment is before" in refused(between=(1, 0))


def test_new_writes_a_test_of_silence_for_a_policy_that_is_named(data: Path) -> None:
    assert data
    told = new("--policy", "declined", between=(0, 1))
    assert told.exit_code == 0
    assert "expect: []" in told.stdout
