"""Curves and signed intervals as inline SVG, which stretch with the page and hold no text.

As with ``plots``, whoever draws one sets the figures beside it as text.
"""

from collections.abc import Sequence
from html import escape

Point = tuple[float, float]

WIDTH = 1000
HEIGHT = 200


def around_zero(value: float, low: float, high: float, most: float) -> str:
    """A point with its interval on a scale from minus ``most`` to ``most``, and a line at zero."""

    def at(number: float) -> str:
        return f"{50 + 50 * max(-1.0, min(1.0, number / (most or 1))):.2f}%"

    return (
        '<svg class="plot" aria-hidden="true">'
        '<rect class="track" x="0" y="45%" width="100%" height="10%"/>'
        '<line class="zero" x1="50%" x2="50%" y1="0" y2="100%"/>'
        f'<line class="interval" x1="{at(low)}" x2="{at(high)}" y1="50%" y2="50%"/>'
        f'<circle class="point" cx="{at(value)}" cy="50%" r="4"/></svg>'
    )


def banded(
    points: Sequence[tuple[float, float, float, float]], low: float, high: float, title: str
) -> str:
    """A line with a band around it: ``(x, y, bottom, top)`` with x from 0 to 1, y from ``low`` to
    ``high``; a line at zero where that is within."""

    def up(value: float) -> float:
        share = (max(low, min(high, value)) - low) / ((high - low) or 1)
        return HEIGHT * (1 - share)

    top = [(WIDTH * x, up(most)) for x, _, _, most in points]
    bottom = [(WIDTH * x, up(least)) for x, _, least, _ in points]
    line = [(WIDTH * x, up(y)) for x, y, _, _ in points]
    zero = ""
    if low <= 0 <= high:
        zero = f'<line class="zero" x1="0" x2="{WIDTH}" y1="{up(0):.2f}" y2="{up(0):.2f}"/>'
    inside = (
        f'<polygon class="band" points="{_joined([*top, *reversed(bottom)])}"/>'
        f'{zero}<polyline class="line" points="{_joined(line)}"/>'
    )
    return _figure(inside, title)


def steps(
    curves: Sequence[tuple[str, Sequence[Point]]], low: float, high: float, title: str
) -> str:
    """Step curves, each with a CSS class: ``(x, y)`` with x from 0 to 1, y from ``low`` to ``high``."""
    drawn = []
    for shade, points in curves:
        path: list[Point] = []
        for x, y in points:
            at = HEIGHT * (1 - (y - low) / ((high - low) or 1))
            if path:
                path.append((WIDTH * x, path[-1][1]))
            path.append((WIDTH * x, at))
        drawn.append(f'<polyline class="line {shade}" points="{_joined(path)}"/>')
    return _figure("".join(drawn), title)


def _figure(inside: str, title: str) -> str:
    grid = "".join(
        f'<line class="grid" x1="0" x2="{WIDTH}" y1="{y}" y2="{y}"/>'
        for y in (0, HEIGHT // 2, HEIGHT)
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(title)}">{grid}{inside}</svg>'
    )


def _joined(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
