"""What an agent concluded, and how: part of the history, so that it can be explained and replayed."""

from typing import Any, Literal

import msgspec

By = Literal["model", "composer", "function", "tone", "nobody"]
"""Who answered: a language model; the composer, which needs none; a Python function; or the look at
the customer's words, which sends whoever is very upset or vulnerable to a person at once; or nobody,
where the model did not and the agent's ``fallback`` brought no answer."""


class Turned(msgspec.Struct, frozen=True):
    """Something that was wanted and not allowed: ``what`` in a word and a name (``action
    retry-charge``, ``link``, ``promise``), ``why`` as a sentence. Never the unwanted text itself."""

    what: str
    why: str


class Inference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer of an agent.

    ``version`` is the SHA-256 of the agent's declaration, ``prompt`` that of everything the model
    was given, both in hex. ``evidence`` are passages as ``runbook@version#section``. ``tokens_in``,
    ``tokens_out`` and ``cost`` (in the currency of the prices in the settings) are over all
    ``calls``; ``latency`` is in microseconds. ``fallback`` is the stable word for why the model did
    not answer, or its answer was not taken: ``no-model``, ``budget``, ``timeout``, ``unreachable``,
    ``rate-limited``, ``nonsense``, ``too-long``, ``low-confidence``, ``refused``, ``cut-off``; or
    ``nothing-found``, where the composer looked in our knowledge in the model's place and nothing
    fits. ``tone`` is the customer's mood as it was detected.
    """

    agent: str
    version: str
    by: By
    model: str | None = None
    prompt: str | None = None
    evidence: tuple[str, ...] = ()
    confidence: float | None = None
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    latency: int = 0
    fallback: str | None = None
    refused: tuple[Turned, ...] = ()
    tone: str | None = None


class PlannedAction(msgspec.Struct, frozen=True):
    """An action that a plan wants carried out, with all of its arguments as JSON data."""

    action: str
    arguments: dict[str, Any] = {}
    approve: bool = False
    people: int = 1
    """Whether people have to approve it first, and how many."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be done for a customer, as it was allowed: the actions in their order, then the
    message. ``message`` is plain text in which personal data stands masked (``[email-1]``); after
    it, or alone, come the customer's words of the runbook ``runbook``. ``hand_over`` sends the case
    to people in its place, for the reason it gives. ``rationale`` is for our own people."""

    message: str = ""
    runbook: str | None = None
    actions: tuple[PlannedAction, ...] = ()
    hand_over: str | None = None
    rationale: str = ""
    evidence: tuple[str, ...] = ()
    confidence: float = 1.0
