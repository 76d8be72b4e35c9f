"""A policy that asks a model: the model must be there, and read what the policy declares."""

import json
from pathlib import Path
from typing import Any

import pytest

from forestall.contracts.errors import Problem
from forestall.kernel.settings import load_settings
from forestall.policy.deployment import surroundings
from forestall.policy.language.asked import Reads, models_in
from forestall.policy.language.canonical import canonical
from forestall.policy.language.check import Surroundings, check
from forestall.policy.language.parse import parse, parse_located
from forestall.policy.sources import Written, contents

POLICY = """apiVersion: forestall/v1
kind: Policy
metadata: {name: x, owner: me}
spec:
  features:
    failures: {count: payment.failed, over: 1h}
    plan: {last: event.data.plan, of: plan.changed}
  when: {event: payment.failed}
  model: {name: propensity, threshold: 0.5}
  playbook: [{guide: {text: hi, channel: inapp}}]
"""


def _content(
    name: str = "propensity", reads: tuple[str, ...] = ("failures",), **more: Any
) -> bytes:
    features = [{"name": one, "edges": [], "steps": [0.0]} for one in reads]
    return json.dumps({"name": name, "features": features, **more}).encode()


def _problems(text: str, models: dict[str, Reads] | None) -> list[Problem]:
    located, wrong = parse_located(text, "p.yaml")
    assert not wrong
    return check(located[0], Surroundings(models=models))


def test_a_model_that_reads_what_is_declared_is_fine() -> None:
    assert _problems(POLICY, models_in([_content()])) == []


def test_models_that_are_not_known_are_not_judged() -> None:
    assert _problems(POLICY, None) == []


def test_a_model_that_is_not_there_never_lets_the_policy_act() -> None:
    (problem,) = _problems(POLICY, models_in([_content("propensities")]))
    assert (problem.code, problem.severity) == ("unknown-model", "warning")
    assert (problem.line, problem.column) == (9, 17)
    assert "never acts" in problem.message
    assert problem.hint == "did you mean `propensities`?"


def test_every_feature_that_the_model_reads_must_be_declared() -> None:
    (problem,) = _problems(POLICY, models_in([_content(reads=("failures", "failure", "plan"))]))
    assert (problem.code, problem.severity, problem.line) == ("model-reads", "error", 9)
    assert "reads the feature `failure`, which is not declared" in problem.message
    assert problem.hint == "did you mean `failures`?"


def test_a_feature_must_mean_what_it_meant_where_the_model_learned_it() -> None:
    policy = parse(POLICY, "p.yaml")[0]
    learned = json.loads(canonical(policy))["features"]
    same = models_in([_content(reads=("failures", "plan"), definitions=learned)])
    assert _problems(POLICY, same) == []
    (problem,) = _problems(POLICY.replace("over: 1h", "over: 2h"), same)
    assert (problem.code, problem.severity) == ("model-skew", "warning")
    assert "`failures` is declared otherwise" in problem.message


def test_features_of_a_policy_without_a_model_must_still_be_used() -> None:
    text = POLICY.replace("  model: {name: propensity, threshold: 0.5}\n", "")
    assert {one.code for one in _problems(text, None)} == {"unused-feature"}


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"name": 1}', b"[" * 100_000])
def test_what_is_no_model_is_left_out(content: bytes) -> None:
    assert list(models_in([content, _content()])) == ["propensity"]


def test_a_deployment_knows_the_models_beside_its_policies(tmp_path: Path) -> None:
    (tmp_path / "forestall.toml").write_text('[policies]\nfolder = "policies"\n')
    (tmp_path / "policies" / "below").mkdir(parents=True)
    assert surroundings(load_settings(tmp_path / "forestall.toml")).models is None
    (tmp_path / "policies" / "below" / "propensity.model.json").write_bytes(_content())
    known = surroundings(load_settings(tmp_path / "forestall.toml")).models
    assert known is not None
    assert list(known) == ["propensity"]


def test_policies_that_are_applied_are_held_against_the_models_beside_them() -> None:
    policy = Written("policy", "p.yaml", POLICY)
    model = Written("model", "a.model.json", _content(reads=("gone",)).decode())
    found = contents([policy, model], lambda raw: ("propensity", raw))
    (judged,) = (one for one in found.items if one.kind == "policy")
    assert [one.code for one in judged.problems] == ["model-reads"]
    (alone,) = contents([policy], lambda raw: ("propensity", raw)).items
    assert alone.problems == ()
