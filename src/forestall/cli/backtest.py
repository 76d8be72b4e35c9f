"""``forestall backtest``: what policies would have decided over a history."""

import gc
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from forestall.cli.deployment import ConfigOption, settings_for
from forestall.contracts.control import Control, SwitchesApplied
from forestall.contracts.errors import UnreadableInput
from forestall.decide.backtest import BEGINNING, Summary, opening
from forestall.decide.backtest import backtest as run
from forestall.decide.engine import Engine
from forestall.decide.history import History, deployed_controls
from forestall.kernel.clock import monotonic
from forestall.kernel.settings import Settings
from forestall.policy.deployment import load_bundle


def backtest(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="POLICIES EVENTS",
            help="A policy file or folder, then the history: NDJSON of CloudEvents, a .parquet "
            "archive, or a server's data folder. With --as-deployed only the data folder.",
        ),
    ],
    config: ConfigOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write one decision a line (JSON) to this file; - is stdout."),
    ] = None,
    as_deployed: Annotated[
        bool,
        typer.Option(
            help="Obey the data folder's own control stream: the versions, settings and "
            "switches that were in force at each moment."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Show what policies would have decided over a history.

    The very engine that decides live runs over the events, in log time, so the answer is exact.
    """
    if len(paths) != 2 and not (as_deployed and len(paths) == 1):
        raise typer.BadParameter("give POLICIES and EVENTS (only EVENTS with --as-deployed)")
    events = paths[-1]
    history = History(events)
    if as_deployed:
        controls = deployed_controls(events)
    else:
        controls = _controls(paths[0], settings_for(config))
    summary = Summary()
    engine = Engine()
    gc.disable()
    started = monotonic()
    with ExitStack() as stack:
        sink = _sink(out, stack)
        advance = _progress(history, stack)
        for decisions in run(controls, history, engine):
            summary.add(decisions)
            if sink is not None and decisions:
                sink.writelines(msgspec.json.encode(one) + b"\n" for one in decisions)
            advance()
    _report(summary, engine, history, monotonic() - started, as_json, quiet=out == Path("-"))


def _controls(policies: Path, settings: Settings) -> list[Control]:
    switches = SwitchesApplied(
        BEGINNING,
        settings.switches.off,
        settings.switches.everything_off,
        "backtest",
        "from the beginning",
    )
    return [*opening(load_bundle(policies, settings), settings.decide), switches]


def _sink(out: Path | None, stack: ExitStack) -> BinaryIO | None:
    if out is None:
        return None
    if out == Path("-"):
        return typer.get_binary_stream("stdout")
    try:
        return stack.enter_context(out.open("wb"))
    except OSError as error:
        raise UnreadableInput(f"{out}: cannot be written: {error.strerror}") from None


def _progress(history: History, stack: ExitStack) -> Callable[[], None]:
    console = Console(stderr=True)
    if not console.is_terminal:
        return lambda: None
    columns = (
        TextColumn("deciding"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    progress = stack.enter_context(Progress(*columns, console=console, transient=True))
    task = progress.add_task("deciding", total=1.0)
    return lambda: progress.update(task, completed=history.done)


def _report(
    summary: Summary,
    engine: Engine,
    history: History,
    seconds: float,
    as_json: bool,
    *,
    quiet: bool,
) -> None:
    if quiet:
        return
    read = engine.counters["records"]
    if as_json:
        rows = [
            {"policy": policy, "outcome": outcome, "reason": reason or None, "decisions": count}
            for (policy, outcome, reason), count in sorted(summary.decisions.items())
        ]
        facts = {"events": read, "skipped": history.skipped, **engine.counters, "decisions": rows}
        typer.echo(msgspec.json.encode(facts).decode())
        return
    table = Table("policy", "outcome", "reason", title="Decisions", title_justify="left")
    table.add_column("decisions", justify="right")
    for (policy, outcome, reason), count in sorted(summary.decisions.items()):
        table.add_row(policy, outcome, reason, f"{count:,}")
    console = Console()
    if summary.decisions:
        console.print(table)
    else:
        console.print("No decisions.")
    aside = [
        f"{count:,} {text}"
        for count, text in (
            (history.skipped, "without a subject (skipped)"),
            (engine.counters["late"], "late"),
            (engine.counters["duplicate"], "duplicates"),
            (engine.counters["control_ignored"], "control events without their field (ignored)"),
            (engine.counters["expression_errors"], "conditions that could not be evaluated"),
        )
        if count
    ]
    console.print(f"{read:,} events in {seconds:.1f} s" + "".join(f"; {text}" for text in aside))
