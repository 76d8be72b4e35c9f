"""The guard: what of a proposal is allowed. Pure; a proposal is data from an author we do not trust.

A proposal is taken as a whole or not at all: one part that is not allowed refuses all of it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

import msgspec

from forestall.context.knowledge.passages import Passage
from forestall.contracts.inference import Plan, PlannedAction, Turned
from forestall.intervene.agents.demands import demanded, pressing
from forestall.intervene.agents.leaks import leaked
from forestall.intervene.agents.links import astray
from forestall.intervene.agents.plain import unfit
from forestall.intervene.agents.promises import broken, promised
from forestall.policy.actions.model import Risk
from forestall.privacy.finding import Found, find

RISKS: tuple[Risk, ...] = ("low", "medium", "high")
DEEPEST, LARGEST = 4, 2_000
"""Levels, and bytes of JSON, of the arguments that a model chooses for an action."""

_PLACEHOLDER = re.compile(r"\[[a-z]+-\d+\]")
_FORMS = {
    "email": re.compile(r"[\w.+-]{1,64}@[\w.-]{1,190}"),
    "phone": re.compile(r"[\d\s()+/.-]{5,30}"),
    "iban": re.compile(r"[A-Za-z]{2}\d{2}[A-Za-z0-9 ]{8,40}"),
    "card": re.compile(r"[\d -]{12,30}"),
    "id": re.compile(r"[A-Za-z0-9_-]{1,40}"),
    "person": re.compile(r"[^\W\d_]+(?:[ .'-]{1,2}[^\W\d_]+){0,4}\.?"),
    "place": re.compile(r"[^\W\d_]+(?:[ .'-]{1,2}[^\W\d_]+){0,4}\.?"),
    "address": re.compile(r"[\w .,'/-]{5,100}"),
}
"""What the values behind placeholders of a kind look like; of other kinds none is said."""

_NEVER_OURS = frozenset({"credentials", "payment elsewhere", "secrecy", "threat"})
"""Demands that no runbook may make either, whoever wrote it."""

_NUMBER = re.compile(r"(?=.*\d)[A-Za-z0-9-]{4,40}")
_TO_CALL = re.compile(
    r"\b(?:call|phone|ring|dial|text|sms|fax|hotline|whatsapp|anruf\w*|ruf\w*|wähl\w*|telefon\w*)\b",
    re.IGNORECASE,
)
_FILLED_IN = re.compile(r"\{\{.*?\}\}", re.DOTALL)


class Proposed(msgspec.Struct, frozen=True):
    """An action that a model wants, with the arguments that it chose itself."""

    name: str
    arguments: dict[str, Any] = {}


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What a model proposes, as ``Plan`` has it; ``runbook`` is one of those it was given."""

    message: str = ""
    runbook: str | None = None
    actions: tuple[Proposed, ...] = ()
    hand_over: str | None = None
    rationale: str = ""
    evidence: tuple[str, ...] = ()
    confidence: float = 1.0


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """An action that a proposal may contain. ``bound`` are the arguments that we computed (none:
    they cannot be computed now, so that it cannot be had), ``chooses`` the names of those that are
    the model's; ``wrong`` says what is wrong with all arguments together. ``literals`` are
    words that its schema names itself. ``people`` approve it first where ``approve`` is set."""

    bound: dict[str, Any] | None
    chooses: tuple[str, ...] = ()
    risk: Risk = "medium"
    approve: bool = False
    people: int = 1
    literals: frozenset[str] = frozenset()
    wrong: Callable[[Any], str | None]


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """What a proposal may contain.

    ``passages`` are those that the author was given, ``placeholders`` those of this customer's own
    data (``[email-1]``), ``own`` texts of theirs that may look like personal data or an id of
    somebody (their pseudonym, an order's number). ``links`` are hosts as in ``[agents]``, and
    ``tel:`` with a number. ``secrets`` are the deployment's. ``finds`` finds personal data. ``actions`` are granted, by name, up to ``risk`` and at most
    ``most``; ``promises`` are kinds of promises.
    """

    actions: Mapping[str, Granted] = {}
    risk: Risk = "medium"
    most: int = 3
    passages: tuple[Passage, ...] = ()
    promises: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    placeholders: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()
    secrets: tuple[str, ...] = ()
    finds: Callable[[str], Sequence[Found]] = find
    confidence: float = 0.0


class Guarded(msgspec.Struct, frozen=True):
    """``plan`` is none where anything of the proposal was ``refused``."""

    plan: Plan | None
    refused: tuple[Turned, ...] = ()


