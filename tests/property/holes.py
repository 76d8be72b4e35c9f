"""Patterns with holes, from which sources of conditions are grown."""

import re
from collections.abc import Callable, Mapping, Sequence

from hypothesis import strategies as st

_HOLE = re.compile(r"\{([a-z]+)\}|\b([A-Z]{2,})\b")


def filled(
    draw: st.DrawFn,
    pattern: str,
    words: Mapping[str, Sequence[str]],
    inside: Callable[[str], st.SearchStrategy[str]],
) -> str:
    """``pattern`` with what ``inside`` grows of its kind in each ``{kind}``, and one of ``words`` for
    each name in capitals."""

    def fill(hole: re.Match[str]) -> str:
        return draw(st.sampled_from(words[hole[2]]) if hole[2] else inside(hole[1]))

    return _HOLE.sub(fill, pattern)
