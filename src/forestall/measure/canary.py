"""Canaries: what happened to those in the share and to the rest, and what that says. Pure.

The unit is a subject. The share is drawn by a hash, so everybody who is active falls into the canary
with the same known chance, whatever else is true of them; comparing all who are active, acted for
or not, keeps it so (intention to treat). ``Tallies`` counts one step; ``verdict`` judges that, as
often as one likes.

A step counts only who is new to it: subjects that an earlier step's share reached already are left
out of both arms, and outcomes before the step began count for nothing.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from forestall.contracts.decision import Decided, Decision
from forestall.contracts.event import Record, decode_data
from forestall.measure.assign import in_holdout

Kind = Literal["policy", "model"]
"""What may be in canary."""

LONGEST: Final = 10_000
"""Milliseconds above which a latency counts as this."""

_NEVER: Final = 2**63
_REPORT, _SHOWN, _ALIAS = (
    "forestall.intervention.",
    "forestall.intervention.shown",
    "forestall.alias",
)


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A guardrail: what must not get worse in the canary.

    Of the subjects that are active, or with ``shown`` of those who were shown something, the share
    with an event of type ``event``; with ``latency`` in its place the mean milliseconds from
    decision to the first message. More than ``margin`` worse is a failure; to pass it has to be
    shown that it is less than ``margin`` + ``tolerance`` worse.
    """

    name: str
    event: str = ""
    shown: bool = False
    latency: bool = False
    margin: float = 0.0
    tolerance: float = 0.01

    @property
    def limit(self) -> float:
        """What the difference has to be below for a pass."""
        return self.margin + self.tolerance


DEFAULTS: Final = (
    Watched(name="tickets", event="forestall.ticket.opened"),
    Watched(
        name="dismissed",
        event="forestall.intervention.dismissed",
        shown=True,
        margin=0.02,
        tolerance=0.1,
    ),
    Watched(name="errors", event="forestall.intervention.failed", margin=0.005),
    Watched(name="latency", latency=True, margin=100, tolerance=1_000),
)
"""The guardrails of a deployment that sets none of its own."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the canary of a ``version``. ``salt`` gives the share (see ``measure.assign``); subjects in the first ``earlier`` of it were
    reached by an earlier step. ``begun`` is log time, ``time`` and ``settling`` are microseconds: how
    long the step lasts at least, and how long after a subject came its outcomes are waited for
    before it speaks for a pass. ``alpha`` is the step's own: of ever failing something harmless over
    all guardrails, and of ever passing something that is beyond a guardrail's limit. With ``alone``
    only interventions of the policy ``name`` are looked at, else of all policies.
    """

    kind: Kind = "policy"
    name: str
    version: str
    salt: str
    begun: int
    share: float
    earlier: float = 0.0
    guardrails: tuple[Watched, ...] = DEFAULTS
    alpha: float = 0.05
    least: int = 200
    time: int = 0
    settling: int = 0
    alone: bool = True

    @property
    def chance(self) -> float:
        """That a subject who is counted is in the canary."""
        return (self.share - self.earlier) / (1 - self.earlier)

    def arm(self, subject: str) -> bool | None:
        """Whether ``subject`` is in the canary; none for one that is not counted in this step."""
        if in_holdout(self.salt, subject, self.earlier):
            return None
        return in_holdout(self.salt, subject, self.share)

    def acted(self, decision: Decision) -> bool:
        """Whether the version in canary is behind ``decision``."""
        if self.kind == "policy":
            return (decision.policy, decision.version) == (self.name, self.version)
        return any(
            (one.mode, one.model, one.version) == ("canary", self.name, self.version)
            for one in decision.confidence or ()
        )


class Sizes(msgspec.Struct):
    """How many there are in each arm."""

    canary: int = 0
    rest: int = 0

    def add(self, canary: bool) -> None:
        """Count one more."""
        if canary:
            self.canary += 1
        else:
            self.rest += 1


class Outcomes(msgspec.Struct):
    """One guardrail: subjects that had its outcome by now, and those of them that are settled; for
    a latency how many subjects had which, in milliseconds, in the rest and in the canary."""

    early: Sizes = msgspec.field(default_factory=Sizes)
    settled: Sizes = msgspec.field(default_factory=Sizes)
    latencies: tuple[dict[float, int], dict[float, int]] = msgspec.field(
        default_factory=lambda: ({}, {})
    )


class Counted(msgspec.Struct, kw_only=True):
    """What was counted in a step: subjects ``active`` and those ``shown`` something, each also as
    far as settled, and the outcomes of each guardrail in their order.

    ``exposed`` are the subjects that the canary acted for. ``joined`` took part under two pseudonyms
    that turned out to be one customer's and count no more from there on; ``contaminated`` of them
    were in both arms.
    """

    outcomes: tuple[Outcomes, ...]
    active: Sizes = msgspec.field(default_factory=Sizes)
    settled: Sizes = msgspec.field(default_factory=Sizes)
    shown: Sizes = msgspec.field(default_factory=Sizes)
    shown_settled: Sizes = msgspec.field(default_factory=Sizes)
    exposed: int = 0
    joined: int = 0
    contaminated: int = 0


class _Person(msgspec.Struct, gc=False):
    """One subject. ``had`` holds a bit for each guardrail whose outcome it had."""

    canary: bool
    active: bool = False
    settled: bool = False
    shown: bool = False
    shown_settled: bool = False
    out: bool = False
    had: int = 0


