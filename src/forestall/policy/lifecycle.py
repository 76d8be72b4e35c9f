"""From draft to live: which states there are, who may change them, and on which conditions. Pure.

What is under change control (a policy, a model, an agent, a prompt, a threshold, a flag) is an
immutable ``Artifact``, known by the hash of its content. It has one state in each of two sets, blue
and green, of which one is active. ``fold`` says what the transitions so far amount to; ``changing``
which ones an ``Ask`` comes to, or why not; ``store`` keeps them.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec.structs import replace

from forestall.contracts.control import Transition
from forestall.contracts.decision import Mode
from forestall.contracts.errors import ForestallError

State = Literal["draft", "validated", "backtested", "shadow", "canary", "live", "retired"]
STATES: Final[tuple[State, ...]] = get_args(State)
Kind = Literal["policy", "model", "agent", "prompt", "threshold", "flag"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
Set = Literal["blue", "green"]
SETS: Final[tuple[Set, ...]] = get_args(Set)
Risk = Literal["low", "medium", "high"]
RISKS: Final[tuple[Risk, ...]] = get_args(Risk)

MODES: Final[dict[State, Mode]] = {"shadow": "shadow", "canary": "canary", "live": "live"}
"""States in which something takes part in deciding, and how."""

EFFECTS: Final[frozenset[State]] = frozenset(("canary", "live"))
"""States in which customers notice."""

AUTHOR, PUBLISHER, OPERATOR = "author", "publisher", "operator"
"""Roles: who prepares changes, who lets them reach customers, who takes them back."""


class NoSuchTransition(ForestallError):
    """What is in this state cannot go to that one. The message says where it can go."""

    code = "no-such-transition"


class ConditionsMissing(ForestallError):
    """A transition waits for something, all of which the message names."""

    code = "conditions-missing"

    def __init__(self, what: str, missing: Iterable[str]) -> None:
        self.missing = tuple(missing)
        super().__init__("\n  ".join((f"{what} cannot go on yet:", *self.missing)))


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One version of something under change control; never changed.

    ``version`` is the hash of ``content``: of a policy ``language.canonical.version``, of all else
    the lower-case hex SHA-256 of canonical JSON (``content_version``). ``content`` is JSON text (a
    policy's canonical form). ``source`` is what people wrote, a policy's YAML with its tests.
    ``at`` is wall time in microseconds. ``risk`` of a policy is its own.
    """

    kind: Kind
    name: str
    version: str
    content: bytes
    by: str
    at: int
    why: str
    source: str = ""
    title: str = ""
    risk: Risk = "low"
    evidence: dict[str, Any] = {}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody found out about a version: the evidence of a condition.

    ``what`` is ``validated`` (``errors``, ``passed``, ``failed``), ``backtested`` (of a policy
    ``events``; of a model ``useful``), ``canary`` (``verdict``: ``pass``, ``fail`` or
    ``inconclusive``; ``last``: whether at the last step), or anything else for people to read.
    """

    kind: Kind
    name: str
    version: str
    what: str
    by: str
    at: int
    evidence: dict[str, Any]


class Actor(msgspec.Struct, frozen=True):
    """Who wants something: a person in roles, or with ``machine`` a part of the product, which may
    only grow or end a canary, and take back."""

    name: str
    roles: tuple[str, ...] = ()
    machine: bool = False


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants: that a version goes to the state ``after`` (``move``), that the version
    before is in force again (``rollback``), or that the set ``set`` is the active one (``switch``).

    ``share`` is a canary's. With ``upto`` a second person agrees to shares up to that at once.
    """

    what: Literal["move", "rollback", "switch"] = "move"
    set: Set = "blue"
    kind: Kind = "policy"
    name: str = ""
    version: str = ""
    after: State = "live"
    share: float = 1.0
    upto: float = 0.0


class Rules(msgspec.Struct, frozen=True):
    """``[lifecycle]`` of the settings; ``shadow`` in microseconds."""

    skip: frozenset[State] = frozenset()
    shadow: int = 3_600_000_000
    backtest_events: int = 1


class Place(msgspec.Struct, frozen=True):
    """Where a version stands in a set: since which wall time, and by the transition ``number``. A
    canary has a ``share``, and may grow to ``upto`` without another second person."""

    state: State
    since: int
    number: int
    share: float = 1.0
    upto: float = 0.0


class Held(msgspec.Struct, frozen=True, order=True):
    """Something that takes part in deciding."""

    kind: Kind
    name: str
    mode: Mode
    version: str
    share: float = 1.0


