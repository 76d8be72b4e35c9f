"""What a deployment offers to playbooks: its lookups, agents and actions, as far as they are declared.

A deployment's declaration files say it; ``soundness`` holds playbooks against it.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A lookup, an agent or an action, of which the playbooks know the name.

    ``arguments`` are the names that it takes and ``required`` those that it cannot do without;
    ``fields`` are the names that its result has. None where that is not known, and not judged.
    ``risk`` and ``people`` (how many have to approve a call, 1 where nobody asked for more) are an
    action's; an agent's ``people`` are the most that an action it may plan asks for. ``plans`` says
    whether an agent can plan, and ``acts`` whether any action is granted to it.
    """

    arguments: frozenset[str] | None = None
    required: frozenset[str] = frozenset()
    fields: frozenset[str] | None = None
    risk: Literal["low", "medium", "high"] | None = None
    people: int = 1
    plans: bool | None = None
    acts: bool = False

    @property
    def needs_approval(self) -> bool:
        """Whether nobody but people may let it happen."""
        return self.risk == "high" or self.people > 1


Offers = Mapping[str, Offer]
