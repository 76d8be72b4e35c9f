"""The knowledge of a running deployment: what its files say by now, and what of it has expired."""

import datetime
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from forestall.context.knowledge.runbooks import (
    Runbooks,
    current,
    expired,
    markdown_files,
    read_folder,
)
from forestall.contracts.errors import InvalidFile, Problem, UnreadableInput
from forestall.kernel.settings.stamps import Stamp, stamp


class Stock:
    """Runbooks and articles of ``folder`` (none: there are none), read again when they change.

    A change in the files ``also`` counts as well. Starts empty: ``look`` fills it. A file that has
    mistakes stays as it last was without; ``problems`` tells what is wrong with it.
    """

    def __init__(self, folder: Path | None, also: Sequence[Path] = ()) -> None:
        self._folder, self._also = folder, tuple(also)
        self._seen: object = None
        self.day = datetime.date.min
        """The day of the last look."""
        self.runbooks: Runbooks = {}
        self.problems: tuple[Problem, ...] = ()

    def look(self, day: datetime.date) -> bool:
        """Read what there is by now; whether anything may be different from the last look: a file,
        or what has expired on ``day``. Blocks; may be called from a thread."""
        seen, before = self._stamp(), self.expired
        changed = seen != self._seen
        if changed:
            self._seen = seen
            self._read()
        self.day = day
        return changed or self.expired != before

    @property
    def current(self) -> Runbooks:
        """Those that may be used on the day of the last look."""
        return current(self.runbooks, self.day)

    @property
    def expired(self) -> tuple[str, ...]:
        """The names of those that may not."""
        return tuple(sorted(name for name, one in self.runbooks.items() if expired(one, self.day)))

    def demand(self) -> None:
        """Raise ``InvalidFile`` if a file has mistakes; for the start, where there is no last one."""
        if self.problems:
            raise InvalidFile(self.problems)

    def _read(self) -> None:
        if self._folder is None:
            return
        found, problems = read_folder(self._folder)
        broken = {problem.file for problem in problems}
        for name, one in self.runbooks.items():
            if one.path in broken or str(self._folder) in broken:
                found.setdefault(name, one)
        self.runbooks, self.problems = found, tuple(problems)

    def _stamp(self) -> Stamp:
        """Names, sizes and times of change; equal means that nothing changed."""
        files = [*self._also]
        if self._folder is not None:
            files.append(self._folder)
            with suppress(UnreadableInput):  # as if there were none; reading them tells
                files += markdown_files(self._folder)
        return stamp(files)
