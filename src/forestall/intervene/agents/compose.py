"""The composer: an answer without a model, from knowledge alone. Pure but for the search.

The best that our knowledge says to customers about what happened, or else about their words, after
an opening sentence that fits their mood. It says nothing that is not in the knowledge, and what it
says is held to the same rules as a model's proposal.
"""

from collections.abc import Iterator

import msgspec

from forestall.context.knowledge.passages import Passage, Search
from forestall.context.tone import Level, Mood, Signs
from forestall.contracts.inference import Plan, Turned
from forestall.intervene.agents.guard import RISKS, Allowed, Granted, Proposal, Proposed, guard
from forestall.intervene.agents.plain import sentences, spoken
from forestall.intervene.agents.seeking import seek

MOST_WORDS = 600
"""Characters of an article that are said."""

TRIED = 5
"""How many passages are tried, best first, until one may be said."""

_OPENINGS: dict[str, dict[str, str]] = {
    "en": {
        "failures": "Sorry that it failed again.",
        "repetitions": "Sorry that you have to try this again.",
        "waiting": "Sorry for the wait.",
        "annoyed": "Sorry for the trouble.",
        "upset": "We are sorry: this should have worked, and it did not.",
    },
    "de": {
        "failures": "Es tut uns leid, dass es wieder nicht geklappt hat.",
        "repetitions": "Es tut uns leid, dass Sie es noch einmal versuchen müssen.",
        "waiting": "Entschuldigen Sie bitte die Wartezeit.",
        "annoyed": "Entschuldigen Sie bitte die Umstände.",
        "upset": "Es tut uns leid: Das hätte klappen sollen, und es hat nicht geklappt.",
    },
}
_SOURCE = {"en": "From our help page", "de": "Aus unserer Hilfe"}
_LONG = 120
"""Seconds of waiting from which on we are sorry for it."""


class Composing(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a customer who is to be helped without a model.

    ``signals`` are the policy and the event type that started it, ``words`` the customer's own,
    oldest first, ``language`` or locale theirs (``de-CH``; none: as they write, else English). ``products`` and
    ``search`` are the knowledge that the agent may use. What is said and done is held to
    ``allowed``, like a model's proposal (its ``passages`` are not looked at).
    """

    signals: tuple[str, ...]
    words: tuple[str, ...] = ()
    mood: Mood
    signs: Signs = Signs()
    language: str | None = None
    products: tuple[str, ...] = ()
    search: Search
    allowed: Allowed


class Composed(msgspec.Struct, frozen=True):
    """What to say and do; none where nothing in our knowledge fits, or nothing that fits may be said:
    then ``refused`` says why not."""

    plan: Plan | None = None
    refused: tuple[Turned, ...] = ()


def compose(request: Composing) -> Composed:
    """The best of our knowledge that may be said."""
    refused: dict[Turned, None] = {}
    tongue = _tongue(request)
    opening = _opening(request, tongue)
    for number, passage in enumerate(_candidates(request, tongue)):
        if number == TRIED:
            break
        runbook = passage.kind == "runbook"
        said = opening if runbook else f"{opening}\n{_article(passage, tongue)}".strip()
        proposal = Proposal(
            message=said,
            runbook=passage.runbook if runbook else None,
            actions=_actions(passage, request.allowed),
            evidence=(passage.cite,),
            rationale=f"Our knowledge says: {passage.title}",
        )
        allowed = msgspec.structs.replace(request.allowed, passages=(passage,))
        guarded = guard(proposal, allowed)
        if guarded.plan is not None:
            return Composed(guarded.plan)
        refused.update(dict.fromkeys(guarded.refused))
    return Composed(refused=tuple(refused))


def _tongue(request: Composing) -> str:
    """The customer's language, in two letters."""
    if request.language:
        return request.language[:2].lower()
    return spoken(" ".join(request.words)) or "en"


def _candidates(request: Composing, tongue: str) -> Iterator[Passage]:
    """What may be said, best first: what is about the signal, then what is about the words."""
    about_words = seek(
        request.search, request.words, products=request.products, language=tongue, limit=20
    )
    found = [passage for passage in about_words if _sayable(passage)]
    order = {passage.cite: number for number, passage in enumerate(found)}
    given = set()
    for signal in request.signals:
        about = [
            passage
            for passage in request.search.signalled(
                signal, products=request.products, language=tongue
            )
            if _sayable(passage)
        ]
        for passage in sorted(about, key=lambda one: (order.get(one.cite, len(order)), one.cite)):
            if passage.cite not in given:
                given.add(passage.cite)
                yield passage
    for passage in found:
        if passage.cite not in given:
            yield passage


def _sayable(passage: Passage) -> bool:
    """Whether a passage is for customers; a runbook's other parts are for our people."""
    return passage.kind == "article" or passage.section == "customer"


def _article(passage: Passage, tongue: str) -> str:
    """An article's section as far as it is said, line by line, and where it stands."""
    said = ""
    for line in passage.text.splitlines():
        for number, sentence in enumerate(sentences(line)):
            if len(said) + len(sentence) > MOST_WORDS:
                return _sourced(said, passage, tongue)
            said = f"{said}{' ' if number else chr(10)}{sentence.strip()}".strip()
    return _sourced(said, passage, tongue)


def _sourced(said: str, passage: Passage, tongue: str) -> str:
    source = _SOURCE.get(tongue, _SOURCE["en"])
    return f"{said}\n({source}: {passage.title})" if said else ""


def _opening(request: Composing, tongue: str) -> str:
    """The first sentence; none for somebody who is calm, or whose language we do not write."""
    openings = _OPENINGS.get(tongue, {})
    level: Level = request.mood.level
    if level == "calm":
        return ""
    signs = request.signs
    if signs.failures >= 2:
        return openings.get("failures", "")
    if signs.repetitions >= 2:
        return openings.get("repetitions", "")
    if signs.waiting >= _LONG:
        return openings.get("waiting", "")
    return openings.get("annoyed" if level == "annoyed" else "upset", "")


def _actions(passage: Passage, allowed: Allowed) -> tuple[Proposed, ...]:
    """The actions that a runbook recommends, as far as they are granted and leave nothing to choose."""
    if passage.kind == "article":
        return ()
    wanted = [name for name in passage.actions if _possible(allowed.actions.get(name), allowed)]
    return tuple(Proposed(name) for name in dict.fromkeys(wanted[: allowed.most]))


def _possible(granted: Granted | None, allowed: Allowed) -> bool:
    return (
        granted is not None
        and granted.bound is not None
        and RISKS.index(granted.risk) <= RISKS.index(allowed.risk)
        and granted.wrong(granted.bound) is None
    )
