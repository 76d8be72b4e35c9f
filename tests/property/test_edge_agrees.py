"""The server's engine and that of pages make the same decisions.

A few hundred examples in the ordinary suite, always the same ones; ``make soak`` takes 10,000
new histories and as many conditions (another number with ``FORESTALL_SOAK_EDGE``).
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, reject, settings

from forestall.context.knowledge.template import MissingValue, parse_template
from forestall.decide.occasion import with_doubles
from forestall.policy.edge_conditions import compile_edge
from forestall.policy.language.cel import InvalidExpression
from property.edge_cases import Device, devices
from property.edge_expressions import (
    BINDINGS,
    DOUBLED,
    SAID,
    TEMPLATES,
    expressions,
)
from property.edge_node import Page, build
from property.edge_server import NAMES, by_server, value_by_server

SOAK = int(os.environ.get("FORESTALL_SOAK_EDGE", "10000"))
ordinary = settings(
    max_examples=60,
    database=None,
    suppress_health_check=list(HealthCheck),
)
many = settings(ordinary, max_examples=SOAK)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A process with the engine of pages."""
    with Page(build(tmp_path_factory.mktemp("edge"))) as one:
        yield one


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
