"""Backtest: what policies would have decided over a history, by the very code that decides live."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    SettingsApplied,
)
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record
from forestall.contracts.instants import parse_time
from forestall.decide.engine import Engine, Order
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


class Step(NamedTuple):
    """Records that were taken together, and what was decided on them, in order.

    A decision's place is that of ``contracts.decision.Decided``; at the closing tick there are no
    records.
    """

    records: Sequence[Record]
    decided: Sequence[tuple[Order, Decision]]

    def noticed(self, grace: int) -> Iterator[tuple[Order, int, Decision]]:
        """Each decision with the log time at which a running server would have noticed it.

        For a record that is when it was received; for a timer ``grace`` (microseconds) after its
        deadline, or when the record came that made it due, if that was sooner.
        """
        for order, decision in self.decided:
            index, by_record = divmod(order, 2)
            at = parse_time(decision.at) + grace
            if index < len(self.records):
                received = self.records[index].received
                at = received if by_record else min(received, at)
            yield order, at, decision


def backtest(controls: Sequence[Control], history: History, engine: Engine) -> Iterator[Step]:
    """Decisions over a whole history, with the tick at its end.

    Features of later policy versions are kept from the beginning.
    """
    engine.keep(features_of(controls))
    for control in sorted(controls, key=lambda control: control.received):
        engine.control(control)
    for records in history:
        yield Step(records, engine.process(records))
    if history.tick is not None:
        yield Step((), [(0, decision) for decision in engine.tick(history.tick)])


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
    return [
        decision for step in backtest(everything, history, engine) for _, decision in step.decided
    ]
