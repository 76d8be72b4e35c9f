"""The door: ``forestall``, one file per group of commands.

Exit codes everywhere: 0 it went well, 1 the answer is no or problems were found, 2 the input could
not be used. An error of ours is printed as its message, never as a stack trace. Only the file of the
command that is asked for is imported, so that none waits for what it does not need.
"""

import atexit
import gc
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated, Final

import typer

from forestall.contracts.errors import ForestallError

COMMANDS: Final = {
    "Run": {
        "serve": "serve:serve",
        "log": "log:app",
        "quarantine": "quarantine:app",
        "webhooks": "webhooks:app",
        "contracts": "contracts:app",
        "flag": "flag:app",
    },
    "Write policies": {
        "policy": "policy:app",
        "backtest": "backtest:backtest",
        "explain": "explain:explain",
        "action": "actions:app",
        "agent": "agent:app",
        "tone": "tone:tone",
        "mask": "tone:mask",
        "knowledge": "knowledge:app",
        "model": "model:app",
    },
    "From draft to live": {
        "apply": "apply:apply",
        "status": "lifecycle:status",
        "promote": "lifecycle:promote",
        "demote": "lifecycle:demote",
        "rollback": "lifecycle:rollback",
        "retire": "lifecycle:retire",
        "switch": "lifecycle:switch",
        "requests": "lifecycle:requests",
        "second": "lifecycle:second",
        "decline": "lifecycle:decline",
        "history": "lifecycle:history",
        "shadow": "shadow:shadow",
        "canary": "canary:canary",
        "edge": "edge:app",
        "drift": "drift:drift",
        "due": "drift:due",
    },
    "Measure": {
        "report": "report:report",
        "evaluate": "evaluate:evaluate",
        "fairness": "fairness:fairness",
        "monitor": "monitor:monitor",
    },
    "Answer for it": {
        "interventions": "interventions:app",
        "approval": "approval:app",
        "grant": "grant:app",
        "review": "review:app",
        "pause": "pause:pause",
        "resume": "pause:resume",
        "pauses": "pause:pauses",
        "records": "records:records",
    },
}
"""Where each command is, by what it is for: ``file:name``."""


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from forestall.context.core import CORE

        typer.echo(f"forestall {version('forestall')} ({CORE} core)")
        raise typer.Exit


def _root(
    _version_wanted: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def door(arguments: Iterable[str] = ()) -> typer.Typer:
    """The command line with the command that ``arguments`` begin with, or with every one."""
    wanted = next(iter(arguments), None)
    alone = {"--version", *(name for commands in COMMANDS.values() for name in commands)}
    app = typer.Typer(
        name="forestall",
        help="Help customers before they file a support ticket.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for panel, commands in COMMANDS.items():
        for name, place in commands.items():
            if wanted == name or wanted not in alone:
                file, attribute = place.split(":")
                found = getattr(import_module(f"forestall.cli.{file}"), attribute)
                if isinstance(found, typer.Typer):
                    app.add_typer(found, name=name, rich_help_panel=panel)
                else:
                    app.command(name, rich_help_panel=panel)(found)
    return app


def main() -> None:
    """Run the command line; the entry point of the ``forestall`` script."""
    atexit.register(gc.freeze)  # an end need not look for what could be freed
    try:
        door(sys.argv[1:])()
    except ForestallError as error:
        typer.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except UnicodeEncodeError as error:
        near = error.object[max(0, error.start - 20) : error.end + 20]
        typer.echo(f"a text or the name of a file is not UTF-8: {near!a}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:  # while a command is still being imported
        typer.echo("Aborted!", err=True)
        sys.exit(130)
