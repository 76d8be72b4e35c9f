"""Interventions: what is carried out for a customer, and the words in which it reaches them."""

from typing import Any, Literal, get_args

import msgspec

from forestall.contracts.case import Advice, Hypothesis, Moment, Seen, Standing, Tried
from forestall.contracts.inference import Inference, Plan

Form = Literal["toast", "banner", "hint", "checklist", "handover"]
"""How a page shows guidance: in a corner, across its top, at an element, as steps to tick off, or as
the way to a person who knows already what happened."""


class Show(msgspec.Struct, frozen=True, omit_defaults=True):
    """How guidance is shown, and a ``hint`` at which element (``at``, a CSS selector)."""

    as_: Form = msgspec.field(name="as")
    at: str | None = None


Noticed = Literal["error", "wait", "form", "click", "search", "asked"]
"""What kind of thing was noticed: something did not work, took long, a form or an element resisted,
somebody searched in vain, or asked for help."""

_NOTICED: dict[str, Noticed] = {
    "client.error": "error",
    "client.click.error": "error",
    "client.request": "error",
    "client.wait": "wait",
    "client.vital": "wait",
    "client.form.abandoned": "form",
    "client.form.stuck": "form",
    "client.click.dead": "click",
    "client.click.rage": "click",
    "client.search": "search",
    "client.wandering": "search",
    "client.help": "asked",
}


def noticed(event_type: str | None) -> Noticed | None:
    """What kind of thing events of this type tell of; none for those that are not ours."""
    return None if event_type is None else _NOTICED.get(event_type)


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Guidance for one customer, as a channel carries it.

    ``id`` is unique and never reused (a client ignores one it has seen), ``intervention`` the id of
    the decision behind it, ``subject`` a pseudonym, ``why`` the customer's answer to why they see
    this, where somebody wrote one; else ``noticed`` may tell the kind of thing that was noticed.
    ``created`` and ``expires`` are log times in microseconds; from ``expires``
    on it may no longer be shown. ``step`` is that of the playbook; ``choices`` are the answers to a
    question, labels by value. ``version`` is the policy's. ``show`` says how a page shows it (a toast
    where it does not), ``steps`` are the items of a checklist, in order, and ``known`` what people
    know already, of a hand-over. ``locale`` is a BCP 47 tag such as ``de-CH``, ``traceparent`` that
    of the decision. All texts are plain.
    """

    id: str
    intervention: str
    subject: str
    policy: str
    title: str
    body: str
    why: str = ""
    noticed: Noticed | None = None
    created: int
    expires: int
    step: int | None = None
    choices: dict[str, str] | None = None
    version: str | None = None
    show: Show | None = None
    steps: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    locale: str | None = None
    traceparent: str | None = None


Ending = Literal[
    "shown",
    "resolved",
    "helped",
    "remediated",
    "dismissed",
    "expired",
    "escalated",
    "failed",
    "cancelled",
    "ended",
]
"""How an intervention ended. ``shown``: it was all said, and nothing was awaited. ``remediated``:
the cause was mended, and that was verified. ``expired``: guidance could not be delivered in time,
or the wait ran out. ``failed``: a step failed, and what was done before was undone. ``cancelled``:
opt-out, consent withdrawn, a ticket opened meanwhile, a newer policy, an operator, or the policy
was switched off. ``ended``: its steps were done, and none of them reached anybody."""

Told = Literal[
    "started",
    "shown",
    "seen",
    "acted",
    "dismissed",
    "helped",
    "answered",
    "filled",
    "approved",
    "declined",
    "remediated",
    "undone",
    "commanded",
    "resolved",
    "expired",
    "escalated",
    "taken",
    "failed",
]
"""The last word of the type of an event that reports on an intervention."""

REPORTS: dict[str, Told] = {f"forestall.intervention.{told}": told for told in get_args(Told)}
"""Event types that report on an intervention, and what each tells."""

NOTES: frozenset[Told] = frozenset({"seen", "acted"})
"""Reports that say how the customer took guidance, and never move a playbook."""

OWN_REPORTS = frozenset(
    f"forestall.intervention.{told}"
    for told in ("filled", "approved", "declined", "remediated", "undone", "commanded", "taken")
)
"""Reports that move a playbook on towards an act, so that no key but our own may send them."""


class Tell(msgspec.Struct, frozen=True, omit_defaults=True):
    """``data`` of an event that reports on an intervention. ``step`` counts from 1 and is left
    out where the whole is meant; ``reason`` says why it expired, failed or was declined.

    ``choice`` is what the customer answered, ``fields`` what a step filled, ``by`` the person who
    approved, declined, took or commanded, ``command`` what an operator commanded, and ``undo``
    whether what was done is to be undone first. ``detail`` says which argument is behind the reason
    ``bad-arguments``, never its value. ``plan`` is what an agent planned and was allowed,
    ``inference`` how an agent came to what it planned or filled.
    """

    intervention: str
    policy: str
    version: str
    step: int | None = None
    reason: str | None = None
    choice: str | None = None
    fields: dict[str, Any] | None = None
    by: str | None = None
    command: "Command | None" = None
    undo: bool | None = None
    plan: Plan | None = None
    inference: Inference | None = None
    detail: str | None = None


Command = Literal["stop", "force", "repeat", "take_over"]
"""What an operator may do with a running intervention: end it, go on as if the current wait were
over, carry the current step out again, or take the case over in person."""


class Taken(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was done for a customer: at which log time (RFC 3339), what, at which step."""

    at: str
    what: str
    step: int | None = None
    reason: str | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What people are handed when an intervention escalates: enough to take over at once.

    ``id`` is the key of the effect, the same in every repetition; ``customer`` a pseudonym; ``step``
    the playbook's; ``why`` the decision's explanation; ``taken`` the course of the playbook. ``timeline``, ``seen``,
    ``tried`` and ``hypotheses`` are oldest first. ``traits`` and ``fields`` are what is known of the
    customer and what the playbook's steps filled. ``advice`` is the runbooks' words to the agent as
    one text, ``runbooks`` the same with ids and versions, ``reply`` what could be answered to the
    customer. ``trace`` is the id under which requests are traced, ``links`` lead to the customer's
    page for people, by name. ``tier`` counts the queues that had the case, ``passed_from`` the last
    of them. ``possibly_doubled`` is set when an earlier attempt may have arrived, and ``withheld``
    names what the queue's role may not see.
    """

    id: str
    intervention: str
    queue: str
    customer: str
    policy: str
    title: str
    why: str
    at: str
    events: tuple[str, ...]
    features: dict[str, Any]
    taken: tuple[Taken, ...]
    advice: str | None
    trace: str | None
    possibly_doubled: bool = False
    step: int | None = None
    version: str = ""
    timeline: tuple[Moment, ...] = ()
    seen: tuple[Seen, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    tried: tuple[Tried, ...] = ()
    consent: Standing | None = None
    traits: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    runbooks: tuple[Advice, ...] = ()
    reply: str | None = None
    links: dict[str, str] = {}
    tier: int = 1
    passed_from: str | None = None
    withheld: tuple[str, ...] = ()
