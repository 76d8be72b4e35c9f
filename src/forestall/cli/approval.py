"""``forestall approval``: what waits for a person's yes, and the receipts of what was decided."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from forestall.cli.deployment import ConfigOption
from forestall.cli.person import (
    AsJson,
    Because,
    ask,
    ask_text,
    cell,
    echo_json,
    moment,
    part,
    plain,
)
from forestall.cli.tables import print_table
from forestall.contracts.errors import UnreadableInput
from forestall.intervene.receipts import read_public, verify

app = typer.Typer(
    help="Look at what waits for approval, decide, and verify receipts. Your token is read from"
    " FORESTALL_TOKEN.",
    no_args_is_help=True,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The request, as `list` names it.")]
Status = Literal["open", "preparing", "approved", "declined", "expired", "void", "all"]


@app.command("list")
def list_(
    status: Annotated[Status, typer.Option(help="Only requests of this status.")] = "open",
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """List requests, newest first."""
    found = ask(config, "GET", f"/v1/approvals?status={status}")["approvals"]
    if as_json:
        echo_json(found)
        return
    table = Table("id", "status", "action", "arguments", "customer", "policy", "until", box=None)
    for one in found:
        given = ", ".join(f"{name}={plain(value)}" for name, value in one["arguments"].items())
        until = moment(one["expires"])
        action = one["action"] or "(go on)"
        row = (one["id"], one["status"], action, given, one["subject"], one["policy"], until)
        table.add_row(*map(cell, row))
    if found:
        print_table(table)
    else:
        typer.echo("Nothing waits." if status == "open" else "There are no such requests.")


@app.command()
def show(approval: Id, config: ConfigOption = None, as_json: AsJson = False) -> None:
    """Show one request: what would be done, why, the dry run, and what follows a no."""
    found = ask(config, "GET", f"/v1/approvals/{part(approval)}")
    if as_json:
        echo_json(found)
    else:
        typer.echo(_text(found))


@app.command()
def approve(approval: Id, reason: Because, config: ConfigOption = None) -> None:
    """Say yes to exactly what `show` shows."""
    _decide(config, approval, "approved", reason)


@app.command()
def decline(approval: Id, reason: Because, config: ConfigOption = None) -> None:
    """Say no; the playbook then goes where its `on_failure` says."""
    _decide(config, approval, "declined", reason)


@app.command()
def receipt(approval: Id, config: ConfigOption = None) -> None:
    """Print the signed receipt of a decision, as JSON."""
    typer.echo(ask_text(config, f"/v1/approvals/{part(approval)}/receipt"))


@app.command()
def key(config: ConfigOption = None) -> None:
    """Print the public key (PEM) with which receipts verify."""
    typer.echo(ask_text(config, "/v1/approvals/key").rstrip())


@app.command("verify")
def verify_(
    file: Annotated[Path, typer.Argument(metavar="RECEIPT.json", help="A receipt.")],
    public: Annotated[Path, typer.Option("--key", help="The public key, as `key` prints it.")],
    as_json: AsJson = False,
) -> None:
    """Verify a receipt without any server, and print what it states. Exit code 1 if it is not good."""
    statement = verify(_read(file), read_public(_read(public)))
    if as_json:
        echo_json(statement)
        return
    typer.echo("The receipt is good.")
    lines = [
        ("outcome", statement["outcome"]),
        ("action", statement["action"] or "(go on)"),
        ("customer", statement["customer"]),
        ("intervention", f"{statement['intervention']} step {statement['step']}"),
        ("policy", f"{statement['policy']} {statement['version']}"),
        ("evidence", statement["evidence_hash"]),
        ("arguments", statement["arguments_hash"]),
    ]
    lines += [(one["verdict"], _by(one)) for one in statement["people"]]
    grant = statement["grant"]
    if grant is not None:
        lines.append(("grant", f"{grant['id']} by {grant['by']}: {grant['reason']}"))
    typer.echo(
        "\n".join(f"{name:<13} {value}" for name, value in [*lines, ("at", statement["at"])])
    )


def _decide(config: Path | None, approval: str, verdict: str, reason: str) -> None:
    body = {"verdict": verdict, "reason": reason}
    after = ask(config, "POST", f"/v1/approvals/{part(approval)}/decisions", body)
    if after["status"] == "open":
        typer.echo(f"{approval} has your yes; it needs {after['people']} people.")
    else:
        typer.echo(f"{approval} is {after['status']}.")


def _by(said: dict[str, Any]) -> str:
    title = f" ({said['title']})" if said["title"] else ""
    return f"by {said['name']}{title} at {said['at']}: {said['reason']}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableInput(f"{path}: cannot be read: {error.strerror}") from None


def _text(one: dict[str, Any]) -> str:
    evidence = one["evidence"]
    dry, last = evidence["dry_run"], evidence["last"]
    lines = [
        ("request", f"{one['id']} ({one['status']})"),
        ("action", one["action"] or "(go on)"),
        *((f"  {name}", value) for name, value in one["arguments"].items()),
        ("customer", f"{one['subject']}; {evidence['customers']} is touched"),
        ("waiting", f"{one['waiting']} undecided for the same action"),
        ("why", evidence["why"] or ""),
        ("because", evidence["explanation"]),
        *((f"  {name}", value) for name, value in evidence["features"].items()),
        ("events", ", ".join(evidence["events"])),
        *([] if last is None else [(f"  {last['type']}", last["data"])]),
        ("looked up", "" if evidence["fields"] else "nothing"),
        *((f"  {name}", value) for name, value in evidence["fields"].items()),
        *([("dry run", "none")] if dry is None else _dry(dry)),
        ("if not", "; ".join(evidence["alternatives"])),
        ("needs", f"{one['people']} of role {one['role']} until {moment(one['expires'])}"),
        *((said["verdict"], _by({**said, "name": said["who"]})) for said in one["said"]),
        ("policy", f"{one['policy']} {one['version']}"),
        ("intervention", one["intervention"]),
    ]
    return _lines(lines)


def _lines(lines: Iterable[tuple[str, Any]]) -> str:
    return "\n".join(f"{plain(name):<13} {plain(value)}".rstrip() for name, value in lines)


def _dry(dry: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """How a dry run ended, and then its evidence, a line each."""
    because = f" ({dry['reason']})" if dry["reason"] else ""
    yield "dry run", " ".join(filter(None, [dry["outcome"] + because, dry["detail"]]))
    yield from ((f"  {name}", value) for name, value in dry["evidence"].items())
