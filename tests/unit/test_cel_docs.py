"""The page on conditions is true: its examples run, every function is on it."""

import json
import re
from pathlib import Path

import pytest

from forestall.policy.language.cel import batch, compile_expression
from forestall.policy.language.cel.functions import GLOBALS, MACROS, METHODS
from forestall.policy.language.cel.syntax import MAX_DEPTH, MAX_NODES, MAX_SOURCE
from forestall.policy.language.cel.values import WORK

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "conditions.md").read_text()
EXAMPLES = re.search(r"```cel\n(.*?)```", PAGE, re.DOTALL)
BATCHES = re.findall(r"^(\{.*\}) +→ +(\{.*\})$", PAGE, re.MULTILINE)


def test_the_examples_compile() -> None:
    assert EXAMPLES is not None
    lines = EXAMPLES[1].splitlines()
    assert len(lines) >= 4
    for line in lines:
        assert compile_expression(line, ("event", "subject", "now", "features", "service")).reads


@pytest.mark.parametrize(("line", "answer"), BATCHES)
def test_the_batch_examples_give_what_is_written(line: str, answer: str) -> None:
    assert [json.loads(given) for given in batch([line])] == [json.loads(answer)]


def test_there_are_batch_examples() -> None:
    assert len(BATCHES) == 3


@pytest.mark.parametrize("name", sorted({*GLOBALS, *METHODS, *MACROS, "has", "dyn"}))
def test_every_function_is_documented(name: str) -> None:
    assert re.search(rf"[`.( ]{re.escape(name)}\(", PAGE)


def test_the_limits_are_the_documented_ones() -> None:
    for limit in (MAX_SOURCE, MAX_NODES, MAX_DEPTH, WORK):
        assert f"{limit:,}" in PAGE
