"""Archives: from the columns of a Parquet file to the fields of records, a column at a time.

Rows are read in batches, so memory does not grow with the file. A batch whose columns are as they
should be becomes lists, one a field of ``Record``, without a Python object for each row; any other
is told row by row as CloudEvents, which takes longer and names what is wrong.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec
import pyarrow
from pyarrow import ArrowException, DictionaryArray, ExtensionArray, compute, parquet, string, types

from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import EMPTY_DATA, CloudEvent
from forestall.contracts.instants import format_time, parse_time

COLUMNS: Final = (
    "id", "source", "type", "subject", "time", "received", "origin", "data", "traceparent",
)  # fmt: skip
"""The columns that are read, those of ``Record`` in its order."""

_FEW_VALUES: Final = ("source", "type", "origin")
_MOMENTS: Final = ("time", "received")
_BUFFER: Final = 1 << 20
_ORIGINS: Final = {"browser", "server"}
_FIRST = parse_time("0001-01-01T00:00:00Z")
_LAST = parse_time("9999-12-31T23:59:59.999999Z")
_MICROS: Final = pyarrow.timestamp("us", "UTC")
_BROKEN: Final = (ArrowException, OSError)
_RFC_3339: Final = r"^[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$"


class Columns(NamedTuple):
    """Regular rows. ``fields`` are those of ``Record``, of the rows whose subject is owned.

    ``received`` is that of every row with a subject, ``places`` the owned rows among these,
    ``skipped`` how many rows had no subject.
    """

    fields: tuple[Sequence[Any], ...]
    received: Sequence[int]
    places: Sequence[int]
    skipped: int


class _IrregularRows(Exception):
    """These rows have to be looked at one by one."""


class Archive:
    """A Parquet file of events. Raises ``UnreadableInput`` where it is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            metadata = parquet.read_metadata(path)
            self._names = metadata.schema.to_arrow_schema().names
            self._file = parquet.ParquetFile(
                path,
                metadata=metadata,
                read_dictionary=[name for name in _FEW_VALUES if name in self._names],
                buffer_size=_BUFFER,
                pre_buffer=False,  # it would hold on to all that was read until the end
            )
        except _BROKEN as error:
            raise UnreadableInput(f"{path}: not a Parquet file: {error}") from None
        self.rows: int = self._file.metadata.num_rows

    def batches(self, owns: Callable[[str], bool] | None, size: int) -> Iterator["Rows"]:
        """The rows, up to ``size`` at a time; ``owns`` says whose records are wanted, or all."""
        read = self._file.iter_batches(
            size, columns=[name for name in COLUMNS if name in self._names], use_threads=False
        )
        row = 0
        while True:
            try:
                batch = next(read, None)
            except _BROKEN as error:
                raise UnreadableInput(
                    f"{self._path}: broken after row {row}: {error}; write the file again"
                ) from None
            if batch is None:
                return
            first, row = row + 1, row + len(batch)
            yield Rows(self._path, first, batch, owns, row / self.rows)


class Rows:
    """A batch of rows; ``first`` is the number of its first, ``done`` the part of the file read."""

    def __init__(
        self, path: Path, first: int, batch: Any, owns: Callable[[str], bool] | None, done: float
    ) -> None:
        self.first = first
        self.done = done
        self._path = path
        self._place = f"{path}: rows {first} to {first + len(batch) - 1}"
        self._batch = batch
        self._owns = owns

    def regular(self, tick: int | None) -> Columns | None:
        """The rows as columns, none if they have to be taken one by one.

        ``tick`` is the log time before them, at which ``received`` starts.
        """
        try:
            return self._columns(tick)
        except (_IrregularRows, ArrowException, UnicodeDecodeError):
            return None

    def events(self) -> Iterator[CloudEvent | None]:
        """The rows as events, none for a row without a subject.

        Raises ``UnreadableInput`` at the first that is not as it should be.
        """
        try:
            columns = {name: _told(self._batch.column(name)) for name in self._batch.schema.names}
        except (ArrowException, ValueError, OverflowError) as error:
            raise UnreadableInput(f"{self._place}: {error}") from None
        for number in range(len(self._batch)):
            yield self._event(number, {name: told[number] for name, told in columns.items()})

    def _event(self, number: int, row: dict[str, Any]) -> CloudEvent | None:
        known = {name: value for name, value in row.items() if value}
        if "subject" not in known:
            return None
        data = known.pop("data", None)
        try:
            event = msgspec.convert(known, CloudEvent)
        except msgspec.ValidationError as error:
            raise UnreadableInput(
                f"{self._path}: row {self.first + number}: not a CloudEvent: {error}"
            ) from None
        if data is None:
            return event
        text = data.encode() if isinstance(data, str) else msgspec.json.encode(data)
        return msgspec.structs.replace(event, data=msgspec.Raw(text))

    def _columns(self, tick: int | None) -> Columns:
        batch, before = self._batch, len(self._batch)
        subjects = _column(batch, "subject")
        if subjects is None:
            return Columns(tuple(() for _ in COLUMNS), (), (), before)
        encoded = _strings(subjects).dictionary_encode()
        names = encoded.dictionary.to_pylist()
        if encoded.null_count or "" in names:
            named = compute.not_equal(encoded.dictionary, "").take(encoded.indices)
            batch, encoded = batch.filter(named), encoded.filter(named)
        if not len(batch):
            return Columns(tuple(() for _ in COLUMNS), (), (), before)
        time, received = _moments(batch)
        received = compute.cumulative_max(received, start=_FIRST if tick is None else tick)
        everywhere, skipped = received.to_pylist(), before - len(batch)
        places: Sequence[int] = range(len(batch))
        if self._owns is not None:
            owned = pyarrow.array(map(self._owns, names), pyarrow.bool_()).take(encoded.indices)
            places = compute.indices_nonzero(owned).to_pylist()
            batch, encoded = batch.filter(owned), encoded.filter(owned)
            time, received = time.filter(owned), received.filter(owned)
        fields = (
            _given(batch, "id"),
            _given(batch, "source"),
            _given(batch, "type"),
            list(map(names.__getitem__, encoded.indices.to_pylist())),
            time.to_pylist(),
            received.to_pylist(),
            _origins(batch),
            _data(batch),
            _traceparents(batch),
        )
        return Columns(fields, everywhere, places, skipped)


