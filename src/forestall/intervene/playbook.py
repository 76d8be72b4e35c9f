"""The playbook: a pure state machine over the log. No clock, no I/O, no kernel, no log.

``start`` opens an intervention for a decision, ``on_event`` gives it the next record of its
subject, ``on_time`` tells it how far the log has come, ``stop`` ends it from outside. Each returns
the new state and the commands to carry out. Waiting is in log time, by the rules of the policy
language (section 2): a deadline ``D`` is over before a record with effective time ``t`` when
``D < t`` or ``D + grace < received``, and before a tick when ``D + grace < tick``. So a replay, and
any cutting of the log into batches and ticks, gives the same steps.

Guidance does not hold the playbook up: the next step is entered at once, and ``shown``, ``failed``
or the passing of ``valid_for`` settles the guidance later. An escalation does hold it up until its
result comes back as an event.
"""

from typing import Any, Literal

import msgspec

from forestall.contracts.decision import Decision
from forestall.contracts.errors import ExpressionError
from forestall.contracts.event import Record
from forestall.contracts.instants import parse_time
from forestall.contracts.intervention import REPORTS, Ending, Told
from forestall.decide.ledger import EFFECTS
from forestall.decide.plan import concerns
from forestall.policy.language.cel import Timestamp
from forestall.policy.language.compile import event_expression
from forestall.policy.language.model import Await, Escalate, Guide, PlaybookStep, Policy


class Words(msgspec.Struct, frozen=True, array_like=True):
    """How one piece of guidance stands: of which step, and until when it may be delivered."""

    step: int
    expires: int
    status: Literal["waiting", "shown", "expired", "failed"] = "waiting"


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """One intervention. ``former`` are pseudonyms that the subject had when it began. ``step``
    counts from 1; one more than there are steps: only the fate of guidance is awaited. ``clock`` is the subject's effective time, ``deadline`` that of the current
    ``await``. Ended when ``ending`` is set, at log time ``ended``."""

    id: str
    subject: str
    former: tuple[str, ...] = ()
    policy: str
    version: str
    purpose: str
    playbook: tuple[PlaybookStep, ...]
    at: int
    valid_for: int
    lateness: int
    grace: int
    clock: int
    step: int = 1
    deadline: int | None = None
    words: tuple[Words, ...] = ()
    handed_over: bool = False
    ending: Ending | None = None
    reason: str | None = None
    ended: int | None = None


class Arrival(msgspec.Struct, frozen=True):
    """A record of the subject, with its ``data`` decoded and the subject's traits at that moment
    (the record's own included)."""

    record: Record
    data: dict[str, Any]
    traits: dict[str, Any]


class Report(msgspec.Struct, frozen=True):
    """Tell the log what happened at log time ``at``; ``step`` is none for the whole."""

    told: Told
    at: int
    step: int | None = None
    reason: str | None = None


class Say(msgspec.Struct, frozen=True):
    """Deliver the guidance of ``step`` before log time ``expires``."""

    step: int
    guide: Guide
    at: int
    expires: int


class HandOver(msgspec.Struct, frozen=True):
    """Hand a prepared case to the people behind ``queue``."""

    step: int
    queue: str
    at: int


class Withdraw(msgspec.Struct, frozen=True):
    """Whatever of this intervention has not left yet must not leave any more."""

    at: int
    reason: str


Command = Report | Say | HandOver | Withdraw
Turn = tuple[Running, list[Command]]


def start(decision: Decision, policy: Policy, *, lateness: int, grace: int) -> Turn:
    """Open the intervention of ``decision``, whose id becomes its own."""
    at = parse_time(decision.at)
    state = Running(
        id=decision.id,
        subject=decision.subject,
        policy=decision.policy,
        version=decision.version,
        purpose=policy.purpose,
        playbook=policy.playbook,
        at=at,
        valid_for=policy.valid_for,
        lateness=lateness,
        grace=grace,
        clock=at,
    )
    commands: list[Command] = [Report("started", at)]
    return _enter(state, commands), commands


