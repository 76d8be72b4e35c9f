"""``forestall policy``: policies as text, before anything decides by them."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from forestall.cli import policy_diff
from forestall.cli.contracts import Json, show_problems
from forestall.cli.deployment import ConfigOption, settings_for
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.instants import format_duration
from forestall.decide.examine import Examined
from forestall.decide.examine import examine as run_cases
from forestall.policy.bundle import read_policies
from forestall.policy.deployment import load_bundle, surroundings
from forestall.policy.language.cel import batch as evaluate_lines

app = typer.Typer(help="Policies: find mistakes, run their tests.", no_args_is_help=True)

app.command("diff")(policy_diff.diff)

Paths = Annotated[list[Path], typer.Argument(help="Policy files, or folders of them.")]


@app.command()
def lint(paths: Paths, config: ConfigOption = None, as_json: Json = False) -> None:
    """Tell every mistake in policies, with file, line, column and a hint.

    Checked against the deployment's catalogue, runbooks and queues where there are settings. Exit
    code 1 when there is an error, 0 when there are warnings at most.
    """
    policies, problems = read_policies(paths, surroundings(settings_for(config)))
    show_problems(problems, as_json=as_json, good=f"policies checked: {len(policies)}")


@app.command("test")
def test_(paths: Paths, config: ConfigOption = None, as_json: Json = False) -> None:
    """Run the tests in policy files, in simulated time, each policy by itself.

    Exit code 1 when a test fails or a file has mistakes.
    """
    settings = settings_for(config)
    results: list[Examined] = []
    for path in paths:
        bundle = load_bundle(path, settings)
        for policy in bundle.policies:
            results += run_cases(bundle, policy, settings.decide)
    failed = sum(not result.passed for result in results)
    if as_json:
        rows = [
            {
                "policy": result.policy,
                "test": result.case.name,
                "passed": result.passed,
                "differences": result.differences,
                "decisions": [str(made) for made in result.made],
            }
            for result in results
        ]
        typer.echo(msgspec.json.encode(rows).decode())
    else:
        for result in results:
            typer.echo(_told(result))
        typer.echo(f"{len(results) - failed} passed, {failed} failed")
    if failed:
        raise typer.Exit(1)


def _told(result: Examined) -> str:
    if result.passed:
        return f"ok    {result.policy}: {result.case.name}"
    timeline = sorted(
        [(event.at, f"{format_duration(event.at)} {event.type}") for event in result.case.events]
        + [(made.at, f"{made}  <- decided") for made in result.made]
    )
    lines = [f"FAIL  {result.policy}: {result.case.name}"]
    lines += [f"      {difference}" for difference in result.differences]
    lines += ["      what happened:"] + [f"        {text}" for _, text in timeline]
    return "\n".join(lines)


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
