"""``forestall pause`` and ``resume``: stop what is done, for one customer or for everybody."""

from typing import Annotated

import typer
from rich.table import Table

from forestall.cli.deployment import ConfigOption
from forestall.cli.person import AsJson, Because, ask, cell, echo_json, moment, part, plain
from forestall.cli.tables import print_table
from forestall.contracts.errors import UnreadableInput


def pause(
    reason: Because,
    customer: Annotated[str | None, typer.Option(help="This customer (a pseudonym).")] = None,
    account: Annotated[
        str | None, typer.Option(help="Customers whose trait `account` is this.")
    ] = None,
    policy: Annotated[str | None, typer.Option(help="This policy.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="All of it.")] = False,
    lasts: Annotated[
        str | None, typer.Option("--for", help="How long, such as 2h; until resumed without it.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Stop what is done for a customer, an account, a policy or everybody, within a second.

    Guidance is dropped meanwhile; everything else waits. Your token is read from FORESTALL_TOKEN.
    """
    named = {"customer": customer, "account": account, "policy": policy}
    scopes: list[tuple[str, str | None]] = [
        (scope, what) for scope, what in named.items() if what is not None
    ]
    scopes += [("everything", None)] if everything else []
    if len(scopes) != 1:
        raise UnreadableInput("name one of --customer, --account, --policy or --everything")
    ((scope, what),) = scopes
    body = {"scope": scope, "what": what, "reason": reason, "for": lasts}
    made = ask(config, "POST", "/v1/pauses", body)
    typer.echo(f"{made['id']} holds" + (f" until {moment(made['until'])}." if lasts else "."))
    if not made["met"]:
        typer.echo(
            f"Nothing was ever done here for the {scope} {plain(what)}: is that its name? `forestall"
            f" resume {made['id']}` takes this pause back.",
            err=True,
        )


def resume(
    which: Annotated[str, typer.Argument(metavar="ID", help="The pause, as `pauses` names it.")],
    reason: Because,
    config: ConfigOption = None,
) -> None:
    """End a pause; what waited goes on. Your token is read from FORESTALL_TOKEN."""
    ask(config, "POST", f"/v1/pauses/{part(which)}/end", {"reason": reason})
    typer.echo(f"{which} is over.")


def pauses(
    past: Annotated[bool, typer.Option("--past", help="Also those that are over.")] = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """List what is paused, oldest first. Your token is read from FORESTALL_TOKEN."""
    found = ask(config, "GET", f"/v1/pauses?past={'true' if past else 'false'}")["pauses"]
    if as_json:
        echo_json(found)
        return
    table = Table("id", "scope", "what", "since", "until", "ended", "by", "why", box=None)
    for one in found:
        times = (moment(one[name]) for name in ("since", "until", "ended"))
        row = (one["id"], one["scope"], one["what"] or "", *times, one["by"], one["why"])
        table.add_row(*map(cell, row))
    if found:
        print_table(table)
    else:
        typer.echo("Nothing is paused.")
