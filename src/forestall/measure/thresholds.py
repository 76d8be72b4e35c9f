"""Proposed thresholds: from where on a policy should act, now that its model's claims have drifted.

A proposal is text for ``thresholds.yaml`` under change control. Nothing here applies anything.
"""

import re
from collections.abc import Iterable, Mapping
from math import exp, log
from typing import Final

import msgspec
import numpy as np

from forestall.contracts.control import Control, ModelsApplied, PoliciesApplied
from forestall.measure.claims import BINS, EVERYBODY, Calibration, Watched
from forestall.measure.evaluation import logistic

SMALLEST: Final = 0.01
"""A change of the threshold below which none is proposed."""

DIGITS: Final = 3
_FLAT = 0.2
_FAR = 100.0


class InForce(msgspec.Struct, frozen=True):
    """The threshold at which a policy acts now, of which version of which model."""

    model: str
    version: str
    threshold: float


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """``threshold`` in place of ``present``, and why."""

    policy: str
    model: str
    version: str
    present: float
    threshold: float
    why: str


class _Asks(msgspec.Struct):
    name: str
    threshold: float


class _Canonical(msgspec.Struct):
    model: _Asks | None = None


def in_force(controls: Iterable[Control]) -> dict[str, InForce]:
    """The thresholds of live policies that ask a live model, by policy, as ``controls`` end."""
    policies: dict[str, _Asks] = {}
    models: dict[str, str] = {}
    instead: dict[str, float] = {}
    for record in controls:
        if isinstance(record, PoliciesApplied):
            policies = {}
            for one in record.policies:
                said = msgspec.json.decode(one.canonical, type=_Canonical).model
                if one.mode == "live" and said is not None:
                    policies[one.name] = said
        elif isinstance(record, ModelsApplied):
            models = {one.name: one.version for one in record.models if one.mode == "live"}
            instead = record.thresholds
    return {
        name: InForce(asks.name, models[asks.name], instead.get(name, asks.threshold))
        for name, asks in policies.items()
        if asks.name in models
    }


def proposals(
    found: Iterable[Calibration],
    watched: Mapping[tuple[str, str, str, str], Watched],
    thresholds: Mapping[str, InForce],
) -> list[Proposal]:
    """For each policy whose live model's claims raised an alarm, the threshold that acts from the
    same real probability on as the present one was meant to.

    What happened is regressed on the log-odds of what was said (Cox, "Two Further Applications of a
    Model for Binary Regression", 1958). There is none where the claims say next to nothing any
    more, or where decisions like those at the proposed threshold were never seen.
    """
    made = []
    for one in found:
        now = thresholds.get(one.policy)
        if not one.alarm or one.segment != EVERYBODY or now is None or now.version != one.version:
            continue
        threshold = _equivalent(watched[one.policy, one.model, one.version, EVERYBODY], now)
        if threshold is None or abs(threshold - now.threshold) < SMALLEST:
            continue
        made.append(
            Proposal(
                policy=one.policy,
                model=one.model,
                version=one.version,
                present=now.threshold,
                threshold=threshold,
                why=(
                    f"model {one.model} {one.version[:8]} said {one.said:.3f} on average of "
                    f"{one.decisions:,} decisions that caused nothing, and {one.happened:.3f} "
                    f"happened; it now has to say {threshold} where {now.threshold} is meant"
                ),
            )
        )
    return made


def written(text: str, proposed: Iterable[Proposal]) -> str:
    """``text``, a ``thresholds.yaml``, with each proposal in its place or at the end."""
    for one in proposed:
        entry = f"# {one.why}\n{one.policy}: {one.threshold}\n"
        line = re.compile(
            rf"(?:^# model [^\n]*\n)?^(['\"]?){re.escape(one.policy)}\1[ \t]*:[^\n]*(?:\n|\Z)",
            re.MULTILINE,
        )
        there = line.search(text)
        if there is not None:
            text = text[: there.start()] + entry + text[there.end() :]
        else:
            text += ("" if not text or text.endswith("\n") else "\n") + entry
    return text


def _equivalent(watched: Watched, now: InForce) -> float | None:
    """What the model says where the present threshold is what happens."""
    if not 0 < now.threshold < 1:
        return None
    seen = sorted({place for place, _ in watched.bins})
    said = np.array([[_log_odds((place + 0.5) / BINS)] for place in seen for _ in (0, 1)])
    followed = np.array([float(yes) for _ in seen for yes in (0, 1)])
    times = np.array([float(watched.bins[place, bool(yes)]) for place in seen for yes in (0, 1)])
    shift, slope = logistic(said, followed, times, penalty=1e-3)
    if slope < _FLAT:
        return None
    odds = max(-_FAR, min(_FAR, (_log_odds(now.threshold) - shift) / slope))
    threshold = round(1 / (1 + exp(-odds)), DIGITS)
    inside = seen[0] / BINS <= threshold <= (seen[-1] + 1) / BINS
    return threshold if inside and 0 < threshold < 1 else None


def _log_odds(probability: float) -> float:
    return log(probability / (1 - probability))
