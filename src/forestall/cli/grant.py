"""``forestall grant``: standing approvals with a budget and an end."""

from typing import Annotated

import typer
from rich.table import Table

from forestall.cli.deployment import ConfigOption
from forestall.cli.person import AsJson, Because, ask, cell, echo_json, moment, part
from forestall.cli.tables import print_table
from forestall.contracts.errors import UnreadableInput

app = typer.Typer(
    help="Approve many acts of one action in advance. Your token is read from FORESTALL_TOKEN.",
    no_args_is_help=True,
)


@app.command()
def add(
    action: Annotated[str, typer.Argument(help="The action.")],
    budget: Annotated[int, typer.Option(min=1, help="How many acts; the next one asks again.")],
    lasts: Annotated[str, typer.Option("--for", help="How long, such as 2h; at most 90 days.")],
    reason: Because,
    policy: Annotated[str | None, typer.Option(help="Only for this policy.")] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(help="NAME=NUMBER: the most that this argument may be. Repeatable."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Give a grant; requests that wait already are answered at once."""
    body = {
        "action": action,
        "budget": budget,
        "for": lasts,
        "reason": reason,
        "policy": policy,
        "limits": dict(_limit(one) for one in limit or []),
    }
    given = ask(config, "POST", "/v1/grants", body)
    typer.echo(f"{given['id']} is good for {budget} until {moment(given['until'])}.")


@app.command("list")
def list_(config: ConfigOption = None, as_json: AsJson = False) -> None:
    """List every grant that was ever given, oldest first."""
    found = ask(config, "GET", "/v1/grants")["grants"]
    if as_json:
        echo_json(found)
        return
    table = Table("id", "action", "policy", "used", "until", "by", "why", "revoked", box=None)
    for one in found:
        table.add_row(
            one["id"],
            cell(one["action"]),
            cell(one["policy"] or ""),
            f"{one['used']}/{one['budget']}",
            moment(one["until"]),
            cell(one["by"]),
            cell(one["why"]),
            moment(one["revoked"]),
        )
    if found:
        print_table(table)
    else:
        typer.echo("There are no grants.")


@app.command()
def revoke(
    grant: Annotated[str, typer.Argument(metavar="ID", help="The grant, as `list` names it.")],
    reason: Because,
    config: ConfigOption = None,
) -> None:
    """End a grant; what it approved before stays approved."""
    ask(config, "POST", f"/v1/grants/{part(grant)}/revocation", {"reason": reason})
    typer.echo(f"{grant} is revoked.")


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise UnreadableInput(f"--limit {text!r}: write NAME=NUMBER, such as amount=20") from None