def on_event(state: Running, arrival: Arrival) -> Turn:
    """The subject's next record: first what fell due before it, then the record itself."""
    record = arrival.record
    commands: list[Command] = []
    happened = min(record.time, record.received)
    told = REPORTS.get(record.type)
    late = record.received - record.time > state.lateness and record.type not in EFFECTS
    state = _fire(state, commands, None if late else happened, record.received)
    if state.ending is not None or (late and told is None):
        return state, commands
    at = state.clock if late else max(happened, state.clock)
    state = msgspec.structs.replace(state, clock=at)
    stop_reason = _stopped_by(state, arrival)
    if stop_reason is not None:
        return _end(state, commands, "cancelled", stop_reason, at), commands
    if told is not None and _concerns(state, arrival.data):
        state = _settle(state, told, arrival)
    awaited = _awaited(state, arrival, at) if not late else None
    if awaited is not None:
        commands.append(Report(awaited.then, at, state.step))
        return _end(state, commands, awaited.then, None, at), commands
    if told is not None and _concerns(state, arrival.data):
        return _feedback(state, commands, told, arrival, at), commands
    if record.type == "forestall.ticket.opened" and not isinstance(_current(state), Escalate):
        return _end(state, commands, "cancelled", "ticket_opened", at), commands
    return state, commands


def on_time(state: Running, log_time: int) -> Turn:
    """Nothing more can come with ``received`` before ``log_time``: what is due by then happens."""
    commands: list[Command] = []
    return _fire(state, commands, None, log_time), commands


def stop(state: Running, reason: str, at: int) -> Turn:
    """End it from outside, for example because the policy was switched off."""
    commands: list[Command] = []
    if state.ending is not None:
        return state, commands
    return _end(state, commands, "cancelled", reason, at), commands


def join(state: Running, subject: str) -> Running:
    """The subject turned out to be ``subject``, whose events count from here on."""
    return msgspec.structs.replace(state, subject=subject, former=(*state.former, state.subject))


def due(state: Running) -> int | None:
    """``on_time`` changes nothing up to and including this log time; none: whatever the time."""
    if state.ending is not None:
        return None
    return min((when + state.grace for when, _ in _timers(state)), default=None)


def _current(state: Running) -> PlaybookStep | None:
    return state.playbook[state.step - 1] if state.step <= len(state.playbook) else None


def _enter(state: Running, commands: list[Command]) -> Running:
    """Carry out steps from the current one on, until one has to be waited for or all are done."""
    while True:
        step, at = _current(state), state.clock
        if step is None:
            return _finish(state, commands, at)
        if isinstance(step, Await):
            return msgspec.structs.replace(state, deadline=at + step.timeout)
        if isinstance(step, Escalate):
            commands.append(HandOver(state.step, step.queue, at))
            return state
        expires = at + state.valid_for
        commands.append(Say(state.step, step, at, expires))
        state = msgspec.structs.replace(
            state, step=state.step + 1, words=(*state.words, Words(state.step, expires))
        )


def _next(state: Running, commands: list[Command]) -> Running:
    return _enter(msgspec.structs.replace(state, step=state.step + 1, deadline=None), commands)


def _finish(state: Running, commands: list[Command], at: int) -> Running:
    """All steps are done: end, unless the fate of guidance is still open."""
    if state.handed_over:
        return _end(state, commands, "escalated", None, at)
    if any(words.status == "waiting" for words in state.words):
        return state
    last = state.playbook[-1]
    if isinstance(last, Await):
        commands.append(Report("expired", at, None, "unanswered"))
        return _end(state, commands, "expired", "unanswered", at)
    if isinstance(last, Escalate):
        return _end(state, commands, "failed", state.reason, at)
    status = state.words[-1].status
    if status == "shown":
        return _end(state, commands, "shown", None, at)
    if status == "failed":
        return _end(state, commands, "failed", state.reason, at)
    return _end(state, commands, "expired", "undelivered", at)


def _end(
    state: Running, commands: list[Command], ending: Ending, reason: str | None, at: int
) -> Running:
    if ending == "cancelled":
        commands.append(Report("expired", at, None, reason))
    if ending not in ("shown", "escalated"):
        commands.append(Withdraw(at, reason or ending))
    return msgspec.structs.replace(
        state, ending=ending, reason=reason, ended=at, deadline=None, clock=max(at, state.clock)
    )


