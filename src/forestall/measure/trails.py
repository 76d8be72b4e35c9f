"""Trails: what each customer did and what was decided about them, kept small as a log streams by.

A trail has sessions, not events, so memory grows with customers and their sessions.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from forestall.contracts.decision import Decided
from forestall.contracts.event import Record, decode_data
from forestall.contracts.instants import MINUTE
from forestall.measure.joins import ALIAS, Joins
from forestall.measure.reading import Happening

TICKET: Final = "forestall.ticket.opened"
"""The outcome unless another is asked for."""

SESSION_GAP: Final = 30 * MINUTE

ACCOUNT: Final = "account"
"""The trait that names a customer's account."""

UNTOLD: Final = "not told"
"""Stands for a channel or category that an outcome does not name."""


class Asked(msgspec.Struct, frozen=True, gc=False):
    """An outcome: when (microseconds), where, and about what.

    ``own`` says that Forestall opened the ticket itself, for a case that it handed over.
    """

    at: int
    channel: str
    category: str
    ticket: str | None
    own: bool


class Met(msgspec.Struct, frozen=True, gc=False):
    """A decision that was carried out or withheld: when it was noticed, and of which policy.

    ``reason`` is none where it was carried out.
    """

    at: int
    policy: str
    version: str
    reason: str | None


class Trail:
    """One customer. Sessions are disjoint and ascending; the rest is in log order."""

    __slots__ = ("account", "asked", "ends", "met", "rated", "reopened", "shown", "starts")

    def __init__(self) -> None:
        self.starts = array("q")
        self.ends = array("q")
        self.asked: list[Asked] = []
        self.met: list[Met] = []
        self.shown: list[tuple[int, str]] = []
        self.rated: list[tuple[int, float]] = []
        self.reopened: set[str] = set()
        self.account: str | None = None

    def active(self, at: int, gap: int) -> None:
        """Take an event; one that comes late makes no session of its own."""
        if not self.ends or at - self.ends[-1] >= gap:
            self.starts.append(at)
            self.ends.append(at)
        elif at > self.ends[-1]:
            self.ends[-1] = at

    def first_active(self, since: int) -> int | None:
        """When the customer was first active from ``since`` on."""
        place = bisect_left(self.ends, since)
        return max(self.starts[place], since) if place < len(self.ends) else None

    def sessions(self, start: int, end: int, gap: int = 0) -> int:
        """How many sessions lie in or reach into ``start`` to before ``end``.

        One reaches until ``gap`` has passed since its last event.
        """
        return bisect_left(self.starts, end) - bisect_right(self.ends, start - max(gap, 1))

    def begun(self, start: int, end: int) -> int:
        """How many sessions begin in ``start`` to before ``end``."""
        return bisect_left(self.starts, end) - bisect_left(self.starts, start)

    def asked_within(self, start: int, end: int) -> list[Asked]:
        """Outcomes after ``start``, at most at ``end``."""
        low = bisect_right(self.asked, start, key=_at)
        return self.asked[low : bisect_right(self.asked, end, key=_at)]

    def absorb(self, other: "Trail", gap: int) -> None:
        """Take over what ``other``, the same person under an earlier pseudonym, has."""
        both = sorted(
            [
                *zip(self.starts, self.ends, strict=True),
                *zip(other.starts, other.ends, strict=True),
            ]
        )
        self.starts, self.ends = array("q"), array("q")
        for start, end in both:
            if self.ends and start - self.ends[-1] < gap:
                self.ends[-1] = max(self.ends[-1], end)
            else:
                self.starts.append(start)
                self.ends.append(end)
        self.asked += other.asked
        self.met = sorted([*self.met, *other.met], key=_at)
        self.shown += other.shown
        self.rated += other.rated
        self.reopened |= other.reopened
        self.account = self.account or other.account

    def settle(self) -> None:
        """Put outcomes in the order of time, the same ticket once."""
        found: list[Asked] = []
        known: set[str] = set()
        for one in sorted(self.asked, key=_at):
            if one.ticket is None or one.ticket not in known:
                found.append(one)
            if one.ticket is not None:
                known.add(one.ticket)
        self.asked = found


def _at(one: Asked | Met) -> int:
    return one.at


