"""``forestall model`` as a user meets it: train, show and evaluate, over a history."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from forestall.cli import door
from forestall.contracts.errors import ForestallError
from forestall.measure.model import canonical, decode, version
from scenario import event

app = door()

POLICY = """
apiVersion: forestall/v1
kind: Policy
metadata: {name: declined, title: Help with declined cards}
spec:
  features:
    declines: {count: payment.declined, over: 1h}
    plan: {last: event.data.plan, of: payment.declined}
  when: {event: payment.declined}
  model: {name: propensity, threshold: 0.5}
"""
TICKET = "forestall.ticket.opened"


def _history(count: int, *, signal: bool) -> list[bytes]:
    """Customers declined once to four times; tickets follow, from the plan and the number, or not."""
    chance = np.random.default_rng(3)
    lines: list[tuple[float, bytes]] = []
    for number in range(count):
        start, subject = number * 600, f"[b]u{number}[/b]"
        plan = str(chance.choice(["free", "pro"]))
        times = int(chance.integers(1, 5))
        for one in range(times):
            data = {"plan": plan}
            lines.append(
                (start + one, event(start + one, "payment.declined", data, subject=subject))
            )
        odds = -4.0 + 1.2 * times + (plan == "free") if signal else -1.0
        if chance.random() < 1 / (1 + math.exp(-odds)):
            lines.append((start + 60, event(start + 60, TICKET, {"ticket": "t"}, subject=subject)))
    return [line for _, line in sorted(lines)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "policies.yaml").write_text(POLICY)
    (tmp_path / "events.ndjson").write_bytes(b"\n".join(_history(700, signal=True)))
    return tmp_path


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, ForestallError):
        return result
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def train(*more: str, events: str = "events.ndjson", out: str = "a.model.json") -> Result:
    return run(
        "model", "train", events, "--policies", "policies.yaml", "--name", "propensity",
        "--policy", "declined", "--horizon", "5m", "--out", out, *more,
    )  # fmt: skip


def test_training_writes_a_model_and_tells_how_good_it_is(folder: Path) -> None:
    told = train()
    assert told.exit_code == 0, told.output
    for said in ("AUC", "Brier score", "calibration error", "Fit for use", "reliability, 0 to"):
        assert said in told.stdout
    assert "declines" in told.stdout
    model = decode((folder / "a.model.json").read_bytes())
    assert (model.name, model.policy, model.outcome) == ("propensity", "declined", TICKET)
    assert model.horizon == 300_000_000
    assert model.reads == ("declines", "plan")
    assert model.definitions["declines"]["kind"] == "count"
    assert model.evidence["passed"] is True
    assert model.evidence["among"] == "all"


def test_the_same_history_gives_the_same_file(folder: Path) -> None:
    train()
    train(out="b.model.json")
    assert (folder / "a.model.json").read_bytes() == (folder / "b.model.json").read_bytes()


def test_training_as_json_is_the_evidence(folder: Path) -> None:
    told = json.loads(train("--json").stdout)
    model = decode((folder / "a.model.json").read_bytes())
    assert told == {"version": version(model), **model.evidence}


def test_without_signal_it_says_so_and_ends_with_one(folder: Path) -> None:
    (folder / "noise.ndjson").write_bytes(b"\n".join(_history(700, signal=False)))
    told = train(events="noise.ndjson")
    assert told.exit_code == 1
    assert "Not fit for use: no signal" in told.stdout
    assert decode((folder / "a.model.json").read_bytes()).evidence["passed"] is False


def test_a_model_is_shown(folder: Path) -> None:
    train()
    told = run("model", "show", "a.model.json")
    assert told.exit_code == 0
    model = decode((folder / "a.model.json").read_bytes())
    assert f"propensity {version(model)[:12]}: {TICKET} within 5m of declined" in told.stdout
    assert "free: +" in told.stdout
    assert "missing: " in told.stdout
    plain = json.loads(run("model", "show", "a.model.json", "--json").stdout)
    assert plain["version"] == version(model)
    assert plain["features"][0]["name"] == "declines"


@pytest.mark.parametrize(
    ("evidence", "said"),
    [({}, "It was not tested."), ({"passed": "maybe"}, "Its evidence cannot be read")],
)
def test_a_model_without_evidence_is_shown_all_the_same(
    folder: Path, evidence: dict[str, Any], said: str
) -> None:
    train()
    model = decode((folder / "a.model.json").read_bytes())
    bare = msgspec.structs.replace(model, evidence=evidence)
    (folder / "bare.model.json").write_bytes(canonical(bare))
    assert said in run("model", "show", "bare.model.json").stdout


def test_a_model_is_evaluated_on_what_came_after_it_learned(folder: Path) -> None:
    train()
    told = run("model", "evaluate", "a.model.json", "events.ndjson", "--policies", "policies.yaml")
    assert told.exit_code == 0, told.output
    assert "on " in told.stdout
    as_json = run(
        "model",
        "evaluate",
        "a.model.json",
        "events.ndjson",
        "--policies",
        "policies.yaml",
        "--json",
    )
    found = json.loads(as_json.stdout)
    evidence = decode((folder / "a.model.json").read_bytes()).evidence
    assert found["tested"] == evidence["tested"]
    assert [one["mode"] for one in found["contenders"]] == ["file"]
    assert found["contenders"][0]["score"]["auc"] == evidence["model"]["auc"]


def test_a_model_that_is_worse_than_nothing_fails_its_evaluation(folder: Path) -> None:
    train()
    model = decode((folder / "a.model.json").read_bytes())
    wrong = msgspec.structs.replace(model, intercept=model.intercept + 9)
    (folder / "wrong.model.json").write_bytes(canonical(wrong))
    told = run(
        "model", "evaluate", "wrong.model.json", "events.ndjson", "--policies", "policies.yaml"
    )
    assert told.exit_code == 1
    assert "no gain" in told.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show", "missing.model.json"], 2, "missing.model.json: cannot be read"),
        (["show", "policies.yaml"], 2, "policies.yaml: not a model"),
        (["evaluate", "missing.model.json", "events.ndjson"], 2, "cannot be read"),
    ],
)
def test_files_that_are_no_models_are_said(arguments: list[str], code: int, said: str) -> None:
    result = run("model", *arguments)
    assert isinstance(result.exception, ForestallError)
    assert result.exception.exit_code == code
    assert said in str(result.exception)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--policy", "other"], "no policy 'other' was in force; there are: declined"),
        (["--horizon", "365d"], "too little to train with"),
        (["--out", "nowhere/a.model.json"], "cannot be written"),
        (["--outcome", "never.happens"], "0 of them with the outcome"),
    ],
)
def test_training_that_cannot_be_says_why(more: list[str], said: str) -> None:
    result = train(*more)
    assert isinstance(result.exception, ForestallError)
    assert said in str(result.exception)


def test_a_history_needs_policies_and_a_file_its_ending() -> None:
    told = run(
        "model", "train", "events.ndjson", "--name", "x", "--policy", "declined",
        "--out", "a.model.json",
    )  # fmt: skip
    assert "a history has no decisions yet; give --policies" in str(told.exception)
    assert train(out="a.json").exit_code == 2
    assert train("--horizon", "0s").exit_code == 2
    assert train("--among", "some").exit_code == 2
