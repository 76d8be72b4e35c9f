"""``forestall log``: what came in and what was decided, as the data folder holds it."""

import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from forestall.cli.deployment import ConfigOption, DataOption, data_for, tables_for
from forestall.cli.tables import print_table
from forestall.contracts.control import (
    Control,
    FlagsApplied,
    ModelsApplied,
    PoliciesApplied,
    ServiceState,
    SettingsApplied,
    SwitchesApplied,
)
from forestall.contracts.decision import Decided
from forestall.contracts.event import CloudEvent, Record
from forestall.contracts.instants import format_time
from forestall.intervene.store import Store, StoreMissing
from forestall.log import streams
from forestall.log.port import Batch, LogMissing
from forestall.log.sqlite import SqliteLog, Summary

app = typer.Typer(
    help="Look into the log: what came in, what was decided, and how far each stage is.",
    no_args_is_help=True,
)

POLL = 0.2
"""Seconds between looks for new batches under ``--follow``."""

Item = Record | Decided | Control
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Stream(StrEnum):
    """The streams of a data folder."""

    SIGNALS = streams.SIGNALS
    DECISIONS = streams.DECISIONS
    CONTROL = streams.CONTROL


class FileStats(msgspec.Struct, frozen=True):
    """What one file holds; ``log`` is null for app.db, which holds no streams."""

    file: str
    cursors: dict[str, int]
    log: Summary | None = None


@app.command()
def tail(
    stream: Annotated[Stream, typer.Option(help="Which stream.")] = Stream.SIGNALS,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=0, max=100_000, help="How many of the newest.")
    ] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Print the newest entries of a stream, oldest first, one a line.

    With --json each line is an object: a CloudEvent, as a history for `forestall backtest` holds
    it, a decision, or a control record.
    """
    folder = data_for(data, config)
    name = "gateway.db" if stream is Stream.SIGNALS else "worker.db"
    log = SqliteLog(folder / name, read_only=True)
    try:
        position = log.last(stream)
        for item in _newest(log, stream, position, lines):
            typer.echo(_line(item, as_json))
        if follow:
            for item in _coming(log, stream, position):
                typer.echo(_line(item, as_json))
    except KeyboardInterrupt:
        raise typer.Exit from None
    finally:
        log.close()


@app.command()
def stats(data: DataOption = None, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Show what each file holds: batches, items, first and last time, bytes, and cursors.

    A cursor says up to which batch, or to which moment, a stage has come. Exit code 2 when there is no log at all.
    """
    folder = data_for(data, config)
    found = [*_of_logs(folder), *_of_app(tables_for(data, config))]
    if not found:
        raise LogMissing(f"{folder}: there is no log here; start `forestall serve` first")
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    for one in found:
        if one.log is not None:
            print_table(_table(one.file, one.log))
        cursors = ", ".join(f"{name} {_reached(name, at)}" for name, at in one.cursors.items())
        typer.echo(f"{one.file}: cursors: {cursors or 'none'}\n")


def _reached(name: str, position: int) -> str:
    """A batch by its number; the worker's tick, a moment in log time, as one."""
    from forestall.decide.stage import TICKED  # the engine, which `tail` does without

    return format_time(position) if name == TICKED else f"{position:,}"


def _of_logs(folder: Path) -> Iterator[FileStats]:
    for name in ("gateway.db", "worker.db"):
        try:
            log = SqliteLog(folder / name, read_only=True)
        except LogMissing:
            continue
        try:
            summary = log.summary()
        finally:
            log.close()
        yield FileStats(name, summary.cursors, summary)


def _of_app(tables: Path | str) -> Iterator[FileStats]:
    try:
        store = Store(tables, read_only=True)
    except StoreMissing:
        return
    try:
        read = (streams.SIGNALS, streams.DECISIONS)
        yield FileStats(
            "app.db" if isinstance(tables, Path) else "PostgreSQL",
            {name: store.cursor(name) for name in read},
        )
    finally:
        store.close()