class Tallies:
    """Everything counted in one step; fed in log order, decisions before what came of them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._people: dict[str, _Person | None] = {}
        self._counted = Counted(outcomes=tuple(Outcomes() for _ in plan.guardrails))
        self._watching: dict[str, tuple[int, ...]] = {}
        for index, one in enumerate(plan.guardrails):
            if not one.latency:
                self._watching[one.event] = (*self._watching.get(one.event, ()), index)
        self._due = _NEVER
        self._known: dict[str, int] = {}
        self._exposed: set[str] = set()
        self._waiting: deque[tuple[int, _Person]] = deque()
        self._waiting_shown: deque[tuple[int, _Person]] = deque()

    def counted(self, now: int) -> Counted:
        """What is counted at log time ``now``, up to which everything has been taken."""
        self._settle(now)
        self._counted.exposed = len(self._exposed)
        return self._counted

    def decided(self, entry: Decided) -> None:
        """Take a decision."""
        decision = entry.decision
        if (
            entry.noticed < self.plan.begun
            or decision.mode == "shadow"
            or decision.outcome != "intervene"
            or (self.plan.alone and decision.policy != self.plan.name)
        ):
            return
        self._known.setdefault(decision.id, entry.noticed)
        if self.plan.acted(decision) and self.plan.arm(decision.subject):
            self._exposed.add(decision.subject)

    def happened(self, record: Record) -> None:
        """Take an event; a repeated one changes nothing."""
        if record.received < self.plan.begun:
            return
        if record.received >= self._due:
            self._settle(record.received)
        if record.type == _ALIAS:
            self._join(record)
            return
        person = self._person(record.subject)
        if person is None or person.out:
            return
        if record.type.startswith(_REPORT):
            self._reported(person, record)
            return
        if not person.active:
            person.active = True
            self._counted.active.add(person.canary)
            self._wait(self._waiting, person, record.received)
        for index in self._watching.get(record.type, ()):
            self._had(person, index)

    def _person(self, subject: str) -> _Person | None:
        try:
            return self._people[subject]
        except KeyError:
            arm = self.plan.arm(subject)
            person = None if arm is None else _Person(arm)
            self._people[subject] = person
            return person

    def _reported(self, person: _Person, record: Record) -> None:
        indices = self._watching.get(record.type, ())
        if not indices and record.type != _SHOWN:
            return
        decided = self._known.get(str(decode_data(record.data).get("intervention")))
        if decided is None or record.received < decided:
            return
        if record.type == _SHOWN and not person.shown:
            person.shown = True
            self._counted.shown.add(person.canary)
            self._wait(self._waiting_shown, person, record.received)
            self._took(person.canary, record.received - decided)
        for index in indices:
            self._had(person, index)

    def _took(self, canary: bool, micros: int) -> None:
        value = _rounded(micros // 1_000)
        for one, counts in zip(self.plan.guardrails, self._counted.outcomes, strict=True):
            if one.latency:
                tally = counts.latencies[canary]
                tally[value] = tally.get(value, 0) + 1

    def _had(self, person: _Person, index: int) -> None:
        """The outcome of a guardrail, which counts once for a subject that is counted there."""
        shown = self.plan.guardrails[index].shown
        if person.had & 1 << index or not (person.shown if shown else person.active):
            return
        person.had |= 1 << index
        counts = self._counted.outcomes[index]
        counts.early.add(person.canary)
        if person.shown_settled if shown else person.settled:
            counts.settled.add(person.canary)

    def _join(self, record: Record) -> None:
        """Two pseudonyms are one customer. If the former took part, neither counts from here on;
        what was seen of them until now stays, as it was seen before anybody knew.

        To keep those whose arms agree would favour the larger arm: two of them agree more often.
        """
        former = self._people.get(str(decode_data(record.data).get("from")))
        if former is None or not (former.active or former.shown):
            return
        person = self._person(record.subject)
        self._counted.joined += 1
        former.out = True
        if person is None:
            self._counted.contaminated += former.canary is False
            return
        self._counted.contaminated += person.canary != former.canary
        person.out = True

    def _wait(self, queue: "deque[tuple[int, _Person]]", person: _Person, now: int) -> None:
        due = now + self.plan.settling
        queue.append((due, person))
        self._due = min(self._due, due)

    def _settle(self, now: int) -> None:
        for person in _until(self._waiting, now):
            if not person.out:
                person.settled = True
                self._counted.settled.add(person.canary)
                self._settle_outcomes(person, shown=False)
        for person in _until(self._waiting_shown, now):
            if not person.out:
                person.shown_settled = True
                self._counted.shown_settled.add(person.canary)
                self._settle_outcomes(person, shown=True)
        queues = (self._waiting, self._waiting_shown)
        self._due = min((queue[0][0] for queue in queues if queue), default=_NEVER)

    def _settle_outcomes(self, person: _Person, *, shown: bool) -> None:
        for index, one in enumerate(self.plan.guardrails):
            if one.shown == shown and person.had & 1 << index:
                self._counted.outcomes[index].settled.add(person.canary)


def _rounded(milliseconds: int) -> float:
    """To two significant digits and at most ``LONGEST``, so that there are few different ones."""
    value = min(max(milliseconds, 0), LONGEST)
    unit: int = 10 ** max(0, len(str(value)) - 2)
    return float((value + unit // 2) // unit * unit)


def _until(queue: "deque[tuple[int, _Person]]", now: int) -> Iterator[_Person]:
    while queue and queue[0][0] <= now:
        yield queue.popleft()[1]
