"""``forestall monitor``: what has drifted, and which streams do not come as they used to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from forestall.cli.deployment import ConfigOption, DataArgument, data_for, settings_for
from forestall.cli.durations import duration, span
from forestall.cli.tables import print_table
from forestall.contracts.catalogue import load_catalogue
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.event import Record
from forestall.measure.reading import Folder

if TYPE_CHECKING:
    from forestall.measure.claims import Calibration
    from forestall.measure.drift import Rate, Shift
    from forestall.measure.stream_checks import Finding
    from forestall.measure.thresholds import Proposal


def monitor(
    data: DataArgument = None,
    config: ConfigOption = None,
    window: Annotated[
        int,
        span("How much of the log, up to now, is compared with an earlier part as long."),
    ] = "7d",  # type: ignore[assignment]
    ago: Annotated[
        int | None,
        typer.Option(
            parser=duration,
            metavar="DURATION",
            show_default="the window",
            help="How long ago that earlier part ended.",
        ),
    ] = None,
    pulse: Annotated[
        int,
        span("The stretch in which streams are counted; the last is compared with the 28 before."),
    ] = "1d",  # type: ignore[assignment]
    outcome: Annotated[
        str, typer.Option(metavar="TYPE", help="The event whose rate is watched.")
    ] = "forestall.ticket.opened",
    horizon: Annotated[
        int,
        span("How long after a visit or a match it counts."),
    ] = "1d",  # type: ignore[assignment]
    trait: Annotated[
        list[str] | None,
        typer.Option(
            help="Judge models for each value of this trait too; may be repeated.",
            show_default="those of [fairness] traits",
        ),
    ] = None,
    alpha: Annotated[
        float,
        typer.Option(
            min=1e-6, max=0.5, help="The false alarm rate of each of the three parts of a run."
        ),
    ] = 0.01,
    propose: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write thresholds that make up for a model's drift into this thresholds.yaml, for "
            "review and `forestall apply`; nothing changes before that.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look for drift in a server's log: models, customers, outcomes, streams.

    Exit code 1 with any alarm. It only reads, and applies nothing.
    """
    from forestall.measure import claims, drift, stream_checks, thresholds

    if ago is not None and ago < window:
        raise typer.BadParameter("--ago must not be shorter than --window: they would overlap")
    settings = settings_for(config)
    catalogue = load_catalogue(settings.contracts)
    folder = Folder(data_for(data, config))
    try:
        controls = folder.controls()
        now = folder.now
        models = claims.Claims(claims.asked_of(controls), trait or settings.fairness.traits, alpha)
        spans = drift.Spans(now=now, window=window, ago=ago or window, horizon=horizon)
        people = drift.Watch(spans, outcome, alpha)
        streams = stream_checks.Streams(
            catalogue, stream_checks.Pulse(now=now, length=pulse), alpha
        )
        for one in folder.happenings():
            models.take(one)
            people.take(one)
            if isinstance(one, Record):
                streams.take(one)
    finally:
        folder.close()
    calibration, drifted, checks = models.result(now), people.result(), streams.result()
    proposed = thresholds.proposals(calibration, models.watched, thresholds.in_force(controls))
    if propose is not None and proposed:
        _write(propose, proposed)
    parts = (calibration, drifted.population, drifted.outcomes, checks)
    alarms = sum(sum(one.alarm for one in part) for part in parts)
    if as_json:
        told = {
            "alarms": alarms,
            "alpha": alpha,
            "calibration": calibration,
            "population": drifted.population,
            "outcomes": drifted.outcomes,
            "streams": checks,
            "proposed": proposed,
        }
        typer.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
    else:
        _print_models(calibration)
        _print_people(drifted.population, drifted.outcomes)
        _print_streams(checks)
        _print_proposed(proposed, propose)
        typer.echo("No alarm." if not alarms else f"{alarms} alarm{'s' * (alarms > 1)}.")
    if alarms:
        raise typer.Exit(1)


def _write(file: Path, proposed: "list[Proposal]") -> None:
    from forestall.measure.thresholds import written

    try:
        text = file.read_text() if file.exists() else ""
        file.write_text(written(text, proposed))
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"{file}: cannot be written: {error}") from None


def _print_models(found: "tuple[Calibration, ...]") -> None:
    if not found:
        typer.echo("Models: none said anything of decisions that caused nothing.")
        return
    table = _table("model", "policy", "segment", "decisions", "said", "happened", "")
    for one in found:
        verdict = "" if one.enough else "too few to tell"
        _row(
            table,
            f"{one.model} {one.version[:8]}",
            one.policy,
            one.segment,
            f"{one.decisions:,}",
            f"{one.said:.3f}",
            f"{one.happened:.3f}",
            "ALARM" if one.alarm else verdict,
        )
    print_table(table)


def _print_people(shifts: "tuple[Shift, ...]", rates: "tuple[Rate, ...]") -> None:
    table = _table("policy", "what", "before", "now", "chance", "")
    for rate in rates:
        before, now = (f"{part:,} of {whole:,}" for part, whole in (rate.reference, rate.now))
        name = "everybody" if rate.policy == "*" else rate.policy
        _row(table, name, rate.outcome, before, now, *_judged(rate))
    for shift in shifts:
        index = "" if shift.index is None else f" (index {shift.index:.2f})"
        _row(
            table,
            shift.policy,
            f"feature {shift.feature}{index}",
            f"{shift.reference:,}",
            f"{shift.now:,}",
            *_judged(shift),
        )
    if table.row_count:
        print_table(table)
    else:
        typer.echo("Customers: nothing happened in the window or before it.")


def _judged(one: "Rate | Shift") -> tuple[str, str]:
    if one.chance is None:
        return "", "too few to tell"
    return f"{one.chance:.2g}", "ALARM" if one.alarm else ""


def _print_streams(found: "tuple[Finding, ...]") -> None:
    alarms = [one for one in found if one.alarm]
    if not alarms:
        typer.echo(f"Streams: {len(found):,} checks, none of them an alarm.")
        return
    table = _table("stream", "owner", "check", "what", "")
    for one in alarms:
        _row(table, one.type, one.owner, one.check, one.text, "ALARM")
    print_table(table)


def _print_proposed(proposed: "list[Proposal]", file: Path | None) -> None:
    for one in proposed:
        typer.echo(f"Proposed: {one.policy} from {one.threshold} on, not {one.present}: {one.why}.")
    if proposed and file is not None:
        typer.echo(f"Written to {file}. Review it; `forestall apply` brings it on its way.")


def _table(*columns: str) -> Table:
    return Table(*columns, box=None)


def _row(table: Table, *cells: Any) -> None:
    table.add_row(*(escape(str(cell)) for cell in cells))
