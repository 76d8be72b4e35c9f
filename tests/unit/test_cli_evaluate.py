"""``forestall evaluate`` as a user meets it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from flow.intervening import applied, event
from forestall.cli import door
from forestall.contracts.control import DecideSettings, SettingsApplied
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.instants import DAY
from forestall.decide.stage import Stage
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from forestall.measure.assign import in_holdout
from forestall.measure.logged import NothingLogged
from watched import TICKET, WEEK, controls, helped, write

app = door()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    said = controls(holdout=0.2, own=0.3)
    return write(folder, helped(4_000, seed=1), said, end=10 * WEEK)


def run(data: Path, *more: str) -> Result:
    return CliRunner().invoke(
        app, ["evaluate", str(data), "--policy", "help", *more], env={"COLUMNS": "120"}
    )


def found(result: Result) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def test_it_tells_what_never_would_have_brought(data: Path) -> None:
    told = found(run(data, "--instead", "never", "--json"))
    assert told["found"]["snips"]["low"] < 0.5 < told["found"]["snips"]["high"]
    assert told["found"]["rounds"] == 4_000
    assert told["refused"] is None
    assert told["versions"] == ["v1"]
    assert len(told["caveats"]) == 2


POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: help, title: Cards}
spec:
  holdout: 0.4
  cooldown: 1h
  when: {event: declined}
"""


def test_it_understands_what_the_real_engine_logged(tmp_path: Path) -> None:
    """A third of the customers who get a message ask for help, and two thirds of the others."""
    signals, own = SqliteLog(tmp_path / "gateway.db"), SqliteLog(tmp_path / "worker.db")
    worker = Stage(signals, own)
    settings = DecideSettings(holdout=0.25, salt="pepper")
    worker.apply([SettingsApplied(0, settings, "t", ""), applied(POLICY)])
    happened = []
    for number in range(900):
        name = f"c{number}"
        happened.append(event("declined", number, name))
        messaged = not (in_holdout("pepper:help", name, 0.4) or in_holdout("pepper", name, 0.25))
        if number % 3 < (1 if messaged else 2):
            happened.append(event(TICKET, 10_000 + number, name, ticket=name))
    happened.sort(key=lambda one: one.received)
    signals.commit([streams.signals(happened)], tick=happened[-1].received + 30 * DAY)
    while worker.step():
        pass
    signals.close()
    own.close()
    told = found(run(tmp_path, "--instead", "never", "--json"))["found"]
    assert told["rounds"] == 900
    assert told["snips"]["value"] == pytest.approx(2 / 3, abs=0.05)
    assert told["logged"]["value"] == pytest.approx((0.45 + 2 * 0.55) / 3, abs=0.05)


def test_it_prints_a_table_with_intervals_and_caveats(data: Path) -> None:
    result = run(data, "--instead", "0.5")
    assert result.exit_code == 0, result.output
    assert "from 0.5 on, doubly robust" in result.stdout
    assert "difference from as logged" in result.stdout
    assert " to " in result.stdout
    assert "within 7d" in result.stdout
    assert "the first time" in result.stdout


def test_the_same_question_has_the_same_answer(data: Path) -> None:
    asked = ("--instead", "always", "--json")
    assert run(data, *asked).stdout == run(data, *asked).stdout


def test_a_deterministic_policy_is_refused_with_exit_code_1(tmp_path: Path) -> None:
    folder = write(tmp_path, helped(200, 1, holdout=0, own=0), controls(), end=10 * WEEK)
    result = run(folder, "--instead", "never")
    assert result.exit_code == 1
    assert "No figure" in result.stdout
    assert "What would help: let chance choose" in result.stdout
    told = run(folder, "--instead", "never", "--json")
    assert told.exit_code == 1
    assert found(told)["refused"]["code"] == "no-overlap"


def test_what_is_not_in_the_log_is_said(data: Path, tmp_path: Path) -> None:
    nothing = run(data, "--instead", "never", "--version", "nope").exception
    assert isinstance(nothing, NothingLogged)
    assert nothing.exit_code == 1
    missing = run(tmp_path, "--instead", "never").exception
    assert isinstance(missing, UnreadableInput)


@pytest.mark.parametrize("what", ["sometimes", "1.5", "-0.1", "nan", ""])
def test_what_is_not_a_policy_is_bad_input(data: Path, what: str) -> None:
    result = run(data, "--instead", what)
    assert result.exit_code == 2
    assert "always, never" in result.output


@pytest.mark.parametrize("what", ["soon", "0s"])
def test_what_is_not_a_horizon_is_bad_input(data: Path, what: str) -> None:
    assert run(data, "--instead", "never", "--horizon", what).exit_code == 2
