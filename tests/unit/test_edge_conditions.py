"""Conditions as trees for the browser, and what is refused there."""

from typing import Any

import pytest

from forestall.policy.edge_conditions import EdgeCondition, compile_edge
from forestall.policy.language.cel import InvalidExpression
from forestall.policy.language.compile import EVENT_VARIABLES

VARIABLES = (*EVENT_VARIABLES, "features")


def tree(source: str, **more: bool) -> Any:
    return compile_edge(source, VARIABLES, **more)


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("true", True),
        ("'text'", "text"),
        ("2.5", 2.5),
        ("5", ["i", 5]),
        ("-9223372036854775808", ["i", "-9223372036854775808"]),
        ("event.data.x", ["$", "event", "data", "x"]),
        ("event['data'].x", [".", ["[]", ["$", "event"], "data"], "x"]),
        ("has(subject.vip)", ["has", ["$", "subject"], "vip"]),
        ("has(event.data.x.y)", ["has", ["$", "event", "data", "x"], "y"]),
        ("!event.data.ok", ["!", ["$", "event", "data", "ok"]]),
        ("-event.data.x", ["neg", ["$", "event", "data", "x"]]),
        ("features.f < 3 || true", ["||", ["<", ["$", "features", "f"], ["i", 3]], True]),
        ("now - event.time", ["-", ["$", "now"], ["$", "event", "time"]]),
        ("duration('2s')", ["d", "2000000000"]),
        ("timestamp('1970-01-01T00:00:01Z')", ["t", "1000000000"]),
        ("[1, 'a', null]", ["[", ["i", 1], "a", None]),
        ("{'a': 1}", ["{", "a", ["i", 1]]),
        ("event.type.startsWith('e.')", ["startsWith", ["$", "event", "type"], "e."]),
        ("dyn(event.data.x)", ["$", "event", "data", "x"]),
        (
            "event.data.l.exists(i, i.p > 2)",
            ["exists", ["$", "event", "data", "l"], "i", [">", ["$", "i", "p"], ["i", 2]], 5],
        ),
        (
            "event.data.l.map(i, i > 1, i * 2)",
            [
                "map",
                ["filter", ["$", "event", "data", "l"], "i", [">", ["$", "i"], ["i", 1]], 4],
                "i",
                ["*", ["$", "i"], ["i", 2]],
                4,
            ],
        ),
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
        ("now.getHours() > 8", 5, "kept small"),
        ("now > timestamp(event.data.t)", 7, "written out"),
        ("string(now) == 'x'", 1, "on times"),
        ("event.data.t > now && int(event.data.x) > 1", 23, "on times"),
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


@pytest.mark.parametrize("source", ["now", "event", "[event.time]", "{'a': duration('1s')}"])
def test_keys_and_values_are_not_made_of_times(source: str) -> None:
    with pytest.raises(EdgeCondition, match="may not be made of times"):
        tree(source, times=False)


@pytest.mark.parametrize("source", ["event.data.now", "event.data.time", "[event.type, subject.x]"])
def test_other_keys_and_values_are_taken(source: str) -> None:
    assert tree(source, times=False)


def test_a_local_name_may_be_any() -> None:
    assert tree("event.data.l.all(service, service > 1)")[2] == "service"


def test_what_is_no_condition_is_told_as_ever() -> None:
    with pytest.raises(InvalidExpression, match="no variable 'unknown'"):
        tree("unknown > 1")
    with pytest.raises(InvalidExpression, match="no variable 'features'"):
        compile_edge("features.f > 1", EVENT_VARIABLES)
