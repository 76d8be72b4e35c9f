"""``forestall backtest`` as a user meets it: what it adds up to, on a terminal, as JSON, as a page."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from forestall.cli import door
from forestall.contracts.errors import ForestallError
from scenario import event

app = door()

POLICIES = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: declined, title: Help with declined cards}
spec:
  when: {sequence: [{event: payment.declined, times: 2}], within: 10m}
---
apiVersion: forestall/v1
kind: Policy
metadata: {name: angry, title: Help those who click in anger}
spec:
  when: {event: click.raged}
  priority: 90
"""
TICKET = "forestall.ticket.opened"


def history() -> list[bytes]:
    """20 customers, each declined twice; every other one clicks in anger, every fourth writes."""
    lines: list[tuple[float, bytes]] = []

    def add(at: float, event_type: str, customer: int, data: dict[str, Any] | None = None) -> None:
        name = f"[b]u{customer}[/b]"
        lines.append((at, event(at, event_type, data, subject=name, event_id=f"{at}-{customer}")))

    for customer in range(20):
        start = customer * 9_000
        add(start, "payment.declined", customer)
        add(start + 30, "payment.declined", customer)
        if customer % 2:
            add(start + 60, "click.raged", customer)
        if customer % 4 == 1:
            add(start + 630, TICKET, customer, {"ticket": f"t{customer}"})
    add(200_000, TICKET, 0, {"ticket": "out of the blue"})
    return [line for _, line in sorted(lines)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "policies.yaml").write_text(POLICIES)
    (tmp_path / "events.ndjson").write_bytes(b"\n".join(history()))
    return tmp_path


def run(*options: str) -> Result:
    return CliRunner().invoke(app, ["backtest", "policies.yaml", "events.ndjson", *options])


def told(*options: str) -> dict[str, Any]:
    result = run("--json", *options)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_json_has_every_figure() -> None:
    found = told()
    assert (found["events"], found["records"], found["skipped"]) == (56, 56, 0)
    assert (found["customers"], found["sessions"], found["session_gap_seconds"]) == (20, 20, 1800)
    assert found["decisions"] == [
        {"policy": "angry", "outcome": "suppress", "reason": "spacing", "decisions": 10},
        {"policy": "declined", "outcome": "intervene", "reason": None, "decisions": 20},
    ]
    assert sum(row["decisions"] for row in found["by_day"]) == 30
    assert {row["day"] for row in found["by_day"]} == {"2024-05-01", "2024-05-02", "2024-05-03"}
    assert found["rates"][1] == {
        "policy": "declined",
        "decisions": 20,
        "interventions": 20,
        "decisions_per_1000": 1000.0,
        "interventions_per_1000": 1000.0,
    }
    assert found["overlap"] == [{"policies": ["angry", "declined"], "times": 10, "customers": 10}]
    assert found["most_hit"][0] == {
        "customer": "[b]u0[/b]",
        "interventions": 1,
        "decisions": 1,
        "by_policy": {"declined": 1},
    }
    assert "outcome" not in found


def test_an_outcome_adds_precision_recall_and_lead_time() -> None:
    found = told("--outcome", TICKET, "--horizon", "1h")["outcome"]
    assert (found["type"], found["horizon_seconds"], found["total"]) == (TICKET, 3600, 6)
    angry, declined = found["by_policy"]
    assert declined["precision"]["value"] == 0.25
    assert declined["precision"]["low"] < 0.25 < declined["precision"]["high"]
    assert declined["recall"]["value"] == pytest.approx(5 / 6)
    assert declined["lead_seconds"]["median"] == {"value": 600.0, "low": None, "high": None}
    assert angry["recall"]["value"] == 0
    assert angry["reachable_share"]["value"] == pytest.approx(5 / 6)
    assert angry["precision"] == {"value": None, "low": None, "high": None}
    assert "cannot show" in found["caveat"]


def test_the_horizon_and_the_gap_matter() -> None:
    near = told("--outcome", TICKET, "--horizon", "599s")["outcome"]
    assert near["together"]["reached"] == 0
    far = told("--outcome", TICKET, "--horizon", "10d")["outcome"]
    assert far["together"]["reached"] == 6
    assert far["together"]["unfinished"] > 0
    assert told("--session-gap", "30s")["sessions"] == 50


