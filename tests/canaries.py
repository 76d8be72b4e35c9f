"""Canaries in simulation: counts look by look, as a step would see them, drawn with numpy."""

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from forestall.measure.canary import Counted, Outcomes, Plan, Sizes
from forestall.measure.verdict import fails

DELAY = (0.4, 0.3, 0.2, 0.1)
"""The parts of outcomes that come with the look of the subject's first event and those after it."""

BINS = (80.0, 120.0, 200.0, 400.0, 1_000.0, 5_000.0)
LATENCIES = (0.30, 0.30, 0.20, 0.12, 0.06, 0.02)
"""Milliseconds from decision to message, and how likely they are."""


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of the subjects of one arm: chances of outcomes, of all who are active (tickets,
    errors, shown) and of those who are shown something (dismissed); latencies by ``BINS``."""

    tickets: float = 0.03
    errors: float = 0.002
    shown: float = 0.3
    dismissed: float = 0.2
    latencies: tuple[float, ...] = LATENCIES


USUAL = Arm()


def step(**changed: object) -> Plan:
    """A step with the default guardrails at 10 % of subjects."""
    plan = Plan(name="hint", version="v2", salt="s:hint:canary", begun=0, share=0.1)
    return msgspec.structs.replace(plan, **changed)


def course(
    chance: np.random.Generator,
    plan: Plan,
    canary: Arm,
    rest: Arm,
    looks: int,
    subjects: int,
    storms: float = 0.0,
) -> Iterator[Counted]:
    """What is counted at each of ``looks``, between which ``subjects`` come; those of the last four
    have not settled. With chance ``storms`` a third of all who come between two looks open a ticket.
    """
    storm = chance.random(looks) < storms
    arrived = chance.binomial(subjects, plan.chance, looks)
    columns = {}
    for name, arm, counts in (("canary", canary, arrived), ("rest", rest, subjects - arrived)):
        shown = chance.binomial(counts, arm.shown)
        columns[name] = {
            "active": counts.cumsum(),
            "shown": shown.cumsum(),
            "tickets": _delayed(
                chance, chance.binomial(counts, np.where(storm, 0.33, arm.tickets))
            ),
            "errors": _delayed(chance, chance.binomial(counts, arm.errors)),
            "dismissed": _delayed(chance, chance.binomial(shown, arm.dismissed)),
            "latency": chance.multinomial(shown, arm.latencies).cumsum(axis=0),
        }
    for look in range(looks):
        yield _counted(plan, columns, look)


def _delayed(chance: np.random.Generator, outcomes: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """How many have come by each look, of outcomes by the look of their subject's first event."""
    spread = chance.multinomial(outcomes, DELAY)
    come = np.zeros(len(outcomes), dtype=np.int64)
    for late in range(len(DELAY)):
        come[late:] += spread[: len(outcomes) - late, late]
    return come.cumsum()


def _counted(plan: Plan, columns: dict[str, dict[str, "NDArray[np.int64]"]], look: int) -> Counted:
    def sizes(what: str, at: int) -> Sizes:
        if at < 0:
            return Sizes()
        return Sizes(int(columns["canary"][what][at]), int(columns["rest"][what][at]))

    before = look - len(DELAY)
    outcomes = []
    for watched in plan.guardrails:
        one = Outcomes()
        if watched.latency:
            rest, canary = (columns[arm]["latency"][look] for arm in ("rest", "canary"))
            one.latencies = (
                dict(zip(BINS, map(int, rest), strict=True)),
                dict(zip(BINS, map(int, canary), strict=True)),
            )
        else:
            one.early, one.settled = sizes(watched.name, look), sizes(watched.name, before)
        outcomes.append(one)
    return Counted(
        outcomes=tuple(outcomes),
        active=sizes("active", look),
        settled=sizes("active", before),
        shown=sizes("shown", look),
        shown_settled=sizes("shown", before),
        exposed=1,
    )


def failed_at(
    chance: np.random.Generator,
    plan: Plan,
    canary: Arm,
    rest: Arm,
    looks: int,
    subjects: int,
    storms: float = 0.0,
) -> int | None:
    """How many subjects the canary had had at the look at which it failed; none if it never did."""
    for counted in course(chance, plan, canary, rest, looks, subjects, storms):
        if fails(plan, counted):
            return counted.active.canary
    return None
