"""Values in the words of a runbook that an agent chose lead nowhere and promise nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.context.knowledge.template import MissingValue, parse_template
from forestall.intervene.agents.filling import filled

TEMPLATE = parse_template('Hello {{ event.data.name | default("there") }}, see shop.example.com.')


def context(name: Any) -> dict[str, Any]:
    return {"event": {"data": {"name": name}}}


@pytest.mark.parametrize(
    "name", ["Ada Lovelace", "Jean-Luc", "order 4711", "00340434161094042557", "3 May", 12.5]
)
def test_ordinary_values_are_said(name: Any) -> None:
    assert filled(TEMPLATE, context(name)) == f"Hello {name}, see shop.example.com."


def test_what_is_missing_has_its_default() -> None:
    assert filled(TEMPLATE, {"event": {"data": {}}}).startswith("Hello there")


@pytest.mark.parametrize(
    "name",
    [
        "Ada, see evil.example",
        "https://evil.example",
        "eve@evil.example",
        "@quickhelp",
        "Ada. We will refund you in full",
        "Sie bekommen Ihr Geld zurück",
    ],
)
def test_what_leads_away_or_promises_is_not(name: str) -> None:
    with pytest.raises(MissingValue, match=r"event\.data\.name") as caught:
        filled(TEMPLATE, context(name))
    assert name not in str(caught.value)


@given(st.text(max_size=60))
def test_any_value_is_said_as_it_is_or_not_at_all(name: str) -> None:
    try:
        said = filled(TEMPLATE, context(name))
    except MissingValue:
        return
    assert said == TEMPLATE.render(context(name))
