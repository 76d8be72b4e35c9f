"""A policy as parsed: plain frozen data with every default filled in; durations in microseconds.

``parse`` makes these from YAML, ``check`` judges them, ``compile`` turns them into programs.
"""

import datetime
from typing import Any, ClassVar, Literal

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


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """An action by name; ``arguments`` (written ``with``) are CEL expressions by argument."""

    action: str
    arguments: dict[str, str] = {}


OnFailure = Literal["next", "stop"] | tuple["PlaybookStep", ...]
"""What follows a step that failed or ran out of time: the next step; the end, after undoing what
was done; or other steps, after which the playbook ends."""


class Guide(msgspec.Struct, frozen=True, kw_only=True, tag="guide", tag_field="step"):
    """Tell the customer something: a runbook's customer-facing words, or ``text``. ``timeout``
    stands in for the policy's ``valid_for``. It is waited for only where ``on_failure`` is not
    ``next``."""

    channel: str
    runbook: str | None = None
    text: str | None = None
    timeout: int | None = None
    on_failure: OnFailure = "next"
    undo: Call | None = None


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag="ask", tag_field="step"):
    """Ask the customer. ``choices`` are labels by value; the value chosen fills the field ``into``
    (written ``as``), null if no answer comes within ``timeout`` (written ``for``), in log time."""

    text: str
    choices: dict[str, str]
    into: str
    timeout: int
    channel: str = "inapp"
    on_failure: OnFailure = "next"
    undo: Call | None = None


class Enrich(msgspec.Struct, frozen=True, kw_only=True, tag="enrich", tag_field="step"):
    """Look ``fields`` up in the lookup ``source`` (written ``from``); null where that fails. An
    answer to the same arguments is used again for ``cache`` microseconds."""

    source: str
    fields: tuple[str, ...]
    arguments: dict[str, str] = {}
    cache: int = 0
    timeout: int = 5_000_000
    on_failure: OnFailure = "next"
    undo: Call | None = None


class Infer(msgspec.Struct, frozen=True, kw_only=True, tag="infer", tag_field="step"):
    """Have an agent or a model fill ``fields``; null where that fails."""

    agent: str
    fields: tuple[str, ...]
    arguments: dict[str, str] = {}
    timeout: int = 20_000_000
    on_failure: OnFailure = "next"
    undo: Call | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True, tag="plan", tag_field="step"):
    """Have an agent plan, and carry its plan out: each action, where that is asked for once people
    of role ``by`` have approved it within ``approval``, then its words to the customer by
    ``channel``. ``queue`` takes the case over when that fails, or when the agent hands it over.
    ``timeout`` is that of the planning. Nothing undoes a plan but the undoing of its actions."""

    undo: ClassVar[None] = None
    agent: str
    queue: str
    channel: str = "inapp"
    arguments: dict[str, str] = {}
    timeout: int = 20_000_000
    approval: int = 1_800_000_000
    by: str = "approver"
    on_failure: OnFailure = "stop"


Receipt = Literal["shown", "dismissed", "helped"]
"""What an earlier step of the same intervention may report."""


class Await(msgspec.Struct, frozen=True, kw_only=True, tag="await", tag_field="step"):
    """Wait, in log time, at most ``timeout`` (written ``for``) for an event or a receipt; if it
    comes the playbook ends as ``then``, or goes on with ``next``. ``on_failure`` says what follows
    if it does not. With neither it waits for the time to pass."""

    match: Match | None = None
    receipt: Receipt | None = None
    timeout: int
    then: Literal["resolved", "helped", "next"] = "resolved"
    on_failure: OnFailure = "next"
    undo: Call | None = None


class Remediate(msgspec.Struct, frozen=True, kw_only=True, tag="remediate", tag_field="step"):
    """Mend the cause: carry an action out, verified. ``fields`` are those of its result that later
    steps read. ``undo``: none for the action's own, false for nothing. ``queue`` takes the case
    over when it fails and ``on_failure`` is ``stop``."""

    action: str
    arguments: dict[str, str] = {}
    fields: tuple[str, ...] = ()
    timeout: int = 30_000_000
    on_failure: OnFailure = "stop"
    undo: Call | Literal[False] | None = None
    queue: str | None = None


class Approve(msgspec.Struct, frozen=True, kw_only=True, tag="approve", tag_field="step"):
    """Wait, in wall time, for ``people`` persons of role ``by`` to approve the remediation that
    follows, with exactly its arguments; ``why`` tells them what it is about."""

    timeout: int
    by: str = "approver"
    people: int = 1
    why: str | None = None
    on_failure: OnFailure = "stop"
    undo: Call | None = None


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """One way of a branch; without a ``condition`` it is taken when no other is."""

    condition: str | None = None
    steps: tuple["PlaybookStep", ...] = ()


class Branch(msgspec.Struct, frozen=True, kw_only=True, tag="branch", tag_field="step"):
    """Take the first arm whose condition holds, then go on after the branch."""

    arms: tuple[Arm, ...]


class Escalate(msgspec.Struct, frozen=True, kw_only=True, tag="escalate", tag_field="step"):
    """Hand a prepared case to the people behind ``queue``. Escalations are never given up, so
    without ``timeout`` it waits until the queue has it."""

    queue: str
    timeout: int | None = None
    on_failure: OnFailure = "next"
    undo: Call | None = None


class Resolve(msgspec.Struct, frozen=True, kw_only=True, tag="resolve", tag_field="step"):
    """End the playbook well."""

    then: Literal["resolved", "helped"] = "resolved"


PlaybookStep = (
    Guide | Ask | Enrich | Infer | Plan | Await | Remediate | Approve | Branch | Escalate | Resolve
)


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
    review_by: datetime.date | None = None
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
    running: Literal["finish", "cancel"] = "finish"
    playbook: tuple[PlaybookStep, ...]
    tests: tuple[PolicyTest, ...] = ()