Key = tuple[str, str, str]
"""Set, kind and name: everything that there is at most one live version of."""


class Standing(msgspec.Struct, frozen=True):
    """What all transitions up to ``number`` amount to.

    ``places`` hold each version's place. ``lives`` are the versions that were live one after the
    other, what was rolled back left out. ``left`` are the hashes of the sets as of when they were
    last switched away from.
    """

    number: int = 0
    active: Set = "blue"
    places: dict[Key, dict[str, Place]] = {}
    lives: dict[Key, tuple[str, ...]] = {}
    left: dict[str, str] = {}

    def place(self, set_: Set, kind: Kind, name: str, version: str) -> Place | None:
        """Where a version stands; none if it never was in that set."""
        return self.places.get((set_, kind, name), {}).get(version)

    def version_in(self, state: State, set_: Set, kind: Kind, name: str) -> str | None:
        """The version in that state, the newest to come there."""
        versions = self.places.get((set_, kind, name), {})
        found = [(place.number, one) for one, place in versions.items() if place.state == state]
        return max(found)[1] if found else None

    def in_force(self, set_: Set | None = None) -> tuple[Held, ...]:
        """What takes part in deciding while ``set_`` (none: the active one) is active, sorted."""
        wanted = set_ or self.active
        return tuple(
            sorted(
                Held(msgspec.convert(kind, Kind), name, MODES[place.state], version, place.share)
                for (of, kind, name), versions in self.places.items()
                if of == wanted
                for version, place in versions.items()
                if place.state in MODES
            )
        )


def content_version(content: Any) -> str:
    """The version of JSON ``content``, of everything but policies: SHA-256 of its canonical form."""
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


def intact(artifact: Artifact) -> bool:
    """Whether the content is the one that its version is the hash of."""
    return hashlib.sha256(artifact.content).hexdigest() == artifact.version


_NOTHING: Final = Standing()

ROLLED_BACK: Final = "rolled_back"
"""In the evidence of a version that is live again: the version that it takes over from."""


def soon(standing: Standing) -> frozenset[tuple[str, str]]:
    """Names and versions of the policies that one act of one person could put in force: those that
    were live before the newest ones, and those of the set that rests."""
    held = {
        (name, lives[-2])
        for (set_, kind, name), lives in standing.lives.items()
        if (set_, kind) == (standing.active, "policy") and len(lives) > 1
    }
    resting: Set = "green" if standing.active == "blue" else "blue"
    held |= {(one.name, one.version) for one in standing.in_force(resting) if one.kind == "policy"}
    return frozenset(held)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One transition that an ``Ask`` comes to; ``before`` is empty for what is new in a set."""

    artifact: str
    name: str
    version: str
    before: str
    after: str
    share: float = 1.0
    evidence: dict[str, Any] = {}
    why: str | None = None


def content_hash(standing: Standing, set_: Set) -> str:
    """The version of a whole set: equal where the same takes part in deciding in the same way."""
    return hashlib.sha256(msgspec.json.encode(standing.in_force(set_))).hexdigest()


def fold(transitions: Iterable[Transition], onto: Standing = _NOTHING) -> Standing:
    """What ``transitions``, in order, amount to after those that ``onto`` knows."""
    places = {key: dict(versions) for key, versions in onto.places.items()}
    now = replace(onto, places=places, lives=dict(onto.lives), left=dict(onto.left))
    for one in transitions:
        now = _switched(now, one) if one.artifact == "set" else _moved(now, one)
    return now


def _switched(now: Standing, one: Transition) -> Standing:
    now.left[one.before] = content_hash(now, now.active)
    return replace(now, number=one.number, active=msgspec.convert(one.after, Set))


def _moved(now: Standing, one: Transition) -> Standing:
    """``now``, whose tables are changed in place."""
    key = (one.set, one.artifact, one.name)
    state = msgspec.convert(one.after, State)
    upto = float(one.evidence.get("upto", 0.0))
    place = Place(state, one.at, one.number, one.share, upto)
    now.places.setdefault(key, {})[one.version] = place
    if state == "live":
        now.lives[key] = _lived(now.lives.get(key, ()), one)
    return replace(now, number=one.number)


def _lived(lives: tuple[str, ...], one: Transition) -> tuple[str, ...]:
    if ROLLED_BACK in one.evidence and one.version in lives:
        return lives[: len(lives) - lives[::-1].index(one.version)]
    return lives if lives[-1:] == (one.version,) else (*lives, one.version)
