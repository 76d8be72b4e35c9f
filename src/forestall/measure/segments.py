"""Segments: what is read of each customer to compare them, by declared traits and no others.

``People`` is filled as a log streams by; ``Tally`` counts customers by trait, measure and segment.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from forestall.contracts.decision import Decided, Decision
from forestall.contracts.event import Record, decode_data
from forestall.measure.gaps import Arms, Share
from forestall.measure.joins import ALIAS, Joins
from forestall.measure.reading import Happening
from forestall.measure.trails import UNTOLD

Measure = Literal["coverage", "unwanted", "missed", "effect"]

Counts = Mapping[Measure, Mapping[str, Share | Arms]]
"""By measure and segment: how many customers fared badly, or asked for help by arm."""

MOST: Final = 12
"""Segments of a trait that are told apart, the largest; the rest is one."""

OTHERS: Final = "all others"

NO_NEED: Final = frozenset(("opted_out", "no_consent", "killed", "in_conversation"))
"""Reasons to refuse that leave a customer unserved by their own wish, or by nobody's choice."""


class Person:
    """What a customer told of the declared traits, and what was decided about them."""

    __slots__ = ("dismissed", "needed", "served", "traits")

    def __init__(self) -> None:
        self.traits: dict[str, str] = {}
        self.needed = self.served = self.dismissed = False

    def absorb(self, former: "Person") -> None:
        """Take over what the same person was under an earlier pseudonym."""
        self.traits = {**former.traits, **self.traits}
        self.needed |= former.needed
        self.served |= former.served
        self.dismissed |= former.dismissed


class People:
    """Everybody, by pseudonym, seen by ``traits`` only; of one ``policy``, or of all."""

    def __init__(self, traits: Sequence[str], policy: str | None = None) -> None:
        self._traits, self._policy = tuple(traits), policy
        self._people: dict[str, Person] = {}
        self._joins = Joins()

    def watch(self, happenings: Iterable[Happening]) -> Iterator[Happening]:
        """The same ``happenings``, noted on the way."""
        for one in happenings:
            if isinstance(one, Decided):
                self._decided(one.decision)
            elif one.type.startswith("forestall."):
                self._told(one)
            yield one

    def join(self) -> None:
        """Make one person of several pseudonyms; ends the reading."""
        for former in self._joins:
            if former in self._people:
                self._of(self._joins.survivor(former)).absorb(self._people.pop(former))

    def get(self, subject: str) -> Person:
        """What is known of somebody."""
        return self._people.get(subject) or Person()

    def all(self) -> Iterable[Person]:
        """Everybody of whom anything is known."""
        return self._people.values()

    def _of(self, subject: str) -> Person:
        found = self._people.get(subject)
        if found is None:
            found = self._people[subject] = Person()
        return found

    def _decided(self, decision: Decision) -> None:
        if decision.mode == "shadow" or self._policy not in (None, decision.policy):
            return
        if decision.outcome == "intervene":
            person = self._of(decision.subject)
            person.needed = person.served = True
        elif decision.outcome == "suppress" and decision.reason not in NO_NEED:
            self._of(decision.subject).needed = True

    def _told(self, record: Record) -> None:
        if record.type == "forestall.identify":
            given = _data(record).get("traits")
            if isinstance(given, dict):
                told = {name: _text(given[name]) for name in self._traits if name in given}
                self._of(record.subject).traits.update(told)
        elif record.type == "forestall.intervention.dismissed":
            if self._policy in (None, _data(record).get("policy")):
                self._of(record.subject).dismissed = True
        elif record.type == ALIAS:
            self._joins.take(record)


def _data(record: Record) -> dict[str, Any]:
    data = decode_data(record.data)
    return data if isinstance(data, dict) else {}


def _text(value: object) -> str:
    if value is None or value == "":
        return UNTOLD
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


class Tally:
    """Counts by trait, measure and segment."""

    def __init__(self, people: People, traits: Sequence[str]) -> None:
        self._largest = {name: _largest(people, name) for name in traits}
        self._shares: dict[str, dict[Measure, dict[str, Share]]] = {
            name: {"coverage": {}, "unwanted": {}, "missed": {}} for name in traits
        }
        self._arms: dict[str, dict[str, Arms]] = {name: {} for name in traits}

    def share(self, person: Person, measure: Measure, *, badly: bool) -> None:
        """Count somebody whom a share is about."""
        for trait, measures in self._shares.items():
            held, segment = measures[measure], self._segment(person, trait)
            held[segment] = held.get(segment, Share()) + Share(int(badly), 1)

    def arm(self, person: Person, *, aside: bool, asked: bool) -> None:
        """Count somebody in an arm of a holdout, who asked for help or did not."""
        one = Share(int(asked), 1)
        for trait, held in self._arms.items():
            segment = self._segment(person, trait)
            offered, kept = held.get(segment, Arms())
            held[segment] = Arms(offered, kept + one) if aside else Arms(offered + one, kept)

    def counts(self) -> dict[str, Counts]:
        """All counts, by trait."""
        return {trait: {**self._shares[trait], "effect": self._arms[trait]} for trait in self._arms}

    def _segment(self, person: Person, trait: str) -> str:
        segment = person.traits.get(trait, UNTOLD)
        return segment if segment in self._largest[trait] else OTHERS


def _largest(people: People, trait: str) -> frozenset[str]:
    sizes = Counter(one.traits.get(trait, UNTOLD) for one in people.all())
    del sizes[UNTOLD]
    return frozenset((UNTOLD, *(name for name, _ in sorted(sizes.items(), key=_by_size)[:MOST])))


def _by_size(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]