class Trails:
    """All trails of a history, by pseudonym; ``whole`` gives the people.

    ``outcome`` is the event type that counts as asking for help; ``first`` is the log time of the
    first event that is still there, ``closing`` whether anybody tells when tickets are closed.
    """

    def __init__(self, outcome: str = TICKET, gap: int = SESSION_GAP) -> None:
        self.outcome = outcome
        self.gap = gap
        self.events = self.decisions = 0
        self.closing = False
        self.first: int | None = None
        self._trails: dict[str, Trail] = {}
        self._joins = Joins()

    def take(
        self, happenings: Iterable[Happening], told: Callable[[int], None] | None = None
    ) -> None:
        """Read ``happenings``; ``told`` is shown the log time reached, now and then."""
        trails, gap, outcome = self._trails, self.gap, self.outcome
        for one in happenings:
            if type(one) is Record:
                if not self.events:
                    self.first = one.received
                self.events += 1
                if told is not None and not self.events % 4096:
                    told(one.received)
                trail = trails.get(one.subject)
                if trail is None:
                    trail = trails[one.subject] = Trail()
                kind = one.type
                if kind == outcome:
                    trail.asked.append(_asked(one))
                elif kind.startswith("forestall."):
                    self._control(kind, trail, one)
                else:
                    time = one.time
                    trail.active(time if time < one.received else one.received, gap)
            elif type(one) is Decided:
                self._decided(one)

    def whole(self) -> Iterator[tuple[str, Trail]]:
        """Each person once, under the surviving pseudonym, with everything from all pseudonyms.

        Ends the reading: former pseudonyms are joined for good.
        """
        for former in self._joins:
            trail = self._trails.pop(former, None)
            if trail is not None:
                survivor = self._joins.survivor(former)
                self._trails.setdefault(survivor, Trail()).absorb(trail, self.gap)
        for subject, trail in self._trails.items():
            trail.settle()
            yield subject, trail

    @property
    def joined(self) -> int:
        """How many pseudonyms were joined into another."""
        return len(self._joins)

    def _decided(self, one: Decided) -> None:
        decision = one.decision
        if decision.outcome == "suppress" or decision.mode == "shadow":
            return
        self.decisions += 1
        trail = self._trails.setdefault(decision.subject, Trail())
        trail.met.append(Met(one.noticed, decision.policy, decision.version, decision.reason))

    def _control(self, kind: str, trail: Trail, record: Record) -> None:
        read = _READ.get(kind)
        if read is not None:
            data = decode_data(record.data)
            if isinstance(data, dict):
                read(trail, record, data)
        elif kind == ALIAS:
            self._joins.take(record)
        elif kind == "forestall.ticket.closed":
            self.closing = True


def _asked(record: Record) -> Asked:
    data = decode_data(record.data)
    if not isinstance(data, dict):
        data = {}
    ticket = data.get("ticket")
    return Asked(
        at=min(record.time, record.received),
        channel=_word(data.get("channel")),
        category=_word(data.get("category")),
        ticket=str(ticket) if isinstance(ticket, str | int) else None,
        own=isinstance(data.get("intervention"), str),
    )


def _word(value: Any) -> str:
    return value if isinstance(value, str) and value else UNTOLD


def _identified(trail: Trail, _: Record, data: dict[str, Any]) -> None:
    traits = data.get("traits")
    account = traits.get(ACCOUNT) if isinstance(traits, dict) else None
    if account is not None:
        trail.account = str(account)


def _shown(trail: Trail, record: Record, data: dict[str, Any]) -> None:
    policy = data.get("policy")
    if isinstance(policy, str):
        trail.shown.append((record.received, policy))


def _rated(trail: Trail, record: Record, data: dict[str, Any]) -> None:
    score = data.get("score")
    if isinstance(score, int | float):
        trail.rated.append((min(record.time, record.received), float(score)))


def _reopened(trail: Trail, _: Record, data: dict[str, Any]) -> None:
    trail.reopened.add(str(data.get("ticket")))


_READ: Final[dict[str, Callable[[Trail, Record, dict[str, Any]], None]]] = {
    "forestall.identify": _identified,
    "forestall.intervention.shown": _shown,
    "forestall.ticket.rated": _rated,
    "forestall.ticket.reopened": _reopened,
}
