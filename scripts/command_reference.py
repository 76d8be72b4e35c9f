"""Write ``docs/reference/commands.md`` from the commands' own help texts: ``make docs``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from forestall.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "commands.md"

HEAD = """# Commands

Every command, as `--help` tells it. `-h` and `--help` work everywhere, and `forestall --version`
says which version this is.

Exit codes: 0 it went well; 1 the answer is no, or problems were found; 2 the input could not be
used. Errors go to standard error.
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its full name."""

    def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        if hasattr(command, "commands"):
            for child in command.commands.values():
                yield from walk(child, f"{name} {child.name}")
        else:
            yield name, command

    yield from walk(typer.main.get_command(app), "forestall")


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_section(name, command) for name, command in commands())])


def _section(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    usage = " ".join([name, "[OPTIONS]", *(_argument(one) for one in arguments)])
    rows = [
        *(f"| `{_argument(one)}` | {_cell(one.help)} |" for one in arguments),
        *(f"| {_names(one)} | {_cell(one.help)}{_default(one)} |" for one in options),
    ]
    table = ["| argument or option | meaning |", "|---|---|", *rows] if rows else []
    return "\n".join([f"## {name}", "", f"`{usage}`", "", command.help, "", *table, ""])


def _argument(argument: Any) -> str:
    word = argument.metavar or argument.name.upper()
    return f"{word}..." if argument.nargs == -1 and argument.metavar is None else word


def _names(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=len))
    return f"{names} (required)" if option.required else names


def _default(option: Any) -> str:
    default = getattr(option.default, "value", option.default)
    shown = not (default is None or option.is_flag or option.required)
    return f" Default: `{default}`." if shown else ""


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
