"""Timestamps and durations of conditions, to the nanosecond and to the ends of their ranges."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.contracts.errors import ExpressionError
from forestall.policy.language.cel import Duration, Timestamp, compile_expression
from forestall.policy.language.cel.times import (
    SECOND,
    checked_duration,
    checked_timestamp,
    parse_duration,
    parse_timestamp,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND - 1


def value(source: str, *values: Any) -> Any:
    return compile_expression(source, ("t", "d")[: len(values)]).evaluate(*values)


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:00.5Z", 500_000_000),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T23:59:59.999Z", -1_000_000),
        ("1970-01-01T00:00:00.1234567891Z", 123_456_789),
        ("0001-01-01T00:00:00Z", FIRST),
        ("9999-12-31T23:59:59.999999999Z", LAST),
        ("2024-02-29T12:00:00-00:30", 1_709_209_800 * SECOND),
    ],
)
def test_rfc_3339_is_read(text: str, nanos: int) -> None:
    assert parse_timestamp(text).nanos == nanos


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2024-01-01", "2024-01-01T00:00:00", "2024-01-01 00:00:00Z", "2024-01-01t00:00:00z",
        "2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01T23:59:60Z",
        "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00", "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00Z ", "٢٠٢٤-01-01T00:00:00Z", "2024-01-01T00:00Z", "9" * 10_000,
    ],
)  # fmt: skip
def test_what_is_no_time_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_timestamp(text)


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("0", 0), ("0s", 0), ("1s", SECOND), ("90m", 5400 * SECOND), ("1h30m", 5400 * SECOND),
        ("-1.5s", -1_500_000_000), ("+2ms", 2_000_000), ("3us", 3_000), ("3µs", 3_000), ("7ns", 7),
        (".5h", 1800 * SECOND), ("1.h", 3600 * SECOND), ("0.000000001s", 1), ("1h1h", 7200 * SECOND),
        ("9223372036854775807ns", 2**63 - 1), ("-9223372036854775808ns", -(2**63)), ("-0", 0),
    ],
)  # fmt: skip
def test_durations_are_read(text: str, nanos: int) -> None:
    assert parse_duration(text).nanos == nanos


@pytest.mark.parametrize(
    "text",
    ["", "s", "5", "1d", "1 h", "1h ", "--1s", "1s-1s", ".s", "1e3s", "9223372036854775808ns", "320000000000s",
     "1S", "٣s", "1h" * 60, "."],
)  # fmt: skip
def test_what_is_no_duration_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (1_100_000_000, "1970-01-01T00:00:01.1Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (FIRST, "0001-01-01T00:00:00Z"),
        (LAST, "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_timestamps_are_written_as_short_as_they_are(nanos: int, text: str) -> None:
    assert str(Timestamp(nanos)) == text
    assert value("string(t)", Timestamp(nanos)) == text


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0s"),
        (5400 * SECOND, "5400s"),
        (1_500_000_000, "1.5s"),
        (-1, "-0.000000001s"),
        (-SECOND, "-1s"),
    ],
)
def test_durations_are_written_in_seconds(nanos: int, text: str) -> None:
    assert str(Duration(nanos)) == text
    assert value("string(t)", Duration(nanos)) == text


@given(st.integers(FIRST, LAST))
def test_a_timestamp_survives_its_text(nanos: int) -> None:
    assert parse_timestamp(str(Timestamp(nanos))) == Timestamp(nanos)


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_a_duration_survives_its_text(nanos: int) -> None:
    assert parse_duration(str(Duration(nanos))) == Duration(nanos)


@given(
    st.integers(-2_200_000_000, 4_100_000_000),
    st.sampled_from(
        ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"]
    ),
)
def test_parts_are_those_of_the_local_calendar(seconds: int, zone: str) -> None:
    here = EPOCH + timedelta(seconds=seconds)
    local = here.astimezone(ZoneInfo(zone))
    getters = "getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds"
    parts = value(
        "[" + ", ".join(f"t.{name}('{zone}')" for name in getters.split()) + "]",
        Timestamp(seconds * SECOND),
    )
    assert parts == [
        local.year, local.month - 1, local.day, local.day - 1, local.isoweekday() % 7,
        int(local.strftime("%j")) - 1, local.hour, local.minute, local.second,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("t.getHours('+05:30')", 5), ("t.getMinutes('+05:30')", 30), ("t.getHours('-01:00')", 23),
        ("t.getDate('-01:00')", 31), ("t.getFullYear('-01:00')", 1969), ("t.getHours('02:00')", 2),
        ("t.getMilliseconds()", 123), ("t.getMilliseconds('Europe/Berlin')", 123), ("d.getHours()", -1),
        ("d.getMinutes()", -90), ("d.getSeconds()", -5400), ("d.getMilliseconds()", -250),
        ("int(t)", 0), ("timestamp(int(t)) == t", False), ("t + d < t", True), ("t - d > t", True),
        ("t - t == duration('0')", True), ("d + d == duration('-3h0.5s')", True), ("d - d == duration('0s')", True),
        ("d < duration('0s') && d <= d && !(d > d) && d >= d", True), ("t != t", False), ("[t] == [t]", True),
        ("t in [t]", True), ("t == d", False), ("t == 0", False), ("type(t) == google.protobuf.Timestamp", True),
        ("type(d) == google.protobuf.Duration", True), ("{'k': t}.k == t", True),
    ],
)  # fmt: skip
def test_arithmetic_and_parts(source: str, expected: object) -> None:
    assert value(source, Timestamp(123_456_789), parse_duration("-1h30m0.25s")) == expected


@pytest.mark.parametrize(
    "source",
    [
        "timestamp('9999-12-31T23:59:59Z') + duration('1s')", "timestamp('0001-01-01T00:00:00Z') - duration('1ns')",
        "timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z')",
        "duration('290000m') + duration('9223372036s')", "timestamp(253402300800)", "timestamp(-62135596801)",
        "timestamp(9223372036854775807)", "d + timestamp('1970-01-01T00:00:00Z') + t", "t.getHours('25:00')",
        "timestamp('9999-12-31T23:59:59Z').getHours('+14:00')", "timestamp('0001-01-01T00:00:00Z').getHours('-14:00')",
    ],
)  # fmt: skip
def test_beyond_the_range_is_an_error(source: str) -> None:
    with pytest.raises(ExpressionError):
        value(source, Timestamp(0), Duration(0))


def test_ranges_are_exact() -> None:
    assert checked_timestamp(FIRST).nanos == FIRST
    assert checked_timestamp(LAST).nanos == LAST
    assert checked_duration(-(2**63)).nanos == -(2**63)
    for nanos in (FIRST - 1, LAST + 1):
        with pytest.raises(ExpressionError):
            checked_timestamp(nanos)
    for nanos in (-(2**63) - 1, 2**63):
        with pytest.raises(ExpressionError):
            checked_duration(nanos)


def test_they_are_values() -> None:
    assert len({Timestamp(1), Timestamp(1), Duration(1), Timestamp(2)}) == 3
    assert Timestamp(1) != Duration(1)
    assert repr(Timestamp(5)) == "Timestamp(5)"
    assert repr(Duration(5)) == "Duration(5)"
    with pytest.raises(TypeError):
        Timestamp(1) < Duration(2)  # noqa: B015