def test_a_seed_makes_it_repeatable() -> None:
    options = ("--outcome", TICKET)
    assert told(*options, "--seed", "5") == told(*options, "--seed", "5")
    one, other = told(*options, "--seed", "5"), told(*options, "--seed", "6")
    assert one["decisions"] == other["decisions"]
    assert one["outcome"]["seed"] == 5


def test_a_terminal_is_told_the_same() -> None:
    output = run("--outcome", TICKET, "--horizon", "1h").output
    for words in (
        "Decisions",
        "By day (UTC)",
        "2024-05-02",
        "Per 1,000 sessions (20 sessions of 20 customers)",
        "angry + declined",
        "[b]u0[/b]",
        "forestall.ticket.opened within 1h: 6 of 6 customers",
        "25.0 %",
        "83.3 %",
        "10 min",
        "56 events in",
    ):
        assert words in output
    assert "cannot show whether any forestall.ticket.opened would have" in output


def test_an_outcome_that_is_not_there_is_said() -> None:
    result = run("--outcome", "ticket.opend")
    assert result.exit_code == 0
    assert "There is no ticket.opend in this history." in result.output


def test_a_history_without_decisions_is_told_and_drawn(folder: Path) -> None:
    (folder / "events.ndjson").write_bytes(event(0, "nothing"))
    result = run("--report", "report.html", "--outcome", TICKET)
    assert result.exit_code == 0
    assert "No decisions." in result.output
    assert "No policy noticed anything." in (folder / "report.html").read_text()


def test_the_page_is_written_beside_the_rest(folder: Path) -> None:
    result = run("--report", "report.html", "--out", "d.ndjson", "--outcome", TICKET)
    assert result.exit_code == 0
    text = (folder / "report.html").read_text()
    assert text.startswith("<!doctype html>")
    assert "events.ndjson, 2024-05-01 to 2024-05-03" in text
    assert "56 events in" in text
    assert "cannot show" in text
    assert len((folder / "d.ndjson").read_text().splitlines()) == 30


def test_the_page_goes_to_standard_output_alone_when_asked() -> None:
    result = run("--report", "-")
    assert result.stdout.startswith("<!doctype html>")
    assert result.stdout.rstrip().endswith("</html>")


def test_a_parquet_archive_gives_the_same(folder: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [json.loads(line) for line in history()]
    for row in rows:
        row["data"] = json.dumps(row["data"])
    parquet.write_table(arrow.Table.from_pylist(rows), folder / "events.parquet")
    arguments = ["backtest", "policies.yaml", "events.parquet", "--json", "--outcome", TICKET]
    found = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert found == told("--outcome", TICKET)


def test_several_processes_write_the_same(folder: Path) -> None:
    options = ("--outcome", TICKET, "--json", "--jobs")
    one = run("--out", "one.ndjson", *options, "1")
    two = run("--out", "two.ndjson", *options, "2")
    assert (one.exit_code, two.exit_code) == (0, 0)
    assert two.stdout == one.stdout
    assert (folder / "two.ndjson").read_bytes() == (folder / "one.ndjson").read_bytes() != b""


def test_compressed_lines_are_lines(folder: Path) -> None:
    (folder / "events.ndjson.gz").write_bytes(gzip.compress(b"\n".join(history())))
    arguments = ["backtest", "policies.yaml", "events.ndjson.gz", "--json"]
    assert json.loads(CliRunner().invoke(app, arguments).stdout) == told()
    whole = (folder / "events.ndjson.gz").read_bytes()
    for broken in (whole[:-20], b"plain", whole[:60] + b"xxxx" + whole[64:]):
        (folder / "events.ndjson.gz").write_bytes(broken)
        error = CliRunner().invoke(app, arguments).exception
        assert isinstance(error, ForestallError)
        assert "events.ndjson.gz" in str(error)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--jobs", "0"), "'--jobs'"),
        (("--horizon", "week"), "is not a duration"),
        (("--session-gap", "0s"), "longer than nothing"),
        (("--seed", "-1"), "'--seed'"),
    ],
)
def test_what_it_cannot_use(options: tuple[str, str], says: str) -> None:
    result = run(*options)
    assert result.exit_code == 2
    assert says in result.output


def test_a_page_that_cannot_be_written_is_named() -> None:
    error = run("--report", "no/such/report.html").exception
    assert isinstance(error, ForestallError)
    assert "no/such/report.html: cannot be written" in str(error)
    assert error.exit_code == 2
