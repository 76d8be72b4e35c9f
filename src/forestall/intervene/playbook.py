"""The playbook: a pure state machine over the log. No clock, no I/O, no kernel, no log.

``start`` opens an intervention for a decision, ``on_event`` gives it the next record of its
subject, ``on_time`` tells it how far the log has come, ``stop`` ends it from outside. Each returns
the new state and the commands to carry out. Waiting for the customer is in log time, by the rules
of the policy language (section 2): a deadline ``D`` is over before a record with effective time
``t`` when ``D < t`` or ``D + grace < received``, and before a tick when ``D + grace < tick``. So a
replay, and any cutting of the log into batches and ticks, gives the same steps.

Guidance does not hold the playbook up unless it says what follows its failure: ``shown``,
``failed`` or the passing of its time settles it later. Everything else is waited for, and what
leaves the process comes back as an event. A step that fails goes where its ``on_failure`` says;
``stop`` undoes what was done, last first, hands the case to the step's queue, and ends (``closing``).
What an agent plans becomes steps of the program (``splice``).
"""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from forestall.contracts.decision import Decision
from forestall.contracts.instants import parse_time
from forestall.contracts.intervention import NOTES, REPORTS, Told
from forestall.decide.ledger import EFFECTS
from forestall.intervene.closing import closed, end, finish, hand_over, queue_of, undo
from forestall.intervene.evaluate import arguments_of, arm, awaited, expressions, job_of, valueless
from forestall.intervene.hearing import concerns, marked, settled, stopped_by, text
from forestall.intervene.running import (
    Arrival,
    Command,
    Did,
    Do,
    HandOver,
    Matched,
    Report,
    Request,
    Running,
    Say,
    Turn,
    Withdraw,
    Words,
    effect_key,
)
from forestall.intervene.splice import MOST_REASON, read_plan, splice
from forestall.policy.language.flow import END, STOP, Node, covered, flow, holds
from forestall.policy.language.model import (
    Approve,
    Ask,
    Await,
    Branch,
    Enrich,
    Escalate,
    Guide,
    Infer,
    Plan,
    Policy,
    Remediate,
    Resolve,
)


def start(
    decision: Decision,
    policy: Policy,
    *,
    lateness: int,
    grace: int,
    event: Matched | None = None,
    traits: dict[str, Any] | None = None,
    trusted: bool = True,
) -> Turn:
    """Open the intervention of ``decision``, whose id becomes its own. ``event``, the last that it
    matched, and the subject's ``traits`` are needed where the ``policy`` ``computes``; ``trusted``,
    whether any event that it matched is of server origin, where it ``remediates``."""
    at, computing = parse_time(decision.at), computes(policy)
    state = Running(
        id=decision.id,
        subject=decision.subject,
        policy=decision.policy,
        version=decision.version,
        purpose=policy.purpose,
        program=flow(policy),
        at=at,
        valid_for=policy.valid_for,
        lateness=lateness,
        grace=grace,
        clock=at,
        event=event if computing else None,
        features=decision.features if computing else {},
        traits=(traits or {}) if computing else {},
        trusted=trusted,
    )
    commands: list[Command] = [Report("started", at)]
    return _enter(state, commands), commands


def computes(policy: Policy) -> bool:
    """Whether the policy's playbook has expressions of its own."""
    return any(expressions(node) for node in flow(policy))


def remediates(policy: Policy) -> bool:
    """Whether the policy's playbook changes anything outside, or may come to."""
    return any(isinstance(node.step, Plan | Remediate) for node in flow(policy))


def on_event(state: Running, arrival: Arrival) -> Turn:
    """The subject's next record: first what fell due before it, then the record itself."""
    record = arrival.record
    commands: list[Command] = []
    happened = min(record.time, record.received)
    told = REPORTS.get(record.type)
    told = None if told in NOTES else told
    late = record.received - record.time > state.lateness and record.type not in EFFECTS
    state = _fire(state, commands, None if late else happened, record.received)
    if state.ending is not None or (late and told is None):
        return state, commands
    at = state.clock if late else max(happened, state.clock)
    traits = arrival.traits if state.event is not None else state.traits
    state = replace(state, clock=at, traits=traits)
    if told is not None and not concerns(state, arrival.data):
        told = None
    if told == "commanded":
        return _obey(state, commands, arrival), commands
    if state.phase != "going":
        return closed(state, commands, told, arrival), commands
    return _went(state, commands, told, arrival, late=late), commands


