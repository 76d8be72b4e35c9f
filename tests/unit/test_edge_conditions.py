"""Conditions as trees for the browser, and what is refused there."""

from typing import Any

import pytest

from forestall.policy.edge_conditions import EdgeCondition, compile_edge
from forestall.policy.language.cel import InvalidExpression
from forestall.policy.language.compile import EVENT_VARIABLES

VARIABLES = (*EVENT_VARIABLES, "features")


def tree(source: str) -> Any:
    return compile_edge(source, VARIABLES)


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("true", True),
        ("'text'", "text"),
        ("2.5", 2.5),
        ("5", ["i", 5]),
        ("-9223372036854775808", ["i", "-9223372036854775808"]),
        ("event.data.x", ["$", "event", "data", "x"]),
        ("event.data['x'].y", [".", ["[]", ["$", "event", "data"], "x"], "y"]),
        ("has(subject.vip)", ["has", ["$", "subject"], "vip"]),
        ("has(event.data.x.y)", ["has", ["$", "event", "data", "x"], "y"]),
        ("!event.data.ok", ["!", ["$", "event", "data", "ok"]]),
        ("features.f < 3 || true", ["||", ["<", ["$", "features", "f"], ["i", 3]], True]),
        ("[1, 'a', null]", ["[", ["i", 1], "a", None]),
        ("{'a': 1}", ["{", ["[", "a", ["i", 1]]]),
        ("event.type.startsWith('e.')", ["startsWith", ["$", "event", "type"], "e."]),
        ("dyn(event.data.x)", ["$", "event", "data", "x"]),
    ],
)
def test_a_condition_becomes_a_tree(source: str, made: Any) -> None:
    assert tree(source) == made


@pytest.mark.parametrize(
    ("source", "column", "why"),
    [
        ("event.type.matches('e')", 12, "regular expressions differ"),
        ("has(service.pay)", 5, "known to the server only"),
        ("true && service.pay == 'down'", 9, "known to the server only"),
        ("size(subject) > 1", 6, "single traits"),
        ("'vip' in subject", 10, "single traits"),
        ("uint(event.data.x) == 1u", 1, "no unsigned integers"),
        ("event.data.x == 1u", 17, "no unsigned integers"),
        ("b'a' == b'b'", 1, "no bytes"),
        ("type(event.data.x) == int", 1, "typed in another way"),
        ("event.data.x == int", 17, "as a value is not known"),
        ("event.data.x.split(',')", 14, "kept small"),
        ("now.getHours() > 8", 5, "no such function"),
        ("event.data.t == timestamp('2026-01-01T00:00:00Z')", 17, "no times at the edge"),
        ("now != event.data.t", 1, "no times at the edge"),
        ("event.data.t == event.time", 17, "no times at the edge"),
        ("size(event) == 6", 6, "single fields"),
        ("event['data'] == 6", 1, "single fields"),
        ("int(event.data.x) > 1", 1, "kept small"),
        ("event.data.l.exists(i, i > 1)", 14, "left to the server"),
        ("null", 1, "always null"),
        ("-event.data.x < 1", 1, "before a value"),
        ("event.data.x in subject.some", 14, "one side is written out"),
        ("{1: 'a'}[1]", 2, "written out"),
        ("{'a': 1, 'a': 2}", 10, "twice"),
        (".event.data.x", 2, "leading dot"),
        ("event.data.x < 9007199254740992.0", 16, "stop telling integers apart"),
    ],
)
def test_what_differs_in_a_browser_is_refused_with_its_place(
    source: str, column: int, why: str
) -> None:
    with pytest.raises(EdgeCondition, match=why) as refused:
        tree(source)
    assert (refused.value.line, refused.value.column) == (1, column)
    assert refused.value.code == "edge-condition"


def test_a_condition_stays_within_the_steps_that_the_server_allows() -> None:
    few = " && ".join(["event.data.a == event.data.b"] * 9)
    assert tree(few)
    with pytest.raises(EdgeCondition, match="goes through long values too often"):
        tree(f"{few} && event.data.a == event.data.b")
    assert tree(" && ".join(["event.data.a == 1"] * 50))


def test_what_is_no_condition_is_told_as_ever() -> None:
    with pytest.raises(InvalidExpression, match="no variable 'unknown'"):
        tree("unknown > 1")
    with pytest.raises(InvalidExpression, match="no variable 'features'"):
        compile_edge("features.f > 1", EVENT_VARIABLES)
