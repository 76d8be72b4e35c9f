"""Whether files changed, without reading them."""

from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[tuple[str, int, int], ...]


def stamp(files: Iterable[Path]) -> Stamp:
    """Names, sizes and times of change of those that are there; equal means nothing changed."""
    found = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            continue
        found.append((str(file), stat.st_size, stat.st_mtime_ns))
    return tuple(found)
