"""``forestall report`` as a user meets it: text, JSON, a page, and exit codes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from forestall.cli import door
from forestall.contracts.errors import ForestallError
from forestall.contracts.instants import DAY, format_time
from simulator import PAST, POLICY, Deployment, World, write

app = door()

WORLD = Deployment(world=World(customers=1_000, share=0.4, effect=-0.5, rate=0.6), everybody=0.3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deployment") / "data"
    write(folder, WORLD.history(np.random.default_rng(1)), WORLD.controls(), WORLD.end)
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def told(*arguments: str | Path) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code in (0, 1), result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_it_says_what_help_changed(data: Path) -> None:
    result = run(data)
    assert result.exit_code == 0, result.output
    for part in (
        "What help changed: tickets within 7d after entry, counted by customer",
        "Everybody active against the global holdout of 30 %",
        "Everybody reached by any policy",
        f"{POLICY} against its own holdout of 40 %",
        "Help spared",
        "tickets per 1,000 sessions",
        "Differences are adjusted by what customers did in the 28d before",
        "Not told: solved at first contact; satisfaction, 1 to 5.",
        "Each interval holds for one look",
    ):
        assert part in result.output


def test_it_begins_with_one_line_for_each_experiment(data: Path) -> None:
    lines = run(data).output.splitlines()
    short = [
        line.split() for line in lines[: lines.index(next(x for x in lines if "against" in x))]
    ]
    assert ["Everybody", "active"] in [line[:2] for line in short]
    (own,) = (line for line in short if line[:1] == [POLICY])
    assert own[1].startswith("−")
    assert own[-1] == "%"


def test_json_is_the_whole_report(data: Path) -> None:
    found = told(data)
    assert found["outcome"] == "forestall.ticket.opened"
    assert found["horizon_seconds"] == 7 * 86_400
    assert found["before_seconds"] == 28 * 86_400
    assert [one["kind"] for one in found["experiments"]] == ["everyone", "reached", "policy"]
    contrast = found["experiments"][2]["figures"]["outcomes"]["contrast"]
    assert contrast["difference"]["low"] < contrast["difference"]["value"] < 0
    assert found["experiments"][2]["figures"]["cost"] is None


def test_the_same_folder_gives_the_same_bytes(data: Path) -> None:
    assert run(data, "--json").stdout == run(data, "--json").stdout


def test_options_are_what_was_asked_for(data: Path) -> None:
    since = format_time((PAST + 5) * DAY)
    found = told(
        data, "--policy", POLICY, "--horizon", "2d", "--before", "7d", "--since", since,
        "--until", "1970-02-20", "--cost-ticket", "12", "--cost-intervention", "0.1",
    )  # fmt: skip
    (one,) = found["experiments"]
    assert one["policy"] == POLICY
    assert one["earlier"] > 0
    assert found["horizon_seconds"] == 2 * 86_400
    assert (found["since"], found["until"]) == (since, "1970-02-20T00:00:00.000000Z")
    assert one["figures"]["cost"]["contrast"]["aside"]["value"] == pytest.approx(
        12 * one["figures"]["outcomes"]["contrast"]["aside"]["value"]
    )


def test_a_page_is_written_beside(data: Path, tmp_path: Path) -> None:
    result = run(data, "--html", "report.html")
    assert result.exit_code == 0
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert POLICY in page
    assert data.parent.name in page


def test_no_number_at_all_is_a_no(data: Path) -> None:
    result = run(data, "--horizon", "90d", "--policy", POLICY)
    assert result.exit_code == 1
    assert "No number. Nobody's 90d after entry have passed yet." in result.output
    result = run(data, "--policy", "nobody-knows-it")
    assert result.exit_code == 1
    assert f"These were: {POLICY}." in result.output


def test_accounts_without_the_trait_are_told(data: Path) -> None:
    result = run(data, "--unit", "account")
    assert result.exit_code == 1
    assert "cannot be told (no account" in result.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--horizon", "0s"], "longer than nothing"),
        (["--horizon", "a week"], "is not a duration"),
        (["--since", "yesterday"], "2024-05-01"),
        (["--since", "2024-05-02", "--until", "2024-05-01"], "has to be before"),
        (["--outcome", ""], "name an event type"),
        (["--unit", "planet"], "planet"),
        (["--cost-ticket=-1"], "--cost-ticket"),
    ],
)
def test_what_makes_no_sense_is_refused(data: Path, arguments: list[str], text: str) -> None:
    result = run(data, *arguments)
    assert result.exit_code == 2
    assert text in result.output


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(ForestallError, match="not a server's data folder"):
        CliRunner().invoke(app, ["report", str(tmp_path)], catch_exceptions=False)


def test_a_page_that_cannot_be_written_is_named(data: Path) -> None:
    with pytest.raises(ForestallError, match="cannot be written"):
        CliRunner().invoke(
            app, ["report", str(data), "--html", "no/such/r.html"], catch_exceptions=False
        )


def test_the_settings_name_the_folder(data: Path, tmp_path: Path) -> None:
    (tmp_path / "forestall.toml").write_text(f'[server]\ndata = "{data}"\n')
    assert told("--policy", POLICY)["customers"] == 1_000
