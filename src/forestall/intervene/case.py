"""A case from what is known of an intervention: pure, everything comes in as ``Material``."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from forestall.context.knowledge.runbooks import Runbook
from forestall.contracts.case import Advice, Hypothesis, Moment, Seen, SeenStatus, Standing, Tried
from forestall.contracts.decision import Decision
from forestall.contracts.event import Record, decode_data
from forestall.contracts.instants import format_time
from forestall.contracts.intervention import REPORTS, Case, Message, Taken
from forestall.decide.masking import Path, below, pruned
from forestall.intervene.effect_store import Effect, decode_job, decode_message
from forestall.intervene.jobs import Outcome
from forestall.intervene.masked import own_masks
from forestall.intervene.running import Running
from forestall.kernel.telemetry import parse_traceparent
from forestall.policy.language.model import Ask
from forestall.privacy.door import DoorState
from forestall.privacy.masking import Masks

MOST_EVENTS, MOST_HYPOTHESES = 50, 10
"""Of the customer's events, and of other conclusions about them, the newest so many."""

_THINKING = ("infer", "plan")
"""Jobs of agents, which see personal data masked."""

_STATUS: tuple[SeenStatus, ...] = (
    "answered", "helped", "dismissed", "seen", "shown", "expired", "failed",
)  # fmt: skip
"""What may become of a message, the most telling first."""


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """What a case is made of. ``records`` are the customer's events, ``others`` conclusions about
    them besides the one behind this intervention, ``messages`` in-app messages with their steps;
    all oldest first. ``reads`` are the fields that the policy reads, ``personal`` says which fields
    of an event type only our own people may see; ``reply`` is what could be answered."""

    state: Running
    decision: Decision
    title: str
    history: tuple[Taken, ...] = ()
    messages: Sequence[tuple[int, Message]] = ()
    effects: Sequence[Effect] = ()
    records: Sequence[Record] = ()
    others: Sequence[Decision] = ()
    reads: frozenset[Path] = frozenset()
    personal: Mapping[str, frozenset[str]] = {}
    traits: Mapping[str, Any] = {}
    standing: DoorState | None = None
    runbooks: Sequence[Runbook] = ()
    reply: str | None = None
    links: Mapping[str, str] = {}


def build_case(material: Material, key: str, queue: str, step: int) -> Case:
    """The case that ``queue`` is handed under ``key`` by ``step`` of the playbook.

    Personal data that stands in texts is masked: a ticket is read by many, and kept elsewhere.
    """
    return _masked(_built(material, key, queue, step))


def _masked(case: Case) -> Case:
    hide, replace = Masks().hide, msgspec.structs.replace
    return replace(
        case,
        timeline=tuple(replace(one, fields=hide(one.fields)) for one in case.timeline),
        seen=tuple(
            replace(one, title=hide(one.title), body=hide(one.body), choice=hide(one.choice))
            for one in case.seen
        ),
        tried=tuple(
            replace(
                one,
                arguments=one.arguments if one.kind in _THINKING else hide(one.arguments),
                fields=hide(one.fields),
                evidence=hide(one.evidence),
            )
            for one in case.tried
        ),
        traits=hide(case.traits),
        fields=hide(case.fields),
        reply=hide(case.reply),
    )


def _built(material: Material, key: str, queue: str, step: int) -> Case:
    state, decision = material.state, material.decision
    trace = decision.traceparent if isinstance(decision.traceparent, str) else None
    traced = parse_traceparent(trace)
    return Case(
        id=key,
        intervention=state.id,
        queue=queue,
        customer=state.subject,
        policy=state.policy,
        step=step,
        version=state.version,
        title=material.title,
        why=decision.explanation,
        at=decision.at,
        events=decision.matched,
        features=decision.features,
        taken=material.history,
        advice="\n\n".join(book.agent for book in material.runbooks if book.agent) or None,
        trace=None if traced is None else traced.trace_id,
        timeline=tuple(_timeline(material)),
        seen=tuple(_seen(material)),
        hypotheses=tuple(_hypotheses(material)),
        tried=tuple(_tried(material)),
        consent=_consent(material),
        traits=dict(material.traits),
        fields=dict(state.fields),
        runbooks=tuple(
            Advice(book.id, book.version, book.agent) for book in material.runbooks if book.agent
        ),
        reply=material.reply,
        links=dict(material.links),
    )


