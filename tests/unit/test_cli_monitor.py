"""``forestall monitor`` as a user meets it, and that it applies nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from flow.intervening import applied, event
from forestall.cli import door
from forestall.contracts.control import (
    Control,
    DecideSettings,
    ModelInForce,
    ModelsApplied,
    PoliciesApplied,
    PolicyInForce,
    SettingsApplied,
)
from forestall.contracts.decision import Confidence
from forestall.contracts.errors import InvalidFile, UnreadableInput
from forestall.contracts.instants import DAY
from forestall.decide.stage import Stage
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from forestall.measure.model import Feature, Model, Platt, canonical, version
from forestall.measure.reading import Folder, Happening
from forestall.policy.lifecycle import content_version
from forestall.policy.sources import contents, read_folder
from watched import START, TICKET, WEEK, decided, model_in_force, record, when, write

app = door()

MODEL = model_in_force(horizon_hours=24)
VERSION = MODEL.models[0].version
END = 4.0 * WEEK
CUSTOMERS = 1_600


def controls() -> list[Control]:
    text = {"holdout": 1.0, "model": {"name": "churn", "threshold": 0.3}}
    canonical = msgspec.Raw(msgspec.json.encode(text))
    return [PoliciesApplied(START, (PolicyInForce("help", "v1", canonical),), {}, "t", ""), MODEL]


def history(off: float = 0.0, last: float = 0.0, plan: str = "free") -> list[Happening]:
    """Four weeks of customers who are all kept aside. Log-odds of a ticket are ``off`` by so much;
    in the last week the feature is higher by ``last``."""
    chance = np.random.default_rng(1)
    odds = chance.uniform(-3, 1, CUSTOMERS)
    tickets = chance.random(CUSTOMERS) < 1 / (1 + np.exp(-(odds + off)))
    spend = chance.normal(0, 1, CUSTOMERS)
    times = np.sort(chance.uniform(0, END, CUSTOMERS)).tolist()
    found: list[Happening] = []
    for number, at in enumerate(times):
        name = f"c{number}"
        probability = round(float(1 / (1 + np.exp(-odds[number]))), 6)
        said = [Confidence("churn", VERSION, "live", probability, {})]
        features = {"spend": float(spend[number]) + (last if at > END - WEEK else 0.0)}
        found.append(record(at, "page.viewed", name, page="home"))
        found.append(record(at, "forestall.identify", name, traits={"plan": plan}))
        found.append(decided(at, name, "holdout", "policy_holdout", features=features, said=said))
        if tickets[number]:
            found.append(record(at + 1, TICKET, name))
    return sorted(found, key=when)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("quiet"), history(), controls(), END)


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("drifted"), history(1.0, 1.5), controls(), END)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def run(data: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["monitor", str(data), *more])


def told(data: Path, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(data, "--json", *more).stdout)
    return found


def test_a_quiet_log_has_no_alarm(quiet: Path) -> None:
    result = run(quiet)
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("No alarm.\n")
    assert "Streams: " in result.stdout
    assert "everybody" in result.stdout


def test_drift_is_told_with_exit_code_1(drifted: Path) -> None:
    result = run(drifted)
    assert result.exit_code == 1, result.output
    assert "ALARM" in result.stdout
    assert "Proposed: help from " in result.stdout
    found = told(drifted)
    (model,) = found["calibration"]
    assert model["alarm"]
    assert model["happened"] > model["said"]
    assert [one["feature"] for one in found["population"] if one["alarm"]] == ["spend"]
    assert found["alarms"] == 2


POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: cards, title: Cards}
spec:
  holdout: 1.0
  cooldown: 0s
  model: {name: churn, threshold: 0.2}
  features:
    tries: {count: declined, over: 1d}
  when: {event: declined}
"""


def test_it_understands_what_the_real_engine_says_of_a_model(tmp_path: Path) -> None:
    """The model says 0.12 after one declined card and 0.5 after two; 0.12 is 0.5 in truth."""
    signals, own = SqliteLog(tmp_path / "gateway.db"), SqliteLog(tmp_path / "worker.db")
    worker = Stage(signals, own)
    tries = Feature("tries", edges=(1.0,), steps=(-2.0, 0.0), values={}, other=0.0, missing=0.0)
    model = Model(
        name="churn",
        outcome=TICKET,
        horizon=DAY,
        policy="cards",
        intercept=0.0,
        features=(tries,),
        calibration=Platt(1.0, 0.0),
    )
    put = ModelInForce("churn", version(model), msgspec.Raw(canonical(model)))
    worker.apply(
        [
            SettingsApplied(0, DecideSettings(), "t", ""),
            ModelsApplied(0, (put,), {}, "t", ""),
            applied(POLICY),
        ]
    )
    happened = []
    for number in range(600):
        name = f"c{number}"
        happened.append(event("declined", number, name))
        if number % 2:
            happened.append(event("declined", 10_000 + number, name))
        if number % 4 < 2:
            happened.append(event(TICKET, 20_000 + number, name, ticket=name))
    happened.sort(key=lambda one: one.received)
    signals.commit([streams.signals(happened)], tick=happened[-1].received + 3 * DAY)
    while worker.step():
        pass
    signals.close()
    own.close()
    (found,) = told(tmp_path)["calibration"]
    assert (found["policy"], found["model"], found["version"]) == ("cards", "churn", put.version)
    assert found["decisions"] == 600
    assert found["said"] == pytest.approx(0.119, abs=0.001)
    assert found["happened"] == pytest.approx(0.5)
    assert found["alarm"]


