"""``forestall canary``: how the canaries of a server stand, read from its data folder."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from forestall.app.canary import ladder
from forestall.cli.deployment import ConfigOption, DataOption, data_for, settings_for
from forestall.cli.person import AsJson, echo_json, plain
from forestall.contracts.instants import DAY, HOUR, MINUTE, SECOND, format_duration, format_time
from forestall.kernel.clock import monotonic
from forestall.log.streams import DECIDED
from forestall.measure.canary_log import CanaryLog, CanaryLook
from forestall.measure.reading import Folder
from forestall.measure.verdict import GuardrailLook, figure

_WHOLE = 3_600.0


def canary(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only the canary of this name.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: AsJson = False,
) -> None:
    """Show how canaries stand: step, subjects of both arms, each guardrail's interval and verdict.

    Exit code 1 where no canary runs, or one has failed. Nothing is changed, whoever looks; no
    server needs to run.
    """
    found = [one for one in _looks(config, data_for(data, config)) if name in (None, one.name)]
    if as_json:
        echo_json({"canaries": [_json(one) for one in found]})
    elif not found:
        typer.echo("no canary runs" if name is None else f"no canary of {name} runs")
    else:
        typer.echo("\n\n".join(map(told, found)))
    if not found or any(one.look.verdict == "fail" for one in found):
        raise typer.Exit(1)


def _looks(config: Path | None, data: Path) -> list[CanaryLook]:
    folder = Folder(data)
    try:
        rules = ladder(settings_for(config).canary)
        log = CanaryLog(folder.signals, folder.decisions, rules, DECIDED)
        while log.read(_WHOLE, monotonic):
            pass
        return log.looks()
    finally:
        folder.close()


def _json(one: CanaryLook) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(one)
    for key in ("at", "begun"):
        shown["look"][key] = format_time(shown["look"][key])
    shown["look"]["lasted"] /= SECOND
    return shown


def told(one: CanaryLook) -> str:
    """A canary's standing as text."""
    look = one.look
    following = "live" if one.next is None else f"{100 * one.next:.3g} %"
    lines = [
        f"{one.kind} {plain(one.name)} {one.version[:8]}: {look.verdict.replace('_', ' ')}",
        f"  {100 * look.share:.3g} % of subjects since {format_time(look.begun)[:19]}Z"
        f" ({_lasted(look.lasted)}), then {following}",
        f"  {look.active.canary:,} subjects in the canary, {look.active.rest:,} in the rest;"
        f" settled {look.settled.canary:,} and {look.settled.rest:,};"
        f" it acted for {look.exposed:,}",
    ]
    if look.joined:
        lines.append(
            f"  {look.joined:,} joined under another pseudonym and left out,"
            f" {look.contaminated:,} of them were in both arms"
        )
    lines += [_guardrail(each) for each in look.guardrails]
    return "\n".join([*lines, *(f"  - {plain(why)}" for why in look.why)])


def _lasted(time: int) -> str:
    """As exactly as people would say it."""
    unit = HOUR if time >= DAY else MINUTE if time >= HOUR else SECOND
    return format_duration(time // unit * unit)


def _guardrail(one: GuardrailLook) -> str:
    unit = one.unit
    if one.low is None or one.high is None:
        return f"  {plain(one.name)}: no data"
    return (
        f"  {plain(one.name)}: {one.verdict}; {figure(one.canary, unit)} in the canary of"
        f" {one.of.canary:,}, {figure(one.rest, unit)} in the rest of {one.of.rest:,};"
        f" difference {figure(one.low, unit)} to {figure(one.high, unit)},"
        f" limit {figure(one.limit, unit)}"
    )
