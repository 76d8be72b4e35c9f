"""``forestall review``: people look at a sample of what was done."""

from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from forestall.cli.deployment import ConfigOption
from forestall.cli.person import AsJson, Because, ask, cell, echo_json, part
from forestall.cli.tables import print_table

app = typer.Typer(
    help="Sample finished remediations and say whether they were right. Your token is read from"
    " FORESTALL_TOKEN.",
    no_args_is_help=True,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The review, as `list` names it.")]


@app.command()
def sample(
    share: Annotated[float, typer.Option(min=0, max=1, help="Which part to look at, 0 to 1.")],
    seed: Annotated[str, typer.Option(help="Any word; the same word picks the same ones.")],
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Pick a share of the remediations that were carried out and not sampled yet."""
    body = {"share": share, "seed": seed}
    _print(ask(config, "POST", "/v1/reviews/samples", body)["reviews"], as_json=as_json)


@app.command("list")
def list_(
    state: Annotated[
        Literal["open", "judged", "all"], typer.Option(help="Only those that are so.")
    ] = "open",
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """List reviews, oldest first."""
    _print(ask(config, "GET", f"/v1/reviews?state={state}")["reviews"], as_json=as_json)


@app.command()
def numbers(config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Count what was accepted and rejected, by action and policy."""
    found = ask(config, "GET", "/v1/reviews")["numbers"]
    if as_json:
        echo_json(found)
        return
    table = Table("action", "policy", "sampled", "accepted", "rejected", box=None)
    for one in found:
        table.add_row(*map(cell, one.values()))
    if found:
        print_table(table)
    else:
        typer.echo("Nothing was sampled yet.")


@app.command()
def accept(review: Id, reason: Because, config: ConfigOption = None) -> None:
    """Say that it was right."""
    _judge(config, review, reason, accepted=True)


@app.command()
def reject(review: Id, reason: Because, config: ConfigOption = None) -> None:
    """Say that it was not right."""
    _judge(config, review, reason, accepted=False)


def _judge(config: ConfigOption, review: str, reason: str, *, accepted: bool) -> None:
    body = {"accepted": accepted, "reason": reason}
    ask(config, "POST", f"/v1/reviews/{part(review)}/verdict", body)
    typer.echo(f"{review} is {'accepted' if accepted else 'rejected'}.")


def _print(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        echo_json(found)
        return
    table = Table("id", "action", "policy", "customer", "intervention", "verdict", box=None)
    for one in found:
        verdict = {None: "", True: "accepted", False: "rejected"}[one["accepted"]]
        said = f"{verdict} by {one['by']}: {one['why']}" if verdict else ""
        wanted = ("id", "action", "policy", "customer", "intervention")
        table.add_row(*(cell(one[name]) for name in wanted), cell(said))
    if found:
        print_table(table)
    else:
        typer.echo("There is nothing to look at.")
