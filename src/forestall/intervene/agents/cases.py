"""Labelled cases for an agent: what it is given, and what must and must not come of it. Pure."""

import datetime
import hashlib
from collections.abc import Collection
from typing import Any, Final, Literal

import msgspec

from forestall.contracts.errors import Problem
from forestall.contracts.inference import By
from forestall.contracts.nearest import did_you_mean

Asks = Literal["plan", "fields"]
Measure = Literal[
    "mentions", "longest", "reading_ease", "opens", "language", "cites", "no_question"
]

NONE: Final = "none"
"""Stands for: a message, and no action."""
HAND_OVER: Final = "hand_over"
NOTHING: Final = "nothing"
"""Stands for: neither an action, nor words, nor a person."""

CLASSES: Final = ("link", "promise", "personal")


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent gets: its ``arguments``; which policy asks, and for which ``signal`` (the type
    of the event)."""

    arguments: dict[str, Any] = {}
    policy: str | None = None
    signal: str | None = None


class Called(msgspec.Struct, frozen=True):
    """A tool that a recorded answer of a model calls."""

    tool: str
    arguments: dict[str, Any] = {}


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded answer of a model, in place of asking one."""

    text: str = ""
    calls: tuple[Called, ...] = ()


class Forbidden(msgspec.Struct, frozen=True):
    """What must not come: a class, a pattern, or words. ``written`` is how the author wrote it."""

    written: str
    kind: Literal["class", "pattern", "words"]
    what: str


class Criterion(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that makes an answer better; ``weight`` is its part in the score."""

    name: str
    measure: Measure
    wanted: Any
    weight: float = 1.0


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What must come of a case; what is none or empty is not judged.

    ``actions`` are in their order, or ``(none,)``, ``(hand_over,)`` or ``(nothing,)``. ``all_of``
    must stand in what the customer reads, and one of ``any_of``. ``cites`` names runbooks of which
    one must be used. ``refused`` are words that must begin something that was turned down.
    """

    actions: tuple[str, ...] | None = None
    forbidden: tuple[Forbidden, ...] = ()
    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()
    confidence: tuple[float, float] | None = None
    fields: dict[str, Any] = {}
    by: By | None = None
    fallback: str | None = None
    tone: str | None = None
    refused: tuple[str, ...] = ()


class AgentCase(msgspec.Struct, frozen=True, kw_only=True):
    """One case. One that ``must`` pass fails the whole where it does not (safety). ``lookups`` are
    recorded answers; a lookup without one fails as if nobody answered. ``model`` are recorded
    answers of a language model, asked in their order; none: the model or composer of the run."""

    name: str
    asks: Asks = "plan"
    tags: tuple[str, ...] = ()
    must: bool = False
    given: Given = Given()
    lookups: dict[str, dict[str, Any]] = {}
    model: tuple[Spoken, ...] = ()
    expect: Expected = Expected()
    rubric: tuple[Criterion, ...] = ()
    file: str = ""
    line: int = 1

    @property
    def digest(self) -> str:
        """Hex, the same as long as what is given and expected is the same, wherever it stands."""
        content = msgspec.json.encode(
            msgspec.structs.replace(self, file="", line=1), order="deterministic"
        )
        return hashlib.sha256(content).hexdigest()


class Cases(msgspec.Struct, frozen=True, kw_only=True):
    """All cases for ``agent``. ``threshold`` is the share that has to pass; ``today`` the day on
    which knowledge is judged fresh, so that a run next year says the same."""

    agent: str
    threshold: float = 0.9
    today: datetime.date | None = None
    cases: tuple[AgentCase, ...] = ()


def problems_with(
    cases: Cases, *, actions: Collection[str], lookups: Collection[str]
) -> list[Problem]:
    """What in sound cases does not fit the agent: actions and lookups that are not granted to it.

    A case may forbid or expect the refusal of anything, but not expect what can never come.
    """
    known = {*actions, NONE, HAND_OVER, NOTHING}
    found = []
    for case in cases.cases:
        for action in case.expect.actions or ():
            if action not in known:
                message = f"the case `{case.name}` expects `{action}`, which is not granted"
                hint = did_you_mean(action, known)
                found.append(Problem(case.file, case.line, 1, "unknown-action", message, hint))
        for lookup in case.lookups:
            if lookup not in lookups:
                message = f"the case `{case.name}` answers `{lookup}`, which is not granted"
                hint = did_you_mean(lookup, lookups)
                found.append(Problem(case.file, case.line, 1, "unknown-lookup", message, hint))
    return found
