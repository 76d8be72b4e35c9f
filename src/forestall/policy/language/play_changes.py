"""Playbooks in words, and what a change of one means. Pure."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from forestall.contracts.instants import format_duration
from forestall.policy.language.comparing import condition, match_words, parts
from forestall.policy.language.model import (
    Approve,
    Arm,
    Ask,
    Await,
    Branch,
    Call,
    Enrich,
    Escalate,
    Guide,
    Infer,
    OnFailure,
    Plan,
    PlaybookStep,
    Remediate,
    Resolve,
)


def play_changes(old: Sequence[PlaybookStep], new: Sequence[PlaybookStep]) -> Iterator[str]:
    """What became of a playbook's steps."""
    return parts("playbook step", old, new, play_words, _step)


def _step(name: str, old: PlaybookStep, new: PlaybookStep) -> Iterator[str]:
    if isinstance(old, Branch) and isinstance(new, Branch):
        yield from parts(f"{name}, way", old.arms, new.arms, _arm_words, _arm)
        return
    if type(old) is type(new) and not isinstance(old, Branch | Resolve):
        assert not isinstance(new, Branch | Resolve)  # noqa: S101
        if isinstance(old.on_failure, tuple) and isinstance(new.on_failure, tuple):
            failing = f"{name}, if it fails, step"
            yield from parts(failing, old.on_failure, new.on_failure, play_words, _step)
            old = replace(old, on_failure=new.on_failure)
    if old != new:
        yield f"{name} is {play_words(new)} instead of {play_words(old)}"


def _arm(name: str, old: Arm, new: Arm) -> Iterator[str]:
    yield from condition(f"{name}: `if`", old.condition, new.condition)
    yield from parts(f"{name}, step", old.steps, new.steps, play_words, _step)


def play_words(step: PlaybookStep) -> str:
    """A step of a playbook in words, with the steps that it holds."""
    if isinstance(step, Branch):
        return f"branch: {'; '.join(_arm_words(arm) for arm in step.arms)}"
    if isinstance(step, Resolve):
        return f"end as {step.then}"
    default = "stop" if isinstance(step, Plan | Remediate | Approve) else "next"
    return _plain(step) + _failing(step.on_failure, default) + _undone(step.undo)


def _plain(
    step: Guide | Ask | Enrich | Infer | Plan | Await | Remediate | Approve | Escalate,
) -> str:
    match step:
        case Guide():
            what = f"runbook {step.runbook}" if step.runbook is not None else repr(step.text)
            return f"guide by {step.channel} with {what}{_within(step.timeout)}"
        case Ask():
            answers = ", ".join(f"{value} {label!r}" for value, label in step.choices.items())
            limit = format_duration(step.timeout)
            return f"ask by {step.channel} {step.text!r} ({answers}) for {limit}, as {step.into}"
        case Enrich():
            cached = f", kept for {format_duration(step.cache)}" if step.cache else ""
            what = f"look {_listed(step.fields)} up in {step.source}{_with(step.arguments)}"
            return f"{what}{_within(step.timeout)}{cached}"
        case Infer():
            what = f"have {step.agent} infer {_listed(step.fields)}{_with(step.arguments)}"
            return f"{what}{_within(step.timeout)}"
        case Plan():
            what = f"have {step.agent} plan{_with(step.arguments)}{_within(step.timeout)}"
            asked = f"approved by {step.by} within {format_duration(step.approval)} where needed"
            return f"{what}, tell it by {step.channel}, {asked}, {step.queue} takes over"
        case Await():
            return _await_words(step)
        case Remediate():
            filled = f", filling {_listed(step.fields)}" if step.fields else ""
            taken = f", {step.queue} takes over" if step.queue is not None else ""
            what = f"remediate by {step.action}{_with(step.arguments)}"
            return f"{what}{_within(step.timeout)}{filled}{taken}"
        case Approve():
            why = f", because {step.why!r}" if step.why is not None else ""
            return (
                f"wait {format_duration(step.timeout)} for {step.people} {step.by} to approve{why}"
            )
        case Escalate():
            return f"escalate to {step.queue}{_within(step.timeout)}"


def _await_words(step: Await) -> str:
    limit = format_duration(step.timeout)
    if step.match is None and step.receipt is None:
        return f"wait {limit}"
    what = f"`{step.receipt}`" if step.match is None else match_words(step.match)
    return f"await {what} for {limit}, then {step.then}"


def _arm_words(arm: Arm) -> str:
    steps = ", then ".join(play_words(step) for step in arm.steps) or "nothing"
    return f"else ({steps})" if arm.condition is None else f"if `{arm.condition}` ({steps})"


def _failing(on_failure: OnFailure, default: str) -> str:
    if isinstance(on_failure, tuple):
        return f", if it fails ({', then '.join(play_words(step) for step in on_failure)})"
    return "" if on_failure == default else f", if it fails {on_failure}"


def _undone(undo: Call | bool | None) -> str:
    if isinstance(undo, Call):
        return f", undone by {undo.action}{_with(undo.arguments)}"
    return ", never undone" if undo is False else ""


def _with(arguments: dict[str, str]) -> str:
    listed = ", ".join(f"{name} = `{source}`" for name, source in arguments.items())
    return f" with {listed}" if listed else ""


def _within(timeout: int | None) -> str:
    return "" if timeout is None else f" within {format_duration(timeout)}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
