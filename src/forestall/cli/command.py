"""``forestall interventions stop|force|repeat|take-over``: an operator takes command of one."""

from pathlib import Path
from typing import Annotated

import typer

from forestall.cli.deployment import ConfigOption
from forestall.cli.person import Because, ask, part

app = typer.Typer()

Id = Annotated[
    str, typer.Argument(metavar="ID", help="The intervention's id, or enough of its start.")
]


@app.command()
def stop(
    intervention: Id,
    reason: Because,
    undo: Annotated[
        bool, typer.Option("--undo", help="Undo what was done first, last first.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """End it; what has not left yet does not leave any more. Needs FORESTALL_TOKEN."""
    _command(config, intervention, "stop", reason, undo=undo)


@app.command()
def force(intervention: Id, reason: Because, config: ConfigOption = None) -> None:
    """Go on as if the current wait were over. It is no approval: what needs one is refused.

    Needs FORESTALL_TOKEN."""
    _command(config, intervention, "force", reason)


@app.command()
def repeat(intervention: Id, reason: Because, config: ConfigOption = None) -> None:
    """Carry the current step out again. Needs FORESTALL_TOKEN."""
    _command(config, intervention, "repeat", reason)


@app.command("take-over")
def take_over(intervention: Id, reason: Because, config: ConfigOption = None) -> None:
    """End it as escalated: from here on you look after the customer yourself.

    Needs FORESTALL_TOKEN."""
    _command(config, intervention, "take_over", reason)


def _command(
    config: Path | None, intervention: str, command: str, reason: str, *, undo: bool = False
) -> None:
    body = {"command": command, "reason": reason, "undo": undo}
    told = ask(config, "POST", f"/v1/interventions/{part(intervention)}/commands", body)
    typer.echo(f"{told['intervention']} was told to {command.replace('_', ' ')}.")
