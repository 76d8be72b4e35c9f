"""``forestall policy``: policies as text, before anything decides by them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from forestall.cli import policy_diff, policy_new, policy_test
from forestall.cli.contracts import Json, show_problems
from forestall.cli.deployment import ConfigOption, settings_for
from forestall.contracts.errors import UnreadableInput
from forestall.policy.bundle import read_policies, require_policies
from forestall.policy.deployment import surroundings
from forestall.policy.language.cel import batch as evaluate_lines

app = typer.Typer(
    help="Policies: find mistakes, run their tests, see what a change means.", no_args_is_help=True
)

app.command("test")(policy_test.run)
app.command("diff")(policy_diff.diff)
app.command("new")(policy_new.new)

Paths = Annotated[list[Path], typer.Argument(help="Policy files, or folders of them.")]


@app.command()
def lint(paths: Paths, config: ConfigOption = None, as_json: Json = False) -> None:
    """Tell every mistake in policies, with file, line, column and a hint.

    Checked against the deployment's catalogue, runbooks and queues where there are settings. Exit
    code 1 when there is an error, 0 when there are warnings at most, 2 where there is no policy.
    """
    for path in paths:
        require_policies(path)
    policies, problems = read_policies(paths, surroundings(settings_for(config)))
    show_problems(problems, as_json=as_json, good=f"policies checked: {len(policies)}")


@app.command("eval")
def eval_(
    batch: Annotated[
        Path,
        typer.Option(
            "--batch", help='Lines {"expr": CEL, "bindings": {...}}; - reads standard input.'
        ),
    ],
) -> None:
    """Evaluate conditions by themselves: one answer {"value": ...} or {"error": "..."} a line."""
    try:
        with sys.stdin.buffer if str(batch) == "-" else batch.open("rb") as lines:
            for answer in evaluate_lines(lines):
                typer.echo(answer)
    except OSError as error:
        raise UnreadableInput(f"{batch}: {error.strerror}") from None