def guard(proposal: Proposal, allowed: Allowed) -> Guarded:
    """The proposal as a plan, or why not. Never raises for anything in a proposal."""
    refused = [turned for check in CHECKS for turned in check(proposal, allowed)]
    if refused:
        return Guarded(None, tuple(dict.fromkeys(refused)))
    plan = Plan(
        rationale=proposal.rationale,
        evidence=proposal.evidence,
        confidence=proposal.confidence,
        hand_over=proposal.hand_over,
    )
    if proposal.hand_over is not None:
        return Guarded(plan)
    actions = tuple(_planned(wanted, allowed.actions[wanted.name]) for wanted in proposal.actions)
    return Guarded(
        msgspec.structs.replace(
            plan, message=proposal.message.strip(), runbook=proposal.runbook, actions=actions
        )
    )


def wording(text: str, allowed: Allowed, evidence: Sequence[str] = ()) -> tuple[Turned, ...]:
    """What is wrong with words that a customer would read: a message, a chosen argument, a field
    that an agent filled. ``evidence`` are the passages that they cite."""
    if (why := unfit(text)) is not None:
        return (Turned("message", why),)
    quotable = [
        one.text for one in allowed.passages if one.cite in evidence and _for_customers(one)
    ]
    found = [
        Turned(f"promise {kind}", "no policy grants it")
        for kind in sorted(broken(text, allowed.promises, quotable))
    ]
    found += [
        Turned(f"demand {kind}", "nobody may ask or claim that in our name")
        for kind in sorted(demanded(text))
    ]
    return (*found, *_leading(text, allowed))


def texts(value: Any) -> Iterator[str]:
    """Every text in JSON data, in its order; names of fields are texts too."""
    match value:
        case str():
            yield value
        case Mapping():
            yield from (text for item in value.items() for one in item for text in texts(one))
        case list() | tuple():
            yield from (text for one in value for text in texts(one))


def literals(schema: Any) -> frozenset[str]:
    """The words that a JSON Schema itself names as values, so that saying them is its owner's."""
    found: set[str] = set()
    if isinstance(schema, Mapping):
        for key, one in schema.items():
            found |= frozenset(texts(one)) if key in ("enum", "const") else literals(one)
    elif isinstance(schema, list):
        found = found.union(*map(literals, schema))
    return frozenset(found)


def reasonable(value: Any) -> bool:
    """Whether filled fields are of a depth, a size and numbers that everything after us can read."""
    return _plain_data(value, DEEPEST + 2) and len(msgspec.json.encode(value)) <= 10 * LARGEST


def own_placeholders(masked: Any, known: Mapping[str, str]) -> frozenset[str]:
    """The placeholders that may stand in a message, given the ``masked`` inputs and the values
    ``known`` behind placeholders.

    It must be all of a field, for one from the middle of a text could be anybody's address and
    would lead the customer there; and its value must be what its kind says and nothing more, for a
    name could have a link in it.
    """
    return frozenset(one for one in texts(masked) if one in known and _own(one, known[one]))


def _own(placeholder: str, value: str) -> bool:
    form = _FORMS.get(placeholder[1:].rpartition("-")[0])
    if form is None or form.fullmatch(value) is None:
        return False
    if placeholder.startswith(("[person", "[place", "[address")):
        return len(value) <= 100 and astray(value, ()) is None and not promised(value)
    return True


def _says_something(proposal: Proposal, allowed: Allowed) -> Iterator[Turned]:
    if not (proposal.message.strip() or proposal.runbook or proposal.actions) and (
        not proposal.hand_over
    ):
        yield Turned("plan", "there is nothing in it")
    least = 0.0 if proposal.hand_over is not None else allowed.confidence
    if not least <= proposal.confidence <= 1:
        yield Turned("confidence", f"it is not between {least} and 1")


def _granted_actions(proposal: Proposal, allowed: Allowed) -> Iterator[Turned]:
    if len(proposal.actions) > allowed.most:
        yield Turned("actions", f"there are more than {allowed.most}")
        return
    for wanted in proposal.actions:
        granted = allowed.actions.get(wanted.name)
        if granted is None:
            yield Turned("action", "it is not granted")
            continue
        for why in _not_so(wanted, granted, allowed):
            yield Turned(f"action {wanted.name}", why)
    encoded = [_data(one) for one in proposal.actions]
    if len(set(encoded)) < len(encoded):
        yield Turned("actions", "one of them is there twice")


