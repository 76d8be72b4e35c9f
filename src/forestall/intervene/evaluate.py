"""What the expressions of a playbook's steps come to: arguments, jobs, branches, awaited events."""

from typing import Any

from forestall.contracts.errors import ExpressionError
from forestall.contracts.event import Record
from forestall.decide.plan import concerns
from forestall.intervene.jobs import Job
from forestall.intervene.running import Arrival, Did, Matched, Running, effect_key
from forestall.policy.language.cel import Timestamp, to_json
from forestall.policy.language.compile import event_expression, step_expression
from forestall.policy.language.flow import Node, covered
from forestall.policy.language.model import (
    Approve,
    Await,
    Branch,
    Call,
    Enrich,
    Infer,
    Plan,
    Remediate,
    Resolve,
)


def expressions(node: Node) -> bool:
    """Whether a step has expressions of its own."""
    step = node.step
    if isinstance(step, Branch | Resolve):
        return any(condition is not None for condition, _ in node.arms)
    arguments = isinstance(step, Enrich | Infer | Plan | Remediate) and bool(step.arguments)
    return arguments or (isinstance(step.undo, Call) and bool(step.undo.arguments))


def arguments_of(state: Running, node: Node) -> dict[str, Any] | None:
    """The values of a step's arguments as JSON data; none where one cannot be computed. Those that
    were planned are given as they are."""
    if node.planned:
        return node.values
    step = node.step
    written = step.arguments if isinstance(step, Enrich | Infer | Plan | Remediate) else {}
    return _values(state, written)


def valueless(state: Running, node: Node) -> str | None:
    """Which argument of a step cannot be computed, in words and without any value."""
    step = node.step
    written = step.arguments if isinstance(step, Enrich | Infer | Plan | Remediate) else {}
    for name, source in written.items():
        if _values(state, {name: source}) is None:
            return f"arguments.{name}: {source} has no value"
    return None


def _values(state: Running, written: dict[str, str]) -> dict[str, Any] | None:
    try:
        return {name: to_json(_value(state, source)) for name, source in written.items()}
    except ExpressionError:
        return None


def job_of(state: Running, node: Node, step: Enrich | Infer | Plan | Remediate) -> Job | None:
    """The job of a step; none where its arguments cannot be computed."""
    arguments = arguments_of(state, node)
    if arguments is None:
        return None
    match step:
        case Enrich():
            return Job(
                kind="enrich",
                name=step.source,
                arguments=arguments,
                fields=step.fields,
                timeout=step.timeout,
                cache=step.cache,
            )
        case Infer():
            return Job(
                kind="infer",
                name=step.agent,
                arguments=arguments,
                fields=step.fields,
                timeout=step.timeout,
            )
        case Plan():
            return Job(
                kind="plan",
                name=step.agent,
                arguments=arguments,
                timeout=step.timeout,
                signals=(state.policy, *(() if state.event is None else (state.event.type,))),
            )
        case Remediate():
            return Job(
                kind="action",
                name=step.action,
                arguments=arguments,
                fields=step.fields,
                timeout=step.timeout,
                approval=approval_of(state, node),
            )


def approval_of(state: Running, node: Node) -> str | None:
    """The id of the request that the ``approve`` before a remediation made; where several lead to
    it, of the one that people answered."""
    about = ((one, covered(state.program, one)) for one in state.program)
    leading = [
        one.number
        for one, step in about
        if isinstance(one.step, Approve) and step is not None and step.number == node.number
    ]
    if not leading:
        return None
    return effect_key(state.id, state.approved if state.approved in leading else leading[0])


def undo_of(state: Running, did: Did) -> Job | None:
    """The job that undoes a step; none where its arguments cannot be computed."""
    step = state.program[did.step - 1].step
    declared = None if isinstance(step, Branch | Resolve) else step.undo
    if not isinstance(declared, Call):
        return Job(kind="undo", name=did.action or "", arguments=did.arguments, undoes=did.key)
    arguments = _values(state, declared.arguments)
    return (
        None if arguments is None else Job(kind="undo", name=declared.action, arguments=arguments)
    )


def arm(state: Running, node: Node) -> int:
    """Where a branch leads; a condition that errors does not hold."""
    for condition, target in node.arms:
        if condition is None:
            return target
        try:
            if _value(state, condition) is True:
                return target
        except ExpressionError:
            continue
    return node.next


def awaited(step: Await, arrival: Arrival, at: int) -> bool:
    """Whether this record is what the current ``await`` waits for."""
    record = arrival.record
    if step.match is None or not concerns(step.match, record.type):
        return False
    if step.match.where is None:
        return True
    event = _readable(matched_of(record, arrival.data))
    try:
        return bool(
            event_expression(step.match.where)(event, arrival.traits, Timestamp(at)) is True
        )
    except ExpressionError:
        return False


def _value(state: Running, source: str) -> Any:
    event = {} if state.event is None else _readable(state.event)
    now = Timestamp(state.clock)
    return step_expression(source)(event, state.traits, now, state.features, state.fields)


def _readable(event: Matched) -> dict[str, Any]:
    """An event as expressions see it."""
    return {
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "time": Timestamp(event.time),
        "origin": event.origin,
        "data": event.data,
    }


def matched_of(record: Record, data: Any) -> Matched:
    """A record as playbooks remember it, its time cut to ``received``."""
    at = min(record.time, record.received)
    return Matched(record.id, record.type, record.source, at, record.origin, data)
