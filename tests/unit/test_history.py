"""Histories: what is read from files, and what is said of broken ones."""

import json
from pathlib import Path

import pytest

from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import Record
from forestall.contracts.instants import SECOND
from forestall.decide.history import CHUNK, History, deployed_controls
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from scenario import START, event, instant


def read(*lines: bytes) -> tuple[list[Record], History]:
    history = History(Path("h.ndjson"), lines)
    return [record for chunk in history for record in chunk], history


def line(**attributes: object) -> bytes:
    return json.dumps(
        {"id": "1", "source": "s", "type": "a", "subject": "u", **attributes}
    ).encode()


def test_a_missing_received_is_time_and_a_missing_time_is_received() -> None:
    (first, second), history = read(line(time=instant(1)), line(received=instant(2)))
    assert (first.time, first.received) == (START + SECOND, START + SECOND)
    assert (second.time, second.received) == (START + 2 * SECOND, START + 2 * SECOND)
    assert history.tick == START + 2 * SECOND


def test_received_never_goes_back() -> None:
    (_, second), _ = read(line(time=instant(5)), line(time=instant(3)))
    assert (second.time, second.received) == (START + 3 * SECOND, START + 5 * SECOND)


def test_times_are_cut_to_microseconds() -> None:
    (one,), _ = read(line(time="2024-05-01T12:00:00.0000019Z"))
    assert one.time == START + 1


def test_events_without_a_subject_are_skipped_and_counted() -> None:
    records, history = read(line(subject=None, time=instant(0)), line(time=instant(0)), b"\n")
    assert (len(records), history.skipped) == (1, 1)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b'{"id": "\xff"}', "h.ndjson:1: not a CloudEvent"),
        (b'{"data": ' + b"[" * 5000, "nested too deeply"),
        (b"{", "h.ndjson:1: not a CloudEvent"),
        (b"[]", "h.ndjson:1: not a CloudEvent"),
        (b'{"id": "1"}', "missing required field `source`"),
        (line(), "has neither time nor received"),
        (line(time="yesterday"), "'yesterday' is not an RFC 3339 time"),
        (line(time="2024-13-01T00:00:00Z"), "h.ndjson:1: event '1'"),
        (line(time=instant(0), origin="space"), "Invalid enum value 'space'"),
    ],
)
def test_a_broken_line_is_named(bad: bytes, says: str) -> None:
    with pytest.raises(UnreadableInput) as caught:
        read(bad)
    assert says in str(caught.value)


def test_chunks_keep_the_order() -> None:
    lines = [event(t, "a", event_id=str(t)) for t in range(CHUNK * 2 + 5)]
    chunks = list(History(Path("h"), lines))
    assert [len(chunk) for chunk in chunks] == [CHUNK, CHUNK, 5]
    assert [record.id for chunk in chunks for record in chunk] == [
        str(t) for t in range(len(lines))
    ]


def test_a_file_tells_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\n".join(event(t, "a") for t in range(3)))
    history = History(path)
    assert len([record for chunk in history for record in chunk]) == 3
    assert history.done == 1.0


def test_a_parquet_archive_reads_the_same(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    lines = [event(t, "a", {"n": t}, received=t + 1) for t in range(5)]
    rows = [json.loads(one) for one in lines]
    for row in rows:
        row["data"] = json.dumps(row["data"])
    path = tmp_path / "events.parquet"
    parquet.write_table(arrow.Table.from_pylist(rows), path)
    found = [record for chunk in History(path) for record in chunk]
    expected, _ = read(*lines)
    assert [one.time for one in found] == [one.time for one in expected]
    assert [one.received for one in found] == [one.received for one in expected]
    assert [json.loads(bytes(one.data)) for one in found] == [{"n": n} for n in range(5)]


def test_a_data_folder_is_its_log(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "gateway.db")
    records, _ = read(event(0, "a"), event(1, "b"))
    log.commit([streams.signals(records[:1])])
    log.commit([streams.signals(records[1:])], tick=START + 9 * SECOND)
    log.close()
    history = History(tmp_path)
    found = [record for chunk in history for record in chunk]
    assert [one.id for one in found] == [one.id for one in records]
    assert (history.tick, history.done) == (START + 9 * SECOND, 1.0)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "not.parquet").write_text("no")
    for path in ("missing.ndjson", ".", "not.parquet"):
        with pytest.raises(UnreadableInput):
            list(History(tmp_path / path))
    with pytest.raises(UnreadableInput):
        deployed_controls(tmp_path)