def _timeline(material: Material) -> Iterator[Moment]:
    """The customer's events, without our own reports; they stand in ``taken``."""
    wanted = below(material.reads, ("event", "data"))
    matched = set(material.decision.matched)
    records = [one for one in material.records if one.type not in REPORTS]
    for record in records[-MOST_EVENTS:]:
        fields = pruned(decode_data(record.data), wanted) if wanted else {}
        personal = material.personal.get(record.type, frozenset())
        yield Moment(
            at=format_time(min(record.time, record.received)),
            type=record.type,
            id=record.id,
            matched=record.id in matched,
            fields=fields if isinstance(fields, dict) else {},
            personal=tuple(sorted(personal & fields.keys())) if isinstance(fields, dict) else (),
        )


def _seen(material: Material) -> Iterator[Seen]:
    """In-app messages and those that other channels delivered, by when they were made."""
    by_channel = [
        (one.step, decode_message(one))
        for one in material.effects
        if one.kind == "guide" and one.status == "done"
    ]
    said = sorted([*material.messages, *by_channel], key=lambda one: one[1].created)
    for step, message in said:
        status = _became(material.history, step)
        yield Seen(
            at=format_time(message.created),
            title=message.title,
            body=_read(message),
            status=status,
            step=step,
            choice=_choice(material.state, step, message) if status == "answered" else None,
        )


def _read(message: Message) -> str:
    """All that the customer could read of it, but for the title."""
    steps = (f"{number}. {step}" for number, step in enumerate(message.steps, start=1))
    return "\n".join([message.body, *steps, *(f"- {one}" for one in message.known)])


def _became(history: Iterable[Taken], step: int) -> SeenStatus:
    happened = {one.what for one in history if one.step == step}
    return next((word for word in _STATUS if word in happened), "sent")


def _choice(state: Running, step: int, message: Message) -> str | None:
    """The label of what the customer answered."""
    asked = next((node.step for node in state.program if node.number == step), None)
    if not isinstance(asked, Ask):
        return None
    value = state.fields.get(asked.into)
    return None if value is None else (message.choices or {}).get(str(value), str(value))


def _tried(material: Material) -> Iterator[Tried]:
    """Lookups, agents, actions and undoings, in the order of their steps."""
    times = {(one.step, one.what): one.at for one in material.history}
    for effect in material.effects:
        if effect.kind in ("guide", "escalation"):
            continue
        job = decode_job(effect)
        outcome = (
            msgspec.json.decode(effect.result, type=Outcome)
            if effect.result
            else Outcome(outcome="uncertain")
        )
        undone = outcome.undone or (effect.kind == "action" and (effect.step, "undone") in times)
        words = ("remediated", "filled", "undone", "failed")
        at = next(
            (times[effect.step, word] for word in words if (effect.step, word) in times), None
        )
        yield Tried(
            step=effect.step,
            kind=effect.kind,
            name=job.name,
            outcome="undone" if undone and effect.status != "waiting" else effect.status,
            at=at,
            reason=outcome.reason or (None if effect.status == "done" else effect.detail),
            arguments=own_masks(job.arguments)[1] if effect.kind in _THINKING else job.arguments,
            fields=outcome.fields,
            evidence=outcome.evidence,
            plan=outcome.plan,
            inference=outcome.inference,
        )


def _hypotheses(material: Material) -> Iterator[Hypothesis]:
    others = [one for one in material.others if one.id != material.decision.id]
    for one in [*others[-MOST_HYPOTHESES:], material.decision]:
        yield Hypothesis(
            policy=one.policy,
            version=one.version,
            why=one.explanation,
            at=one.at,
            outcome=one.outcome,
            reason=one.reason,
        )


def _consent(material: Material) -> Standing | None:
    standing, purpose = material.standing, material.state.purpose
    if standing is None:
        return None
    consent = standing.consents.get(purpose)
    return Standing(
        purpose=purpose,
        granted=None if consent is None else consent.granted,
        since=None if consent is None else format_time(consent.time),
        opted_out=standing.opted_out,
    )
