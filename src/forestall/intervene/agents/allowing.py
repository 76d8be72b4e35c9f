"""What a proposal may contain, from an agent's declaration, the settings, and what it was given."""

from collections.abc import Iterable
from typing import Any

import msgspec

from forestall.context.knowledge.passages import Passage
from forestall.intervene.actions.answers import BadArguments
from forestall.intervene.agents.guard import Allowed, Granted, literals, own_placeholders
from forestall.intervene.agents.looking import Looks
from forestall.intervene.agents.secrets import secrets_of
from forestall.kernel.settings import Settings
from forestall.policy.actions.folder import Declarations
from forestall.policy.actions.model import Agent, Grant
from forestall.policy.actions.schema import Arguments
from forestall.privacy.masking import Finder, Masks


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent was given: the customer's own ``words``, its arguments as ``masked`` by
    ``masks``, what it has had looked up, and the passages."""

    words: Iterable[str]
    masked: Any
    masks: Masks
    looks: Looks
    passages: tuple[Passage, ...] = ()


def allowed(
    agent: Agent, declarations: Declarations, settings: Settings, given: Given, finder: Finder
) -> Allowed:
    """What ``agent`` may propose to somebody of whom all this is known."""
    return Allowed(
        actions={grant.name: _granted(declarations, grant, given.looks) for grant in agent.actions},
        risk=agent.risk,
        passages=given.passages,
        promises=agent.promises,
        links=settings.agents.links,
        placeholders=own_placeholders(given.masked, given.masks.known),
        own=frozenset(given.words),
        secrets=secrets_of(settings),
        finds=finder,
        confidence=agent.confidence,
    )


def _granted(declarations: Declarations, grant: Grant, looks: Looks) -> Granted:
    action = declarations.actions[grant.name]
    try:
        bound: dict[str, Any] | None = looks.bound(grant)
    except BadArguments:
        bound = None
    people = declarations.demands(grant.name)
    return Granted(
        bound=bound,
        chooses=grant.chooses,
        risk=action.risk,
        approve=people > 0,
        people=max(1, people),
        literals=literals(action.input),
        wrong=Arguments(action.input).wrong,
    )
