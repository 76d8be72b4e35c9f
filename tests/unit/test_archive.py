"""Parquet archives: every way to write the columns reads as the same history of NDJSON."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND, parse_time
from forestall.decide.history import CHUNK, History, Share
from scenario import START, event, instant

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

TEXT = ("id", "source", "type", "subject", "origin", "data", "traceparent")
Table = Any


def rows(count: int = 6) -> list[dict[str, Any]]:
    """Events with everything set; ``data`` is JSON text."""
    made = [
        event(t, f"t{t % 3}", {"n": t}, subject=f"u{t % 4}", received=t + 1, origin="browser")
        for t in range(count)
    ]
    found = [json.loads(line) for line in made]
    for row in found:
        row["data"] = json.dumps(row["data"])
        row["traceparent"] = f"00-{row['id']}"
        del row["specversion"]
    return found


def table(given: list[dict[str, Any]]) -> Table:
    return pyarrow.Table.from_pylist(given)


def cast(found: Table, **kinds: Any) -> Table:
    """The table with these columns as another type."""
    for name, kind in kinds.items():
        index = found.schema.get_field_index(name)
        found = found.set_column(index, name, found.column(name).cast(kind))
    return found


def read(found: Table, path: Path, share: Share | None = None) -> tuple[list[Record], History]:
    parquet.write_table(found, path)
    history = History(path, share=share)
    return [record for records in history for record in records], history


def by_lines(given: list[dict[str, Any]], path: Path) -> tuple[list[Record], History]:
    lines = []
    for row in given:
        known = {name: value for name, value in row.items() if value not in (None, "")}
        if "data" in known:
            known["data"] = json.loads(known["data"])
        lines.append(json.dumps(known).encode())
    history = History(path, lines)
    return [record for records in history for record in records], history


def same(found: list[Record], expected: list[Record]) -> None:
    assert [told(one) for one in found] == [told(one) for one in expected]


def told(record: Record) -> tuple[Any, ...]:
    known = [getattr(record, name) for name in record.__struct_fields__ if name != "data"]
    return (*known, json.loads(bytes(record.data)))


MICROS = "2024-05-01T12:00:00.123456Z"
KINDS: dict[str, Callable[[Table], Table]] = {
    "texts": lambda found: found,
    "timestamps": lambda found: cast(
        found,
        time=pyarrow.timestamp("us", "UTC"),
        received=pyarrow.timestamp("us", "UTC"),
    ),
    "nanoseconds": lambda found: cast(
        found,
        time=pyarrow.timestamp("ns", "UTC"),
        received=pyarrow.timestamp("ns", "UTC"),
    ),
    "milliseconds": lambda found: cast(
        cast(found, time=pyarrow.timestamp("us", "UTC")), time=pyarrow.timestamp("ms", "UTC")
    ),
    "another zone": lambda found: cast(found, time=pyarrow.timestamp("us", "Asia/Tokyo")),
    "no zone": lambda found: cast(
        cast(found, time=pyarrow.timestamp("us", "UTC")), time=pyarrow.timestamp("us")
    ),
    "large texts": lambda found: cast(found, **dict.fromkeys(TEXT, pyarrow.large_string())),
    "bytes": lambda found: cast(found, **dict.fromkeys(TEXT, pyarrow.binary())),
    "views": lambda found: cast(found, **dict.fromkeys(TEXT, pyarrow.string_view())),
    "dictionaries": lambda found: cast(
        found, **dict.fromkeys(TEXT, pyarrow.dictionary(pyarrow.int32(), pyarrow.string()))
    ),
    "JSON": lambda found: cast(found, data=pyarrow.json_()),
    "more columns": lambda found: found.append_column("extra", pyarrow.array([[1]] * len(found))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_every_kind_read_the_same(tmp_path: Path, kind: str) -> None:
    found, _ = read(KINDS[kind](table(rows())), tmp_path / "h.parquet")
    same(found, by_lines(rows(), tmp_path)[0])
    assert len(found) == 6


@pytest.mark.parametrize("missing", ["received", "time", "origin", "data", "traceparent"])
def test_what_may_be_missing(tmp_path: Path, missing: str) -> None:
    given = rows()
    without = [{**row, missing: None} for row in given]
    expected, _ = by_lines(without, tmp_path)
    same(read(table(without), tmp_path / "null.parquet")[0], expected)
    same(read(table(given).drop_columns(missing), tmp_path / "none.parquet")[0], expected)
    some = [
        {**row, missing: row[missing] if number % 2 else None} for number, row in enumerate(given)
    ]
    same(read(table(some), tmp_path / "some.parquet")[0], by_lines(some, tmp_path)[0])
    if missing in ("origin", "data", "traceparent"):
        empty = [{**row, missing: ""} for row in given]
        same(read(table(empty), tmp_path / "empty.parquet")[0], expected)


def test_data_may_be_columns_of_its_own(tmp_path: Path) -> None:
    nested = [{**row, "data": json.loads(row["data"])} for row in rows()]
    same(read(table(nested), tmp_path / "h.parquet")[0], by_lines(rows(), tmp_path)[0])


def test_rows_without_a_subject_are_skipped_whatever_they_hold(tmp_path: Path) -> None:
    given = rows(5)
    given[1] |= {"subject": None, "id": None, "time": None, "received": None}
    given[3] |= {"subject": ""}
    for found in (table(given), cast(table(given), time=pyarrow.timestamp("us", "UTC"))):
        records, history = read(found, tmp_path / "h.parquet")
        assert [record.id for record in records] == ["t0@0", "t2@2", "t1@4"]
        assert (history.skipped, history.done) == (2, 1.0)


def test_nobody_at_all(tmp_path: Path) -> None:
    records, history = read(table(rows()).drop_columns("subject"), tmp_path / "h.parquet")
    assert (records, history.skipped, history.tick) == ([], 6, None)
    records, history = read(table(rows()).slice(0, 0), tmp_path / "h.parquet")
    assert (records, history.skipped, history.tick) == ([], 0, None)


def test_received_never_goes_back(tmp_path: Path) -> None:
    given = rows(3)
    for row, at in zip(given, (5, 3, 6), strict=True):
        row["received"] = instant(at)
    records, history = read(table(given), tmp_path / "h.parquet")
    assert [record.received for record in records] == [START + at * SECOND for at in (5, 5, 6)]
    assert history.tick == START + 6 * SECOND


def test_what_is_finer_than_a_microsecond_is_cut(tmp_path: Path) -> None:
    given = rows(1)
    exact = datetime.fromisoformat("2024-05-01T12:00:00+00:00").timestamp() * 1e9
    nanos = pyarrow.array([int(exact) + 1_999], pyarrow.timestamp("ns", "UTC"))
    found = table(given)
    found = found.set_column(found.schema.get_field_index("time"), "time", nanos)
    assert read(found, tmp_path / "h.parquet")[0][0].time == START + 1


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01t12:00:00z",
        "2024-05-01T14:00:00+02:00",
        "2024-05-01 12:00:00Z",
        "2024-05-01T12:00:00.1234569Z",
        "0999-05-01T12:00:00Z",
    ],
)
def test_times_as_text_mean_what_they_mean_elsewhere(tmp_path: Path, text: str) -> None:
    given = [{**row, "time": text} for row in rows(2)]
    records, _ = read(table(given), tmp_path / "h.parquet")
    assert [record.time for record in records] == [parse_time(text)] * 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"id": None}, "row 4: not a CloudEvent: Object missing required field `id`"),
        ({"type": ""}, "row 4: not a CloudEvent: Object missing required field `type`"),
        ({"origin": "space"}, "row 4: not a CloudEvent: Invalid enum value 'space'"),
        ({"time": None, "received": None}, "row 4: event 't0@3' has neither time nor received"),
        ({"time": "yesterday"}, "row 4: event 't0@3': 'yesterday' is not an RFC 3339 time"),
        ({"time": "2024-02-30T00:00:00Z"}, "row 4: event 't0@3'"),
        ({"time": "2024-05-01T23:59:60Z"}, "has more than 59 seconds"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    given = rows()
    given[3] |= change
    path = tmp_path / "h.parquet"
    with pytest.raises(UnreadableInput) as caught:
        read(table(given), path)
    assert f"{path}: " in str(caught.value)
    assert says in str(caught.value)


def test_columns_of_a_wrong_type_are_named(tmp_path: Path) -> None:
    numbers = table([{**row, "id": 5} for row in rows()])
    with pytest.raises(
        UnreadableInput, match=r"row 1: not a CloudEvent: Expected `str`, got `int`"
    ):
        read(numbers, tmp_path / "h.parquet")
    broken = pyarrow.array([b"\xff"] * 6).cast(pyarrow.string(), safe=False)
    found = table(rows()).set_column(0, "id", broken.view(pyarrow.string()))
    with pytest.raises(UnreadableInput, match=r"rows 1 to 6: .*codec can't decode"):
        read(found, tmp_path / "h.parquet")
    far = pyarrow.array([2**62] * 6, pyarrow.timestamp("us", "UTC"))
    with pytest.raises(UnreadableInput, match="rows 1 to 6"):
        read(table(rows()).drop_columns("time").append_column("time", far), tmp_path / "h.parquet")


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "h.parquet"
    parquet.write_table(table(rows()), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(UnreadableInput, match="not a Parquet file"):
        list(History(path))
    path.write_bytes(whole[:4] + bytes(200) + whole[204:])
    with pytest.raises(UnreadableInput, match="broken after row 0"):
        list(History(path))


def test_many_batches_and_row_groups(tmp_path: Path) -> None:
    given = rows(2 * CHUNK + 7)
    path = tmp_path / "h.parquet"
    parquet.write_table(table(given), path, row_group_size=CHUNK // 2 + 3)
    chunks = list(History(path).chunks())
    assert sum(len(chunk.received) for chunk in chunks) == len(given)
    assert [record.id for chunk in chunks for record in chunk.records] == [
        row["id"] for row in given
    ]


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from(["u0", "u1", "u2", "", None]), min_size=1, max_size=30), st.booleans()
)
def test_shares_part_the_records_and_agree_on_the_rest(
    tmp_path_factory: pytest.TempPathFactory, subjects: list[str | None], stamped: bool
) -> None:
    path = tmp_path_factory.mktemp("archive") / "h.parquet"
    given = rows(len(subjects))
    for row, subject in zip(given, subjects, strict=True):
        row["subject"] = subject
    found = table(given)
    if stamped:
        found = cast(found, time=pyarrow.timestamp("us", "UTC"))
    parquet.write_table(found, path)
    whole = list(History(path).chunks())
    shares = [list(History(path, share=Share(part, 3)).chunks()) for part in range(3)]
    for chunk, *parts in zip(whole, *shares, strict=True):
        assert all(list(part.received) == list(chunk.received) for part in parts)
        placed = [one for part in parts for one in zip(part.places, part.records, strict=True)]
        placed.sort(key=lambda one: one[0])
        assert [place for place, _ in placed] == list(range(len(chunk.records)))
        same([record for _, record in placed], list(chunk.records))