def test_segments_are_those_of_the_settings_or_the_option(quiet: Path) -> None:
    Path("forestall.toml").write_text('[fairness]\ntraits = ["plan"]\n')
    assert {one["segment"] for one in told(quiet)["calibration"]} == {"*", "plan=free"}
    found = told(quiet, "--trait", "language")
    assert {one["segment"] for one in found["calibration"]} == {"*"}


def test_streams_are_checked_against_the_contracts_of_the_settings(tmp_path: Path) -> None:
    Path("contracts").mkdir()
    contract = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "x-owner": "web [team]",
        "type": "object",
        "properties": {"page": {"type": "string"}},
    }
    Path("contracts/page.viewed.v1.json").write_text(json.dumps(contract))
    Path("forestall.toml").write_text('[contracts]\nfolder = "contracts"\n')
    happened: list[Happening] = []
    for number in range(28 * 100):
        one = record(0.1 + number * 0.24, "page.viewed", f"c{number}", page="home")
        last = number >= 27 * 100
        happened.append(replace(one, data=msgspec.Raw(b"{}")) if last else one)
    data = write(tmp_path / "data", happened, controls(), END)
    result = run(data)
    assert result.exit_code == 1, result.output
    assert "web [team]" in result.stdout
    assert "100.0% without page" in result.stdout


def test_a_proposal_is_written_for_review(drifted: Path, tmp_path: Path) -> None:
    file = tmp_path / "thresholds.yaml"
    file.write_text("other: 0.5\n")
    result = run(drifted, "--propose", str(file))
    assert "Review it" in result.stdout
    found = yaml.safe_load(file.read_text())
    assert found["other"] == 0.5
    assert found["help"] == pytest.approx(1 / (1 + np.exp(1.0) * 0.7 / 0.3), abs=0.03)
    assert "model churn" in file.read_text()


def test_what_is_proposed_is_a_change_that_can_be_applied(drifted: Path, tmp_path: Path) -> None:
    """As ``forestall apply`` reads it: a new version of a threshold, which begins as a draft."""
    run(drifted, "--propose", str(tmp_path / "thresholds.yaml"))
    (proposed,) = told(drifted)["proposed"]
    read = contents(read_folder(tmp_path), lambda raw: ("", raw))
    assert read.problems == ()
    (item,) = read.items
    assert (item.kind, item.name) == ("threshold", "help")
    assert json.loads(item.content) == proposed["threshold"]
    assert item.version == content_version(proposed["threshold"])


def test_nothing_is_ever_applied(drifted: Path, tmp_path: Path) -> None:
    def contents() -> dict[str, bytes]:
        return {one.name: one.read_bytes() for one in drifted.iterdir() if one.suffix == ".db"}

    before = contents()
    assert run(drifted, "--propose", str(tmp_path / "thresholds.yaml")).exit_code == 1
    assert contents() == before
    assert not (drifted / "registry.db").exists()
    folder = Folder(drifted)
    assert [type(one).__name__ for one in folder.controls()] == ["PoliciesApplied", "ModelsApplied"]
    folder.close()


def test_without_drift_nothing_is_proposed(quiet: Path, tmp_path: Path) -> None:
    assert run(quiet, "--propose", str(tmp_path / "thresholds.yaml")).exit_code == 0
    assert not (tmp_path / "thresholds.yaml").exists()


def test_an_empty_log_has_no_alarm(tmp_path: Path) -> None:
    result = run(write(tmp_path / "data", [], controls(), END))
    assert result.exit_code == 0, result.output
    assert "nothing happened" in result.stdout


def test_the_server_needs_none_of_what_measuring_needs() -> None:
    """numpy and scipy take time and memory that serving must not pay for."""
    code = (
        "import sys, forestall.cli, forestall.app.monitoring;"
        "print([one for one in ('numpy', 'scipy', 'sklearn') if one in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert answer.stdout == b"[]\n"


def test_the_same_log_has_the_same_answer(drifted: Path) -> None:
    assert run(drifted, "--json").stdout == run(drifted, "--json").stdout


@pytest.mark.parametrize("option", ["--window", "--ago", "--pulse", "--horizon"])
def test_what_is_no_duration_is_bad_input(quiet: Path, option: str) -> None:
    assert run(quiet, option, "soon").exit_code == 2


def test_windows_that_overlap_are_bad_input(quiet: Path) -> None:
    result = run(quiet, "--ago", "6d")
    assert result.exit_code == 2
    assert "overlap" in result.output
    assert run(quiet, "--ago", "14d").exit_code == 0


def test_what_cannot_be_read_is_said(tmp_path: Path, drifted: Path) -> None:
    assert isinstance(run(tmp_path).exception, UnreadableInput)
    assert isinstance(run(drifted, "--propose", str(tmp_path)).exception, UnreadableInput)
    Path("contracts").mkdir()
    Path("contracts/page.v1.json").write_text("{}")
    Path("forestall.toml").write_text('[contracts]\nfolder = "contracts"\n')
    assert isinstance(run(drifted).exception, InvalidFile)
