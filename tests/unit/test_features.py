"""Features: exact windows, by the words of the policy language, section 4."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.context.features import (
    KEYS,
    KINDS,
    REMEMBERED,
    Keyed,
    Window,
    millionths,
    trim,
    usable,
    value_at,
)


def window_of(kind: str, over: int | None, entries: list[tuple[int, Any]]) -> Window:
    window = Window()
    for t, value in entries:
        KINDS[kind].add(window, t, value)
        assert trim(window, over, t) == 0
    return window


def keyed(kind: str, over: int | None, entries: list[tuple[str, int, Any]]) -> tuple[Keyed, int]:
    """A feature's windows after events with key, time and value, and how many were dropped."""
    state = Keyed()
    add = KINDS[kind].add
    dropped = sum(
        state.add(add, over, key, value, t, serial)
        for serial, (key, t, value) in enumerate(entries)
    )
    return state, dropped


@pytest.mark.parametrize(
    ("kind", "empty"),
    [("count", 0), ("sum", 0.0), ("distinct", 0)]
    + [(kind, None) for kind in ("avg", "min", "max", "first", "last", "since", "p50", "p99")],
)
def test_an_empty_window_is_zero_or_null(kind: str, empty: object) -> None:
    assert value_at(kind, 10, None, 5) == empty
    assert value_at(kind, 10, window_of(kind, 10, [(1, 1)]), 100) == empty


def test_a_window_excludes_its_start_and_includes_its_end() -> None:
    window = window_of("count", 10, [(0, None), (1, None), (10, None)])
    assert value_at("count", 10, window, 10) == 2
    assert value_at("count", 10, window, 11) == 1
    assert value_at("count", 10, window, 20) == 0


def test_without_over_everything_remembered_counts() -> None:
    entries = [(0, "a"), (5, "b")]
    assert value_at("first", None, window_of("first", None, entries), 10**9) == "a"
    assert value_at("last", None, window_of("last", None, entries), 10**9) == "b"
    assert value_at("since", None, window_of("since", None, entries), 3_500_005) == 3.5


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("sum", [1, 2.5], 3.5),
        ("sum", [0.1] * 10, 1.0),
        ("avg", [1, 2], 1.5),
        ("min", [3, 1, 2], 1),
        ("max", [3.5, 1], 3.5),
        ("distinct", [1, 1.0, True, "1", False, 0], 5),
        ("p50", [4, 1, 3, 2], 2.0),
        ("p90", list(range(1, 11)), 9.0),
        ("p95", list(range(1, 11)), 10.0),
        ("p99", [7], 7.0),
    ],
)
def test_kinds(kind: str, values: list[Any], expected: object) -> None:
    window = window_of(kind, 100, [(t, value) for t, value in enumerate(values)])
    actual = value_at(kind, 100, window, 50)
    assert actual == expected
    assert type(actual) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "takes_part"),
    [
        ("sum", True, False),
        ("sum", "1", False),
        ("sum", float("inf"), False),
        ("avg", None, False),
        ("min", 0, True),
        ("p50", 1.5, True),
        ("distinct", [1], False),
        ("distinct", {}, False),
        ("distinct", False, True),
        ("first", [1], True),
        ("last", None, False),
    ],
)
def test_what_takes_part(kind: str, value: object, takes_part: bool) -> None:
    assert usable(kind, value) is takes_part


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1))
def test_millionths_round_half_even_exactly(value: float) -> None:
    assert millionths(value) == round(Fraction(value) * 1_000_000)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(-1e9, 1e9)), max_size=60), st.integers(1, 12)
)
def test_running_sums_equal_sums_from_scratch(steps: list[tuple[int, float]], over: int) -> None:
    window, t, history = Window(), 0, []
    for gap, value in steps:
        t += gap
        history.append((t, value))
        KINDS["sum"].add(window, t, value)
        inside = [millionths(v) for at, v in history if t - over < at <= t]
        assert value_at("sum", over, window, t) == sum(inside) / 1_000_000
        assert len(window) == len(inside)


def test_beyond_what_is_remembered_the_oldest_go_and_are_counted() -> None:
    window, over, dropped = Window(), 10**9, 0
    for t in range(REMEMBERED + 5):
        KINDS["first"].add(window, t, t)
        dropped += trim(window, over, t) if len(window.times) >= window.room else 0
    assert dropped == 5
    assert value_at("first", over, window, REMEMBERED + 5) == 5
    assert len(window) == REMEMBERED


def test_what_has_left_the_window_gives_its_memory_back() -> None:
    window = Window()
    for t in range(50 * REMEMBERED):
        KINDS["sum"].add(window, t, 1)
        if len(window.times) >= window.room:
            assert trim(window, 100, t) == 0
        assert len(window.times) < 300
    assert value_at("sum", 100, window, 50 * REMEMBERED) == 99.0


@pytest.mark.parametrize("kind", ["last", "since"])
def test_of_the_newest_one_event_is_remembered(kind: str) -> None:
    assert len(window_of(kind, None, [(t, "x") for t in range(5)]).times) == 1


@pytest.mark.parametrize(
    "values", [[1, 2.5, 3], [1.5, 2, 0.5], [1, 2**70, 3], [2**63 - 1, 2**63, -(2**63) - 1]]
)
def test_numbers_stay_what_they_were(values: list[float]) -> None:
    entries = list(enumerate(values))
    assert value_at("max", None, window_of("max", None, entries), 9) == max(values)
    first = value_at("first", None, window_of("first", None, entries), 9)
    assert first == values[0]
    assert type(first) is type(values[0])
    exact = sum(millionths(value) for value in values) / 1_000_000
    assert value_at("sum", None, window_of("sum", None, entries), 9) == exact


def test_the_limit_counts_all_keys_together() -> None:
    entries = [(f'"{serial % 2}"', serial, serial) for serial in range(REMEMBERED)]
    state, dropped = keyed("first", 10**9, [*entries, ('"1"', REMEMBERED, 0)])
    assert dropped == 1
    assert value_at("first", 10**9, state.windows['"0"'], REMEMBERED) == 2


def test_expired_events_are_not_dropped_but_gone() -> None:
    state, dropped = keyed("count", 100, [*[('"old"', 0, None)] * REMEMBERED, ('"new"', 1000, 0)])
    assert dropped == 0
    assert value_at("count", 100, state.windows['"old"'], 1000) == 0


def test_the_key_touched_longest_ago_goes_first() -> None:
    entries = [(str(key), t, None) for t, key in enumerate([*range(KEYS), 0, "new"])]
    state, dropped = keyed("count", 10**9, entries)
    assert dropped == 1
    assert "1" not in state.windows
    assert {"0", "new"} < state.windows.keys()
