"""``forestall promote``, ``demote``, ``rollback``, ``retire``, ``switch``: who decides, and how.

They ask the running server, with the token in ``FORESTALL_TOKEN``.
"""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
import typer
from rich.table import Table

from forestall.cli.apply import progress, waited
from forestall.cli.deployment import ConfigOption
from forestall.cli.person import AsJson, Because, ask, cell, echo_json, moment, part, plain
from forestall.cli.tables import print_table
from forestall.contracts.errors import UnreadableInput
from forestall.policy.lifecycle import Kind, Set, State

Name = Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")]
KindOption = Annotated[Kind, typer.Option("--kind", help="What sort of thing it is.")]
Model = Annotated[bool, typer.Option("--model", help="The same as `--kind model`.")]
Version = Annotated[
    str | None,
    typer.Option(help="Its version, or how that begins; the one on its way if left out."),
]
SetOption = Annotated[
    Set | None, typer.Option("--set", help="In this set; the active one if left out.")
]


def promote(
    name: Name,
    reason: Because,
    to: Annotated[
        State | None, typer.Option(help="The state to go to; the next one if left out.")
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Of subjects that a canary reaches, such as 0.05."),
    ] = None,
    version: Version = None,
    kind: KindOption = "policy",
    model: Model = False,
    set_: SetOption = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Let a version go one state further: draft, validated, backtested, shadow, canary, live.

    A backtest that is missing is made first. What else is missing is said, with exit code 1. Above
    low risk, canary and live wait for a second person: then the request is printed that somebody
    else has to `forestall second`.
    """
    body = {"to": to, "share": share, "version": version, **_about(name, kind, model, set_)}
    _do(config, "promotions", body, reason, as_json)


def demote(
    name: Name,
    reason: Because,
    to: Annotated[
        State | None,
        typer.Option(help="The state to go back to; the nearest one without effects if left out."),
    ] = None,
    version: Version = None,
    kind: KindOption = "policy",
    model: Model = False,
    set_: SetOption = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Take a version back to an earlier state, out of effect, at once."""
    body = {"to": to, "version": version, **_about(name, kind, model, set_)}
    _do(config, "demotions", body, reason, as_json)


def rollback(
    name: Name,
    reason: Because,
    kind: KindOption = "policy",
    model: Model = False,
    set_: SetOption = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """End a canary; or without one, let the version that was live before be live again, at once."""
    _do(config, "rollbacks", _about(name, kind, model, set_), reason, as_json)


def retire(
    name: Name,
    reason: Because,
    version: Version = None,
    kind: KindOption = "policy",
    model: Model = False,
    set_: SetOption = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Take a version out for good. Interventions of it that run are finished."""
    body = {"version": version, **_about(name, kind, model, set_)}
    _do(config, "retirements", body, reason, as_json)


def switch(
    set_: Annotated[Set, typer.Argument(metavar="SET", help="blue or green.")],
    reason: Because,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Put the other set of policies and models in force, all of it at once."""
    _do(config, "switches", {"set": set_}, reason, as_json)


def status(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only this.")] = None,
    retired: Annotated[bool, typer.Option("--retired", help="Also what is retired.")] = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Show what is in which state, in both sets; `*` marks the set that is active.

    With a name also what each version waits for before it can go on.
    """
    asked = {"retired": "true" if retired else "false", **({"name": name} if name else {})}
    found = ask(config, "GET", f"/v1/lifecycle?{urlencode(asked)}")
    if as_json:
        echo_json(found)
        return
    table = Table("set", "kind", "name", "state", "share", "version", "since", box=None)
    for one in found["artifacts"]:
        set_ = f"{one['set']}{' *' if one['set'] == found['active'] else ''}"
        share = _percent(one["share"]) if one["state"] == "canary" else ""
        version, since = one["version"][:12], moment(one["since"])
        row = (set_, one["kind"], one["name"], one["state"], share, version, since)
        table.add_row(*map(cell, row))
    if not found["artifacts"]:
        nothing = f"Nothing called {plain(name)} is" if name else "Nothing is"
        typer.echo(f"{nothing} under change control yet; `forestall apply` begins.")
        return
    print_table(table)
    for one in found["artifacts"] if name else ():
        for missing in one["missing"]:
            typer.echo(plain(f"{one['version'][:12]} needs for {one['next']}: {missing}"))


def history(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only of this.")] = None,
    kind: Annotated[Kind | None, typer.Option("--kind", help="Only of this sort.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """List transitions, oldest first: what went from where to where, by whom, and why."""
    asked = {"name": name, "kind": kind, "limit": limit}
    words = urlencode({key: value for key, value in asked.items() if value is not None})
    found = ask(config, "GET", f"/v1/lifecycle/transitions?{words}")["transitions"]
    if as_json:
        echo_json(found)
        return
    table = Table("no.", "at", "what", "version", "from", "to", "by", "why", box=None)
    for one in found:
        who = one["by"] if one["seconded"] is None else f"{one['by']}, {one['seconded']}"
        what = f"{one['artifact']} {one['name']}"
        after = (
            f"{one['after']} {_percent(one['share'])}" if one["after"] == "canary" else one["after"]
        )
        version, at = one["version"][:12], moment(one["at"])
        row = (one["number"], at, what, version, one["before"], after, who, one["why"])
        table.add_row(*map(cell, row))
    if found:
        print_table(table)
    else:
        typer.echo("There are no transitions.")


def requests(
    which: Annotated[
        int | None, typer.Argument(metavar="ID", help="Only this one, with all there is to know.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that are answered.")] = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """List what waits for a second person; or show what one is about, and differs from live."""
    if which is not None:
        found = ask(config, "GET", f"/v1/lifecycle/requests/{which}")
        if as_json:
            echo_json(found)
        else:
            typer.echo(_request_text(found))
        return
    wanted = "all" if every else "open"
    found = ask(config, "GET", f"/v1/lifecycle/requests?status={wanted}")["requests"]
    if as_json:
        echo_json(found)
        return
    table = Table("id", "status", "what", "by", "at", "why", box=None)
    for one in found:
        row = (
            one["id"],
            one["status"],
            _asked(one["ask"]),
            one["by"],
            moment(one["at"]),
            one["why"],
        )
        table.add_row(*map(cell, row))
    if found:
        print_table(table)
    else:
        typer.echo("Nothing waits for a second person.")


Id = Annotated[int, typer.Argument(metavar="ID", help="The request, as `requests` names it.")]


def second(
    which: Id, reason: Because, config: ConfigOption = None, as_json: AsJson = False
) -> None:
    """Agree to what somebody else asked for; it happens at once."""
    _answer(config, which, "seconded", reason, as_json)


def decline(
    which: Id, reason: Because, config: ConfigOption = None, as_json: AsJson = False
) -> None:
    """Say no to what somebody asked for, or take your own request back."""
    _answer(config, which, "declined", reason, as_json)


def _about(name: str, kind: Kind, model: bool, set_: Set | None) -> dict[str, Any]:
    if model and kind not in ("policy", "model"):
        raise UnreadableInput(f"--model and --kind {kind} contradict each other")
    return {"name": name, "kind": "model" if model else kind, "set": set_}


def _do(config: Path | None, what: str, body: dict[str, Any], reason: str, as_json: bool) -> None:
    asked = {**body, "reason": reason}
    outcome = ask(config, "POST", f"/v1/lifecycle/{what}", asked)
    backtest = outcome.get("backtest")
    if backtest is not None:
        waited(config, "backtests", backtest["id"], progress())
        outcome = ask(
            config,
            "POST",
            f"/v1/lifecycle/{what}",
            {**asked, "to": "backtested", "backtested": True},
        )
    _tell(outcome, as_json)


def _answer(config: Path | None, which: int, verdict: str, reason: str, as_json: bool) -> None:
    path = f"/v1/lifecycle/requests/{part(str(which))}/decisions"
    _tell(ask(config, "POST", path, {"verdict": verdict, "reason": reason}), as_json)


def _tell(outcome: dict[str, Any], as_json: bool) -> None:
    if as_json:
        echo_json(outcome)
        return
    for one in outcome["transitions"]:
        typer.echo(_sentence(one))
        for told in one["evidence"].get("running", ()):
            typer.echo(_running(told))
    request = outcome["request"]
    if request is not None and request["status"] == "open":
        typer.echo(
            f"{_asked(request['ask'])} waits for a second person:"
            f" `forestall second {request['id']} --reason ...`"
        )
    elif request is not None:
        typer.echo(f"Request {request['id']} is {request['status']}.")


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _sentence(one: dict[str, Any]) -> str:
    if one["artifact"] == "set":
        return f"The set {one['after']} is in force in place of {one['before']}."
    share = f" for {_percent(one['share'])} of subjects" if one["after"] == "canary" else ""
    was = f", was {one['before']}" if one["before"] else ""
    return f"{one['artifact']} {one['name']} {one['version'][:8]} is {one['after']}{share}{was}."


def _request_text(found: dict[str, Any]) -> str:
    one, version = found["request"], found["version"]
    lines = [
        ("request", f"{one['id']} ({one['status']}): {_asked(one['ask'])}"),
        ("asked", f"by {one['by']} at {moment(one['at'])}: {one['why']}"),
    ]
    if version is not None:
        lines += [
            ("version", f"{version['title']}, risk {version['risk']}"),
            ("put", f"by {version['by']} at {moment(version['at'])}: {version['why']}"),
            *(("differs", words) for words in found["differs"]),
            *(
                (what, msgspec.json.encode(evidence).decode())
                for what, evidence in found["findings"].items()
            ),
        ]
    return "\n".join(f"{name:<10} {plain(value)}" for name, value in lines)


def _running(told: dict[str, Any]) -> str:
    does = "are cancelled" if told["rule"] == "cancel" else "finish"
    number, version = told["interventions"], told["version"][:8]
    return f"  Running interventions of {told['policy']} {version} {does}: {number}."


def _asked(one: dict[str, Any]) -> str:
    if one["what"] == "switch":
        return f"switch to {one['set']}"
    if one["what"] == "rollback":
        return f"rollback of {one['kind']} {one['name']}"
    share = f" {_percent(one['share'])}" if one["after"] == "canary" else ""
    upto = f", growing to {_percent(one['upto'])}" if share and one["upto"] > one["share"] else ""
    return f"{one['kind']} {one['name']} {one['version'][:8]} to {one['after']}{share}{upto}"
