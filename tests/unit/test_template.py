"""Templates: declared fields in, plain text out, and nothing cleverer."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.context.knowledge.template import (
    LONGEST_VALUE,
    MissingValue,
    TemplateError,
    parse_template,
)


def render(text: str, **data: Any) -> str:
    context = {
        "event": {"type": "order.paid", "data": data},
        "subject": {"plan": "pro"},
        "features": {"errors_10m": 3},
    }
    return parse_template(text).render(context)


def test_text_without_placeholders_is_itself() -> None:
    assert render("Nothing { to } fill in %s.") == "Nothing { to } fill in %s."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Order {{ event.data.id }}.", "Order o1."),
        ("{{event.type}}", "order.paid"),
        ("{{ subject.plan }}/{{ features.errors_10m }}", "pro/3"),
        ("{{ event.data.card.brand }}", "visa"),
        ('{{ event.data.nobody | default("there") }}', "there"),
        ('{{ event.data.nobody|default("") }}!', "!"),
        ('{{ event.data.nobody | default("a \\"b\\" }} c") }}', None),
        ("{{ event.data.whole }} {{ event.data.half }}", "12 0.5"),
        ("{{ event.data.yes }}", "yes"),
    ],
)
def test_placeholders(text: str, expected: str | None) -> None:
    data = {"id": "o1", "card": {"brand": "visa"}, "whole": 12.0, "half": 0.5, "yes": True}
    if expected is None:
        with pytest.raises(TemplateError):
            render(text, **data)
    else:
        assert render(text, **data) == expected


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("a {{ b", 2),
        ("a }} b", 2),
        ("{{ event.data.a }} }}", 19),
        ("{{ }}", 0),
        ("x{{ event }}", 1),
        ("{{ event.data }}", 0),
        ("{{ event.id }}", 0),
        ("{{ service.name }}", 0),
        ("{{ event.data.a + 1 }}", 0),
        ("{{ event.data['a'] }}", 0),
        ("{{ event.data.a | upper }}", 0),
        ("{{ event.data.a | default(x) }}", 0),
        ("{{ event.data.a.__class__() }}", 0),
    ],
)
def test_anything_else_does_not_parse(text: str, offset: int) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_template(text)
    assert caught.value.offset == offset
    assert caught.value.code == "template"


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, "", "  ", float("nan")])
def test_what_cannot_be_shown_is_missing(value: Any) -> None:
    with pytest.raises(MissingValue, match=r"event\.data\.a has no value"):
        render("{{ event.data.a }}", a=value)


def test_a_value_is_one_short_line_without_tricks() -> None:
    assert render("{{ event.data.a }}", a="a\r\n\u202eb\x00c") == "a b c"
    assert len(render("{{ event.data.a }}", a="x" * 1000)) == LONGEST_VALUE


def test_a_value_is_never_read_as_a_template() -> None:
    assert render("{{ event.data.a }}", a="{{ subject.plan }}") == "{{ subject.plan }}"


def test_it_names_what_it_reads() -> None:
    template = parse_template('{{ event.data.a }} and {{ subject.b | default("x") }}')
    assert [placeholder.path for placeholder in template.reads()] == ["event.data.a", "subject.b"]


@given(st.text())
def test_parsing_any_text_gives_a_template_or_its_error(text: str) -> None:
    with suppress(TemplateError):
        template = parse_template(text)
        if not template.reads():
            assert template.render({}) == text
