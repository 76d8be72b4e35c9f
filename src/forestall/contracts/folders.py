"""Looking through a folder of files that people wrote, so that nothing in it is missed silently."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from forestall.contracts.errors import UnreadableInput


def files_below(folder: Path, endings: tuple[str, ...], *, hidden: bool = False) -> list[Path]:
    """Every file below ``folder`` whose name has one of ``endings``, sorted; hidden files, and what
    is in hidden folders, only if asked for. A link that leads nowhere is one, as its author meant
    it to be; pipes and other things that only look like files are not.

    Raises ``UnreadableInput`` for a folder that may not be looked into: its files are there, and
    to go on without them would be to lose them. What vanishes meanwhile is not among them, and
    there are none where there is no such folder.
    """
    return sorted(
        path
        for path in _walk(folder, hidden=hidden)
        if path.name.endswith(endings) and _may_be_read(path)
    )


def files_at(path: Path, endings: tuple[str, ...]) -> list[Path]:
    """``path`` itself, or every file below it with one of ``endings``, hidden ones left out.

    Raises ``UnreadableInput`` when there is no such file or folder, or it may not be looked into.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UnreadableInput(f"{path}: no such file or folder")
    return files_below(path, endings)


def require_some(found: Sequence[Path], path: Path, what: str) -> None:
    """For commands to which it is a slip: raises ``UnreadableInput`` when nothing was ``found`` at
    ``path``; ``what`` names one such file."""
    if not found:
        raise UnreadableInput(f"{path}: there is no {what} in it; is it the right folder?")


def _walk(folder: Path, *, hidden: bool) -> Iterator[Path]:
    for top, folders, names in os.walk(folder, onerror=_told):
        if not hidden:
            folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(top)
        yield from (here / name for name in names if hidden or not name.startswith("."))


def _may_be_read(path: Path) -> bool:
    """Whether it is a file; also where nobody may see whether, so that reading it tells."""
    try:
        return path.is_file() or (path.is_symlink() and not path.exists())
    except PermissionError:
        return True


def _told(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise UnreadableInput(f"{error.filename}: cannot be read: {error.strerror}") from None
