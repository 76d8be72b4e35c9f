"""Fairness: whether some customers are served much worse than the rest, by declared traits.

Customers fall into segments by their newest traits. Four things are counted of each: who was offered
help when a policy saw need (coverage), who dismissed it (unwanted), whose first ticket came without
help before it (missed), and by how much fewer ask when help is offered instead of withheld by chance
(effect). Each segment is set against all other customers.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from forestall.contracts.control import Control
from forestall.contracts.decision import Decided, Decision
from forestall.contracts.event import Record, decode_data
from forestall.contracts.instants import DAY, SECOND
from forestall.measure.cohorts import SLACK, Cohort, Cohorts, Kind, Question
from forestall.measure.gaps import (
    Arms,
    Share,
    effect_interval,
    effect_worse,
    holm,
    share_interval,
    share_worse,
)
from forestall.measure.outcomes import lead
from forestall.measure.reading import Happening
from forestall.measure.refusals import distrust
from forestall.measure.terms import plan_of
from forestall.measure.trails import UNTOLD, Trail, Trails

Measure = Literal["coverage", "unwanted", "missed", "effect"]
Verdict = Literal["not shown worse", "much worse", "too few", "not judged"]

MEASURES: Final[dict[Measure, str]] = {
    "coverage": "of the customers in need, who was offered help",
    "unwanted": "of the customers who were offered help, who dismissed it",
    "missed": "of the customers with a ticket, who had not been offered help before",
    "effect": "by how much fewer ask for help when it was offered than when it was withheld",
}
"""What each measure says, as shares of customers. Unwanted and missed are better where smaller."""

HORIZON: Final = 7 * DAY
"""How long before a ticket help counts, and how long after it tickets do."""

MOST: Final = 12
"""Segments of a trait that are told apart, the largest; the rest is one."""

OTHERS: Final = "all others"

NOBODY_ASIDE: Final = "Nobody was kept aside by chance; a holdout would tell the effect."

NO_NEED: Final = frozenset(("opted_out", "no_consent", "killed", "in_conversation"))
"""Reasons to refuse that leave a customer unserved by their own wish, or by nobody's choice."""


class Rule(msgspec.Struct, frozen=True):
    """When a segment is told to be served much worse than the rest (see ``[fairness]``)."""

    least: int = 100
    margin: float = 0.05
    alpha: float = 0.05


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of one segment.

    ``customers`` are those that it is about, of an effect those of the smaller arm. ``value`` with
    its 95 % interval, and ``rest``, the value of all others, are none where they are fewer than the
    rule asks for. ``worse_by`` is positive where the segment fares worse. ``chance`` is that of
    such a gap or a larger one if it were the margin only, adjusted for everything that is judged.
    """

    trait: str
    segment: str
    measure: Measure
    customers: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    rest: float | None = None
    worse_by: float | None = None
    chance: float | None = None
    verdict: Verdict = "too few"


class Fairness(msgspec.Struct, frozen=True, kw_only=True):
    """The whole comparison of ``customers``.

    ``judged`` is how many cells the level is shared by; ``no_effect`` says why no effect can be
    told, and is empty where it can.
    """

    policy: str | None
    traits: tuple[str, ...]
    customers: int
    horizon_seconds: float
    rule: Rule
    no_effect: str
    judged: int
    cells: tuple[Cell, ...]

    @property
    def warnings(self) -> tuple[Cell, ...]:
        """Where a segment is served much worse than the rest."""
        return tuple(cell for cell in self.cells if cell.verdict == "much worse")


Counts = Mapping[Measure, Mapping[str, Share | Arms]]
"""By measure and segment: how many customers fared badly, or asked for help by arm."""


# -- what is read of each customer -----------------------------------------------------------------


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
        self._into: dict[str, str] = {}

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
        for former in [one for one in self._into if one in self._people]:
            survivor = self._survivor(former)
            if survivor != former:
                self._of(survivor).absorb(self._people.pop(former))

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

    def _survivor(self, subject: str) -> str:
        seen = {subject}
        while (into := self._into.get(subject)) is not None and into not in seen:
            seen.add(into)
            subject = into
        return subject

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
        elif record.type == "forestall.alias":
            former = _data(record).get("from")
            if isinstance(former, str) and former != record.subject:
                self._into[former] = record.subject
                self._into.pop(record.subject, None)


def _data(record: Record) -> dict[str, Any]:
    data = decode_data(record.data)
    return data if isinstance(data, dict) else {}


def _text(value: object) -> str:
    if value is None or value == "":
        return UNTOLD
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


# -- counting --------------------------------------------------------------------------------------


class _Tally:
    """Counts by trait, measure and segment."""

    def __init__(self, people: People, traits: Sequence[str]) -> None:
        self._largest = {name: _largest(people, name) for name in traits}
        self._shares: dict[str, dict[Measure, dict[str, Share]]] = {
            name: {"coverage": {}, "unwanted": {}, "missed": {}} for name in traits
        }
        self._arms: dict[str, dict[str, Arms]] = {name: {} for name in traits}

    def share(self, person: Person, measure: Measure, *, badly: bool) -> None:
        for trait, measures in self._shares.items():
            held, segment = measures[measure], self._segment(person, trait)
            held[segment] = held.get(segment, Share()) + Share(int(badly), 1)

    def arm(self, person: Person, *, aside: bool, asked: bool) -> None:
        one = Share(int(asked), 1)
        for trait, held in self._arms.items():
            segment = self._segment(person, trait)
            offered, kept = held.get(segment, Arms())
            held[segment] = Arms(offered, kept + one) if aside else Arms(offered + one, kept)

    def counts(self) -> dict[str, Counts]:
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


def fairness(
    happenings: Iterable[Happening],
    controls: Iterable[Control],
    now: int,
    traits: Sequence[str],
    rule: Rule,
    *,
    policy: str | None = None,
    horizon: int = HORIZON,
) -> Fairness:
    """Compare the customers of a log by ``traits``, over all policies or one; reads nothing else
    of traits. ``now`` is the log time reached, ``horizon`` in microseconds."""
    people, trails = People(traits, policy), Trails()
    trails.take(people.watch(happenings))
    people.join()
    tally = _Tally(people, traits)
    for person in people.all():
        if person.needed:
            tally.share(person, "coverage", badly=not person.served)
        if person.served:
            tally.share(person, "unwanted", badly=person.dismissed)
    cohorts, customers = Cohorts(plan_of(controls), Question(horizon=horizon, now=now)), 0
    for subject, trail in trails.whole():
        customers += 1
        cohorts.take(subject, trail)
        missed = _missed(trail, policy, horizon)
        if missed is not None:
            tally.share(people.get(subject), "missed", badly=missed)
    kind: Kind = "reached" if policy is None else "policy"
    newest = cohorts.of(kind, policy or "")[-1:]
    refused = [told for cohort in newest if (told := distrust(cohort)) is not None]
    for cohort in newest if not refused else ():
        _effects(cohort, cohorts.question, people, tally)
    cells = judge(tally.counts(), rule)
    return Fairness(
        policy=policy,
        traits=tuple(traits),
        customers=customers,
        horizon_seconds=horizon / SECOND,
        rule=rule,
        no_effect=" ".join(one.why for one in refused) if newest else NOBODY_ASIDE,
        judged=sum(cell.chance is not None for cell in cells),
        cells=tuple(cells),
    )


def _missed(trail: Trail, policy: str | None, horizon: int) -> bool | None:
    """Whether the first ticket came without help before it; none where there was no ticket of the
    customer's own, or help was withheld on purpose, to measure."""
    first = next((one.at for one in trail.asked if not one.own), None)
    if first is None:
        return None
    met = [one for one in trail.met if policy in (None, one.policy)]
    if lead((one.at for one in met if one.reason is None), first, horizon) is not None:
        return False
    aside = lead((one.at for one in met if one.reason is not None), first, horizon)
    return None if aside is not None else True


