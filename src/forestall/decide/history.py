"""Histories: from an NDJSON file, a Parquet archive or a server's data folder to records.

The rules for a missing or backward ``received`` are those of the policy language, section 2.
"""

import gzip
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import xxhash

from forestall.contracts.control import Control
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import EMPTY_DATA, CloudEvent, Record
from forestall.contracts.instants import parse_time
from forestall.log import streams
from forestall.log.sqlite import SqliteLog

CHUNK: Final = 8192
"""Records handed on together."""

_cloud_event = msgspec.json.Decoder(CloudEvent)


class Share(msgspec.Struct, frozen=True):
    """The subjects of part number ``part`` of ``parts``; at first everybody.

    A stable hash parts them, but for those whose part is in ``dealt``. ``end`` is where a server's
    log ends for all parts: its tick and its last batch.
    """

    part: int = 0
    parts: int = 1
    dealt: dict[str, int] = {}
    end: tuple[int, int] | None = None

    def owns(self, subject: str) -> bool:
        """Whether ``subject`` is one of them."""
        if self.parts == 1:
            return True
        part = self.dealt.get(subject)
        if part is None:
            part = xxhash.xxh3_64_intdigest(subject.encode()) % self.parts
        return part == self.part


class Chunk(NamedTuple):
    """A few events of a history, in log order.

    ``received`` has the log time of every one of them, ``records`` those of the share that is
    read, and ``places`` where these stand among all.
    """

    records: Sequence[Record]
    received: Sequence[int]
    places: Sequence[int]

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Chunk":
        """The chunk of these and no others."""
        return cls(records, [record.received for record in records], range(len(records)))


class History:
    """A history being read: iterate over it once for the records, or over its ``chunks``.

    ``skipped`` counts events without a subject, ``done`` is the fraction read so far, ``tick`` the
    log time at the end, known once all is read (none for an empty history), ``row`` the line or row
    that is being read. All these tell of the whole history, whatever the share.
    """

    def __init__(
        self, path: Path, lines: Iterable[bytes] | None = None, share: Share | None = None
    ) -> None:
        """Read ``path``, or ``lines`` as if they were its lines; of everybody, or of ``share``."""
        self.path = path
        self._lines = lines
        self._share = share or Share()
        self.skipped = 0
        self.done = 0.0
        self.tick: int | None = None
        self.row = 0

    def __iter__(self) -> Iterator[Sequence[Record]]:
        return (chunk.records for chunk in self.chunks())

    def chunks(self) -> Iterator[Chunk]:
        """The history by pieces, the same ones for every share. Raises ``UnreadableInput``."""
        if self._lines is not None:
            return self._by_lines(self._lines)
        if self.path.is_dir():
            return self._data_folder()
        if not self.path.is_file():
            raise UnreadableInput(f"{self.path}: no such file or folder")
        if self.path.suffix == ".parquet":
            return self._parquet()
        return self._ndjson()

    def _ndjson(self) -> Iterator[Chunk]:
        size = self.path.stat().st_size or 1
        with self.path.open("rb") as file:
            lines = gzip.GzipFile(fileobj=file) if self.path.suffix == ".gz" else file
            try:
                for chunk in self._by_lines(lines):
                    self.done = file.tell() / size
                    yield chunk
            except (OSError, EOFError, zlib.error) as error:
                raise UnreadableInput(f"{self.path}: cannot be read: {error}") from None
        self.done = 1.0

    def _by_lines(self, lines: Iterable[bytes]) -> Iterator[Chunk]:
        chunk = _Growing()
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            self.row = number
            place = f"{self.path}:{number}"
            try:
                line.decode()
                event = _cloud_event.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise UnreadableInput(f"{place}: not a CloudEvent: {error}") from None
            except RecursionError:
                raise UnreadableInput(f"{place}: not a CloudEvent: nested too deeply") from None
            self._add(chunk, place, event)
            if len(chunk.received) == CHUNK:
                yield chunk.whole()
                chunk = _Growing()
        if chunk.received:
            yield chunk.whole()

    def _add(self, chunk: "_Growing", place: str, event: CloudEvent | None) -> None:
        """Take one event, whatever is missing in it."""
        if event is None or not event.subject:
            self.skipped += 1
            return
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
        if self._share.owns(event.subject):
            chunk.places.append(len(chunk.received))
            chunk.records.append(
                Record(
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
            )
        chunk.received.append(received)

    def _parquet(self) -> Iterator[Chunk]:
        try:
            from forestall.decide.archive import Archive
        except ImportError:
            raise UnreadableInput(
                f"{self.path}: reading Parquet needs pyarrow; pip install pyarrow"
            ) from None
        owns = None if self._share.parts == 1 else self._share.owns
        for rows in Archive(self.path).batches(owns, CHUNK):
            columns = rows.regular(self.tick)
            if columns is None:
                chunk = self._one_by_one(rows.first, rows.events())
            else:
                self.skipped += columns.skipped
                chunk = Chunk(list(map(Record, *columns.fields)), columns.received, columns.places)
            self.done = rows.done
            if chunk.received:
                self.tick = chunk.received[-1]
                yield chunk

    def _one_by_one(self, first: int, events: Iterable[CloudEvent | None]) -> Chunk:
        chunk = _Growing()
        for self.row, event in enumerate(events, start=first):
            self._add(chunk, f"{self.path}: row {self.row}", event)
        return chunk.whole()

    def _data_folder(self) -> Iterator[Chunk]:
        path = self.path / "gateway.db"
        if not path.is_file():
            raise UnreadableInput(f"{self.path}: not a server's data folder: no gateway.db in it")
        log = SqliteLog(path, read_only=True)
        try:
            tick, last = self._share.end or (log.tick(), log.last(streams.SIGNALS))
            chunk = _Growing()
            for batch in log.follow(streams.SIGNALS):
                if batch.position > last:
                    break
                for record in streams.read_signals(batch):
                    if self._share.owns(record.subject):
                        chunk.places.append(len(chunk.received))
                        chunk.records.append(record)
                    chunk.received.append(record.received)
                self.done = batch.position / last
                self.tick = max(batch.received, tick)
                if len(chunk.received) >= CHUNK:
                    yield chunk.whole()
                    chunk = _Growing()
            if chunk.received:
                yield chunk.whole()
        finally:
            log.close()


def log_end(path: Path) -> tuple[int, int] | None:
    """The tick and the last batch of a data folder's log now, which may be growing; none of a file."""
    file = path / "gateway.db"
    if not file.is_file():
        return None
    log = SqliteLog(file, read_only=True)
    try:
        tick = log.tick()
        return tick, log.last(streams.SIGNALS)
    finally:
        log.close()


class _Growing:
    """A chunk that is being filled."""

    __slots__ = ("places", "received", "records")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.received = array("q")
        self.places = array("q")

    def whole(self) -> Chunk:
        return Chunk(self.records, self.received, self.places)


def deployed_controls(folder: Path) -> list[Control]:
    """The control stream of a server's data folder."""
    path = folder / "worker.db"
    if not path.is_file():
        raise UnreadableInput(f"{folder}: not a server's data folder: no worker.db in it")
    log = SqliteLog(path, read_only=True)
    try:
        return [
            record
            for batch in log.follow(streams.CONTROL)
            for record in streams.read_control(batch)
        ]
    finally:
        log.close()
