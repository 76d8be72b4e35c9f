"""The registry: every version under change control, every transition, every request for a second.

One SQLite file, ``registry.db`` in the data folder. Rows are only ever added, but that a request is
answered. The app process is its only writer; others open it read-only. Belongs to one thread.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from forestall.contracts.control import Transition
from forestall.contracts.errors import ForestallError
from forestall.policy.lifecycle import (
    Actor,
    Artifact,
    Ask,
    Finding,
    Kind,
    Rules,
    Standing,
)

REGISTRY_FILE = "registry.db"
"""Where the registry lies, in the data folder."""

Status = Literal["open", "seconded", "declined", "void"]


class RegistryMissing(ForestallError):
    """There is no registry here yet: no server of this deployment has managed anything."""

    code = "registry-missing"
    exit_code = 2


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A transition that waits for a second person, bound by the hash ``binding`` to everything that
    it was asked about. Times are wall times in microseconds."""

    id: int
    ask: Ask
    binding: str
    by: str
    at: int
    why: str
    status: Status = "open"
    answered_by: str | None = None
    answered_at: int | None = None
    answer: str | None = None


Outcome = tuple[Transition, ...] | Request
"""What came of an ask: transitions, or a request that waits for a second person."""


class Registry:
    """Opens the registry at ``path``, and makes it unless ``read_only``, which raises
    ``RegistryMissing`` where there is none."""

    def __init__(self, path: Path, *, read_only: bool = False, rules: Rules = Rules()) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Let the file go."""
        raise NotImplementedError

    def version(self) -> int:
        """The number of the newest transition, 0 before the first; cheap."""
        raise NotImplementedError

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written inside is there together, or not at all."""
        raise NotImplementedError

    # -- versions --------------------------------------------------------------------------------

    def put(self, artifact: Artifact) -> bool:
        """Keep a version; false if it is there already. It gets no state by that."""
        raise NotImplementedError

    def artifact(self, kind: Kind, name: str, version: str) -> Artifact | None:
        """One version."""
        raise NotImplementedError

    def versions(self, kind: Kind, name: str) -> list[Artifact]:
        """All versions of that name, in the order in which they were put."""
        raise NotImplementedError

    def names(self, kind: Kind) -> list[str]:
        """What there is of that kind."""
        raise NotImplementedError

    def found(self, finding: Finding) -> None:
        """Keep a finding, on which conditions rest."""
        raise NotImplementedError

    def findings(self, kind: Kind, name: str, version: str) -> dict[str, Finding]:
        """The newest finding of each sort about a version."""
        raise NotImplementedError

    # -- transitions -----------------------------------------------------------------------------

    def transitions(
        self, after: int = 0, *, kind: str | None = None, name: str | None = None
    ) -> list[Transition]:
        """Those with a number above ``after``, in order; of that kind and name if given."""
        raise NotImplementedError

    def standing(self) -> Standing:
        """What they amount to."""
        raise NotImplementedError

    def move(
        self, ask: Ask, actor: Actor, why: str, at: int, evidence: dict[str, Any] | None = None
    ) -> Outcome:
        """Do what is asked at wall time ``at``, or keep it until a second person agrees.

        Raises ``NotThere``, ``NoSuchTransition``, ``ConditionsMissing``, ``RoleMissing`` and
        ``ReasonMissing``; nothing is changed then.
        """
        raise NotImplementedError

    # -- second persons --------------------------------------------------------------------------

    def pending(self) -> list[Request]:
        """Requests that wait, oldest first."""
        raise NotImplementedError

    def requests(self, limit: int = 100) -> list[Request]:
        """Requests of any status, newest first."""
        raise NotImplementedError

    def second(self, request: int, actor: Actor, why: str, at: int) -> tuple[Transition, ...]:
        """Agree to a request, which does what it asks.

        Raises ``NotThere``, ``TooLate`` (void, or answered), ``OwnRequest``, ``RoleMissing``, and
        what ``move`` raises.
        """
        raise NotImplementedError

    def decline(self, request: int, actor: Actor, why: str, at: int) -> Request:
        """Say no to a request; who asked may take it back. Raises as ``second`` does."""
        raise NotImplementedError
