"""The door: ``forestall``, one file per group of commands.

Exit codes everywhere: 0 it went well, 1 the answer is no or problems were found, 2 the input could
not be used. An error of ours is printed as its message, never as a stack trace.
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from forestall.cli import (
    actions,
    apply,
    approval,
    backtest,
    canary,
    command,
    contracts,
    drift,
    evaluate,
    explain,
    fairness,
    flag,
    grant,
    interventions,
    lifecycle,
    log,
    model,
    monitor,
    pause,
    policy,
    quarantine,
    records,
    report,
    review,
    serve,
    shadow,
    webhooks,
)
from forestall.contracts.errors import ForestallError

app = typer.Typer(
    name="forestall",
    help="Help customers before they file a support ticket.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"forestall {version('forestall')}")
        raise typer.Exit


@app.callback()
def _root(
    _version_wanted: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


app.command("serve")(serve.serve)
app.command("apply")(apply.apply)
app.command("backtest")(backtest.backtest)
app.command("canary")(canary.canary)
app.command("drift")(drift.drift)
app.command("due")(drift.due)
app.command("evaluate")(evaluate.evaluate)
app.command("explain")(explain.explain)
app.command("report")(report.report)
app.command("fairness")(fairness.fairness)
app.command("shadow")(shadow.shadow)
app.command("status")(lifecycle.status)
app.command("promote")(lifecycle.promote)
app.command("demote")(lifecycle.demote)
app.command("rollback")(lifecycle.rollback)
app.command("retire")(lifecycle.retire)
app.command("switch")(lifecycle.switch)
app.command("requests")(lifecycle.requests)
app.command("second")(lifecycle.second)
app.command("decline")(lifecycle.decline)
app.command("history")(lifecycle.history)
app.command("monitor")(monitor.monitor)
app.command("pause")(pause.pause)
app.command("resume")(pause.resume)
app.command("pauses")(pause.pauses)
app.command("records")(records.records)
app.add_typer(policy.app, name="policy")
app.add_typer(actions.app, name="action")
app.add_typer(flag.app, name="flag")
app.add_typer(contracts.app, name="contracts")
app.add_typer(log.app, name="log")
app.add_typer(model.app, name="model")
interventions.app.add_typer(command.app)
app.add_typer(interventions.app, name="interventions")
app.add_typer(approval.app, name="approval")
app.add_typer(grant.app, name="grant")
app.add_typer(review.app, name="review")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(webhooks.app, name="webhooks")


def main() -> None:
    """Run the command line; the entry point of the ``forestall`` script."""
    try:
        app()
    except ForestallError as error:
        typer.echo(str(error), err=True)
        sys.exit(error.exit_code)
