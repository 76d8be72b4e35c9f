"""The server's engine and that of pages make the same decisions.

A few hundred examples in the ordinary suite, always the same ones; ``pytest -m soak`` takes 10,000
new histories and as many conditions (another number with ``FORESTALL_SOAK_EDGE``).
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, reject, settings

from forestall.context.knowledge.template import MissingValue, parse_template
from forestall.contracts.errors import ExpressionError
from forestall.contracts.instants import parse_time
from forestall.decide.backtest import backtest, opening
from forestall.decide.engine import Engine
from forestall.decide.history import History
from forestall.decide.occasion import with_doubles
from forestall.decide.plan import key_text
from forestall.policy.bundle import Bundle
from forestall.policy.edge_conditions import compile_edge
from forestall.policy.language.cel import InvalidExpression, compile_expression
from property.edge_cases import Device, devices
from property.edge_expressions import (
    BINDINGS,
    DOUBLED,
    NAMES,
    SAID,
    TEMPLATES,
    expressions,
)
from property.edge_node import Page, build

SOAK = int(os.environ.get("FORESTALL_SOAK_EDGE", "10000"))
ordinary = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
many = settings(ordinary, max_examples=SOAK, derandomize=False)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A process with the engine of pages."""
    with Page(build(tmp_path_factory.mktemp("edge"))) as one:
        yield one


def by_server(device: Device) -> list[dict[str, Any]]:
    """What the server's engine decides on the device's events."""
    lines = [json.dumps(one).encode() for one in (*device.before(), *device.events)]
    bundle = Bundle(policies=tuple(device.policies), numbers=device.numbers)
    controls = opening(bundle, device.settings)
    steps = backtest(controls, History(Path("<events>"), lines), Engine())
    return [
        {
            "policy": one.policy,
            "version": one.version,
            "key": one.key,
            "at": parse_time(one.at),
            "outcome": one.outcome,
            "reason": one.reason,
            "matched": [["/web/device", name] for name in one.matched],
            "features": {name: typed(value) for name, value in one.features.items()},
        }
        for step in steps
        for _, one in step.decided
        if parse_time(one.at) >= device.start
    ]


def value_by_server(source: str, bindings: dict[str, Any]) -> dict[str, Any]:
    """What the server's condition says, as the page tells it."""
    try:
        value = compile_expression(source, NAMES).evaluate(*(bindings[name] for name in NAMES))
    except ExpressionError:
        return {"error": True}
    return typed(value)


def agree_on_a_condition(
    page: Page, source: str, bindings: dict[str, Any], doubles: dict[str, Any] | None
) -> None:
    """Fail where the two differ on a condition; what is refused at the edge is no case."""
    try:
        tree = compile_edge(source, NAMES)
    except InvalidExpression:
        reject()
    case = {"tree": tree, "names": bindings} | ({"doubles": doubles} if doubles else {})
    note(f"{source}   over   {json.dumps(case)}")
    seen = with_doubles(bindings, doubles) if doubles else bindings
    assert page.answer(case) == value_by_server(source, seen)


def agree_on_words(page: Page, template: str, said: dict[str, Any]) -> None:
    """Fail where the two fill a template in differently."""
    known = {"event": said["event"], "subject": said["traits"], "features": said["features"]}
    try:
        made: str | None = parse_template(template).render(known)
    except MissingValue:
        made = None
    assert page.answer({"template": template, **said}) == made


def typed(value: Any) -> dict[str, Any]:
    """A value with its type, as the page tells it."""
    kinds = {bool: "boolean", int: "bigint", float: "number", str: "string"}
    text = "null" if value is None else key_text(value)
    return {"type": kinds.get(type(value), "object"), "value": text}


def agree(page: Page, device: Device) -> None:
    """Fail where the two differ."""
    case = {"bundle": device.bundle(), "pass": device.passed(), "happened": device.happened()}
    made = page.answer(case)
    note(json.dumps(case))
    assert made == by_server(device)


@pytest.mark.timeout(400)
@ordinary
@given(devices())
def test_pages_decide_as_the_server_does(page: Page, device: Device) -> None:
    agree(page, device)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@many
@given(devices())
def test_pages_decide_as_the_server_does_at_length(page: Page, device: Device) -> None:
    agree(page, device)


@pytest.mark.timeout(400)
@ordinary
@given(expressions(), BINDINGS, DOUBLED)
def test_pages_evaluate_conditions_as_the_server_does(
    page: Page, source: str, bindings: dict[str, Any], doubles: dict[str, Any] | None
) -> None:
    agree_on_a_condition(page, source, bindings, doubles)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@many
@given(expressions(), BINDINGS, DOUBLED)
def test_pages_evaluate_conditions_as_the_server_does_at_length(
    page: Page, source: str, bindings: dict[str, Any], doubles: dict[str, Any] | None
) -> None:
    agree_on_a_condition(page, source, bindings, doubles)


@pytest.mark.timeout(400)
@ordinary
@given(TEMPLATES, SAID)
def test_pages_fill_in_words_as_the_server_does(
    page: Page, template: str, said: dict[str, Any]
) -> None:
    agree_on_words(page, template, said)
