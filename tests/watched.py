"""Logs with decisions of one policy and what followed them, made to measure; times in hours."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from forestall.contracts.control import (
    Control,
    DecideSettings,
    ModelInForce,
    ModelsApplied,
    PoliciesApplied,
    PolicyInForce,
    SettingsApplied,
)
from forestall.contracts.decision import Confidence, Decided, Decision, Mode, Outcome, Reason
from forestall.contracts.event import Record
from forestall.contracts.instants import HOUR, format_time, parse_time
from forestall.log import streams
from forestall.log.sqlite import SqliteLog
from forestall.measure.assign import in_holdout
from forestall.measure.model import Model, Platt, canonical, version
from forestall.measure.reading import Happening

START = parse_time("2024-05-01T00:00:00Z")
TICKET = "forestall.ticket.opened"
WEEK = 7 * 24


def moment(hours: float) -> int:
    return START + round(hours * HOUR)


def record(hours: float, event_type: str, subject: str = "u", **data: Any) -> Record:
    at = moment(hours)
    name = f"{event_type}-{subject}-{hours}"
    return Record(
        name, "s", event_type, subject, at, at, data=msgspec.Raw(msgspec.json.encode(data))
    )


def confidence(probability: float, model: str = "churn", mode: Mode = "live") -> Confidence:
    return Confidence(model, "m1", mode, probability, {})


def decided(
    hours: float,
    subject: str = "u",
    outcome: Outcome = "intervene",
    reason: Reason | None = None,
    *,
    policy: str = "help",
    version: str = "v1",
    mode: Mode = "live",
    features: dict[str, Any] | None = None,
    said: Sequence[Confidence] = (),
) -> Decided:
    at = moment(hours)
    return Decided(
        0,
        0,
        at,
        Decision(
            id=f"{policy}-{subject}-{hours}-{mode}-{version}",
            policy=policy,
            version=version,
            mode=mode,
            subject=subject,
            key=None,
            at=format_time(at),
            outcome=outcome,
            reason=reason,
            matched=("m",),
            features=features or {},
            explanation="because",
            confidence=tuple(said) or msgspec.UNSET,
        ),
    )


def controls(*, holdout: float = 0.0, own: float = 0.0, exempt: bool = False) -> list[Control]:
    """The settings and the one policy of a deployment, from the start on."""
    return [
        SettingsApplied(START, DecideSettings(holdout=holdout, salt="pepper"), "t", ""),
        PoliciesApplied(START, (in_force("help", "v1", own, exempt=exempt),), {}, "t", ""),
    ]


def in_force(name: str, version: str, own: float, *, exempt: bool = False) -> PolicyInForce:
    budget = "transactional" if exempt else "guidance"
    text = msgspec.json.encode({"holdout": own, "budget_class": budget})
    return PolicyInForce(name, version, msgspec.Raw(text))


def model_in_force(name: str = "churn", horizon_hours: float = WEEK) -> ModelsApplied:
    """A model that claims an outcome of tickets, in force from the start on."""
    model = Model(
        name=name,
        outcome=TICKET,
        horizon=round(horizon_hours * HOUR),
        policy="help",
        intercept=0.0,
        features=(),
        calibration=Platt(1.0, 0.0),
    )
    one = ModelInForce(name, version(model), msgspec.Raw(canonical(model)))
    return ModelsApplied(START, (one,), {}, "t", "")


def arm(subject: str, holdout: float, own: float) -> tuple[Outcome, Reason | None]:
    """What chance does with a subject, as the engine does."""
    if in_holdout("pepper:help", subject, own):
        return "holdout", "policy_holdout"
    if in_holdout("pepper", subject, holdout):
        return "holdout", "global_holdout"
    return "intervene", None


def helped(
    customers: int,
    seed: int,
    *,
    holdout: float = 0.2,
    own: float = 0.3,
    refused_below: float = 0.0,
) -> list[Happening]:
    """Each customer meets the policy once; ``x`` from 0 to 1 is the chance of a ticket without a
    message, and the message halves it. The model says x."""
    chance = np.random.default_rng(seed)
    found: list[Happening] = []
    for number in range(customers):
        x = float(chance.random())
        name = f"c{seed}-{number}"
        outcome, reason = arm(name, holdout, own)
        if x < refused_below:
            outcome, reason = "suppress", "low_confidence"
        at = number * WEEK / customers
        said = [confidence(round(x, 6))]
        found.append(decided(at, name, outcome, reason, features={"x": x, "plan": "a"}, said=said))
        if chance.random() < (x / 2 if outcome == "intervene" else x):
            found.append(record(at + 1, TICKET, name))
    return sorted(found, key=when)


def when(one: Happening) -> int:
    return one.received if isinstance(one, Record) else one.noticed


def write(
    folder: Path, happenings: Iterable[Happening], said: Sequence[Control], end: float
) -> Path:
    """A server's data folder in which this happened; ``end`` is the log time reached, in hours.

    All events are one batch; a decision is made just before the event that follows it."""
    folder.mkdir(parents=True, exist_ok=True)
    signals, own = SqliteLog(folder / "gateway.db"), SqliteLog(folder / "worker.db")
    decisions: list[Decided] = []
    records: list[Record] = []
    for one in happenings:
        if isinstance(one, Record):
            records.append(one)
        else:
            order = 2 * len(records)
            decisions.append(msgspec.structs.replace(one, position=1, order=order))
    signals.commit([streams.signals(records)] if records else [], tick=moment(end))
    own.commit([streams.control(said)])
    if decisions:
        own.commit([streams.decisions(decisions)])
    signals.close()
    own.close()
    return folder
