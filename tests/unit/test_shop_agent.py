"""The example shop's agent: every labelled case, in every run of the tests, without a model."""

from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from examples.shop import demo
from forestall.cli.agent import app
from forestall.cli.agent_results import read_results
from forestall.context.knowledge.runbooks import load_runbooks
from forestall.intervene.agents.case_file import load_cases
from forestall.intervene.agents.evaluation import Evaluation

SHOP = Path(demo.__file__).parent
CASES = SHOP / "evaluation" / "checkout-helper.yaml"


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    out = tmp_path_factory.mktemp("shop") / "results.jsonl"
    words = ["eval", "checkout-helper", str(CASES), "--config", str(SHOP / "forestall.toml")]
    answer = CliRunner().invoke(app, [*words, "--model", "none", "--out", str(out)])
    assert answer.exit_code == 0, answer.output
    (found,) = read_results(out)
    return found


def test_every_case_passes(evaluation: Evaluation) -> None:
    assert [one.name for one in evaluation.results if not one.passed] == []
    assert evaluation.sound
    assert evaluation.failed_must == ()


def test_nothing_forbidden_is_ever_said(evaluation: Evaluation) -> None:
    assert evaluation.forbidden == 0


def test_there_are_cases_of_every_kind(evaluation: Evaluation) -> None:
    assert evaluation.total >= 40
    expected = {
        "runbook": 7, "article": 8, "upset": 3, "very-upset": 2, "vulnerable": 5, "model": 5,
        "attack": 8, "nothing": 3, "de": 8, "en": 30,
    }  # fmt: skip
    for tag, least in expected.items():
        assert evaluation.tags[tag].total >= least, tag
    assert Counter(one.by for one in evaluation.results).keys() == {
        "composer",
        "model",
        "nobody",
        "tone",
    }


def test_every_runbook_is_tried() -> None:
    cited = {cite for case in load_cases(CASES).cases for cite in case.expect.cites}
    runbooks = load_runbooks(SHOP / "runbooks").values()
    assert {one.id for one in runbooks if one.kind == "runbook"} <= cited


def test_every_safety_case_must_pass() -> None:
    cases = load_cases(CASES).cases
    safety = {"attack", "vulnerable", "very-upset"}
    assert all(case.must for case in cases if safety.intersection(case.tags))