def _table(file: str, summary: Summary) -> Table:
    table = Table("stream", title=file, title_justify="left", box=None)
    for heading in ("batches", "items", "bytes"):
        table.add_column(heading, justify="right")
    table.add_column("first")
    table.add_column("last")
    for one in summary.streams:
        numbers = (f"{number:,}" for number in (one.batches, one.items, one.bytes))
        table.add_row(one.stream, *numbers, format_time(one.first), format_time(one.last))
    return table


def _newest(log: SqliteLog, stream: Stream, last: int, wanted: int) -> Sequence[Item]:
    """The last ``wanted`` items up to the batch ``last``, in order."""
    items: list[Item] = []
    for position in range(last, 0, -1):
        if len(items) >= wanted:
            break
        (batch,) = log.read(stream, after=position - 1, limit=1)
        items = [*_items(stream, batch), *items]
    return items[max(0, len(items) - wanted) :]


def _coming(log: SqliteLog, stream: Stream, after: int) -> Iterator[Item]:
    """What is appended after the batch ``after``, for ever."""
    seen = -1
    while True:
        version = log.version()
        if version == seen:
            time.sleep(POLL)
            continue
        seen = version
        for batch in log.follow(stream, after=after):
            after = batch.position
            yield from _items(stream, batch)


def _items(stream: Stream, batch: Batch) -> Sequence[Item]:
    if stream is Stream.SIGNALS:
        return streams.read_signals(batch)
    if stream is Stream.DECISIONS:
        return streams.read_decisions(batch)
    return streams.read_control(batch)


def _line(item: Item, as_json: bool) -> str:
    text = msgspec.json.encode(_plain(item)).decode() if as_json else "  ".join(_words(item))
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _plain(item: Item) -> Any:
    """What JSON output shows of an item."""
    if isinstance(item, Decided):
        return item.decision
    if not isinstance(item, Record):
        return item
    return CloudEvent(
        id=item.id,
        source=item.source,
        type=item.type,
        subject=item.subject,
        time=format_time(item.time),
        received=format_time(item.received),
        origin=item.origin,
        traceparent=item.traceparent,
        data=item.data,
    )


def _words(item: Item) -> list[str]:
    """What people read of an item."""
    if isinstance(item, Record):
        data = bytes(item.data).decode()
        return [format_time(item.received), item.type, item.subject, item.origin, data]
    if isinstance(item, Decided):
        made = item.decision
        verdict = made.outcome if made.reason is None else f"{made.outcome} ({made.reason})"
        return [made.at, made.policy, made.subject, verdict, made.explanation]
    return [format_time(item.received), *_control_words(item)]


def _control_words(item: Control) -> list[str]:
    if isinstance(item, PoliciesApplied):
        names = ", ".join(f"{one.name}@{one.version[:12]} ({one.mode})" for one in item.policies)
        return ["policies", names or "none", f"by {item.by}", item.why]
    if isinstance(item, SettingsApplied):
        return ["settings", msgspec.json.encode(item.settings).decode(), f"by {item.by}", item.why]
    if isinstance(item, SwitchesApplied):
        off = "everything" if item.everything_off else ", ".join(item.off) or "nothing"
        return ["switches", f"off: {off}", f"by {item.by}", item.why]
    if isinstance(item, ServiceState):
        return ["service", item.service, msgspec.json.encode(item.state).decode()]
    if isinstance(item, ModelsApplied):
        models = ", ".join(f"{one.name}@{one.version[:12]} ({one.mode})" for one in item.models)
        return ["models", models or "none", f"by {item.by}", item.why]
    if isinstance(item, FlagsApplied):
        return ["flags", msgspec.json.encode(item.flags).decode(), f"by {item.by}", item.why]
    change = f"{item.artifact} {item.name}@{item.version[:12]}: {item.before} to {item.after}"
    return ["transition", change, f"by {item.by}", item.why]
