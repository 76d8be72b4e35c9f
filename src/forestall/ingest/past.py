"""What a pseudonym leaves behind when it is joined into another: ``data`` of ``forestall.alias``.

Opt-out and consent are known at the door; dismissals stand in the subject's signals, acts in the
decisions that the worker wrote. A decision that the worker has not made yet is not carried.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from forestall.contracts.control import PoliciesApplied
from forestall.contracts.event import Record, decode_data
from forestall.contracts.instants import format_time, parse_time
from forestall.log.port import Log, LogMissing
from forestall.log.sqlite import SqliteLog
from forestall.log.streams import (
    CONTROL,
    DECISIONS,
    SIGNALS,
    read_control,
    read_decisions,
    read_signals,
)
from forestall.privacy.door import DoorState


class Acts(msgspec.Struct, frozen=True):
    """When a subject was helped, or would have been: log times, by policy and for the budget."""

    by_policy: dict[str, list[int]] = {}
    guidance: Sequence[int] = ()


ActsOf = Callable[[str], Acts]
"""Gives the acts of a subject, as decided so far."""


def acts_in(path: Path) -> ActsOf:
    """Reads acts from the worker's file, as far as there is one; opened for each join only."""

    def read(subject: str) -> Acts:
        try:
            log = SqliteLog(path, read_only=True)
        except LogMissing:
            return Acts()
        try:
            return acts_of(log, subject)
        finally:
            log.close()

    return read


def carried(former: str, state: DoorState, records: Iterable[Record], acts: Acts) -> dict[str, Any]:
    """``data`` of the alias event that joins ``former``, whose signals are ``records``."""
    optout = state.optout
    return {
        "from": former,
        "optout": optout and {"time": format_time(optout.time), "out": optout.out},
        "consent": {
            purpose: {"granted": consent.granted, "time": format_time(consent.time)}
            for purpose, consent in state.consents.items()
        },
        "dismissals": dismissals(records),
        "acts": {
            policy: [format_time(act) for act in times] for policy, times in acts.by_policy.items()
        },
        "guidance_acts": [format_time(act) for act in acts.guidance],
    }


def dismissals(records: Iterable[Record]) -> dict[str, dict[str, Any]]:
    """By policy, how often guidance was dismissed since it last helped, and whether for good."""
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        if record.type.startswith("forestall.intervention."):
            data = decode_data(record.data)
            policy = data.get("policy")
            if not isinstance(policy, str):
                continue
            own = found.setdefault(policy, {"count": 0, "never": False})
            if record.type.endswith(".dismissed"):
                own["count"] += 1
                own["never"] = own["never"] or data.get("never") is True
            elif record.type.endswith(".helped"):
                own["count"] = 0
    return {policy: own for policy, own in found.items() if own["count"] or own["never"]}


def signals_of(log: Log, subject: str) -> list[Record]:
    """The records of a subject, in log order."""
    found = []
    for position in log.of_subject(SIGNALS, subject):
        for batch in log.read(SIGNALS, after=position - 1, limit=1):
            found += [record for record in read_signals(batch) if record.subject == subject]
    return found


def acts_of(log: Log, subject: str) -> Acts:
    """The acts in the worker's ``log``: what reached the subject, or a holdout kept from them."""
    by_policy: dict[str, list[int]] = {}
    guidance: list[int] = []
    transactional = _transactional(log)
    for position in log.of_subject(DECISIONS, subject):
        for batch in log.read(DECISIONS, after=position - 1, limit=1):
            for decided in read_decisions(batch):
                decision = decided.decision
                if decision.subject != subject or decision.mode == "shadow":
                    continue
                if decision.outcome == "suppress":
                    continue
                at = parse_time(decision.at)
                by_policy.setdefault(decision.policy, []).append(at)
                if decision.reason != "policy_holdout" and decision.version not in transactional:
                    guidance.append(at)
    return Acts(by_policy, guidance)


class _Budget(msgspec.Struct):
    budget_class: str = "guidance"


def _transactional(log: Log) -> set[str]:
    """Versions of the policies whose acts cost no budget."""
    return {
        policy.version
        for batch in log.follow(CONTROL)
        for record in read_control(batch)
        if isinstance(record, PoliciesApplied)
        for policy in record.policies
        if msgspec.json.decode(policy.canonical, type=_Budget).budget_class == "transactional"
    }
