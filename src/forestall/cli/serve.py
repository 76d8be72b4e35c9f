"""``forestall serve``: the server."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from forestall.cli.deployment import DEFAULT
from forestall.contracts.errors import InvalidFile


class Role(StrEnum):
    """The three processes."""

    gateway = "gateway"
    worker = "worker"
    app = "app"


def serve(
    config: Annotated[
        Path, typer.Option(help="The deployment's settings.", show_default=True)
    ] = DEFAULT,
    role: Annotated[
        Role | None,
        typer.Option(help="Run this process only, without a supervisor; all three if not given."),
    ] = None,
) -> None:
    """Serve: accept events, decide, carry out. Stops cleanly on SIGTERM and Ctrl-C.

    Three processes share the data folder: gateway (accepts), worker (decides), app (carries out,
    event streams, console). One that dies is started again. Exit code 2 when the deployment's
    files cannot be used.
    """
    from forestall.app.roles import serve as run

    try:
        code = run(config, None if role is None else role.value)
    except InvalidFile as error:
        if role is not None:
            raise  # the supervisor starts it again, as the files may be mended by then
        typer.echo(str(error), err=True)
        code = 2
    raise typer.Exit(code)
