"""Plots: the lengths are right, and nothing is drawn outside."""

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.console.plots import BAR, bar, box, ceiling, columns, interval

NUMBERS = st.floats(0, 1e9)


def drawn(svg: str, tag: str) -> list[dict[str, str]]:
    tags = re.findall(rf"<{tag} (.*?)/?>", svg)
    return [dict(re.findall(r'([\w-]+)="(.*?)"', unescape(one))) for one in tags]


def share(text: str) -> float:
    assert text.endswith("%")
    return float(text[:-1])


def test_a_bar_is_as_long_as_its_parts() -> None:
    first, second = drawn(bar([("c-1", 30), ("c-2", 20)], 100), "rect")
    assert (first["class"], float(first["x"]), float(first["width"])) == ("c-1", 0, 297)
    assert (second["class"], float(second["x"]), float(second["width"])) == ("c-2", 300, 197)
    assert BAR in bar([], 0)


@given(st.lists(NUMBERS, max_size=6))
def test_a_bar_stays_inside_and_hides_no_piece(parts: list[float]) -> None:
    most = sum(parts)
    for one in drawn(bar([("c-1", part) for part in parts], most), "rect"):
        assert float(one["width"]) >= 0
        assert float(one["x"]) + float(one["width"]) <= 1000.1


def test_an_interval_lies_on_its_scale() -> None:
    svg = interval(0.2, 0.1, 0.4, 0.4)
    (line,), (point,) = drawn(svg, "line"), drawn(svg, "circle")
    assert (share(line["x1"]), share(line["x2"]), share(point["cx"])) == (25, 100, 50)
    assert share(drawn(interval(0, 0, 0, 0), "circle")[0]["cx"]) == 0


def test_quartiles_lie_on_a_logarithmic_scale() -> None:
    svg = box(10, 100, 1000, 10_000)
    _, quartiles = drawn(svg, "rect")
    (middle,) = drawn(svg, "circle")
    assert (share(quartiles["x"]), share(quartiles["width"])) == (25, 50)
    assert share(middle["cx"]) == 50
    assert share(drawn(box(0, 0, 0, 1), "circle")[0]["cx"]) == 0


def test_columns_stack_from_the_ground() -> None:
    svg = columns([("one: 3", [("c-1", 1), ("c-2", 2)]), ("two: 0", [("c-1", 0)])], 4, "All & it")
    low, high = drawn(svg, "rect")
    assert (float(low["y"]), float(low["height"])) == (150, 50)
    assert (float(high["y"]), float(high["height"])) == (50, 100)
    assert re.findall(r"<title>(.*?)</title>", svg) == ["one: 3", "two: 0"]
    assert drawn(svg, "svg")[0]["aria-label"] == "All & it"


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (1, 1), (3, 4), (4, 4), (5, 10), (188, 200), (0.36, 0.4), (0.51, 1)]
)
def test_a_scale_ends_at_a_round_number(most: float, top: float) -> None:
    assert ceiling(most) == pytest.approx(top)


@given(st.floats(1e-6, 1e12))
def test_a_scale_holds_everything_and_wastes_little(most: float) -> None:
    assert most <= ceiling(most) * (1 + 1e-9)
    assert ceiling(most) <= most * 2.5 * (1 + 1e-9)
