"""A model's whole way: learn from the log, come into force, and be repeated from the log alone."""

import json
import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from forestall.cli import door
from forestall.contracts.control import (
    Control,
    DecideSettings,
    ModelInForce,
    ModelsApplied,
    SettingsApplied,
)
from forestall.contracts.decision import Mode
from forestall.decide.stage import Stage
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from forestall.measure.model import Model, canonical, decode, predict, version
from forestall.policy.bundle import Bundle, applied
from scenario import event, policy, records

app = door()

POLICY = policy(
    """  features:
    failures: {count: payment.failed, over: 6h}
    plan: {last: event.data.plan, of: payment.failed}
  when: {event: payment.failed}
  model: {name: propensity, threshold: 0.4}
  cooldown: 0s
"""
)
SETTINGS = DecideSettings(budget=100_000, spacing=0, holdout=0.1, salt="x")
MINUTES = 2_400
CUSTOMERS = 100


def _happenings(first: int, last: int) -> Iterator[bytes]:
    """A payment that fails each minute, and half an hour later a ticket: likelier after several
    failures in six hours, and on the free plan."""
    chance = np.random.default_rng(5)
    failed: dict[int, list[int]] = {}
    tickets: dict[int, list[str]] = {}
    for minute in range(last):
        customer = int(chance.integers(CUSTOMERS)) % (1 + int(chance.integers(CUSTOMERS)))
        plan = "free" if customer % 3 else "pro"
        lately = [one for one in failed.setdefault(customer, []) if one > minute - 360]
        failed[customer] = [*lately, minute]
        odds = -4.5 + 0.4 * len(lately) + (plan == "free")
        if chance.random() < 1 / (1 + math.exp(-odds)):
            tickets.setdefault(minute + 30, []).append(f"u{customer}")
        if minute >= first:
            yield event(60 * minute, "payment.failed", {"plan": plan}, subject=f"u{customer}")
            for subject in tickets.get(minute, ()):
                yield event(60 * minute + 1, "forestall.ticket.opened", {}, subject=subject)


def _decide(folder: Path, first: int, last: int, *controls: Control) -> None:
    """Put ``controls`` in force, and decide on what happens from minute ``first`` to ``last``."""
    with (
        closing(SqliteLog(folder / "gateway.db")) as signals,
        closing(SqliteLog(folder / "worker.db")) as own,
    ):
        stage = Stage(signals, own)
        stage.apply(list(controls))
        lines = list(_happenings(first, last))
        for start in range(0, len(lines), 100):
            signals.commit([streams.signals(records(*lines[start : start + 100]))])
            while stage.step():
                pass
        stage.rest()


def _decided(folder: Path) -> list[bytes]:
    """The decisions in the log, as they lie there."""
    with closing(SqliteLog(folder / "worker.db", read_only=True)) as own:
        return [
            bytes(raw)
            for batch in own.follow(streams.DECISIONS)
            for *_, raw in msgspec.json.decode(
                batch.payload, type=list[tuple[int, int, int, msgspec.Raw]]
            )
        ]


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def _in_force(mode: Mode, model: Model, share: float = 1.0) -> ModelInForce:
    return ModelInForce(model.name, version(model), msgspec.Raw(canonical(model)), mode, share)


def _models(*models: ModelInForce) -> ModelsApplied:
    return ModelsApplied(0, models, {}, "test", "test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's data folder in which a policy has asked for a model that is not there yet."""
    path = tmp_path_factory.mktemp("data")
    _decide(
        path,
        0,
        MINUTES,
        SettingsApplied(0, SETTINGS, "test", "test"),
        applied(Bundle(policies=(POLICY,)), 0, "test", "test"),
    )
    return path


def test_a_model_learns_comes_into_force_and_is_repeated_from_the_log(
    folder: Path, tmp_path: Path
) -> None:
    file, weak = tmp_path / "a.model.json", tmp_path / "weak.model.json"
    train = ("model", "train", folder, "--name", "propensity", "--policy", "p", "--horizon", "1h")
    answer = _run(*train, "--out", file)
    assert answer.exit_code == 0, answer.output
    champion = decode(file.read_bytes())
    assert champion.reads == ("failures", "plan")
    assert champion.definitions["failures"]["kind"] == "count"
    challenger = msgspec.structs.replace(champion, intercept=champion.intercept - 1.5)
    weak.write_bytes(canonical(challenger))

    live, shadow = _in_force("live", champion), _in_force("shadow", challenger)
    _decide(folder, MINUTES, MINUTES + 900, _models(live, shadow))
    canary = msgspec.structs.replace(shadow, mode="canary", share=0.5)
    _decide(folder, MINUTES + 900, MINUTES + 1_200, _models(live, canary))

    out = tmp_path / "again.ndjson"
    repeated = _run("backtest", folder, "--as-deployed", "--out", out, "--jobs", 1)
    assert repeated.exit_code == 0, repeated.output
    lines = _decided(folder)
    assert out.read_bytes().splitlines() == lines
    heard = [one for one in map(json.loads, lines) if one.get("confidence")]
    _judged_as_said(heard, champion, challenger)

    compared = _run("model", "evaluate", weak, folder, "--among", "all", "--json")
    contenders = json.loads(compared.stdout)["contenders"]
    assert [one["mode"] for one in contenders] == ["live", "shadow"]
    assert contenders[1]["lead"]["gain"]["high"] < 0


def _judged_as_said(heard: list[dict[str, Any]], champion: Model, challenger: Model) -> None:
    """What is logged is what the models say of the logged features, and it judged."""
    models = {version(champion): champion, version(challenger): challenger}
    seen = set()
    for one in heard:
        for said in one["confidence"]:
            model = models[said["version"]]
            assert (said["probability"], said["contributions"]) == predict(model, one["features"])
        judge = one["confidence"][0]
        seen.add((judge["mode"], one["reason"]))
        if one["reason"] == "low_confidence":
            assert judge["probability"] < 0.4
        elif one["reason"] in (None, "global_holdout"):
            assert judge["probability"] >= 0.4
    assert seen >= {
        ("live", None),
        ("live", "low_confidence"),
        ("live", "global_holdout"),
        ("canary", "low_confidence"),
    }
