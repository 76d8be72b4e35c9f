"""What an agent may have looked up, and with which arguments: those that we bind, and those it chose."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from forestall.contracts.instants import SECOND
from forestall.intervene.actions.answers import BadArguments
from forestall.intervene.actions.calls import Expressions
from forestall.intervene.agents.ledger import Ledger
from forestall.intervene.jobs import Job, Workshop
from forestall.kernel.clock import Clock
from forestall.policy.actions.model import Grant, Lookup
from forestall.privacy.masking import PLACEHOLDER

MOST = 12
"""No answer needs more lookups."""


class NotGranted(Exception):
    """What was chosen is not the agent's to choose; the text says why, without the values."""


class Looks:
    """The lookups of one answer, under the effect's ``key``.

    Each is made once and noted, so that the same key is given the same again. ``arguments`` are the
    agent's own, ``left`` says how many seconds there are. ``fields`` are what was answered so far.
    """

    def __init__(
        self,
        key: str,
        arguments: dict[str, Any],
        *,
        workshop: Workshop,
        ledger: Ledger,
        clock: Clock,
        left: Callable[[], float],
    ) -> None:
        self._key, self._arguments = key, arguments
        self._workshop, self._ledger, self._clock, self._left = workshop, ledger, clock, left
        self._expressions = Expressions()
        self._made = 0
        self.fields: dict[str, Any] = {}

    def bound(self, grant: Grant) -> dict[str, Any]:
        """The arguments that we give. Raises ``BadArguments`` where they cannot be computed yet."""
        scope = {"arguments": self._arguments, "fields": self.fields}
        return self._expressions.values(grant.arguments, scope)

    async def look(self, lookup: Lookup, grant: Grant, chosen: dict[str, Any]) -> dict[str, Any]:
        """What the agent is told: ``fields``, or an ``error`` in a word. Raises ``NotGranted``."""
        check_chosen(grant, chosen)
        try:
            arguments = {**chosen, **self.bound(grant)}
        except BadArguments:
            return {"error": "what it needs is not known yet"}
        written = msgspec.json.encode((lookup.name, arguments), order="sorted")
        asked = hashlib.sha256(written).hexdigest()
        found = self._ledger.found(self._key, asked)
        if found is None:
            found = await self._found(lookup, arguments)
            self._ledger.keep(self._key, asked, found, self._clock())
        self.fields |= found.get("fields", {})
        return dict(found)

    async def _found(self, lookup: Lookup, arguments: dict[str, Any]) -> dict[str, Any]:
        self._made += 1
        if self._made > MOST:
            return {"error": "too many lookups"}
        job = Job(
            kind="enrich",
            name=lookup.name,
            arguments=arguments,
            fields=tuple(sorted(lookup.output)),
            timeout=min(lookup.timeout, int(self._left() * SECOND)),
        )
        outcome = await self._workshop.perform(job, f"{self._key}-look-{self._made}")
        if outcome.outcome == "done":
            return {"fields": outcome.fields}
        return {"error": outcome.reason or "failed"}


def check_chosen(grant: Grant, chosen: Mapping[str, Any]) -> None:
    """Only what is granted is chosen, and no personal data, which is bound where it is needed.

    Raises ``NotGranted``.
    """
    beyond = [name for name in chosen if name not in grant.chooses]
    if beyond:
        known = sorted({*beyond} & {*grant.arguments})
        which = f"`{known[0]}`, which is bound" if known else "an argument that is not its own"
        raise NotGranted(f"it chose {which}")
    if _masked(chosen):
        raise NotGranted("it chose personal data, which is bound where it is needed")


def _masked(value: Any) -> bool:
    if isinstance(value, str):
        return PLACEHOLDER.search(value) is not None
    if isinstance(value, Mapping):
        return any(_masked(one) for pair in value.items() for one in pair)
    return isinstance(value, list) and any(_masked(one) for one in value)