def _effects(cohort: Cohort, question: Question, people: People, tally: _Tally) -> None:
    """Who was met in the newest term of the holdout: terms differ in who was kept aside."""
    limit = question.now - SLACK
    if cohort.term.end is not None:
        limit = min(limit, cohort.term.end)
    for one in cohort.entries:
        if one.at + question.horizon <= limit:
            asked = bool(one.trail.asked_within(one.at, one.at + question.horizon))
            tally.arm(people.get(one.subject), aside=one.aside, asked=asked)


# -- judging ---------------------------------------------------------------------------------------


def judge(counts: Mapping[str, Counts], rule: Rule) -> list[Cell]:
    """Each segment of each trait against all others, by measure: pure.

    The chance of any false warning is at most ``rule.alpha``, over all cells together.
    """
    cells = [
        _cell(
            Cell(trait=trait, segment=segment, measure=measure, customers=one.whole),
            _gap(measure, one, segments.values()),
            rule,
        )
        for trait, measures in counts.items()
        for measure, segments in measures.items()
        for segment, one in sorted(segments.items(), key=_first_by_size)
    ]
    judged = [place for place, cell in enumerate(cells) if cell.chance is not None]
    adjusted = holm([cells[place].chance or 0.0 for place in judged])
    for place, chance in zip(judged, adjusted, strict=True):
        verdict: Verdict = "much worse" if chance <= rule.alpha else "not shown worse"
        cells[place] = replace(cells[place], chance=chance, verdict=verdict)
    return cells


def _first_by_size(entry: tuple[str, Share | Arms]) -> tuple[bool, int, str]:
    return entry[0] in (UNTOLD, OTHERS), -entry[1].whole, entry[0]


class _Gap(msgspec.Struct, frozen=True):
    """A segment against all others: its value and interval, theirs, how many they are, by how much
    it is worse, and the chance of that under a given margin."""

    value: float
    interval: tuple[float, float]
    rest: float
    others: int
    worse_by: float
    chance: Callable[[float], float]


def _gap(measure: Measure, held: Share | Arms, every: Iterable[Share | Arms]) -> _Gap:
    if isinstance(held, Arms):
        arms = [one for one in every if isinstance(one, Arms)]
        others = Arms(
            sum((one.offered for one in arms), Share()) - held.offered,
            sum((one.aside for one in arms), Share()) - held.aside,
        )
        return _Gap(
            held.value,
            effect_interval(held),
            others.value,
            others.whole,
            others.value - held.value,
            lambda margin: effect_worse(held, others, margin),
        )
    rest = sum((one for one in every if isinstance(one, Share)), Share()) - held
    low, high = share_interval(held)
    good = measure == "coverage"
    return _Gap(
        1 - held.value if good else held.value,
        (1 - high, 1 - low) if good else (low, high),
        1 - rest.value if good else rest.value,
        rest.whole,
        held.value - rest.value,
        lambda margin: share_worse(held, rest, margin),
    )


def _cell(cell: Cell, gap: _Gap, rule: Rule) -> Cell:
    if cell.segment in (UNTOLD, OTHERS):
        cell = replace(cell, verdict="not judged")
    if cell.customers < rule.least:
        return cell
    low, high = gap.interval
    cell = replace(cell, value=gap.value, low=low, high=high)
    if gap.others < rule.least:
        return cell
    cell = replace(cell, rest=gap.rest, worse_by=gap.worse_by)
    return cell if cell.verdict == "not judged" else replace(cell, chance=gap.chance(rule.margin))