def on_time(state: Running, log_time: int) -> Turn:
    """Nothing more can come with ``received`` before ``log_time``: what is due by then happens."""
    commands: list[Command] = []
    return _fire(state, commands, None, log_time), commands


def stop(state: Running, reason: str, at: int) -> Turn:
    """End it from outside, for example because the policy was switched off."""
    commands: list[Command] = []
    if state.ending is not None:
        return state, commands
    return end(state, commands, "cancelled", reason, at), commands


def join(state: Running, subject: str) -> Running:
    """The subject turned out to be ``subject``, whose events count from here on."""
    return replace(state, subject=subject, former=(*state.former, state.subject))


def due(state: Running) -> int | None:
    """``on_time`` changes nothing up to and including this log time; none: whatever the time."""
    if state.ending is not None:
        return None
    return min((when + state.grace for when, _ in _timers(state)), default=None)


def current(state: Running) -> Node | None:
    """The step that it is at; none when only the fate of guidance is awaited, or it is undone."""
    return state.program[state.step - 1] if state.step > END else None


def _went(
    state: Running, commands: list[Command], told: Told | None, arrival: Arrival, *, late: bool
) -> Running:
    """What a record means for a playbook on its way."""
    at = state.clock
    stopped = None if state.stopping else stopped_by(state, arrival)
    if stopped is not None:
        return end(state, commands, "cancelled", stopped, at)
    if told is not None:
        state = settled(state, told, arrival)
    if state.stopping and told not in ("remediated", "failed"):
        return state
    node = current(state)
    if node is not None and isinstance(node.step, Await):
        came = told is not None and node.step.receipt == told
        if came or (not late and awaited(node.step, arrival, at)):
            return _came(state, commands, node, node.step)
    if told is not None:
        return _feedback(state, commands, told, arrival)
    escalating = node is not None and isinstance(node.step, Escalate)
    if arrival.record.type != "forestall.ticket.opened" or escalating:
        return state
    own = arrival.data.get("intervention") == state.id
    return state if own else end(state, commands, "cancelled", "ticket_opened", at)


def _feedback(state: Running, commands: list[Command], told: Told, arrival: Arrival) -> Running:
    """What a report of this intervention means for how it goes on."""
    if told in ("dismissed", "helped"):
        return end(state, commands, told, None, state.clock)
    node = current(state)
    if node is None:
        return finish(state, commands, state.clock)
    step, data = node.step, arrival.data
    if isinstance(step, Guide):
        return _heard(state, commands, node)
    if isinstance(step, Ask) and told == "answered":
        choice = data.get("choice")
        if data.get("step") != node.number or choice not in step.choices:
            return state
        commands.append(Withdraw(state.clock, "answered", node.number))
        return _succeed(state, commands, node, {step.into: choice})
    if arrival.record.origin != "server" or data.get("step") != node.number:
        return state
    if told in ("failed", "declined"):
        return _fail(state, commands, node, text(data, "reason"))
    if told != _DONE.get(type(step)):
        return state
    if isinstance(step, Escalate):
        state = replace(state, handed_over=True)
    if isinstance(step, Plan):
        return _planned(state, commands, node, step, data.get("plan"))
    if isinstance(step, Enrich | Infer | Remediate):
        given = data.get("fields")
        known = given if isinstance(given, dict) else {}
        return _succeed(state, commands, node, {name: known.get(name) for name in step.fields})
    return _succeed(state, commands, node, {})


_DONE: dict[type, Told] = {
    Enrich: "filled",
    Infer: "filled",
    Plan: "filled",
    Remediate: "remediated",
    Approve: "approved",
    Escalate: "escalated",
}


def _planned(state: Running, commands: list[Command], node: Node, step: Plan, told: Any) -> Running:
    """An agent planned: its steps follow, or people get the case."""
    plan = read_plan(told)
    if plan is None:
        return _unusable(state, commands, node, "bad-plan")
    if plan.hand_over is not None:
        reason = plan.hand_over[:MOST_REASON] or "handed-over"
        return hand_over(state, commands, node, reason)
    program = splice(state.program, node.number, step, plan)
    if len(program) == len(state.program):
        return _unusable(state, commands, node, "empty-plan")
    state = replace(state, program=program)
    return _succeed(state, commands, program[node.number - 1], {})


