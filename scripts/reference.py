"""Write the pages of the reference that the code already says: ``make docs``.

``commands.md`` comes from the commands' help texts, ``errors.md`` from the errors' docstrings, and
the published schema of a case from its types.
"""

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import typer.main

import forestall
from forestall.cli import door
from forestall.contracts.errors import ForestallError
from forestall.contracts.intervention import Case

app = door()

FOLDER = Path(__file__).parents[1] / "docs" / "reference"

CONTRACTS = Path(forestall.__file__).parent / "contracts"

COMMANDS = """# Commands

Every command, as `--help` tells it. `-h` and `--help` work everywhere, and `forestall --version`
says which version this is.

Exit codes: 0 it went well; 1 the answer is no, or problems were found; 2 the input could not be
used. Errors go to standard error.
"""

ERRORS = """# Errors

Every error that Forestall raises on purpose has a code that never changes. Its message says what
happened, where, and what to do; a command prints it and ends with the exit code shown here. The
codes with which the server refuses a request or quarantines an event are in the
[HTTP API](http-api.md).

| code | exit code | meaning |
|---|---|---|
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


def errors() -> list[type[ForestallError]]:
    """Every error of ours, by code."""
    for module in pkgutil.walk_packages(forestall.__path__, "forestall."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def below(root: type[ForestallError]) -> Iterator[type[ForestallError]]:
        for child in root.__subclasses__():
            yield child
            yield from below(child)

    return sorted({error.code: error for error in below(ForestallError)}.values(), key=_code)


def case_schema() -> str:
    """The JSON Schema of what people are handed."""
    made = msgspec.json.schema(Case)
    parts = {name: _tidy(one) for name, one in sorted(made["$defs"].items())}
    top = parts.pop("Case")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:forestall:case:1",
        "title": "Case",
    }
    return json.dumps({**head, **top, "$defs": parts}, indent=2) + "\n"


def _tidy(schema: dict[str, Any]) -> dict[str, Any]:
    """With the description on one line, and what every time is."""
    tidy = dict(schema)
    tidy["description"] = " ".join(schema["description"].replace("``", "`").split())
    for name in ("at", "since"):
        if name in schema["properties"]:
            tidy["properties"] = {
                **tidy["properties"],
                name: {**schema["properties"][name], "format": "date-time"},
            }
    return tidy


def pages() -> dict[Path, str]:
    """What each page should hold."""
    sections = [_section(name, command) for name, command in commands()]
    return {
        FOLDER / "commands.md": "\n".join([COMMANDS, *sections]),
        FOLDER / "errors.md": ERRORS + "".join(_row(error) for error in errors()),
        FOLDER / "case.schema.json": case_schema(),
        CONTRACTS / "case.schema.json": case_schema(),
    }


def _code(error: type[ForestallError]) -> str:
    return error.code


def _row(error: type[ForestallError]) -> str:
    text = " ".join((inspect.getdoc(error) or "").split())
    words = re.sub(r"``([^`]*)``", r"`\1`", text)
    return f"| `{error.code}` | {error.exit_code} | {_cell(words)} |\n"


def _section(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    usage = " ".join([name, "[OPTIONS]", *map(_used, arguments)])
    rows = [
        *(f"| `{_argument(one)}` | {_cell(one.help)} |" for one in arguments),
        *(f"| {_names(one)} | {_cell(one.help)}{_default(one)} |" for one in options),
    ]
    table = ["| argument or option | meaning |", "|---|---|", *rows] if rows else []
    return "\n".join([f"## {name}", "", f"`{usage}`", "", command.help, "", *table, ""])


def _argument(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _used(argument: Any) -> str:
    """An argument as usage shows it: in brackets where it may be left out, with dots where there may
    be many."""
    word = _argument(argument)
    several = f"{word}..." if argument.nargs == -1 and " " not in word else word
    return several if argument.required else f"[{several}]"


def _names(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=len))
    return f"{names} (required)" if option.required else names


def _default(option: Any) -> str:
    default = getattr(option.default, "value", option.default)
    shown = not (default in (None, "") or option.is_flag or option.required)
    return f" Default: `{default}`." if shown else ""


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
