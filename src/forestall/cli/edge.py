"""``forestall edge``: what pages are given to decide for themselves."""

from typing import Annotated, Any

import msgspec
import typer

from forestall.cli.deployment import ConfigOption, DataOption, data_for, settings_for
from forestall.cli.person import AsJson, echo_json, plain
from forestall.context.knowledge.runbooks import load_runbooks
from forestall.contracts.errors import UnreadableInput
from forestall.contracts.instants import day_of, format_duration, format_time
from forestall.decide.history import deployed_controls
from forestall.kernel.clock import random_id, wall_clock
from forestall.policy.edge import EdgePolicy, Offer, in_force, offer, payload
from forestall.policy.edge_key import EdgeKey, new_key

app = typer.Typer(
    help="Pages that decide themselves: the key that they pin, and the policies they are given.",
    no_args_is_help=True,
)


@app.command()
def key(
    new: Annotated[
        bool,
        typer.Option(
            "--new",
            help="Make a new key first. Pages that pin the old one leave deciding to the server"
            " until they pin the new one.",
        ),
    ] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: AsJson = False,
) -> None:
    """Print the public key that a page pins: `init({edge: "KEY"})`.

    The key is made at first use. Run this where the data folder lies, as the user that runs the
    server. Exit code 2 where the folder or its key cannot be used.
    """
    folder = data_for(data, config)
    if data is not None and not folder.is_dir():
        raise UnreadableInput(f"{folder}: there is no such data folder")
    try:
        found = new_key(folder, random_id) if new else EdgeKey(folder, random_id)
    except OSError as error:
        named = error.filename or folder
        raise UnreadableInput(f"{named}: cannot be used: {error.strerror}") from None
    if as_json:
        echo_json({"public": found.public, "kid": found.id, "algorithm": "Ed25519"})
    else:
        typer.echo(found.public)


@app.command()
def bundle(config: ConfigOption = None, data: DataOption = None, as_json: AsJson = False) -> None:
    """Show which policies pages decide now, and why others with `edge: true` are left out.

    Read from the data folder; no server needs to run. Exit code 1 where there is none to serve.
    """
    folder, now = data_for(data, config), wall_clock()
    runbooks = settings_for(config).runbooks
    words = load_runbooks(runbooks) if runbooks else {}
    offered = offer(in_force(deployed_controls(folder)), words, day_of(now))
    said = payload(offered, now)
    if as_json:
        echo_json({"bundle": said, "left_out": dict(offered.left_out)})
    else:
        typer.echo("\n".join(_lines(offered, said)))
    if not offered.policies:
        raise typer.Exit(1)


def _lines(offered: Offer, said: dict[str, Any]) -> list[str]:
    if offered.policies:
        size = len(msgspec.json.encode(said))
        until = format_time(said["expires"])
        lines = [f"revision {said['revision']}, {size:,} bytes, good until {until}"]
    else:
        lines = ["no policy in force is for pages to decide"]
    for one in offered.policies:
        lines += ["", *_policy(one)]
    if offered.left_out:
        lines += ["", "left out:"]
        lines += [f"  {name}: {plain(why)}" for name, why in offered.left_out.items()]
    return lines


def _policy(one: EdgePolicy) -> list[str]:
    policy, entry = one.policy, one.entry
    message = entry["message"]
    types = dict.fromkeys(name for step in policy.when.steps for name in step.match.types)
    lines = [
        f"{policy.name} {entry['version'][:12]}: {plain(policy.title)}",
        f"  on {', '.join(types)}; not again for {format_duration(policy.cooldown)}",
    ]
    if one.traits:
        lines.append(f"  the pass tells it {', '.join(sorted(one.traits))}")
    shown = " ".join(f"{message['title']} {message['body']}".split())
    return [*lines, f"  says: {plain(shown[:200])}"]
