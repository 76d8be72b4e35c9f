"""What ``forestall report`` prints."""

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from forestall.cli.tables import print_table
from forestall.measure import wording
from forestall.measure.findings import Experiment, Report


def show(console: Console, report: Report) -> None:
    """Print everything; newest terms in full, earlier ones in a sentence."""
    what, span = wording.noun(report), wording.horizon(report)
    each = "account" if report.unit == "account" else "customer"
    console.print(
        f"[bold]What help changed[/bold]: {escape(what)} within {span} after entry, counted by {each}"
    )
    console.print(
        f"{report.events:,} events, {report.decisions:,} decisions, {report.customers:,} customers,"
        f" up to {report.now[:16].replace('T', ' ')} UTC",
        style="dim",
        highlight=False,
    )
    current = wording.current(report)
    measured = sum(one.figures is not None for one in current)
    if measured and len(current) > 1:
        print_table(_short(current, report))
    for one in current:
        _show(console, one, report)
    console.print()
    for one in report.experiments:
        if not one.current:
            told = f"Earlier, {wording.against(one)}: {wording.verdict(one, report)}"
            _say(console, f"{wording.title(one)}. {told}")
    for told in filter(None, [wording.without(report)]):
        _say(console, told)
    for caveat in report.caveats if measured else ():
        _say(console, caveat, style="dim")


def _short(current: list[Experiment], report: Report) -> Table:
    """One line for each experiment."""
    table = Table(f"{escape(wording.noun(report))} per 1,000 customers", box=box.SIMPLE)
    for name in ("difference", "95 % interval", "relative"):
        table.add_column(name, justify="right")
    for one in current:
        row = None if one.figures is None else next(wording.rows(one.figures, report))
        if row is None:
            why = "" if one.refused is None else one.refused.code
            table.add_row(escape(wording.title(one)), "no number", why)
        else:
            cells = (row.difference, row.interval, row.relative)
            table.add_row(escape(wording.title(one)), *cells)
    return table


def _show(console: Console, one: Experiment, report: Report) -> None:
    console.print()
    console.print(
        f"[bold]{escape(wording.title(one))}[/bold] {escape(wording.against(one))}", highlight=False
    )
    _say(console, wording.verdict(one, report), style="bold")
    if one.refused is not None and one.refused.what:
        _say(console, one.refused.what)
    if one.figures is not None:
        _say(console, wording.displacement(one, report))
        print_table(_table(one, report))
        _say(console, wording.adjustment(one.figures, report))
        if one.wanted:
            _say(console, one.wanted)
    for note in wording.notes(one):
        _say(console, note, style="dim")


def _table(one: Experiment, report: Report) -> Table:
    table = Table("", box=box.SIMPLE, pad_edge=True)
    for name in (*wording.ARMS, "difference", "95 % interval", "relative"):
        table.add_column(name, justify="right")
    table.add_row("customers", f"{one.counted.offered:,}", f"{one.counted.aside:,}")
    remarks = []
    assert one.figures is not None  # noqa: S101
    for row in wording.rows(one.figures, report):
        if row.remark:
            remarks.append(row)
        else:
            cells = (row.offered, row.aside, row.difference, row.interval, row.relative)
            table.add_row(escape(row.label), *cells)
    if remarks:
        table.caption = "Not told: " + "; ".join(escape(row.label) for row in remarks) + "."
        table.caption_justify = "left"
    return table


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Padding(escape(text), (0, 0, 0, 2)), style=style, highlight=False)
