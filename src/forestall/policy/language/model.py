"""A policy as parsed: plain frozen data with every default filled in; durations in microseconds.

``parse`` makes these from YAML, ``check`` judges them, ``compile`` turns them into programs.
"""

from typing import Any, Literal

import msgspec

WILDCARD = "*"


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """An event of one of ``types`` (``"*"``: any outside ``forestall.*``) for which ``where`` holds."""

    types: tuple[str, ...]
    where: str | None = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a pattern. ``times`` repeats a positive step; ``quiet_for`` is a trailing
    negative step's ``for``."""

    match: Match
    negative: bool = False
    times: int = 1
    quiet_for: int | None = None


class When(msgspec.Struct, frozen=True, kw_only=True):
    """The friction pattern. An ``event`` pattern has one positive step; ``all`` only positive ones."""

    kind: Literal["event", "sequence", "all"]
    steps: tuple[Step, ...]
    within: int | None = None
    by: str | None = None


FeatureKind = Literal[
    "count", "sum", "avg", "min", "max", "distinct", "first", "last",
    "p50", "p90", "p95", "p99", "since",
]  # fmt: skip


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """A sliding window over the subject's own events; ``value`` is none for count and since."""

    kind: FeatureKind
    match: Match
    value: str | None = None
    over: int | None = None
    by: str | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """Gate 10: the named model's calibrated probability must reach the threshold."""

    name: str
    threshold: float


class Guide(msgspec.Struct, frozen=True, kw_only=True, tag="guide", tag_field="step"):
    """Tell the customer something: a runbook's customer-facing words, or ``text``."""

    channel: str
    runbook: str | None = None
    text: str | None = None


class Await(msgspec.Struct, frozen=True, kw_only=True, tag="await", tag_field="step"):
    """Wait, in log time, at most ``timeout`` (written ``for``) for an event; if it comes the
    playbook ends as ``then``, otherwise it goes on with the next step."""

    match: Match
    timeout: int
    then: Literal["resolved", "helped"] = "resolved"


class Escalate(msgspec.Struct, frozen=True, kw_only=True, tag="escalate", tag_field="step"):
    """Hand a prepared case to the people behind ``queue``."""

    queue: str


PlaybookStep = Guide | Await | Escalate


class TestEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a policy test, ``at`` microseconds after the test's start."""

    __test__ = False

    at: int
    type: str
    data: dict[str, Any] = {}
    id: str | None = None
    source: str = "test"
    origin: Literal["browser", "server"] = "server"
    received: int | None = None


class TestExpectation(msgspec.Struct, frozen=True, kw_only=True):
    """A decision that must come at ``at``; ``reason`` and ``key`` are compared where given."""

    __test__ = False

    at: int
    outcome: Literal["intervene", "suppress", "holdout"]
    reason: str | None = None
    key: str | None = None


class PolicyTest(msgspec.Struct, frozen=True, kw_only=True):
    """A given/when/then case; ``expect`` lists every decision of this policy up to ``until``."""

    name: str
    events: tuple[TestEvent, ...]
    until: int | None
    expect: tuple[TestExpectation, ...]
    line: int = 0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """One document of a policy file."""

    name: str
    title: str
    owner: str
    labels: dict[str, str] = {}
    features: dict[str, Feature] = {}
    when: When
    condition: str | None = None
    purpose: str = "support"
    risk: Literal["low", "medium", "high"] = "low"
    priority: int = 50
    cooldown: int = 86_400_000_000
    valid_for: int = 120_000_000
    budget_class: Literal["guidance", "transactional"] = "guidance"
    in_conversation: Literal["hold", "allow"] = "hold"
    quiet_hours: Literal["respect", "ignore"] = "respect"
    model: Model | None = None
    holdout: float = 0.0
    edge: bool = False
    playbook: tuple[PlaybookStep, ...]
    tests: tuple[PolicyTest, ...] = ()
