"""When the worker looks for reference cycles: never while there is something to decide.

Deciding makes no cycles (a test holds that), so nothing piles up while the collector is off; what
reading changed files leaves behind is found when nothing has come for a while.
"""

import gc
from collections.abc import Callable

QUIET = 1.0
"""Seconds without anything to do before a collection."""

EVERY = 60.0
"""Least seconds between two collections."""


class Collecting:
    """The cyclic collector under our own rule; ``now`` gives seconds that never go back.

    It looks only at what came since its last look: what has survived one is frozen.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        gc.disable()
        self._collect()

    def _collect(self) -> None:
        gc.collect()
        gc.freeze()
        self._last = self._busy = self._now()

    def worked(self) -> None:
        """There was something to do."""
        self._busy = self._now()

    def rested(self) -> bool:
        """There was nothing to do; whether a collection was due and made."""
        now = self._now()
        due = now - self._busy >= QUIET and now - self._last >= EVERY
        if due:
            self._collect()
        return due
