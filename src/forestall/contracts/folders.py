"""Looking through a folder of files that people wrote, so that nothing in it is missed silently."""

import os
from collections.abc import Iterator
from pathlib import Path

from forestall.contracts.errors import UnreadableInput


def files_below(folder: Path, *, hidden: bool = False) -> list[Path]:
    """Every file below ``folder``, sorted; hidden files, and what is in hidden folders, only if
    asked for.

    Raises ``UnreadableInput`` for a folder that may not be looked into: its files are there, and
    to go on without them would be to lose them. What vanishes meanwhile is not among them, and
    there are none where there is no such folder.
    """
    return sorted(_walk(folder, hidden=hidden))


def _walk(folder: Path, *, hidden: bool) -> Iterator[Path]:
    for top, folders, names in os.walk(folder, onerror=_told):
        if not hidden:
            folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(top)
        yield from (here / name for name in names if hidden or not name.startswith("."))


def _told(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise UnreadableInput(f"{error.filename}: cannot be read: {error.strerror}") from None
