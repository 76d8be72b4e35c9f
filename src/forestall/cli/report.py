"""``forestall report``: what help changed, with its interval, or why nobody can say."""

import gc
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from forestall.cli.deployment import ConfigOption, data_for
from forestall.cli.durations import SessionGap, span
from forestall.cli.writing import write
from forestall.contracts.instants import parse_time
from forestall.measure.reading import Folder
from forestall.measure.trails import TICKET


def _moment(text: str) -> int:
    try:
        return parse_time(text if "T" in text else f"{text}T00:00:00Z")
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a day such as 2024-05-01 nor a time such as 2024-05-01T12:00:00Z"
        ) from None


def report(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="A server's data folder; the one the settings name.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    policy: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this policy, against its own holdout.")
    ] = None,
    outcome: Annotated[
        str, typer.Option(metavar="TYPE", help="The event that help should spare the customer.")
    ] = TICKET,
    horizon: Annotated[
        int,
        span("How long after a customer's entry outcomes count."),
    ] = "7d",  # type: ignore[assignment]
    before: Annotated[
        int,
        span("How far back the time before the entry goes, by which the difference is adjusted."),
    ] = "28d",  # type: ignore[assignment]
    unit: Annotated[
        Literal["subject", "account"],
        typer.Option(help="Count by customer, or by all customers with the same trait `account`."),
    ] = "subject",
    since: Annotated[
        int | None,
        typer.Option(
            parser=_moment,
            metavar="TIME",
            help="Only customers who entered from then on: a day or an RFC 3339 time, UTC.",
        ),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(parser=_moment, metavar="TIME", help="Only those who entered before then."),
    ] = None,
    session_gap: SessionGap = "30m",  # type: ignore[assignment]
    cost_ticket: Annotated[
        float | None, typer.Option(min=0, help="What an outcome costs: adds cost.")
    ] = None,
    cost_intervention: Annotated[
        float, typer.Option(min=0, help="What an intervention costs, where outcomes have a cost.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page with plots (HTML, one file) that tells everything."),
    ] = None,
) -> None:
    """Say what help changed: tickets spared, with a 95 % interval, by the holdouts of a deployment.

    Where the data cannot carry a number none is printed, but what would carry it. Exits with 1 where
    there is no number at all.
    """
    from forestall.cli import report_text
    from forestall.console.effect_page import render
    from forestall.measure import findings
    from forestall.measure.cohorts import Question
    from forestall.measure.report import report as made
    from forestall.measure.terms import plan_of
    from forestall.measure.trails import Trails

    if not outcome:
        raise typer.BadParameter("--outcome: name an event type")
    if since is not None and until is not None and since >= until:
        raise typer.BadParameter("--since has to be before --until")
    gc.disable()
    path = data_for(data, config)
    folder = Folder(path)
    try:
        with ExitStack() as stack:
            trails = Trails(outcome, session_gap)
            trails.take(folder.happenings(), _progress(folder.now, stack))
        question = Question(
            horizon=horizon,
            now=folder.now,
            before=before,
            since=since,
            until=until,
            unit=unit,
            gap=session_gap,
        )
        plan = plan_of(folder.controls())
    finally:
        folder.close()
    money = None if cost_ticket is None else findings.Money(cost_ticket, cost_intervention)
    found = made(trails, plan, question, policy, money)
    if html is not None:
        write(html, render(found, path.resolve().parent.name).encode())
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        report_text.show(Console(), found)
    if all(one.refused is not None for one in found.experiments):
        raise typer.Exit(1)


def _progress(now: int, stack: ExitStack) -> Callable[[int], None] | None:
    """Shows how much of the log has been read, on a terminal only."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    columns = (TextColumn("reading"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    progress = stack.enter_context(Progress(*columns, console=console, transient=True))
    task = progress.add_task("reading", total=None)
    first: list[int] = []

    def told(at: int) -> None:
        if not first:
            first.append(at)
        progress.update(task, total=max(now - first[0], 1), completed=at - first[0])

    return told