def _succeed(
    state: Running, commands: list[Command], node: Node, filled: dict[str, Any]
) -> Running:
    """The current step went well."""
    asked = node.number if isinstance(node.step, Approve) else state.approved
    state = replace(state, fields={**state.fields, **filled}, approved=asked)
    step = node.step
    key = effect_key(state.id, node.number, repeat=state.repeat)
    if isinstance(step, Remediate):
        state = replace(state, remediated=True)
        if step.undo is not False:
            state = _remember(state, Did(node.number, key, step.action, state.sent))
    elif not isinstance(step, Resolve | Branch) and step.undo is not None:
        state = _remember(state, Did(node.number, key))
    return _go(state, commands, node.next)


def _remember(state: Running, did: Did) -> Running:
    return replace(state, did=(*state.did, did))


def _fail(state: Running, commands: list[Command], node: Node, reason: str | None) -> Running:
    """The current step failed, or ran out of time."""
    step = node.step
    empty: dict[str, Any] = {}
    if isinstance(step, Enrich | Infer | Remediate):
        empty = dict.fromkeys(step.fields)
    elif isinstance(step, Ask):
        empty = {step.into: None}
    waited = isinstance(step, Await | Ask)
    state = replace(state, fields={**state.fields, **empty}, reason=reason, missed=waited)
    if node.failed == STOP and queue_of(state, node) is not None:
        state = replace(state, takeover=node.number)
    return _go(state, commands, node.failed)


def _go(state: Running, commands: list[Command], target: int) -> Running:
    if state.stopping:
        target, state = STOP, replace(state, reason="stopped", takeover=None)
    missed = state.missed and target in (END, STOP)
    state = replace(state, step=target, deadline=None, repeat=0, missed=missed)
    return _enter(state, commands)


def _enter(state: Running, commands: list[Command]) -> Running:
    """Carry out steps from the current one on, until one has to be waited for or all are done."""
    while True:
        node, at = current(state), state.clock
        if node is None:
            close = undo if state.step == STOP else finish
            return close(state, commands, at)
        if isinstance(node.step, Branch):
            state = replace(state, step=arm(state, node))
            continue
        state = replace(state, last=node.number)
        if isinstance(node.step, Resolve):
            state = replace(state, resolved=node.step.then, step=END)
            continue
        if isinstance(node.step, Guide) and not holds(node):
            state = replace(_say(state, commands, node, node.step), step=node.next)
            continue
        return _begin(state, commands, node)


def _begin(state: Running, commands: list[Command], node: Node) -> Running:
    """Begin a step that is waited for."""
    step, at = node.step, state.clock
    key = effect_key(state.id, node.number, repeat=state.repeat)
    match step:
        case Guide() | Ask():
            return _say(state, commands, node, step)
        case Await():
            if step.receipt == "shown" and any(w.status == "shown" for w in state.words):
                return _came(state, commands, node, step)
            return replace(state, deadline=at + step.timeout)
        case Escalate():
            commands.append(HandOver(node.number, step.queue, at, key))
            deadline = None if step.timeout is None else at + step.timeout
            return replace(state, deadline=deadline)
        case Approve():
            about = covered(state.program, node)
            action = about.step if about is not None else None
            remedy = action if isinstance(action, Remediate) else None
            arguments = arguments_of(state, node if about is None else about)
            if arguments is None:
                return _uncomputed(state, commands, node, node if about is None else about)
            covers = None if about is None else about.number
            name = None if remedy is None else remedy.action
            commands.append(Request(node.number, step, covers, name, arguments, at, key))
            return state
        case Enrich() | Infer() | Plan() | Remediate():
            if isinstance(step, Remediate) and not state.trusted:
                return _unusable(state, commands, node, "untrusted")
            job = job_of(state, node, step)
            if job is None:
                return _uncomputed(state, commands, node, node)
            commands.append(Do(node.number, job, at, at + max(state.valid_for, job.timeout), key))
            return replace(state, sent=job.arguments)
        case Branch() | Resolve():
            raise AssertionError(step)


def _say(state: Running, commands: list[Command], node: Node, step: Guide | Ask) -> Running:
    at = state.clock
    asked = isinstance(step, Ask)
    expires = at + (step.timeout or state.valid_for)
    key = effect_key(state.id, node.number, repeat=state.repeat)
    commands.append(Say(node.number, step, at, expires, key))
    state = replace(
        state,
        words=(*(w for w in state.words if w.step != node.number), Words(node.number, expires)),
        deadline=expires if asked else None,
    )
    if step.undo is not None and not asked and not holds(node):
        state = _remember(state, Did(node.number, key))
    return state


