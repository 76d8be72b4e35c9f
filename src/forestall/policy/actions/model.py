"""A declaration as read: plain frozen data with every default filled in; durations in microseconds.

Expressions are CEL over ``arguments`` (what the playbook gave), ``fields`` (what a lookup answered),
``result`` (what ``execute`` answered) and ``key`` (the effect's key), as far as they are known then.
``owner`` answers for a declaration, which is to be looked at again by the day ``review_by``.
"""

import datetime
import hashlib
from typing import Any, Literal

import msgspec

Risk = Literal["low", "medium", "high"]
Repeats = Literal["dedupes", "lookup", "neither"]
"""What the other side does with a repeated key: ignore it, say whether it knows it, or nothing."""
Fallback = Literal["compose", "person", "nothing"]
Promise = Literal[
    "refund", "credit", "discount", "compensation", "waiver", "guarantee", "deadline", "free"
]
"""A kind of promise that a message may make, where it is granted."""


class Http(msgspec.Struct, frozen=True, kw_only=True, tag="http", tag_field="way"):
    """An operation of the OpenAPI document ``api``. ``arguments`` (written ``with``) are expressions
    by parameter or property of the body; none stands for arguments of the same names. Statuses in
    ``done``, ``refused`` and ``retry`` mean that, besides what HTTP says of them."""

    api: str
    operation: str
    arguments: dict[str, str] | None = None
    credential: str | None = None
    key_header: str = "Idempotency-Key"
    done: frozenset[int] = frozenset()
    refused: frozenset[int] = frozenset()
    retry: frozenset[int] = frozenset()


class Tool(msgspec.Struct, frozen=True, kw_only=True, tag="mcp", tag_field="way"):
    """A tool of the MCP server ``[mcp.SERVER]``; the key goes into its argument ``key_argument``."""

    server: str
    tool: str
    arguments: dict[str, str] | None = None
    key_argument: str | None = None


class Function(msgspec.Struct, frozen=True, kw_only=True, tag="python", tag_field="way"):
    """A Python function, ``module:name``."""

    call: str
    arguments: dict[str, str] | None = None
    credential: str | None = None


Way = Http | Tool | Function
"""How something is done."""


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """Reads, and changes nothing. ``output`` has the JSON Pointer of each field in the answer;
    ``timeout`` is that of one call."""

    name: str
    title: str
    input: dict[str, Any]
    output: dict[str, str]
    way: Way
    timeout: int = 5_000_000
    owner: str = ""
    review_by: datetime.date | None = None


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A lookup or an action that an agent may choose. ``arguments`` (written ``with``) fix arguments
    by expressions over ``arguments`` (what the playbook gave the agent) and ``fields`` (what the
    lookups answered it); ``chooses`` names those that it fills in itself, within the schema. It has
    no other."""

    name: str
    arguments: dict[str, str] = {}
    chooses: tuple[str, ...] = ()


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What one answer of an agent may take: ``steps`` are calls of the model, ``time`` microseconds,
    ``tokens`` those in and out of all calls, ``money`` what they cost by the prices in the settings
    (none: no bound)."""

    steps: int = 4
    time: int = 15_000_000
    tokens: int = 20_000
    money: float | None = None


class Topics(msgspec.Struct, frozen=True, kw_only=True):
    """Which knowledge an agent may search: that of these ``products`` (none: of all), and how many
    ``passages`` it is given."""

    products: tuple[str, ...] = ()
    passages: int = 4


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """Fills fields by judgement, or plans; changes nothing by itself.

    Either ``way`` is a Python function, whose answer ``output`` points into; or it is declared by
    ``instructions`` (those of the ``prompt`` of that name, where it names one) for the language
    model ``model`` (``[language_models.NAME]``; none: the composer answers). ``input`` is the schema
    of all that it may read, ``schema`` (written ``output``) that of the fields it fills, ``output``
    then their names. ``lookups`` and ``actions`` are granted to it, ``promises`` are kinds of
    promises that it may make, and ``risk`` is the highest of an action that it may plan. A plan below ``confidence`` is not taken. ``mood`` are
    expressions over ``arguments`` for what else tells the customer's mood: ``failures``,
    ``repetitions``, ``waiting`` (in seconds). ``fallback`` says what follows where the model does
    not answer or its answer is not taken: the composer, a person, or nothing.
    """

    name: str
    title: str
    input: dict[str, Any]
    output: dict[str, str]
    way: Function | None = None
    timeout: int = 20_000_000
    owner: str = ""
    review_by: datetime.date | None = None
    purpose: str = ""
    instructions: str = ""
    prompt: str | None = None
    model: str | None = None
    schema: dict[str, Any] | None = None
    knowledge: Topics | None = None
    lookups: tuple[Grant, ...] = ()
    actions: tuple[Grant, ...] = ()
    promises: tuple[Promise, ...] = ()
    risk: Risk = "medium"
    mood: dict[str, str] = {}
    confidence: float = 0.6
    budget: Budget = Budget()
    fallback: Fallback = "compose"

    @property
    def never_answers(self) -> bool:
        """Whether no model is asked, and neither the composer nor people answer in its place."""
        if self.way is not None or self.model is not None or self.fallback == "person":
            return False
        return self.fallback == "nothing" or self.knowledge is None

    @property
    def meaning(self) -> dict[str, Any]:
        """The declaration as JSON data, without what changes no answer: title, owner, day of review."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {key: plain[key] for key in plain if key not in ("title", "owner", "review_by")}

    @property
    def version(self) -> str:
        """The SHA-256 of its meaning with the text of its prompt, in hex."""
        return hashlib.sha256(msgspec.json.encode(self.meaning, order="sorted")).hexdigest()


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Whether ``condition`` (written ``if``) holds over what ``lookup`` answers to ``arguments``.

    Where it waits for something to become true it is asked ``every`` so many microseconds, for
    ``within`` of them (none: as long as the job has time).
    """

    lookup: str | None
    arguments: dict[str, str] = {}
    condition: str
    every: int = 1_000_000
    within: int | None = None


class Flag(msgspec.Struct, frozen=True, kw_only=True):
    """``execute`` itself is a dry run when ``argument`` is true."""

    argument: str


class Rate(msgspec.Struct, frozen=True):
    """At most ``most`` executions in any ``within`` microseconds."""

    most: int
    within: int


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """Changes something, and proves it.

    ``dry_run`` is what the other side offers for trying, or ``describe``: the request that would be
    sent is shown, and nothing is. ``verify`` decides whether ``execute`` worked. ``find`` asks
    whether a key was carried out, where ``deduplication`` is ``lookup``.
    """

    name: str
    title: str
    risk: Risk
    people: int
    input: dict[str, Any]
    output: dict[str, str]
    execute: Way
    dry_run: Literal["describe"] | Flag | Way
    verify: Check
    precondition: Check | None = None
    undo: Way | None = None
    find: Check | None = None
    rate: Rate | None = None
    deduplication: Repeats = "neither"
    timeout: int = 10_000_000
    owner: str = ""
    review_by: datetime.date | None = None

    @property
    def needs_approval(self) -> bool:
        """Whether people have to approve each call."""
        return self.risk == "high" or self.people > 1


Declaration = Lookup | Agent | Action