def _timers(state: Running) -> list[tuple[int, int]]:
    """Deadlines that are open: ``(log time, step)``, where step 0 is the current ``await``."""
    timers = [(words.expires, words.step) for words in state.words if words.status == "waiting"]
    if state.deadline is not None:
        timers.append((state.deadline, 0))
    return timers


def _fire(state: Running, commands: list[Command], t: int | None, log_time: int) -> Running:
    """Everything that is due before effective time ``t`` or at ``log_time``, earliest first.

    Guidance is let go by log time only, so that a receipt on its way has the grace to arrive.
    """
    while state.ending is None:
        ready = [
            (when, step)
            for when, step in _timers(state)
            if when + state.grace < log_time or (step == 0 and t is not None and when < t)
        ]
        if not ready:
            break
        when, step = min(ready)
        if step == 0:
            state = msgspec.structs.replace(state, clock=max(state.clock, when))
            state = _next(state, commands)
        else:
            commands.append(Report("expired", when, step, "undelivered"))
            state = _mark(state, step, "expired")
            if _current(state) is None:
                state = _finish(state, commands, when)
    return state


def _mark(
    state: Running, step: int | None, status: Literal["shown", "expired", "failed"]
) -> Running:
    """Settle the guidance of ``step``, or all of it; what was shown stays shown."""
    return msgspec.structs.replace(
        state,
        words=tuple(
            Words(words.step, words.expires, status)
            if step in (None, words.step) and words.status != "shown"
            else words
            for words in state.words
        ),
    )


def _stopped_by(state: Running, arrival: Arrival) -> str | None:
    """Why this record forbids going on: an opt-out, or consent withdrawn for the purpose; an
    alias carries both over from the other pseudonym."""
    event_type, data = arrival.record.type, arrival.data
    if event_type == "forestall.alias":
        if _at(data, "optout", "out") is True:
            return "opted_out"
        return "no_consent" if _at(data, "consent", state.purpose, "granted") is False else None
    if event_type == "forestall.optout":
        return "opted_out"
    if event_type == "forestall.consent.withdrawn" and data.get("purpose") == state.purpose:
        return "no_consent"
    return None


def _at(data: Any, *path: str) -> Any:
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def _concerns(state: Running, data: dict[str, Any]) -> bool:
    if "intervention" in data:
        return bool(data["intervention"] == state.id)
    return bool(data.get("policy") == state.policy)


def _settle(state: Running, told: Told, arrival: Arrival) -> Running:
    """What a report says about guidance already given."""
    step = arrival.data.get("step")
    if told == "shown":
        return _mark(state, step, "shown")
    if told == "failed" and arrival.record.origin == "server" and step is not None:
        why = arrival.data.get("reason")
        reason = why if isinstance(why, str) else None
        return msgspec.structs.replace(_mark(state, step, "failed"), reason=reason)
    return state


def _feedback(
    state: Running, commands: list[Command], told: Told, arrival: Arrival, at: int
) -> Running:
    """What a report of this intervention means for how it goes on."""
    if told in ("dismissed", "helped"):
        return _end(state, commands, told, None, at)
    if isinstance(_current(state), Escalate):
        ours = arrival.record.origin == "server" and arrival.data.get("step") == state.step
        if ours and told in ("escalated", "failed"):
            done = msgspec.structs.replace(state, handed_over=told == "escalated")
            return _next(done, commands)
        return state
    if _current(state) is None:
        return _finish(state, commands, at)
    return state


def _awaited(state: Running, arrival: Arrival, at: int) -> Await | None:
    """The current ``await``, if this record is what it waits for."""
    step, record = _current(state), arrival.record
    if not isinstance(step, Await) or not concerns(step.match, record.type):
        return None
    if step.match.where is None:
        return step
    event = {
        "id": record.id,
        "type": record.type,
        "source": record.source,
        "time": Timestamp(min(record.time, record.received)),
        "origin": record.origin,
        "data": arrival.data,
    }
    try:
        held = event_expression(step.match.where)(event, arrival.traits, Timestamp(at))
    except ExpressionError:
        return None
    return step if held is True else None