def _unusable(state: Running, commands: list[Command], node: Node, reason: str) -> Running:
    """The current step cannot even begin."""
    commands.append(Report("failed", state.clock, node.number, reason))
    return _fail(state, commands, node, reason)


def _uncomputed(state: Running, commands: list[Command], node: Node, about: Node) -> Running:
    """The current step cannot begin, as an argument of the step ``about`` has no value."""
    detail = valueless(state, about)
    commands.append(Report("failed", state.clock, node.number, "bad-arguments", detail))
    return _fail(state, commands, node, "bad-arguments")


def _came(state: Running, commands: list[Command], node: Node, step: Await) -> Running:
    """What was awaited came."""
    if step.then == "next":
        return _succeed(state, commands, node, {})
    commands.append(Report(step.then, state.clock, node.number))
    return end(state, commands, step.then, None, state.clock)


def _heard(state: Running, commands: list[Command], node: Node) -> Running:
    """Guidance that the playbook waits for may have been settled."""
    status = next(w.status for w in reversed(state.words) if w.step == node.number)
    if status == "shown":
        return _succeed(state, commands, node, {})
    if status == "failed":
        return _fail(state, commands, node, state.reason)
    if status == "expired":
        return _fail(state, commands, node, "undelivered")
    return state


def _obey(state: Running, commands: list[Command], arrival: Arrival) -> Running:
    """What an operator commands; only our own processes may tell."""
    at, data, node = state.clock, arrival.data, current(state)
    if arrival.record.origin != "server":
        return state
    match data.get("command"):
        case "stop" if data.get("undo") is True and node and isinstance(node.step, Remediate):
            return replace(state, closing="cancelled", stopping=True)
        case "stop" if data.get("undo") is True and state.did and state.phase == "going":
            state = replace(state, closing="cancelled", reason="stopped")
            return undo(state, commands, at)
        case "stop":
            return end(state, commands, "cancelled", "stopped", at)
        case "take_over":
            commands.append(Withdraw(at, "taken_over"))
            return end(state, commands, "escalated", "taken_over", at)
        case "force" if node is not None:
            commands.append(Withdraw(at, "forced"))
            if isinstance(node.step, Approve):
                return _fail(state, commands, node, "forced")
            return _go(state, commands, node.next)
        case "force" if state.phase == "undoing" and state.did:
            return undo(replace(state, did=state.did[:-1]), commands, at)
        case "repeat" if node is not None and not state.stopping:
            commands.append(Withdraw(at, "repeated", node.number))
            return _enter(replace(state, repeat=state.repeat + 1, deadline=None), commands)
        case "repeat" if state.phase != "going":
            return undo(replace(state, repeat=state.repeat + 1), commands, at)
    return state


def _timers(state: Running) -> Iterator[tuple[int, int]]:
    """Deadlines that are open: ``(log time, step)``, where step 0 is the current wait."""
    if state.phase != "going":
        return
    for words in state.words:
        if words.status == "waiting":
            yield words.expires, words.step
    if state.deadline is not None:
        yield state.deadline, 0


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
        state = (
            _ran_out(state, commands, when) if step == 0 else _let_go(state, commands, when, step)
        )
    return state


def _ran_out(state: Running, commands: list[Command], when: int) -> Running:
    """The current wait is over. To wait for nothing but time is no miss."""
    state = replace(state, clock=max(state.clock, when))
    node = current(state)
    if node is None:
        return replace(state, deadline=None)
    step = node.step
    if isinstance(step, Await) and step.match is None and step.receipt is None:
        return _succeed(state, commands, node, {})
    reason = "timeout" if isinstance(step, Escalate) else "unanswered"
    return _fail(state, commands, node, reason)


def _let_go(state: Running, commands: list[Command], when: int, step: int) -> Running:
    """Guidance was not delivered in time."""
    commands.append(Report("expired", when, step, "undelivered"))
    state = marked(state, step, "expired")
    node = current(state)
    if node is None:
        return finish(state, commands, when)
    if isinstance(node.step, Guide) and node.number == step:
        return _heard(state, commands, node)
    return state
