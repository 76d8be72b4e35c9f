"""Features: exact windows, by the words of the policy language, section 4."""

from fractions import Fraction
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forestall.context import core, features
from forestall.context.features import KEYS, REMEMBERED, millionths, usable

SLOT = 1


@pytest.fixture(params=["python", "typed"])
def twin(request: pytest.FixtureRequest) -> ModuleType:
    """Each of the two cores; the typed one where it has been compiled."""
    typed = request.param == "typed"
    found: ModuleType = pytest.importorskip("forestall.context.typed") if typed else features
    return found


class Remembered:
    """One feature of one subject."""

    def __init__(self, twin: ModuleType, kind: str, over: int | None) -> None:
        self.place = twin.Place(kind, SLOT, over)
        self.restored = twin.restored
        self.features: dict[int, Any] = {}
        self.dropped = 0

    def take(self, *entries: tuple[int, Any]) -> "Remembered":
        for t, value in entries:
            self.dropped += self.place.add(self.features, value, t)
        return self

    def take_keys(self, *entries: tuple[str, int, Any]) -> "Remembered":
        for serial, (key, t, value) in enumerate(entries):
            self.dropped += self.place.add_key(self.features, key, value, t, serial)
        return self

    def at(self, t: int) -> Any:
        return self.place.read(self.features, t)

    def at_key(self, key: str | None, t: int) -> Any:
        return self.place.read_key(self.features, key, t)


@pytest.mark.parametrize(
    ("kind", "empty"),
    [("count", 0), ("sum", 0.0), ("distinct", 0)]
    + [(kind, None) for kind in ("avg", "min", "max", "first", "last", "since", "p50", "p99")],
)
def test_an_empty_window_is_zero_or_null(twin: ModuleType, kind: str, empty: object) -> None:
    nobody = Remembered(twin, kind, 10)
    assert nobody.at(5) == empty
    assert nobody.at_key(None, 5) == nobody.at_key("k", 5) == empty
    assert nobody.take((1, 1)).at(100) == empty


def test_a_window_excludes_its_start_and_includes_its_end(twin: ModuleType) -> None:
    count = Remembered(twin, "count", 10).take((0, None), (1, None), (10, None))
    assert count.at(10) == 2
    assert count.at(11) == 1
    assert count.at(20) == 0


def test_without_over_everything_remembered_counts(twin: ModuleType) -> None:
    entries = [(0, "a"), (5, "b")]
    assert Remembered(twin, "first", None).take(*entries).at(10**9) == "a"
    assert Remembered(twin, "last", None).take(*entries).at(10**9) == "b"
    assert Remembered(twin, "since", None).take(*entries).at(3_500_005) == 3.5


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
def test_kinds(twin: ModuleType, kind: str, values: list[Any], expected: object) -> None:
    actual = Remembered(twin, kind, 100).take(*enumerate(values)).at(50)
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(-1e9, 1e9)), max_size=60), st.integers(1, 12)
)
def test_running_sums_equal_sums_from_scratch(
    twin: ModuleType, steps: list[tuple[int, float]], over: int
) -> None:
    total, t, history = Remembered(twin, "sum", over), 0, []
    for gap, value in steps:
        t += gap
        history.append((t, value))
        total.take((t, value))
        inside = [millionths(v) for at, v in history if t - over < at <= t]
        assert total.at(t) == sum(inside) / 1_000_000
        assert len(total.features[SLOT]) == len(inside)


def test_beyond_what_is_remembered_the_oldest_go_and_are_counted(twin: ModuleType) -> None:
    first = Remembered(twin, "first", 10**9).take(*((t, t) for t in range(REMEMBERED + 5)))
    assert first.dropped == 5
    assert first.at(REMEMBERED + 5) == 5
    assert len(first.features[SLOT]) == REMEMBERED


def test_what_has_left_the_window_gives_its_memory_back(twin: ModuleType) -> None:
    total = Remembered(twin, "sum", 100)
    for t in range(5 * REMEMBERED):
        total.take((t, 1))
        assert len(total.features[SLOT]) < 300
    assert total.dropped == 0
    assert total.at(5 * REMEMBERED) == 99.0


@pytest.mark.parametrize("kind", ["last", "since"])
def test_of_the_newest_one_event_is_remembered(twin: ModuleType, kind: str) -> None:
    newest = Remembered(twin, kind, None).take(*((t, "x") for t in range(5)))
    assert len(newest.features[SLOT]) == 1


