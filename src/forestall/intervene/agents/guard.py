"""The guard: what of a proposal is allowed. Pure; a proposal is data from an author we do not trust.

A proposal is taken as a whole or not at all: one part that is not allowed refuses all of it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from forestall.context.knowledge.passages import Passage
from forestall.contracts.inference import Plan, PlannedAction, Turned
from forestall.policy.actions.model import Risk


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
    the model's; ``wrong`` says what is wrong with all arguments together. ``people`` approve it
    first where ``approve`` is set."""

    bound: dict[str, Any] | None
    chooses: tuple[str, ...] = ()
    risk: Risk = "medium"
    approve: bool = False
    people: int = 1
    wrong: Callable[[Any], str | None]


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """What a proposal may contain.

    ``passages`` are those that the author was given, ``placeholders`` those of this customer's own
    data (``[email-1]``), ``own`` texts of theirs that may look like personal data or an id of
    somebody (their pseudonym, an order's number). ``links`` are hosts as in ``[agents]``, and
    ``tel:`` with a number. ``secrets`` are the deployment's. ``finds`` is ``privacy.masking.find``. ``actions`` are granted, by name, up to ``risk`` and at most
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
    finds: Callable[[str], Sequence[Any]]
    confidence: float = 0.0


class Guarded(msgspec.Struct, frozen=True):
    """``plan`` is none where anything of the proposal was ``refused``."""

    plan: Plan | None
    refused: tuple[Turned, ...] = ()


def guard(proposal: Proposal, allowed: Allowed) -> Guarded:
    """The proposal as a plan, or why not. Never raises for anything in a proposal."""
    refused: list[Turned] = []
    actions: list[PlannedAction] = []
    for wanted in proposal.actions:
        granted = allowed.actions.get(wanted.name)
        if granted is None or granted.bound is None or set(wanted.arguments) - {*granted.chooses}:
            refused.append(Turned("action", "it is not granted like this"))
            continue
        arguments = {**wanted.arguments, **granted.bound}
        if (wrong := granted.wrong(arguments)) is not None:
            refused.append(Turned(f"action {wanted.name}", wrong))
        actions.append(PlannedAction(wanted.name, arguments, granted.approve, granted.people))
    cites = {passage.cite for passage in allowed.passages}
    if not cites.issuperset(proposal.evidence):
        refused.append(Turned("evidence", "it cites what it was not given"))
    if refused:
        return Guarded(None, tuple(refused))
    plan = Plan(
        message=proposal.message,
        runbook=proposal.runbook,
        actions=tuple(actions),
        hand_over=proposal.hand_over,
        rationale=proposal.rationale,
        evidence=proposal.evidence,
        confidence=proposal.confidence,
    )
    return Guarded(plan)
