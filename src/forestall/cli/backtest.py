"""``forestall backtest``: what policies would have decided over a history, and what it adds up to."""

import gc
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import typer

from forestall.cli.deployment import ConfigOption, settings_for
from forestall.cli.durations import SessionGap, span
from forestall.contracts.control import Control, SwitchesApplied
from forestall.contracts.errors import UnreadableInput
from forestall.decide.backtest import BEGINNING, opening
from forestall.decide.evidence import Facts
from forestall.decide.history import deployed_controls
from forestall.decide.parallel import Part, Work, decide, worthwhile
from forestall.kernel.clock import monotonic
from forestall.kernel.settings import Settings
from forestall.measure.outcomes import Outcomes
from forestall.policy.deployment import load_bundle

STANDARD_OUTPUT = Path("-")


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
    report: Annotated[
        Path | None,
        typer.Option(help="Write a page with plots (HTML, one file) that tells everything."),
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="The event that interventions should spare the customer, such as "
            "forestall.ticket.opened: adds precision, recall and lead time.",
        ),
    ] = None,
    horizon: Annotated[
        int,
        span("How long after an intervention the outcome still counts as foreseen."),
    ] = "7d",  # type: ignore[assignment]
    session_gap: SessionGap = "30m",  # type: ignore[assignment]
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Resampling for the intervals starts here.")
    ] = 0,
    as_deployed: Annotated[
        bool,
        typer.Option(
            help="Obey the data folder's own control stream: the versions, settings and "
            "switches that were in force at each moment."
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            show_default="one a core, fewer for a short history",
            help="How many processes decide; the answer is the same, byte for byte.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Show what policies would have decided over a history, and what that adds up to.

    The very engine that decides live runs over the events, in log time, so the answer is exact.
    """
    if len(paths) != 2 and not (as_deployed and len(paths) == 1):
        raise typer.BadParameter("give POLICIES and EVENTS (only EVENTS with --as-deployed)")
    if as_deployed:
        controls = deployed_controls(paths[-1])
    else:
        controls = _controls(paths[0], settings_for(config))
    work = Work(
        path=paths[-1],
        controls=tuple(controls),
        gap=session_gap,
        outcome=outcome,
        horizon=horizon,
        lines=out is not None,
    )
    gc.disable()
    started = monotonic()
    with ExitStack() as stack:
        sink = _sink(out, stack)
        page = _sink(report, stack)
        advance = _progress(stack)

        def take(part: Part) -> None:
            if sink is not None:
                sink.writelines(line.text for line in part.lines)
            advance(part.done)

        found = decide(work, jobs or worthwhile(work.path), take)
        facts = found.tally.facts()
        followed = None if found.followed is None else found.followed.result(found.tick or 0, seed)
        if page is not None:
            from forestall.console.report import render

            told = _about(found.counters, found.skipped, monotonic() - started)
            page.write(render(facts, followed, told, work.path.name).encode())
    if STANDARD_OUTPUT in (out, report):
        return
    if as_json:
        counted = {"events": found.counters["records"], "skipped": found.skipped}
        typer.echo(_as_json({**counted, **found.counters}, facts, followed))
    else:
        from rich.console import Console

        from forestall.cli.summary import show

        seconds = monotonic() - started
        show(Console(), facts, followed)
        Console().print(_about(found.counters, found.skipped, seconds), soft_wrap=True)


def _about(counters: Mapping[str, int], skipped: int, seconds: float) -> str:
    """One line: how much was read, how long it took, and what was left aside."""
    aside = [
        f"; {count:,} {text}"
        for count, text in (
            (skipped, "without a subject (skipped)"),
            (counters["late"], "late"),
            (counters["duplicate"], "duplicates"),
            (counters["control_ignored"], "control events without their field (ignored)"),
            (counters["expression_errors"], "conditions that could not be evaluated"),
        )
        if count
    ]
    return f"{counters['records']:,} events in {seconds:.1f} s" + "".join(aside)


def _as_json(counted: Mapping[str, int], facts: Facts, outcomes: Outcomes | None) -> str:
    """Everything in one object; ``outcome`` only where one was asked for."""
    told: dict[str, Any] = {**counted, **msgspec.structs.asdict(facts)}
    told["decisions"] = told.pop("counts")
    if outcomes is not None:
        told["outcome"] = outcomes
    return msgspec.json.encode(told).decode()


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
    if out == STANDARD_OUTPUT:
        return typer.get_binary_stream("stdout")
    try:
        return stack.enter_context(out.open("wb"))
    except OSError as error:
        raise UnreadableInput(f"{out}: cannot be written: {error.strerror}") from None


def _progress(stack: ExitStack) -> Callable[[float], None]:
    """What shows how far it has come; its thread starts with the first part, after the processes."""
    if not sys.stderr.isatty():
        return lambda _: None
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("deciding"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    stack.callback(progress.stop)
    task = progress.add_task("deciding", total=1.0)

    def advance(done: float) -> None:
        progress.start()
        progress.update(task, completed=done)

    return advance
