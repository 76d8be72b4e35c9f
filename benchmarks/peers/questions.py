"""What is asked, derived from the workload's policies, and the file that everybody reads.

A question is a policy without its gates: every completed pattern is an answer, named by the policy
and the last event that was matched. The file is the workload without what the peers have other
rules for: duplicates, events out of order, late or in the future.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import workload
from forestall.contracts.event import Record, decode_data
from forestall.contracts.instants import format_time
from forestall.log.streams import signals
from forestall.policy.bundle import Bundle, load_folder

HERE = Path(__file__).parent
MILLISECOND = 1_000

FIRST = 1_000_000_000
"""The number of the first event; the others count on, so that all have as many digits."""

BATCH = 100
"""Records in one batch of our log."""

COLUMNS: dict[str, str] = {
    "amount": "double",
    "rows": "int",
    "results": "int",
    "status": "int",
    "seconds": "double",
    "ms": "double",
    **dict.fromkeys(
        (
            "order_id", "reason", "plan", "job", "format", "state", "path", "query", "workspace",
            "step", "endpoint", "document", "result", "device", "integration",
        ),
        "text",
    ),
}  # fmt: skip
"""The fields of ``data`` that the questions read, and what the peers' files hold them as."""


def questions(restated: str) -> Bundle:
    """The workload's 20 policies, with those that the file ``restated`` holds in its words."""
    theirs = {policy.name: policy for policy in workload.bundle().policies}
    ours = {policy.name: policy for policy in load_folder(HERE / restated).policies}
    if unknown := ours.keys() - theirs.keys():
        raise ValueError(f"{restated} restates what the workload does not ask: {sorted(unknown)}")
    return Bundle(policies=tuple((theirs | ours)[name] for name in sorted(theirs)))


def level(records: Iterable[Record]) -> Iterator[Record]:
    """Each event once, numbered, in the order of its time: whole milliseconds, no two the same."""
    known: set[str] = set()
    last = 0
    for record in records:
        if record.id in known:
            continue
        known.add(record.id)
        last = max(record.received // MILLISECOND, last + 1)
        yield msgspec.structs.replace(
            record,
            id=str(FIRST + len(known) - 1),
            time=last * MILLISECOND,
            received=last * MILLISECOND,
        )


def row(record: Record) -> dict[str, Any]:
    """The event as the peers read it: one column for each field that a question needs."""
    data = decode_data(record.data)
    values: dict[str, Any] = {
        "seq": int(record.id),
        "happened": record.time // MILLISECOND,
        "type": record.type,
        "subject": record.subject,
    }
    return values | {name: data.get(name) for name in COLUMNS}


def whole(record: Record) -> dict[str, Any]:
    """The event with all that it has, flat; of two fields of one name that of the envelope."""
    return {
        **decode_data(record.data),
        "seq": int(record.id),
        "happened": format_time(record.time),
        "type": record.type,
        "subject": record.subject,
        "source": record.source,
        "origin": record.origin,
        "received": format_time(record.received),
    }


def write(folder: Path, count: int) -> None:
    """Write ``count`` events in four files of ``folder``, unless they are there.

    ``events.log`` holds what our gateway writes, one batch a line; ``events.json`` the same events
    whole, one flat object a line. ``events.csv``, without a header and with empty fields for null,
    and ``events.parquet`` hold the columns of ``row`` alone.
    """
    if (folder / "complete").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    import pyarrow
    from pyarrow import csv, parquet

    arrow = {
        "text": pyarrow.string(),
        "int": pyarrow.int64(),
        "double": pyarrow.float64(),
    }
    schema = pyarrow.schema(
        [
            ("seq", pyarrow.int64()),
            ("happened", pyarrow.timestamp("ms")),
            ("type", pyarrow.string()),
            ("subject", pyarrow.string()),
            *((name, arrow[kind]) for name, kind in COLUMNS.items()),
        ]
    )
    plain = pyarrow.schema(
        [
            field.with_type(pyarrow.int64()) if field.name == "happened" else field
            for field in schema
        ]
    )
    with (
        (folder / "events.log").open("wb") as log,
        (folder / "events.json").open("wb") as lines,
        csv.CSVWriter(
            folder / "events.csv",
            plain,
            write_options=csv.WriteOptions(include_header=False, quoting_style="none"),
        ) as text,
        parquet.ParquetWriter(folder / "events.parquet", schema, compression="zstd") as columns,
    ):
        for block in _blocks(count):
            for start in range(0, len(block), BATCH):
                log.write(bytes(signals(block[start : start + BATCH]).payload) + b"\n")
            lines.writelines(msgspec.json.encode(whole(record)) + b"\n" for record in block)
            table = pyarrow.Table.from_pylist([row(record) for record in block], plain)
            text.write_table(table)
            columns.write_table(table.cast(schema))
    (folder / "complete").touch()


def _blocks(count: int) -> Iterator[Sequence[Record]]:
    """The first ``count`` events, in lists of up to ``workload.BLOCK``."""
    wanted = level(workload.records(count + count // 50 + 1_000))
    block: list[Record] = []
    for number, record in enumerate(wanted, 1):
        block.append(record)
        if number == count or len(block) == workload.BLOCK:
            yield block
            block = []
        if number == count:
            return