def _not_so(wanted: Proposed, granted: Granted, allowed: Allowed) -> Iterator[str]:
    """Why an action that is granted may not be had like this."""
    if RISKS.index(granted.risk) > RISKS.index(allowed.risk):
        yield f"its risk is {granted.risk}, and the agent may plan up to {allowed.risk}"
    if set(wanted.arguments) - set(granted.chooses):
        yield "it has arguments that are not the agent's to choose"
        return
    if granted.bound is None:
        yield "its arguments cannot be computed"
        return
    if _data(wanted) is None:
        yield "its arguments are too long, too deep or no JSON"
        return
    if (wrong := granted.wrong({**wanted.arguments, **granted.bound})) is not None:
        yield wrong
    for text in texts(wanted.arguments):
        if text in granted.literals:
            continue
        if _PLACEHOLDER.search(text):
            yield "a chosen argument has masked data in it"
        for turned in wording(text, allowed):
            yield f"a chosen argument: {turned.what}"


def _given_evidence(proposal: Proposal, allowed: Allowed) -> Iterator[Turned]:
    cites = {one.cite for one in allowed.passages}
    if not cites.issuperset(proposal.evidence):
        yield Turned("evidence", "it cites what it was not given")
    given = {one.runbook for one in allowed.passages if _for_customers(one)}
    if proposal.runbook is not None and proposal.runbook not in given:
        yield Turned("runbook", "its words for customers were not given")


def _fit_words(proposal: Proposal, allowed: Allowed) -> Iterator[Turned]:
    if proposal.message:
        yield from wording(proposal.message, allowed, proposal.evidence)
    for one in allowed.passages:
        if one.runbook == proposal.runbook and _for_customers(one):
            words = _FILLED_IN.sub("...", one.text)
            yield from (Turned("runbook", t.what) for t in _leading(words, allowed))
            if demanded(words) & _NEVER_OURS:
                yield Turned("runbook", "it asks for what nobody may ask for in our name")


def _fit_for_people(proposal: Proposal, allowed: Allowed) -> Iterator[Turned]:
    """What our own people read may mislead them as little as a customer."""
    for name, text in (("rationale", proposal.rationale), ("hand-over", proposal.hand_over or "")):
        if (why := unfit(text)) is not None:
            yield Turned(name, why)
            continue
        if pressing(text):
            yield Turned(name, "it presses whoever has to approve")
        yield from (Turned(name, turned.what) for turned in _leading(text, allowed))


CHECKS: tuple[Callable[[Proposal, Allowed], Iterator[Turned]], ...] = (
    _says_something,
    _granted_actions,
    _given_evidence,
    _fit_words,
    _fit_for_people,
)
"""What is looked at, in this order; everything that is wrong is told."""


def _leading(text: str, allowed: Allowed) -> Iterator[Turned]:
    """Where words lead to, and whose data are in them."""
    if (kind := astray(_without(text, allowed.own), allowed.links)) is not None:
        yield Turned(kind, "it leads to a place that is not listed")
    found = leaked(
        text,
        placeholders=allowed.placeholders,
        own=allowed.own,
        known=[one.text for one in allowed.passages if _for_customers(one)],
        secrets=allowed.secrets,
        finds=allowed.finds,
        listed=allowed.links,
    )
    for what in found:
        yield Turned(what, "it is not this customer's to read")


def _without(text: str, own: frozenset[str]) -> str:
    """``text`` without this customer's own numbers, which could look like somebody's phone; with
    all of them where it says to call."""
    for one in () if _TO_CALL.search(text) else own:
        if _NUMBER.fullmatch(one):
            text = re.sub(rf"(?<!\w){re.escape(one)}(?!\w)", " ", text)
    return text


def _for_customers(passage: Passage) -> bool:
    """Whether a passage is what its owner wrote for customers. Articles are imported."""
    return passage.kind == "runbook" and passage.section == "customer"


def _planned(wanted: Proposed, granted: Granted) -> PlannedAction:
    arguments = {**wanted.arguments, **(granted.bound or {})}
    return PlannedAction(wanted.name, arguments, granted.approve, granted.people)


def _data(wanted: Proposed) -> bytes | None:
    """An action as canonical JSON; none where its arguments are no reasonable data."""
    if not _plain_data(wanted.arguments, DEEPEST):
        return None
    data = msgspec.json.encode([wanted.name, wanted.arguments], order="deterministic")
    return data if len(data) <= LARGEST else None


def _plain_data(value: Any, depth: int) -> bool:
    match value:
        case None | bool() | str():
            return True
        case int():
            return abs(value) < 2**53
        case float():
            return isfinite(value)
        case dict() if depth:
            return all(isinstance(k, str) and _plain_data(v, depth - 1) for k, v in value.items())
        case list() if depth:
            return all(_plain_data(one, depth - 1) for one in value)
    return False
