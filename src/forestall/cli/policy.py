"""``forestall policy``: policies as text, before anything decides by them."""

from pathlib import Path
from typing import Annotated

import typer

from forestall.cli.contracts import Json, show_problems
from forestall.kernel.settings import load_settings
from forestall.policy.bundle import read_policies
from forestall.policy.deployment import surroundings
from forestall.policy.language.check import ANYTHING

app = typer.Typer(help="Policies: find mistakes, run their tests.", no_args_is_help=True)


@app.command()
def lint(
    paths: Annotated[list[Path], typer.Argument(help="Policy files, or folders of them.")],
    config: Annotated[
        Path | None,
        typer.Option(help="The deployment's forestall.toml: check against its catalogue too."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell every mistake in policies, with file, line, column and a hint.

    Exit code 1 when there is an error, 0 when there are warnings at most.
    """
    around = ANYTHING if config is None else surroundings(load_settings(config))
    policies, problems = read_policies(paths, around)
    show_problems(problems, as_json=as_json, good=f"{len(policies)} policies are sound")
