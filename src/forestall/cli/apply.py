"""``forestall apply``: a folder of policies, agents, prompts, thresholds and models into the registry."""

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
import typer

from forestall.cli.deployment import ConfigOption
from forestall.cli.person import AsJson, Refused, ask, echo_json, part
from forestall.cli.plan_text import plan_text
from forestall.contracts.errors import UnreadableInput
from forestall.kernel.clock import monotonic
from forestall.policy.lifecycle import Set
from forestall.policy.plan import Plan
from forestall.policy.sources import read_folder

PATIENCE: Final = 3_600.0
"""Seconds that a plan may take, with its turn after others and its backtest."""

_GIT_SECONDS = 10
_BAD = ("invalid-file", "unreadable-input")


class Commit(msgspec.Struct, frozen=True):
    """The commit that a folder is at; ``dirty`` where something in it is not committed."""

    commit: str
    dirty: bool


def apply(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="The folder: policies, and if it has them actions/ and prompts/."
        ),
    ],
    set_: Annotated[
        Set | None, typer.Option("--set", help="Into this set; the active one if left out.")
    ] = None,
    only_plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="Only print the plan; exit code 1 if there is something to do."
        ),
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also retire what is not in the folder.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before applying.")] = False,
    backtest: Annotated[
        bool, typer.Option(help="Try the changes over the server's own log, old against new.")
    ] = True,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why; it is kept with every version.")
    ] = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
) -> None:
    """Plan what a folder changes, in words and in a backtest's figures, and then apply it.

    The server checks, tests and backtests what is sent. What passes is validated by that; nothing
    decides before it is promoted. Exit code 1 if something did not pass, 2 if the folder cannot be
    read. Your token is read from FORESTALL_TOKEN.
    """
    found_there = read_folder(folder)
    if not found_there and not prune:
        raise UnreadableInput(f"{folder}: there is nothing in it to apply; is it the right folder?")
    files = msgspec.json.encode(found_there)
    if not only_plan and not (reason or "").strip():
        raise UnreadableInput("say why with --reason, or only look with --plan")
    asked = {
        **({} if set_ is None else {"set": set_}),
        "prune": str(prune).lower(),
        "backtest": str(backtest).lower(),
    }
    started = ask(config, "POST", f"/v1/plans?{urlencode(asked)}", files)
    found = waited(config, "plans", started["id"], progress())
    plan = msgspec.convert(found["plan"], Plan)
    if as_json and (only_plan or not plan.to_do):
        echo_json({"hash": found["hash"], **msgspec.to_builtins(plan)})
    elif not as_json:
        typer.echo("\n".join(plan_text(plan, found["warnings"])))
    if only_plan:
        raise typer.Exit(1 if plan.to_do else 0)
    if not plan.to_do:
        return
    if not yes:
        typer.confirm("Apply this?", abort=True, err=as_json)
    _applied(config, found, reason or "", commit_of(folder), as_json)
    if any(line.checked is not None and not line.checked.sound for line in plan.to_do):
        raise typer.Exit(1)


def _applied(
    config: Path | None, found: dict[str, Any], reason: str, commit: Commit | None, as_json: bool
) -> None:
    body = {
        "hash": found["hash"],
        "reason": reason,
        **({} if commit is None else msgspec.structs.asdict(commit)),
    }
    done = ask(config, "POST", f"/v1/plans/{part(found['id'])}/application", body)
    if as_json:
        echo_json(done)
    for one in () if as_json else done["applied"]:
        typer.echo(f"{one['kind']} {one['name']} {one['version'][:8]} is {one['state']}.")


def waited(
    config: Path | None, what: str, id_: str, told: Callable[[float], None]
) -> dict[str, Any]:
    """What a job of the server came to, once it is done; ``told`` hears which fraction is.

    Raises ``UnreadableInput`` where what was sent is wrong, and ``Refused``.
    """
    deadline, pause = monotonic() + PATIENCE, threading.Event()
    seconds = 0.05
    while True:
        found: dict[str, Any] = ask(config, "GET", f"/v1/{what}/{part(id_)}")
        if found["state"] == "failed":
            wrong = found["wrong"]
            if wrong["code"] in _BAD:
                raise UnreadableInput(wrong["message"])
            raise Refused(f"{wrong['code']}: {wrong['message']}")
        if found["state"] == "done":
            told(1.0)
            return found
        if monotonic() > deadline:
            raise Refused(f"weighing-failed: nothing within {PATIENCE:.0f} s; ask again")
        told(found["done"])
        pause.wait(seconds)
        seconds = min(1.0, seconds * 1.5)


def progress() -> Callable[[float], None]:
    """Tells on stderr how far a backtest is, where somebody watches."""
    if not typer.get_text_stream("stderr").isatty():
        return lambda _: None
    return lambda done: typer.echo(_told(done), nl=False, err=True)


def _told(done: float) -> str:
    return f"\rbacktest {done:4.0%} " if done < 1 else f"\r{'':14}\r"


def commit_of(folder: Path) -> Commit | None:
    """The commit that ``folder`` is at; none where there is no git, or nothing of it is in there."""
    head = _git(folder, "rev-parse", "HEAD")
    kept = _git(folder, "ls-files", "--", ".")
    status = _git(folder, "status", "--porcelain", "--", ".")
    if head is None or not kept or status is None:
        return None
    return Commit(head.strip(), bool(status.strip()))


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        ended = subprocess.run(  # noqa: S603
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout if ended.returncode == 0 else None