def _moments(batch: Any) -> tuple[Any, Any]:
    """``time`` and ``received`` in microseconds, the one standing in for the other."""
    time, received = (_instants(batch, name) for name in _MOMENTS)
    if time is None or received is None:
        time = received = received if time is None else time
    elif time.null_count or received.null_count:
        time, received = compute.coalesce(time, received), compute.coalesce(received, time)
    if time is None or time.null_count:
        raise _IrregularRows
    for column in (time, received):
        ends = compute.min_max(column).as_py()
        if ends["min"] < _FIRST or ends["max"] > _LAST:
            raise _IrregularRows
    return time, received


def _instants(batch: Any, name: str) -> Any:
    """A column of moments in microseconds; none where there is no such column."""
    column = _column(batch, name)
    if column is None:
        return None
    if not types.is_timestamp(column.type):
        column = _strings(column)
        if not compute.all(compute.match_substring_regex(column, _RFC_3339)).as_py():
            raise _IrregularRows
        column = column.cast(_MICROS)
    return _micros(column)


def _micros(column: Any) -> Any:
    """A column of timestamps as whole microseconds; what is finer is cut."""
    if column.type.unit == "ns":
        column = compute.floor_temporal(column, unit="microsecond")
    return column.cast(pyarrow.timestamp("us", column.type.tz)).cast(pyarrow.int64())


def _told(column: Any) -> list[Any]:
    """A column's values as JSON could have them."""
    column = _storage(column)
    if types.is_timestamp(column.type):
        return [None if at is None else format_time(at) for at in _micros(column).to_pylist()]
    if types.is_binary(column.type) or types.is_large_binary(column.type):
        column = column.cast(string())
    told: list[Any] = column.to_pylist()
    return told


def _column(batch: Any, name: str) -> Any:
    """The column of that name; none where there is none, or it holds nothing."""
    if name not in batch.schema.names:
        return None
    column = _storage(batch.column(name))
    return None if column.null_count == len(column) else column


def _storage(column: Any) -> Any:
    """The column without an extension type: JSON is text."""
    return column.storage if isinstance(column, ExtensionArray) else column


def _strings(column: Any) -> Any:
    """The column as plain strings, if that is what it holds."""
    if isinstance(column, DictionaryArray):
        column = column.dictionary_decode()
    if types.is_string(column.type) or types.is_large_string(column.type):
        return column
    if types.is_binary(column.type) or types.is_string_view(column.type):
        return column.cast(string())
    raise _IrregularRows


def _words(column: Any) -> list[str | None]:
    """The texts of a column; equal ones are one object where the column says what is equal."""
    coded = isinstance(column, DictionaryArray) and not column.null_count
    if coded and len(column.dictionary) <= len(column):
        words = _strings(column.dictionary).to_pylist()
        return list(map(words.__getitem__, column.indices.to_pylist()))
    found: list[str | None] = _strings(column).to_pylist()
    return found


def _given(batch: Any, name: str) -> list[str]:
    """The texts of a column that may not be empty."""
    column = _column(batch, name)
    words = [] if column is None else _words(column)
    if len(words) != len(batch) or not all(words):
        raise _IrregularRows
    return cast(list[str], words)


def _origins(batch: Any) -> Sequence[str]:
    column = _column(batch, "origin")
    if column is None:
        return ["server"] * len(batch)
    origins = _words(column)
    if not all(origins):
        origins = [word or "server" for word in origins]
    if not _ORIGINS.issuperset(origins):
        raise _IrregularRows
    return cast(list[str], origins)


def _data(batch: Any) -> Sequence[msgspec.Raw]:
    column = _column(batch, "data")
    if column is None:
        return [EMPTY_DATA] * len(batch)
    return [msgspec.Raw(word) if word else EMPTY_DATA for word in _words(column)]


def _traceparents(batch: Any) -> Sequence[str | None]:
    column = _column(batch, "traceparent")
    return [None] * len(batch) if column is None else [word or None for word in _words(column)]
