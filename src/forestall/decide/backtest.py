"""Backtest: what policies would have decided over a history, by the very code that decides live."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from forestall.contracts.control import (
    Control,
    DecideSettings,
    PoliciesApplied,
    SettingsApplied,
)
from forestall.contracts.decision import Decision
from forestall.contracts.instants import parse_time
from forestall.decide.engine import Engine, Order
from forestall.decide.history import Chunk, History
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

    A decision's place is that of ``contracts.decision.Decided`` among all events of the chunk,
    whatever the share; at the closing tick there are none.
    """

    chunk: Chunk
    decided: Sequence[tuple[Order, Decision]]

    def noticed(self, grace: int) -> Iterator[tuple[Order, int, Decision]]:
        """Each decision with the log time at which a running server would have noticed it.

        For a record that is when it was received; for a timer ``grace`` (microseconds) after its
        deadline, or when the record came that made it due, if that was sooner.
        """
        times = self.chunk.received
        for order, decision in self.decided:
            index, by_record = divmod(order, 2)
            at = parse_time(decision.at) + grace
            if index < len(times):
                at = times[index] if by_record else min(times[index], at)
            yield order, at, decision


def backtest(controls: Sequence[Control], history: History, engine: Engine) -> Iterator[Step]:
    """Decisions over a whole history, with the tick at its end.

    Features of later policy versions are kept from the beginning. Of a share of the history come
    exactly the decisions of its subjects, at the places they have in the whole.
    """
    engine.keep(features_of(controls))
    in_order = sorted(controls, key=lambda control: control.received)
    for control in in_order:
        engine.control(control)
    graces = _graces(in_order)
    for chunk in history.chunks():
        made = engine.process(chunk.records)
        ticked = engine.tick(chunk.received[-1])
        made += [(2 * len(chunk.records), decision) for decision in ticked]
        yield Step(chunk, sorted(_placed(chunk, made, graces), key=in_log_order))
    if history.tick is not None:
        last = [(0, decision) for decision in engine.tick(history.tick)]
        yield Step(Chunk.of(()), sorted(last, key=in_log_order))


def in_log_order(placed: tuple[Order, Decision]) -> tuple[Order, str, str]:
    """What sorts a chunk's decisions as one engine makes them: timers by deadline, then subject.

    Decisions that are equal in it have one subject and stay as they are.
    """
    order, decision = placed
    return order, decision.at, decision.subject


def _placed(
    chunk: Chunk, made: Iterable[tuple[Order, Decision]], graces: Sequence[tuple[float, float, int]]
) -> Iterator[tuple[Order, Decision]]:
    """Decisions placed among all events of the chunk instead of among its records.

    A timer fires when the log has gone far enough, be it by somebody else's event.
    """
    places, received = chunk.places, chunk.received
    for order, decision in made:
        index, by_record = divmod(order, 2)
        if by_record:
            yield 2 * places[index] + 1, decision
            continue
        after = places[index - 1] + 1 if index else 0
        until = places[index] if index < len(places) else len(received)
        due = _due(parse_time(decision.at), graces)
        yield 2 * bisect_left(received, due, after, until), decision


def _graces(in_order: Sequence[Control]) -> list[tuple[float, float, int]]:
    """From when until when which ``grace`` is in force."""
    changes = [
        (-math.inf, DecideSettings().grace),
        *(
            (one.received, one.settings.grace)
            for one in in_order
            if isinstance(one, SettingsApplied)
        ),
        (math.inf, 0),
    ]
    return [(since, until, grace) for (since, grace), (until, _) in pairwise(changes)]


def _due(deadline: int, graces: Sequence[tuple[float, float, int]]) -> float:
    """The first log time at which a timer fires. What is due by a change fires before it."""
    times = (
        max(since, deadline + grace + 1)
        for since, until, grace in graces
        if deadline + grace + 1 <= until
    )
    return next(times, math.inf)


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
