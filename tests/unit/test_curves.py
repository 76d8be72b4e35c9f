"""Curves: the places are right, and nothing is drawn outside."""

import re

from hypothesis import given
from hypothesis import strategies as st

from forestall.console.curves import around_zero, banded, steps

SHARE = st.floats(0, 1)
NUMBER = st.floats(-1e6, 1e6)


def numbers(svg: str, tag: str, name: str) -> list[list[tuple[float, float]]]:
    drawn = re.findall(rf'<{tag} class="{name}[^"]*" points="([^"]*)"', svg)
    return [
        [(float(x), float(y)) for x, y in (p.split(",") for p in one.split())]
        for one in drawn
        if one
    ]


def test_an_interval_lies_around_its_zero() -> None:
    svg = around_zero(-50, -100, 0, 200)
    assert 'x1="25.00%" x2="50.00%"' in svg
    assert 'cx="37.50%"' in svg
    assert '<line class="zero" x1="50%" x2="50%"' in svg


@given(NUMBER, NUMBER, NUMBER, st.floats(0, 1e6))
def test_what_is_beyond_the_scale_ends_at_its_ends(
    value: float, low: float, high: float, most: float
) -> None:
    places = re.findall(r'(?:x1|x2|cx)="([\d.]+)%"', around_zero(value, low, high, most))
    assert len(places) == 5
    assert all(0 <= float(one) <= 100 for one in places)


def test_a_band_lies_around_its_line() -> None:
    svg = banded([(0, 0, -10, 10), (1, 5, 0, 10)], -10, 10, "a <title>")
    assert numbers(svg, "polyline", "line") == [[(0, 100), (1000, 50)]]
    assert numbers(svg, "polygon", "band") == [[(0, 0), (1000, 0), (1000, 100), (0, 200)]]
    assert 'class="zero" x1="0" x2="1000" y1="100.00"' in svg
    assert 'aria-label="a &lt;title&gt;"' in svg


def test_zero_is_drawn_only_where_it_is_seen() -> None:
    assert "zero" not in banded([(0, 5, 4, 6)], 1, 10, "t")


def test_steps_go_along_and_then_down() -> None:
    svg = steps([("c-a", [(0, 1), (0.5, 0.8), (1, 0.6)]), ("c-b", [(0, 1)])], 0.6, 1, "t")
    first, second = numbers(svg, "polyline", "line")
    assert first == [(0, 0), (500, 0), (500, 100), (1000, 100), (1000, 200)]
    assert second == [(0, 0)]


@given(st.lists(st.tuples(SHARE, NUMBER, NUMBER, NUMBER), max_size=8))
def test_a_band_stays_inside(points: list[tuple[float, float, float, float]]) -> None:
    svg = banded(points, -100, 100, "t")
    for shape in [*numbers(svg, "polyline", "line"), *numbers(svg, "polygon", "band")]:
        for x, y in shape:
            assert 0 <= x <= 1000
            assert 0 <= y <= 200


def test_nothing_to_draw_is_an_empty_plot() -> None:
    assert numbers(banded([], 0, 0, "t"), "polyline", "line") == []
    assert "polyline" not in steps([], 0, 0, "t")
    assert 'role="img"' in steps([], 0, 0, "t")