@pytest.mark.parametrize(
    "values",
    [
        [1, 2.5, 3],
        [1.5, 2, 0.5],
        [1, 2**70, 3],
        [2**63 - 1, 2**63, -(2**63) - 1],
        [9 * 10**12] * 5,
        [-(9 * 10**12)] * 5 + [0.25],
    ],
)
def test_numbers_stay_what_they_were(twin: ModuleType, values: list[float]) -> None:
    entries = list(enumerate(values))
    assert Remembered(twin, "max", None).take(*entries).at(9) == max(values)
    first = Remembered(twin, "first", None).take(*entries).at(9)
    assert first == values[0]
    assert type(first) is type(values[0])
    exact = sum(millionths(value) for value in values)
    assert Remembered(twin, "sum", None).take(*entries).at(9) == exact / 1_000_000
    mean = Remembered(twin, "avg", None).take(*entries).at(9)
    assert mean == exact / (1_000_000 * len(values))
    some = Remembered(twin, "sum", 2).take(*entries).at(len(values))
    assert some == millionths(values[-1]) / 1_000_000


def test_the_limit_counts_all_keys_together(twin: ModuleType) -> None:
    entries = [(f'"{serial % 2}"', serial, serial) for serial in range(REMEMBERED)]
    first = Remembered(twin, "first", 10**9).take_keys(*entries, ('"1"', REMEMBERED, 0))
    assert first.dropped == 1
    assert first.at_key('"0"', REMEMBERED) == 2


def test_expired_events_are_not_dropped_but_gone(twin: ModuleType) -> None:
    count = Remembered(twin, "count", 100)
    count.take_keys(*[('"old"', 0, None)] * REMEMBERED, ('"new"', 1000, 0))
    assert count.dropped == 0
    assert count.at_key('"old"', 1000) == 0


def test_the_key_touched_longest_ago_goes_first(twin: ModuleType) -> None:
    entries = [(str(key), t, None) for t, key in enumerate([*range(KEYS), 0, "new"])]
    count = Remembered(twin, "count", 10**9).take_keys(*entries)
    assert count.dropped == 1
    assert "1" not in count.features[SLOT].windows
    assert {"0", "new"} < count.features[SLOT].windows.keys()


def test_the_core_is_typed_where_it_has_been_compiled() -> None:
    assert core.TYPED is (core.CORE == "typed") is (core.Place is not features.Place)


VALUES = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.sampled_from(["a", "b"]),
)
STEPS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from("klm"), VALUES), max_size=80)


@given(
    st.sampled_from(sorted(features.KINDS)), st.none() | st.integers(1, 40), STEPS, st.booleans()
)
def test_both_cores_say_the_same_and_read_what_the_other_wrote(
    kind: str, over: int | None, steps: list[tuple[int, str, Any]], keyed: bool
) -> None:
    typed = pytest.importorskip("forestall.context.typed")
    ours, theirs, t = Remembered(features, kind, over), Remembered(typed, kind, over), 0
    for serial, (gap, key, value) in enumerate(steps):
        t += gap
        for one in (ours, theirs):
            if usable(kind, value) and keyed:
                one.place.add_key(one.features, key, value, t, serial)
            elif usable(kind, value):
                one.take((t, value))
        said = [one.at_key(key, t) if keyed else one.at(t) for one in (ours, theirs)]
        assert said[0] == said[1]
        assert type(said[0]) is type(said[1])
        if serial % 16 == 15:
            contents = [one.features.get(SLOT) for one in (ours, theirs)]
            for one, content in zip((theirs, ours), contents, strict=True):
                if content is not None:
                    one.features[SLOT] = one.restored(content.content())


@pytest.mark.parametrize("sign", [1, -1])
def test_what_no_double_holds_is_an_infinity(twin: ModuleType, sign: int) -> None:
    infinity = sign * float("inf")
    large = [(0, sign * 1e308), (1, sign * 1e308)]
    assert Remembered(twin, "sum", 10).take(*large).at(1) == infinity
    assert Remembered(twin, "avg", 10).take(*large).at(1) == sign * 1e308
    assert Remembered(twin, "sum", 10).take(*large, (2, -sign * 1e308)).at(2) == sign * 1e308
    for kind in ("sum", "avg", "p50"):
        assert Remembered(twin, kind, 10).take((0, sign * 10**400)).at(1) == infinity
