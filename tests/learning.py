"""Decisions and what followed, made up for tests of models: with signal or without."""

import math
from typing import Any

import msgspec
import numpy as np

from forestall.contracts.decision import Confidence, Decided, Decision, Mode, Outcome, Reason
from forestall.contracts.event import EMPTY_DATA, Record
from forestall.contracts.instants import HOUR, MINUTE, format_time
from forestall.measure.examples import Example, Examples, Question

TICKET = "forestall.ticket.opened"
START = 1_700_000_000_000_000
QUESTION = Question(policy="p", outcome=TICKET, horizon=HOUR)


def made_up(count: int, *, signal: bool = True, seed: int = 1, every: int = MINUTE) -> Examples:
    """Examples ``every`` so many microseconds: some features tell of the outcome, ``noise`` not."""
    chance = np.random.default_rng(seed)
    found = []
    for number in range(count):
        features: dict[str, Any] = {
            "failures": int(chance.choice([0, 0, 0, 1, 2, 3])),
            "minutes": None if chance.random() < 0.2 else round(float(chance.normal(10, 4)), 3),
            "plan": str(chance.choice(["free", "pro", "team"])),
            "new": bool(chance.random() < 0.5),
            "noise": float(chance.random()),
        }
        odds = -2.2 + 0.9 * features["failures"] + (features["plan"] == "free")
        odds += 0.8 * (features["minutes"] is None) + 0.5 * features["new"]
        likely = 1 / (1 + math.exp(-odds)) if signal else 0.3
        at = START + number * every
        found.append(Example(f"s{number % 500}", at, features, bool(chance.random() < likely)))
    return Examples(tuple(found), {})


def decided(
    subject: str,
    at: int,
    *,
    outcome: Outcome = "suppress",
    reason: Reason = "low_confidence",
    mode: Mode = "live",
    version: str = "v1",
    policy: str = "p",
    noticed: int | None = None,
    features: dict[str, Any] | None = None,
    confidence: tuple[Confidence, ...] = (),
) -> Decided:
    """A decision at ``at``, noticed then or at ``noticed``."""
    decision = Decision(
        id=f"{subject}-{at}-{version}",
        policy=policy,
        version=version,
        mode=mode,
        subject=subject,
        key=None,
        at=format_time(at),
        outcome=outcome,
        reason=None if outcome == "intervene" else reason,
        matched=(f"e-{subject}-{at}",),
        features=features or {},
        explanation="",
        confidence=confidence or msgspec.UNSET,
    )
    return Decided(1, 1, at if noticed is None else noticed, decision)


def happened(subject: str, at: int, type_: str = TICKET, received: int | None = None) -> Record:
    """An event at ``at``, received then or at ``received``."""
    came = at if received is None else received
    return Record(f"t-{subject}-{at}", "test", type_, subject, at, came, "server", EMPTY_DATA, None)
