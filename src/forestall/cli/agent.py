"""``forestall agent``: agents looked at, tried without effect, and judged by labelled cases."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.table import Table

from forestall.cli import agent_eval, agent_replay, agent_try
from forestall.cli.agent_results import SUFFIX, read_results
from forestall.cli.agent_stage import agent_of, declared
from forestall.cli.deployment import ConfigOption, settings_for
from forestall.cli.person import AsJson, cell, echo_json
from forestall.cli.tables import print_table
from forestall.contracts.instants import DAY
from forestall.kernel.clock import wall_clock
from forestall.kernel.settings import Settings
from forestall.policy.actions.model import Agent

if TYPE_CHECKING:
    from forestall.intervene.agents.evaluation import Evaluation

MOST = 5
"""Evaluations that are shown."""

_SILENT = (
    "it can never answer; give it a `model`, or `knowledge` with `fallback: compose`, or"
    " `fallback: person`"
)

app = typer.Typer(
    help="Look at agents, try them without effect, and judge them by labelled cases.",
    no_args_is_help=True,
)
app.command("eval")(agent_eval.evaluate)
app.command("try")(agent_try.try_)
app.command("replay")(agent_replay.replay)


@app.command("list")
def list_(config: ConfigOption = None, as_json: AsJson = False) -> None:
    """List the agents that are declared. Exit code 1 if a declaration has mistakes."""
    from forestall.intervene.agents.prompt import version

    agents = declared(settings_for(config)).agents.values()
    if as_json:
        lines = [
            {
                "name": one.name,
                "title": one.title,
                "version": version(one),
                "model": one.model,
                "never_answers": one.never_answers,
                "lookups": [grant.name for grant in one.lookups],
                "actions": [grant.name for grant in one.actions],
                "owner": one.owner,
                "review_by": one.review_by,
            }
            for one in agents
        ]
        echo_json(lines)
    elif not agents:
        typer.echo("No agent is declared.")
    else:
        table = Table("name", "version", "model", "lookups", "actions", "title", box=None)
        for one in agents:
            names = (
                ", ".join(grant.name for grant in those) for those in (one.lookups, one.actions)
            )
            table.add_row(*map(cell, (one.name, version(one)[:8], _who(one), *names, one.title)))
        print_table(table)
        for one in agents:
            if one.never_answers:
                typer.echo(f"{one.name}: {_SILENT}", err=True)


@app.command()
def show(
    agent: Annotated[str, typer.Argument(help="The name of an agent.")],
    results: Annotated[
        Path | None,
        typer.Option(
            help=f"A file of results; without it every *{SUFFIX} beside the settings, and one"
            " folder below."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Show an agent as JSON: its declaration, version, last evaluations, and what it spent today."""
    from forestall.intervene.agents.prompt import version

    settings = settings_for(config)
    found = agent_of(declared(settings), agent)
    shown = {
        "agent": agent,
        "version": version(found),
        "never_answers": found.never_answers,
        "declaration": msgspec.to_builtins(found),
        "spent_today": _spent(settings, agent),
        "evaluations": [_line(one) for one in _evaluations(settings, agent, results)],
    }
    typer.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())
    if found.never_answers:
        typer.echo(f"{agent}: {_SILENT}", err=True)


def _who(agent: Agent) -> str:
    """What answers first."""
    if agent.way is not None:
        return "a function"
    if agent.never_answers:
        return "nobody"
    return agent.model or ("a person" if agent.fallback == "person" else "the composer")


def _spent(settings: Settings, agent: str) -> dict[str, Any]:
    """Calls, tokens and money of today (UTC)."""
    from forestall.intervene.agents.ledger import Spent, open_ledger

    ledger = open_ledger(settings.data)
    if ledger is None:
        return msgspec.to_builtins(Spent(0, 0, 0, 0.0))  # type: ignore[no-any-return]
    try:
        return msgspec.to_builtins(ledger.spent(wall_clock() // DAY, agent))  # type: ignore[no-any-return]
    finally:
        ledger.close()


def _evaluations(settings: Settings, agent: str, results: Path | None) -> "list[Evaluation]":
    """The newest evaluations of ``agent``, newest first."""
    files = [results] if results is not None else _files(settings)
    found = [one for file in files for one in read_results(file) if one.agent == agent]
    return sorted(found, key=lambda one: one.at, reverse=True)[:MOST]


def _files(settings: Settings) -> list[Path]:
    if settings.file is None:
        return []
    folder = settings.file.resolve().parent
    return sorted([*folder.glob(f"*{SUFFIX}"), *folder.glob(f"*/*{SUFFIX}")])


def _line(one: "Evaluation") -> dict[str, Any]:
    """An evaluation without its cases."""
    shown: dict[str, Any] = msgspec.to_builtins(one)
    for key in ("results", "confusion", "agent"):
        del shown[key]
    return shown
