"""What agents concluded in an intervention, for people: from the log, or from what was done. Pure."""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from forestall.contracts.event import Record, decode_data
from forestall.contracts.inference import Inference, Plan
from forestall.contracts.instants import SECOND, format_time
from forestall.contracts.intervention import REPORTS, Tell
from forestall.intervene.effect_store import Effect
from forestall.intervene.jobs import Outcome

_LONGEST = 2_000


class Inferred(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer of an agent at ``step`` of a playbook: how it ended (``reason`` says why it
    failed), what was planned, the names of the fields filled, and how the agent came to that.
    ``at`` is log time (RFC 3339), where it is known."""

    step: int | None
    ended: Literal["planned", "filled", "failed"]
    inference: Inference
    at: str | None = None
    reason: str | None = None
    plan: Plan | None = None
    fields: tuple[str, ...] = ()


def told(records: Iterable[Record], intervention: str) -> list[Inferred]:
    """Every inference that the log tells of the intervention, oldest first; ``records`` are those
    of its customer."""
    found = []
    for record in records:
        word = REPORTS.get(record.type)
        if word not in ("filled", "failed") or record.origin != "server":
            continue
        try:
            tell = msgspec.convert(decode_data(record.data), Tell)
        except msgspec.ValidationError:
            continue
        if tell.intervention == intervention and tell.inference is not None:
            found.append(
                Inferred(
                    step=tell.step,
                    ended=_ended(word == "failed", tell.plan),
                    inference=tell.inference,
                    at=format_time(min(record.time, record.received)),
                    reason=tell.reason,
                    plan=tell.plan,
                    fields=tuple(tell.fields or ()),
                )
            )
    return found


def faulty(records: Iterable[Record], intervention: str) -> Iterator[str]:
    """In words, each step of the intervention that failed with what the log says was behind it."""
    for record in records:
        if REPORTS.get(record.type) != "failed" or record.origin != "server":
            continue
        try:
            tell = msgspec.convert(decode_data(record.data), Tell)
        except msgspec.ValidationError:
            continue
        if tell.intervention == intervention and tell.detail is not None:
            at = format_time(min(record.time, record.received))
            yield f"{at}  step {tell.step}: failed ({tell.reason}): {_clean(tell.detail)}"


def done(effects: Iterable[Effect]) -> list[Inferred]:
    """Every inference among the effects of an intervention, by step."""
    found = []
    for effect in effects:
        outcome = msgspec.json.decode(effect.result, type=Outcome) if effect.result else None
        if outcome is not None and outcome.inference is not None:
            found.append(
                Inferred(
                    step=effect.step,
                    ended=_ended(effect.status != "done", outcome.plan),
                    inference=outcome.inference,
                    reason=None if effect.status == "done" else outcome.reason,
                    plan=outcome.plan,
                    fields=tuple(outcome.fields),
                )
            )
    return found


def _ended(failed: bool, plan: Plan | None) -> Literal["planned", "filled", "failed"]:
    if failed:
        return "failed"
    return "filled" if plan is None else "planned"


def lines(one: Inferred) -> Iterator[str]:
    """The answer in words for a terminal: what comes of it first, then how it came about."""
    how = one.inference
    when = "" if one.at is None else f"{one.at}  "
    because = f" ({_clean(one.reason)})" if one.reason else ""
    yield f"{when}step {one.step}: {_clean(how.agent)} {one.ended}{because}"
    for name, text in (*_concluded(one), *_came(how)):
        yield f"  {name:<13}{text}"


def _concluded(one: Inferred) -> Iterator[tuple[str, str]]:
    if one.fields:
        yield "fields", _clean(", ".join(one.fields))
    plan = one.plan
    if plan is None:
        return
    for wanted in plan.actions:
        given = msgspec.json.encode(wanted.arguments).decode()
        people = "1 person approves" if wanted.people == 1 else f"{wanted.people} people approve"
        asked = f", {people} first" if wanted.approve or wanted.people > 1 else ""
        yield "action", _clean(f"{wanted.action} {given}{asked}")
    if plan.message:
        yield "message", _clean(plan.message)
    if plan.runbook is not None:
        yield "runbook", _clean(plan.runbook)
    if plan.hand_over is not None:
        yield "handed over", _clean(plan.hand_over)
    if plan.rationale:
        yield "because", _clean(plan.rationale)


def _came(how: Inference) -> Iterator[tuple[str, str]]:
    between = " " if how.by == "model" else " in place of "
    model = "" if how.model is None else f"{between}{how.model}"
    yield "by", _clean(f"{how.by}{model}, as declared in {how.version[:12]}")
    if how.fallback is not None:
        yield "fallback", _clean(f"{how.fallback}: {_instead(how)}")
    for cited in how.evidence:
        yield "evidence", _clean(cited)
    for turned in how.refused:
        yield "refused", _clean(f"{turned.what}: {turned.why}")
    if how.confidence is not None:
        yield "confidence", f"{how.confidence:.2f}"
    if how.tone is not None:
        yield "tone", _clean(how.tone)
    if how.prompt is not None:
        yield "prompt", _clean(how.prompt)
    tokens = f"{how.tokens_in:,} tokens in, {how.tokens_out:,} out"
    yield "spent", f"{how.calls} calls, {tokens}, {how.cost:.6f} in {how.latency / SECOND:.3f} s"


def _instead(how: Inference) -> str:
    """Why a model did not answer, in words."""
    if how.fallback == "no-model":
        return "no model was asked"
    if how.fallback == "nothing-found":
        return "nothing in our knowledge fits either"
    if how.confidence is not None:
        return "the model's answer was not taken"
    return "the model gave no answer"


def _clean(text: str) -> str:
    """On one line, with nothing in it that a terminal would obey."""
    flat = " ".join(text.split())[:_LONGEST]
    return "".join(one if one.isprintable() else "�" for one in flat)
