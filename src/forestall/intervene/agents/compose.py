"""The composer: an answer without a model, from knowledge alone. Pure but for the search."""

import msgspec

from forestall.context.knowledge.passages import Search
from forestall.context.tone import Mood
from forestall.contracts.inference import Plan
from forestall.intervene.agents.guard import Allowed


class Composing(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a customer who is to be helped without a model.

    ``signals`` are the policy and the event type that started it, ``words`` the customer's own,
    oldest first, ``language`` their locale or its first two letters (none: as they write, else
    English). ``products`` and ``search`` are the knowledge that the agent may use; what it says is
    held to ``allowed``, like a model's proposal (``allowed.passages`` may be empty).
    """

    signals: tuple[str, ...]
    words: tuple[str, ...] = ()
    mood: Mood
    language: str | None = None
    products: tuple[str, ...] = ()
    search: Search
    allowed: Allowed


def compose(request: Composing) -> Plan | None:
    """The best of what our knowledge says to it, in a fitting tone, cited; none where nothing fits."""
    for signal in request.signals:
        for passage in request.search.signalled(
            signal, products=request.products, language=request.language
        ):
            if passage.kind == "runbook" and passage.section == "customer":
                return Plan(runbook=passage.runbook, evidence=(passage.cite,))
    return None
