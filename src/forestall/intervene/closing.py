"""How a playbook ends: its steps are done, what was done is undone, or people have the case. Pure."""

from msgspec.structs import replace

from forestall.contracts.intervention import Ending, Told
from forestall.intervene.evaluate import undo_of
from forestall.intervene.running import (
    Arrival,
    Command,
    Do,
    HandOver,
    Report,
    Running,
    Withdraw,
    effect_key,
)
from forestall.policy.language.flow import STOP, Node
from forestall.policy.language.model import Approve, Escalate, Plan, Remediate


def end(
    state: Running, commands: list[Command], ending: Ending, reason: str | None, at: int
) -> Running:
    """End it; ``reason`` says why, where that needs saying."""
    if ending == "cancelled":
        commands.append(Report("expired", at, None, reason))
    said = ending in ("shown", "escalated", "remediated", "ended") or state.resolved == ending
    if not said:
        commands.append(Withdraw(at, reason or ending))
    return replace(
        state, ending=ending, reason=reason, ended=at, deadline=None, clock=max(at, state.clock)
    )


def queue_of(state: Running, node: Node) -> str | None:
    """Who takes the case over where a step fails for good."""
    step = node.step
    if isinstance(step, Approve) and node.planned:
        step = state.program[node.planned - 1].step
    return step.queue if isinstance(step, Plan | Remediate) else None


def hand_over(state: Running, commands: list[Command], node: Node, reason: str) -> Running:
    """People get the case instead of what would follow ``node``; what was done stays as it is."""
    state = replace(state, did=(), takeover=node.number, reason=reason)
    return undo(state, commands, state.clock)


def finish(state: Running, commands: list[Command], at: int) -> Running:
    """All steps are done: end, unless the fate of guidance is still open."""
    if state.handed_over and state.resolved is None:
        return end(state, commands, "escalated", None, at)
    if any(words.status == "waiting" for words in state.words):
        return state
    if state.resolved is not None:
        commands.append(Report(state.resolved, at, state.last))
        return end(state, commands, state.resolved, None, at)
    last = state.program[state.last - 1].step if state.last else None
    if state.missed:
        commands.append(Report("expired", at, None, "unanswered"))
        return end(state, commands, "expired", "unanswered", at)
    if isinstance(last, Escalate):
        return end(state, commands, "failed", state.reason, at)
    if state.remediated:
        return end(state, commands, "remediated", None, at)
    if not state.words:
        return end(state, commands, "ended", None, at)
    status = state.words[-1].status
    if status == "shown":
        return end(state, commands, "shown", None, at)
    if status == "failed":
        return end(state, commands, "failed", state.reason, at)
    return end(state, commands, "expired", "undelivered", at)


def undo(state: Running, commands: list[Command], at: int) -> Running:
    """Undo what was done, last first, one after the other; then hand over, then end."""
    if state.phase == "going":
        commands.append(Withdraw(at, state.reason or "stopped"))
    state = replace(state, phase="undoing", step=STOP, deadline=None)
    while state.did:
        did = state.did[-1]
        job = undo_of(state, did)
        if job is not None:
            key = effect_key(state.id, did.step, "undo", state.repeat)
            commands.append(Do(did.step, job, at, None, key))
            return state
        commands.append(Report("failed", at, did.step, "undo"))
        state = replace(state, did=state.did[:-1])
    if state.takeover is not None:
        queue = queue_of(state, state.program[state.takeover - 1])
        key = effect_key(state.id, state.takeover, "handover", state.repeat)
        commands.append(HandOver(state.takeover, queue or "", at, key, state.reason))
        return replace(state, phase="handing")
    if state.closing == "failed":
        commands.append(Report("failed", at, None, state.reason))
    return end(state, commands, state.closing, state.reason, at)


_TURNED_AWAY = ("opted_out", "no_consent", "not_needed")
"""Why a case may not be handed over; a remedy's own late failure is another matter."""


def closed(state: Running, commands: list[Command], told: Told | None, arrival: Arrival) -> Running:
    """A record while it is undone or handed over: only the result of that counts."""
    if told is None or arrival.record.origin != "server":
        return state
    step, reason = arrival.data.get("step"), arrival.data.get("reason")
    if state.phase == "undoing":
        over = told == "undone" or (told == "failed" and reason == "undo")
        if over and state.did and step == state.did[-1].step:
            return undo(replace(state, did=state.did[:-1], repeat=0), commands, state.clock)
    elif step == state.takeover and (told == "escalated" or reason in _TURNED_AWAY):
        ending: Ending = "escalated" if told == "escalated" else "failed"
        return end(state, commands, ending, state.reason, state.clock)
    return state
