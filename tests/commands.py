"""``forestall`` as a shell would have it, but in this process: starting one takes half a second."""

import subprocess
from contextlib import chdir
from pathlib import Path

from typer.testing import CliRunner

from forestall.cli import door
from forestall.contracts.errors import ForestallError


def forestall(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What ``forestall`` with ``arguments`` answers in ``folder``."""
    with chdir(folder):
        told = CliRunner(env={"COLUMNS": "80", **environment}).invoke(
            door(arguments), list(arguments)
        )
    code, error = told.exit_code, told.stderr
    if isinstance(told.exception, ForestallError):
        code, error = told.exception.exit_code, f"{error}{told.exception}\n"
    elif told.exception is not None and not isinstance(told.exception, SystemExit):
        raise told.exception
    return subprocess.CompletedProcess(arguments, code, told.stdout, error)
