"""Small plots as inline SVG. They stretch with the page and hold no text but their title.

Whoever uses one sets the figures beside it as text, so no plot is the only way to read them.
"""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

BAR = 'class="plot" viewBox="0 0 1000 10"'
"""How a bar begins."""

Part = tuple[str, float]
"""A CSS class and a number, at least 0."""


def bar(parts: Sequence[Part], most: float) -> str:
    """One horizontal bar whose pieces stand side by side; ``most`` fills the width."""
    at = 0.0
    pieces = []
    for shade, number in parts:
        width = 1000 * number / (most or 1)
        pieces.append(_rect(shade, at, 0, max(width - 3, min(width, 3)), 10))
        at += width
    return f'<svg {BAR} preserveAspectRatio="none" aria-hidden="true">{"".join(pieces)}</svg>'


def interval(value: float, low: float, high: float, top: float) -> str:
    """A point with its interval on a scale from 0 to ``top``."""
    at, start, end = (f"{100 * part / (top or 1):.2f}%" for part in (value, low, high))
    return (
        '<svg class="plot" aria-hidden="true">'
        '<rect class="track" x="0" y="45%" width="100%" height="10%"/>'
        f'<line class="interval" x1="{start}" x2="{end}" y1="50%" y2="50%"/>'
        f'<circle class="point" cx="{at}" cy="50%" r="4"/></svg>'
    )


def box(lower: float, middle: float, upper: float, top: float) -> str:
    """Quartiles of times in seconds on a logarithmic scale from 1 s to ``top``."""
    decades = log10(max(top, 10.0))
    start, at, end = (100 * log10(max(part, 1.0)) / decades for part in (lower, middle, upper))
    return (
        '<svg class="plot" aria-hidden="true">'
        '<rect class="track" x="0" y="45%" width="100%" height="10%"/>'
        f'<rect class="box" x="{start:.2f}%" y="15%" width="{max(end - start, 0.5):.2f}%"'
        ' height="70%"/>'
        f'<circle class="point" cx="{at:.2f}%" cy="50%" r="4"/></svg>'
    )


def columns(bars: Sequence[tuple[str, Sequence[Part]]], top: float, title: str) -> str:
    """Stacked columns, each with a title of its own, up to ``top``; lines at half and at ``top``."""
    step = 1000 / (len(bars) or 1)
    drawn = [_column(step * index, step, one, top) for index, one in enumerate(bars)]
    grid = "".join(
        f'<line class="grid" x1="0" x2="1000" y1="{y}" y2="{y}"/>' for y in (0, 100, 200)
    )
    return (
        '<svg viewBox="0 0 1000 200" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(title)}">{grid}{"".join(drawn)}</svg>'
    )


def ceiling(most: float) -> float:
    """The least of 1, 2, 4 or 10 times a power of ten that is not below ``most`` (1 for 0)."""
    if most <= 0:
        return 1
    unit = float(10 ** floor(log10(most)))
    return next(unit * times for times in (1, 2, 4, 10) if ceil(1e9 * most) <= 1e9 * unit * times)


def _column(left: float, step: float, one: tuple[str, Sequence[Part]], top: float) -> str:
    title, parts = one
    bottom = 200.0
    pieces = []
    for shade, number in parts:
        height = 200 * number / top
        bottom -= height
        if height:
            pieces.append(_rect(shade, left + step * 0.1, bottom, step * 0.8, height))
    return f"<g><title>{escape(title)}</title>{''.join(pieces)}</g>"


def _rect(shade: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="{shade}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"/>'
    )
