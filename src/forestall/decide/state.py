"""What the engine remembers of each subject, in a shape that can be written down as a snapshot. Pure."""

from typing import Any, Final

import msgspec

from forestall.context.features import KEYS, REMEMBERED, Window, drop_oldest, observe, value_at
from forestall.contracts.control import DecideSettings
from forestall.contracts.decision import Mode
from forestall.decide.gates import Ledger, Switches
from forestall.decide.patterns import Keys
from forestall.policy.language.model import Feature, Policy

NEVER: Final = 2**62
"""A deadline that does not come."""


class FeatureState(msgspec.Struct):
    """A feature's windows by key, the key touched longest ago first; none where there is no ``by``.

    ``upper`` is at least the number of remembered events in all windows together.
    """

    windows: dict[str | None, Window] = {}
    upper: int = 0

    def observe(self, feature: Feature, key: str | None, value: Any, t: int, serial: int) -> int:
        """Add an event; how many remembered ones had to be dropped for it."""
        window = self.windows.pop(key, None) or Window()
        self.windows[key] = window
        observe(feature.kind, feature.over, window, t, value, serial)
        self.upper += 1
        dropped = 0
        if len(self.windows) > KEYS:
            oldest = self.windows.pop(next(iter(self.windows)))
            value_at(feature.kind, feature.over, oldest, t)
            dropped = len(oldest)
        if self.upper > REMEMBERED:
            dropped += self._shrink(feature, t)
        return dropped

    def _shrink(self, feature: Feature, t: int) -> int:
        for window in self.windows.values():
            value_at(feature.kind, feature.over, window, t)
        self.upper = sum(len(window) for window in self.windows.values())
        dropped = 0
        while self.upper > REMEMBERED:
            oldest = min(
                (window for window in self.windows.values() if len(window)),
                key=lambda window: window.serials[window.head],
            )
            drop_oldest(feature.kind, oldest)
            self.upper -= 1
            dropped += 1
        return dropped


class Subject(msgspec.Struct):
    """One subject: its clock, ledger, the events it must not take twice (digest to
    ``received``), feature and pattern state by slot, and a deadline not after its next timer.

    ``shadow`` holds the acts that policies in shadow mode would have done; the rest of it is unused.
    """

    clock: int = 0
    serial: int = 0
    deadline: int = NEVER
    ledger: Ledger = msgspec.field(default_factory=Ledger)
    shadow: Ledger = msgspec.field(default_factory=Ledger)
    seen: dict[bytes, int] = {}
    features: dict[int, FeatureState] = {}
    patterns: dict[int, Keys] = {}


class ViewAtRest(msgspec.Struct, frozen=True):
    """What held at one moment: settings, switches, services, and policies by slot, with
    version and mode."""

    settings: DecideSettings
    switches: Switches
    services: dict[str, Any]
    programs: list[tuple[int, str, Mode, Policy]]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A whole engine at rest. ``past`` is what held until which ``received``."""

    now: ViewAtRest
    past: list[tuple[int, ViewAtRest]]
    numbers: dict[str, dict[str, Any]]
    received: int
    slots: int
    features: list[tuple[Feature, int]]
    subjects: dict[str, Subject]
    counters: dict[str, int]
