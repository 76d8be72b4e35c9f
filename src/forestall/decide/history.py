"""Histories: from an NDJSON file, a Parquet archive or a server's data folder to records.

The rules for a missing or backward ``received`` are those of the policy language, section 2.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from forestall.contracts.control import Control
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import EMPTY_DATA, CloudEvent, Record
from forestall.contracts.instants import parse_time
from forestall.log import streams
from forestall.log.sqlite import SqliteLog

CHUNK = 1024
"""Records handed on together."""

_cloud_event = msgspec.json.Decoder(CloudEvent)


class History:
    """A history being read: iterate over it once for chunks of records in log order.

    ``skipped`` counts events without a subject, ``done`` is the fraction read so far, ``tick`` the
    log time at the end, known once all is read (none for an empty history).
    """

    def __init__(self, path: Path, lines: Iterable[bytes] | None = None) -> None:
        """Read ``path``, or ``lines`` as if they were its lines."""
        self.path = path
        self._lines = lines
        self.skipped = 0
        self.done = 0.0
        self.tick: int | None = None

    def __iter__(self) -> Iterator[Sequence[Record]]:
        if self._lines is not None:
            return self._chunks(self._events(self._lines))
        if self.path.is_dir():
            return self._data_folder()
        if not self.path.is_file():
            raise UnreadableInput(f"{self.path}: no such file or folder")
        if self.path.suffix == ".parquet":
            return self._chunks(self._parquet())
        return self._chunks(self._ndjson())

    def _chunks(self, events: Iterable[tuple[str, CloudEvent]]) -> Iterator[Sequence[Record]]:
        records = []
        for place, event in events:
            record = self._record(place, event)
            if record is None:
                self.skipped += 1
                continue
            records.append(record)
            if len(records) == CHUNK:
                yield records
                records = []
        if records:
            yield records

    def _record(self, place: str, event: CloudEvent) -> Record | None:
        if not event.subject:
            return None
        try:
            received = None if event.received is None else parse_time(event.received)
            time = received if event.time is None else parse_time(event.time)
        except ValueError as error:
            raise UnreadableInput(f"{place}: event {event.id!r}: {error}") from None
        if time is None:
            raise UnreadableInput(
                f"{place}: event {event.id!r} has neither time nor received; give it one of them"
            )
        received = time if received is None else received
        if self.tick is not None and received < self.tick:
            received = self.tick
        self.tick = received
        return Record(
            event.id,
            event.source,
            event.type,
            event.subject,
            time,
            received,
            event.origin or "server",
            EMPTY_DATA if isinstance(event.data, msgspec.UnsetType) else event.data,
            event.traceparent,
        )

    def _ndjson(self) -> Iterator[tuple[str, CloudEvent]]:
        size = self.path.stat().st_size or 1
        with self.path.open("rb") as file:
            for event in self._events(file):
                yield event
                self.done = file.tell() / size

    def _events(self, lines: Iterable[bytes]) -> Iterator[tuple[str, CloudEvent]]:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{self.path}:{number}"
            try:
                line.decode()
                event = _cloud_event.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise UnreadableInput(f"{place}: not a CloudEvent: {error}") from None
            except RecursionError:
                raise UnreadableInput(f"{place}: not a CloudEvent: nested too deeply") from None
            yield place, event

    def _parquet(self) -> Iterator[tuple[str, CloudEvent]]:
        try:
            from pyarrow import ArrowInvalid, parquet
        except ImportError:
            raise UnreadableInput(
                f"{self.path}: reading Parquet needs pyarrow; pip install pyarrow"
            ) from None
        try:
            file = parquet.ParquetFile(self.path)
        except ArrowInvalid as error:
            raise UnreadableInput(f"{self.path}: not a Parquet file: {error}") from None
        row = 0
        for batch in file.iter_batches(batch_size=CHUNK):
            for columns in batch.to_pylist():
                row += 1
                yield f"{self.path}: row {row}", _from_columns(columns)
            self.done = row / (file.metadata.num_rows or 1)

    def _data_folder(self) -> Iterator[Sequence[Record]]:
        path = self.path / "gateway.db"
        if not path.is_file():
            raise UnreadableInput(f"{self.path}: not a server's data folder: no gateway.db in it")
        log = SqliteLog(path, read_only=True)
        try:
            last = log.last(streams.SIGNALS) or 1
            for batch in log.follow(streams.SIGNALS):
                yield streams.read_signals(batch)
                self.done = batch.position / last
                self.tick = max(batch.received, log.tick())
        finally:
            log.close()


def deployed_controls(folder: Path) -> list[Control]:
    """The control stream of a server's data folder."""
    path = folder / "worker.db"
    if not path.is_file():
        raise UnreadableInput(
            f"{folder}: --as-deployed needs a server's data folder with worker.db"
        )
    log = SqliteLog(path, read_only=True)
    try:
        return [
            record
            for batch in log.follow(streams.CONTROL)
            for record in streams.read_control(batch)
        ]
    finally:
        log.close()


def _from_columns(columns: dict[str, Any]) -> CloudEvent:
    known = {name: columns[name] for name in CloudEvent.__struct_fields__ if columns.get(name)}
    data = known.pop("data", None)
    if data is not None:
        text = data.encode() if isinstance(data, str) else msgspec.json.encode(data)
        known["data"] = msgspec.Raw(text)
    for name in ("time", "received"):
        if name in known and not isinstance(known[name], str):
            known[name] = known[name].isoformat().replace("+00:00", "") + "Z"
    return CloudEvent(**known)
