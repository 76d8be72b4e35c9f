"""Backtest: what policies would have decided over a history, by the very code that decides live."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    SettingsApplied,
)
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.decide.engine import Engine
from forestall.decide.history import History
from forestall.policy.bundle import Bundle, applied, policies_of
from forestall.policy.language.model import Feature, Policy

BEGINNING = -(2**62)
"""A ``received`` before every record."""


def opening(bundle: Bundle, settings: DecideSettings) -> list[Control]:
    """Control records that put ``bundle`` and ``settings`` in force from the beginning."""
    return [
        SettingsApplied(BEGINNING, settings, "backtest", "from the beginning"),
        applied(bundle, BEGINNING, "backtest", "from the beginning"),
    ]


def features_of(controls: Iterable[Control]) -> set[Feature]:
    """Every feature that any of the policy sets declares."""
    return {
        feature
        for control in controls
        if isinstance(control, PoliciesApplied)
        for policy in policies_of(control)
        for feature in policy.features.values()
    }


def replay(
    controls: Sequence[Control], chunks: Iterable[Sequence[Record]], engine: Engine
) -> Iterator[list[Decision]]:
    """Decisions for each chunk. Features of later policy versions are kept from the beginning."""
    engine.keep(features_of(controls))
    for control in sorted(controls, key=lambda control: control.received):
        engine.control(control)
    for records in chunks:
        yield [decision for _, decision in engine.process(records)]


def backtest(
    controls: Sequence[Control], history: History, engine: Engine
) -> Iterator[list[Decision]]:
    """Decisions over a whole history, with the tick at its end."""
    yield from replay(controls, history, engine)
    if history.tick is not None:
        yield engine.tick(history.tick)


class Summary(msgspec.Struct):
    """What a backtest found: decisions by policy, outcome and reason (empty for none)."""

    decisions: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)

    def add(self, decisions: Iterable[Decision]) -> None:
        """Count ``decisions``."""
        self.decisions.update((d.policy, d.outcome, d.reason or "") for d in decisions)


def decide_history(
    policies: Sequence[Policy],
    lines: Iterable[bytes],
    settings: DecideSettings | None = None,
    controls: Sequence[Control] = (),
) -> list[Decision]:
    """Decisions over CloudEvents JSON lines in log order; ``controls`` come after the opening."""
    history = History(Path("<events>"), lines)
    engine = Engine()
    everything = [
        *opening(Bundle(policies=tuple(policies)), settings or DecideSettings()),
        *controls,
    ]
    return [decision for made in backtest(everything, history, engine) for decision in made]
