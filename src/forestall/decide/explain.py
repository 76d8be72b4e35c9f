"""Explain: why a policy acted for a customer at a moment, or why it did not, and what would differ.

The answer comes from the log alone: the subject's own records are decided again up to the moment,
which is cheap because the log finds them by subject.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from forestall.contracts.control import Control
from forestall.contracts.decision import Decision, Reason
from forestall.contracts.event import Record
from forestall.contracts.instants import format_duration, format_time, parse_time
from forestall.decide.backtest import features_of
from forestall.decide.engine import Engine
from forestall.decide.gates import GATES, Circumstances, fatigue_wait, local_time
from forestall.decide.patterns import KeyState
from forestall.policy.language.compile import PatternProgram, Program
from forestall.policy.language.model import Match

NEWEST_EVENTS = 10


class Gate(msgspec.Struct, frozen=True):
    """What one gate says; ``until`` is when it lets pass again by itself, if it does (RFC 3339)."""

    reason: Reason
    refuses: bool
    until: str | None
    remedy: str | None


class Progress(msgspec.Struct, frozen=True):
    """How far the pattern got for one key: ``reached`` of ``steps``, and what is missing."""

    key: str | None
    reached: int
    steps: int
    missing: str


class Seen(msgspec.Struct, frozen=True):
    """One of the subject's newest events."""

    time: str
    type: str
    id: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. ``decision`` is the policy's newest for the subject up to ``at``, with the
    ``gates`` as they stood then; without one, ``gates`` are those of ``at``."""

    subject: str
    policy: str
    at: str
    version: str | None
    decision: Decision | None
    gates: tuple[Gate, ...]
    progress: tuple[Progress, ...]
    events: tuple[Seen, ...]
    summary: str


def explain(
    controls: Sequence[Control], records: Iterable[Record], subject: str, policy: str, at: int
) -> Explanation:
    """Why ``policy`` did what it did for ``subject`` as of log time ``at``.

    ``records`` are all of the subject's, in log order; later ones are left alone.
    """
    engine = Engine()
    engine.keep(features_of(controls))
    for control in sorted(controls, key=lambda control: control.received):
        engine.control(control)
    gates: dict[str, tuple[Gate, ...]] = {}

    def watch(now: Circumstances, key: str | None) -> None:
        gates[f"{now.policy.name} {key} {now.at}"] = _gates(now)

    engine.watch = watch
    past = [record for record in records if record.received <= at]
    decisions = [one for _, one in engine.process(past)] + engine.tick(at)
    newest = next(
        (one for one in reversed(decisions) if one.policy == policy and parse_time(one.at) <= at),
        None,
    )
    program, now, keys = engine.standing(subject, policy, at)
    if newest is not None:
        standing = gates[f"{policy} {newest.key} {parse_time(newest.at)}"]
    else:
        standing = () if now is None else _gates(now)
    progress = () if program is None else tuple(_progress(program, keys, at))
    return Explanation(
        subject=subject,
        policy=policy,
        at=format_time(at),
        version=None if program is None else program.version,
        decision=newest,
        gates=standing,
        progress=progress,
        events=tuple(
            Seen(format_time(record.time), record.type, record.id)
            for record in past[-NEWEST_EVENTS:]
        ),
        summary=_summary(policy, program, newest, standing, progress),
    )


def _summary(
    policy: str,
    program: Program | None,
    newest: Decision | None,
    gates: Sequence[Gate],
    progress: Sequence[Progress],
) -> str:
    if newest is not None:
        remedies = [f"{gate.reason}: {gate.remedy}" for gate in gates if gate.refuses]
        differ = f" It would have acted if: {'; '.join(remedies)}." if remedies else ""
        return f"At {newest.at} it decided {newest.outcome}. {newest.explanation}{differ}"
    if program is None:
        return f"No policy called {policy} was in force."
    furthest = max(progress, key=lambda one: one.reached)
    return (
        f"The pattern never completed: {furthest.reached} of {furthest.steps} steps. "
        f"Missing: {furthest.missing}."
    )


# -- gates -----------------------------------------------------------------------------------------


def _gates(now: Circumstances) -> tuple[Gate, ...]:
    return tuple(
        _gate(reason, now) if refuses(now) else Gate(reason, False, None, None)
        for reason, refuses in GATES
    )


def _gate(reason: Reason, now: Circumstances) -> Gate:
    until = _until(reason, now)
    moment = None if until is None else format_time(until)
    if moment is not None:
        remedy = f"the moment is {moment} or later"
    elif reason == "no_consent":
        remedy = f"the customer consents to {now.policy.purpose!r}"
    else:
        remedy = _REMEDIES[reason]
    return Gate(reason, True, moment, remedy)


_REMEDIES: dict[Reason, str] = {
    "killed": "the policy, and everything, is switched on",
    "opted_out": "the customer opts in",
    "in_conversation": "the customer's tickets are closed",
    "fatigue": "the customer had not said never",
    "budget": "the budget of guidance is above 0",
    "low_confidence": "a model reaches the threshold; none is in force",
}


def _until(reason: Reason, now: Circumstances) -> int | None:
    own = now.ledger.policies.get(now.policy.name)
    acts = now.ledger.guidance_acts
    match reason:
        case "cooldown" if own is not None and own.last_act is not None:
            return own.last_act + now.policy.cooldown
        case "fatigue" if own is not None and own.last_act is not None and not own.never:
            return own.last_act + fatigue_wait(now.policy, own)
        case "budget" if 0 < now.settings.budget <= len(acts):
            return acts[-now.settings.budget] + now.settings.budget_window
        case "spacing" if acts:
            return acts[-1] + now.settings.spacing
        case "quiet_hours" if now.settings.quiet_hours is not None:
            return _quiet_until(now, now.settings.quiet_hours[1])
    return None


def _quiet_until(now: Circumstances, end: int) -> int:
    local = local_time(now)
    ends = local.replace(hour=end // 60, minute=end % 60, second=0, microsecond=0)
    if ends <= local:
        ends += timedelta(days=1)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return (ends.astimezone(UTC) - epoch) // timedelta(microseconds=1)


# -- patterns --------------------------------------------------------------------------------------


def _progress(program: Program, keys: dict[str | None, KeyState], at: int) -> Iterable[Progress]:
    pattern = program.pattern
    steps = len(pattern.positives)
    for key, state in keys.items() or [(None, KeyState())]:
        if state.armed is not None:
            missing = (
                f"nothing but silence until {format_time(state.armed.deadline)}"
                f" (no {_names(pattern.trailing)})"
            )
            yield Progress(key, steps, steps, missing)
        elif pattern.ordered:
            yield _of_sequence(pattern, key, state, at)
        else:
            yield _of_all(pattern, key, state)


def _of_sequence(pattern: PatternProgram, key: str | None, state: KeyState, at: int) -> Progress:
    reached, before = 0, None
    for step, prefix in enumerate(state.best, start=1):
        if prefix is None:
            continue
        ends = None if pattern.within is None else prefix[0] + pattern.within
        if ends is None or ends >= at:
            reached, before = step, ends
    until = "" if before is None else f" at or before {format_time(before)}"
    missing = f"one more {_names(pattern.positives[reached])}{until}"
    if reached - 1 in pattern.gaps:
        missing += f" with no {_names(pattern.gaps[reached - 1])} before it"
    return Progress(key, reached, len(pattern.positives), missing)


def _of_all(pattern: PatternProgram, key: str | None, state: KeyState) -> Progress:
    latest = state.latest or (None,) * len(pattern.positives)
    lacking = [_names(m) for m, seen in zip(pattern.positives, latest, strict=True) if seen is None]
    within = format_duration(pattern.within or 0)
    missing = " and ".join(lacking) if lacking else f"all of them within {within}"
    return Progress(key, len(latest) - len(lacking), len(latest), missing)


def _names(match: Match | None) -> str:
    if match is None:
        return "event"
    where = f" where {match.where}" if match.where else ""
    return " or ".join(match.types) + where
